/**
 * CPUID as the guest sees it: a model's numbers, the features that are on, and
 * what depends on the state.
 *
 * Spec: SDM volume 2, "CPUID"; AMD64 Architecture Programmer's Manual volume
 * 3, appendix "Obtaining Processor Information Via the CPUID Instruction";
 * Linux, "KVM CPUID bits" and "Hypercall ABI" for the leaves from 4000_0000.
 */
import { paravirtualBits } from './paravirtual.ts';
import type { StateAccess } from '../../isa.ts';
import { Cr4 } from '../state.ts';
import { AMD_REPEATED, WORDS } from './features.ts';
import type { Model } from './models.ts';

/** EAX, EBX, ECX, EDX. */
export type Registers = [number, number, number, number];

export interface CpuidOptions {
  readonly model: Model;
  readonly features: ReadonlySet<string>;
  /** Processors of the machine, one thread each. */
  readonly cpus: number;
  readonly apicId: number;
  readonly physicalBits: number;
  /** Frequencies, Hz. */
  readonly tscHz: number;
  readonly apicHz: number;
  /** KVM's paravirtual features, by QEMU's names; undefined: none of KVM's leaves. */
  readonly paravirtual: ReadonlySet<string> | undefined;
}

/** Bits of XCR0 that the features bring, and the bytes of the XSAVE area they need. */
const X87_SSE = 3;
const AVX = 4;
const LEGACY_BYTES = 576;
const AVX_AT = 576;
const AVX_BYTES = 256;

const ascii = (text: string, at: number): number => {
  let value = 0;
  for (let n = 0; n < 4; n++) value |= (text.charCodeAt(at + n) || 0) << (8 * n);
  return value;
};

/** The feature bits of one word. */
function wordBits(index: number, features: ReadonlySet<string>): number {
  let bits = 0;
  WORDS[index].names.forEach((name, bit) => {
    if (name !== '-' && features.has(name)) bits |= 1 << bit;
  });
  return bits;
}

function featureRegisters(leaf: number, subleaf: number, features: ReadonlySet<string>): Registers {
  const registers: Registers = [0, 0, 0, 0];
  WORDS.forEach((word, n) => {
    if (word.leaf === leaf && word.subleaf === subleaf) registers[word.register] |= wordBits(n, features);
  });
  return registers;
}

/** Family, model and stepping as leaf 1 packs them. */
export function signature({ family, model, stepping }: Model): number {
  const base = Math.min(family, 15);
  const extended = family > 15 ? (family - 15) << 20 : 0;
  return extended | ((model >> 4) << 16) | (base << 8) | ((model & 15) << 4) | stepping;
}

/** A cache as leaf 4 (Intel) and 8000_001D (AMD) tell it. */
const CACHES = [
  { type: 1, level: 1, ways: 8, sets: 64 },
  { type: 2, level: 1, ways: 8, sets: 64 },
  { type: 3, level: 2, ways: 16, sets: 4096 },
  { type: 3, level: 3, ways: 16, sets: 16384 },
] as const;

function cache(index: number, cpus: number): Registers {
  const found = CACHES[index];
  if (!found) return [0, 0, 0, 0];
  const { type, level, ways, sets } = found;
  const sharing = level === 3 ? cpus - 1 : 0;
  const cores = Math.min(cpus - 1, 63);
  return [type | (level << 5) | (1 << 8) | (sharing << 14) | (cores << 26), ((ways - 1) << 22) | 63, sets - 1, 1];
}

const LAST_HYPERVISOR = 0x4000_0010;
const isAmd = ({ vendor }: Model): boolean => vendor === 'AuthenticAMD' || vendor === 'HygonGenuine';

/** CPUID of one processor. */
export function cpuid(options: CpuidOptions, state: StateAccess, leaf: number, subleaf: number): Registers {
  const { model, features } = options;
  const level = Math.max(model.level, features.has('xsave') ? 0xd : features.has('smep') ? 7 : 1);
  // What is beyond the last leaf of any kind is the last basic one on Intel's processors, and zeros on AMD's.
  const beyond = (): Registers => (isAmd(model) ? [0, 0, 0, 0] : basicLeaf(options, state, level, subleaf, level));
  if (leaf >= 0x8000_0000) return leaf > model.xlevel ? beyond() : extendedLeaf(options, leaf, subleaf);
  if (leaf >= 0x4000_0000 && features.has('hypervisor'))
    return leaf > LAST_HYPERVISOR ? beyond() : hypervisorLeaf(options, leaf);
  return leaf > level ? beyond() : basicLeaf(options, state, leaf, subleaf, level);
}

function basicLeaf(
  { model, features, cpus, apicId }: CpuidOptions,
  state: StateAccess,
  leaf: number,
  subleaf: number,
  level: number,
): Registers {
  const { vendor } = model;
  const cr4 = Number(state.get64('cr4') & 0xffff_ffffn);
  const xcr0 = Number(state.get64('xcr0') & 0xffn);
  switch (leaf) {
    case 0:
      return [level, ascii(vendor, 0), ascii(vendor, 8), ascii(vendor, 4)];
    case 1: {
      const [, , c, d] = featureRegisters(1, 0, features);
      const logical = cpus > 1 ? 1 << 28 : 0;
      const osxsave = cr4 & Cr4.osxsave ? 1 << 27 : 0;
      return [
        signature(model),
        (apicId << 24) | ((cpus & 0xff) << 16) | (8 << 8),
        c | osxsave,
        (d & ~(1 << 28)) | logical,
      ];
    }
    case 2:
      return [1, 0, 0, 0x2c307d];
    case 4:
      return cache(subleaf, cpus);
    case 5:
      return features.has('monitor') ? [0, 0, 3, 0] : [0, 0, 0, 0];
    case 6:
      return featureRegisters(6, 0, features);
    case 7: {
      if (subleaf !== 0) return [0, 0, 0, 0];
      const registers = featureRegisters(7, 0, features);
      if (cr4 & Cr4.pke) registers[2] |= 1 << 4; // OSPKE
      return registers;
    }
    case 0xb: {
      const shift = cpus > 1 ? 32 - Math.clz32(cpus - 1) : 0;
      if (subleaf === 0) return [0, 1, 1 << 8, apicId];
      if (subleaf === 1) return [shift, cpus, (2 << 8) | 1, apicId];
      return [0, 0, subleaf & 0xff, apicId];
    }
    case 0xd: {
      if (!features.has('xsave')) return [0, 0, 0, 0];
      const known = features.has('avx') ? X87_SSE | AVX : X87_SSE;
      const bytes = (mask: number) => (mask & AVX ? AVX_AT + AVX_BYTES : LEGACY_BYTES);
      if (subleaf === 0) return [known, bytes(xcr0), bytes(known), 0];
      if (subleaf === 1) return [featureRegisters(0xd, 1, features)[0], bytes(xcr0), 0, 0];
      return subleaf === 2 && known & AVX ? [AVX_BYTES, AVX_AT, 0, 0] : [0, 0, 0, 0];
    }
    default:
      return [0, 0, 0, 0];
  }
}

function extendedLeaf(options: CpuidOptions, leaf: number, subleaf: number): Registers {
  const { model, features, physicalBits, cpus } = options;
  switch (leaf) {
    case 0x8000_0000:
      return [model.xlevel | 0, ascii(model.vendor, 0), ascii(model.vendor, 8), ascii(model.vendor, 4)];
    case 0x8000_0001: {
      const [, , c, d] = featureRegisters(leaf, 0, features);
      const repeated = isAmd(model) ? featureRegisters(1, 0, features)[3] & AMD_REPEATED : 0;
      return [signature(model), 0, c, d | repeated];
    }
    case 0x8000_0002:
    case 0x8000_0003:
    case 0x8000_0004: {
      const at = (leaf - 0x8000_0002) * 16;
      const name = model.name;
      return [ascii(name, at), ascii(name, at + 4), ascii(name, at + 8), ascii(name, at + 12)];
    }
    case 0x8000_0005:
      return [0x01ff_01ff, 0x01ff_01ff, 0x4002_0140, 0x4002_0140];
    case 0x8000_0006:
      return [0, 0x4200_4200, 0x0200_8140, 0x0080_8140];
    case 0x8000_0007:
      return featureRegisters(leaf, 0, features);
    case 0x8000_0008: {
      const linear = features.has('lm') ? (features.has('la57') ? 57 : 48) : 32;
      const physical = features.has('lm') ? physicalBits : features.has('pse36') ? 36 : 32;
      return [(linear << 8) | physical, featureRegisters(leaf, 0, features)[1], cpus - 1, 0];
    }
    case 0x8000_001d:
      return features.has('topoext') ? cache(subleaf, cpus) : [0, 0, 0, 0];
    default:
      return [0, 0, 0, 0];
  }
}

/** KVM's leaves; the frequencies, in kHz, as VMware began to tell them. */
function hypervisorLeaf({ paravirtual, tscHz, apicHz }: CpuidOptions, leaf: number): Registers {
  const name = paravirtual ? 'KVMKVMKVM\0\0\0' : 'Trapframe\0\0\0';
  switch (leaf) {
    case 0x4000_0000:
      return [LAST_HYPERVISOR, ascii(name, 0), ascii(name, 4), ascii(name, 8)];
    case 0x4000_0001:
      return [paravirtual ? paravirtualBits(paravirtual) : 0, 0, 0, 0];
    case 0x4000_0010:
      return [tscHz / 1000, apicHz / 1000, 0, 0];
    default:
      return [0, 0, 0, 0];
  }
}
