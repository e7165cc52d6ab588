/** Repeatable randomness (sfc32), and the values that arithmetic goes wrong on. */

export class Random {
  private a: number;
  private b = 0x9e3779b9;
  private c = 0x243f6a88;
  private counter = 1;

  constructor(seed: number) {
    this.a = seed | 0;
    for (let n = 0; n < 12; n++) this.u32();
  }

  u32(): number {
    const t = (((this.a + this.b) | 0) + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (((this.c << 21) | (this.c >>> 11)) + t) | 0;
    return t >>> 0;
  }
  u64(): bigint {
    return (BigInt(this.u32()) << 32n) | BigInt(this.u32());
  }
  /** A whole number from 0 to `n` - 1. */
  below(n: number): number {
    return Math.floor((this.u32() / 2 ** 32) * n);
  }
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }
  chance(probability: number): boolean {
    return this.u32() < probability * 2 ** 32;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)];
  }
  weighted<T>(choices: readonly (readonly [number, T])[]): T {
    let left = this.below(choices.reduce((sum, [weight]) => sum + weight, 0));
    for (const [weight, choice] of choices) {
      left -= weight;
      if (left < 0) return choice;
    }
    return choices[0][1];
  }

  /** 64 bits: small numbers, powers of two and their neighbours, extremes, any bits. */
  integer(): bigint {
    const x = this.u64();
    switch (this.below(6)) {
      case 0:
        return BigInt.asUintN(64, (x & 15n) - 8n);
      case 1:
        return BigInt.asUintN(64, (1n << (x & 63n)) + (BigInt(this.below(3)) - 1n));
      case 2:
        return BigInt.asUintN(64, BigInt.asIntN(32, x));
      case 3:
        return this.pick([
          0n,
          1n << 63n,
          (1n << 63n) - 1n,
          ~0n & ((1n << 64n) - 1n),
          1n << 31n,
          0xffff_ffff_8000_0000n,
        ]);
      case 4:
        return x >> (this.u64() & 63n);
      default:
        return x;
    }
  }

  /** The bits of a double, or of a single in its box (rarely badly boxed). */
  float(): bigint {
    if (this.chance(0.5)) {
      const exponent = this.pick([0n, 1n, 1022n, 1023n, 1024n, 1075n, 1086n, 2046n, 2047n, this.u64() & 2047n]);
      const fraction = this.pick([0n, 1n, 1n << 51n, (1n << 52n) - 1n, this.u64() & ((1n << 52n) - 1n)]);
      return ((this.u64() & 1n) << 63n) | (exponent << 52n) | fraction;
    }
    const exponent = this.pick([0, 1, 126, 127, 128, 150, 158, 254, 255, this.below(256)]);
    const fraction = this.pick([0, 1, 1 << 22, (1 << 23) - 1, this.below(1 << 23)]);
    const bits = ((this.below(2) << 31) | (exponent << 23) | fraction) >>> 0;
    const box = this.chance(0.95) ? 0xffff_ffffn : this.u64() & 0xffff_ffffn;
    return (box << 32n) | BigInt(bits);
  }
}
