/**
 * Fused multiply-add: a * b + c rounded once.
 *
 * Spec: IEEE 754-2019, "fusedMultiplyAdd". The product of two binary64 and the
 * addend are aligned in 128 bits; for binary32 64 bits do.
 */
import type { Code, IrFunction } from '../../ir/code.ts';
import {
  add,
  add32,
  and,
  and32,
  clz,
  eq32,
  eqz,
  extendS,
  extendU,
  geS,
  i32,
  i64,
  ltS,
  ltU,
  mul,
  ne,
  ne32,
  or,
  or32,
  select,
  shl,
  shrU,
  sub,
  sub32,
  type Value,
  wrap,
  xor32,
} from '../../ir/value.ts';
import { mulHigh, sumShift } from './arithmetic.ts';
import type { Core } from './core.ts';
import { Rounding } from './format.ts';

const not32 = (x: Value): Value => xor32(x, 1);

/** A number of 128 bits. */
interface Wide {
  readonly high: Value;
  readonly low: Value;
}

/** `x >> n` (n an i64, not negative), with the lowest bit set if anything was lost. */
function jamWide(code: Code, x: Wide, n: Value): Wide {
  const high = code.var(x.high);
  const low = code.var(x.low);
  const count = code.var(n);
  code.if(geS(count.value, 64), () => {
    low.set(or(high.value, extendU(ne(low.value, 0))));
    high.set(0);
    count.set(sub(count.value, 64));
    code.if(geS(count.value, 64), () => {
      low.set(extendU(ne(low.value, 0)));
      count.set(0);
    });
  });
  code.if(ne(count.value, 0), () => {
    const lost = and(low.value, sub(shl(i64(1), count.value), 1));
    const within = or(shrU(low.value, count.value), shl(high.value, sub(0, count.value)));
    low.set(or(within, extendU(ne(lost, 0))));
    high.set(shrU(high.value, count.value));
  });
  return { high: high.value, low: low.value };
}

/** Returns the result where an operand is infinite or a NaN. `sign` is the product's. */
function special(core: Core, code: Code, sign: Value, a: Value, b: Value, c: Value): void {
  const { format: f, options } = core;
  const noProduct = or32(and32(f.isSpecial(a), f.isZero(b)), and32(f.isZero(a), f.isSpecial(b)));
  const nanProduct = or32(f.isNan(a), f.isNan(b));
  code.if(or32(nanProduct, f.isNan(c)), () => {
    const signalling = or32(f.isSignalling(a), or32(f.isSignalling(b), f.isSignalling(c)));
    // Infinity times zero is invalid even where a quiet NaN is added, except on x86.
    const invalid = options.nan === 'first' ? i32(0) : code.let(and32(noProduct, not32(nanProduct)));
    code.if(or32(signalling, invalid), () => core.raise(code, i32(options.flags.invalid)));
    if (options.nan === 'canonical') return core.return(code, i64(core.defaultNan));
    if (options.nan === 'first') {
      const first = select(f.isNan(a), a, select(f.isNan(b), b, c));
      return core.return(code, or(first, f.quiet));
    }
    code.if(and32(invalid, not32(f.isSignalling(c))), () => core.return(code, i64(core.defaultNan)));
    const quiet = select(f.isNan(c), c, select(f.isNan(a), a, b));
    const noisy = select(f.isSignalling(a), a, select(f.isSignalling(b), b, quiet));
    return core.return(code, or(select(f.isSignalling(c), c, noisy), f.quiet));
  });
  code.if(noProduct, () => core.return(code, core.invalid(code)));
  code.if(or32(f.isSpecial(a), f.isSpecial(b)), () => {
    const opposite = and32(f.isSpecial(c), ne32(sign, f.signOf(c)));
    code.if(opposite, () => core.return(code, core.invalid(code)));
    core.return(code, f.signed(sign, f.infinity));
  });
  core.return(code, c);
}

export function makeFma(core: Core): IrFunction {
  const { format: f } = core;
  return core.operation('fma', 3, (code, rounding, a, b, c) => {
    const sign = code.let(xor32(f.signOf(a), f.signOf(b)));
    const anySpecial = or32(f.isSpecial(a), or32(f.isSpecial(b), f.isSpecial(c)));
    code.if(anySpecial, () => special(core, code, sign, a, b, c));
    const z = f.unpack(code, c);
    const signC = code.let(f.signOf(c));
    const up = sumShift(f);
    const addend = [signC, sub32(z.exponent, up), shl(z.significand, up)];
    code.if(or32(f.isZero(a), f.isZero(b)), () => {
      core.return(code, code.call(core.sum, sign, addend[1], i64(0), ...addend, rounding));
    });
    const x = f.unpack(code, a);
    const y = f.unpack(code, b);
    const exponent = code.let(add32(x.exponent, y.exponent));
    // Nothing of the product is shifted out for the sake of a zero.
    const beside = (productExponent: Value): Value[] => {
      const [sign, ownExponent, significand] = addend;
      return [sign, select(eqz(significand), productExponent, ownExponent), significand];
    };
    if (f.bits === 32) {
      const product = shl(mul(x.significand, y.significand), 14);
      const at = code.let(sub32(exponent, 14));
      core.return(code, code.call(core.sum, sign, at, product, ...beside(at), rounding));
      return;
    }
    const factors = [sign, exponent, x.significand, y.significand];
    core.return(code, wideSum(core, code, factors, beside(add32(exponent, 64 - 20)), rounding));
  });
}

/**
 * Product (sign, exponent, factor, factor) plus addend, rounded. Both numbers stand with
 * their leading one at bits 124 to 126: what is shifted out of the smaller one is lost
 * only where the larger one has no bits, and then at most one leading bit cancels.
 */
function wideSum(core: Core, code: Code, product: Value[], addend: Value[], rounding: Value): Value {
  const [sign, productExponent, x, y] = product;
  const [signC, exponentC, highC] = addend;
  const p = code.let(shl(x, 10));
  const q = code.let(shl(y, 10));
  const high = code.var(code.call(mulHigh, p, q));
  const low = code.var(mul(p, q));
  const otherHigh = code.var(highC);
  const otherLow = code.var(i64(0));
  const exponent = code.var(sub32(productExponent, 20));
  const distance = code.let(sub(extendS(exponent.value), extendS(sub32(exponentC, 64))));
  code.if(
    ltS(distance, 0),
    () => {
      const shifted = jamWide(code, { high: high.value, low: low.value }, sub(0, distance));
      high.set(shifted.high);
      low.set(shifted.low);
      exponent.set(sub32(exponentC, 64));
    },
    () => {
      const shifted = jamWide(code, { high: otherHigh.value, low: otherLow.value }, distance);
      otherHigh.set(shifted.high);
      otherLow.set(shifted.low);
    },
  );
  const resultSign = code.var(sign);
  code.if(
    eq32(sign, signC),
    () => {
      low.set(add(low.value, otherLow.value));
      high.set(add(add(high.value, otherHigh.value), extendU(ltU(low.value, otherLow.value))));
    },
    () => {
      const borrow = code.let(extendU(ltU(low.value, otherLow.value)));
      low.set(sub(low.value, otherLow.value));
      high.set(sub(sub(high.value, otherHigh.value), borrow));
      code.if(ltS(high.value, 0), () => {
        low.set(sub(0, low.value));
        high.set(sub(sub(0, high.value), extendU(ne(low.value, 0))));
        resultSign.set(signC);
      });
      const zero = eqz(or(high.value, low.value));
      code.if(zero, () => resultSign.set(eq32(rounding, Rounding.RDN)));
    },
  );
  code.if(eqz(high.value), () => {
    code.return(code.call(core.round, resultSign.value, exponent.value, low.value, rounding));
  });
  const shift = code.let(clz(high.value)); // at least 1
  const top = or(shl(high.value, shift), shrU(low.value, sub(0, shift)));
  const significand = or(top, extendU(ne(shl(low.value, shift), 0)));
  return code.call(core.round, resultSign.value, sub32(add32(exponent.value, 64), wrap(shift)), significand, rounding);
}
