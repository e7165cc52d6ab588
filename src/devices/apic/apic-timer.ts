/**
 * The local APIC's timer: one-shot, periodic, or at a value of the TSC.
 *
 * Spec: Intel SDM volume 3, "APIC Timer".
 * Departures: the counter's input is 1 GHz, as in QEMU; a period is at least
 * 10 microseconds, however small the initial count.
 */
import type { Clock, Timer } from '../../hw/clock.ts';

/** A vCPU's time stamp counter. */
export interface TimeStampCounter {
  /** Ticks now, as IA32_TIME_STAMP_COUNTER shows them; precise below 2^53. */
  now(): number;
  readonly hz: number;
}

/** The part of the local APIC's state that is the timer's. */
export interface ApicTimerState {
  /** The LVT's timer entry. */
  readonly lvt: number[];
  initialCount: number;
  divide: number;
  /** Clock time at which the count was last loaded, nanoseconds. */
  countStart: number;
  /** The counter has reached 0 (one-shot) or was never loaded. */
  countDone: number;
  /** Clock time at which a periodic count last ended. */
  rang: number;
  /** IA32_TSC_DEADLINE, low and high; 0 is disarmed. */
  readonly tscDeadline: number[];
}

export const TIMER_MODE = { ONE_SHOT: 0, PERIODIC: 1, TSC_DEADLINE: 2 };
const SHORTEST_PERIOD = 10_000;
const LVT_TIMER = 0;

export class ApicTimer {
  private readonly clock: Clock;
  private readonly tsc: TimeStampCounter | undefined;
  private readonly timer: Timer;
  private readonly state: () => ApicTimerState;
  private readonly ring: () => void;

  constructor(clock: Clock, tsc: TimeStampCounter | undefined, state: () => ApicTimerState, ring: () => void) {
    this.clock = clock;
    this.tsc = tsc;
    this.state = state;
    this.ring = ring;
    this.timer = clock.timer(() => this.fire());
  }

  get mode(): number {
    return (this.state().lvt[LVT_TIMER] >>> 17) & 3;
  }

  /** The initial count is written: the counter starts from it. Without effect in TSC-deadline mode. */
  load(count: number): void {
    const state = this.state();
    if (this.mode === TIMER_MODE.TSC_DEADLINE) return;
    state.initialCount = count;
    state.countStart = this.clock.now();
    state.countDone = state.initialCount === 0 ? 1 : 0;
    state.rang = state.countStart - SHORTEST_PERIOD;
    this.arm();
  }

  /** The mode changed: those that count go on counting; to and from TSC-deadline all is disarmed. */
  changeMode(from: number): void {
    const state = this.state();
    if (this.mode !== from && (this.mode === TIMER_MODE.TSC_DEADLINE || from === TIMER_MODE.TSC_DEADLINE)) {
      state.tscDeadline.fill(0);
      state.initialCount = 0;
      state.countDone = 1;
    }
    this.arm();
  }

  /** The current count register. */
  currentCount(): number {
    const state = this.state();
    if (state.countDone || this.mode === TIMER_MODE.TSC_DEADLINE) return 0;
    const ticks = Math.floor((this.clock.now() - state.countStart) / this.step());
    if (this.mode === TIMER_MODE.PERIODIC) return state.initialCount - (ticks % state.initialCount);
    return Math.max(0, state.initialCount - ticks);
  }

  /** Somebody else counts from here on. */
  leave(): void {
    this.timer.cancel();
  }

  /** Counting comes back with `left` to go; `missed`: it has ended, and nobody was told. */
  adopt(left: number, missed: boolean): void {
    const state = this.state();
    if (state.countDone || this.mode === TIMER_MODE.TSC_DEADLINE) return;
    const now = this.clock.now();
    const period = state.initialCount * this.step();
    state.countStart = now - period + left * this.step();
    state.rang = now - SHORTEST_PERIOD;
    if (this.mode === TIMER_MODE.PERIODIC && missed) state.countStart -= period;
    else if (left === 0 && !missed) state.countDone = 1;
  }

  /** Sets the host timer to what the state says; after any change of divider, count or TSC. */
  arm(): void {
    const state = this.state();
    const now = this.clock.now();
    if (this.mode === TIMER_MODE.TSC_DEADLINE) {
      const deadline = state.tscDeadline[1] * 0x1_0000_0000 + state.tscDeadline[0];
      const left = this.tsc ? deadline - this.tsc.now() : Infinity;
      if (deadline === 0 || !this.tsc) this.timer.cancel();
      // What has passed rings before the guest's next instruction.
      else if (left <= 0) this.fire();
      else this.timer.set(now + Math.ceil((left * 1e9) / this.tsc.hz));
    } else if (state.countDone) this.timer.cancel();
    else {
      const period = state.initialCount * this.step();
      let next = state.countStart + period;
      if (this.mode === TIMER_MODE.PERIODIC) next = Math.max(next, state.rang + SHORTEST_PERIOD);
      this.timer.set(next);
    }
  }

  /** Nanoseconds a count. */
  private step(): number {
    const { divide } = this.state();
    return 1 << (((divide & 3) + ((divide >> 1) & 4) + 1) & 7);
  }

  private fire(): void {
    const state = this.state();
    const now = this.clock.now();
    if (this.mode === TIMER_MODE.TSC_DEADLINE) state.tscDeadline.fill(0);
    else if (this.mode === TIMER_MODE.PERIODIC) {
      const period = state.initialCount * this.step();
      state.countStart += Math.floor((now - state.countStart) / period) * period;
      state.rang = now;
    } else state.countDone = 1;
    this.ring();
    this.arm();
  }
}
