/** What has happened under KVM, in numbers: `info kvm`, QMP and the API show them. */
import { KvmAccelerator } from '../accel/kvm/kvm.ts';
import type { SwitchingAccelerator } from '../accel/switching.ts';

/** Of one vCPU; all count up from the machine's start. */
export interface KvmStatistics {
  readonly vcpu: number;
  /** Entries into KVM, and those that a kick or the end of a slice ended. */
  readonly entries: number;
  readonly interrupted: number;
  /** Exits by reason. */
  readonly exits: Readonly<Record<string, number>>;
  /** What KVM could not execute and the interpreter did, by why: an instruction's bytes, or `a20`. */
  readonly emulated: Readonly<Record<string, number>>;
}

/** Undefined: KVM has not been used. */
export function kvmStatistics(accel: SwitchingAccelerator): readonly KvmStatistics[] | undefined {
  const kvm = accel.find('kvm');
  if (!(kvm instanceof KvmAccelerator)) return undefined;
  return kvm.vcpus.map(({ index, counts }) => ({
    vcpu: index,
    entries: counts.entries,
    interrupted: counts.interrupted,
    exits: Object.fromEntries(counts.reasons()),
    emulated: Object.fromEntries(counts.emulated),
  }));
}
