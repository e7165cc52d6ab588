/** What has happened under KVM, in numbers: `info kvm`, QMP and the API show them. */
import type { StatisticKind } from '../accel/kvm/binary-statistics.ts';
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

/** A counter of the kernel's, as QMP's query-stats has it. */
export interface KernelCounter {
  readonly name: string;
  readonly type: StatisticKind['type'];
  readonly unit: StatisticKind['unit'];
  readonly base: 2 | 10;
  readonly exponent: number;
  readonly bucketSize: number | undefined;
  readonly values: readonly bigint[];
}

/** The kernel's counters of the VM, or of a vCPU; undefined where KVM has not been used or gives none. */
export function kernelCounters(accel: SwitchingAccelerator, vcpu?: number): readonly KernelCounter[] | undefined {
  const kvm = accel.find('kvm');
  const counters = kvm instanceof KvmAccelerator ? kvm.counters(vcpu) : undefined;
  const values = counters?.read();
  return counters?.kinds.map(({ name, type, unit, base, exponent, bucketSize }, n) => ({
    ...{ name, type, unit, base, exponent, bucketSize },
    values: values?.[n] ?? [],
  }));
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
