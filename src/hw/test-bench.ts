/**
 * What a device under test is wired to: a clock that stands still until it is
 * moved, RAM, interrupt lines that remember, and a log that collects.
 */
import { type Timer, TimerQueue } from './clock.ts';
import type { AccessSize, DeviceLog, IrqLine, Mmio, Wiring } from './device.ts';

export class TestLine implements IrqLine {
  level = false;
  /** How often the level changed to high. */
  rises = 0;

  set(level: boolean): void {
    if (level && !this.level) this.rises++;
    this.level = level;
  }
}

export class TestBench implements Wiring {
  readonly reports: string[] = [];
  readonly ram: Uint8Array;
  readonly ramBase: number;
  readonly log: DeviceLog = {
    guestError: (device, message) => this.reports.push(`${device}: ${message}`),
    unimplemented: (device, message) => this.reports.push(`${device}: unimplemented: ${message}`),
  };
  readonly dma = {
    readable: (address: number, length: number) => this.view(address, length),
    writable: (address: number, length: number) => this.view(address, length),
    stretch: undefined,
  };
  readonly timers = new TimerQueue();
  readonly clock = {
    now: () => this.time,
    epoch: () => this.epochBase + this.time / 1e6,
    timer: (fire: () => void): Timer => this.timers.timer(fire),
  };
  epochBase = 1_700_000_000_000;
  private time = 0;

  constructor(ramBase = 0x8000_0000, ramSize = 0x10_0000) {
    this.ramBase = ramBase;
    this.ram = new Uint8Array(ramSize);
  }

  /** Lets `nanoseconds` pass and fires what falls due, in order. */
  advance(nanoseconds: number): void {
    const end = this.time + nanoseconds;
    while (this.timers.next() <= end) {
      this.time = Math.max(this.time, this.timers.next());
      this.timers.run(this.time);
    }
    this.time = end;
  }

  private view(address: number, length: number): Uint8Array | undefined {
    const at = address - this.ramBase;
    if (!(at >= 0 && length >= 0 && at + length <= this.ram.length)) return undefined;
    return this.ram.subarray(at, at + length);
  }
}

/** A window with shorter names: `r32(0x10)`, `w32(0x10, 5)`. */
export class Probe {
  readonly mmio: Mmio;

  constructor(mmio: Mmio) {
    this.mmio = mmio;
  }

  r(offset: number, size: AccessSize = 4): number {
    return this.mmio.read(offset, size);
  }

  w(offset: number, value: number, size: AccessSize = 4): void {
    this.mmio.write(offset, size, value >>> 0);
  }
}
