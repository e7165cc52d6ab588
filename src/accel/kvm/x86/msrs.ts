/**
 * Model-specific registers that are a CPU's state, to and from kvm_msrs.
 * EFER and the bases of FS and GS go with kvm_sregs.
 *
 * Spec: "The Definitive KVM API Documentation", KVM_GET_MSRS; SDM volume 4,
 * "Architectural MSRs".
 *
 * All other registers are the machine's: `FILTERED` accesses to them leave to
 * user space, so that a guest finds the same ones under every accelerator.
 */
import type { StateAccess } from '../../../isa/isa.ts';
import { Msr, Msrs } from './abi-x86.ts';

/** A register, and the field of the state that it is. */
export interface MsrField {
  readonly index: number;
  readonly field: string;
  readonly at: number;
}
const one = (index: number, field: string, at = 0): MsrField => ({ index, field, at });

export const MSR_FIELDS: readonly MsrField[] = [
  one(Msr.sysenterCs, 'sysenterCs'),
  one(Msr.sysenterEsp, 'sysenterEsp'),
  one(Msr.sysenterEip, 'sysenterEip'),
  one(Msr.star, 'star'),
  one(Msr.lstar, 'lstar'),
  one(Msr.cstar, 'cstar'),
  one(Msr.fmask, 'fmask'),
  one(Msr.kernelGsBase, 'kernelGsBase'),
  one(Msr.tscAux, 'tscAux'),
  one(Msr.pat, 'pat'),
  one(Msr.miscEnable, 'miscEnable'),
  one(Msr.xss, 'xss'),
  one(Msr.pkrs, 'pkrs'),
  one(Msr.mtrrDefType, 'mtrrDefType'),
  ...Msr.mtrrFixed.map((index, n) => one(index, 'mtrrFixed', n)),
  ...Array.from({ length: 8 }, (_, n) => [
    one(Msr.mtrrPhysBase0 + 2 * n, 'mtrrBase', n),
    one(Msr.mtrrPhysBase0 + 2 * n + 1, 'mtrrMask', n),
  ]).flat(),
  // What software has added to the counter; the counter itself is time.ts's.
  one(Msr.tscAdjust, 'tscOffset'),
];

/** Registers that KVM may serve itself: the state's, and those that go other ways. */
export const KVM_SERVES: readonly number[] = [
  ...MSR_FIELDS.map(({ index }) => index),
  Msr.tsc,
  Msr.efer,
  Msr.fsBase,
  Msr.gsBase,
];

export const msrBytes = (count: number): number => Msrs.header + count * Msrs.entry;

/** A request for these registers. */
export function listMsrs(indices: readonly number[], to: DataView): void {
  to.setUint32(0, indices.length, true);
  to.setUint32(4, 0, true);
  indices.forEach((index, n) => {
    to.setUint32(Msrs.header + n * Msrs.entry + Msrs.index, index, true);
    to.setUint32(Msrs.header + n * Msrs.entry + 4, 0, true);
  });
}
const dataAt = (n: number): number => Msrs.header + n * Msrs.entry + Msrs.data;

export function encodeMsrs(state: StateAccess, fields: readonly MsrField[], to: DataView): void {
  listMsrs(
    fields.map(({ index }) => index),
    to,
  );
  fields.forEach(({ field, at }, n) => {
    to.setBigUint64(dataAt(n), state.get64(field, at), true);
  });
}

export function decodeMsrs(from: DataView, fields: readonly MsrField[], state: StateAccess): void {
  fields.forEach(({ field, at }, n) => {
    state.set64(field, from.getBigUint64(dataAt(n), true), at);
  });
}
export const msrValue = (from: DataView, n: number): bigint => from.getBigUint64(dataAt(n), true);
export const setMsrValue = (to: DataView, n: number, value: bigint): void => to.setBigUint64(dataAt(n), value, true);
