/**
 * `info qtree`: buses and the devices on them, in the lines of QEMU 7.2's monitor.
 *
 * Types are QEMU's; an id is what `-device id=` gave. Departure: of QEMU's properties those that a device here has:
 * addresses, interrupts pins, ports and windows; parts of a chip that QEMU has no device for are not listed.
 */
import type { Device } from '../hw/device.ts';
import { PciFunction } from '../hw/pci.ts';
import { isBridge, type PciBus } from '../hw/pci-bus.ts';
import type { MachineBoard } from './board.ts';
import type { MachineConfig } from './config.ts';
import { className } from './pc-describe.ts';

/** QEMU's types by the names of layouts, or of devices where one layout serves several. */
const TYPES: Readonly<Record<string, string>> = {
  ...{ i8259: 'isa-i8259', i8254: 'isa-pit', pcspk: 'isa-pcspk', ns16550a: 'isa-serial', parallel: 'isa-parallel' },
  ...{ fdc: 'isa-fdc', 'fw-cfg': 'fw_cfg_io', vga: 'VGA', ahci: 'ich9-ahci', debugcon: 'isa-debugcon' },
  ...{ mch: 'mch', 'ich9-lpc': 'ICH9-LPC', 'ich9-smbus': 'ICH9-SMB', i440fx: 'i440FX', piix3: 'PIIX3' },
  ...{ 'piix4-pm': 'PIIX4_PM', 'ata-cdrom': 'ide-cd', 'ata-disk': 'ide-hd', pflash: 'cfi.pflash01' },
  ...{ 'i440fx-pcihost': 'i440FX-pcihost', 'q35-pcihost': 'q35-pcihost', ne2000: 'ne2k_isa' },
};
/** Devices of the main bus; of the others those of a PC's ports are on its ISA bus. */
const ON_SYSTEM_BUS =
  /^(hpet|ioapic|fw-cfg|pflash|virtio-mmio|acpi-ged|plic|clint|aclint.*|goldfish-rtc|sifive-test|intel-iommu)$/;
/** Parts of a chip that is listed, and what QEMU has on no bus. */
const PARTS = /^(apic|acpi-pm|ich9-tco|ahci-port|ide-channel|smbus|acpi-pci-hotplug|pci|virtio-pci|pci-host)$/;
const ISA_BRIDGES = /^(piix3|ich9-lpc)$/;
const DRIVE = /^ide(\d+)-(\d+)$/;

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
const number = (name: string, value: number): string => `${name} = ${value} (0x${value.toString(16)})`;

class Listing {
  private readonly board: MachineBoard;
  private readonly config: MachineConfig;
  readonly lines: string[] = [];

  constructor(board: MachineBoard, config: MachineConfig) {
    this.board = board;
    this.config = config;
  }

  put(indent: number, ...lines: string[]): void {
    for (const line of lines) this.lines.push(' '.repeat(indent) + line);
  }

  bus(indent: number, name: string, type: string): void {
    this.put(indent, `bus: ${name}`, `  type ${type}`);
  }

  device(indent: number, type: string, name: string): void {
    const given = this.config.devices.some(({ id }) => id === name);
    this.put(indent, `dev: ${type}, id "${given ? name : ''}"`);
  }

  system(): void {
    const { devices, pci, bus, ports } = this.board;
    this.bus(0, 'main-system-bus', 'System');
    const isIsa = ({ layout: { name } }: Device) => ports !== undefined && !ON_SYSTEM_BUS.test(name);
    const plain = devices.filter(({ layout: { name } }) => !PARTS.test(name));
    for (const device of plain) {
      if (isIsa(device) || DRIVE.test(device.name)) continue;
      const onMmio = /^virtio-(?!mmio)/.test(device.layout.name);
      if (onMmio) continue;
      this.device(2, TYPES[device.layout.name] ?? device.layout.name, device.name);
      for (const { name, base, size } of bus.list())
        if (name === device.name) this.put(4, `mmio ${hex(base, 16)}/${hex(size, 16)}`);
    }
    const onPci = (device: Device) => pci?.all().some((fn) => owns(fn, device)) === true;
    const isa = plain.filter((device) => isIsa(device) && !onPci(device) && !DRIVE.test(device.name));
    const host = devices.find(({ layout }) => layout.name === 'pci-host');
    if (pci && host) {
      this.device(2, TYPES[host.name] ?? host.name, host.name);
      this.pciBus(4, pci, host.name === 'q35-pcihost' ? ['pcie.0', 'PCIE'] : ['pci.0', 'PCI'], 0, isa);
    } else if (ports) this.isaBus(2, isa);
  }

  private pciBus(indent: number, bus: PciBus, [name, type]: string[], at: number, isa: readonly Device[]): void {
    this.bus(indent, name, type);
    // As QEMU: the last one comes first.
    const order = (fn: PciFunction) => this.board.devices.indexOf(fn);
    for (const fn of bus.list().sort((p, q) => order(q) - order(p))) this.pciDevice(indent + 2, fn, at, isa);
  }

  private pciDevice(indent: number, fn: PciFunction, bus: number, isa: readonly Device[]): void {
    const { devices } = this.board;
    const name = nameOf(fn);
    const owner = devices.find((device) => owns(fn, device) && !PARTS.test(device.layout.name));
    const inner = devices.find((device) => device.name === name && device.layout.name.startsWith('virtio-'));
    const own = owner ? (TYPES[owner.layout.name] ?? owner.layout.name) : name;
    const type = inner ? `${inner.layout.name}-pci` : (TYPES[name] ?? own);
    const word = (offset: number) => fn.readConfig(offset, 2);
    const place = `${hex(fn.devfn >> 3, 2)}.${fn.devfn & 7}`;
    this.device(indent, type, name);
    const head = [`addr = ${place}`, `multifunction = ${(fn.readConfig(0x0e, 1) & 0x80) !== 0}`];
    const ids = `pci id ${hex(word(0), 4)}:${hex(word(2), 4)} (sub ${hex(word(0x2c), 4)}:${hex(word(0x2e), 4)})`;
    head.push(`class ${className(word(0x0a), 16)}, addr ${hex(bus, 2)}:${place}, ${ids}`);
    for (const { index, kind, base, size } of fn.regions()) {
      const from = base === undefined ? 0xffff_ffff_ffff_ffffn : BigInt(base);
      const to = BigInt.asUintN(64, from + BigInt(size) - 1n);
      head.push(`bar ${index}: ${kind === 'io' ? 'i/o' : 'mem'} at 0x${from.toString(16)} [0x${to.toString(16)}]`);
    }
    this.put(indent + 2, ...head);
    if (isBridge(fn)) this.pciBus(indent + 2, fn.secondary, [name, 'PCI'], fn.readConfig(0x19, 1), []);
    if (ISA_BRIDGES.test(name)) this.isaBus(indent + 2, isa);
    if (inner) {
      this.bus(indent + 2, 'virtio-bus', 'virtio-pci-bus');
      this.put(indent + 4, `dev: ${inner.layout.name}-device, id ""`);
    }
    if (name === 'piix3-ide') this.drives(indent + 2, 2);
    if (name === 'ich9-ahci') this.drives(indent + 2, 6);
  }

  private drives(indent: number, buses: number): void {
    for (let bus = buses - 1; bus >= 0; bus--) {
      this.bus(indent, `ide.${bus}`, 'IDE');
      for (const { name, layout } of this.board.devices) {
        const match = DRIVE.exec(name);
        if (!match || Number(match[1]) !== bus) continue;
        this.device(indent + 2, TYPES[layout.name] ?? layout.name, name);
        this.put(indent + 4, number('unit', Number(match[2])));
      }
    }
  }

  private isaBus(indent: number, devices: readonly Device[]): void {
    this.bus(indent, 'isa.0', 'ISA');
    for (const { name, layout } of devices.toReversed()) {
      this.device(indent + 2, TYPES[layout.name] ?? layout.name, name);
      const window = this.board.ports?.list().find((port) => port.name === name);
      if (window && layout.name !== 'port92')
        this.put(indent + 4, number(layout.name === 'i8257' ? 'base' : 'iobase', window.base));
    }
  }
}

/** The device that a function is of: names end in `.pci`, and those of virtio's transports in `.bus.pci`. */
const nameOf = (fn: PciFunction): string => fn.name.replace(/(\.bus)?\.pci$/, '');
const owns = (fn: PciFunction, device: Device): boolean =>
  !(device instanceof PciFunction) && (device.name === nameOf(fn) || device.name === fn.name.replace(/\.pci$/, ''));

export function deviceTree(board: MachineBoard, config: MachineConfig): string {
  const listing = new Listing(board, config);
  listing.system();
  return listing.lines.join('\n');
}
