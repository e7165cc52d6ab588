/**
 * Time is injected: a device knows only a Clock. Real time and virtual time
 * (driven by the count of executed instructions) implement it.
 */

/** A pending call at a point in time. Setting it again moves it. */
export interface Timer {
  /** Fires once at `deadline` (nanoseconds on the same clock); a past deadline fires at the next poll. */
  set(deadline: number): void;
  cancel(): void;
  /** The deadline, or undefined when the timer is not armed. */
  readonly deadline: number | undefined;
}

export interface Clock {
  /** Nanoseconds since the machine's clock started; exact to 2^53. */
  now(): number;
  /** Wall-clock time of the guest's day, milliseconds since the Unix epoch. */
  epoch(): number;
  timer(fire: () => void): Timer;
}

/** A Clock whose timers somebody else drives: the machine's main loop. */
export class TimerQueue {
  private readonly armed = new Set<QueuedTimer>();
  private earliest = Infinity;

  timer(fire: () => void): Timer {
    return new QueuedTimer(this, fire);
  }

  /** The earliest deadline, or Infinity. */
  next(): number {
    return this.earliest;
  }

  /** Fires every timer due at `now`, in order of deadline. */
  run(now: number): void {
    while (this.earliest <= now) {
      let first: QueuedTimer | undefined;
      for (const timer of this.armed) if (timer.at <= now && (!first || timer.at < first.at)) first = timer;
      if (!first) break;
      first.cancel();
      first.fire();
    }
  }

  arm(timer: QueuedTimer): void {
    this.armed.add(timer);
    this.refresh();
  }

  disarm(timer: QueuedTimer): void {
    if (this.armed.delete(timer)) this.refresh();
  }

  private refresh(): void {
    this.earliest = Infinity;
    for (const timer of this.armed) if (timer.at < this.earliest) this.earliest = timer.at;
  }
}

class QueuedTimer implements Timer {
  at = Infinity;
  readonly fire: () => void;
  private readonly queue: TimerQueue;

  constructor(queue: TimerQueue, fire: () => void) {
    this.queue = queue;
    this.fire = fire;
  }

  get deadline(): number | undefined {
    return this.at === Infinity ? undefined : this.at;
  }

  set(deadline: number): void {
    this.at = deadline;
    this.queue.arm(this);
  }

  cancel(): void {
    this.at = Infinity;
    this.queue.disarm(this);
  }
}
