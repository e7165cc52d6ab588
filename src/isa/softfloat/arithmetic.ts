/**
 * Addition, multiplication, division and square root.
 *
 * Spec: IEEE 754-2019, "Arithmetic operations". Each takes its operands apart,
 * computes an integer of at least two bits more than the format has, the last
 * of them sticky, and leaves the rest to `round`.
 */
import { define, type IrFunction } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import {
  add,
  add32,
  and,
  and32,
  apply,
  bitsF64,
  divF64,
  divU,
  eq,
  eqz,
  extendU,
  gtU,
  i32,
  i64,
  leS,
  ltS,
  ltU,
  mul,
  ne,
  or,
  or32,
  select,
  shl,
  shrS32,
  shrU,
  sub,
  sub32,
  type Value,
  xor,
  xor32,
  zext32,
} from '../../ir/value.ts';
import type { Core } from './core.ts';
import type { Format } from './format.ts';

/** The high half of a 64 x 64 bit product, by 32-bit halves. */
export const mulHigh: IrFunction = define('mul_high', ['i64', 'i64'], 'i64', (code, x, y) => {
  const xl = code.let(zext32(x));
  const xh = code.let(shrU(x, 32));
  const yl = code.let(zext32(y));
  const yh = code.let(shrU(y, 32));
  const t = code.let(add(mul(xh, yl), shrU(mul(xl, yl), 32)));
  const w = code.let(add(mul(xl, yh), zext32(t)));
  code.return(add(add(mul(xh, yh), shrU(t, 32)), shrU(w, 32)));
});

/** How far sums shift significands up, to have guard bits below and room for a carry. */
export const sumShift = (format: Format): number => 61 - format.fraction;

/** An integer below 2^53, or with that many leading bits, as the double it is. */
const exactF64 = (x: Value): Value => apply(op.F64_CONVERT_I64_U, x);
/** The 53 leading bits of a positive normal double as an integer. */
const leadingBits = (x: Value): Value => or(and(bitsF64(x), (1n << 52n) - 1n), 1n << 52n);

export function makeAdd(core: Core): IrFunction {
  const { format: f } = core;
  return core.operation('add', 2, (code, rounding, a, b) => {
    code.if(or32(f.isSpecial(a), f.isSpecial(b)), () => {
      code.if(or32(f.isNan(a), f.isNan(b)), () => core.return(code, code.call(core.nanOf, a, b)));
      code.if(f.isSpecial(a), () => {
        const opposite = and32(f.isSpecial(b), ne(a, b));
        code.if(opposite, () => core.return(code, core.invalid(code)));
        core.return(code, a);
      });
      core.return(code, b);
    });
    const x = f.unpack(code, a);
    const y = f.unpack(code, b);
    const up = sumShift(f);
    const left = [f.signOf(a), sub32(x.exponent, up), shl(x.significand, up)];
    const right = [f.signOf(b), sub32(y.exponent, up), shl(y.significand, up)];
    core.return(code, code.call(core.sum, ...left, ...right, rounding));
  });
}

export function makeSub(core: Core, sum: IrFunction): IrFunction {
  const { format: f } = core;
  return core.operation('sub', 2, (code, rounding, a, b) => {
    // A NaN keeps its sign.
    if (core.options.nan !== 'canonical') code.if(f.isNan(b), () => core.return(code, code.call(core.nanOf, a, b)));
    code.return(code.call(sum, f.narrow(a), f.narrow(xor(b, f.sign)), rounding));
  });
}

export function makeMul(core: Core): IrFunction {
  const { format: f } = core;
  return core.operation('mul', 2, (code, rounding, a, b) => {
    const sign = code.let(xor32(f.signOf(a), f.signOf(b)));
    code.if(or32(f.isSpecial(a), f.isSpecial(b)), () => {
      code.if(or32(f.isNan(a), f.isNan(b)), () => core.return(code, code.call(core.nanOf, a, b)));
      code.if(or32(f.isZero(a), f.isZero(b)), () => core.return(code, core.invalid(code)));
      core.return(code, f.signed(sign, f.infinity));
    });
    const x = f.unpack(code, a);
    const y = f.unpack(code, b);
    const exponent = add32(x.exponent, y.exponent);
    if (f.bits === 32) {
      const product = mul(x.significand, y.significand);
      core.return(code, code.call(core.round, sign, exponent, product, rounding));
      return;
    }
    const p = code.let(shl(x.significand, 11));
    const q = code.let(shl(y.significand, 11));
    const sticky = extendU(ne(mul(p, q), 0));
    const product = or(code.call(mulHigh, p, q), sticky);
    core.return(code, code.call(core.round, sign, add32(exponent, 64 - 22), product, rounding));
  });
}

export function makeDiv(core: Core): IrFunction {
  const { format: f } = core;
  return core.operation('div', 2, (code, rounding, a, b) => {
    const sign = code.let(xor32(f.signOf(a), f.signOf(b)));
    code.if(or32(f.isSpecial(a), f.isSpecial(b)), () => {
      code.if(or32(f.isNan(a), f.isNan(b)), () => core.return(code, code.call(core.nanOf, a, b)));
      code.if(f.isSpecial(a), () => {
        code.if(f.isSpecial(b), () => core.return(code, core.invalid(code)));
        core.return(code, f.signed(sign, f.infinity));
      });
      core.return(code, f.signed(sign, 0n));
    });
    code.if(f.isZero(b), () => {
      code.if(f.isZero(a), () => core.return(code, core.invalid(code)));
      core.raise(code, i32(core.options.flags.divideByZero));
      core.return(code, f.signed(sign, f.infinity));
    });
    code.if(f.isZero(a), () => core.return(code, f.signed(sign, 0n)));
    const x = f.unpack(code, a);
    const y = f.unpack(code, b);
    const exponent = sub32(x.exponent, y.exponent);
    if (f.bits === 32) {
      const dividend = code.let(shl(x.significand, 39));
      const quotient = code.let(divU(dividend, y.significand));
      const sticky = extendU(ne(mul(quotient, y.significand), dividend));
      core.return(code, code.call(core.round, sign, sub32(exponent, 39), or(quotient, sticky), rounding));
      return;
    }
    // Host division gives 53 bits to within half a unit; the exact remainder, which the low
    // 64 bits hold, tells on which side of the quotient the truth is.
    const smaller = code.let(ltU(x.significand, y.significand));
    const dividend = code.let(shl(x.significand, extendU(smaller)));
    const quotient = code.var(leadingBits(divF64(exactF64(dividend), exactF64(y.significand))));
    const rest = code.var(sub(shl(dividend, 52), mul(quotient.value, y.significand)));
    code.if(ltS(rest.value, 0), () => {
      quotient.set(sub(quotient.value, 1));
      rest.set(add(rest.value, y.significand));
    });
    const twice = shl(rest.value, 1);
    const tail = select(eq(twice, y.significand), i64(2), select(gtU(twice, y.significand), i64(3), i64(1)));
    const result = or(shl(quotient.value, 2), select(eqz(rest.value), i64(0), tail));
    core.return(code, code.call(core.round, sign, sub32(sub32(exponent, smaller), 54), result, rounding));
  });
}

export function makeSqrt(core: Core): IrFunction {
  const { format: f } = core;
  return core.operation('sqrt', 1, (code, rounding, a) => {
    code.if(f.isNan(a), () => core.return(code, code.call(core.nanOf, a, a)));
    code.if(f.isZero(a), () => core.return(code, a));
    code.if(f.signOf(a), () => core.return(code, core.invalid(code)));
    code.if(f.isSpecial(a), () => core.return(code, a));
    const { significand, exponent } = f.unpack(code, a);
    const odd = code.let(and32(exponent, 1));
    const even = code.let(shl(significand, extendU(odd)));
    const half = (less: number): Value => shrS32(sub32(sub32(exponent, odd), less), 1);
    const rootOf = (x: Value): Value => apply(op.f64Unary.sqrt, exactF64(x));
    if (f.bits === 32) {
      const square = code.let(shl(even, 38));
      const root = code.var(apply(op.I64_TRUNC_SAT_F64_U, rootOf(square)));
      code.if(gtU(mul(root.value, root.value), square), () => root.set(sub(root.value, 1)));
      const sticky = extendU(ne(mul(root.value, root.value), square));
      const result = or(shl(root.value, 1), sticky);
      core.return(code, code.call(core.round, i32(0), sub32(half(38), 1), result, rounding));
      return;
    }
    // As in division: 53 bits from the host, the exact remainder from integers.
    const root = code.var(leadingBits(rootOf(even)));
    const rest = code.var(sub(shl(even, 52), mul(root.value, root.value)));
    code.if(ltS(rest.value, 0), () => {
      root.set(sub(root.value, 1));
      rest.set(add(rest.value, add(shl(root.value, 1), 1)));
    });
    const tail = select(leS(rest.value, root.value), i64(1), i64(3));
    const result = or(shl(root.value, 2), select(eqz(rest.value), i64(0), tail));
    core.return(code, code.call(core.round, i32(0), sub32(half(52), 2), result, rounding));
  });
}
