/** Where earlier processes had regions, by what the code there begins with: places that need not get hot to be asked for. */

/** What a place is known by: so many bytes, or as many as there are to the end of its page. */
export const KEY_BYTES = 8;
const PAGE = 4096;
/** Bits of a key that count here: enough for one in twenty of other places to pass for known. */
const BITS = 17;

/** The key of a place of which `bytes` begin at `at`; `offset` is where it lies in its page. */
export function startKey(mode: number, offset: number, bytes: Uint8Array, at: number): number {
  let hash = Math.imul(offset * 16 + mode + 1, 0x9e37_79b1);
  const end = at + Math.min(KEY_BYTES, PAGE - offset);
  for (let n = at; n < end; n++) hash = Math.imul(hash ^ bytes[n], 0x0100_0193);
  return (hash ^ (hash >>> 15)) >>> 0;
}

/** A set of keys that holds some others too. */
export class KnownStarts {
  readonly bits: Uint8Array<ArrayBuffer>;

  constructor(bits = new Uint8Array(2 ** (BITS - 3))) {
    this.bits = bits;
  }

  add(key: number): void {
    this.bits[(key >>> 3) & (this.bits.length - 1)] |= 1 << (key & 7);
  }
  has(key: number): boolean {
    return (this.bits[(key >>> 3) & (this.bits.length - 1)] & (1 << (key & 7))) !== 0;
  }
}
