/**
 * Hardware task switches, outside long mode.
 *
 * Spec: SDM volume 3, "Task Management": "Task-State Segment (TSS)", "Task
 * Switching", "Task Linking".
 */
import { define } from '../../ir/code.ts';
import {
  add,
  and,
  and32,
  eq32,
  eqz32,
  extendU,
  gtU32,
  i32,
  i64,
  ltU32,
  ne,
  ne32,
  or32,
  select,
  shrU,
  shrU32,
  sub,
  type Value,
  wrap,
  zext32,
} from '../../ir/value.ts';
import { fault, faultWith } from './fault.ts';
import { get, put } from './field.ts';
import { ccOp, image } from './flags.ts';
import { updateMode } from './mode.ts';
import { writeCr3 } from './paging.ts';
import {
  baseOf,
  cacheSegment,
  descriptor,
  dplOf,
  isPresent,
  isSegment,
  limitOf,
  loadLdtr,
  loadReal,
  loadSegment,
  nullSegment,
  setAccessed,
  typeOf,
} from './segment.ts';
import { Stack } from './stack.ts';
import { Attr, Cr0, Dr6, Eflags, Seg, Vector } from './state.ts';
import { SystemCode } from './system-memory.ts';

/** Why the task is switched. */
export const TaskReason = { jump: 0, call: 1, gate: 2, iret: 3 } as const;

/** The order in which a task-state segment holds the general registers is that of their numbers. */
const REGISTERS = 8;
const WIDE = { back: 0, cr3: 28, eip: 32, eflags: 36, gpr: 40, segments: 72, ldt: 96, trap: 100, end: 103 } as const;
const NARROW = { back: 0, ip: 14, flags: 16, gpr: 18, segments: 34, ldt: 42, end: 43 } as const;
/** ES, CS, SS, DS and, in the wide one, FS and GS. */
const SEGMENTS = [Seg.es, Seg.cs, Seg.ss, Seg.ds, Seg.fs, Seg.gs];

/**
 * task_switch(selector, reason, error, pc): to the task whose TSS or task gate `selector` names. `pc` (linear): where
 * the old task goes on. `error`: EXT in bit 0; with bit 1, the error code in bits 16 to 31 is pushed on the new
 * task's stack. Gives a fault or 0.
 */
export const taskSwitch = define('task_switch', ['i32', 'i32', 'i32', 'i64'], 'i32', (f, first, reason, error, pc) => {
  const s = new SystemCode(f);
  const ext = f.let(and32(error, 1));
  const selector = f.var(first);
  const fromGate = f.var(descriptor(s, selector.value, ext).high);
  // A task gate names a TSS in the GDT.
  f.if(and32(eqz32(isSegment(fromGate.value)), eq32(typeOf(fromGate.value), 5)), () => {
    f.if(eqz32(isPresent(fromGate.value)), () =>
      f.return(faultWith(Vector.np, or32(and32(selector.value, 0xfffc), ext))),
    );
    selector.set(and32(wrap(shrU(get('result'), 16)), 0xffff));
  });
  const errorCode = f.let(or32(and32(selector.value, 0xfffc), ext));
  const wrongVector = select(eq32(reason, TaskReason.iret), i32(Vector.ts), i32(Vector.gp));
  const wrong = () =>
    f.return(select(eq32(wrongVector, Vector.ts), faultWith(Vector.ts, errorCode), faultWith(Vector.gp, errorCode)));
  f.if(and32(selector.value, 4), wrong);
  const next = descriptor(s, selector.value, ext);
  const type = f.let(typeOf(next.high));
  const wanted = select(eq32(reason, TaskReason.iret), i32(3), i32(1));
  f.if(or32(isSegment(next.high), ne32(and32(type, 7), wanted)), wrong);
  f.if(eqz32(isPresent(next.high)), () => f.return(faultWith(Vector.np, errorCode)));
  const wide = f.let(ne32(and32(type, 8), 0));
  const end = select(wide, i32(WIDE.end), i32(NARROW.end));
  f.if(ltU32(limitOf(next.low, next.high), end), () => f.return(faultWith(Vector.ts, errorCode)));

  // Save the old task.
  const oldBase = f.let(get('segBase', Seg.tr * 8));
  const oldWide = f.let(ne32(and32(get('segAttr', Seg.tr * 4), 8), 0));
  const oldSelector = f.let(get('segSelector', Seg.tr * 4));
  const arithmetic = image(f, get('ccOp'), { a: get('ccA'), b: get('ccB'), c: get('ccC') });
  const keptFlags = select(eq32(reason, TaskReason.iret), i32(~Eflags.nt), i32(-1));
  const oldFlags = f.let(and(add(arithmetic, extendU(and32(get('eflags'), keptFlags))), 0xffff_ffff));
  const oldIp = f.let(zext32(sub(pc, get('segBase', Seg.cs * 8))));
  const at = (base: Value, offset: number) => zext32(add(base, offset));
  f.if(
    oldWide,
    () => {
      s.write(at(oldBase, WIDE.eip), 4, oldIp);
      s.write(at(oldBase, WIDE.eflags), 4, oldFlags);
      for (let n = 0; n < REGISTERS; n++) s.write(at(oldBase, WIDE.gpr + n * 4), 4, get('gpr', n * 8));
      SEGMENTS.forEach((seg, n) => {
        s.write(at(oldBase, WIDE.segments + n * 4), 2, extendU(get('segSelector', seg * 4)));
      });
    },
    () => {
      s.write(at(oldBase, NARROW.ip), 2, oldIp);
      s.write(at(oldBase, NARROW.flags), 2, oldFlags);
      for (let n = 0; n < REGISTERS; n++) s.write(at(oldBase, NARROW.gpr + n * 2), 2, get('gpr', n * 8));
      SEGMENTS.slice(0, 4).forEach((seg, n) => {
        s.write(at(oldBase, NARROW.segments + n * 2), 2, extendU(get('segSelector', seg * 4)));
      });
    },
  );

  // Read the new one before anything changes.
  const base = f.let(baseOf(next.low, next.high));
  const ip = f.var(i64(0));
  const flags = f.var(i64(0));
  const cr3 = f.var(i64(0));
  const ldt = f.var(i64(0));
  const trap = f.var(i64(0));
  const registers = Array.from({ length: REGISTERS }, () => f.var(i64(0)));
  const selectors = SEGMENTS.map(() => f.var(i64(0)));
  f.if(
    wide,
    () => {
      cr3.set(s.read(at(base, WIDE.cr3), 4));
      ip.set(s.read(at(base, WIDE.eip), 4));
      flags.set(s.read(at(base, WIDE.eflags), 4));
      registers.forEach((register, n) => {
        register.set(s.read(at(base, WIDE.gpr + n * 4), 4));
      });
      selectors.forEach((value, n) => {
        value.set(s.read(at(base, WIDE.segments + n * 4), 2));
      });
      ldt.set(s.read(at(base, WIDE.ldt), 2));
      trap.set(s.read(at(base, WIDE.trap), 2));
    },
    () => {
      ip.set(s.read(at(base, NARROW.ip), 2));
      flags.set(s.read(at(base, NARROW.flags), 2));
      registers.forEach((register, n) => {
        register.set(add(s.read(at(base, NARROW.gpr + n * 2), 2), 0xffff_0000));
      });
      selectors.slice(0, 4).forEach((value, n) => {
        value.set(s.read(at(base, NARROW.segments + n * 2), 2));
      });
      ldt.set(s.read(at(base, NARROW.ldt), 2));
    },
  );

  // Busy bits and the back link.
  const descriptorOf = (selectorValue: Value) => zext32(add(get('gdtBase'), extendU(and32(selectorValue, 0xfff8))));
  const setBusy = (selectorValue: Value, busy: boolean) => {
    const byte = f.let(add(descriptorOf(selectorValue), 5));
    const rights = s.read(byte, 1);
    s.write(byte, 1, busy ? or64(rights, 2) : and(rights, 0xfd));
  };
  const nested = f.let(or32(eq32(reason, TaskReason.call), eq32(reason, TaskReason.gate)));
  f.if(eqz32(nested), () => setBusy(oldSelector, false));
  f.if(ne32(reason, TaskReason.iret), () => setBusy(selector.value, true));
  f.if(nested, () => s.write(at(base, WIDE.back), 2, extendU(oldSelector)));

  // From here on faults are the new task's.
  cacheSegment(f, i32(Seg.tr), selector.value, next.low, or32(next.high, 0x200));
  put(f, 'cr0', or64(get('cr0'), Cr0.ts));
  f.if(and32(wide, ne(and(get('cr0'), Cr0.pg), 0)), () => f.call(writeCr3, cr3.value));
  registers.forEach((register, n) => {
    put(f, 'gpr', register.value, n * 8);
  });
  const newFlags = f.let(or32(wrap(flags.value), select(nested, i32(Eflags.nt), i32(0))));
  const systemFlags =
    Eflags.tf | Eflags.if | Eflags.df | Eflags.iopl | Eflags.nt | Eflags.rf | Eflags.vm | Eflags.ac | Eflags.id;
  put(f, 'eflags', or32(and32(newFlags, systemFlags), Eflags.fixed));
  put(f, 'ccOp', ccOp('flags'));
  put(f, 'ccA', and(extendU(newFlags), Eflags.arithmetic));
  f.call(nullSegment, i32(Seg.ldtr), i32(0));
  for (const seg of SEGMENTS) f.call(nullSegment, i32(seg), i32(0));
  SEGMENTS.forEach((seg, n) => {
    put(f, 'segSelector', wrap(selectors[n].value), seg * 4);
  });
  f.if(and32(wrap(ldt.value), 0xfffc), () => {
    f.if(f.call(loadLdtr, wrap(ldt.value)), () => f.return(faultWith(Vector.ts, and32(wrap(ldt.value), 0xfffc))));
  });
  const isV86 = f.let(ne32(and32(newFlags, Eflags.vm), 0));
  f.if(
    isV86,
    () => {
      put(f, 'cpl', 3);
      SEGMENTS.forEach((seg, n) => {
        f.call(loadReal, i32(seg), wrap(selectors[n].value));
      });
    },
    () => {
      const cs = f.let(wrap(selectors[1].value));
      put(f, 'cpl', and32(cs, 3));
      f.if(eqz32(and32(cs, 0xfffc)), () => f.return(fault(Vector.ts, 0)));
      const code = descriptor(s, cs);
      const bad = () => f.return(faultWith(Vector.ts, and32(cs, 0xfffc)));
      f.if(eqz32(and32(isSegment(code.high), ne32(and32(typeOf(code.high), Attr.code), 0))), bad);
      const conforming = ne32(and32(typeOf(code.high), Attr.conforming), 0);
      const rpl = and32(cs, 3);
      f.if(select(conforming, gtU32(dplOf(code.high), rpl), ne32(dplOf(code.high), rpl)), bad);
      f.if(eqz32(isPresent(code.high)), () => f.return(faultWith(Vector.np, and32(cs, 0xfffc))));
      cacheSegment(f, i32(Seg.cs), cs, code.low, setAccessed(s, code));
      for (const n of [2, 0, 3, 4, 5]) s.try(f.call(loadSegment, i32(SEGMENTS[n]), wrap(selectors[n].value)));
    },
  );
  put(f, 'pc', zext32(add(ip.value, get('segBase', Seg.cs * 8))));
  f.call(updateMode);
  f.if(and32(error, 2), () => {
    const stack = Stack.current(s, select(wide, i32(4), i32(2)));
    stack.push(extendU(shrU32(error, 16)));
    stack.commit();
  });
  f.if(and32(wrap(trap.value), 1), () => put(f, 'pendingDebug', Dr6.bt));
  f.return(i32(0));
});

const or64 = (x: Value, bits: number): Value => add(and(x, ~bits), bits);
