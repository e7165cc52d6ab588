/** `info pic` and `info pci`, in the lines of QEMU 7.2's monitor. */
import { I8259 } from '../devices/i8259/i8259.ts';
import { IoApic, IOAPIC_PINS } from '../devices/ioapic/ioapic.ts';
import type { PciFunction } from '../hw/pci.ts';
import { isBridge, type PciBus } from '../hw/pci-bus.ts';
import type { MachineBoard } from './board.ts';

const hex = (value: number | bigint, digits: number): string => value.toString(16).padStart(digits, '0');

const MODES = ['fixed', 'lowest', 'SMI', '...', 'NMI', 'INIT', '...', 'extINT'];

function pins(name: string, has: (pin: number) => boolean): string {
  const set = Array.from({ length: IOAPIC_PINS }, (_, pin) => pin).filter(has);
  return `${name.padEnd(10)} ${set.length === 0 ? '(none)' : set.map((pin) => `${pin}`.padEnd(2) + ' ').join('')}`;
}

function describeIoApic({ state, version }: IoApic): string[] {
  const { id, select, low, high, wires } = state;
  const chosen = select ? ` (redir[${((select - 0x10) >>> 0) >>> 1}])` : '';
  const lines = [`ioapic0: ver=0x${hex(version, 2)} id=0x${hex(id, 2)} sel=0x${hex(select, 2)}${chosen}`];
  for (let pin = 0; pin < IOAPIC_PINS; pin++) {
    const entry = low[pin];
    const logical = (entry & 0x800) !== 0;
    const words = [
      `  pin ${`${pin}`.padEnd(2)} 0x${hex((BigInt(high[pin]) << 32n) | BigInt(entry), 16)}`,
      `dest=${hex((high[pin] >>> 24) & (logical ? 0xff : 0xf), 1)} vec=${`${entry & 0xff}`.padEnd(3)}`,
      `active-${entry & 0x2000 ? 'lo' : 'hi'} ${entry & 0x8000 ? 'level' : 'edge '} ${entry & 0x1_0000 ? 'masked' : '      '}`,
      `${MODES[(entry >> 8) & 7].padEnd(6)} ${logical ? 'logical' : 'physical'}`,
    ];
    lines.push(words.join(' '));
  }
  lines.push(pins('  IRR', (pin) => ((wires >>> pin) & 1) !== 0 && (low[pin] & 0x8000) !== 0));
  lines.push(pins('  Remote IRR', (pin) => (low[pin] & 0xc000) === 0xc000));
  return lines;
}

function describeI8259({ state }: I8259): string[] {
  return [1, 0].map((chip) => {
    const byte = (name: string, values: ArrayLike<number>) => `${name}=${hex(values[chip], 2)}`;
    const requests = [byte('irr', state.irr), byte('imr', state.imr), byte('isr', state.isr)];
    const base = byte('irq_base', state.base);
    const rest = `rr_sel=${state.readIsr[chip]} ${byte('elcr', state.elcr)} fnm=${state.specialFullyNested[chip]}`;
    return `pic${chip}: ${requests.join(' ')} hprio=${state.first[chip]} ${base} ${rest}`;
  });
}

export function describePic({ devices }: MachineBoard): string {
  const lines: string[] = [];
  for (const device of devices) if (device instanceof IoApic) lines.push(...describeIoApic(device));
  for (const device of devices) if (device instanceof I8259) lines.push(...describeI8259(device));
  return lines.length === 0 ? 'there is no interrupt controller of a PC' : lines.join('\n');
}

/** QEMU's names of classes; others are shown as numbers. */
const CLASSES: Readonly<Record<number, string>> = {
  256: 'SCSI controller',
  257: 'IDE controller',
  262: 'SATA controller',
  384: 'Storage controller',
  512: 'Ethernet controller',
  640: 'Network controller',
  768: 'VGA controller',
  896: 'Display controller',
  1025: 'Audio controller',
  1280: 'RAM controller',
  1536: 'Host bridge',
  1537: 'ISA bridge',
  1540: 'PCI bridge',
  1664: 'Bridge',
  1792: 'Serial port',
  3075: 'USB controller',
  3077: 'SMBus',
};

/** QEMU has unknown ones in decimal in one place and in hexadecimal in another. */
export const className = (type: number, radix = 10): string =>
  CLASSES[type] ?? `Class ${type.toString(radix).padStart(4, '0')}`;

/** Where a register of a bridge's window begins and ends. */
function bridgeLines(fn: PciFunction): string[] {
  const byte = (at: number) => fn.readConfig(at, 1);
  const word = (at: number) => fn.readConfig(at, 2);
  const range = (name: string, from: number | bigint, to: number | bigint, digits: number) =>
    `      ${name} range [0x${hex(from, digits)}, 0x${hex(to, digits)}]`;
  const upper = (at: number) => BigInt(fn.readConfig(at, 4)) << 32n;
  return [
    `      BUS ${byte(0x18)}.`,
    `      secondary bus ${byte(0x19)}.`,
    `      subordinate bus ${byte(0x1a)}.`,
    range('IO', (byte(0x1c) & 0xf0) << 8, ((byte(0x1d) & 0xf0) << 8) | 0xfff, 4),
    range('memory', (word(0x20) & 0xfff0) * 0x1_0000, (word(0x22) & 0xfff0) * 0x1_0000 + 0xf_ffff, 8),
    range(
      'prefetchable memory',
      upper(0x28) + BigInt((word(0x24) & 0xfff0) * 0x1_0000),
      upper(0x2c) + BigInt((word(0x26) & 0xfff0) * 0x1_0000 + 0xf_ffff),
      8,
    ),
  ];
}

function describeFunction(fn: PciFunction, bus: number, ids: ReadonlySet<string>): string[] {
  const word = (at: number) => fn.readConfig(at, 2);
  const type = word(0x0a);
  const isType1 = (fn.readConfig(0x0e, 1) & 0x7f) === 1;
  const place = [
    `Bus ${`${bus}`.padStart(2)}`,
    `device ${`${fn.devfn >> 3}`.padStart(3)}`,
    `function ${fn.devfn & 7}:`,
  ];
  const lines = [`  ${place.join(', ')}`, `    ${className(type)}: PCI device ${hex(word(0), 4)}:${hex(word(2), 4)}`];
  if (!isType1) lines.push(`      PCI subsystem ${hex(word(0x2c), 4)}:${hex(word(0x2e), 4)}`);
  const pin = fn.readConfig(0x3d, 1);
  if (pin) lines.push(`      IRQ ${fn.readConfig(0x3c, 1)}, pin ${String.fromCharCode(64 + pin)}`);
  if (isType1) lines.push(...bridgeLines(fn));
  for (const { index, kind, size, base, prefetchable } of fn.regions()) {
    // What shows nowhere is at -1, as in QEMU.
    const from = base === undefined ? 0xffff_ffff_ffff_ffffn : BigInt(base);
    const to = BigInt.asUintN(base === undefined ? 32 : 64, from + BigInt(size) - 1n);
    const bits = kind === 'mem64' ? 64 : 32;
    lines.push(
      kind === 'io'
        ? `      BAR${index}: I/O at 0x${hex(from, 4)} [0x${hex(to, 4)}].`
        : `      BAR${index}: ${bits} bit${prefetchable ? ' prefetchable' : ''} memory at 0x${hex(from, 8)} [0x${hex(to, 8)}].`,
    );
  }
  const name = fn.name.replace(/(\.bus)?\.pci$/, '');
  lines.push(`      id "${ids.has(name) ? name : ''}"`);
  return lines;
}

/** `ids`: names that the command line gave. */
export function describePci(root: PciBus | undefined, ids: ReadonlySet<string>): string {
  if (!root) return 'there is no PCI bus';
  const bus = (of: PciBus, number: number): string[] =>
    of.list().flatMap((fn) => {
      const own = describeFunction(fn, number, ids);
      return isBridge(fn) ? [...own, ...bus(fn.secondary, fn.readConfig(0x19, 1))] : own;
    });
  return bus(root, 0).join('\n');
}
