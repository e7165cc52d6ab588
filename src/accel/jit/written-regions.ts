/**
 * The regions that a compiler has written, so that the next one ends where one
 * of them begins: without that most code is compiled three and four times, as
 * part of what is before it and from each place in it that gets hot.
 */

/** Regions of fewer instructions are written once more: storing the registers to enter them costs as much. */
const FEWEST = 8;
/** How many of the last ones count although they may not be installed yet. */
const RECENT = 64;
/** How many are remembered. */
const MOST = 65536;

export class WrittenRegions {
  /** Instructions by place. */
  private readonly sizes = new Map<number, number>();
  private readonly recent: number[] = [];
  private next = 0;

  add(host: number, mode: number, instructions: number): void {
    const key = keyOf(host, mode);
    if (this.sizes.size >= MOST) this.sizes.clear();
    this.sizes.set(key, instructions);
    this.recent[this.next++ % RECENT] = key;
  }

  /** `installed`: a region is entered there now. */
  isWorthEntering(host: number, mode: number, installed: boolean): boolean {
    const key = keyOf(host, mode);
    if ((this.sizes.get(key) ?? 0) < FEWEST) return false;
    return installed || this.recent.includes(key);
  }
}

/** `host` is an address in linear memory; modes are fewer than 16. */
const keyOf = (host: number, mode: number): number => host * 16 + mode;
