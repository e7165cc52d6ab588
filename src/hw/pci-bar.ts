/**
 * Base address registers: where a PCI function's windows show.
 *
 * Spec: PCI Local Bus 3.0, "Base Addresses" and "Expansion ROM Base Address
 * Register".
 */
import { readU32 } from '../bits/endian.ts';
import type { Bus } from './bus.ts';
import type { AccessSize, Mmio } from './device.ts';
import type { Iommu } from './iommu.ts';
import type { PortBus } from './ports.ts';
import { PRIORITY, type Window } from './windows.ts';

/** Bits of the command register. */
export const COMMAND = { IO: 1, MEMORY: 2, MASTER: 4, SERR: 0x100, INTX_DISABLE: 0x400 } as const;
export const NO_MMIO: Mmio = { read: () => 0, write: () => {} };
const LEAST_ROM = 0x800;

export interface BarOptions {
  /** 0..5; a mem64 takes the next one too. */
  readonly index: number;
  readonly kind: 'io' | 'mem32' | 'mem64';
  /** Bytes, a power of two: at least 4 ports or 16 bytes. */
  readonly size: number;
  readonly prefetchable?: boolean;
  /** Answers accesses; offsets in the window. */
  readonly mmio?: Mmio;
  /** Plain memory instead (a MemoryArea): told where the guest put it, undefined for nowhere. */
  readonly area?: { place(at: number | undefined): void };
}

/** What a function is plugged into. */
export interface PciSocket {
  readonly memory: Bus;
  readonly ports: PortBus;
  /** Whether every bridge on the way lets accesses to [base, base+size) through. */
  forwards(kind: BarOptions['kind'], base: number, size: number): boolean;
  /** A change of INTA..INTD (pin 0..3) of a device. */
  interrupt(slot: number, pin: number, level: boolean): void;
  /** A message signalled interrupt: `data` written to `address` by a function of this bus. */
  message(address: number, data: number, devfn: number): void;
  /** What stands between the bus and memory. */
  readonly iommu: Iommu | undefined;
  /** Bus, device and function that transactions of a function of this bus carry where the IOMMU sees them. */
  requester(devfn: number): number;
  /** The wiring of pins to lines changed. */
  rerouted(): void;
}

export class PciBar {
  /** Of the register in configuration space. */
  readonly at: number;
  mmio: Mmio;
  /** Where the window shows; undefined for nowhere. */
  base: number | undefined;
  private readonly name: string;
  readonly kind: BarOptions['kind'];
  readonly size: number;
  readonly prefetchable: boolean;
  private readonly rom: boolean;
  private readonly area: BarOptions['area'];
  private window: Window | undefined;
  private socket: PciSocket | undefined;

  constructor(name: string, at: number, options: Omit<BarOptions, 'index'>, rom = false) {
    this.name = name;
    this.at = at;
    this.kind = options.kind;
    this.size = options.size;
    this.prefetchable = options.prefetchable === true;
    this.mmio = options.mmio ?? NO_MMIO;
    this.area = options.area;
    this.rom = rom;
  }

  attach(socket: PciSocket): void {
    this.socket = socket;
    if (this.area) return;
    const { name, size, mmio } = this;
    if (this.kind === 'io') this.window = socket.ports.add(name, undefined, size, mmio, PRIORITY.PCI_PORTS);
    else this.window = socket.memory.add(name, undefined, size, mmio, PRIORITY.PCI);
  }

  detach(): void {
    this.show(undefined);
    this.window = undefined;
    this.socket = undefined;
  }

  /** Shows the window where the registers and the bridges on the way say. */
  place(config: Uint8Array, command: number): void {
    this.show(this.decoded(config, command));
  }

  private decoded(config: Uint8Array, command: number): number | undefined {
    const { kind, rom, size } = this;
    if (!this.socket || !(command & (kind === 'io' ? COMMAND.IO : COMMAND.MEMORY))) return undefined;
    const low = readU32(config, this.at);
    if (rom && !(low & 1)) return undefined;
    const flags = rom ? LEAST_ROM - 1 : kind === 'io' ? 3 : 15;
    let base = (low & ~flags) >>> 0;
    if (kind === 'mem64') base += readU32(config, this.at + 4) * 2 ** 32;
    // Zero and what reaches the end of the space are not addresses: a guest that sizes a BAR writes such.
    const end = base + size - 1;
    const limit = kind === 'io' ? 0xffff : kind === 'mem32' ? 0xffff_ffff : Number.MAX_SAFE_INTEGER;
    return base !== 0 && end < limit && this.socket.forwards(kind, base, size) ? base : undefined;
  }

  private show(base: number | undefined): void {
    if (this.base === base) return;
    this.base = base;
    this.window?.move(base);
    this.area?.place(base);
  }
}

/** Throws RangeError for what no register can tell. */
export function checkBar(name: string, { index, kind, size }: BarOptions): void {
  const least = kind === 'io' ? 4 : 16;
  if (index < 0 || index > (kind === 'mem64' ? 4 : 5) || size < least || 2 ** Math.round(Math.log2(size)) !== size)
    throw new RangeError(`${name}: BAR ${index} of ${size} bytes`);
}

/** Bytes of the window in which an expansion ROM shows. */
export function romSize(rom: Uint8Array): number {
  return Math.max(LEAST_ROM, 2 ** Math.ceil(Math.log2(Math.max(1, rom.length))));
}

export function romMmio(rom: Uint8Array): Mmio {
  const read = (offset: number, width: AccessSize): number => {
    let value = 0;
    for (let i = 0; i < width; i++) value |= (rom[offset + i] ?? 0) << (8 * i);
    return value >>> 0;
  };
  return { read, write: () => {} };
}
