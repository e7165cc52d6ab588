/**
 * A free-running oscillator of a whole number of hertz: which tick a point in
 * time belongs to, and when a tick begins. Exact, so that a timer set for the
 * beginning of a tick finds itself in that tick when it fires.
 */
const SECOND = 1e9;

export class Oscillator {
  readonly hz: number;

  /** `hz` up to 9 MHz: beyond that products no longer fit a double. */
  constructor(hz: number) {
    if (!(Number.isInteger(hz) && hz > 0 && hz <= 9e6)) throw new RangeError(`oscillator: ${hz} Hz`);
    this.hz = hz;
  }

  /** Ticks that have begun by `time` (nanoseconds, not negative). */
  ticks(time: number): number {
    const seconds = Math.floor(time / SECOND);
    return seconds * this.hz + Math.floor(((time - seconds * SECOND) * this.hz) / SECOND);
  }

  /** The first whole nanosecond that belongs to `tick`. */
  time(tick: number): number {
    const seconds = Math.floor(tick / this.hz);
    return seconds * SECOND + Math.ceil(((tick - seconds * this.hz) * SECOND) / this.hz);
  }
}
