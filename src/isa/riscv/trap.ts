/**
 * Traps: entering a handler, returning from one, choosing an interrupt, and
 * what follows from a change of mode.
 *
 * Spec: RISC-V Privileged ISA 20240411, "Privilege and Global
 * Interrupt-Enable Stack", "Trap-Return Instructions", "Machine Interrupt
 * (mip and mie) Registers".
 */
import { define } from '../../ir/code.ts';
import {
  add,
  and,
  and32,
  eq,
  eq32,
  eqz,
  extendU,
  i32,
  i64,
  ltS,
  ltU32,
  ne,
  ne32,
  not,
  or,
  or32,
  select,
  shl,
  shl32,
  shrU,
  type Value,
  wrap,
} from '../../ir/value.ts';
import { get, put } from './field.ts';
import { tlbFlush } from '../isa.ts';
import { Mstatus, PRIV_M, PRIV_S, PRIV_U, REGIME_M, REGIME_S, REGIME_S_SUM, REGIME_U } from './state.ts';

const bit = (word: Value, n: number) => and(shrU(word, n), 1);

/** Recomputes what is derived from mstatus, frm and fflags: floating-point state. */
export const updateFloat = define('update_float', [], undefined, (f) => {
  const fs = f.let(wrap(and(shrU(get('mstatus'), Mstatus.FS), 3)));
  put(f, 'fpOn', ne32(fs, 0));
  put(f, 'fpDirty', eq32(fs, 3));
  put(f, 'fpFast', and32(and32(get('fflags'), 1), eq32(get('frm'), 0)));
});

/** Recomputes the regime after a change of mode or mstatus. */
export const updateRegime = define('update_regime', [], undefined, (f) => {
  const mstatus = f.let(get('mstatus'));
  const priv = f.let(get('priv'));
  // What translates M-mode's data accesses, if anything: MPP's mode, with or without SUM.
  const mpp = f.let(wrap(and(shrU(mstatus, Mstatus.MPP), 3)));
  const borrowed = and32(and32(eq32(priv, PRIV_M), wrap(bit(mstatus, Mstatus.MPRV))), ne32(mpp, PRIV_M));
  const kind = or32(i32(1), or32(shl32(mpp, 1), shl32(wrap(bit(mstatus, Mstatus.SUM)), 3)));
  const mprv = f.let(select(borrowed, kind, i32(0)));
  f.if(ne32(mprv, get('mprvOn')), () => {
    put(f, 'mprvOn', mprv);
    f.call(tlbFlush, i32(0));
  });
  const supervisor = select(wrap(bit(mstatus, Mstatus.SUM)), i32(REGIME_S_SUM), i32(REGIME_S));
  put(f, 'regime', select(eq32(priv, PRIV_M), i32(REGIME_M), select(eq32(priv, PRIV_U), i32(REGIME_U), supervisor)));
});

/** mip as software sees it. */
export const pendingBits = (): Value => or(get('mip'), extendU(get('lines')));

const replace = (word: Value, shift: number, mask: number, value: Value): Value =>
  or(and(word, not(shl(i64(mask), shift))), shl(value, shift));

/**
 * trap(cause, tval, pc): enters the handler; the top bit of cause says interrupt.
 * The new pc stands in the state.
 */
export const trap = define('trap', ['i64', 'i64', 'i64'], undefined, (f, cause, tval, pc) => {
  const priv = f.let(get('priv'));
  const interrupt = f.let(ltS(cause, 0));
  const delegation = select(interrupt, get('mideleg'), get('medeleg'));
  const delegated = wrap(and(shrU(delegation, and(cause, 63)), 1));
  const mstatus = f.let(get('mstatus'));
  const priv64 = f.let(extendU(priv));
  const vector = (tvec: Value) =>
    add(and(tvec, -4), select(and32(interrupt, wrap(and(tvec, 1))), shl(and(cause, 63), 2), i64(0)));
  f.if(
    and32(delegated, ltU32(priv, PRIV_M)),
    () => {
      put(f, 'scause', cause);
      put(f, 'stval', tval);
      put(f, 'sepc', pc);
      let s: Value = replace(mstatus, Mstatus.SPIE, 1, bit(mstatus, Mstatus.SIE));
      s = replace(s, Mstatus.SIE, 1, i64(0));
      s = replace(s, Mstatus.SPP, 1, and(priv64, 1));
      put(f, 'mstatus', s);
      put(f, 'priv', PRIV_S);
      put(f, 'pc', vector(f.let(get('stvec'))));
    },
    () => {
      put(f, 'mcause', cause);
      put(f, 'mtval', tval);
      put(f, 'mepc', pc);
      let s: Value = replace(mstatus, Mstatus.MPIE, 1, bit(mstatus, Mstatus.MIE));
      s = replace(s, Mstatus.MIE, 1, i64(0));
      s = replace(s, Mstatus.MPP, 3, priv64);
      put(f, 'mstatus', s);
      put(f, 'priv', PRIV_M);
      put(f, 'pc', vector(f.let(get('mtvec'))));
    },
  );
  put(f, 'reservationValid', 0);
  put(f, 'waiting', 0);
  f.call(updateRegime);
});

/** sret(): returns the pc to go on at. */
export const sret = define('sret', [], 'i64', (f) => {
  const mstatus = f.let(get('mstatus'));
  const to = f.let(bit(mstatus, Mstatus.SPP));
  let s: Value = replace(mstatus, Mstatus.SIE, 1, bit(mstatus, Mstatus.SPIE));
  s = replace(s, Mstatus.SPIE, 1, i64(1));
  s = replace(s, Mstatus.SPP, 1, i64(0));
  s = replace(s, Mstatus.MPRV, 1, i64(0));
  put(f, 'mstatus', s);
  put(f, 'priv', wrap(to));
  put(f, 'reservationValid', 0);
  f.call(updateRegime);
  f.return(get('sepc'));
});

/** mret(): returns the pc to go on at. */
export const mret = define('mret', [], 'i64', (f) => {
  const mstatus = f.let(get('mstatus'));
  const to = f.let(and(shrU(mstatus, Mstatus.MPP), 3));
  let s: Value = replace(mstatus, Mstatus.MIE, 1, bit(mstatus, Mstatus.MPIE));
  s = replace(s, Mstatus.MPIE, 1, i64(1));
  s = replace(s, Mstatus.MPP, 3, i64(0));
  s = select(eq(to, PRIV_M), s, replace(f.let(s), Mstatus.MPRV, 1, i64(0)));
  put(f, 'mstatus', s);
  put(f, 'priv', wrap(to));
  put(f, 'reservationValid', 0);
  f.call(updateRegime);
  f.return(get('mepc'));
});

/** Interrupts by falling priority. Spec: "Machine Interrupt (mip and mie) Registers". */
const PRIORITY = [11, 3, 7, 9, 1, 5];

/** takeInterrupt(): enters the handler of the interrupt to be taken now, if there is one; i32 whether. */
export const takeInterrupt = define('take_interrupt', [], 'i32', (f) => {
  const pending = f.let(and(pendingBits(), get('mie')));
  f.if(eqz(pending), () => f.return(i32(0)));
  const mideleg = f.let(get('mideleg'));
  const mstatus = f.let(get('mstatus'));
  const priv = f.let(get('priv'));
  const take = (set: Value) => {
    for (const n of PRIORITY) {
      f.if(wrap(and(shrU(set, n), 1)), () => {
        f.call(trap, i64(-(1n << 63n) + BigInt(n)), i64(0), get('pc'));
        f.return(i32(1));
      });
    }
  };
  const machine = f.let(and(pending, not(mideleg)));
  const machineOn = or32(ltU32(priv, PRIV_M), wrap(bit(mstatus, Mstatus.MIE)));
  f.if(and32(ne(machine, 0), machineOn), () => take(machine));
  const supervisor = f.let(and(pending, mideleg));
  const supervisorOn = or32(ltU32(priv, PRIV_S), and32(eq32(priv, PRIV_S), wrap(bit(mstatus, Mstatus.SIE))));
  f.if(and32(ne(supervisor, 0), supervisorOn), () => take(supervisor));
  f.return(i32(0));
});

/** wakes(): i32 whether WFI ends: an interrupt is pending and enabled in mie, whatever mstatus says. */
export const wakes = define('wakes', [], 'i32', (f) => f.return(ne(and(pendingBits(), get('mie')), 0)));
