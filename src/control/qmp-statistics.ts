/**
 * QMP's query-stats and query-stats-schemas: the kernel's counters of a VM and
 * its vCPUs, where KVM has run it.
 *
 * Spec: QEMU QMP Reference Manual 7.2, "Statistics".
 */
import type { MachineApi } from '../machine/api.ts';
import type { KernelCounter } from '../machine/kvm-statistics.ts';
import { ControlError } from './hub.ts';
import { isObject, type Json } from './json-values.ts';
import type { QmpCommand } from './qmp-arguments.ts';

const TARGETS = ['vm', 'vcpu', 'cryptodev'] as const;
type Target = (typeof TARGETS)[number];
const PROVIDERS = ['kvm', 'cryptodev'];

export const vcpuPath = (index: number): string => `/machine/soc0/harts[${index}]`;

/** Of a provider that is asked for: names, or all. Undefined: it is not asked for. */
type Wanted = { readonly names: ReadonlySet<string> | undefined } | undefined;

const refuse = (name: string, value: unknown) =>
  new ControlError(`Parameter '${name}' does not accept value '${String(value)}'`);

function wantedOf(providers: Json | undefined): Wanted {
  if (providers === undefined) return { names: undefined };
  let wanted: Wanted;
  for (const one of providers as readonly Json[]) {
    if (!isObject(one)) throw new ControlError("Invalid parameter type for 'providers[0]', expected: object");
    const { provider, names } = one;
    if (!PROVIDERS.includes(provider as string)) throw refuse('provider', provider);
    if (names !== undefined && !Array.isArray(names))
      throw new ControlError("Invalid parameter type for 'names', expected: array");
    if (provider === 'kvm') wanted = { names: names && new Set(names.map(String)) };
  }
  return wanted;
}

const jsonOf = ({ type, unit, values }: KernelCounter): Json => {
  if (type.endsWith('histogram') || values.length !== 1) return [...values];
  return unit === 'boolean' ? values[0] !== 0n : values[0];
};

function result(counters: readonly KernelCounter[] | undefined, wanted: Wanted, vcpu?: number): Json[] {
  if (!wanted) return [];
  const stats = (counters ?? [])
    .filter(({ name }) => wanted.names === undefined || wanted.names.has(name))
    .map((counter) => ({ name: counter.name, value: jsonOf(counter) }));
  if (stats.length === 0) return [];
  return [{ provider: 'kvm', ...(vcpu === undefined ? {} : { 'qom-path': vcpuPath(vcpu) }), stats }];
}

function schema(target: string, counters: readonly KernelCounter[] | undefined): Json[] {
  if (!counters) return [];
  const stats = counters.map(({ name, type, unit, base, exponent, bucketSize }) => ({
    name,
    type,
    ...(unit === undefined ? {} : { unit }),
    ...(exponent === 0 ? {} : { base }),
    exponent,
    ...(bucketSize === undefined ? {} : { 'bucket-size': bucketSize }),
  }));
  return [{ provider: 'kvm', target, stats }];
}

function queryStats(machine: MachineApi, target: string, vcpus: Json | undefined, providers: Json | undefined): Json[] {
  if (!TARGETS.includes(target as Target)) throw refuse('target', target);
  const wanted = wantedOf(providers);
  if (target === 'vm') return result(machine.kernelCounters?.(), wanted);
  if (target !== 'vcpu') return [];
  const paths = vcpus === undefined ? undefined : new Set((vcpus as readonly Json[]).map(String));
  return machine.vcpus
    .filter(({ index }) => paths === undefined || paths.has(vcpuPath(index)))
    .flatMap(({ index }) => result(machine.kernelCounters?.(index), wanted, index));
}

export const STATISTICS_COMMANDS: Readonly<Record<string, QmpCommand>> = {
  'query-stats': {
    takes: { target: 'string', vcpus: 'array?', providers: 'array?' },
    run: ({ machine }, { target, vcpus, providers }) => queryStats(machine, target as string, vcpus, providers),
  },
  'query-stats-schemas': {
    takes: { provider: 'string?' },
    run({ machine }, { provider }) {
      if (provider !== undefined && !PROVIDERS.includes(provider as string)) throw refuse('provider', provider);
      if (provider === 'cryptodev') return [];
      return [...schema('vm', machine.kernelCounters?.()), ...schema('vcpu', machine.kernelCounters?.(0))];
    },
  },
};
