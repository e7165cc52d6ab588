/**
 * A bridge from one PCI bus to another.
 *
 * Spec: PCI-to-PCI Bridge Architecture 1.2, "Bridge Configuration Space".
 * Departures: no VGA and ISA forwarding; 64-bit prefetchable and 32-bit I/O
 * windows.
 */
import { readU16, readU32 } from '../bits/endian.ts';
import type { IrqLine } from './device.ts';
import { type BarOptions, COMMAND, PciFunction, type PciOptions, type PciSocket } from './pci.ts';
import { type Bridge, PciBus } from './pci-bus.ts';

const REGISTER = {
  PRIMARY: 0x18,
  SECONDARY: 0x19,
  SUBORDINATE: 0x1a,
  LATENCY: 0x1b,
  IO_BASE: 0x1c,
  IO_LIMIT: 0x1d,
  STATUS: 0x1e,
  MEMORY_BASE: 0x20,
  MEMORY_LIMIT: 0x22,
  PREFETCH_BASE: 0x24,
  PREFETCH_LIMIT: 0x26,
  PREFETCH_BASE_HIGH: 0x28,
  PREFETCH_LIMIT_HIGH: 0x2c,
  IO_BASE_HIGH: 0x30,
  IO_LIMIT_HIGH: 0x32,
  CONTROL: 0x3e,
} as const;
const BUS_RESET = 0x40;
const GIB4 = 2 ** 32;

export class PciBridge extends PciFunction implements Bridge {
  readonly secondary: PciBus;
  /** What the functions behind it drive, by the pin of the bridge. */
  private readonly pins = [false, false, false, false];

  /** `parent` is the bus that it will be plugged into. */
  constructor(options: Omit<PciOptions, 'headerType' | 'own' | 'written'>, parent: PciBus) {
    super({ ...options, headerType: 1, own: 1, written: (offset, size) => this.changed(offset, size) });
    const lines: IrqLine[] = this.pins.map((_, pin) => ({ set: (level) => this.drivePin(pin, level) }));
    this.secondary = new SecondaryBus(this, {
      memory: parent.memory,
      ports: parent.ports,
      route: (slot, pin) => (slot + pin) & 3,
      lines,
      message: (address, data) => this.socket?.message(address, data, this.devfn),
      iommu: parent.iommu,
      // What comes through a conventional bridge carries the bridge's own name.
      requester: (devfn) =>
        options.express
          ? (this.state.config[REGISTER.SECONDARY] << 8) | devfn
          : (this.socket?.requester(this.devfn) ?? this.devfn),
    });
    for (const at of [REGISTER.PRIMARY, REGISTER.SECONDARY, REGISTER.SUBORDINATE, REGISTER.LATENCY])
      this.writable(at, 1, 0xff);
    for (const at of [REGISTER.IO_BASE, REGISTER.IO_LIMIT]) {
      this.constant(at, 1, 1);
      this.writable(at, 1, 0xf0);
      this.writable(at === REGISTER.IO_BASE ? REGISTER.IO_BASE_HIGH : REGISTER.IO_LIMIT_HIGH, 2, 0xffff);
    }
    this.clearable(REGISTER.STATUS, 2, 0xf900);
    for (const at of [REGISTER.MEMORY_BASE, REGISTER.MEMORY_LIMIT]) this.writable(at, 2, 0xfff0);
    for (const at of [REGISTER.PREFETCH_BASE, REGISTER.PREFETCH_LIMIT]) {
      this.constant(at, 2, 1);
      this.writable(at, 2, 0xfff0);
    }
    this.writable(REGISTER.PREFETCH_BASE_HIGH, 4, -1);
    this.writable(REGISTER.PREFETCH_LIMIT_HIGH, 4, -1);
    this.writable(REGISTER.CONTROL, 2, 0x0bff);
  }

  leadsTo(bus: number): boolean {
    const { config } = this.state;
    const first = config[REGISTER.SECONDARY];
    return first !== 0 && bus >= first && bus <= config[REGISTER.SUBORDINATE];
  }

  isSecondary(bus: number): boolean {
    return this.state.config[REGISTER.SECONDARY] === bus;
  }

  override plug(socket: PciSocket, devfn: number): void {
    super.plug(socket, devfn);
    this.secondary.replace();
    this.secondary.rerouted();
  }

  override unplug(): void {
    for (let pin = 0; pin < 4; pin++) this.drivePin(pin, false);
    super.unplug();
    this.secondary.replace();
  }

  /** Whether an access to [base, base+size) comes through. */
  forwards(kind: BarOptions['kind'], base: number, size: number): boolean {
    const { config } = this.state;
    if (!this.socket || !(this.command & (kind === 'io' ? COMMAND.IO : COMMAND.MEMORY))) return false;
    const last = base + size - 1;
    if (kind === 'io') {
      const first = readU16(config, REGISTER.IO_BASE_HIGH) * 0x1_0000 + ((config[REGISTER.IO_BASE] & 0xf0) << 8);
      const end = readU16(config, REGISTER.IO_LIMIT_HIGH) * 0x1_0000 + ((config[REGISTER.IO_LIMIT] & 0xf0) << 8);
      if (base < first || last > end + 0xfff) return false;
    } else {
      const megabytes = (at: number): number => (readU16(config, at) & 0xfff0) * 0x1_0000;
      const low = readU32(config, REGISTER.PREFETCH_BASE_HIGH) * GIB4 + megabytes(REGISTER.PREFETCH_BASE);
      const high = readU32(config, REGISTER.PREFETCH_LIMIT_HIGH) * GIB4 + megabytes(REGISTER.PREFETCH_LIMIT);
      const plain = base >= megabytes(REGISTER.MEMORY_BASE) && last <= megabytes(REGISTER.MEMORY_LIMIT) + 0xf_ffff;
      if (!plain && !(base >= low && last <= high + 0xf_ffff)) return false;
    }
    return this.socket.forwards(kind, base, size);
  }

  private changed(offset: number, size: number): void {
    if (offset >= 0x40) return;
    const resetting = (this.state.config[REGISTER.CONTROL] & BUS_RESET) !== 0;
    // Once, when the bit is set: the functions stay as they are after a reset until the guest programs them.
    if (size <= 4 && resetting && !this.state.own[0]) this.secondary.reset();
    this.state.own[0] = resetting ? 1 : 0;
    this.secondary.replace();
  }

  private drivePin(pin: number, level: boolean): void {
    if (this.pins[pin] === level || (level && !this.socket)) return;
    this.pins[pin] = level;
    this.socket?.interrupt(this.devfn >> 3, pin, level);
  }
}

class SecondaryBus extends PciBus {
  private readonly bridge: PciBridge;

  constructor(bridge: PciBridge, options: ConstructorParameters<typeof PciBus>[0]) {
    super(options);
    this.bridge = bridge;
  }

  override forwards(kind: BarOptions['kind'], base: number, size: number): boolean {
    return this.bridge.forwards(kind, base, size);
  }
}
