/**
 * Interrupts and exceptions: through the interrupt vector table or gates, with
 * a change of stack where privilege changes; double and triple faults.
 *
 * Spec: SDM volume 3, "Interrupt and Exception Handling", "64-Bit Mode Stack
 * Frame", "Double Fault Exception (#DF)"; volume 3, "Interrupt and Exception
 * Handling in Virtual-8086 Mode".
 */
import { define } from '../../ir/code.ts';
import {
  add,
  add32,
  and,
  and32,
  eq32,
  eqz,
  eqz32,
  extendU,
  gtU32,
  i32,
  i64,
  load,
  ltU,
  ltU32,
  ne32,
  or,
  or32,
  select,
  shl,
  shl32,
  shrU,
  shrU32,
  sub,
  type Value,
  wrap,
  zext32,
} from '../../ir/value.ts';
import * as op from '../../ir/op.ts';
import { Access, guestRead, hostCall } from '../isa.ts';
import { isCanonical } from './canonical.ts';
import { fault, FaultFlag, faultNumber, faultWith } from './fault.ts';
import { get, put } from './field.ts';
import { image } from './flags.ts';
import { updateMode } from './mode.ts';
import { HostCall } from './msr.ts';
import {
  baseOf,
  cacheSegment,
  descriptor,
  dplOf,
  isPresent,
  isSegment,
  loadReal,
  nullSegment,
  setAccessed,
  typeOf,
} from './segment.ts';
import { longStackPointer, stackDescriptor, tssStack, usableStack } from './inner-stack.ts';
import { ipOf, Stack } from './stack.ts';
import { Attr, Cr0, Dr6, Dr7, Eflags, Seg, Vector } from './state.ts';
import { isLongMode, SystemCode } from './system-memory.ts';
import { TaskReason, taskSwitch } from './task.ts';

/** What `deliver` is told beside the vector. */
export const Source = {
  /** An exception or an external interrupt: privilege is not asked for, error codes have EXT set. */
  external: 1,
  /** An error code is pushed: bits 16 to 31. */
  hasError: 2,
  /** INT n, INT3, INTO. */
  software: 4,
  /** Not INT n: virtual-8086 mode lets it pass whatever IOPL is. */
  breakpoint: 8,
  /** A fault: the flags that are pushed have RF set. */
  resume: 0x10,
} as const;

/** EFLAGS as software sees it, i64. */
export const eflagsImage = define('eflags_image', [], 'i64', (f) => {
  const arithmetic = image(f, get('ccOp'), { a: get('ccA'), b: get('ccB'), c: get('ccC') });
  f.return(or(arithmetic, extendU(get('eflags'))));
});

const clearFlags = (mask: number): Value => and32(get('eflags'), ~mask);

/** By the interrupt vector table. */
const deliverReal = define('deliver_real', ['i32', 'i64'], 'i32', (f, vector, pc) => {
  const s = new SystemCode(f);
  f.if(gtU32(or32(shl32(vector, 2), 3), get('idtLimit')), () => f.return(fault(Vector.gp, 0)));
  const entry = f.let(wrap(s.read(add(get('idtBase'), extendU(shl32(vector, 2))), 4)));
  const stack = Stack.current(s, i32(2));
  stack.push(f.call(eflagsImage));
  stack.push(extendU(get('segSelector', Seg.cs * 4)));
  stack.push(ipOf(pc));
  stack.commit();
  put(f, 'eflags', clearFlags(Eflags.if | Eflags.tf | Eflags.ac | Eflags.rf));
  f.call(loadReal, i32(Seg.cs), shrU32(entry, 16));
  put(f, 'pc', add(get('segBase', Seg.cs * 8), extendU(and32(entry, 0xffff))));
  f.call(updateMode);
  f.return(i32(0));
});

/** Through a gate of the interrupt descriptor table. */
const deliverProtected = define('deliver_protected', ['i32', 'i32', 'i64'], 'i32', (f, vector, source, pc) => {
  const s = new SystemCode(f);
  const ext = f.let(and32(source, Source.external));
  const idtError = f.let(or32(add32(shl32(vector, 3), 2), ext));
  const long = f.let(isLongMode());
  const size = select(long, i32(4), i32(3));
  const place = f.let(shl32(vector, size));
  f.if(gtU32(add32(place, select(long, i32(15), i32(7))), get('idtLimit')), () =>
    f.return(faultWith(Vector.gp, idtError)),
  );
  const gate = f.let(add(get('idtBase'), extendU(place)));
  const words = f.let(s.read(gate, 8));
  const low = f.let(wrap(words));
  const high = f.let(wrap(shrU(words, 32)));
  const type = f.let(and32(shrU32(high, 8), 31));
  const cpl = f.let(get('cpl'));
  const isTask = and32(eqz32(long), eq32(type, 5));
  const is32 = f.let(ne32(and32(type, 8), 0));
  // 14 and 15: interrupt and trap gates of 32 or 64 bits; 6 and 7: of 16 bits, not in long mode.
  const isGate = or32(eq32(and32(type, 0x1e), 14), and32(eqz32(long), eq32(and32(type, 0x1e), 6)));
  f.if(eqz32(or32(isTask, isGate)), () => f.return(faultWith(Vector.gp, idtError)));
  f.if(and32(ne32(and32(source, Source.software), 0), ltU32(dplOf(high), cpl)), () =>
    f.return(faultWith(Vector.gp, idtError)),
  );
  f.if(eqz32(isPresent(high)), () => f.return(faultWith(Vector.np, idtError)));
  const selector = f.let(shrU32(low, 16));
  f.if(isTask, () =>
    f.return(
      f.call(taskSwitch, selector, i32(TaskReason.gate), or32(and32(source, -0x1_0000 | Source.hasError), ext), pc),
    ),
  );
  f.if(eqz32(and32(selector, 0xfffc)), () => f.return(faultWith(Vector.gp, ext)));
  const code = descriptor(s, selector, ext);
  const codeError = f.let(or32(and32(selector, 0xfffc), ext));
  const gp = () => f.return(faultWith(Vector.gp, codeError));
  const codeType = f.let(typeOf(code.high));
  const dpl = f.let(dplOf(code.high));
  f.if(eqz32(and32(isSegment(code.high), ne32(and32(codeType, Attr.code), 0))), gp);
  f.if(gtU32(dpl, cpl), gp);
  const isLongCode = ne32(and32(code.high, 0x20_0000), 0);
  // In long mode handlers are 64-bit code.
  f.if(and32(long, or32(eqz32(isLongCode), ne32(and32(code.high, 0x40_0000), 0))), gp);
  f.if(eqz32(isPresent(code.high)), () => f.return(faultWith(Vector.np, codeError)));
  const conforming = ne32(and32(codeType, Attr.conforming), 0);
  const inner = f.let(and32(eqz32(conforming), ltU32(dpl, cpl)));
  const newCpl = f.let(select(inner, dpl, cpl));
  const v86 = f.let(ne32(and32(get('eflags'), Eflags.vm), 0));
  f.if(and32(v86, ne32(newCpl, 0)), gp);
  const offset = f.let(or32(and32(low, 0xffff), and32(high, -0x1_0000)));
  const target = f.var(extendU(select(is32, offset, and32(offset, 0xffff))));

  // Where the frame goes.
  const bytes = select(long, i32(8), select(is32, i32(4), i32(2)));
  const oldSs = f.let(get('segSelector', Seg.ss * 4));
  const oldSp = f.let(get('gpr', 4 * 8));
  const newSs = f.var(i32(0));
  const base = f.var(i64(0));
  const sp = f.var(oldSp);
  const mask = f.var(i64(-1));
  const limit = f.var(i64(-1));
  const ssLow = f.var(i32(0));
  const ssHigh = f.var(i32(0));
  f.if(
    long,
    () => {
      target.set(or(target.value, shl(s.read(add(gate, 8), 4), 32)));
      f.if(eqz32(isCanonical(target.value)), () => f.return(faultWith(Vector.gp, ext)));
      const ist = f.let(istOf(high));
      f.if(or32(ne32(ist, 0), inner), () => {
        sp.set(longStackPointer(s, ist, dpl, ext));
      });
      sp.set(and(sp.value, -16));
    },
    () => {
      f.if(
        inner,
        () => {
          const inTss = tssStack(s, dpl, ext);
          sp.set(inTss.sp);
          newSs.set(inTss.selector);
          const error = f.let(or32(and32(newSs.value, 0xfffc), ext));
          f.if(eqz32(and32(newSs.value, 0xfffc)), () => f.return(faultWith(Vector.ts, ext)));
          const stackSegment = stackDescriptor(s, newSs.value, ext);
          const usable = usableStack(s, stackSegment, newSs.value, dpl, error);
          ssLow.set(stackSegment.low);
          ssHigh.set(usable.high);
          base.set(baseOf(stackSegment.low, ssHigh.value));
          mask.set(usable.mask);
          limit.set(usable.limit);
        },
        () => {
          base.set(get('segBase', Seg.ss * 8));
          mask.set(get('stackMask'));
          limit.set(i64(-1));
        },
      );
    },
  );
  const user = eq32(newCpl, 3);
  const stack = new Stack(s, base.value, sp.value, mask.value, bytes, user, limit.value);
  const resume = select(and32(source, Source.resume), i64(Eflags.rf), i64(0));
  const flags = f.let(or(f.call(eflagsImage), resume));
  f.if(v86, () => {
    for (const seg of [Seg.gs, Seg.fs, Seg.ds, Seg.es]) stack.push(extendU(get('segSelector', seg * 4)));
  });
  f.if(or32(long, inner), () => {
    stack.push(extendU(oldSs));
    stack.push(oldSp);
  });
  stack.push(flags);
  stack.push(extendU(get('segSelector', Seg.cs * 4)));
  stack.push(ipOf(pc));
  f.if(and32(source, Source.hasError), () => stack.push(extendU(shrU32(source, 16))));

  // Nothing can fail any more.
  const accessed = setAccessed(s, code);
  f.if(v86, () => {
    for (const seg of [Seg.gs, Seg.fs, Seg.ds, Seg.es]) f.call(nullSegment, i32(seg), i32(0));
  });
  put(f, 'cpl', newCpl);
  f.if(inner, () => {
    f.if(
      long,
      () => f.call(nullSegment, i32(Seg.ss), newCpl),
      () => {
        cacheSegment(f, i32(Seg.ss), newSs.value, ssLow.value, ssHigh.value);
      },
    );
  });
  const kept = f.let(get('gpr', 4 * 8));
  const spMask = f.let(stack.mask);
  put(f, 'gpr', or(and(kept, notOf(spMask)), and(stack.sp.value, spMask)), 4 * 8);
  cacheSegment(f, i32(Seg.cs), or32(and32(selector, 0xfffc), newCpl), code.low, accessed);
  const interruptGate = eqz32(and32(type, 1));
  put(f, 'eflags', clearFlags(Eflags.tf | Eflags.nt | Eflags.rf | Eflags.vm));
  f.if(interruptGate, () => put(f, 'eflags', clearFlags(Eflags.if)));
  put(f, 'pc', select(long, target.value, zext32(add(target.value, baseOf(code.low, code.high)))));
  f.call(updateMode);
  f.return(i32(0));
});

/** The IST field of a 64-bit gate. */
const istOf = (high: Value): Value => and32(high, 7);
const notOf = (mask: Value): Value => sub(-1, mask);

/**
 * deliver(vector, source, pc): enters the handler with `pc` (linear) as where it returns to. Gives a fault, or 0: only
 * then anything has changed, but for accessed bits and what is below a stack pointer.
 */
export const deliver = define('deliver', ['i32', 'i32', 'i64'], 'i32', (f, vector, source, pc) => {
  // The instruction takes no single step; breakpoints on data that a load of SS held back wait for INT n's handler.
  const later = select(and32(source, Source.software), get('pendingDebug'), i32(0));
  put(f, 'pendingDebug', and32(later, Dr6.breakpoints));
  f.if(eqz(and(get('cr0'), Cr0.pe)), () => f.return(f.call(deliverReal, vector, pc)));
  const isIntN = eq32(and32(source, Source.software | Source.breakpoint), Source.software);
  f.if(and32(ne32(and32(get('eflags'), Eflags.vm), 0), isIntN), () => {
    // INT n in virtual-8086 mode: by the redirection bitmap with VME, else only at IOPL 3.
    const iopl = and32(shrU32(get('eflags'), 12), 3);
    f.if(ne32(iopl, 3), () => f.return(fault(Vector.gp, 0)));
  });
  f.if(get('logEvents'), () => {
    put(f, 'result', pc);
    f.call(hostCall, i32(HostCall.logInterrupt), vector, source);
  });
  f.return(f.call(deliverProtected, vector, source, pc));
});

/** Vectors whose faults add up to a double fault; page faults do too, after themselves or these. */
const CONTRIBUTORY = [Vector.de, Vector.ts, Vector.np, Vector.ss, Vector.gp].reduce<number>(
  (set, v) => set | (1 << v),
  0,
);
const isContributory = (vector: Value): Value => and32(ltU32(vector, 32), and32(shrU32(i32(CONTRIBUTORY), vector), 1));

/** is_stack_access(pc, address): i32, whether the instruction at `pc` accesses `address` as an offset in SS. */
const isStackAccess = define('is_stack_access', ['i64', 'i64'], 'i32', (f, pc, address) => {
  const halves = [f.var(i64(0)), f.var(i64(0))];
  halves.forEach((half, index) => {
    const n = f.var(i64(0));
    f.while(
      () => ltU(n.value, index === 0 ? 8 : 7),
      () => {
        const host = f.let(f.call(guestRead, add(pc, add(n.value, 8 * index)), i32(1), i32(Access.fetch)));
        // Where code ends the instruction has ended before.
        f.if(host, () => half.set(or(half.value, shl(load(op.I64_LOAD8_U, host), shl(n.value, 3)))));
        n.set(add(n.value, 1));
      },
    );
  });
  put(f, 'result', halves[0].value);
  put(f, 'result2', halves[1].value);
  put(f, 'faultAddress', address);
  f.return(f.call(hostCall, i32(HostCall.isStackAccess), i32(0), i32(0)));
});

/** raise(cause, tval, pc): delivers an exception that an instruction at `pc` raised; faults in it add up. */
export const raise = define('raise', ['i32', 'i64', 'i64'], undefined, (f, cause, tval, pc) => {
  const now = f.var(cause);
  const address = f.var(tval);
  put(f, 'waiting', 0);
  const before = f.var(i32(-1));
  f.if(eq32(and32(cause, FaultFlag.nonCanonical | FaultFlag.stack), FaultFlag.nonCanonical), () => {
    f.if(f.call(isStackAccess, pc, tval), () => now.set(or32(cause, FaultFlag.stack)));
  });
  f.loop((again) => {
    // What is no address is a fault of the segment that it was an offset in.
    const flags = and32(now.value, FaultFlag.nonCanonical | FaultFlag.stack);
    f.if(eq32(flags, FaultFlag.nonCanonical | FaultFlag.stack), () => now.set(fault(Vector.ss, 0)));
    const vector = f.let(and32(now.value, 0xff));
    f.if(get('logEvents'), () => f.call(hostCall, i32(HostCall.logException), before.value, vector));
    before.set(vector);
    f.if(eq32(vector, Vector.pf), () => put(f, 'cr2', address.value));
    const hasError = select(and32(now.value, 0x100), i32(Source.hasError), i32(0));
    const real = f.let(isRealStyleForErrors());
    // Debug exceptions are traps, or of breakpoints on code.
    const resume = select(eq32(vector, Vector.db), i32(0), i32(Source.resume));
    const kind = or32(resume, Source.external);
    const source = or32(select(real, i32(0), hasError), or32(kind, and32(now.value, -0x1_0000)));
    f.if(eq32(vector, Vector.db), () => put(f, 'dr7', and(get('dr7'), ~Dr7.gd)));
    const second = f.let(f.call(deliver, vector, source, pc));
    f.if(second, () => {
      const next = f.let(and32(second, 0xff));
      address.set(get('faultAddress'));
      f.if(eq32(vector, Vector.df), () => {
        put(f, 'pc', pc);
        put(f, 'shutdown', 1);
        put(f, 'stopped', 1);
        put(f, 'attention', 1);
        f.return();
      });
      const isPage = eq32(vector, Vector.pf);
      const both = or32(
        and32(isContributory(vector), isContributory(next)),
        and32(isPage, or32(isContributory(next), eq32(next, Vector.pf))),
      );
      now.set(select(both, i32(faultNumber(Vector.df, 0)), second));
      f.br(again);
    });
  });
});
/** Real-address mode pushes no error codes. */
const isRealStyleForErrors = (): Value => eqz(and(get('cr0'), Cr0.pe));
