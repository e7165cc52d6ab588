/**
 * From `-cpu model,+feature,-feature,prop=value` to what CPUID tells.
 *
 * As in QEMU, features of a model that the emulated processor lacks are left
 * out with a warning, and `max` is all that it has. A machine that may run
 * under KVM has what both the emulated processor and KVM have, under each
 * accelerator: it can change between them while it runs.
 */
import type { KvmCpuOffer } from '../accel/kvm/x86/cpuid.ts';
import { ConfigError } from '../bits/errors.ts';
import type { CpuidOptions } from '../isa/x86/cpuid/cpuid.ts';
import { isParavirtual, PARAVIRTUAL_NAMES, PARAVIRTUAL_USUAL } from '../isa/x86/cpuid/paravirtual.ts';
import { Cr4 } from '../isa/x86/state.ts';
import { EMULATED, featureName } from '../isa/x86/cpuid/features.ts';
import { featuresOf, findModel, type Model, MODEL_NAMES } from '../isa/x86/cpuid/models.ts';
import type { CpuConfig } from './config.ts';

/** The emulated time-stamp counter counts nanoseconds, unless KVM's cannot be made to; the local APIC's timer always. */
const TSC_HZ = 1e9;
const APIC_HZ = 1e9;
const PHYSICAL_BITS = 40;

/** Properties that say nothing about the emulated processor. */
const HARMLESS = new Set([
  'check',
  'migratable',
  'host-phys-bits',
  'l3-cache',
  'legacy-cache',
  'pmu',
  'tcg-cpuid',
  'x-vendor-cpuid-only',
  'full-cpuid-auto-level',
]);

const NEEDED_EXTRAS: Readonly<Record<string, keyof X86CpuExtras | undefined>> = {
  'kvm-steal-time': 'stealTime',
  'kvm-pv-eoi': 'pvEoi',
  'kvm-pv-ipi': 'hypercalls',
  'kvm-pv-unhalt': 'hypercalls',
};

export interface X86CpuModel {
  readonly model: Model;
  readonly features: ReadonlySet<string>;
  readonly physicalBits: number;
  /** KVM's paravirtual features, by QEMU's names; undefined: the guest is not told of KVM. */
  readonly paravirtual: ReadonlySet<string> | undefined;
  readonly tscHz: number;
  /** Features asked for that the processor has not. */
  readonly missing: readonly string[];
  /** Features that KVM shows though nobody asked for them. */
  readonly forced: readonly string[];
}

const isOff = (value: boolean | string) => value === false || value === 'off' || value === 'no' || value === 'false';

/** What a machine can offer of KVM's paravirtual features beside those that all can. */
export interface X86CpuExtras {
  /** The host knows how long threads wait for a processor. */
  readonly stealTime?: boolean;
  /** Our own local APICs serve the guest, in the thread that its processors run in. */
  readonly pvEoi?: boolean;
  /** Whoever runs the guest serves hypercalls. */
  readonly hypercalls?: boolean;
}

/** Throws ConfigError for models and features that there are not. `kvm`: the machine may run under it. */
export function x86CpuModel(
  { model: name, features: asked }: CpuConfig,
  kvm?: KvmCpuOffer,
  extras: X86CpuExtras = {},
): X86CpuModel {
  if (name === 'host' && !kvm)
    throw new ConfigError('cpu-model', 'the CPU model host needs KVM', 'use -cpu max, which has all that is emulated');
  const isMax = name === 'max' || name === 'host';
  const has = kvm ? kvm.features : EMULATED;
  const known = findModel(isMax ? 'qemu64' : name.replace(/-(x86_64|i386)-cpu$/, ''));
  if (!known) {
    const near = MODEL_NAMES.filter((other) => other.toLowerCase().startsWith(name.slice(0, 3).toLowerCase()));
    throw new ConfigError(
      'cpu-model',
      `there is no CPU model ${name}`,
      near.length > 0 ? `perhaps ${near.slice(0, 5).join(', ')}; -cpu help lists all` : '-cpu help lists all',
    );
  }
  const wanted = isMax ? new Set(EMULATED) : featuresOf(name);
  wanted.add('hypervisor');
  wanted.add('x2apic');
  wanted.delete('svm'); // as QEMU under KVM: models have it only when it is asked for
  const missing: string[] = [];
  let model = known;
  let physicalBits = Math.min(PHYSICAL_BITS, kvm?.physicalBits ?? PHYSICAL_BITS);
  let tscHz = kvm && !kvm.tscControl && kvm.tscKhz > 0 ? kvm.tscKhz * 1000 : TSC_HZ;
  const paravirtual = new Set(PARAVIRTUAL_USUAL);
  let showsKvm = true;
  let enforce = false;
  for (const [text, value] of Object.entries(asked)) {
    const feature = featureName(text);
    const text64 = String(value);
    if (feature) {
      if (isOff(value)) wanted.delete(feature);
      else wanted.add(feature);
    } else if (text === 'vendor') model = { ...model, vendor: text64 };
    else if (text === 'family' || text === 'model' || text === 'stepping' || text === 'level' || text === 'xlevel')
      model = { ...model, [text]: numberOf(text, text64) };
    else if (text === 'model-id') model = { ...model, name: text64 };
    else if (text === 'phys-bits') physicalBits = numberOf(text, text64);
    else if (text === 'kvm') showsKvm = !isOff(value);
    else if (PARAVIRTUAL_NAMES.has(text)) {
      if (isOff(value)) paravirtual.delete(text);
      else paravirtual.add(text);
    } else if (text === 'enforce') enforce = !isOff(value);
    else if (text === 'tsc-frequency') tscHz = frequency(text64, kvm);
    else if (!HARMLESS.has(text))
      throw new ConfigError('cpu-feature', `there is no CPU property ${text}`, 'see QEMU’s -cpu help for the names');
  }
  for (const feature of wanted) if (!has.has(feature) && !(isMax && EMULATED.has(feature))) missing.push(feature);
  for (const name of ['kvm-steal-time', 'kvm-pv-eoi'] as const) {
    const needs = NEEDED_EXTRAS[name];
    if (needs && !extras[needs] && asked[name] === undefined) paravirtual.delete(name);
  }
  for (const feature of [...paravirtual]) {
    const needs = NEEDED_EXTRAS[feature];
    if (isParavirtual(feature) && (!needs || extras[needs])) continue;
    missing.push(feature);
    paravirtual.delete(feature);
  }
  if (enforce && missing.length > 0)
    throw new ConfigError('cpu-feature', `the processor has no ${missing.join(', ')}`, 'leave enforce away');
  const forced = [...(kvm?.forced ?? [])].filter((feature) => !wanted.has(feature));
  const features = new Set([...[...wanted].filter((feature) => has.has(feature)), ...forced]);
  if (name === 'host' && kvm)
    model = { ...model, ...kvm.host, name: kvm.host.name || model.name, level: 0xd, xlevel: 0x8000_0008 };
  else if (isMax) model = { ...model, name: 'Trapframe max CPU', level: 0xd, xlevel: 0x8000_0008 };
  if (physicalBits < 32 || physicalBits > 52)
    throw new ConfigError('cpu-feature', `phys-bits=${physicalBits} is out of range`, 'use 32 to 52');
  const shown = showsKvm && features.has('hypervisor') ? paravirtual : undefined;
  return { model, features, physicalBits, tscHz, paravirtual: shown, missing, forced };
}

function frequency(text: string, kvm: KvmCpuOffer | undefined): number {
  const hz = numberOf('tsc-frequency', text);
  if (hz < 1e6 || hz > 1e11)
    throw new ConfigError(
      'cpu-feature',
      `tsc-frequency=${text} is out of range`,
      'give it in Hz, 1000000 to 100000000000',
    );
  if (kvm && !kvm.tscControl && hz !== kvm.tscKhz * 1000)
    throw new ConfigError(
      'cpu-feature',
      `this host's KVM cannot make tsc-frequency=${text}`,
      `leave it away: it is ${kvm.tscKhz * 1000} here; or use -accel jit`,
    );
  return hz;
}

function numberOf(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0)
    throw new ConfigError('cpu-feature', `${name}=${text} is no number`, 'give a number');
  return value;
}

/** Bits of CR4 that come with a feature. */
const CR4_FEATURES: readonly (readonly [string, number])[] = [
  ['umip', Cr4.umip],
  ['la57', Cr4.la57],
  ['fsgsbase', Cr4.fsgsbase],
  ['pcid', Cr4.pcide],
  ['xsave', Cr4.osxsave],
  ['smep', Cr4.smep],
  ['smap', Cr4.smap],
  ['pku', Cr4.pke],
  ['pks', Cr4.pks],
];
/** Those that a processor lacks. */
export function missingCr4(features: ReadonlySet<string>): bigint {
  let bits = 0;
  for (const [feature, bit] of CR4_FEATURES) if (!features.has(feature)) bits |= bit;
  return BigInt(bits);
}

/** What CPUID of each processor follows from. */
export function cpuidOptions(cpu: X86CpuModel, index: number, cpus: number): CpuidOptions {
  const { model, features, physicalBits, paravirtual, tscHz } = cpu;
  return { model, features, physicalBits, paravirtual, cpus, apicId: index, tscHz, apicHz: APIC_HZ };
}
