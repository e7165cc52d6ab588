/**
 * KVM's paravirtual clock: two MSRs through which a guest asks to be told how
 * its time-stamp counter is to be read as nanoseconds, and what day it is.
 *
 * Spec: Linux documentation, "KVM-specific MSRs" (MSR_KVM_SYSTEM_TIME_NEW,
 * MSR_KVM_WALL_CLOCK_NEW), and pvclock's ABI.
 */
import type { Clock } from '../hw/clock.ts';
import type { Dma } from '../hw/device.ts';

export const KVM_MSR = { wallClock: 0x4b56_4d00, systemTime: 0x4b56_4d01 } as const;

const ENABLED = 1n;
/** The counters of all processors agree. */
const STABLE = 1;
const TIME_INFO_BYTES = 32;
const WALL_CLOCK_BYTES = 12;
/** Nanoseconds = (ticks << shift) * scale / 2^32: one tick is one nanosecond. */
const SHIFT = 1;
const SCALE = 0x8000_0000;

export class KvmClock {
  private readonly dma: Dma;
  private readonly clock: Clock;
  /** As last written, for each processor. */
  readonly systemTime: bigint[];
  wallClock = 0n;

  constructor(dma: Dma, clock: Clock, cpus: number) {
    this.dma = dma;
    this.clock = clock;
    this.systemTime = new Array(cpus).fill(0n);
  }

  reset(): void {
    this.systemTime.fill(0n);
    this.wallClock = 0n;
  }

  /** The guest gives a place for its time information: `offset` is what its counter is ahead of the clock. */
  setSystemTime(cpu: number, value: bigint, offset: bigint): void {
    this.systemTime[cpu] = value;
    if (!(value & ENABLED)) return;
    const bytes = this.dma.writable(Number(value & ~ENABLED), TIME_INFO_BYTES);
    if (!bytes) return;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const now = BigInt(Math.floor(this.clock.now()));
    const version = (view.getUint32(0, true) | 1) + 1;
    view.setUint32(0, version - 1, true);
    view.setUint32(4, 0, true);
    view.setBigUint64(8, BigInt.asUintN(64, now + offset), true);
    view.setBigUint64(16, now, true);
    view.setUint32(24, SCALE, true);
    view.setInt8(28, SHIFT);
    view.setUint8(29, STABLE);
    view.setUint32(0, version, true);
  }

  /** The guest asks what time of day it was when the clock began. */
  setWallClock(value: bigint): void {
    this.wallClock = value;
    const bytes = this.dma.writable(Number(value), WALL_CLOCK_BYTES);
    if (!bytes) return;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const began = Math.max(0, this.clock.epoch() * 1e6 - this.clock.now());
    const version = (view.getUint32(0, true) | 1) + 1;
    view.setUint32(4, Math.floor(began / 1e9), true);
    view.setUint32(8, Math.floor(began % 1e9), true);
    view.setUint32(0, version, true);
  }
}
