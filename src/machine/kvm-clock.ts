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
/** Nanoseconds = (ticks << shift) * scale / 2^32, with a scale of 32 bits whose top one is set. */
function scaleOf(hz: number): { readonly shift: number; readonly scale: number } {
  let perTick = 1e9 / hz;
  let shift = 0;
  for (; perTick >= 1; perTick /= 2) shift++;
  for (; perTick < 0.5; perTick *= 2) shift--;
  const scale = Math.round(perTick * 2 ** 32);
  return scale < 2 ** 32 ? { shift, scale } : { shift: shift + 1, scale: 0x8000_0000 };
}

export class KvmClock {
  private readonly dma: Dma;
  private readonly clock: Clock;
  private readonly ticks: ReturnType<typeof scaleOf>;
  /** As last written, for each processor. */
  readonly systemTime: bigint[];
  wallClock = 0n;

  /** `hz`: of the time-stamp counters. */
  constructor(dma: Dma, clock: Clock, cpus: number, hz: number) {
    this.ticks = scaleOf(hz);
    this.dma = dma;
    this.clock = clock;
    this.systemTime = new Array(cpus).fill(0n);
  }

  reset(): void {
    this.systemTime.fill(0n);
    this.wallClock = 0n;
  }

  /** The guest gives a place for its time information: `counter` is what its time-stamp counter reads at a time. */
  setSystemTime(cpu: number, value: bigint, counter: (now: number) => bigint): void {
    this.systemTime[cpu] = value;
    if (!(value & ENABLED)) return;
    const bytes = this.dma.writable(Number(value & ~ENABLED), TIME_INFO_BYTES);
    if (!bytes) return;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const now = Math.floor(this.clock.now());
    const version = (view.getUint32(0, true) | 1) + 1;
    view.setUint32(0, version - 1, true);
    view.setUint32(4, 0, true);
    view.setBigUint64(8, counter(now), true);
    view.setBigUint64(16, BigInt(now), true);
    view.setUint32(24, this.ticks.scale, true);
    view.setInt8(28, this.ticks.shift);
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
