/** The PC boards by QEMU's names, and what they call themselves. */

export type PcKind = 'pc' | 'q35' | 'isapc' | 'microvm';

export interface PcName {
  readonly kind: PcKind;
  /** As `-M help` says it. */
  readonly about: string;
  /** SMBIOS product. */
  readonly product: string;
}

const I440FX = 'Standard PC (i440FX + PIIX, 1996)';
const Q35 = 'Standard PC (Q35 + ICH9, 2009)';

/** The names that `-M` takes; of the versioned ones all mean 7.2. */
export const PC_NAMES: Readonly<Record<string, PcName>> = {
  pc: { kind: 'pc', about: `${I440FX} (alias of pc-i440fx-7.2)`, product: I440FX },
  'pc-i440fx-7.2': { kind: 'pc', about: `${I440FX} (default)`, product: I440FX },
  q35: { kind: 'q35', about: `${Q35} (alias of pc-q35-7.2)`, product: Q35 },
  'pc-q35-7.2': { kind: 'q35', about: Q35, product: Q35 },
  isapc: { kind: 'isapc', about: 'ISA-only PC', product: 'ISA-only PC' },
  microvm: { kind: 'microvm', about: 'microvm (i386)', product: 'microvm' },
};

/** The version that SMBIOS tells. */
export const versionOf = (kind: PcKind): string =>
  kind === 'pc' ? 'pc-i440fx-7.2' : kind === 'q35' ? 'pc-q35-7.2' : kind;
