/**
 * Addition, subtraction, multiplication, division and square root of any operands.
 *
 * Spec: Intel SDM volume 2, FADD, FSUB, FMUL, FDIV, FSQRT. What nearly every
 * execution is goes another way (plain.ts).
 *
 * Parameters: destination, left, right (pointers), and flags (EXCEPTION.DE or
 * 0) that came of reading an operand from memory.
 */
import { type Code, define, type IrFunction } from '../../../ir/code.ts';
import * as op from '../../../ir/op.ts';
import {
  add,
  add32,
  and,
  and32,
  apply,
  clz,
  divU,
  eq,
  eq32,
  eqz,
  eqz32,
  extendU,
  gtU,
  gtU32,
  i32,
  i64,
  ltS,
  ltS32,
  ltU,
  mul,
  ne,
  or,
  or32,
  select,
  shl,
  shl32,
  shrS32,
  shrU,
  sub,
  sub32,
  type Value,
  wrap,
  xor32,
} from '../../../ir/value.ts';
import { divideWide, multiplyHigh } from './wide.ts';
import { type Core, signsOf } from './core.ts';
import { BIAS, EXCEPTION, INTEGER_BIT, isInfinite, isZero, RC, read, signOf, TOP_EXPONENT, write } from './format.ts';

const MIN = INTEGER_BIT;

/** Operand pointers first; `negate` (i32, 0x8000 or 0) turns the sign of b unless it is a NaN. */
export function makeSumSlow(core: Core): IrFunction {
  return define('x87_sum', ['i32', 'i32', 'i32', 'i32', 'i32'], 'i32', (code, dst, pa, pb, flags, negate) => {
    core.specials(code, dst, pa, pb);
    const a = read(code, pa);
    const raw = read(code, pb);
    const b = { ...raw, se: code.let(xor32(raw.se, negate)) };
    code.if(and32(isInfinite(a), and32(isInfinite(b), signsOf(a, b))), () => core.invalid(code, dst));
    core.denormals(code, flags, a, b);
    code.if(isInfinite(a), () => core.exact(code, dst, a.se, a.significand));
    code.if(isInfinite(b), () => core.exact(code, dst, b.se, b.significand));
    const down = eq32(core.rounding, RC.down);
    code.if(isZero(a), () => {
      code.if(isZero(b), () => {
        core.exact(code, dst, shl32(select(signsOf(a, b), down, signOf(a)), 15), i64(0));
      });
    });
    const x = core.normalise(code, a);
    const y = core.normalise(code, b);
    // A zero has the least exponent, so that it is the smaller one.
    const ex = code.let(select(eqz(a.significand), i32(-0x10000), x.exponent));
    const ey = code.let(select(eqz(b.significand), i32(-0x10000), y.exponent));
    const swap = code.let(or32(ltS32(ex, ey), and32(eq32(ex, ey), ltU(x.significand, y.significand))));
    const exponent = code.let(select(swap, ey, ex));
    const large = code.let(select(swap, y.significand, x.significand));
    const small = code.let(select(swap, x.significand, y.significand));
    const by = code.let(sub32(exponent, select(swap, ex, ey)));
    const sign = code.let(select(swap, signOf(b), signOf(a)));
    const head = code.var(i64(0));
    const tail = code.var(i64(0));
    code.if(
      gtU32(by, 63),
      () => {
        // Below the half of the last place but for a bit that sticks (two: by = 64 can be the half itself).
        const half = or(shrU(small, 1), and(small, 1));
        tail.set(select(eq32(by, 64), small, select(eq32(by, 65), half, extendU(ne(small, 0)))));
      },
      () => {
        const count = code.let(extendU(by));
        head.set(shrU(small, count));
        tail.set(select(by, shl(small, sub(64, count)), i64(0)));
      },
    );
    code.if(
      signsOf(a, b),
      () => {
        const borrow = extendU(ne(tail.value, 0));
        head.set(sub(sub(large, head.value), borrow));
        tail.set(sub(0, tail.value));
        const nothing = eqz(or(head.value, tail.value));
        code.if(nothing, () => core.exact(code, dst, shl32(down, 15), i64(0)));
        code.return(code.call(normaliseRound(core), dst, sign, exponent, head.value, tail.value, core.precision));
      },
      () => {
        head.set(add(large, head.value));
        code.if(ltU(head.value, large), () => {
          tail.set(or(or(shrU(tail.value, 1), shl(head.value, 63)), and(tail.value, 1)));
          head.set(or(shrU(head.value, 1), MIN));
          code.return(code.call(core.round, dst, sign, add32(exponent, 1), head.value, tail.value, core.precision));
        });
        code.return(code.call(core.round, dst, sign, exponent, head.value, tail.value, core.precision));
      },
    );
  });
}

const normalisers = new WeakMap<Core, IrFunction>();
/** As `round`, of any 128 bits but 0. */
export function normaliseRound(core: Core): IrFunction {
  let made = normalisers.get(core);
  if (!made) {
    const params = ['i32', 'i32', 'i32', 'i64', 'i64', 'i32'] as const;
    made = define('x87_normalise_round', params, 'i32', (code, dst, sign, given, high, low, precision) => {
      const head = code.var(high);
      const tail = code.var(low);
      const exponent = code.var(given);
      code.if(eqz(high), () => {
        head.set(low);
        tail.set(i64(0));
        exponent.set(sub32(given, 64));
      });
      const shift = code.let(clz(head.value));
      code.if(wrap(shift), () => {
        head.set(or(shl(head.value, shift), shrU(tail.value, sub(64, shift))));
        tail.set(shl(tail.value, shift));
        exponent.set(sub32(exponent.value, wrap(shift)));
      });
      code.return(code.call(core.round, dst, sign, exponent.value, head.value, tail.value, precision));
    });
    normalisers.set(core, made);
  }
  return made;
}

export function makeMulSlow(core: Core): IrFunction {
  return define('x87_mul_slow', ['i32', 'i32', 'i32', 'i32'], 'i32', (code, dst, pa, pb, flags) => {
    core.specials(code, dst, pa, pb);
    const a = read(code, pa);
    const b = read(code, pb);
    const sign = code.let(signsOf(a, b));
    const infinite = code.let(or32(isInfinite(a), isInfinite(b)));
    const zero = code.let(or32(isZero(a), isZero(b)));
    code.if(and32(infinite, zero), () => core.invalid(code, dst));
    core.denormals(code, flags, a, b);
    code.if(infinite, () => core.exact(code, dst, or32(shl32(sign, 15), TOP_EXPONENT), i64(MIN)));
    code.if(zero, () => core.exact(code, dst, shl32(sign, 15), i64(0)));
    const x = core.normalise(code, a);
    const y = core.normalise(code, b);
    const high = multiplyHigh(code, x.significand, y.significand);
    const low = mul(x.significand, y.significand);
    const exponent = add32(add32(x.exponent, y.exponent), 1 - BIAS);
    code.return(code.call(normaliseRound(core), dst, sign, exponent, high, low, core.precision));
  });
}

/** What a remainder is in units of the divisor: nothing, less than a half, a half, more. */
function tailOf(code: Code, rest: Value, divisor: Value): Value {
  const other = code.let(sub(divisor, rest));
  const beyond = select(eq(rest, other), i64(MIN), select(gtU(rest, other), i64(MIN | 1n), i64(1)));
  return code.let(select(eqz(rest), i64(0), beyond));
}

export function quotientOf(code: Code, x: Value, y: Value): { head: Value; tail: Value; less: Value } {
  const less = code.let(ltU(x, y));
  const high = code.let(select(less, x, shrU(x, 1)));
  const low = code.let(select(less, i64(0), shl(x, 63)));
  const { quotient, rest } = divideWide(code, high, low, y);
  return { head: quotient, tail: tailOf(code, rest, y), less };
}

export function makeDivSlow(core: Core): IrFunction {
  return define('x87_div_slow', ['i32', 'i32', 'i32', 'i32'], 'i32', (code, dst, pa, pb, flags) => {
    core.specials(code, dst, pa, pb);
    const a = read(code, pa);
    const b = read(code, pb);
    const sign = code.let(signsOf(a, b));
    const infinity = or32(shl32(sign, 15), TOP_EXPONENT);
    code.if(and32(isInfinite(a), isInfinite(b)), () => core.invalid(code, dst));
    code.if(isZero(b), () => {
      code.if(isZero(a), () => core.invalid(code, dst));
      code.if(eqz32(isInfinite(a)), () => {
        code.if(core.raise(code, or32(i32(EXCEPTION.ZE), i32(0))), () => code.return(i32(0)));
        write(code, dst, infinity, i64(MIN));
        code.return(i32(1));
      });
    });
    core.denormals(code, flags, a, b);
    code.if(isInfinite(a), () => core.exact(code, dst, infinity, i64(MIN)));
    code.if(or32(isZero(a), isInfinite(b)), () => core.exact(code, dst, shl32(sign, 15), i64(0)));
    const x = core.normalise(code, a);
    const y = core.normalise(code, b);
    const { head, tail, less } = quotientOf(code, x.significand, y.significand);
    const exponent = sub32(add32(sub32(x.exponent, y.exponent), BIAS), less);
    code.return(code.call(core.round, dst, sign, exponent, head, tail, core.precision));
  });
}

/**
 * The root of a significand (bit 63 set) or, where `odd` (the biased exponent is), of half of it: 64 bits with the leading one
 * at bit 63, and what is left as a fraction. Zimmermann's method with digits of 32 bits.
 */
export function rootOf(code: Code, significand: Value, odd: Value): { head: Value; tail: Value } {
  const shift = code.let(extendU(odd));
  const a = code.let(shrU(significand, shift));
  const below = code.let(and(shl(significand, 63), sub(0, shift)));
  const estimate = apply(op.I64_TRUNC_SAT_F64_U, apply(op.f64Unary.sqrt, apply(op.F64_CONVERT_I64_U, a)));
  const s = code.var(select(gtU(estimate, 0xffffffff), i64(0xffffffff), estimate));
  s.set(s.value);
  code.if(gtU(mul(s.value, s.value), a), () => s.set(sub(s.value, 1)));
  const r = code.let(sub(a, mul(s.value, s.value)));
  // The next digit: (r:next) / 2s, where only the top bit of `next` can be set.
  const numerator = code.let(or(shl(r, 31), shrU(below, 33)));
  const q = code.var(divU(numerator, s.value));
  const u = code.var(shl(sub(numerator, mul(q.value, s.value)), 1));
  code.if(gtU(q.value, 0xffffffff), () => {
    q.set(sub(q.value, 1));
    u.set(add(u.value, shl(s.value, 1)));
  });
  const root = code.var(or(shl(s.value, 32), q.value));
  const square = code.let(mul(q.value, q.value));
  const restLow = code.var(sub(shl(u.value, 32), square));
  const restHigh = code.var(sub(shrU(u.value, 32), extendU(ltU(shl(u.value, 32), square))));
  code.if(ltS(restHigh.value, 0), () => {
    root.set(sub(root.value, 1));
    // + 2 root + 1
    const plus = code.let(or(shl(root.value, 1), 1));
    const sum = code.let(add(restLow.value, plus));
    restHigh.set(add(add(restHigh.value, shrU(root.value, 63)), extendU(ltU(sum, plus))));
    restLow.set(sum);
  });
  // More than a half where the remainder exceeds the root; it never is a half.
  const more = or32(ne(restHigh.value, 0), gtU(restLow.value, root.value));
  const some = ne(or(restHigh.value, restLow.value), 0);
  return { head: root.value, tail: code.let(select(more, i64(MIN | 1n), extendU(some))) };
}

/** Parameters: destination, operand. */
export function makeSqrtSlow(core: Core): IrFunction {
  return define('x87_sqrt_slow', ['i32', 'i32'], 'i32', (code, dst, pa) => {
    core.specials(code, dst, pa, pa);
    const a = read(code, pa);
    code.if(isZero(a), () => core.exact(code, dst, a.se, a.significand));
    code.if(signOf(a), () => core.invalid(code, dst));
    core.denormals(code, i32(0), a);
    code.if(isInfinite(a), () => core.exact(code, dst, a.se, a.significand));
    const x = core.normalise(code, a);
    const { head, tail } = rootOf(code, x.significand, code.let(and32(x.exponent, 1)));
    const exponent = shrS32(add32(x.exponent, BIAS), 1);
    code.return(code.call(core.round, dst, i32(0), exponent, head, tail, core.precision));
  });
}
