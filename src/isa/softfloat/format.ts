/**
 * The binary interchange formats as IR code takes them apart.
 *
 * Spec: IEEE 754-2019, "Binary interchange format encodings". Functions take
 * and give bits: i32 of a binary32, i64 of a binary64. Inside, all is i64, a
 * binary32 in the low half.
 */
import type { Code } from '../../ir/code.ts';
import type { Type } from '../../ir/op.ts';
import {
  add32,
  and,
  and32,
  clz,
  eq,
  eqz,
  extendU,
  gtU,
  i64,
  ltU,
  or,
  shl,
  shrU,
  sub,
  sub32,
  type Value,
  wrap,
} from '../../ir/value.ts';

/** Rounding modes: the numbers of RISC-V's `frm`; other ISAs map theirs. */
export const Rounding = {
  /** To nearest, ties to even. */
  RNE: 0,
  /** Towards zero. */
  RTZ: 1,
  /** Down, towards minus infinity. */
  RDN: 2,
  /** Up, towards plus infinity. */
  RUP: 3,
  /** To nearest, ties away from zero. */
  RMM: 4,
} as const;

/** Where each exception has its bit in the flags field. */
export interface FlagBits {
  readonly inexact: number;
  readonly underflow: number;
  readonly overflow: number;
  readonly divideByZero: number;
  readonly invalid: number;
  /** Raised with an overflow or underflow that rounding to an unbounded exponent would not have made inexact. */
  readonly exactScaled?: number;
}

/** What differs between ISAs; all of it decided when the code is written. */
export interface FloatOptions {
  /** Byte offset of the 32-bit field of sticky flags in the CPU state. */
  readonly flagsOffset: number;
  readonly flags: FlagBits;
  /** Whether a result is tiny is judged after rounding (RISC-V, x86) or before (Arm). */
  readonly tininess: 'after' | 'before';
  /**
   * Results that are no number: always the default NaN (RISC-V); the first
   * operand that is a NaN, made quiet (x86); or the first signalling one, else
   * the first quiet one (Arm).
   */
  readonly nan: 'canonical' | 'first' | 'signalling-first';
  /** The default NaN has its sign set (x86). */
  readonly negativeNan?: boolean;
  /**
   * What a conversion to an integer gives when there is none: the nearest
   * integer, and for a NaN the largest (RISC-V) or 0 (Arm); or the lowest
   * integer always (x86).
   */
  readonly noInteger: 'clamp-nan-high' | 'clamp-nan-zero' | 'lowest';
  /** Writes what has to follow a change of the flags. */
  readonly after?: (code: Code) => void;
}

export class Format {
  readonly name: string;
  readonly type: Type;
  readonly bits: number;
  /** Bits of the fraction field. */
  readonly fraction: number;
  readonly bias: number;
  /** The exponent field when all its bits are set. */
  readonly top: number;
  readonly sign: bigint;
  readonly infinity: bigint;
  /** The bit of the fraction that a quiet NaN has. */
  readonly quiet: bigint;

  constructor(bits: 32 | 64, fraction: number) {
    this.name = `f${bits}`;
    this.type = bits === 64 ? 'i64' : 'i32';
    this.bits = bits;
    this.fraction = fraction;
    this.top = 2 ** (bits - fraction - 1) - 1;
    this.bias = this.top >> 1;
    this.sign = 1n << BigInt(bits - 1);
    this.infinity = BigInt(this.top) << BigInt(fraction);
    this.quiet = 1n << BigInt(fraction - 1);
  }

  /** A parameter of this format as an i64. */
  widen(bits: Value): Value {
    return bits.type === 'i32' ? extendU(bits) : bits;
  }
  /** The inverse of `widen`. */
  narrow(bits: Value): Value {
    return this.type === 'i32' ? wrap(bits) : bits;
  }

  // Questions about the bits of a number, which must be a local or constant.
  magnitude(x: Value): Value {
    return and(x, this.sign - 1n);
  }
  isNan(x: Value): Value {
    return gtU(this.magnitude(x), this.infinity);
  }
  isInfinite(x: Value): Value {
    return eq(this.magnitude(x), this.infinity);
  }
  isZero(x: Value): Value {
    return eqz(this.magnitude(x));
  }
  /** Infinity or NaN. */
  isSpecial(x: Value): Value {
    return eq(and(x, this.infinity), this.infinity);
  }
  /** A NaN without the quiet bit: between infinity and the first quiet NaN. */
  isSignalling(x: Value): Value {
    return ltU(sub(this.magnitude(x), this.infinity + 1n), this.quiet - 1n);
  }
  /** The sign as an i32: 0 or 1. */
  signOf(x: Value): Value {
    return wrap(shrU(x, this.bits - 1));
  }
  /** Sign (i32) and magnitude (i64) put together. */
  signed(sign: Value, magnitude: Value | bigint): Value {
    return or(shl(extendU(sign), this.bits - 1), i64(magnitude));
  }

  /**
   * Significand and exponent of a finite number: |x| = significand * 2^exponent,
   * the significand's leading one at bit `fraction`; 0 for zero.
   */
  unpack(code: Code, x: Value): { readonly significand: Value; readonly exponent: Value } {
    const significand = code.var(and(x, (1n << BigInt(this.fraction)) - 1n));
    const exponent = code.var(and32(wrap(shrU(x, this.fraction)), this.top));
    code.if(
      exponent.value,
      () => significand.set(or(significand.value, 1n << BigInt(this.fraction))),
      () => {
        const shift = code.let(sub32(wrap(clz(significand.value)), 63 - this.fraction));
        significand.set(shl(significand.value, extendU(shift)));
        exponent.set(sub32(1, shift));
      },
    );
    return { significand: significand.value, exponent: add32(exponent.value, -(this.bias + this.fraction)) };
  }
}

export const F32 = new Format(32, 23);
export const F64 = new Format(64, 52);
