/**
 * Debug registers to and from kvm_debugregs, and XCR0 to and from kvm_xcrs.
 *
 * Spec: "The Definitive KVM API Documentation", KVM_GET_DEBUGREGS,
 * KVM_GET_XCRS.
 */
import type { StateAccess } from '../../../isa/isa.ts';
import { Dr6 } from '../../../isa/x86/state.ts';
import { DebugRegs, Xcrs } from './abi-x86.ts';

const M32 = 0xffff_ffffn;

export function encodeDebugRegs(state: StateAccess, to: DataView): void {
  for (let n = 0; n < 4; n++) to.setBigUint64(DebugRegs.db + n * 8, state.get64('dr', n), true);
  to.setBigUint64(DebugRegs.dr6, state.get64('dr6') & M32, true);
  to.setBigUint64(DebugRegs.dr7, state.get64('dr7') & M32, true);
  to.setBigUint64(DebugRegs.flags, 0n, true);
}

/** Bits of DR6 that our processor has not, and that count downwards, read as 1. */
export function decodeDebugRegs(from: DataView, state: StateAccess): void {
  for (let n = 0; n < 4; n++) state.set64('dr', from.getBigUint64(DebugRegs.db + n * 8, true), n);
  state.set64('dr6', (from.getBigUint64(DebugRegs.dr6, true) & M32) | BigInt(Dr6.ones));
  state.set64('dr7', from.getBigUint64(DebugRegs.dr7, true));
}

export function encodeXcrs(state: StateAccess, to: DataView): void {
  to.setUint32(Xcrs.nrXcrs, 1, true);
  to.setUint32(Xcrs.flags, 0, true);
  to.setUint32(Xcrs.xcr, 0, true);
  to.setBigUint64(Xcrs.xcr + 8, state.get64('xcr0'), true);
}

export function decodeXcrs(from: DataView, state: StateAccess): void {
  const count = Math.min(16, from.getUint32(Xcrs.nrXcrs, true));
  for (let n = 0; n < count; n++) {
    const at = Xcrs.xcr + n * Xcrs.value;
    if (from.getUint32(at, true) === 0) state.set64('xcr0', from.getBigUint64(at + 8, true));
  }
}
