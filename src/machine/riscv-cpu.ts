/**
 * From `-cpu rv64,feature=on` to what the device tree says about the harts.
 *
 * Departure from QEMU: switching an extension off hides it from the device tree;
 * its instructions still run.
 */
import { ConfigError } from '../bits/errors.ts';
import { rows } from '../isa/riscv/rows.ts';
import type { CpuConfig } from './config.ts';
import type { VirtCpu } from './riscv-virt.ts';

/** Extensions in the order of an ISA string. */
const SINGLE = ['i', 'm', 'a', 'f', 'd', 'c'];
const MULTI = [
  'zicbom',
  'zicboz',
  'zicntr',
  'zicond',
  'zicsr',
  'zifencei',
  'zihintpause',
  'zfa',
  'zcb',
  'zba',
  'zbb',
  'zbc',
  'zbkb',
  'zbkc',
  'zbkx',
  'zbs',
  'zknh',
  'sstc',
  'svadu',
  'svinval',
  'svnapot',
  'svpbmt',
];
/** Extensions of which rows tell whether they are there, and by which name. */
const BY_ROWS: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    [...SINGLE, 'zicond', 'zfa', 'zcb', 'zba', 'zbb', 'zbc', 'zbkb', 'zbkx', 'zbs', 'zknh'].map((name) => [name, name]),
  ),
  zbkc: 'zbc',
  zicbom: 'zicbo',
  zicboz: 'zicbo',
};
/** Names for what is always there. */
const ALWAYS = ['g', 's', 'u', 'mmu', 'pmp', 'zihpm', 'zca', 'zcd', 'zaamo', 'zalrsc', 'zmmul', 'sv32', 'sv64'];
const MODES = ['sv57', 'sv48', 'sv39'];
/** Bytes. */
const CACHE_BLOCK = 64;

/** Throws ConfigError for features that are not there. */
export function virtCpu({ features }: CpuConfig): VirtCpu {
  const there = new Set(rows.map((row) => row.extension));
  const isThere = (name: string) => !(name in BY_ROWS) || there.has(BY_ROWS[name]);
  for (const [name, value] of Object.entries(features)) {
    if (value !== true || ALWAYS.includes(name) || MODES.includes(name)) continue;
    if ([...SINGLE, ...MULTI].includes(name) && isThere(name)) continue;
    throw new ConfigError('cpu-feature', `the harts have no ${name}`, `leave ${name} off (-cpu)`);
  }
  const isOn = (name: string) => features[name] !== false && isThere(name);
  const single = SINGLE.filter(isOn);
  const multi = MULTI.filter(isOn);
  const mode = MODES.find((name) => features[name] !== false);
  return {
    isa: [`rv64${single.join('')}`, ...multi].join('_'),
    isaBase: 'rv64i',
    isaExtensions: [...single, ...multi],
    mmuType: mode === undefined || features['mmu'] === false ? 'riscv,none' : `riscv,${mode}`,
    cbomBlockSize: isOn('zicbom') ? CACHE_BLOCK : undefined,
    cbozBlockSize: isOn('zicboz') ? CACHE_BLOCK : undefined,
  };
}
