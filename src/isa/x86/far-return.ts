/**
 * Far returns and IRET: to outer privilege levels, other tasks and
 * virtual-8086 mode.
 *
 * Spec: SDM volume 2, "RET", "IRET/IRETD/IRETQ" (their Operation); volume 3,
 * "Stack Switching".
 */
import { type Code, define } from '../../ir/code.ts';
import {
  add,
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
  ne,
  ne32,
  not,
  or,
  or32,
  select,
  shrU32,
  type Value,
  wrap,
} from '../../ir/value.ts';
import { ALL_FLAGS, setEflags } from './eflags.ts';
import { checkTarget, enter, enterReal, isCode, isConforming, isLongCode } from './far-target.ts';
import { fault, faultWith } from './fault.ts';
import { get, put } from './field.ts';
import { updateMode } from './mode.ts';
import {
  cacheSegment,
  descriptor,
  dplOf,
  isPresent,
  isRealStyle,
  isSegment,
  loadReal,
  nullSegment,
  setAccessed,
  typeOf,
} from './segment.ts';
import { isLong64, Stack } from './stack.ts';
import { Attr, Eflags, Seg, Vector } from './state.ts';
import { isLongMode, SystemCode } from './system-memory.ts';
import { TaskReason, taskSwitch } from './task.ts';

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
