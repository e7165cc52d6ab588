/**
 * FSIN, FCOS, FSINCOS, FPTAN.
 *
 * Spec: Intel SDM volume 2, those instructions; volume 1, 8.3.8 "Approximation
 * of Pi": arguments are reduced with a pi of 66 bits, exactly, so that results are within one unit in the
 * last place of the function of the argument so reduced.
 */
import { type Code, define, type IrFunction } from '../../../ir/code.ts';
import * as op from '../../../ir/op.ts';
import {
  add,
  and32,
  eq,
  eq32,
  eqz32,
  extendU,
  geS32,
  geU,
  gtU,
  i32,
  i64,
  load,
  ltS32,
  or,
  or32,
  select,
  shl,
  shl32,
  shrU,
  shrU32,
  sub,
  sub32,
  type Value,
  wrap,
  xor32,
} from '../../../ir/value.ts';
import type { Core } from './core.ts';
import { BIAS, INTEGER_BIT, isInfinite, isZero, PC, read, signOf, STATUS, write } from './format.ts';
import {
  divWide,
  fromSeries,
  keep,
  mulWide,
  normalise,
  type Pair,
  pair,
  recall,
  series,
  toFixed,
  type Wide,
} from './wide.ts';

/** pi / 2 * 2^65. */
const HALF_PI = 0x3_243f_6a88_85a3_08d3n;
/** Where `reduce` leaves the reduced argument in the scratch memory, and the kernels their results. */
const ARGUMENT = 0;
const FIRST = 32;
const SECOND = 64;

const factorial = (n: number): bigint => (n <= 1 ? 1n : BigInt(n) * factorial(n - 1));
/** 1 / first!, 1 / (first + 2)!, ... */
const coefficients = (first: number, count: number): bigint[] =>
  Array.from({ length: count }, (_, n) => (1n << 128n) / factorial(first + 2 * n));

class Trigonometry {
  private readonly core: Core;
  /** (a) -> quadrant (two bits) and, 4, the sign of what is left; the magnitude left is in the scratch memory. */
  private readonly reduce: IrFunction;
  /** () : sine and cosine of the reduced argument, at FIRST and SECOND. */
  private readonly sine: IrFunction;
  private readonly cosine: IrFunction;

  constructor(core: Core) {
    this.core = core;
    this.reduce = define('x87_reduce', ['i32'], 'i32', (code, pa) => this.makeReduce(code, pa));
    this.sine = define('x87_sine_kernel', [], undefined, (code) => {
      const r = recall(code, core.scratch(ARGUMENT));
      keep(code, core.scratch(FIRST), mulWide(code, r, this.evaluate(code, r, coefficients(3, 13))));
    });
    this.cosine = define('x87_cosine_kernel', [], undefined, (code) => {
      const r = recall(code, core.scratch(ARGUMENT));
      keep(code, core.scratch(SECOND), this.evaluate(code, r, coefficients(2, 13)));
    });
  }

  private evaluate(code: Code, r: Wide, terms: readonly bigint[]): Wide {
    const square = toFixed(code, mulWide(code, r, r), 0);
    return fromSeries(code, series(code, square, terms, i32(1)));
  }

  private makeReduce(code: Code, pa: Value): void {
    const a = read(code, pa);
    const x = this.core.normalise(code, a);
    const at = this.core.scratch(ARGUMENT);
    code.if(ltS32(x.exponent, BIAS - 1), () => {
      keep(code, at, { high: x.significand, low: i64(0), exponent: x.exponent });
      code.return(shl32(signOf(a), 2));
    });
    // In units of 2^-65, digit by digit.
    const high = code.var(i64(0));
    const low = code.var(x.significand);
    const quadrant = code.var(i32(0));
    const steps = code.var(sub32(x.exponent, BIAS - 2));
    const divisor = pair(HALF_PI);
    code.while(
      () => steps.value,
      () => {
        high.set(or(shl(high.value, 1), shrU(low.value, 63)));
        low.set(shl(low.value, 1));
        const below = or32(
          gtU(high.value, divisor.high),
          and32(eq(high.value, divisor.high), geU(low.value, divisor.low)),
        );
        const fits = code.let(below);
        const borrow = extendU(and32(fits, gtU(divisor.low, low.value)));
        high.set(sub(sub(high.value, select(fits, divisor.high, i64(0))), borrow));
        low.set(sub(low.value, select(fits, divisor.low, i64(0))));
        quadrant.set(or32(shl32(quadrant.value, 1), fits));
        steps.set(sub32(steps.value, 1));
      },
    );
    // To the nearest multiple: what is left is at most pi / 4.
    const otherLow = code.let(sub(divisor.low, low.value));
    const otherHigh = code.let(sub(sub(divisor.high, high.value), extendU(gtU(low.value, divisor.low))));
    const more = or32(gtU(high.value, otherHigh), and32(eq(high.value, otherHigh), gtU(low.value, otherLow)));
    const nearest = code.let(more);
    const left: Pair = {
      high: code.let(select(nearest, otherHigh, high.value)),
      low: code.let(select(nearest, otherLow, low.value)),
    };
    keep(code, at, normalise(code, left, i32(BIAS + 62)));
    // Of a negative argument the quadrants count backwards.
    const count = code.let(wrap(add(extendU(quadrant.value), extendU(nearest))));
    const sign = signOf(a);
    const signed = select(sign, sub32(0, count), count);
    code.return(or32(and32(signed, 3), shl32(xor32(nearest, sign), 2)));
  }

  private finish(code: Code, dst: Value, sign: Value, x: Wide): Value {
    // No result is exact.
    return code.call(this.core.round, dst, sign, x.exponent, x.high, or(x.low, 1), i32(PC.extended));
  }
  private place(which: Value): Value {
    return select(which, this.core.scratch(SECOND), this.core.scratch(FIRST));
  }

  /** Returns where the operand decides: NaNs, infinities, beyond 2^63, denormals unmasked. */
  private early(code: Code, dst: Value, pa: Value, extra: () => void): void {
    const { core } = this;
    const done = code.call(core.special, dst, pa, pa);
    code.if(done, () => {
      code.if(eq32(done, 1), () => extra());
      code.return(and32(done, 1));
    });
    const a = read(code, pa);
    code.if(isInfinite(a), () => {
      code.if(eqz32(code.call(core.invalidFunction, dst)), () => code.return(i32(0)));
      extra();
      code.return(i32(1));
    });
    core.setStatus(code, and32(core.status, ~(STATUS.C1 | STATUS.C2)));
    code.if(geS32(a.exponent, BIAS + 63), () => {
      core.setStatus(code, or32(core.status, STATUS.C2));
      code.return(i32(0));
    });
    core.denormals(code, i32(0), a);
  }

  /** (dst, a) -> delivered; 0 too where the operand is out of range: C2 is set then, and nothing written. */
  single(name: 'fsin' | 'fcos'): IrFunction {
    const { core } = this;
    const turn = name === 'fcos' ? 1 : 0;
    return define(`x87_${name}`, ['i32', 'i32'], 'i32', (code, dst, pa) => {
      this.early(code, dst, pa, () => {});
      const a = read(code, pa);
      code.if(isZero(a), () => {
        if (name === 'fsin') core.exact(code, dst, a.se, a.significand);
        else core.exact(code, dst, BIAS, INTEGER_BIT);
      });
      const state = code.let(code.call(this.reduce, pa));
      const quadrant = code.let(and32(addOne(state, turn), 3));
      code.if(
        and32(quadrant, 1),
        () => code.call(this.cosine),
        () => code.call(this.sine),
      );
      code.return(this.finish(code, dst, this.signIn(code, state, quadrant), this.pick(code, quadrant)));
    });
  }
  private pick(code: Code, quadrant: Value): Wide {
    return recall(code, code.let(this.place(and32(quadrant, 1))));
  }
  /** In odd quadrants stands a cosine, which knows no sign of its own. */
  private signIn(code: Code, state: Value, quadrant: Value): Value {
    const own = and32(shrU32(state, 2), sub32(1, and32(quadrant, 1)));
    return code.let(xor32(shrU32(quadrant, 1), own));
  }

  /** (sine dst, cosine dst, a) -> delivered: the sine replaces the operand, the cosine is pushed. */
  both(): IrFunction {
    const { core } = this;
    return define('x87_fsincos', ['i32', 'i32', 'i32'], 'i32', (code, dst, push, pa) => {
      this.early(code, dst, pa, () => copy(code, push, dst));
      const a = read(code, pa);
      code.if(isZero(a), () => {
        write(code, push, BIAS, INTEGER_BIT);
        core.exact(code, dst, a.se, a.significand);
      });
      const state = code.let(code.call(this.reduce, pa));
      code.call(this.sine);
      code.call(this.cosine);
      const sineAt = code.let(and32(state, 3));
      const cosineAt = code.let(and32(addOne(state, 1), 3));
      const cosine = this.pick(code, cosineAt);
      const sine = this.pick(code, sineAt);
      const done = code.let(this.finish(code, push, this.signIn(code, state, cosineAt), cosine));
      code.if(done, () => {
        code.return(this.finish(code, dst, this.signIn(code, state, sineAt), sine));
      });
      code.return(i32(0));
    });
  }

  /** (tangent dst, dst of 1, a) -> delivered: 1 is pushed. */
  tangent(): IrFunction {
    const { core } = this;
    return define('x87_fptan', ['i32', 'i32', 'i32'], 'i32', (code, dst, push, pa) => {
      this.early(code, dst, pa, () => copy(code, push, dst));
      const a = read(code, pa);
      write(code, push, BIAS, INTEGER_BIT);
      code.if(isZero(a), () => core.exact(code, dst, a.se, a.significand));
      const state = code.let(code.call(this.reduce, pa));
      code.call(this.sine);
      code.call(this.cosine);
      const odd = code.let(and32(state, 1));
      const top = recall(code, code.let(this.place(odd)));
      const bottom = recall(code, code.let(this.place(sub32(1, odd))));
      code.return(this.finish(code, dst, xor32(shrU32(state, 2), odd), divWide(code, top, bottom)));
    });
  }
}

const addOne = (x: Value, n: number): Value => (n === 0 ? x : sub32(x, -n));
function copy(code: Code, to: Value, from: Value): void {
  write(code, to, load(op.I32_LOAD16_U, from, 8), load(op.I64_LOAD, from));
}

export interface TrigonometricFunctions {
  /** (dst, a) -> delivered; not so, with C2 set, where |a| >= 2^63 */
  readonly fsin: IrFunction;
  readonly fcos: IrFunction;
  /** (sine dst, cosine dst, a) -> delivered: the cosine is pushed */
  readonly fsincos: IrFunction;
  /** (tangent dst, dst of 1, a) -> delivered: the 1 is pushed */
  readonly fptan: IrFunction;
}

export function makeTrigonometry(core: Core): TrigonometricFunctions {
  const made = new Trigonometry(core);
  return { fsin: made.single('fsin'), fcos: made.single('fcos'), fsincos: made.both(), fptan: made.tangent() };
}
