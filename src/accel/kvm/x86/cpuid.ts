/**
 * What KVM on this host can show of a processor, and a processor's CPUID as
 * KVM takes it.
 *
 * Spec: "The Definitive KVM API Documentation", KVM_GET_SUPPORTED_CPUID,
 * KVM_SET_CPUID2, KVM_GET_CPUID2; SDM volume 2, "CPUID".
 *
 * KVM keeps to what it is given, but for bits that follow from the state
 * (OSXSAVE, OSPKE, the sizes in leaf 0Dh). kvm_pvm does not: leaves 1, 7 and
 * 0Dh come back with the host's features, whatever was asked for. Nothing says
 * so, so a scratch vCPU is asked: given no features at all and given all, what
 * does KVM show? A machine that may change accelerators shows the same under
 * each: what was asked for and can be had, and what cannot be taken away.
 */
import { EMULATED, WORDS } from '../../../isa/x86/cpuid/features.ts';
import type { KvmPort, KvmVcpuPort } from '../port.ts';
import { CapX86, Cpuid2, CPUID_SIGNIFICANT_INDEX, KvmX86, Msr, PKRU_COMPONENT } from './abi-x86.ts';
import { probeLimits } from './limits.ts';
import { readMsr, writeMsr } from './vcpu-registers.ts';

/** EAX, EBX, ECX, EDX. */
export type CpuidRegisters = readonly [number, number, number, number];
export type Identify = (leaf: number, subleaf: number) => CpuidRegisters;

export interface CpuidEntry {
  readonly leaf: number;
  readonly subleaf: number;
  /** The subleaf counts. */
  readonly indexed: boolean;
  readonly registers: CpuidRegisters;
}

/** KVM takes no more. */
const MAX_ENTRIES = 256;

/** What this host's KVM offers the processors of a machine. */
export interface KvmCpuOffer {
  /** Features that may be shown, by QEMU's names. */
  readonly features: ReadonlySet<string>;
  /** Those among them that KVM shows even where nobody asks. */
  readonly forced: ReadonlySet<string>;
  /** Those that it shows and we cannot execute: a program that uses them is lost outside KVM. */
  readonly beyond: readonly string[];
  readonly physicalBits: number;
  /** Rate of the time-stamp counter in kHz, and whether another can be asked for. */
  readonly tscKhz: number;
  readonly tscControl: boolean;
  /** What the counter read when this was asked, where it cannot be set: guests have the host's. */
  readonly tscFixed: bigint | undefined;
  /** It serves hypercalls of kernels; where it emulates these it cannot. */
  readonly hypercalls: boolean;
  /** The host's processor: for `-cpu host`. */
  readonly host: {
    readonly vendor: string;
    readonly name: string;
    readonly family: number;
    readonly model: number;
    readonly stepping: number;
  };
}

/** Features that need nothing of KVM: they are the machine's, or say how many processors there are. */
const MACHINES_OWN = ['apic', 'x2apic', 'tsc-deadline', 'arat', 'hypervisor', 'ht', 'acpi'] as const;

export function encodeCpuid(entries: readonly CpuidEntry[]): Uint8Array {
  const bytes = new Uint8Array(Cpuid2.header + entries.length * Cpuid2.entry);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, entries.length, true);
  entries.forEach(({ leaf, subleaf, indexed, registers }, n) => {
    const at = Cpuid2.header + n * Cpuid2.entry;
    view.setUint32(at + Cpuid2.function, leaf, true);
    view.setUint32(at + Cpuid2.index, subleaf, true);
    view.setUint32(at + Cpuid2.flags, indexed ? CPUID_SIGNIFICANT_INDEX : 0, true);
    registers.forEach((value, r) => {
      view.setUint32(at + Cpuid2.registers + 4 * r, value, true);
    });
  });
  return bytes;
}

export function decodeCpuid(bytes: Uint8Array): CpuidEntry[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const room = Math.floor((bytes.length - Cpuid2.header) / Cpuid2.entry);
  return Array.from({ length: Math.min(room, view.getUint32(0, true)) }, (_, n) => {
    const at = Cpuid2.header + n * Cpuid2.entry;
    const word = (offset: number) => view.getUint32(at + offset, true);
    const register = (r: number) => word(Cpuid2.registers + 4 * r);
    return {
      leaf: word(Cpuid2.function),
      subleaf: word(Cpuid2.index),
      indexed: (word(Cpuid2.flags) & CPUID_SIGNIFICANT_INDEX) !== 0,
      registers: [register(0), register(1), register(2), register(3)],
    };
  });
}

const isZero = (registers: CpuidRegisters): boolean => registers.every((value) => value === 0);

/** A processor's leaves as KVM wants them listed. */
export function cpuidEntries(identify: Identify): CpuidEntry[] {
  const entries: CpuidEntry[] = [];
  const add = (leaf: number, subleaf = 0, indexed = false): CpuidRegisters => {
    const registers = identify(leaf, subleaf);
    if (entries.length < MAX_ENTRIES) entries.push({ leaf, subleaf, indexed, registers });
    return registers;
  };
  /** Subleaves until one that `ends` the list; it is part of it. */
  const list = (leaf: number, ends: (registers: CpuidRegisters) => boolean) => {
    for (let subleaf = 0; subleaf < 32; subleaf++) if (ends(add(leaf, subleaf, true))) return;
  };
  const noCache = ([eax]: CpuidRegisters) => (eax & 31) === 0;
  const [last] = add(0);
  for (let leaf = 1; leaf <= last >>> 0 && leaf < 0x40; leaf++) {
    if (leaf === 4) list(leaf, noCache);
    else if (leaf === 7)
      for (let sub = 0; sub <= (entries.find((e) => e.leaf === 7)?.registers[0] ?? 0); sub++) add(leaf, sub, true);
    else if (leaf === 0xb || leaf === 0x1f) list(leaf, ([, , ecx]) => (ecx & 0xff00) === 0);
    else if (leaf === 0xd) {
      add(leaf, 0, true);
      add(leaf, 1, true);
      for (let sub = 2; sub < 64; sub++) if (!isZero(identify(leaf, sub))) add(leaf, sub, true);
    } else add(leaf);
  }
  const [hypervisor] = identify(0x4000_0000, 0);
  if (hypervisor !== 0) {
    add(0x4000_0000);
    for (let leaf = 0x4000_0001; leaf <= Math.min(hypervisor >>> 0, 0x4000_00ff); leaf++)
      if (!isZero(identify(leaf, 0))) add(leaf);
  }
  const [extended] = identify(0x8000_0000, 0);
  if (extended >>> 0 >= 0x8000_0000) {
    add(0x8000_0000);
    for (let leaf = 0x8000_0001; leaf <= Math.min(extended >>> 0, 0x8000_00ff); leaf++) {
      if (leaf === 0x8000_001d) list(leaf, noCache);
      else add(leaf);
    }
  }
  return entries;
}

const registersOf = (entries: readonly CpuidEntry[], leaf: number, subleaf = 0): CpuidRegisters =>
  entries.find((entry) => entry.leaf === leaf && (!entry.indexed || entry.subleaf === subleaf))?.registers ?? [
    0, 0, 0, 0,
  ];

/** The features that are on, by name. */
export function featuresIn(entries: readonly CpuidEntry[]): Set<string> {
  const found = new Set<string>();
  for (const { leaf, subleaf, register, names } of WORDS) {
    const bits = registersOf(entries, leaf, subleaf)[register];
    names.forEach((name, bit) => {
      if (name !== '-' && bits & (1 << bit)) found.add(name);
    });
  }
  return found;
}

const text = (...words: readonly number[]): string => {
  const bytes = words.flatMap((word) => [0, 8, 16, 24].map((shift) => (word >>> shift) & 0xff));
  const end = bytes.indexOf(0);
  return String.fromCharCode(...(end < 0 ? bytes : bytes.slice(0, end))).trim();
};

function hostOf(entries: readonly CpuidEntry[]): KvmCpuOffer['host'] {
  const [, b, c, d] = registersOf(entries, 0);
  const [signature] = registersOf(entries, 1);
  const base = (signature >>> 8) & 15;
  const name = [0x8000_0002, 0x8000_0003, 0x8000_0004].flatMap((leaf) => [...registersOf(entries, leaf)]);
  return {
    vendor: text(b, d, c),
    name: text(...name),
    family: base === 15 ? 15 + ((signature >>> 20) & 0xff) : base,
    model: ((signature >>> 4) & 15) | (base === 6 || base === 15 ? (signature >>> 12) & 0xf0 : 0),
    stepping: signature & 15,
  };
}

/** KVM_GET_SUPPORTED_CPUID. */
export function supportedCpuid(kvm: KvmPort): CpuidEntry[] {
  return getCpuid(kvm, KvmX86.getSupportedCpuid);
}
/** KVM_GET_CPUID2: what the guest of this vCPU is shown. */
export function shownCpuid(vcpu: KvmVcpuPort): CpuidEntry[] {
  return getCpuid(vcpu, KvmX86.getCpuid2);
}
function getCpuid(from: Pick<KvmPort, 'ioctl'>, request: number): CpuidEntry[] {
  const bytes = new Uint8Array(Cpuid2.header + MAX_ENTRIES * Cpuid2.entry);
  new DataView(bytes.buffer).setUint32(0, MAX_ENTRIES, true);
  from.ioctl(request, bytes);
  // Some kernels leave the room's size where the count should be: leaves that nobody filled are 0 a second time.
  return decodeCpuid(bytes).filter(({ leaf, registers }, n) => n === 0 || leaf !== 0 || !isZero(registers));
}

/** A processor with these features and nothing else, for the question what KVM makes of it. */
function bareEntries(features: ReadonlySet<string>, vendor: CpuidRegisters): CpuidEntry[] {
  const levels: CpuidEntry[] = [
    { leaf: 0, subleaf: 0, indexed: false, registers: [0xd, vendor[1], vendor[2], vendor[3]] },
    { leaf: 0x8000_0000, subleaf: 0, indexed: false, registers: [0x8000_0008, 0, 0, 0] },
  ];
  const leaves = new Map<string, CpuidEntry & { registers: [number, number, number, number] }>();
  for (const { leaf, subleaf, register, names } of WORDS) {
    const key = `${leaf}/${subleaf}`;
    const indexed = leaf === 7 || leaf === 0xd;
    const entry = leaves.get(key) ?? { leaf, subleaf, indexed, registers: [0, 0, 0, 0] };
    names.forEach((name, bit) => {
      if (name !== '-' && features.has(name)) entry.registers[register] |= 1 << bit;
    });
    leaves.set(key, entry);
  }
  const long = leaves.get(`${0x8000_0008}/0`);
  if (long) long.registers[0] = 0x3028;
  const avx = features.has('avx');
  if (features.has('xsave')) {
    const components = avx ? 7 : 3;
    levels.push({ leaf: 0xd, subleaf: 0, indexed: true, registers: [components, 576, avx ? 832 : 576, 0] });
    if (avx) levels.push({ leaf: 0xd, subleaf: 2, indexed: true, registers: [256, 576, 0, 0] });
  }
  return [...levels, ...leaves.values()].sort((a, b) => a.leaf - b.leaf || a.subleaf - b.subleaf);
}

/** Asks KVM what it offers. Makes a VM and a vCPU for the question, and closes them. */
export function kvmCpuOffer(kvm: KvmPort): KvmCpuOffer {
  const supported = supportedCpuid(kvm);
  const listed = featuresIn(supported);
  const vm = kvm.createVm();
  let vcpu: KvmVcpuPort | undefined;
  try {
    vcpu = vm.createVcpu(0);
    const one = vcpu;
    const vendor = registersOf(supported, 0);
    const shown = (features: ReadonlySet<string>): Set<string> => {
      one.ioctl(KvmX86.setCpuid2, encodeCpuid(bareEntries(features, vendor)));
      return featuresIn(shownCpuid(one));
    };
    const all = shown(EMULATED);
    const forced = shown(new Set());
    const own = new Set<string>(MACHINES_OWN);
    const isOffered = (name: string) => forced.has(name) || (all.has(name) && (own.has(name) || listed.has(name)));
    const tscKhz = kvm.checkExtension(CapX86.getTscKhz) > 0 ? one.ioctl(KvmX86.getTscKhz) : 0;
    const tscFixed = fixedCounter(one);
    // This vCPU is as good for that as another one.
    const limits = probeLimits(one);
    return {
      features: new Set([...EMULATED].filter(isOffered)),
      forced: new Set([...forced].filter((name) => EMULATED.has(name) && !own.has(name))),
      beyond: [...forced].filter((name) => !EMULATED.has(name)),
      physicalBits: registersOf(supported, 0x8000_0008)[0] & 0xff || 36,
      tscKhz,
      tscControl: kvm.checkExtension(CapX86.tscControl) > 0,
      tscFixed,
      hypercalls: !limits.paging,
      host: hostOf(supported),
    };
  } finally {
    vcpu?.close();
    vm.close();
  }
}

/** The time-stamp counter of a vCPU that takes no value for it; undefined where it does. */
function fixedCounter(vcpu: KvmVcpuPort): bigint | undefined {
  const before = readMsr(vcpu, Msr.tsc);
  if (before === undefined) return undefined;
  const far = 1n << 44n; // more than an hour
  writeMsr(vcpu, Msr.tsc, BigInt.asUintN(64, before + far));
  const after = readMsr(vcpu, Msr.tsc) ?? before;
  return BigInt.asUintN(64, after - before) < far / 2n ? after : undefined;
}

/** What KVM shows other than it was told: lines for a log. Bits that follow from the state do not count. */
export function cpuidChanges(wanted: readonly CpuidEntry[], shown: readonly CpuidEntry[]): string[] {
  const before = featuresIn(wanted);
  const after = featuresIn(shown);
  return [
    ...[...after].filter((name) => !before.has(name)).map((name) => `+${name}`),
    ...[...before].filter((name) => !after.has(name)).map((name) => `-${name}`),
  ];
}

/** Where PKRU stands in the host's XSAVE area; undefined where guests have none. */
export function pkruPlace(supported: readonly CpuidEntry[]): number | undefined {
  const [bytes, at] = registersOf(supported, 0xd, PKRU_COMPONENT);
  return bytes >= 4 && at > 0 && at <= 4096 - 4 ? at : undefined;
}
export const xsaveComponents = (shown: readonly CpuidEntry[]): number => registersOf(shown, 0xd, 0)[0];
