/** Where earlier processes had regions, by what the code there begins with: places that need not get hot to be asked for. */

/** What a place is known by: so many bytes, or as many as there are to the end of its page. */
export const KEY_BYTES = 8;
const PAGE = 4096;
/** Bits of a key that count here: enough for one in twenty of other places to pass for known. */
const BITS = 17;

/** The key of a place whose code begins at `at`; `offset` is where it lies in its page. */
export function startKey(mode: number, offset: number, code: DataView, at: number): number {
  let first: number;
  let second = 0;
  if (offset <= PAGE - KEY_BYTES) {
    first = code.getUint32(at, true);
    second = code.getUint32(at + 4, true);
  } else {
    first = 0;
    for (let n = PAGE - offset - 1; n >= 0; n--) first = Math.imul(first, 0x0100_0193) ^ code.getUint8(at + n);
  }
  let hash = Math.imul(offset * 16 + mode + 1, 0x9e37_79b1) ^ first;
  hash = Math.imul(hash ^ (hash >>> 15), 0x85eb_ca6b) ^ second;
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
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
