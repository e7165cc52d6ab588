/** What differs between the system emulators' command lines: boards, processors, devices, options. */
import type { CpuConfig } from '../machine/config.ts';
import { type BoardChoice, MACHINE_PROPERTIES, parseCpu, parseMachine } from './options-board.ts';
import { DEVICES, type DeviceTable, VIRTIO_MMIO_ALIASES } from './options-device.ts';
import { OPTIONS, type OptionRow } from './options-table.ts';
import {
  parseX86Cpu,
  parseX86Machine,
  X86_ALIASES,
  X86_DEVICES,
  X86_MACHINE_PROPERTIES,
  X86_OPTIONS,
} from './options-x86.ts';
import { PC_NAMES } from '../machine/pc-names.ts';

export interface Target {
  /** QEMU's name of the architecture. */
  readonly name: string;
  readonly x86: boolean;
  readonly options: Readonly<Record<string, OptionRow>>;
  readonly machine: string;
  readonly machines: Readonly<Record<string, string>>;
  readonly machineProperties: Readonly<Record<string, string>>;
  readonly cpu: CpuConfig;
  parseMachine(where: string, text: string, into: BoardChoice): void;
  parseCpu(where: string, text: string): CpuConfig;
  readonly maxCpus: number;
  /** What can be plugged into a board. */
  devices(machine: string): DeviceTable;
  aliases(machine: string): Readonly<Record<string, string>>;
  /** What `-drive` can say for `if=`, the default first. */
  interfaces(machine: string): readonly string[];
}

const RISCV64: Target = {
  name: 'riscv64',
  x86: false,
  options: OPTIONS,
  machine: 'virt',
  machines: { virt: 'RISC-V VirtIO board (default)' },
  machineProperties: MACHINE_PROPERTIES,
  cpu: { model: 'rv64', features: {} },
  parseMachine,
  parseCpu,
  maxCpus: 512,
  devices: () => DEVICES,
  aliases: () => VIRTIO_MMIO_ALIASES,
  interfaces: () => ['none', 'virtio', 'pflash'],
};

function x86(name: string, cpu: string): Target {
  return {
    name,
    x86: true,
    options: { ...OPTIONS, ...X86_OPTIONS },
    machine: 'pc',
    machines: Object.fromEntries(Object.entries(PC_NAMES).map(([board, { about }]) => [board, about])),
    machineProperties: X86_MACHINE_PROPERTIES,
    cpu: { model: cpu, features: {} },
    parseMachine: parseX86Machine,
    parseCpu: parseX86Cpu,
    maxCpus: 255,
    devices: (machine) => (machine === 'microvm' ? DEVICES : X86_DEVICES),
    aliases: (machine) => (machine === 'microvm' ? VIRTIO_MMIO_ALIASES : X86_ALIASES),
    interfaces: (machine) =>
      machine === 'microvm' ? ['virtio', 'none', 'pflash'] : ['ide', 'floppy', 'virtio', 'none', 'pflash'],
  };
}

const TARGETS: readonly Target[] = [RISCV64, x86('x86_64', 'qemu64'), x86('i386', 'qemu32')];

/** Throws RangeError. */
export function targetOf(name: string): Target {
  const target = TARGETS.find((other) => other.name === name);
  if (!target) throw new RangeError(`no target ${name}`);
  return target;
}
