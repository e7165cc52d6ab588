/**
 * Rounding to an integer, packed decimal, remainders.
 *
 * Spec: Intel SDM volume 2, FRNDINT, FBLD, FBSTP, FPREM, FPREM1; volume 1, 4.7 "BCD and Packed BCD Integers".
 */
import { define, type IrFunction } from '../../../ir/code.ts';
import * as op from '../../../ir/op.ts';
import {
  add,
  add32,
  and,
  and32,
  clz,
  divU,
  eq,
  eqz,
  eqz32,
  extendU,
  geS32,
  geU,
  gtS32,
  gtU,
  i32,
  i64,
  load,
  ltS32,
  mul,
  or,
  or32,
  remU,
  select,
  shl,
  shl32,
  shrU,
  sub,
  sub32,
  wrap,
  xor32,
} from '../../../ir/value.ts';
import { normaliseRound } from './arithmetic.ts';
import { toWhole } from './convert.ts';
import type { Core } from './core.ts';
import {
  BIAS,
  CONDITIONS,
  either,
  EXCEPTION,
  INDEFINITE,
  isInfinite,
  isUnsupported,
  isZero,
  PC,
  read,
  signOf,
  STATUS,
  write,
} from './format.ts';

/** (dst, a) -> delivered: FRNDINT. */
function makeRoundToInteger(core: Core): IrFunction {
  return define('x87_rndint', ['i32', 'i32'], 'i32', (code, dst, pa) => {
    core.specials(code, dst, pa, pa);
    const a = read(code, pa);
    core.denormals(code, i32(0), a);
    const whole = or32(geS32(a.exponent, BIAS + 63), isZero(a));
    code.if(whole, () => core.exact(code, dst, a.se, a.significand));
    const sign = code.let(signOf(a));
    const rounded = toWhole(core, code, a.significand, a.exponent, sign, code.let(core.rounding));
    core.raise(code, select(rounded.inexact, i32(EXCEPTION.PE), i32(0)));
    core.setStatus(code, or32(core.status, shl32(rounded.up, 9)));
    const shift = code.let(clz(rounded.whole));
    const exponent = select(eqz(rounded.whole), i32(0), sub32(BIAS + 63, wrap(shift)));
    write(code, dst, or32(shl32(sign, 15), exponent), shl(rounded.whole, shift));
    code.return(i32(1));
  });
}

/** (dst, src) -> 1: FBLD from 10 bytes at `src`. Of digits above 9 the SDM says nothing; they count as what they are. */
function makeLoadDecimal(core: Core): IrFunction {
  return define('x87_load_bcd', ['i32', 'i32'], 'i32', (code, dst, src) => {
    const total = code.var(i64(0));
    const n = code.var(i32(8));
    code.while(
      () => geS32(n.value, 0),
      () => {
        const byte = code.let(load(op.I64_LOAD8_U, add32(src, n.value)));
        const pair = add(mul(shrU(byte, 4), 10), and(byte, 15));
        total.set(add(mul(total.value, 100), pair));
        n.set(sub32(n.value, 1));
      },
    );
    const sign = shl32(and32(load(op.I32_LOAD8_U, src, 9), 0x80), 8);
    const shift = code.let(clz(total.value));
    const exponent = select(eqz(total.value), i32(0), sub32(BIAS + 63, wrap(shift)));
    core.exact(code, dst, or32(sign, exponent), shl(total.value, shift));
  });
}

/** (dst, a) -> delivered: FBSTP; writes 10 bytes. */
function makeStoreDecimal(core: Core): IrFunction {
  const largest = 10n ** 18n - 1n;
  return define('x87_store_bcd', ['i32', 'i32'], 'i32', (code, dst, pa) => {
    const a = read(code, pa);
    const refuse = (): void => {
      code.if(core.raise(code, i32(EXCEPTION.IE)), () => code.return(i32(0)));
      write(code, dst, INDEFINITE.se, INDEFINITE.significand);
      code.return(i32(1));
    };
    code.if(or32(isUnsupported(a), geS32(a.exponent, BIAS + 63)), refuse);
    const sign = code.let(signOf(a));
    const rounded = toWhole(core, code, a.significand, a.exponent, sign, code.let(core.rounding));
    code.if(gtU(rounded.whole, largest), refuse);
    core.raise(code, select(rounded.inexact, i32(EXCEPTION.PE), i32(0)));
    core.setStatus(code, or32(core.status, shl32(rounded.up, 9)));
    const left = code.var(rounded.whole);
    const n = code.var(i32(0));
    code.while(
      () => ltS32(n.value, 9),
      () => {
        const pair = code.let(remU(left.value, i64(100)));
        code.store(op.I64_STORE8, add32(dst, n.value), add(mul(divU(pair, i64(10)), 6), pair));
        left.set(divU(left.value, i64(100)));
        n.set(add32(n.value, 1));
      },
    );
    code.store(op.I32_STORE8, dst, shl32(sign, 7), 9);
    code.return(i32(1));
  });
}

/** (dst, a, b) -> delivered: FPREM (quotient truncated) and FPREM1 (to nearest). Sets C0 to C3. */
function makeRemainder(core: Core, kind: 'fprem' | 'fprem1'): IrFunction {
  return define(`x87_${kind}`, ['i32', 'i32', 'i32'], 'i32', (code, dst, pa, pb) => {
    // C0 and C3 are the quotient's; where there is none they stay, as AMD's processors have it.
    core.setStatus(code, and32(core.status, ~(STATUS.C1 | STATUS.C2)));
    core.specials(code, dst, pa, pb);
    const a = read(code, pa);
    const b = read(code, pb);
    code.if(or32(isInfinite(a), isZero(b)), () => core.invalid(code, dst));
    core.denormals(code, i32(0), a, b);
    core.setStatus(code, and32(core.status, ~CONDITIONS));
    code.if(isZero(a), () => core.exact(code, dst, a.se, a.significand));
    const x = core.normalise(code, a);
    const y = core.normalise(code, b);
    const distance = code.let(sub32(x.exponent, y.exponent));
    const sign = code.var(signOf(a));
    const quotient = code.var(i64(0));
    const rest = code.var(x.significand);
    const exponent = code.var(x.exponent);
    const conditions = code.var(i32(0));
    const near = or32(isInfinite(b), ltS32(distance, 0));
    code.if(
      near,
      () => {
        if (kind === 'fprem1') {
          // Only from half the divisor on does the quotient round up to 1.
          const up = and32(eqz32(add32(distance, 1)), gtU(x.significand, y.significand));
          code.if(and32(eqz32(isInfinite(b)), up), () => {
            rest.set(sub(shl(y.significand, 1), x.significand));
            sign.set(xor32(sign.value, 1));
            quotient.set(i64(1));
          });
        }
      },
      () => {
        const partial = code.let(gtS32(distance, 63));
        // Of a long way, 32 to 63 bits.
        const steps = code.var(select(partial, or32(and32(distance, 31), 32), distance));
        code.if(partial, () => conditions.set(i32(STATUS.C2)));
        exponent.set(sub32(x.exponent, steps.value));
        code.if(geU(rest.value, y.significand), () => {
          rest.set(sub(rest.value, y.significand));
          quotient.set(i64(1));
        });
        code.while(
          () => steps.value,
          () => {
            const top = shrU(rest.value, 63);
            const carry = code.let(wrap(top));
            rest.set(shl(rest.value, 1));
            const fits = code.let(or32(carry, geU(rest.value, y.significand)));
            rest.set(select(fits, sub(rest.value, y.significand), rest.value));
            quotient.set(or(shl(quotient.value, 1), extendU(fits)));
            steps.set(sub32(steps.value, 1));
          },
        );
        if (kind === 'fprem1') {
          code.if(eqz32(partial), () => {
            const other = code.let(sub(y.significand, rest.value));
            const tie = and32(eq(rest.value, other), wrap(and(quotient.value, 1)));
            code.if(or32(gtU(rest.value, other), tie), () => {
              rest.set(other);
              sign.set(xor32(sign.value, 1));
              quotient.set(add(quotient.value, 1));
            });
          });
        }
      },
    );
    code.if(eqz32(conditions.value), () => {
      const q = code.let(wrap(quotient.value));
      const c3 = shl32(and32(q, 2), 13);
      conditions.set(either(shl32(and32(q, 1), 9), c3, shl32(and32(q, 4), 6)));
    });
    code.if(eqz(rest.value), () => {
      core.setStatus(code, or32(core.status, conditions.value));
      write(code, dst, shl32(signOf(a), 15), i64(0));
      code.return(i32(1));
    });
    const extended = i32(PC.extended);
    const done = code.call(normaliseRound(core), dst, sign.value, exponent.value, rest.value, i64(0), extended);
    core.setStatus(code, or32(core.status, conditions.value));
    code.return(done);
  });
}

export interface IntegerFunctions {
  /** (dst, a) -> delivered: FRNDINT */
  readonly roundToInteger: IrFunction;
  /** (dst, src) -> 1: FBLD; (dst, a) -> delivered: FBSTP. Packed decimals are 10 bytes in linear memory. */
  readonly loadDecimal: IrFunction;
  readonly storeDecimal: IrFunction;
  /** (dst, a, b) -> delivered: FPREM, FPREM1; sets C0 to C3 */
  readonly remainder: IrFunction;
  readonly remainderNearest: IrFunction;
}

export function makeIntegerFunctions(core: Core): IntegerFunctions {
  return {
    roundToInteger: makeRoundToInteger(core),
    loadDecimal: makeLoadDecimal(core),
    storeDecimal: makeStoreDecimal(core),
    remainder: makeRemainder(core, 'fprem'),
    remainderNearest: makeRemainder(core, 'fprem1'),
  };
}
