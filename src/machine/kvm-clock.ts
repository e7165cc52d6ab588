/**
 * KVM's paravirtual clock: two MSRs through which a guest asks to be told how
 * its time-stamp counter is to be read as nanoseconds, and what day it is.
 *
 * Spec: Linux documentation, "KVM-specific MSRs" (MSR_KVM_SYSTEM_TIME_NEW,
 * MSR_KVM_WALL_CLOCK_NEW), "KVMCLOCK_CTRL", and pvclock's ABI.
 *
 * It is the machine's under every accelerator. The kernel's own is no better:
 * it names the same rate of the same counter, once, and a move from one to the
 * other would be a step.
 *
 * Invariant: all pages follow from one moment, so that processors agree to the
 * nanosecond, and each page gives the same time before and after a pause.
 */
import type { Clock } from '../hw/clock.ts';
import type { Dma } from '../hw/device.ts';

export const KVM_MSR = {
  wallClock: 0x4b56_4d00,
  systemTime: 0x4b56_4d01,
  stealTime: 0x4b56_4d03,
  endOfInterrupt: 0x4b56_4d04,
} as const;

const ENABLED = 1n;
/** The counters of all processors agree. */
const STABLE = 1;
/** The machine stood still: a guest that watches itself begins anew. The guest clears it. */
const GUEST_STOPPED = 2;
const TIME_INFO_BYTES = 32;
const WALL_CLOCK_BYTES = 12;
const FLAGS = 29;
/** Less than this, in nanoseconds, is rounding. */
const STEP = 1000n;
const M64 = (1n << 64n) - 1n;

interface Ticks {
  readonly shift: number;
  readonly scale: number;
}
/** Nanoseconds = (ticks << shift) * scale / 2^32, with a scale of 32 bits whose top one is set. */
function scaleOf(hz: number): Ticks {
  let perTick = 1e9 / hz;
  let shift = 0;
  for (; perTick >= 1; perTick /= 2) shift++;
  for (; perTick < 0.5; perTick *= 2) shift--;
  const scale = Math.round(perTick * 2 ** 32);
  return scale < 2 ** 32 ? { shift, scale } : { shift: shift + 1, scale: 0x8000_0000 };
}
function nanoseconds(ticks: bigint, { shift, scale }: Ticks): bigint {
  const shifted = shift >= 0 ? ticks << BigInt(shift) : ticks >> BigInt(-shift);
  return (shifted * BigInt(scale)) >> 32n;
}

/** The processors' time-stamp counters. */
export interface ClockCounters {
  readonly cpus: number;
  readonly hz: number;
  /** What the first one reads at a time of the machine's clock. */
  read(now: number): bigint;
  /** What software has added to one: IA32_TSC_ADJUST. */
  added(cpu: number): bigint;
}

/** What the first processor's counter read, less what software had added, and the time of that moment. */
interface Anchor {
  readonly counter: bigint;
  readonly ns: bigint;
}

export class KvmClock {
  private readonly dma: Dma;
  private readonly clock: Clock;
  private readonly counters: ClockCounters;
  private readonly ticks: Ticks;
  private readonly stable: boolean;
  /** As last written, for each processor. */
  readonly systemTime: bigint[];
  wallClock = 0n;
  private anchor: Anchor | undefined;
  /** Who holds it still: a pause, a change of accelerator, one within the other. */
  private holds = 0;
  /** The guest's time since, and the machine's. */
  private held: { readonly guest: bigint; readonly clock: number } | undefined;

  constructor(dma: Dma, clock: Clock, counters: ClockCounters, stable = true) {
    this.dma = dma;
    this.clock = clock;
    this.counters = counters;
    this.ticks = scaleOf(counters.hz);
    this.stable = stable;
    this.systemTime = new Array(counters.cpus).fill(0n);
  }

  reset(): void {
    this.systemTime.fill(0n);
    this.wallClock = 0n;
    this.anchor = undefined;
    this.held = undefined;
  }

  /** The guest gives a place for a processor's time information. */
  setSystemTime(cpu: number, value: bigint): void {
    this.systemTime[cpu] = value;
    if (!(value & ENABLED)) return;
    if (!this.anchor) {
      const now = Math.floor(this.clock.now());
      this.anchor = { counter: this.bare(now), ns: BigInt(now) };
    }
    this.write(cpu, 0, 0);
  }

  /** The guest's processors stand still; what their counters read is in the states. */
  stopped(): void {
    const { anchor } = this;
    if (this.holds++ > 0 || !anchor) return;
    const clock = Math.floor(this.clock.now());
    this.held = { guest: this.guestTime(anchor, this.bare(clock)), clock };
  }

  /** They go on, and so do their counters, which may have counted meanwhile. `paused`: the machine's clock stood still. */
  started(paused = true): void {
    this.holds = Math.max(0, this.holds - 1);
    if (this.holds > 0) return;
    const { anchor, held } = this;
    this.held = undefined;
    if (!anchor || held === undefined) return;
    const now = Math.floor(this.clock.now());
    const counter = this.bare(now);
    const ns = held.guest + BigInt(now - held.clock);
    const gap = this.guestTime(anchor, counter) - ns;
    const steps = gap < -STEP || gap > STEP;
    if (steps) this.anchor = { counter, ns };
    if (!steps && !paused) return;
    this.systemTime.forEach((value, cpu) => {
      if (value & ENABLED) this.write(cpu, paused ? GUEST_STOPPED : 0, GUEST_STOPPED);
    });
  }

  /** The first processor's counter without what software added. */
  private bare(now: number): bigint {
    return (this.counters.read(now) - this.counters.added(0)) & M64;
  }
  private guestTime(anchor: Anchor, counter: bigint): bigint {
    return anchor.ns + nanoseconds(BigInt.asIntN(64, counter - anchor.counter), this.ticks);
  }

  /** `kept`: flags that stay as they are. */
  private write(cpu: number, flags: number, kept: number): void {
    const { anchor, ticks } = this;
    const place = Number(this.systemTime[cpu] & ~ENABLED);
    const bytes = anchor && this.dma.writable(place, TIME_INFO_BYTES);
    if (!bytes) return;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const version = (view.getUint32(0, true) | 1) + 1;
    view.setUint32(0, version - 1, true);
    view.setUint32(4, 0, true);
    view.setBigUint64(8, (anchor.counter + this.counters.added(cpu)) & M64, true);
    view.setBigUint64(16, anchor.ns, true);
    view.setUint32(24, ticks.scale, true);
    view.setInt8(28, ticks.shift);
    view.setUint8(FLAGS, (this.stable ? STABLE : 0) | flags | (view.getUint8(FLAGS) & kept));
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
