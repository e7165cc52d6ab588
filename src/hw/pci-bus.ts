/**
 * A PCI bus: which function sits where, how configuration cycles find it, and
 * where its interrupt goes.
 *
 * Spec: PCI Local Bus 3.0, "Configuration Cycles"; PCI Express Base 4.0,
 * "PCI Express Enhanced Configuration Access Mechanism (ECAM)".
 */
import type { Bus } from './bus.ts';
import type { AccessSize, IrqLine, Mmio } from './device.ts';
import type { Iommu } from './iommu.ts';
import type { BarOptions, PciFunction, PciSocket } from './pci.ts';
import type { PortBus } from './ports.ts';

const FUNCTIONS = 256;

/** A function that leads to another bus. */
export interface Bridge extends PciFunction {
  readonly secondary: PciBus;
  /** Whether configuration cycles to a bus number go through it. */
  leadsTo(bus: number): boolean;
  /** Whether it is the number of its secondary bus itself. */
  isSecondary(bus: number): boolean;
}

export interface PciBusOptions {
  readonly memory: Bus;
  readonly ports: PortBus;
  /** Which of the chip set's lines a device's pin (0..3) is wired to; asked at every change. */
  readonly route: (slot: number, pin: number) => number;
  /** The chip set's interrupt inputs. Functions share them: a line is high while one of them drives it. */
  readonly lines: readonly IrqLine[];
  /** An interrupt message arrives from a function of this bus: `data` written to `address`. Not asked with an IOMMU. */
  readonly message: (address: number, data: number) => void;
  readonly iommu?: Iommu | undefined;
  /** See PciSocket; on a root bus, which is number 0, the function itself. */
  readonly requester?: (devfn: number) => number;
}

export class PciBus implements PciSocket {
  readonly memory: Bus;
  readonly ports: PortBus;
  /** The memory-mapped configuration space of this root bus: 1 MiB for each bus number. */
  readonly ecam: Mmio = {
    read: (at, size) => this.readConfig((at >>> 20) & 0xff, (at >>> 12) & 0xff, at & 0xfff, size),
    write: (at, size, value) => this.writeConfig((at >>> 20) & 0xff, (at >>> 12) & 0xff, at & 0xfff, size, value),
  };
  private readonly options: PciBusOptions;
  private readonly functions: (PciFunction | undefined)[] = new Array(FUNCTIONS).fill(undefined);
  /** How many functions drive each pin of each device. */
  private readonly drivers = new Uint8Array(32 * 4);

  constructor(options: PciBusOptions) {
    this.options = options;
    this.memory = options.memory;
    this.ports = options.ports;
  }

  /** Plugs a function in at `slot` (0..31; the first free one when absent). Throws RangeError when that is taken. */
  add(fn: PciFunction, slot?: number, number = 0): void {
    const devfn = slot === undefined ? this.free() : slot * 8 + number;
    if (!(devfn >= 0 && devfn < FUNCTIONS) || this.functions[devfn])
      throw new RangeError(`${fn.name}: PCI slot ${slot ?? ''}.${number} is taken or not there`);
    this.functions[devfn] = fn;
    fn.plug(this, devfn);
  }

  remove(fn: PciFunction): void {
    if (this.functions[fn.devfn] !== fn) return;
    fn.unplug();
    this.functions[fn.devfn] = undefined;
  }

  at(slot: number, number = 0): PciFunction | undefined {
    return this.functions[slot * 8 + number];
  }

  /** The functions of this bus in order of address. */
  list(): PciFunction[] {
    return this.functions.filter((fn) => fn !== undefined);
  }

  /** The functions of this bus and of all behind its bridges. */
  all(): PciFunction[] {
    return this.list().flatMap((fn) => (isBridge(fn) ? [fn, ...fn.secondary.all()] : [fn]));
  }

  /** Resets every function and the device behind it. */
  reset(): void {
    for (const fn of this.list()) {
      fn.owner?.reset();
      fn.reset();
    }
  }

  /** The function that a configuration cycle on the root bus reaches. */
  find(bus: number, devfn: number): PciFunction | undefined {
    if (bus === 0) return this.functions[devfn];
    return this.behind(bus)?.functions[devfn];
  }

  /** A configuration read as it appears on the root bus; all ones where nothing answers. */
  readConfig(bus: number, devfn: number, offset: number, size: AccessSize): number {
    const fn = this.find(bus, devfn);
    return fn && offset < fn.state.config.length ? fn.readConfig(offset, size) : 0xffff_ffff >>> (32 - 8 * size);
  }

  writeConfig(bus: number, devfn: number, offset: number, size: AccessSize, value: number): void {
    this.find(bus, devfn)?.writeConfig(offset, size, value);
  }

  /** Routes changed: every line is driven anew. */
  rerouted(): void {
    const { lines } = this.options;
    const levels = new Array<boolean>(lines.length).fill(false);
    for (let i = 0; i < this.drivers.length; i++) if (this.drivers[i]) levels[this.options.route(i >> 2, i & 3)] = true;
    lines.forEach((line, i) => {
      line.set(levels[i]);
    });
  }

  interrupt(slot: number, pin: number, level: boolean): void {
    const at = slot * 4 + pin;
    this.drivers[at] += level ? 1 : -1;
    const line = this.options.route(slot, pin);
    let high = false;
    for (let i = 0; i < this.drivers.length && !high; i++)
      high = this.drivers[i] > 0 && this.options.route(i >> 2, i & 3) === line;
    this.options.lines[line]?.set(high);
  }

  message(address: number, data: number, devfn: number): void {
    if (this.iommu) this.iommu.message(address, data, this.requester(devfn));
    else this.options.message(address, data);
  }

  get iommu(): Iommu | undefined {
    return this.options.iommu;
  }

  requester(devfn: number): number {
    return this.options.requester?.(devfn) ?? devfn;
  }

  forwards(_kind: BarOptions['kind'], _base: number, _size: number): boolean {
    return true;
  }

  /** Bridges on the way changed their windows. */
  replace(): void {
    for (const fn of this.all()) fn.place();
  }

  private behind(bus: number): PciBus | undefined {
    let from: PciBus = this;
    // As deep as there are bus numbers at most.
    for (let depth = 0; depth < FUNCTIONS; depth++) {
      const bridge = from.list().find((fn): fn is Bridge => isBridge(fn) && fn.leadsTo(bus));
      if (!bridge) return undefined;
      if (bridge.isSecondary(bus)) return bridge.secondary;
      from = bridge.secondary;
    }
    return undefined;
  }

  private free(): number {
    for (let slot = 0; slot < 32; slot++) if (!this.functions[slot * 8]) return slot * 8;
    return -1;
  }
}

export function isBridge(fn: PciFunction): fn is Bridge {
  return 'secondary' in fn;
}
