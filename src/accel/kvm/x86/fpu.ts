/**
 * x87, SSE, AVX and protection keys: a CPU's state to and from the XSAVE area
 * of KVM_GET_XSAVE and KVM_SET_XSAVE.
 *
 * Spec: SDM volume 1, "XSAVE Area" (standard format), "FXSAVE Area" in 64-bit
 * layout; "The Definitive KVM API Documentation", KVM_GET_XSAVE.
 *
 * Departure: that layout has no place for the selectors of the last x87
 * instruction and its operand. They stay in the state, and are kept as long as
 * the pointers that they belong to.
 */
import type { StateAccess } from '../../../isa/isa.ts';
import { Component, Xsave } from './abi-x86.ts';

const TOP_SHIFT = 11;
const TOP = 7 << TOP_SHIFT;
const FCW_INITIAL = 0x37f;
const MXCSR_INITIAL = 0x1f80;
const EMPTY = 3;

/** What the guest's processor has of it, and where the area has what CPUID places. */
export interface XsaveShape {
  /** Components by their bits of XCR0. */
  readonly components: number;
  /** Offset of PKRU; undefined where there is none. */
  readonly pkru: number | undefined;
}

/** One bit a register, which says that it is not empty; of two bits each. */
function shortTags(tags: number): number {
  let short = 0;
  for (let n = 0; n < 8; n++) if (((tags >> (2 * n)) & 3) !== EMPTY) short |= 1 << n;
  return short;
}
function fullTags(short: number): number {
  let tags = 0;
  for (let n = 0; n < 8; n++) if (!(short & (1 << n))) tags |= EMPTY << (2 * n);
  return tags;
}

export function encodeXsave(state: StateAccess, to: DataView, { components, pkru }: XsaveShape): void {
  const top = state.get32('ftop') & 7;
  to.setUint16(Xsave.fcw, state.get32('fcw'), true);
  to.setUint16(Xsave.fsw, (state.get32('fsw') & ~TOP) | (top << TOP_SHIFT), true);
  to.setUint16(Xsave.ftw, shortTags(state.get32('ftag')), true);
  to.setUint16(Xsave.fop, state.get32('fop'), true);
  to.setBigUint64(Xsave.fip, state.get64('fip'), true);
  to.setBigUint64(Xsave.fdp, state.get64('fdp'), true);
  to.setUint32(Xsave.mxcsr, state.get32('mxcsr'), true);
  // The area has the registers as the stack counts them.
  for (let n = 0; n < 8; n++) {
    const physical = (top + n) & 7;
    to.setBigUint64(Xsave.st + n * 16, state.get64('fpr', physical * 2), true);
    to.setBigUint64(Xsave.st + n * 16 + 8, state.get64('fpr', physical * 2 + 1) & 0xffffn, true);
  }
  for (let n = 0; n < 32; n++) {
    to.setBigUint64(Xsave.xmm + n * 8, state.get64('xmm', n), true);
    to.setBigUint64(Xsave.ymmh + n * 8, components & Component.avx ? state.get64('ymmh', n) : 0n, true);
  }
  let present = (components & (Component.x87 | Component.sse | Component.avx)) | Component.x87 | Component.sse;
  if (pkru !== undefined) {
    to.setUint32(pkru, state.get32('pkru'), true);
    present |= Component.pkru;
  }
  to.setBigUint64(Xsave.xstateBv, BigInt(present), true);
  to.setBigUint64(Xsave.xcompBv, 0n, true);
}

/** Components that the area says are in their initial state have no values in it on some kernels. */
export function decodeXsave(from: DataView, state: StateAccess, { components, pkru }: XsaveShape): void {
  const present = Number(from.getBigUint64(Xsave.xstateBv, true) & 0xffff_ffffn);
  if (present & Component.x87) decodeX87(from, state);
  else resetX87(state);
  const vectors = present & (Component.sse | Component.avx);
  state.set32('mxcsr', vectors ? from.getUint32(Xsave.mxcsr, true) : MXCSR_INITIAL);
  for (let n = 0; n < 32; n++) {
    state.set64('xmm', present & Component.sse ? from.getBigUint64(Xsave.xmm + n * 8, true) : 0n, n);
    if (components & Component.avx)
      state.set64('ymmh', present & Component.avx ? from.getBigUint64(Xsave.ymmh + n * 8, true) : 0n, n);
  }
  if (pkru !== undefined) state.set32('pkru', present & Component.pkru ? from.getUint32(pkru, true) : 0);
}

function decodeX87(from: DataView, state: StateAccess): void {
  const status = from.getUint16(Xsave.fsw, true);
  const top = (status & TOP) >> TOP_SHIFT;
  state.set32('fcw', from.getUint16(Xsave.fcw, true));
  state.set32('fsw', status & ~TOP);
  state.set32('ftop', top);
  state.set32('ftag', fullTags(from.getUint16(Xsave.ftw, true)));
  state.set32('fop', from.getUint16(Xsave.fop, true) & 0x7ff);
  setPointer(state, 'fip', 'fcs', from.getBigUint64(Xsave.fip, true));
  setPointer(state, 'fdp', 'fds', from.getBigUint64(Xsave.fdp, true));
  for (let n = 0; n < 8; n++) {
    const physical = (top + n) & 7;
    state.set64('fpr', from.getBigUint64(Xsave.st + n * 16, true), physical * 2);
    state.set64('fpr', from.getBigUint64(Xsave.st + n * 16 + 8, true) & 0xffffn, physical * 2 + 1);
  }
}

function setPointer(state: StateAccess, offset: 'fip' | 'fdp', selector: 'fcs' | 'fds', value: bigint): void {
  if (state.get64(offset) === value) return;
  state.set64(offset, value);
  state.set32(selector, 0);
}

function resetX87(state: StateAccess): void {
  state.set32('fcw', FCW_INITIAL);
  state.set32('ftag', 0xffff);
  for (const name of ['fsw', 'ftop', 'fop', 'fcs', 'fds']) state.set32(name, 0);
  for (const name of ['fip', 'fdp']) state.set64(name, 0n);
  for (let n = 0; n < 16; n++) state.set64('fpr', 0n, n);
}
