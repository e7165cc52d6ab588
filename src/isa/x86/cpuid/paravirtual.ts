/**
 * What a hypervisor of KVM's kind offers its guests beside a processor: the
 * features of CPUID 40000001h, by QEMU's names.
 *
 * Spec: Linux documentation, "KVM CPUID bits".
 */

/** Bits of EAX, for those that are there. */
const BITS: ReadonlyMap<string, number> = new Map([
  ['kvm-nopiodelay', 1 << 1],
  ['kvmclock', 1 << 3],
  ['kvm-steal-time', 1 << 5],
  ['kvm-pv-eoi', 1 << 6],
  ['kvm-pv-unhalt', 1 << 7],
  ['kvm-pv-ipi', 1 << 11],
  ['kvmclock-stable-bit', 1 << 24],
]);

/** All that QEMU has a name for. */
export const PARAVIRTUAL_NAMES: ReadonlySet<string> = new Set([
  ...BITS.keys(),
  ...['kvm-mmu', 'kvm-asyncpf', 'kvm-pv-tlb-flush', 'kvm-asyncpf-vmexit', 'kvm-poll-control'],
  ...['kvm-pv-sched-yield', 'kvm-asyncpf-int', 'kvm-msi-ext-dest-id', 'kvm-hint-dedicated'],
]);

/** Of what QEMU shows where nothing is said, what there is. The stable bit says that no processor's counter lags. */
export const PARAVIRTUAL_USUAL: readonly string[] = [
  'kvmclock',
  'kvmclock-stable-bit',
  'kvm-nopiodelay',
  'kvm-steal-time',
  'kvm-pv-eoi',
];

export const isParavirtual = (name: string): boolean => BITS.has(name);

export function paravirtualBits(features: ReadonlySet<string>): number {
  let bits = 0;
  for (const [name, bit] of BITS) if (features.has(name)) bits |= bit;
  return bits;
}
