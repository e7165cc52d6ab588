/**
 * How much of a machine's time goes into executing what KVM leaves: how long a
 * stretch to execute at once, and when KVM is not worth its while.
 */

/** Failures that come faster than this after each other belong together, ns. */
const NEAR_NS = 300_000;
const LONGEST_STRETCH = 64;
/** Judged over this much of the machine's time, ns. */
const WINDOW_NS = 250e6;
/** Failures in a window, below which the share does not matter. */
const FEWEST = 200;
/** Of a window's time. */
const TOO_MUCH = 0.4;
/** Instructions a second that the kernel's own emulator executes: where it does nothing else it reaches some millions. */
const SLOW_RATE = 300_000;
/** For so many windows one after the other. */
const SLOW_WINDOWS = 2;
const SLOW_WINDOW_NS = 100e6;

/** Whether KVM itself emulates most of what it runs, from its count of such instructions. */
export class SlowKvm {
  /** Instructions a second in the last window. */
  rate = 0;
  private readonly count: () => number;
  private from = -Infinity;
  private counted = 0;
  private windows = 0;

  constructor(count: () => number) {
    this.count = count;
  }

  /** At time `now`, often; true when it is too much. */
  look(now: number): boolean {
    if (now - this.from < SLOW_WINDOW_NS) return false;
    const count = this.count();
    // After a pause, or under another accelerator, a window says nothing.
    if (now - this.from < 3 * SLOW_WINDOW_NS) {
      this.rate = ((count - this.counted) / (now - this.from)) * 1e9;
      this.windows = this.rate >= SLOW_RATE ? this.windows + 1 : 0;
    }
    this.from = now;
    this.counted = count;
    return this.windows >= SLOW_WINDOWS;
  }
}

export class EmulationShare {
  /** Instructions to execute for the failure at hand. */
  stretch = 1;
  /** Most of the last window went into emulation. */
  dominates = false;
  private readonly now: () => number;
  private windowFrom: number | undefined;
  private spent = 0;
  private failures = 0;
  private last = -Infinity;

  constructor(now: () => number) {
    this.now = now;
  }

  /** A failure is being dealt with from now on. */
  begin(): number {
    const at = this.now();
    this.windowFrom ??= at;
    this.failures++;
    this.stretch = at - this.last < NEAR_NS ? Math.min(LONGEST_STRETCH, this.stretch * 2) : 1;
    return at;
  }

  /** It has been; `started` is what `begin` gave. */
  end(started: number): void {
    const at = this.now();
    this.last = at;
    this.spent += at - started;
    const window = at - (this.windowFrom ?? at);
    if (window < WINDOW_NS) return;
    // The way out of KVM and back costs as much as a stretch, and is seen as KVM's time.
    this.dominates = this.failures >= FEWEST && this.spent / window >= TOO_MUCH;
    this.windowFrom = at;
    this.spent = 0;
    this.failures = 0;
  }
}
