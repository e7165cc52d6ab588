/**
 * Which model-specific registers KVM serves: those that are a CPU's state.
 * Accesses to all others leave to the machine, so a guest finds the same
 * registers, with the same values, under every accelerator.
 *
 * Spec: "The Definitive KVM API Documentation", KVM_X86_SET_MSR_FILTER,
 * KVM_CAP_X86_USER_SPACE_MSR. The registers of the x2APIC cannot be filtered;
 * without an interrupt controller in the kernel they leave as unknown ones.
 */
import type { KvmPointer, KvmVmPort } from '../port.ts';
import {
  CapX86,
  EnableCap,
  KvmX86,
  MSR_FILTER_DEFAULT_DENY,
  MSR_FILTER_RANGES,
  MsrExitReason,
  MsrFilter,
  MsrFilterRange,
} from './abi-x86.ts';
import { Kvm } from '../abi.ts';

/** Registers of a bitmap: more are another range. */
const SPAN = 0x800;

interface Range {
  readonly base: number;
  readonly count: number;
  readonly bitmap: Uint8Array;
}

/** As few ranges as can be, with a bit for each register that is allowed. */
export function filterRanges(allowed: readonly number[]): Range[] {
  const sorted = [...new Set(allowed)].sort((a, b) => a - b);
  const ranges: Range[] = [];
  for (let n = 0; n < sorted.length; ) {
    const base = sorted[n];
    const inside = sorted.filter((index) => index >= base && index < base + SPAN);
    const count = inside[inside.length - 1] - base + 1;
    // Long enough to have a place of its own in memory.
    const bitmap = new Uint8Array(SPAN / 8);
    for (const index of inside) bitmap[(index - base) >> 3] |= 1 << ((index - base) & 7);
    ranges.push({ base, count, bitmap });
    n += inside.length;
  }
  return ranges;
}

export function enableCap(vm: KvmVmPort, capability: number, argument: number): void {
  const request = new DataView(new ArrayBuffer(EnableCap.size));
  request.setUint32(EnableCap.cap, capability, true);
  request.setBigUint64(EnableCap.args, BigInt(argument), true);
  vm.ioctl(Kvm.enableCap, new Uint8Array(request.buffer));
}

/** False where this KVM cannot filter: it then serves what it knows. */
export function filterMsrs(vm: KvmVmPort, allowed: readonly number[]): boolean {
  const ranges = filterRanges(allowed);
  const has = (capability: number) => vm.checkExtension(capability) > 0;
  if (!has(CapX86.userSpaceMsr)) return false;
  const { inval, unknown, filter } = MsrExitReason;
  const filters = has(CapX86.msrFilter) && ranges.length <= MSR_FILTER_RANGES;
  enableCap(vm, CapX86.userSpaceMsr, inval | unknown | (filters ? filter : 0));
  if (!filters) return false;
  const request = new DataView(new ArrayBuffer(MsrFilter.size));
  request.setUint32(0, MSR_FILTER_DEFAULT_DENY, true);
  const pointers: KvmPointer[] = ranges.map(({ base, count, bitmap }, n) => {
    const at = MsrFilter.ranges + n * MsrFilter.range;
    request.setUint32(at + MsrFilter.flags, MsrFilterRange.read | MsrFilterRange.write, true);
    request.setUint32(at + MsrFilter.nmsrs, count, true);
    request.setUint32(at + MsrFilter.base, base, true);
    return { at: at + MsrFilter.bitmap, bytes: bitmap };
  });
  vm.ioctl(KvmX86.setMsrFilter, new Uint8Array(request.buffer), pointers);
  return true;
}
