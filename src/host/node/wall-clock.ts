/**
 * The wall clock with fractions of a millisecond, which a PC's clock chip needs: Date.now() has none. They come from
 * the monotonic clock; the wall clock corrects it whenever they disagree.
 */
export class WallClock {
  private readonly wall: () => number;
  private readonly monotonic: () => number;
  private offset: number;

  constructor(wall: () => number = () => Date.now(), monotonic: () => number = () => performance.now()) {
    this.wall = wall;
    this.monotonic = monotonic;
    this.offset = wall() - monotonic();
  }

  /** Milliseconds since the Unix epoch. */
  now(): number {
    const wall = this.wall();
    const guess = this.monotonic() + this.offset;
    // `wall` has lost less than a millisecond.
    const now = guess < wall ? wall : guess >= wall + 1 ? wall + 0.999 : guess;
    this.offset += now - guess;
    return now;
  }
}
