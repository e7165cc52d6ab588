/**
 * Far transfers: jumps, calls, returns and IRET between segments, through
 * gates, across privilege levels and into virtual-8086 mode.
 *
 * Spec: SDM volume 2, "CALL", "JMP", "RET", "IRET/IRETD/IRETQ" (their
 * Operation); volume 3, "Call Gates", "Stack Switching".
 */
import { type Code, define } from '../../ir/code.ts';
import {
  add,
  add32,
  and,
  and32,
  eq32,
  eqz32,
  extendU,
  gtU,
  gtU32,
  i32,
  i64,
  ltU32,
  mul,
  ne,
  ne32,
  not,
  or,
  or32,
  select,
  shl,
  shrU32,
  type Value,
  wrap,
  zext32,
} from '../../ir/value.ts';
import { isCanonical } from './canonical.ts';
import { fault, faultWith } from './fault.ts';
import { get, put } from './field.ts';
import { ccOp } from './flags.ts';
import { updateMode } from './mode.ts';
import {
  baseOf,
  cacheSegment,
  type Descriptor,
  descriptor,
  dplOf,
  isPresent,
  isRealStyle,
  isSegment,
  limitOf,
  loadReal,
  max,
  nullSegment,
  setAccessed,
  typeOf,
} from './segment.ts';
import { longStackPointer, stackDescriptor, tssStack, usableStack } from './inner-stack.ts';
import { ipOf, isLong64, Stack } from './stack.ts';
import { Attr, Eflags, Seg, Vector } from './state.ts';
import { isLongMode, SystemCode } from './system-memory.ts';
import { TaskReason, taskSwitch } from './task.ts';

const isCode = (d: Descriptor): Value => and32(isSegment(d.high), ne32(and32(typeOf(d.high), Attr.code), 0));
const isConforming = (d: Descriptor): Value => ne32(and32(typeOf(d.high), Attr.conforming), 0);
const isLongCode = (d: Descriptor): Value => and32(isLongMode(), ne32(and32(d.high, 0x20_0000), 0));

/** Faults where a code segment is neither 32 nor 64 bits, is absent, or does not hold the target. */
function checkTarget(s: SystemCode, d: Descriptor, error: Value, offset: Value): void {
  const { f } = s;
  const long = f.let(isLongCode(d));
  f.if(and32(long, ne32(and32(d.high, 0x40_0000), 0)), () => f.return(faultWith(Vector.gp, error)));
  f.if(eqz32(isPresent(d.high)), () => f.return(faultWith(Vector.np, error)));
  const beyond = select(long, eqz32(isCanonical(offset)), gtU(offset, extendU(limitOf(d.low, d.high))));
  f.if(beyond, () => f.return(fault(Vector.gp, 0)));
}

/** Lets CS and pc be the target. */
function enter(s: SystemCode, selector: Value, d: Descriptor, cpl: Value, offset: Value): void {
  const { f } = s;
  const high = setAccessed(s, d);
  const target = f.let(offset);
  put(f, 'cpl', cpl);
  cacheSegment(f, i32(Seg.cs), or32(and32(selector, 0xfffc), cpl), d.low, high);
  put(f, 'pc', select(isLongCode(d), target, zext32(add(target, baseOf(d.low, high)))));
  f.call(updateMode);
}

function enterReal(f: Code, selector: Value, offset: Value): void {
  f.call(loadReal, i32(Seg.cs), selector);
  put(f, 'pc', zext32(add(get('segBase', Seg.cs * 8), offset)));
  f.call(updateMode);
}

/** The words of a gate: selector, offset and, in long mode, the upper half of the offset. */
function gateTarget(s: SystemCode, gate: Descriptor): { readonly selector: Value; readonly offset: Value } {
  const { f } = s;
  const wide = ne32(and32(typeOf(gate.high), 8), 0);
  const low = extendU(or32(and32(gate.low, 0xffff), and32(gate.high, -0x1_0000)));
  const offset = f.var(select(wide, low, and(low, 0xffff)));
  f.if(isLongMode(), () => offset.set(or(offset.value, shl(s.read(add(gate.address, 8), 4), 32))));
  return { selector: f.let(shrU32(gate.low, 16)), offset: f.let(offset.value) };
}

/** Whether a descriptor is a call gate that this mode has: 32 or 64 bits, or 16. */
const isCallGate = (d: Descriptor): Value =>
  or32(eq32(typeOf(d.high), 12), and32(eq32(typeOf(d.high), 4), eqz32(isLongMode())));
/** An available task-state segment or a task gate. */
const isTask = (d: Descriptor): Value =>
  and32(eqz32(isLongMode()), or32(or32(eq32(typeOf(d.high), 1), eq32(typeOf(d.high), 9)), eq32(typeOf(d.high), 5)));

/** Faults unless a jump or call may go straight to a segment. */
function checkDirect(s: SystemCode, d: Descriptor, error: Value, cpl: Value, rpl: Value): void {
  const { f } = s;
  const dpl = dplOf(d.high);
  const bad = select(isConforming(d), gtU32(dpl, cpl), or32(gtU32(rpl, cpl), ne32(dpl, cpl)));
  f.if(or32(eqz32(isCode(d)), bad), () => f.return(faultWith(Vector.gp, error)));
}

/** Where a call gate leads: faults unless that is code, of 64 bits in long mode. Privilege is the caller's to look at. */
function throughGate(s: SystemCode, d: Descriptor) {
  const { f } = s;
  const gate = gateTarget(s, d);
  const gateError = f.let(and32(gate.selector, 0xfffc));
  f.if(eqz32(gateError), () => f.return(fault(Vector.gp, 0)));
  const code = descriptor(s, gate.selector);
  const wrongWidth = and32(isLongMode(), eqz32(isLongCode(code)));
  f.if(or32(eqz32(isCode(code)), wrongWidth), () => f.return(faultWith(Vector.gp, gateError)));
  return { gate, gateError, code };
}

/** far_jump(selector, offset, next): a fault, or 0 with the new pc in place. `next`: linear address behind the jump. */
export const farJump = define('far_jump', ['i32', 'i64', 'i64'], 'i32', (f, selector, offset, next) => {
  const s = new SystemCode(f);
  f.if(isRealStyle(), () => {
    f.if(gtU(offset, extendU(get('segLimit', Seg.cs * 4))), () => f.return(fault(Vector.gp, 0)));
    enterReal(f, selector, offset);
    f.return(i32(0));
  });
  const error = f.let(and32(selector, 0xfffc));
  f.if(eqz32(error), () => f.return(fault(Vector.gp, 0)));
  const cpl = f.let(get('cpl'));
  const rpl = f.let(and32(selector, 3));
  const d = descriptor(s, selector);
  const gp = () => f.return(faultWith(Vector.gp, error));
  f.if(isSegment(d.high), () => {
    checkDirect(s, d, error, cpl, rpl);
    checkTarget(s, d, error, offset);
    enter(s, selector, d, cpl, offset);
    f.return(i32(0));
  });
  f.if(ltU32(dplOf(d.high), max(cpl, rpl)), gp);
  f.if(isTask(d), () => f.return(f.call(taskSwitch, selector, i32(TaskReason.jump), i32(0), next)));
  f.if(eqz32(isCallGate(d)), gp);
  f.if(eqz32(isPresent(d.high)), () => f.return(faultWith(Vector.np, error)));
  const { gate, gateError, code } = throughGate(s, d);
  const bad = select(isConforming(code), gtU32(dplOf(code.high), cpl), ne32(dplOf(code.high), cpl));
  f.if(bad, () => f.return(faultWith(Vector.gp, gateError)));
  checkTarget(s, code, gateError, gate.offset);
  enter(s, gate.selector, code, cpl, gate.offset);
  f.return(i32(0));
});

/** far_call(selector, offset, next, bytes): `bytes` of the operand size. */
export const farCall = define('far_call', ['i32', 'i64', 'i64', 'i32'], 'i32', (f, selector, offset, next, bytes) => {
  const s = new SystemCode(f);
  const oldCs = f.let(extendU(get('segSelector', Seg.cs * 4)));
  const nextIp = f.let(ipOf(next));
  f.if(isRealStyle(), () => {
    f.if(gtU(offset, extendU(get('segLimit', Seg.cs * 4))), () => f.return(fault(Vector.gp, 0)));
    const stack = Stack.current(s, bytes);
    stack.push(oldCs);
    stack.push(nextIp);
    stack.commit();
    enterReal(f, selector, offset);
    f.return(i32(0));
  });
  const error = f.let(and32(selector, 0xfffc));
  f.if(eqz32(error), () => f.return(fault(Vector.gp, 0)));
  const cpl = f.let(get('cpl'));
  const rpl = f.let(and32(selector, 3));
  const d = descriptor(s, selector);
  const gp = () => f.return(faultWith(Vector.gp, error));
  f.if(isSegment(d.high), () => {
    checkDirect(s, d, error, cpl, rpl);
    const stack = Stack.current(s, bytes);
    checkTarget(s, d, error, offset);
    stack.push(oldCs);
    stack.push(nextIp);
    stack.commit();
    enter(s, selector, d, cpl, offset);
    f.return(i32(0));
  });
  f.if(ltU32(dplOf(d.high), max(cpl, rpl)), gp);
  f.if(isTask(d), () => f.return(f.call(taskSwitch, selector, i32(TaskReason.call), i32(0), next)));
  f.if(eqz32(isCallGate(d)), gp);
  f.if(eqz32(isPresent(d.high)), () => f.return(faultWith(Vector.np, error)));
  const { gate, gateError, code } = throughGate(s, d);
  f.if(gtU32(dplOf(code.high), cpl), () => f.return(faultWith(Vector.gp, gateError)));
  checkTarget(s, code, gateError, gate.offset);
  const dpl = f.let(dplOf(code.high));
  const gateBytes = f.let(select(isLongMode(), i32(8), select(ne32(and32(typeOf(d.high), 8), 0), i32(4), i32(2))));
  f.if(or32(isConforming(code), eq32(dpl, cpl)), () => {
    const stack = Stack.current(s, gateBytes);
    stack.push(oldCs);
    stack.push(nextIp);
    stack.commit();
    enter(s, gate.selector, code, cpl, gate.offset);
    f.return(i32(0));
  });
  // To an inner level: its stack is in the task-state segment.
  const inner = innerStack(s, dpl, gateBytes);
  const oldSp = f.let(get('gpr', 4 * 8));
  inner.stack.push(extendU(get('segSelector', Seg.ss * 4)));
  inner.stack.push(oldSp);
  f.if(eqz32(isLongMode()), () => {
    const n = f.var(and32(d.high, 31));
    const old = Stack.current(s, gateBytes);
    const start = f.let(old.sp.value);
    f.while(
      () => n.value,
      () => {
        n.set(add32(n.value, -1));
        old.sp.set(add(start, mul(extendU(n.value), extendU(gateBytes))));
        inner.stack.push(old.pop());
      },
    );
  });
  inner.stack.push(oldCs);
  inner.stack.push(nextIp);
  put(f, 'cpl', dpl);
  inner.install();
  enter(s, gate.selector, code, dpl, gate.offset);
  f.return(i32(0));
});

/** The stack of an inner privilege level. */
function innerStack(s: SystemCode, dpl: Value, bytes: Value): { readonly stack: Stack; install(): void } {
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

/** Data segments that the code of an outer level may not have become unusable. */
function dropInnerSegments(f: Code, cpl: Value): void {
  for (const seg of [Seg.es, Seg.ds, Seg.fs, Seg.gs]) {
    const attr = f.let(get('segAttr', seg * 4));
    const conforming = eq32(and32(attr, Attr.code | Attr.conforming), Attr.code | Attr.conforming);
    const dpl = and32(shrU32(attr, 5), 3);
    f.if(and32(eqz32(conforming), and32(ltU32(dpl, cpl), eqz32(and32(attr, Attr.unusable)))), () => {
      // Bases stay, as on the processor: 64-bit code goes on to use those of FS and GS.
      const base = f.let(get('segBase', seg * 8));
      f.call(nullSegment, i32(seg), i32(0));
      put(f, 'segBase', base, seg * 8);
    });
  }
}

/**
 * far_return(bytes, release, interrupt): RET far, giving back `release` bytes of parameters, and the part of IRET that
 * is not its own, with `interrupt` 1: flags are popped too.
 */
const farReturnProtected = define('far_return_protected', ['i32', 'i64', 'i32'], 'i32', (f, bytes, release, isIret) => {
  const s = new SystemCode(f);
  const cpl = f.let(get('cpl'));
  const stack = Stack.current(s, bytes);
  const offset = stack.pop();
  const selector = f.let(and32(wrap(stack.pop()), 0xffff));
  const flags = f.var(i64(0));
  f.if(isIret, () => flags.set(stack.pop()));
  // IRET of 32 bits at CPL 0 may go back to virtual-8086 mode.
  const toV86 = and32(and32(isIret, eq32(bytes, 4)), and32(ne(and(flags.value, Eflags.vm), 0), eqz32(cpl)));
  f.if(and32(toV86, eqz32(isLongMode())), () => {
    const sp = stack.pop();
    const selectors = [Seg.ss, Seg.es, Seg.ds, Seg.fs, Seg.gs].map((seg) => ({ seg, value: stack.pop() }));
    f.call(setEflags, flags.value, i32(ALL_FLAGS));
    put(f, 'cpl', 3);
    f.call(loadReal, i32(Seg.cs), selector);
    for (const { seg, value } of selectors) f.call(loadReal, i32(seg), and32(wrap(value), 0xffff));
    put(f, 'gpr', sp, 4 * 8);
    put(f, 'pc', add(get('segBase', Seg.cs * 8), and(offset, 0xffff)));
    f.call(updateMode);
    f.return(i32(0));
  });
  const error = f.let(and32(selector, 0xfffc));
  f.if(eqz32(error), () => f.return(fault(Vector.gp, 0)));
  const rpl = f.let(and32(selector, 3));
  const d = descriptor(s, selector);
  const gp = () => f.return(faultWith(Vector.gp, error));
  f.if(eqz32(isCode(d)), gp);
  f.if(ltU32(rpl, cpl), gp);
  f.if(select(isConforming(d), gtU32(dplOf(d.high), rpl), ne32(dplOf(d.high), rpl)), gp);
  checkTarget(s, d, error, offset);
  stack.sp.set(add(stack.sp.value, release));
  const outer = f.let(gtU32(rpl, cpl));
  const long64 = f.let(isLong64());
  // IRETQ always pops the stack pointer.
  const popsStack = f.let(or32(outer, and32(isIret, long64)));
  const mayChange = f.let(
    or32(
      i32(Eflags.tf | Eflags.df | Eflags.nt | Eflags.rf | Eflags.ac | Eflags.id),
      or32(
        select(eqz32(cpl), i32(Eflags.iopl | Eflags.vif | Eflags.vip), i32(0)),
        select(gtU32(cpl, and32(shrU32(get('eflags'), 12), 3)), i32(0), i32(Eflags.if)),
      ),
    ),
  );
  const changes = f.let(select(eq32(bytes, 2), and32(mayChange, 0xffff), mayChange));
  f.if(
    popsStack,
    () => {
      const sp = stack.pop();
      const ss = f.let(and32(wrap(stack.pop()), 0xffff));
      const ssError = f.let(and32(ss, 0xfffc));
      const ssLow = f.var(i32(0));
      const ssHigh = f.var(i32(0));
      const isNull = f.let(eqz32(ssError));
      f.if(
        isNull,
        () => {
          // A null stack segment only for 64-bit code of levels 0 to 2.
          const ok = and32(and32(long64, isLongCode(d)), and32(ne32(rpl, 3), eq32(and32(ss, 3), rpl)));
          f.if(eqz32(ok), () => f.return(fault(Vector.gp, 0)));
        },
        () => {
          const t = descriptor(s, ss);
          const ssGp = () => f.return(faultWith(Vector.gp, ssError));
          f.if(or32(ne32(and32(ss, 3), rpl), ne32(dplOf(t.high), rpl)), ssGp);
          const writable = eq32(and32(typeOf(t.high), Attr.code | Attr.writable), Attr.writable);
          f.if(eqz32(and32(isSegment(t.high), writable)), ssGp);
          f.if(eqz32(isPresent(t.high)), () => f.return(faultWith(Vector.ss, ssError)));
          ssLow.set(t.low);
          ssHigh.set(setAccessed(s, t));
        },
      );
      f.if(isIret, () => f.call(setEflags, flags.value, changes));
      enter(s, selector, d, rpl, offset);
      f.if(
        isNull,
        () => f.call(nullSegment, i32(Seg.ss), ss),
        () => cacheSegment(f, i32(Seg.ss), ss, ssLow.value, ssHigh.value),
      );
      f.call(updateMode);
      const mask = f.let(get('stackMask'));
      const given = add(sp, select(isIret, i64(0), release));
      put(f, 'gpr', or(and(get('gpr', 4 * 8), not(mask)), and(given, mask)), 4 * 8);
      f.if(outer, () => dropInnerSegments(f, rpl));
      f.call(updateMode);
    },
    () => {
      f.if(isIret, () => f.call(setEflags, flags.value, changes));
      stack.commit();
      enter(s, selector, d, cpl, offset);
    },
  );
  f.return(i32(0));
});

const ALL_FLAGS =
  Eflags.tf |
  Eflags.if |
  Eflags.df |
  Eflags.iopl |
  Eflags.nt |
  Eflags.rf |
  Eflags.vm |
  Eflags.ac |
  Eflags.vif |
  Eflags.vip |
  Eflags.id;

/** set_eflags(image, mask): the arithmetic flags, and of the others those in `mask`. */
export const setEflags = define('set_eflags', ['i64', 'i32'], undefined, (f, image, mask) => {
  put(f, 'ccOp', ccOp('flags'));
  put(f, 'ccA', and(image, Eflags.arithmetic));
  const others = f.let(and32(mask, ALL_FLAGS));
  put(f, 'eflags', or32(or32(and32(get('eflags'), notMask(others)), and32(wrap(image), others)), Eflags.fixed));
});
const notMask = (mask: Value): Value => wrap(not(extendU(mask)));

/** far_return(bytes, release): RET far. */
export const farReturn = define('far_return', ['i32', 'i64'], 'i32', (f, bytes, release) => {
  const s = new SystemCode(f);
  f.if(isRealStyle(), () => {
    const stack = Stack.current(s, bytes);
    const offset = stack.pop();
    const selector = f.let(and32(wrap(stack.pop()), 0xffff));
    f.if(gtU(offset, extendU(get('segLimit', Seg.cs * 4))), () => f.return(fault(Vector.gp, 0)));
    stack.sp.set(add(stack.sp.value, release));
    stack.commit();
    enterReal(f, selector, offset);
    f.return(i32(0));
  });
  f.return(f.call(farReturnProtected, bytes, release, i32(0)));
});

/** interrupt_return(bytes, next): IRET. */
export const interruptReturn = define('interrupt_return', ['i32', 'i64'], 'i32', (f, bytes, next) => {
  const s = new SystemCode(f);
  put(f, 'nmiBlocked', 0);
  f.if(isRealStyle(), () => {
    const v86 = f.let(ne32(and32(get('eflags'), Eflags.vm), 0));
    f.if(and32(v86, ne32(and32(shrU32(get('eflags'), 12), 3), 3)), () => f.return(fault(Vector.gp, 0)));
    const stack = Stack.current(s, bytes);
    const offset = stack.pop();
    const selector = f.let(and32(wrap(stack.pop()), 0xffff));
    const flags = stack.pop();
    f.if(gtU(offset, extendU(get('segLimit', Seg.cs * 4))), () => f.return(fault(Vector.gp, 0)));
    stack.commit();
    const all = ALL_FLAGS & ~(Eflags.vm | Eflags.vif | Eflags.vip);
    const changes = select(v86, i32(all & ~Eflags.iopl), i32(all));
    f.call(setEflags, flags, select(eq32(bytes, 2), and32(changes, 0xffff), changes));
    enterReal(f, selector, offset);
    f.return(i32(0));
  });
  f.if(ne32(and32(get('eflags'), Eflags.nt), 0), () => {
    f.if(isLongMode(), () => f.return(fault(Vector.gp, 0)));
    const back = f.let(wrap(s.read(get('segBase', Seg.tr * 8), 2)));
    f.return(f.call(taskSwitch, back, i32(TaskReason.iret), i32(0), next));
  });
  f.return(f.call(farReturnProtected, bytes, i64(0), i32(1)));
});
