/**
 * Integers of 128 bits and numbers with such a significand, for what needs more than 64 bits on the way.
 */
import type { Code } from '../../../ir/code.ts';
import * as op from '../../../ir/op.ts';
import {
  add,
  add32,
  and,
  and32,
  clz,
  divU,
  eqz,
  extendU,
  geS32,
  gtU,
  gtS32,
  i32,
  i64,
  load,
  ltS32,
  ltU,
  mul,
  or,
  or32,
  select,
  shl,
  shrU,
  sub,
  sub32,
  type Value,
  wrap,
  zext32,
} from '../../../ir/value.ts';
import { mulHigh } from '../../softfloat/arithmetic.ts';
import { BIAS } from './format.ts';

/** The high half of a 64 x 64 bit product, by 32-bit halves, in place. */
export function multiplyHigh(code: Code, x: Value, y: Value): Value {
  const xl = code.let(zext32(x));
  const xh = code.let(shrU(x, 32));
  const yl = code.let(zext32(y));
  const yh = code.let(shrU(y, 32));
  const t = code.let(add(mul(xh, yl), shrU(mul(xl, yl), 32)));
  const w = code.let(add(mul(xl, yh), zext32(t)));
  return code.let(add(add(mul(xh, yh), shrU(t, 32)), shrU(w, 32)));
}

/** Quotient of high:low and a divisor with bit 63 set, high less than it; by digits of 32 bits. */
export function divideWide(code: Code, high: Value, low: Value, divisor: Value): { quotient: Value; rest: Value } {
  const dh = code.let(shrU(divisor, 32));
  const dl = code.let(zext32(divisor));
  const digit = (above: Value, next: Value): { digit: Value; rest: Value } => {
    const q = code.var(divU(above, dh));
    const r = code.var(sub(above, mul(q.value, dh)));
    const tooLarge = (): Value => or32(gtU(q.value, 0xffffffff), gtU(mul(q.value, dl), or(shl(r.value, 32), next)));
    // At most twice; a remainder of 33 bits ends it.
    for (let n = 0; n < 2; n++) {
      code.if(and32(ltU(r.value, 1n << 32n), tooLarge()), () => {
        q.set(sub(q.value, 1));
        r.set(add(r.value, dh));
      });
    }
    return { digit: q.value, rest: code.let(sub(or(shl(above, 32), next), mul(q.value, divisor))) };
  };
  const first = digit(high, code.let(shrU(low, 32)));
  const second = digit(first.rest, code.let(zext32(low)));
  return { quotient: code.let(add(shl(first.digit, 32), second.digit)), rest: second.rest };
}

/** 128 bits, evaluated. */
export interface Pair {
  readonly high: Value;
  readonly low: Value;
}
/** 0.high:low * 2^(exponent - bias + 1); bit 63 of `high` set, or all 0. */
export interface Wide extends Pair {
  readonly exponent: Value;
}

export function pair(x: bigint): Pair {
  return { high: i64(x >> 64n), low: i64(x & 0xffff_ffff_ffff_ffffn) };
}
/** A constant numerator / 2^bits as a number; positive. */
export function wide(numerator: bigint, bits: number): Wide {
  const length = numerator.toString(2).length;
  const significand = length > 128 ? numerator >> BigInt(length - 128) : numerator << BigInt(128 - length);
  return { ...pair(significand), exponent: i32(BIAS + length - 1 - bits) };
}
export function addPair(code: Code, x: Pair, y: Pair): Pair {
  const low = code.let(add(x.low, y.low));
  return { high: code.let(add(add(x.high, y.high), extendU(ltU(low, y.low)))), low };
}
export function subPair(code: Code, x: Pair, y: Pair): Pair {
  return {
    high: code.let(sub(sub(x.high, y.high), extendU(ltU(x.low, y.low)))),
    low: code.let(sub(x.low, y.low)),
  };
}
export function selectPair(code: Code, condition: Value, x: Pair, y: Pair): Pair {
  return { high: code.let(select(condition, x.high, y.high)), low: code.let(select(condition, x.low, y.low)) };
}
/** The high 128 bits of the product, less than four too small. */
export function mulPair(code: Code, x: Pair, y: Pair): Pair {
  const low = code.let(mul(x.high, y.high));
  const cross = code.let(code.call(mulHigh, x.high, y.low));
  const sum = code.let(add(low, cross));
  const other = code.let(code.call(mulHigh, x.low, y.high));
  const all = code.let(add(sum, other));
  const carries = add(extendU(ltU(sum, cross)), extendU(ltU(all, other)));
  return { high: code.let(add(code.call(mulHigh, x.high, y.high), carries)), low: all };
}
/** x * n, n (i64) small enough. */
export function timesPair(code: Code, x: Pair, n: Value): Pair {
  return { high: code.let(add(mul(x.high, n), code.call(mulHigh, x.low, n))), low: code.let(mul(x.low, n)) };
}
/** Shifted right by `count` (i32, not negative). */
export function shiftPair(code: Code, x: Pair, count: Value): Pair {
  const high = code.var(x.high);
  const low = code.var(x.low);
  const n = code.let(extendU(count));
  code.if(geS32(count, 64), () => {
    low.set(select(gtS32(count, 127), i64(0), shrU(x.high, n)));
    high.set(i64(0));
  });
  code.if(and32(gtS32(count, 0), ltS32(count, 64)), () => {
    low.set(or(shrU(x.low, n), shl(x.high, sub(64, n))));
    high.set(shrU(x.high, n));
  });
  return { high: high.value, low: low.value };
}
/** A number below 2^integerBits in fixed point, 128 - integerBits bits of fraction. */
export function toFixed(code: Code, x: Wide, integerBits: number): Pair {
  return shiftPair(code, x, code.let(sub32(BIAS - 1 + integerBits, x.exponent)));
}
/** 128 bits as a number, whose exponent would be the given one with bit 127 set. */
export function normalise(code: Code, x: Pair, exponent: Value): Wide {
  const high = code.var(x.high);
  const low = code.var(x.low);
  const e = code.var(exponent);
  code.if(eqz(high.value), () => {
    high.set(low.value);
    low.set(i64(0));
    e.set(sub32(e.value, 64));
  });
  const n = code.let(clz(high.value));
  code.if(and32(wrap(n), 63), () => {
    high.set(or(shl(high.value, n), shrU(low.value, sub(64, n))));
    low.set(shl(low.value, n));
  });
  return { high: high.value, low: low.value, exponent: code.let(sub32(e.value, wrap(n))) };
}
export function mulWide(code: Code, x: Wide, y: Wide): Wide {
  const product = mulPair(code, x, y);
  const exponent = code.let(add32(add32(x.exponent, y.exponent), 1 - BIAS));
  const short = code.let(shrU(sub(-1, product.high), 63));
  return {
    high: code.let(or(shl(product.high, short), and(shrU(product.low, 63), short))),
    low: code.let(shl(product.low, short)),
    exponent: code.let(sub32(exponent, wrap(short))),
  };
}
/** The quotient, to about 126 bits. */
export function divWide(code: Code, x: Wide, y: Wide): Wide {
  // Halved, the dividend's high digit is below the divisor's.
  const high = code.let(shrU(x.high, 1));
  const low = code.let(or(shl(x.high, 63), shrU(x.low, 1)));
  const first = divideWide(code, high, low, y.high);
  const digit = code.var(first.quotient);
  const crossHigh = code.let(code.call(mulHigh, first.quotient, y.low));
  const crossLow = code.let(mul(first.quotient, y.low));
  const rest = subPair(code, { high: first.rest, low: i64(0) }, { high: crossHigh, low: crossLow });
  const restHigh = code.var(rest.high);
  const restLow = code.var(rest.low);
  const negative = code.var(or32(ltU(first.rest, crossHigh), and32(eqz(sub(first.rest, crossHigh)), gtU(crossLow, 0))));
  // The digit was found without the divisor's low half: at most two too large.
  for (let n = 0; n < 2; n++) {
    code.if(negative.value, () => {
      digit.set(sub(digit.value, 1));
      const sum = addPair(code, { high: restHigh.value, low: restLow.value }, y);
      const carry = or32(ltU(sum.high, y.high), and32(eqz(sub(sum.high, y.high)), ltU(sum.low, y.low)));
      negative.set(eqzOf(carry));
      restHigh.set(sum.high);
      restLow.set(sum.low);
    });
  }
  const next = code.var(i64(-1));
  const above = code.let(restHigh.value);
  code.if(ltU(above, y.high), () => next.set(divideWide(code, above, code.let(restLow.value), y.high).quotient));
  const exponent = code.let(add32(sub32(x.exponent, y.exponent), BIAS));
  return normalise(code, { high: digit.value, low: next.value }, exponent);
}
const eqzOf = (x: Value): Value => sub32(1, x);

/**
 * 1 + s * t * (c0 + s * t * (c1 + ...)) in fixed point with 127 bits of fraction, where t and the
 * coefficients are fractions of 128 bits and s is 1, or -1 where `minus`.
 */
export function series(code: Code, t: Pair, coefficients: readonly bigint[], minus: Value): Pair {
  const step = (left: Pair, right: Pair): Pair =>
    minus.op === op.CONST_I32
      ? minus.imm
        ? subPair(code, left, right)
        : addPair(code, left, right)
      : selectPair(code, minus, subPair(code, left, right), addPair(code, left, right));
  let sum = pair(coefficients[coefficients.length - 1]);
  for (let n = coefficients.length - 2; n >= 0; n--) sum = step(pair(coefficients[n]), mulPair(code, t, sum));
  const all = mulPair(code, t, sum);
  // Never nothing at all, so that it rounds as what is a little more or less than 1.
  const half = { high: code.let(shrU(all.high, 1)), low: code.let(or(or(shl(all.high, 63), shrU(all.low, 1)), 1)) };
  return step(pair(1n << 127n), half);
}
/** A sum that `series` gave, as a number. */
export function fromSeries(code: Code, sum: Pair): Wide {
  return normalise(code, sum, i32(BIAS));
}

/** A number kept in memory: 24 bytes. */
export function keep(code: Code, at: Value, x: Wide): void {
  code.store(op.I64_STORE, at, x.high);
  code.store(op.I64_STORE, at, x.low, 8);
  code.store(op.I32_STORE, at, x.exponent, 16);
}
export function recall(code: Code, at: Value): Wide {
  return {
    high: code.let(load(op.I64_LOAD, at)),
    low: code.let(load(op.I64_LOAD, at, 8)),
    exponent: code.let(load(op.I32_LOAD, at, 16)),
  };
}
