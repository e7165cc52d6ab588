/**
 * A table from the few bytes that say what an instruction is to what is known
 * of it. A Map would do, but its keys are numbers of up to 48 bits: V8 keeps
 * each on the heap and hashes it by a call.
 */
const FIRST_BITS = 12;

export class ByteKeys<T> {
  /** Two words of each key: bytes 4 and 5 with the key's length, and the first four; 0 where there is none. */
  private keys = new Int32Array(2 << FIRST_BITS);
  private values: (T | undefined)[] = emptied(1 << FIRST_BITS);
  private bits = FIRST_BITS;
  private size = 0;

  /** What is known of a key of two words, of which `high` is not 0. */
  get(high: number, low: number): T | undefined {
    return this.values[this.place(high, low)];
  }

  set(high: number, low: number, value: T): void {
    // At most half full: a search ends soon, and always.
    if (this.size * 2 >= this.values.length) this.grow();
    const at = this.place(high, low);
    if (this.keys[at * 2] === 0) this.size++;
    this.keys[at * 2] = high;
    this.keys[at * 2 + 1] = low;
    this.values[at] = value;
  }

  clear(): void {
    this.keys.fill(0);
    this.values = emptied(this.values.length);
    this.size = 0;
  }

  private place(high: number, low: number): number {
    const { keys } = this;
    const mask = (1 << this.bits) - 1;
    let at = Math.imul(low ^ Math.imul(high, 0x9e3779b1), 0x85ebca6b) >>> (32 - this.bits);
    while (keys[at * 2] !== 0 && (keys[at * 2] !== high || keys[at * 2 + 1] !== low)) at = (at + 1) & mask;
    return at;
  }

  private grow(): void {
    const { keys, values } = this;
    this.bits++;
    this.keys = new Int32Array(2 << this.bits);
    this.values = emptied(1 << this.bits);
    this.size = 0;
    for (let n = 0; n < values.length; n++) {
      const value = values[n];
      if (value !== undefined) this.set(keys[n * 2], keys[n * 2 + 1], value);
    }
  }
}

const emptied = <T>(length: number): (T | undefined)[] => new Array<T | undefined>(length).fill(undefined);
