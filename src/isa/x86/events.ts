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
  eq32,
  eqz,
  eqz32,
  i32,
  i64,
  ltS32,
  ne,
  ne32,
  or32,
  select,
  type Value,
  xor,
} from '../../ir/value.ts';
import { acknowledge } from '../isa.ts';
import { codeBreakpoints, noteDebug } from './debug.ts';
import { faultNumber } from './fault.ts';
import { get, put } from './field.ts';
import { deliver, raise, Source } from './interrupt.ts';
import { takeSmi } from './smm.ts';
import { Dr6, Dr7, Eflags, Line, Shadow, Vector } from './state.ts';

const flag = (mask: number): Value => ne32(and32(get('eflags'), mask), 0);

/** wakes(): i32 whether HLT ends. */
export const wakes = define('wakes', [], 'i32', (f) => {
  const lines = f.let(get('lines'));
  const maskable = and32(ne32(and32(lines, Line.intr), 0), flag(Eflags.if));
  const nmi = and32(ne32(and32(lines, Line.nmi), 0), eqz32(get('nmiBlocked')));
  const smi = and32(ne32(and32(lines, Line.smi), 0), eqz32(get('inSmm')));
  f.return(or32(or32(maskable, or32(nmi, smi)), or32(ne32(get('pendingDebug'), 0), ne32(get('accepted'), 0))));
});

/** takeInterrupt(): 0 none, 1 a handler was entered, 2 after the next instruction, 3 none before the next instruction. */
export const takeInterrupt = define('take_interrupt', [], 'i32', (f) => {
  const pc = f.let(get('pc'));
  const loaded = f.let(get('shadow'));
  const held = eqz(xor(get('heldPc'), pc));
  const shadow = f.let(select(loaded, loaded, held));
  put(f, 'shadow', Shadow.none);
  put(f, 'heldPc', i64(-1));
  // Traps of the instruction before.
  const trapped = f.let(get('pendingDebug'));
  f.if(trapped, () => {
    f.if(
      eq32(shadow, Shadow.stack),
      () => put(f, 'pendingDebug', and32(trapped, ~Dr6.bs)),
      () => {
        noteDebug(f, trapped);
        f.call(raise, i32(faultNumber(Vector.db)), i64(0), pc);
        f.return(i32(1));
      },
    );
  });
  const accepted = f.let(get('accepted'));
  f.if(accepted, () => {
    put(f, 'accepted', 0);
    interrupt(and32(accepted, 0xff));
  });
  const lines = f.let(get('lines'));
  f.if(eqz32(shadow), () => {
    f.if(and32(ne32(and32(lines, Line.smi), 0), eqz32(get('inSmm'))), () => {
      put(f, 'lines', and32(get('lines'), ~Line.smi));
      f.call(takeSmi);
      f.return(i32(1));
    });
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
  const stepped = f.let(flag(Eflags.tf));
  f.if(stepped, () => put(f, 'pendingDebug', or32(get('pendingDebug'), Dr6.bs)));
  f.if(ne(and(get('dr7'), Dr7.enabled), 0), () => {
    const hit = f.let(f.call(codeBreakpoints, pc));
    f.if(hit, () => {
      // As AMD's processors do, and QEMU: a load of SS does not hold these back.
      f.if(eqz32(flag(Eflags.rf)), () => {
        noteDebug(f, hit);
        f.call(raise, i32(faultNumber(Vector.db)), i64(0), pc);
        f.return(i32(1));
      });
      // RF stays until pc has left the breakpoint: a repeated string instruction is one instruction.
      f.return(i32(2));
    });
    put(f, 'eflags', and32(get('eflags'), ~Eflags.rf));
    f.return(i32(2));
  });
  // RF lasts for one instruction.
  put(f, 'eflags', and32(get('eflags'), ~Eflags.rf));
  f.if(stepped, () => f.return(i32(2)));
  f.if(and32(ne32(shadow, 0), ne32(lines, 0)), () => f.return(i32(2)));
  // The shadow is over: nobody may come in between.
  f.if(shadow, () => f.return(i32(3)));
  f.return(i32(0));

  function interrupt(vector: Value): void {
    put(f, 'waiting', 0);
    const fault = f.let(f.call(deliver, vector, i32(Source.external), pc));
    f.if(fault, () => f.call(raise, fault, get('faultAddress'), pc));
    f.return(i32(1));
  }
});
