/**
 * Address translation and protection: Sv39, Sv48, Sv57 with Svadu, Svnapot,
 * Svpbmt, and PMP.
 *
 * Spec: RISC-V Privileged ISA 20240411, "Virtual Address Translation Process",
 * "Physical Memory Protection". PMP has a grain of 4 KiB, so that a page is
 * protected as a whole.
 */
import { define, type IrFunction } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import {
  add,
  add32,
  and,
  and32,
  eq,
  eq32,
  eqz,
  eqz32,
  extendU,
  geU,
  i32,
  i64,
  load,
  ltU,
  ltU32,
  mul,
  mul32,
  ne,
  ne32,
  not,
  or,
  or32,
  select,
  shl,
  shl32,
  shrS,
  shrU,
  sub,
  sub32,
  type Value,
  wrap,
} from '../../ir/value.ts';
import { get, put } from './field.ts';
import { Access, type PhysicalMemory } from '../isa.ts';
import { Mstatus, PRIV_M, PRIV_U } from './state.ts';

// Bits of a page-table entry.
const V = 1;
const R = 2;
const W = 4;
const X = 8;
const U = 16;
const G = 32;
const A = 64;
const D = 128;
const PBMT_SHIFT = 61;
const N_SHIFT = 63;
const RESERVED = 0x1fc0_0000_0000_0000n; // bits 60:54

/** `translate` reports a fault as a negative number: -1 - cause. */
const pageFault = (access: Value) => select(eq32(access, 2), i64(-13), select(eqz32(access), i64(-14), i64(-16)));
const accessFault = (access: Value) => select(eq32(access, 2), i64(-2), select(eqz32(access), i64(-6), i64(-8)));

export interface Mmu {
  /**
   * translate(va, access): guest-physical address, or -1 - cause. Loads and stores act in the mode that MPRV says.
   * Sets A and D as menvcfg.ADUE says.
   */
  readonly translate: IrFunction;
}

/** The functions for a machine's memory. */
export function mmu({ isMemory, isWritable, hostOf }: PhysicalMemory): Mmu {
  /** pmpAllows(pa, access, priv): i32. */
  const pmpAllows = define('pmp_allows', ['i64', 'i32', 'i32'], 'i32', (f, pa, access, priv) => {
    const n = f.var(i32(0));
    f.while(
      () => ltU32(n.value, get('pmpCount')),
      () => {
        const at = f.let(shl32(n.value, 3));
        f.if(and32(geU(pa, get('pmpLow', at)), ltU(pa, get('pmpHigh', at))), () => {
          const cfgWord = select(ltU32(n.value, 8), get('pmpcfg0'), get('pmpcfg2'));
          const cfg = f.let(wrap(shrU(cfgWord, and(extendU(at), 63))));
          f.if(and32(eq32(priv, PRIV_M), eqz32(and32(cfg, 0x80))), () => f.return(i32(1)));
          const bit = select(eq32(access, 2), i32(4), select(eqz32(access), i32(1), i32(2)));
          f.return(ne32(and32(cfg, bit), 0));
        });
        n.set(add32(n.value, 1));
      },
    );
    f.return(eq32(priv, PRIV_M));
  });

  const translate = define('translate', ['i64', 'i32'], 'i64', (f, va, access) => {
    const mpp = wrap(and(shrU(get('mstatus'), Mstatus.MPP), 3));
    const borrows = select(eq32(access, Access.fetch), i32(0), get('mprvOn'));
    const priv = f.let(select(borrows, mpp, get('priv')));
    const satp = f.let(get('satp'));
    const mode = f.let(wrap(shrU(satp, 60)));
    f.if(or32(eq32(priv, PRIV_M), eqz32(mode)), () => {
      f.if(eqz32(f.call(pmpAllows, va, access, priv)), () => f.return(accessFault(access)));
      f.if(ne(shrU(va, 56), 0), () => f.return(accessFault(access)));
      put(f, 'lastGlobal', 0);
      put(f, 'lastShift', 12);
      f.return(va);
    });
    const levels = f.let(sub32(mode, 5)); // 8, 9, 10: Sv39, Sv48, Sv57
    const vaBits = f.let(add32(mul32(levels, 9), 12));
    const spare = f.let(extendU(sub32(64, vaBits)));
    f.if(ne(shrS(shl(va, spare), spare), va), () => f.return(pageFault(access)));
    const table = f.var(shl(and(satp, 0xfff_ffff_ffffn), 12));
    const level = f.var(sub32(levels, 1));
    const menvcfg = f.let(get('menvcfg'));
    const mstatus = f.let(get('mstatus'));
    f.loop((next) => {
      const shift = f.let(extendU(add32(mul32(level.value, 9), 12)));
      const at = f.let(add(table.value, shl(and(shrU(va, shift), 511), 3)));
      f.if(eqz32(isMemory(at)), () => f.return(accessFault(access)));
      f.if(eqz32(f.call(pmpAllows, at, i32(Access.load), i32(1))), () => f.return(accessFault(access)));
      const host = f.let(hostOf(at));
      const pte = f.let(load(op.I64_LOAD, host));
      f.if(eqz(and(pte, V)), () => f.return(pageFault(access)));
      f.if(eq(and(pte, R | W), W), () => f.return(pageFault(access)));
      f.if(ne(and(pte, RESERVED), 0), () => f.return(pageFault(access)));
      const memoryType = f.let(and(shrU(pte, PBMT_SHIFT), 3));
      const ppn = f.let(and(shrU(pte, 10), 0xfff_ffff_ffffn));
      f.if(eqz(and(pte, R | X)), () => {
        // A pointer to the next level: D, A, U, N and PBMT are reserved.
        f.if(ne(or(and(pte, D | A | U), shrU(pte, PBMT_SHIFT)), 0), () => f.return(pageFault(access)));
        f.if(eqz32(level.value), () => f.return(pageFault(access)));
        table.set(shl(ppn, 12));
        level.set(sub32(level.value, 1));
        f.br(next);
      });
      // A leaf.
      f.if(or32(eq(memoryType, 3), and32(ne(memoryType, 0), eqz(and(shrU(menvcfg, 62), 1)))), () =>
        f.return(pageFault(access)),
      );
      const user = f.let(ne(and(pte, U), 0));
      f.if(
        eq32(priv, PRIV_U),
        () => f.if(eqz32(user), () => f.return(pageFault(access))),
        () =>
          f.if(user, () =>
            // Supervisors never execute user pages, and touch them only with SUM.
            f.if(or32(eq32(access, 2), eqz(and(shrU(mstatus, Mstatus.SUM), 1))), () => f.return(pageFault(access))),
          ),
      );
      const readable = or(and(pte, R), and(shrU(and(pte, X), 2), and(shrU(mstatus, Mstatus.MXR - 1), R)));
      const needed = f.let(select(eq32(access, 2), and(pte, X), select(eqz32(access), readable, and(pte, W))));
      f.if(eqz(needed), () => f.return(pageFault(access)));
      // Superpages are aligned; a NAPOT page is 16 small ones at the last level.
      const low = f.let(sub(shl(1, mul(extendU(level.value), 9)), 1));
      f.if(ne(and(ppn, low), 0), () => f.return(pageFault(access)));
      const napot = f.let(shrU(pte, N_SHIFT));
      f.if(and32(ne(napot, 0), or32(ne32(level.value, 0), ne(and(ppn, 15), 8))), () => f.return(pageFault(access)));
      const missing = f.let(and(select(eq32(access, 1), i64(A | D), i64(A)), not(pte)));
      f.if(ne(missing, 0), () => {
        f.if(eqz(and(shrU(menvcfg, 61), 1)), () => f.return(pageFault(access)));
        f.if(eqz32(f.call(pmpAllows, at, i32(Access.store), i32(1))), () => f.return(accessFault(access)));
        f.if(eqz32(isWritable(at)), () => f.return(accessFault(access)));
        f.store(op.I64_STORE, host, or(pte, missing));
      });
      const offsetBits = f.let(select(ne(napot, 0), i64(0xffff), sub(shl(1, shift), 1)));
      const base = f.let(shl(select(ne(napot, 0), and(ppn, -16), ppn), 12));
      const pa = f.let(or(and(base, not(offsetBits)), and(va, offsetBits)));
      f.if(eqz32(f.call(pmpAllows, pa, access, priv)), () => f.return(accessFault(access)));
      put(f, 'lastGlobal', ne(and(pte, G), 0));
      put(f, 'lastShift', select(ne(napot, 0), i32(16), wrap(shift)));
      f.return(pa);
    });
    f.return(pageFault(access));
  });

  return { translate };
}
