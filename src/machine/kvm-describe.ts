/** `info kvm`. */
import { KvmAccelerator } from '../accel/kvm/kvm.ts';
import type { SwitchingAccelerator } from '../accel/switching.ts';
import { kvmStatistics } from './kvm-statistics.ts';

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
  const kvm = accel.find('kvm');
  const rings = kvm instanceof KvmAccelerator ? kvm.rings : undefined;
  if (rings !== undefined) lines.push(`notifications of devices without an exit: ${rings}`);
  for (const { vcpu, entries, interrupted, exits, emulated } of statistics ?? []) {
    lines.push(`CPU #${vcpu}: ${entries} entries, ${interrupted} of them interrupted`);
    lines.push('  exits by reason:', ...table(exits, 20));
    if (Object.keys(emulated).length > 0)
      lines.push('  executed by the interpreter, by instruction:', ...table(emulated, 20));
  }
  return lines.join('\n');
}
