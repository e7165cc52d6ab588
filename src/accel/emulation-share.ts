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
