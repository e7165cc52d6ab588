/**
 * `info mtree`: which memory, devices and ports show where, in the lines of QEMU 7.2's monitor.
 *
 * Departures: a machine has one address space for all its processors and devices; memory is listed where it shows now,
 * so that shadowed firmware is no alias of its image; names are QEMU's where a window of ours is one of QEMU's.
 */
import type { Space } from '../accel/space.ts';
import { PRIORITY } from '../hw/windows.ts';
import type { MachineBoard } from './board.ts';

/** QEMU's names of windows. */
const NAMES: Readonly<Record<string, string>> = {
  ...{ i8259: 'pic', i8254: 'pit', dma0: 'dma-chan', dma1: 'dma-chan', fw_cfg: 'fwcfg', fw_cfg_dma: 'fwcfg.dma' },
  ...{
    apic: 'apic-msi',
    'i440fx-pcihost': 'pci-conf',
    'q35-pcihost': 'pci-conf',
    'piix3-reset': 'piix3-reset-control',
  },
  ...{ 'ich9-lpc.reset': 'lpc-reset-control', 'piix4-pm.apm': 'apm-io', 'ich9-lpc.apm': 'apm-io' },
  ...{ 'piix4-pm.gpe0': 'acpi-gpe0', 'piix4-pm.smbus': 'pm-smbus', 'vga-dispi-index': 'vbe', 'vga-dispi-data': 'vbe' },
};

const nameOf = (name: string): string => {
  if (NAMES[name]) return NAMES[name];
  if (/^piix3-ide\.\d/.test(name)) return 'ide';
  if (/^serial\d$/.test(name)) return 'serial';
  return /^parallel\d$/.test(name) ? 'parallel' : name;
};

interface Region {
  readonly base: number;
  /** Inclusive. */
  readonly last: number;
  readonly priority: number;
  readonly kind: 'ram' | 'rom' | 'i/o';
  readonly name: string;
  /** Where in its memory it begins. */
  readonly offset?: number;
}

const hex = (value: number): string => value.toString(16).padStart(16, '0');

function line({ base, last, priority, kind, name, offset = 0 }: Region, indent: string): string {
  return `${indent}${hex(base)}-${hex(last)} (prio ${priority}, ${kind}): ${name}${offset ? ` @${hex(offset)}` : ''}`;
}

/** Memory as it shows: RAM by the name that the board has for it, other memory by its own. */
function memoryRegions(space: Space, ram: string, areas: readonly string[]): Region[] {
  const named = areas.map((name) => ({ name, ...space.area(name) }));
  const regions: Region[] = [];
  let at = 0;
  while (at < space.end) {
    const { length, host, readOnly } = space.mappedFrom(at, space.end);
    if (length <= 0) break;
    if (host !== undefined) {
      const area = named.find((own) => host >= own.host && host < own.host + own.size);
      const offset = host - (area?.host ?? space.ram.host);
      const kind = readOnly ? 'rom' : 'ram';
      regions.push({ base: at, last: at + length - 1, priority: 0, kind, name: area?.name ?? ram, offset });
    }
    at += length;
  }
  return regions;
}

const byBase = (p: Region, q: Region): number => p.base - q.base;
const windowsOf = (bus: { list(): readonly { name: string; base: number; size: number; priority: number }[] }) =>
  bus
    .list()
    .map(({ name, base, size, priority }): Region => {
      return { name: nameOf(name), base, last: base + size - 1, priority, kind: 'i/o' };
    })
    .sort(byBase);

const WHOLE = '0000000000000000-ffffffffffffffff';
/** A PC's ports. */
const PORTS_END = 0xffff;

interface Described {
  readonly board: MachineBoard;
  readonly space: Space;
  /** Names of memory that is not RAM. */
  readonly areas: readonly string[];
}

const ramName = ({ ramAreas }: MachineBoard): string => ramAreas[0]?.name ?? 'ram';

/** The tree: what PCI devices have placed is below the PCI container, which gives way to everything else. */
export function memoryTree({ board, space, areas }: Described): string {
  const memory = memoryRegions(space, ramName(board), areas);
  const windows = windowsOf(board.bus);
  const pci = windows.filter(({ priority }) => priority <= PRIORITY.PCI);
  const rest = [...memory, ...windows.filter(({ priority }) => priority > PRIORITY.PCI)].sort(byBase);
  const lines = ['address-space: memory', `  ${WHOLE} (prio 0, i/o): system`];
  const container = board.pci ? [`    ${WHOLE} (prio -1, i/o): pci`] : [];
  lines.push(...container, ...pci.map((region) => line({ ...region, priority: 1 }, '      ')));
  lines.push(...rest.map((region) => line(region, '    ')), '');
  if (board.ports) {
    lines.push('address-space: I/O', `  ${hex(0)}-${hex(PORTS_END)} (prio 0, i/o): io`);
    lines.push(...windowsOf(board.ports).map((region) => line(region, '    ')), '');
  }
  return lines.join('\n');
}

/** What is left of `regions` where none of `over` is. */
function uncovered(regions: readonly Region[], over: readonly Region[]): Region[] {
  return regions.flatMap((region) => {
    const left: Region[] = [];
    let { base } = region;
    for (const { base: from, last } of over) {
      if (last < base || from > region.last) continue;
      if (from > base) left.push({ ...region, base, last: from - 1, offset: base - region.base });
      base = last + 1;
    }
    if (base <= region.last) left.push({ ...region, base, offset: base - region.base });
    return left;
  });
}

/** `info mtree -f`: who answers at each address. */
export function flatMemory({ board, space, areas }: Described): string {
  const memory = memoryRegions(space, ramName(board), areas);
  const answering = board.bus.spans().map(({ base, end, window }): Region => {
    const { priority, name } = window;
    return { base, last: end - 1, priority, kind: 'i/o', name: nameOf(name), offset: base - window.base };
  });
  const flat = [...memory, ...uncovered(answering, memory)].sort(byBase);
  const lines = ['FlatView #0', ' AS "memory", root: system', ' Root memory region: system'];
  lines.push(...flat.map((region) => line(region, '  ')), '');
  if (board.ports) {
    const ports = board.ports.spans().map(({ base, end, window }): Region => {
      const { priority, name } = window;
      return { base, last: end - 1, priority, kind: 'i/o', name: nameOf(name), offset: base - window.base };
    });
    const io: Region = { base: 0, last: PORTS_END, priority: 0, kind: 'i/o', name: 'io' };
    lines.push('FlatView #1', ' AS "I/O", root: io', ' Root memory region: io');
    lines.push(...[...ports, ...uncovered([io], ports)].sort(byBase).map((region) => line(region, '  ')), '');
  }
  return lines.join('\n');
}
