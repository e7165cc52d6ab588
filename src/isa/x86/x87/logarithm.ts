/**
 * F2XM1, FYL2X, FYL2XP1, FPATAN.
 *
 * Spec: Intel SDM volume 2, those instructions, with their tables of special operands.
 */
import { type Code, define, type IrFunction } from '../../../ir/code.ts';
import * as op from '../../../ir/op.ts';
import {
  add,
  add32,
  addF64,
  and32,
  apply,
  clz,
  divF64,
  eq,
  eq32,
  eqz,
  eqz32,
  extendU,
  f64,
  geS32,
  gtS32,
  gtU,
  i32,
  i64,
  ltS32,
  ltU,
  mulF64,
  ne32,
  or,
  or32,
  select,
  shl,
  shl32,
  shrU,
  sub,
  sub32,
  type Value,
  wrap,
  xor32,
} from '../../../ir/value.ts';
import { type Core, signsOf } from './core.ts';
import {
  BIAS,
  EXCEPTION,
  INTEGER_BIT,
  isInfinite,
  isZero,
  PC,
  type Parts,
  read,
  signOf,
  STATUS,
  TOP_EXPONENT,
  write,
} from './format.ts';
import {
  addPair,
  divWide,
  fromSeries,
  mulWide,
  normalise,
  type Pair,
  pair,
  selectPair,
  series,
  shiftPair,
  subPair,
  timesPair,
  toFixed,
  type Wide,
  wide,
} from './wide.ts';

const LN2 = 0xb172_17f7_d1cf_79ab_c9e3_b398_03f2_f6afn;
/** 2 / ln 2 * 2^126. */
const TWO_BY_LN2 = 0xb8aa_3b29_5c17_f0bb_be87_fed0_691d_3e88n;
/** * 2^126, as all angles below. */
const PI = 0xc90f_daa2_2168_c234_c4c6_628b_80dc_1cd1n;
const ARCTANGENTS = [
  0n,
  0x0fad_bafc_9640_6eb1_56dc_79ef_5f7a_217en,
  0x1dac_6705_61bb_4f68_adfc_88bd_9787_51a0n,
  0x292f_1f46_4d3d_c249_066a_1fca_915f_6b27n,
  0x3243_f6a8_885a_308d_3131_98a2_e037_0734n,
];
/** The significand of the square root of 2. */
const SQRT2 = 0xb504_f333_f9de_6484n;

const ONE = 1n << 128n;
const factorial = (n: number): bigint => (n <= 1 ? 1n : BigInt(n) * factorial(n - 1));
/** 1/2!, 1/3!, ... */
const EXPONENTIAL = Array.from({ length: 22 }, (_, n) => ONE / factorial(n + 2));
/** 1/3, 1/5, ... */
const ODD = Array.from({ length: 15 }, (_, n) => ONE / BigInt(2 * n + 3));

const exactly = (significand: Value, exponent: Value): Wide => ({ high: significand, low: i64(0), exponent });
const infinityOf = (sign: Value): Value => or32(shl32(sign, 15), TOP_EXPONENT);

function finish(core: Core, code: Code, dst: Value, sign: Value, x: Wide): void {
  code.return(code.call(core.round, dst, sign, x.exponent, x.high, or(x.low, 1), i32(PC.extended)));
}

/** A result that processors call inexact even though it is known. */
function inexactly(core: Core, code: Code, dst: Value, se: Value, significand: Value): void {
  core.raise(code, i32(EXCEPTION.PE));
  write(code, dst, se, significand);
  code.return(i32(1));
}

/** (dst, a) -> delivered: 2^a - 1. Beyond -1 to 1, where nothing is defined, a finite operand stays. */
function makeExponential(core: Core): IrFunction {
  return define('x87_f2xm1', ['i32', 'i32'], 'i32', (code, dst, pa) => {
    core.specials(code, dst, pa, pa);
    const a = read(code, pa);
    const sign = code.let(signOf(a));
    code.if(isInfinite(a), () => {
      core.exact(code, dst, select(sign, i32(0x8000 | BIAS), a.se), i64(INTEGER_BIT));
    });
    core.denormals(code, i32(0), a);
    const one = and32(eq32(a.exponent, BIAS), eq(a.significand, i64(INTEGER_BIT)));
    code.if(one, () => inexactly(core, code, dst, sub32(a.se, sign), a.significand));
    code.if(isZero(a), () => core.exact(code, dst, a.se, a.significand));
    code.if(geS32(a.exponent, BIAS), () => inexactly(core, code, dst, a.se, a.significand));
    const x = core.normalise(code, a);
    const y = mulWide(code, exactly(x.significand, x.exponent), wide(LN2, 128));
    const sum = series(code, toFixed(code, y, 0), EXPONENTIAL, sign);
    finish(core, code, dst, sign, mulWide(code, y, fromSeries(code, sum)));
  });
}

/** log2 of (1 + z) / (1 - z), |z| small: the magnitude. */
function logarithmOf(code: Code, z: Wide): Wide {
  const square = toFixed(code, mulWide(code, z, z), 0);
  const sum = fromSeries(code, series(code, square, ODD, i32(0)));
  return mulWide(code, mulWide(code, z, sum), wide(TWO_BY_LN2, 126));
}

/** Operands of the two logarithms that decide by themselves: y infinite or 0, where log x has a sign. */
function factors(core: Core, code: Code, dst: Value, y: Parts, logNegative: Value, logZero: Value): void {
  const sign = xor32(signOf(y), logNegative);
  code.if(isInfinite(y), () => {
    code.if(logZero, () => core.invalid(code, dst));
    core.exact(code, dst, infinityOf(sign), i64(INTEGER_BIT));
  });
  code.if(or32(isZero(y), logZero), () => core.exact(code, dst, shl32(sign, 15), i64(0)));
}

/** (dst, y, x) -> delivered: y * log2(x). */
function makeLogarithm(core: Core): IrFunction {
  return define('x87_fyl2x', ['i32', 'i32', 'i32'], 'i32', (code, dst, py, px) => {
    core.specials(code, dst, py, px);
    const y = read(code, py);
    const x = read(code, px);
    code.if(and32(signOf(x), eqz32(isZero(x))), () => core.invalid(code, dst));
    code.if(and32(or32(isZero(x), isInfinite(x)), isZero(y)), () => core.invalid(code, dst));
    const one = code.let(and32(eq32(x.exponent, BIAS), eq(x.significand, i64(INTEGER_BIT))));
    code.if(and32(isInfinite(y), one), () => core.invalid(code, dst));
    code.if(and32(isZero(x), eqz32(isInfinite(y))), () => {
      code.if(core.raise(code, i32(EXCEPTION.ZE)), () => code.return(i32(0)));
      write(code, dst, infinityOf(xor32(signOf(y), 1)), i64(INTEGER_BIT));
      code.return(i32(1));
    });
    core.denormals(code, i32(0), y, x);
    code.if(isInfinite(x), () => core.exact(code, dst, infinityOf(signOf(y)), i64(INTEGER_BIT)));
    factors(core, code, dst, y, ltS32(x.exponent, BIAS), one);
    const factor = core.normalise(code, y);
    const number = core.normalise(code, x);
    const m = number.significand;
    const upper = code.let(gtU(m, SQRT2));
    const k = code.let(add32(sub32(number.exponent, BIAS), upper));
    const whole = code.let(ltS32(k, 0));
    const magnitude = code.let(extendU(select(whole, sub32(0, k), k)));
    code.if(eq(m, i64(INTEGER_BIT)), () => {
      // A power of 2: the product is all there is to round.
      const shift = code.let(clz(magnitude));
      const log = exactly(code.let(shl(magnitude, shift)), code.let(sub32(BIAS + 63, wrap(shift))));
      const product = mulWide(code, log, exactly(factor.significand, factor.exponent));
      const sign = xor32(signOf(y), whole);
      const args = [product.exponent, product.high, product.low, i32(PC.extended)];
      const done = code.call(core.round, dst, sign, ...args);
      // Processors call it inexact even where it is not.
      const c1 = code.let(and32(core.status, STATUS.C1));
      const tiny = select(ltS32(product.exponent, 1), i32(EXCEPTION.UE), i32(0));
      core.raise(code, or32(tiny, i32(EXCEPTION.PE)));
      core.setStatus(code, or32(core.status, c1));
      code.return(done);
    });
    // z = (m - 1) / (m + 1), where the upper ones are halved: m - 1 is negative then.
    const unit = code.let(select(upper, i64(0), i64(INTEGER_BIT)));
    const difference = code.let(select(upper, sub(0, m), sub(m, INTEGER_BIT)));
    const sum = code.let(add(m, unit));
    const zero = i32(BIAS + 63);
    const above = normalise(code, { high: difference, low: i64(0) }, zero);
    const below: Wide = {
      high: code.let(or(shrU(sum, 1), INTEGER_BIT)),
      low: code.let(shl(sum, 63)),
      exponent: i32(BIAS + 64),
    };
    const log = logarithmOf(code, divWide(code, above, below));
    const y80 = exactly(factor.significand, factor.exponent);
    code.if(eqz32(k), () => finish(core, code, dst, xor32(signOf(y), upper), mulWide(code, log, y80)));
    // |k| +- log in fixed point, 16 bits before the point.
    const fixed = toFixed(code, log, 16);
    const integer: Pair = { high: code.let(shl(magnitude, 48)), low: i64(0) };
    const apart = code.let(ne32(upper, whole));
    const total = selectPair(code, apart, subPair(code, integer, fixed), addPair(code, integer, fixed));
    const number80 = normalise(code, total, i32(BIAS + 15));
    finish(core, code, dst, xor32(signOf(y), whole), mulWide(code, number80, y80));
  });
}

/** (dst, y, x) -> delivered: y * log2(1 + x). From 1/2 on, where nothing is defined, x is added to 1 first. */
function makeLogarithmOfNext(core: Core, add80: IrFunction, logarithm: IrFunction): IrFunction {
  return define('x87_fyl2xp1', ['i32', 'i32', 'i32'], 'i32', (code, dst, py, px) => {
    core.specials(code, dst, py, px);
    const y = read(code, py);
    const x = read(code, px);
    const zero = code.let(isZero(x));
    code.if(isInfinite(x), () => {
      code.if(or32(signOf(x), isZero(y)), () => core.invalid(code, dst));
    });
    code.if(and32(isInfinite(y), zero), () => core.invalid(code, dst));
    code.if(and32(geS32(x.exponent, BIAS - 1), eqz32(isInfinite(x))), () => {
      const one = code.let(core.scratch(0));
      write(code, one, BIAS, INTEGER_BIT);
      code.if(eqz32(code.call(add80, one, one, px, i32(0))), () => code.return(i32(0)));
      code.return(code.call(logarithm, dst, py, one));
    });
    core.denormals(code, i32(0), y, x);
    code.if(isInfinite(x), () => core.exact(code, dst, infinityOf(signOf(y)), i64(INTEGER_BIT)));
    const negative = code.let(signOf(x));
    factors(core, code, dst, y, negative, zero);
    const factor = core.normalise(code, y);
    const number = core.normalise(code, x);
    const above = exactly(number.significand, number.exponent);
    const fixed = toFixed(code, above, 2);
    const two = pair(1n << 127n);
    const sum = selectPair(code, negative, subPair(code, two, fixed), addPair(code, two, fixed));
    const log = logarithmOf(code, divWide(code, above, normalise(code, sum, i32(BIAS + 1))));
    finish(core, code, dst, signsOf(x, y), mulWide(code, log, exactly(factor.significand, factor.exponent)));
  });
}

/** (dst, y, x) -> delivered: the angle of the point x, y. */
function makeArctangent(core: Core): IrFunction {
  return define('x87_fpatan', ['i32', 'i32', 'i32'], 'i32', (code, dst, py, px) => {
    core.specials(code, dst, py, px);
    const y = read(code, py);
    const x = read(code, px);
    const sign = code.let(signOf(y));
    const back = code.let(signOf(x));
    core.denormals(code, i32(0), y, x);
    const angle = (significand: bigint): void => {
      finish(core, code, dst, sign, normalise(code, pair(significand), i32(BIAS + 1)));
    };
    code.if(isInfinite(y), () => {
      code.if(isInfinite(x), () => {
        code.if(back, () => angle((PI * 3n) >> 2n));
        angle(PI >> 2n);
      });
      angle(PI >> 1n);
    });
    code.if(or32(isInfinite(x), isZero(y)), () => {
      code.if(back, () => angle(PI));
      core.exact(code, dst, shl32(sign, 15), i64(0));
    });
    code.if(isZero(x), () => angle(PI >> 1n));
    const v = core.normalise(code, y);
    const h = core.normalise(code, x);
    const steep = code.let(
      or32(gtS32(v.exponent, h.exponent), and32(eq32(v.exponent, h.exponent), gtU(v.significand, h.significand))),
    );
    const n = exactly(
      code.let(select(steep, h.significand, v.significand)),
      code.let(select(steep, h.exponent, v.exponent)),
    );
    const d = exactly(
      code.let(select(steep, v.significand, h.significand)),
      code.let(select(steep, v.exponent, h.exponent)),
    );
    // The multiple of 1/4 next to n / d: its arctangent is known, that of the rest is small.
    const distance = code.let(sub32(d.exponent, n.exponent));
    const k = code.var(i64(0));
    code.if(ltS32(distance, 4), () => {
      const double = (value: Value): Value => apply(op.F64_CONVERT_I64_U, value);
      const scale = apply(op.F64_CONVERT_I64_U, shl(i64(1), extendU(distance)));
      const ratio = divF64(divF64(double(n.high), double(d.high)), scale);
      k.set(apply(op.I64_TRUNC_SAT_F64_U, addF64(mulF64(ratio, f64(4)), f64(0.5))));
    });
    const above: { high: ReturnType<Code['var']>; low: ReturnType<Code['var']>; exponent: ReturnType<Code['var']> } = {
      high: code.var(n.high),
      low: code.var(i64(0)),
      exponent: code.var(n.exponent),
    };
    const below = { high: code.var(d.high), low: code.var(i64(0)), exponent: code.var(d.exponent) };
    const less = code.var(i32(0));
    code.if(wrap(k.value), () => {
      // (4n - kd) / (4d + kn)
      const small = shiftPair(code, n, code.let(add32(distance, 3)));
      const large: Pair = { high: code.let(shrU(d.high, 3)), low: code.let(shl(d.high, 61)) };
      const left = timesPair(code, small, i64(4));
      const right = timesPair(code, large, k.value);
      less.set(or32(ltU(left.high, right.high), and32(eq(left.high, right.high), ltU(left.low, right.low))));
      const difference = selectPair(code, less.value, subPair(code, right, left), subPair(code, left, right));
      const sum = addPair(code, timesPair(code, large, i64(4)), timesPair(code, small, k.value));
      const top = normalise(code, difference, i32(BIAS));
      const bottom = normalise(code, sum, i32(BIAS));
      above.high.set(top.high);
      above.low.set(top.low);
      above.exponent.set(top.exponent);
      below.high.set(bottom.high);
      below.low.set(bottom.low);
      below.exponent.set(bottom.exponent);
    });
    const numberOf = (w: typeof above): Wide => ({
      high: w.high.value,
      low: w.low.value,
      exponent: w.exponent.value,
    });
    const u = divWide(code, numberOf(above), numberOf(below));
    const square = toFixed(code, mulWide(code, u, u), 0);
    const rest = mulWide(code, u, fromSeries(code, series(code, square, ODD.slice(0, 14), i32(1))));
    const plain = and32(eqz(k.value), eqz32(or32(steep, back)));
    code.if(plain, () => finish(core, code, dst, sign, rest));
    let known = pair(0n);
    for (let i = 1; i <= 4; i++) known = selectPair(code, eq(k.value, i64(i)), pair(ARCTANGENTS[i]), known);
    const fixed = toFixed(code, rest, 2);
    let total = selectPair(code, less.value, subPair(code, known, fixed), addPair(code, known, fixed));
    total = selectPair(code, steep, subPair(code, pair(PI >> 1n), total), total);
    total = selectPair(code, back, subPair(code, pair(PI), total), total);
    finish(core, code, dst, sign, normalise(code, total, i32(BIAS + 1)));
  });
}

export interface Logarithms {
  /** (dst, a) -> delivered */
  readonly f2xm1: IrFunction;
  /** (dst, y, x) -> delivered; y is ST(1), x is ST(0) */
  readonly fyl2x: IrFunction;
  readonly fyl2xp1: IrFunction;
  readonly fpatan: IrFunction;
}

export function makeLogarithms(core: Core, add80: IrFunction): Logarithms {
  const fyl2x = makeLogarithm(core);
  return {
    f2xm1: makeExponential(core),
    fyl2x,
    fyl2xp1: makeLogarithmOfNext(core, add80, fyl2x),
    fpatan: makeArctangent(core),
  };
}
