/**
 * From `-cpu model,+feature,-feature,prop=value` to what CPUID tells.
 *
 * As in QEMU, features of a model that the emulated processor lacks are left
 * out with a warning, and `max` is all that it has.
 */
import { ConfigError } from '../bits/errors.ts';
import type { CpuidOptions } from '../isa/x86/cpuid/cpuid.ts';
import { Cr4 } from '../isa/x86/state.ts';
import { EMULATED, featureName } from '../isa/x86/cpuid/features.ts';
import { featuresOf, findModel, type Model, MODEL_NAMES } from '../isa/x86/cpuid/models.ts';
import type { CpuConfig } from './config.ts';

/** The emulated time-stamp counter counts nanoseconds, and the local APIC's timer too. */
export const TSC_HZ = 1e9;
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
  'kvm',
  'kvm-pv-eoi',
  'kvm-pv-unhalt',
  'kvm-steal-time',
  'kvm-asyncpf',
  'tcg-cpuid',
  'x-vendor-cpuid-only',
  'full-cpuid-auto-level',
]);

export interface X86CpuModel {
  readonly model: Model;
  readonly features: ReadonlySet<string>;
  readonly physicalBits: number;
  readonly kvmclock: boolean;
  /** Features asked for that the processor has not. */
  readonly missing: readonly string[];
}

const isOff = (value: boolean | string) => value === false || value === 'off' || value === 'no' || value === 'false';

/** Throws ConfigError for models and features that there are not. */
export function x86CpuModel({ model: name, features: asked }: CpuConfig): X86CpuModel {
  if (name === 'host')
    throw new ConfigError('cpu-model', 'the CPU model host needs KVM', 'use -cpu max, which has all that is emulated');
  const isMax = name === 'max';
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
  let physicalBits = PHYSICAL_BITS;
  let kvmclock = true;
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
    else if (text === 'kvmclock' || text === 'kvm') kvmclock = !isOff(value);
    else if (text === 'enforce') enforce = !isOff(value);
    else if (!HARMLESS.has(text))
      throw new ConfigError('cpu-feature', `there is no CPU property ${text}`, 'see QEMU’s -cpu help for the names');
  }
  for (const feature of wanted) if (!EMULATED.has(feature)) missing.push(feature);
  if (enforce && missing.length > 0)
    throw new ConfigError('cpu-feature', `the processor has no ${missing.join(', ')}`, 'leave enforce away');
  const features = new Set([...wanted].filter((feature) => EMULATED.has(feature)));
  if (isMax) model = { ...model, name: 'Trapframe max CPU', level: 0xd, xlevel: 0x8000_0008 };
  if (physicalBits < 32 || physicalBits > 52)
    throw new ConfigError('cpu-feature', `phys-bits=${physicalBits} is out of range`, 'use 32 to 52');
  return { model, features, physicalBits, kvmclock: kvmclock && features.has('hypervisor'), missing };
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
];
/** Those that a processor lacks. */
export function missingCr4(features: ReadonlySet<string>): bigint {
  let bits = 0;
  for (const [feature, bit] of CR4_FEATURES) if (!features.has(feature)) bits |= bit;
  return BigInt(bits);
}

/** What CPUID of each processor follows from. */
export function cpuidOptions(cpu: X86CpuModel, index: number, cpus: number): CpuidOptions {
  const { model, features, physicalBits, kvmclock } = cpu;
  return { model, features, physicalBits, kvmclock, cpus, apicId: index, tscHz: TSC_HZ, apicHz: APIC_HZ };
}
