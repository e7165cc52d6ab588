/** What has happened under KVM, for people and programs: `info kvm`, QMP query-stats, the API. */
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

/** Lines of a table of counts, the highest first. */
function table(counts: Readonly<Record<string, number>>, most: number): string[] {
  const sorted = Object.entries(counts).sort(([, a], [, b]) => b - a);
  const lines = sorted.slice(0, most).map(([name, count]) => `    ${name}: ${count}`);
  if (sorted.length > most) lines.push(`    and ${sorted.length - most} more kinds`);
  return lines;
}

export function describeKvm(accel: SwitchingAccelerator): string {
  const statistics = kvmStatistics(accel);
  const enabled = accel.name === 'kvm';
  const lines = [`kvm support: ${enabled ? 'enabled' : 'disabled'}`, `accelerator: ${accel.name}`];
  const { switches, moves } = accel.counts;
  lines.push(`changes of accelerator: ${switches} on command, ${moves} because KVM could not execute the guest`);
  for (const { vcpu, entries, interrupted, exits, emulated } of statistics ?? []) {
    lines.push(`CPU #${vcpu}: ${entries} entries, ${interrupted} of them interrupted`);
    lines.push('  exits by reason:', ...table(exits, 20));
    if (Object.keys(emulated).length > 0)
      lines.push('  executed by the interpreter, by instruction:', ...table(emulated, 20));
  }
  return lines.join('\n');
}
