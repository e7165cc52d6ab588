/**
 * A machine's time: real time that stands still while the machine does, or
 * virtual time that instructions drive (QEMU's `-icount`).
 *
 * Nothing here reads the host's clock but through MachineHost.
 */
import { type Clock, type Timer, TimerQueue } from '../hw/clock.ts';
import type { MachineConfig } from './config.ts';
import type { MachineHost } from './machine-host.ts';

const NS_PER_MS = 1e6;

export abstract class MachineClock implements Clock {
  /** Called when a timer was set for a time before all others. */
  onEarlier: () => void = () => {};
  protected readonly host: MachineHost;
  private readonly queue = new TimerQueue();
  private readonly rtc: MachineConfig['rtc'];
  private readonly createdAt: number;

  constructor(host: MachineHost, rtc: MachineConfig['rtc']) {
    this.host = host;
    this.rtc = rtc;
    this.createdAt = host.epoch();
  }

  abstract now(): number;
  /** The machine runs from here on. */
  abstract start(): void;
  /** The machine stands still from here on. */
  abstract stop(): void;
  /** How many instructions fit before `deadline` at `speed` instructions a millisecond; at least 1, perhaps Infinity. */
  abstract instructionsUntil(deadline: number, speed: number): number;
  /** Milliseconds to sleep until `deadline`. */
  abstract sleepUntil(deadline: number): number;
  /** The sleep that was to last until `deadline` took `ms`. */
  abstract slept(deadline: number, ms: number): void;

  epoch(): number {
    const { rtc } = this;
    if (rtc?.clock !== 'vm' && rtc?.base === undefined) return this.host.epoch();
    const base = rtc.base ?? this.createdAt;
    return base + (rtc.clock === 'vm' ? this.now() / NS_PER_MS : this.host.epoch() - this.createdAt);
  }

  timer(fire: () => void): Timer {
    const timer = this.queue.timer(fire);
    const { queue } = this;
    const earlier = () => this.onEarlier();
    return {
      get deadline() {
        return timer.deadline;
      },
      set(deadline) {
        const before = queue.next();
        timer.set(deadline);
        if (deadline < before) earlier();
      },
      cancel: () => timer.cancel(),
    };
  }

  /** The earliest deadline of a timer, or Infinity. */
  next(): number {
    return this.queue.next();
  }

  /** Fires the timers that are due. */
  runTimers(): void {
    if (this.queue.next() !== Infinity) this.queue.run(this.now());
  }
}

export class RealClock extends MachineClock {
  /** Nanoseconds that had passed when the machine was last stopped. */
  private passed = 0;
  private startedAt: number | undefined;

  now(): number {
    if (this.startedAt === undefined) return this.passed;
    return this.passed + Math.floor((this.host.now() - this.startedAt) * NS_PER_MS);
  }
  start(): void {
    this.startedAt ??= this.host.now();
  }
  stop(): void {
    this.passed = this.now();
    this.startedAt = undefined;
  }
  instructionsUntil(deadline: number, speed: number): number {
    return deadline === Infinity ? Infinity : Math.max(1, ((deadline - this.now()) / NS_PER_MS) * speed);
  }
  sleepUntil(deadline: number): number {
    return Math.max(0, (deadline - this.now()) / NS_PER_MS);
  }
  slept(): void {}
}

/** Time is the number of instructions of all vCPUs, times 2^shift ns, and what was slept. */
export class VirtualClock extends MachineClock {
  private readonly instructions: () => number;
  private readonly icount: NonNullable<MachineConfig['icount']>;
  /** Nanoseconds that passed while every vCPU waited. */
  private skipped = 0;

  constructor(
    host: MachineHost,
    rtc: MachineConfig['rtc'],
    icount: VirtualClock['icount'],
    instructions: () => number,
  ) {
    super(host, rtc);
    this.icount = icount;
    this.instructions = instructions;
  }

  now(): number {
    return this.instructions() * 2 ** this.icount.shift + this.skipped;
  }
  start(): void {}
  stop(): void {}
  instructionsUntil(deadline: number): number {
    return Math.max(1, Math.ceil((deadline - this.now()) / 2 ** this.icount.shift));
  }
  sleepUntil(deadline: number): number {
    // With nothing to wait for but the outside world, time stands still.
    if (deadline === Infinity) return Infinity;
    return this.icount.sleep ? Math.max(0, (deadline - this.now()) / NS_PER_MS) : 0;
  }
  slept(deadline: number, ms: number): void {
    if (deadline === Infinity) return;
    const rest = Math.max(0, deadline - this.now());
    this.skipped += this.icount.sleep ? Math.min(rest, Math.floor(ms * NS_PER_MS)) : rest;
  }
}
