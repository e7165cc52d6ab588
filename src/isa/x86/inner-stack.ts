/**
 * The stack that the task-state segment names for an inner privilege level, for
 * interrupts and call gates.
 *
 * Spec: SDM volume 3, "Stack Switching", "64-Bit Mode Stack Frame", "Task-State
 * Segment (TSS)".
 */
import type { Variable } from '../../ir/code.ts';
import {
  add,
  add32,
  and32,
  eq32,
  eqz32,
  extendU,
  gtU32,
  i32,
  i64,
  ne32,
  or32,
  select,
  shl32,
  type Value,
  wrap,
} from '../../ir/value.ts';
import { faultWith } from './fault.ts';
import { get } from './field.ts';
import {
  baseOf,
  cacheSegment,
  type Descriptor,
  descriptor,
  dplOf,
  isPresent,
  isSegment,
  limitOf,
  nullSegment,
  setAccessed,
  typeOf,
} from './segment.ts';
import { Stack } from './stack.ts';
import { Attr, Seg, Vector } from './state.ts';
import { isLongMode, linearSum, type SystemCode } from './system-memory.ts';

/** The linear address of a field of the task-state segment; faults where it does not reach to byte `last` of it. */
function inTss(s: SystemCode, at: Value, last: Value, ext: Value): Value {
  const { f } = s;
  f.if(gtU32(add32(at, last), get('segLimit', Seg.tr * 4)), () =>
    f.return(faultWith(Vector.ts, or32(and32(get('segSelector', Seg.tr * 4), 0xfffc), ext))),
  );
  return f.let(linearSum(get('segBase', Seg.tr * 8), extendU(at)));
}

/** In long mode: the stack pointer of an interrupt stack table entry, 1 to 7, or, with 0, of a privilege level. */
export function longStackPointer(s: SystemCode, ist: Value, dpl: Value, ext: Value): Value {
  const at = s.f.let(select(ist, add32(shl32(ist, 3), 28), add32(shl32(dpl, 3), 4)));
  return s.read(inTss(s, at, i32(7), ext), 8);
}

/** Outside long mode: stack pointer and selector of a privilege level, from a wide or a 16-bit task-state segment. */
export function tssStack(s: SystemCode, dpl: Value, ext: Value): { readonly sp: Value; readonly selector: Value } {
  const { f } = s;
  const wide = f.let(ne32(and32(get('segAttr', Seg.tr * 4), 8), 0));
  const at = f.let(select(wide, add32(shl32(dpl, 3), 4), add32(shl32(dpl, 2), 2)));
  const tss = inTss(s, at, select(wide, i32(7), i32(3)), ext);
  const sp: Variable = f.var(i64(0));
  const selector: Variable = f.var(i32(0));
  const read = (bytes: 2 | 4) => {
    sp.set(s.read(tss, bytes));
    selector.set(wrap(s.read(add(tss, bytes), 2)));
  };
  f.if(
    wide,
    () => read(4),
    () => read(2),
  );
  return { sp: f.let(sp.value), selector: f.let(selector.value) };
}

/** As `descriptor`, but what is wrong with the selector is a fault of the task-state segment. */
export function stackDescriptor(s: SystemCode, selector: Value, ext: Value): Descriptor {
  const { f } = s;
  const local = and32(selector, 4);
  const none = and32(ne32(local, 0), ne32(and32(get('segAttr', Seg.ldtr * 4), Attr.unusable), 0));
  const limit = select(local, get('segLimit', Seg.ldtr * 4), get('gdtLimit'));
  f.if(or32(none, gtU32(or32(selector, 7), limit)), () =>
    f.return(faultWith(Vector.ts, or32(and32(selector, 0xfffc), ext))),
  );
  return descriptor(s, selector, ext);
}

/** What of a stack segment is needed to push to it. */
export interface UsableStack {
  /** The descriptor's upper word, accessed. */
  readonly high: Value;
  /** See `Stack`. */
  readonly mask: Value;
  readonly limit: Value;
}

/** Faults unless a descriptor is a stack of level `dpl`; `error` names its selector. */
export function usableStack(s: SystemCode, d: Descriptor, selector: Value, dpl: Value, error: Value): UsableStack {
  const { f } = s;
  const type = typeOf(d.high);
  const writable = eq32(and32(type, Attr.code | Attr.writable), Attr.writable);
  const levels = or32(ne32(and32(selector, 3), dpl), ne32(dplOf(d.high), dpl));
  f.if(or32(levels, eqz32(and32(isSegment(d.high), writable))), () => f.return(faultWith(Vector.ts, error)));
  f.if(eqz32(isPresent(d.high)), () => f.return(faultWith(Vector.ss, error)));
  const high = setAccessed(s, d);
  const mask = f.let(select(ne32(and32(high, 0x40_0000), 0), i64(0xffff_ffff), i64(0xffff)));
  const down = ne32(and32(type, Attr.conforming), 0);
  return { high, mask, limit: f.let(select(down, mask, extendU(limitOf(d.low, high)))) };
}

/** The stack of an inner privilege level, for elements of `bytes`. */
export function innerStack(s: SystemCode, dpl: Value, bytes: Value): { readonly stack: Stack; install(): void } {
  const { f } = s;
  const long = f.let(isLongMode());
  const sp = f.var(i64(0));
  const selector = f.var(i32(0));
  const low = f.var(i32(0));
  const high = f.var(i32(0));
  const mask = f.var(i64(-1));
  const limit = f.var(i64(-1));
  f.if(
    long,
    () => {
      sp.set(longStackPointer(s, i32(0), dpl, i32(0)));
      selector.set(dpl);
    },
    () => {
      const inTss = tssStack(s, dpl, i32(0));
      sp.set(inTss.sp);
      selector.set(inTss.selector);
      const error = f.let(and32(selector.value, 0xfffc));
      f.if(eqz32(error), () => f.return(faultWith(Vector.ts, error)));
      const d = stackDescriptor(s, selector.value, i32(0));
      const usable = usableStack(s, d, selector.value, dpl, error);
      low.set(d.low);
      high.set(usable.high);
      mask.set(usable.mask);
      limit.set(usable.limit);
    },
  );
  const base = select(long, i64(0), baseOf(low.value, high.value));
  const stack = new Stack(s, base, sp.value, mask.value, bytes, eq32(dpl, 3), limit.value);
  return {
    stack,
    install() {
      f.if(
        long,
        () => f.call(nullSegment, i32(Seg.ss), dpl),
        () => cacheSegment(f, i32(Seg.ss), selector.value, low.value, high.value),
      );
      stack.commit();
    },
  };
}
