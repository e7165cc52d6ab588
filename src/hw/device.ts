/**
 * What a device is to the rest of the house.
 *
 * A guest's mistake (a write to a reserved register, a bad descriptor) is a
 * value or a `guestError` report, never a JavaScript exception.
 */
import type { Layout } from '../state/layout.ts';

/** Width of one access in bytes. The bus splits 8-byte accesses in two, low half first. */
export type AccessSize = 1 | 2 | 4;

/** Something that answers memory-mapped accesses inside a window; offsets are already bounded by the window. */
export interface Mmio {
  /** Returns the value zero-extended, as an unsigned number. */
  read(offset: number, size: AccessSize): number;
  write(offset: number, size: AccessSize, value: number): void;
  /** The widths that it takes, any when absent: what the port bus splits wider accesses into. */
  readonly widths?: readonly AccessSize[];
  /**
   * Offsets of registers whose writes, of two bytes and whatever value, only tell the device to look at something in
   * memory: they may be told later.
   */
  readonly doorbells?: readonly number[];
  /** Only where the window is memory: what reads would give, without their side effects (`pmemsave`). */
  peek?(offset: number, length: number): Uint8Array;
}

/** One interrupt wire, level-triggered: the receiver sees changes of level only. */
export interface IrqLine {
  set(level: boolean): void;
}

/** Guest-physical memory as a device may touch it. Every length comes from the guest: nothing may throw. */
export interface Dma {
  /** The bytes [address, address+length) for reading, or undefined when they are not all RAM. */
  readable(address: number, length: number): Uint8Array | undefined;
  /** The same for writing; translated code on those pages is dropped. */
  writable(address: number, length: number): Uint8Array | undefined;
  /**
   * Only behind an IOMMU, where neighbours need not lie side by side in memory: how many bytes from `address` on, at most
   * `length`, certainly do, and may be read or written; 0 for none. There `readable` may give a copy, and `writable` fails for
   * what lies in several places. Elsewhere undefined, and best present: objects of one shape are faster.
   */
  readonly stretch?: ((address: number, length: number, write: boolean) => number) | undefined;
}

export interface Device<L extends Layout = Layout> {
  /** Unique in its machine, e.g. `serial0`, `virtio-mmio.3`. */
  readonly name: string;
  readonly layout: L;
  /** Everything that a snapshot must hold. */
  readonly state: object;
  /** Power-on values; outputs (interrupt lines) follow. */
  reset(): void;
  /** After a snapshot was loaded into `state`: recompute outputs, re-arm timers. */
  resumed?(): void;
}

/** Where reports of guest mistakes and traces go; quiet unless asked for (`-d guest_errors,unimp`). */
export interface DeviceLog {
  guestError(device: string, message: string): void;
  unimplemented(device: string, message: string): void;
}
export const silentLog: DeviceLog = { guestError() {}, unimplemented() {} };

/** What a board hands to each device. */
export interface Wiring {
  readonly clock: import('./clock.ts').Clock;
  readonly dma: Dma;
  readonly log: DeviceLog;
}
