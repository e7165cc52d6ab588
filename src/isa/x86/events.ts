/**
 * What happens between two instructions: interrupts, single steps,
 * breakpoints on code, waking from HLT.
 *
 * Spec: SDM volume 3, "Priority Among Concurrent Events", "Masking Maskable
 * Hardware Interrupts", "Debug Exceptions".
 */
import { define } from '../../ir/code.ts';
import {
  and,
  and32,
  eq,
  eqz32,
  extendU,
  i32,
  i64,
  ltS32,
  ne,
  ne32,
  or,
  or32,
  shrU,
  type Value,
  wrap,
} from '../../ir/value.ts';
import { acknowledge } from '../isa.ts';
import { faultNumber } from './fault.ts';
import { get, put } from './field.ts';
import { deliver, raise, Source } from './interrupt.ts';
import { Eflags, Line, Vector } from './state.ts';

const flag = (mask: number): Value => ne32(and32(get('eflags'), mask), 0);

/** wakes(): i32 whether HLT ends. */
export const wakes = define('wakes', [], 'i32', (f) => {
  const lines = f.let(get('lines'));
  const maskable = and32(ne32(and32(lines, Line.intr), 0), flag(Eflags.if));
  const nmi = and32(ne32(and32(lines, Line.nmi), 0), eqz32(get('nmiBlocked')));
  f.return(or32(maskable, nmi));
});

/** DR6 bits of the enabled breakpoints on code at `pc`, or 0. */
const codeBreakpoints = define('code_breakpoints', ['i64'], 'i32', (f, pc) => {
  const hit = f.var(i64(0));
  const dr7 = f.let(get('dr7'));
  for (let n = 0; n < 4; n++) {
    const enabled = ne(and(shrU(dr7, 2 * n), 3), 0);
    const onCode = eq(and(shrU(dr7, 16 + 4 * n), 3), 0);
    f.if(and32(and32(enabled, onCode), eq(get('dr', n * 8), pc)), () => hit.set(or(hit.value, 1 << n)));
  }
  f.return(wrap(hit.value));
});

/** takeInterrupt(): 0 none, 1 a handler was entered, 2 after the next instruction. */
export const takeInterrupt = define('take_interrupt', [], 'i32', (f) => {
  const pc = f.let(get('pc'));
  // Traps of the instruction before.
  const trapped = f.let(get('pendingDebug'));
  f.if(trapped, () => {
    put(f, 'pendingDebug', 0);
    put(f, 'dr6', or(get('dr6'), and(extendU(trapped), 0xe00f)));
    f.call(raise, i32(faultNumber(Vector.db)), i64(0), pc);
    f.return(i32(1));
  });
  const lines = f.let(get('lines'));
  const shadow = f.let(get('shadow'));
  put(f, 'shadow', 0);
  f.if(eqz32(shadow), () => {
    f.if(and32(ne32(and32(lines, Line.nmi), 0), eqz32(get('nmiBlocked'))), () => {
      put(f, 'lines', and32(get('lines'), ~Line.nmi));
      put(f, 'nmiBlocked', 1);
      interrupt(i32(Vector.nmi));
    });
    f.if(and32(ne32(and32(lines, Line.intr), 0), flag(Eflags.if)), () => {
      const vector = f.let(f.call(acknowledge));
      f.if(eqz32(ltS32(vector, 0)), () => interrupt(vector));
    });
  });
  f.if(ne(and(get('dr7'), 0xff), 0), () => {
    const hit = f.let(f.call(codeBreakpoints, pc));
    f.if(and32(ne32(hit, 0), eqz32(flag(Eflags.rf))), () => {
      put(f, 'dr6', or(get('dr6'), extendU(hit)));
      f.call(raise, i32(faultNumber(Vector.db)), i64(0), pc);
      f.return(i32(1));
    });
    put(f, 'eflags', and32(get('eflags'), ~Eflags.rf));
    f.if(flag(Eflags.tf), () => put(f, 'pendingDebug', SINGLE_STEP));
    f.return(i32(2));
  });
  f.if(flag(Eflags.tf), () => {
    put(f, 'pendingDebug', SINGLE_STEP);
    f.return(i32(2));
  });
  f.if(and32(ne32(shadow, 0), ne32(lines, 0)), () => f.return(i32(2)));
  f.return(i32(0));

  function interrupt(vector: Value): void {
    put(f, 'waiting', 0);
    const fault = f.let(f.call(deliver, vector, i32(Source.external), pc));
    f.if(fault, () => f.call(raise, fault, get('faultAddress'), pc));
    f.return(i32(1));
  }
});
/** DR6.BS */
const SINGLE_STEP = 0x4000;
