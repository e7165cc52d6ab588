/**
 * A PCI function: configuration space, base address registers, interrupts.
 *
 * Spec: PCI Local Bus 3.0, "Configuration Space" and "Message Signaled
 * Interrupts"; PCI Express Base 4.0 for the 4 KiB configuration space.
 *
 * A device owns one (`readonly pci = new PciFunction({...})`). It is a Device
 * of its own: the board resets, saves and loads it beside the device.
 *
 * Configuration space is bytes with three masks, as a data sheet tells them:
 * writable, write one to clear, and otherwise constant.
 */
import { readU16, readU32 } from '../bits/endian.ts';
import { bytes, create, layout, type StateOf, u1 } from '../state/layout.ts';
import type { AccessSize, Device, Dma, IrqLine } from './device.ts';
import { type BarOptions, COMMAND, checkBar, NO_MMIO, PciBar, type PciSocket, romMmio, romSize } from './pci-bar.ts';
import { Msi, type MsiOptions, Msix, type MsixOptions } from './pci-messages.ts';

export { type BarOptions, COMMAND, type PciSocket } from './pci-bar.ts';

/** Offsets of the header's registers. */
export const PCI = {
  VENDOR: 0x00,
  DEVICE: 0x02,
  COMMAND: 0x04,
  STATUS: 0x06,
  REVISION: 0x08,
  INTERFACE: 0x09,
  CLASS: 0x0a,
  CACHE_LINE: 0x0c,
  LATENCY: 0x0d,
  HEADER: 0x0e,
  BAR: 0x10,
  SUBSYSTEM_VENDOR: 0x2c,
  SUBSYSTEM: 0x2e,
  ROM: 0x30,
  CAPABILITIES: 0x34,
  INTERRUPT_LINE: 0x3c,
  INTERRUPT_PIN: 0x3d,
} as const;
export const STATUS = { INTERRUPT: 8, CAPABILITIES: 0x10, ERRORS: 0xf900 } as const;
/** What QEMU's functions show unless they know better: Red Hat's "QEMU Virtual Machine". */
export const QEMU_SUBSYSTEM = { vendor: 0x1af4, device: 0x1100 } as const;

export interface PciOptions {
  /** The device's name; the function's is that with `.pci`. */
  readonly name: string;
  readonly vendor: number;
  readonly device: number;
  /** Class code, 24 bits: base class, subclass, programming interface, e.g. 0x010180. */
  readonly class: number;
  readonly revision?: number;
  readonly subsystem?: { readonly vendor: number; readonly device: number };
  /** 1..4 for INTA..INTD; 0 or absent for none. */
  readonly interruptPin?: number;
  readonly bars?: readonly BarOptions[];
  /** Contents of the expansion ROM; shown in a power of two of at least 2 KiB. */
  readonly rom?: Uint8Array;
  /** Declares more of configuration space before MSI and MSI-X get their capabilities, the last of which comes first. */
  readonly declares?: (pci: PciFunction) => void;
  readonly msi?: MsiOptions;
  readonly msix?: MsixOptions;
  /** Has 4 KiB of configuration space, which only ECAM reaches beyond 256 bytes. */
  readonly express?: boolean;
  /** Function 0 of several. */
  readonly multifunction?: boolean;
  /** Bytes of state beside configuration space (`state.own`), for a function that is a whole device. */
  readonly own?: number;
  /** The header's layout: 0, or 1 for bridges. */
  readonly headerType?: 0 | 1;
  /** Runs before a read of [offset, offset+size), for registers that are made when they are looked at. */
  readonly reading?: (offset: number, size: number) => void;
  /** Runs after a write to [offset, offset+size) of configuration space; after a reset or a load with all of it. */
  readonly written?: (offset: number, size: number) => void;
}

function stateLayout(configSize: number, vectors: number, own: number) {
  return layout('pci', 1, {
    config: bytes(configSize),
    level: u1, // of the device's interrupt
    msixTable: bytes(16 * vectors),
    msixPending: bytes(8 * Math.ceil(vectors / 64)),
    own: bytes(own),
  });
}
type PciLayout = ReturnType<typeof stateLayout>;

export class PciFunction implements Device<PciLayout> {
  readonly name: string;
  readonly layout: PciLayout;
  readonly state: StateOf<PciLayout>;
  readonly options: PciOptions;
  readonly msi: Msi | undefined;
  readonly msix: Msix | undefined;
  /** The device's interrupt: its INTx pin, or message 0 at each rise where the guest enabled messages. */
  readonly irq: IrqLine = { set: (level) => this.setLevel(level) };
  /** The device behind the function, which a reset of its bus resets too. */
  owner: Device | undefined;
  private readonly initial: Uint8Array;
  private readonly writableBits: Uint8Array;
  private readonly clearableBits: Uint8Array;
  private readonly bars: PciBar[] = [];
  private capabilityEnd = 0x40;
  protected socket: PciSocket | undefined;
  private address = 0;
  private asserted = false;
  /** Memory as an IOMMU shows it to this function. */
  private space: Dma | undefined;
  private readonly masters: { stretch?: Dma['stretch'] }[] = [];

  constructor(options: PciOptions) {
    const size = options.express ? 0x1000 : 0x100;
    this.name = `${options.name}.pci`;
    this.options = options;
    this.layout = stateLayout(size, options.msix?.vectors ?? 0, options.own ?? 0);
    this.state = create<PciLayout['fields']>(this.layout);
    this.initial = new Uint8Array(size);
    this.writableBits = new Uint8Array(size);
    this.clearableBits = new Uint8Array(size);
    const type1 = options.headerType === 1;
    this.constant(PCI.VENDOR, 2, options.vendor);
    this.constant(PCI.DEVICE, 2, options.device);
    this.constant(PCI.REVISION, 4, ((options.class << 8) | (options.revision ?? 0)) >>> 0);
    this.constant(PCI.HEADER, 1, (options.headerType ?? 0) | (options.multifunction ? 0x80 : 0));
    this.constant(PCI.INTERRUPT_PIN, 1, options.interruptPin ?? 0);
    if (!type1) {
      const { vendor, device } = options.subsystem ?? QEMU_SUBSYSTEM;
      this.constant(PCI.SUBSYSTEM_VENDOR, 4, ((device << 16) | vendor) >>> 0);
    }
    this.writable(PCI.COMMAND, 2, COMMAND.IO | COMMAND.MEMORY | COMMAND.MASTER | COMMAND.SERR | COMMAND.INTX_DISABLE);
    this.clearable(PCI.STATUS, 2, STATUS.ERRORS);
    this.writable(PCI.CACHE_LINE, 1, 0xff);
    this.writable(PCI.INTERRUPT_LINE, 1, 0xff);
    for (const bar of options.bars ?? []) this.addBar(bar);
    if (options.rom) this.addRom(options.rom, type1 ? 0x38 : PCI.ROM);
    options.declares?.(this);
    if (options.msi) this.msi = new Msi(this, options.msi);
    if (options.msix) this.msix = this.addMsix(options.msix);
    this.state.config.set(this.initial);
    this.msix?.reset();
  }

  // Declaring configuration space: in the constructor of the device, before the first access.

  /** A value that is there after a reset; read-only unless `writable` says otherwise. */
  constant(offset: number, size: AccessSize, value: number): void {
    for (let i = 0; i < size; i++) this.initial[offset + i] = value >>> (8 * i);
    this.state.config.set(this.initial.subarray(offset, offset + size), offset);
  }

  /** The bits of a register that a write changes. */
  writable(offset: number, size: AccessSize, mask: number): void {
    for (let i = 0; i < size; i++) this.writableBits[offset + i] = mask >>> (8 * i);
  }

  /** Registers in [from, to) that remember what is written and do nothing else. */
  remembers(from: number, to: number): void {
    this.writableBits.fill(0xff, from, to);
  }

  /** The bits of a register that writing a one clears. */
  clearable(offset: number, size: AccessSize, mask: number): void {
    for (let i = 0; i < size; i++) this.clearableBits[offset + i] = mask >>> (8 * i);
  }

  /** Puts a capability of `size` bytes at `offset` (the next free place when absent) first in the list; returns where. */
  addCapability(id: number, size: number, offset?: number): number {
    const at = offset ?? this.capabilityEnd;
    if (at & 3 || at < 0x40 || at + size > 0x100) throw new RangeError(`${this.name}: capability 0x${id.toString(16)}`);
    this.capabilityEnd = Math.max(this.capabilityEnd, (at + size + 3) & ~3);
    this.constant(at, 2, id | (this.initial[PCI.CAPABILITIES] << 8));
    this.constant(PCI.CAPABILITIES, 1, at);
    this.constant(PCI.STATUS, 2, readU16(this.initial, PCI.STATUS) | STATUS.CAPABILITIES);
    return at;
  }

  /** The windows by number, 6 for the expansion ROM, and where they show. */
  regions(): (Pick<PciBar, 'kind' | 'size' | 'base' | 'prefetchable'> & { readonly index: number })[] {
    const all = this.bars.map(({ at, kind, size, base, prefetchable }) => {
      const index = at >= 0x10 && at < 0x28 ? (at - 0x10) >> 2 : 6;
      return { index, kind, size, base, prefetchable };
    });
    return all.sort((a, b) => a.index - b.index);
  }

  // What a device asks and does.

  get command(): number {
    return readU16(this.state.config, PCI.COMMAND);
  }

  /** Whether the guest lets the function reach memory. */
  get busMaster(): boolean {
    return (this.command & COMMAND.MASTER) !== 0;
  }

  /** The same memory, reached only while the guest lets the function be a bus master, and as its IOMMU shows it. */
  master(dma: Dma): Dma {
    const master: { -readonly [K in keyof Dma]: Dma[K] } = {
      readable: (address, length) => (this.busMaster ? (this.space ?? dma).readable(address, length) : undefined),
      writable: (address, length) => (this.busMaster ? (this.space ?? dma).writable(address, length) : undefined),
      stretch: undefined,
    };
    this.masters.push(master);
    this.leadMasters();
    return master;
  }

  private leadMasters(): void {
    const { space } = this;
    const stretch: Dma['stretch'] =
      space && ((address, length, write) => (this.busMaster ? (space.stretch?.(address, length, write) ?? 0) : 0));
    for (const master of this.masters) master.stretch = stretch;
  }

  /** Whether the guest takes messages instead of the INTx pin. */
  get messages(): boolean {
    return this.msix?.enabled || this.msi?.enabled || false;
  }

  /** Sends message `vector` by MSI-X or MSI, whichever is enabled; without either nothing happens. */
  notify(vector: number): void {
    if (this.msix?.enabled) this.msix.notify(vector);
    else if (this.msi?.enabled) this.msi.notify(vector);
  }

  /** Where a BAR shows now; undefined for nowhere. */
  barBase(index: number): number | undefined {
    return this.bars.find(({ at }) => at === PCI.BAR + 4 * index)?.base;
  }

  /** Function and device number on its bus, as in the address of a configuration cycle: slot * 8 + function. */
  get devfn(): number {
    return this.address;
  }

  get plugged(): boolean {
    return this.socket !== undefined;
  }

  // The bus side.

  /** A configuration read; `offset` is below the size, unaligned offsets as the bus lets them through. */
  readConfig(offset: number, size: AccessSize): number {
    this.options.reading?.(offset, size);
    const { config } = this.state;
    let value = 0;
    for (let i = 0; i < size; i++) value |= (offset + i < config.length ? config[offset + i] : 0xff) << (8 * i);
    return value >>> 0;
  }

  writeConfig(offset: number, size: AccessSize, value: number): void {
    const { config } = this.state;
    if (offset + size > config.length) return;
    for (let i = 0; i < size; i++) {
      const at = offset + i;
      const byte = (value >>> (8 * i)) & 0xff;
      const mask = this.writableBits[at];
      config[at] = ((config[at] & ~mask) | (byte & mask)) & ~(byte & this.clearableBits[at]);
    }
    if (offset < 0x40) this.place();
    this.msi?.written(offset, size);
    this.msix?.written(offset, size);
    this.output();
    this.options.written?.(offset, size);
  }

  plug(socket: PciSocket, devfn: number): void {
    this.socket = socket;
    this.address = devfn;
    this.space = socket.iommu?.space(() => socket.requester(devfn));
    this.leadMasters();
    for (const bar of this.bars) bar.attach(socket);
    this.place();
    this.output();
  }

  /** Takes the function from its bus: nothing of it answers any more. */
  unplug(): void {
    if (this.asserted) this.drive(false);
    for (const bar of this.bars) bar.detach();
    this.socket = undefined;
    this.space = undefined;
    this.leadMasters();
  }

  reset(): void {
    this.state.config.set(this.initial);
    this.state.level = 0;
    this.state.own.fill(0);
    this.msix?.reset();
    this.resumed();
  }

  resumed(): void {
    this.place();
    this.output();
    this.options.written?.(0, this.state.config.length);
  }

  /** Puts every BAR where the registers and the bridges on the way say. */
  place(): void {
    for (const bar of this.bars) bar.place(this.state.config, this.command);
  }

  /** Sends an interrupt message; it is a write to memory, which needs a bus master. */
  send(address: number, data: number): void {
    if (this.busMaster) this.socket?.message(address, data, this.address);
  }

  /** For chip sets: their registers wire pins to other lines now. */
  protected rerouted(): void {
    this.socket?.rerouted();
  }

  private setLevel(level: boolean): void {
    const rise = level && !this.state.level;
    this.state.level = level ? 1 : 0;
    if (rise && this.messages) this.notify(0);
    this.output();
  }

  private output(): void {
    const { config, level } = this.state;
    config[PCI.STATUS] = (config[PCI.STATUS] & ~STATUS.INTERRUPT) | (level ? STATUS.INTERRUPT : 0);
    const wanted = level === 1 && !(this.command & COMMAND.INTX_DISABLE) && !this.messages;
    if (wanted !== this.asserted && this.socket) this.drive(wanted);
  }

  private drive(level: boolean): void {
    const pin = this.options.interruptPin ?? 0;
    this.asserted = level;
    if (pin) this.socket?.interrupt(this.address >> 3, pin - 1, level);
  }

  private addBar(options: BarOptions): void {
    const { index, kind, size, prefetchable } = options;
    checkBar(this.name, options);
    const at = PCI.BAR + 4 * index;
    const type = kind === 'io' ? 1 : (kind === 'mem64' ? 4 : 0) | (prefetchable ? 8 : 0);
    this.constant(at, 4, type);
    this.writable(at, 4, size >= 2 ** 32 ? 0 : -size);
    if (kind === 'mem64') this.writable(at + 4, 4, size > 2 ** 32 ? -(size / 2 ** 32) : -1);
    this.bars.push(new PciBar(`${this.options.name}.bar${index}`, at, options));
  }

  private addRom(rom: Uint8Array, at: number): void {
    const size = romSize(rom);
    this.writable(at, 4, -size | 1);
    this.bars.push(new PciBar(`${this.options.name}.rom`, at, { kind: 'mem32', size, mmio: romMmio(rom) }, true));
  }

  private addMsix(options: MsixOptions): Msix {
    const at = PCI.BAR + 4 * options.bar;
    const msix = new Msix(this, options);
    const bar = this.bars.find((other) => other.at === at);
    if (bar) bar.mmio = msix.within(bar.mmio);
    else this.addBar({ index: options.bar, kind: 'mem32', size: msix.windowSize, mmio: msix.within(NO_MMIO) });
    return msix;
  }
}

/** A register of a function's configuration space as the device sees it. */
export function config32(pci: PciFunction, offset: number): number {
  return readU32(pci.state.config, offset);
}
