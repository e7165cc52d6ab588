/**
 * To and from binary32 and binary64.
 *
 * Spec: Intel SDM volume 2, FLD, FST; volume 1, 4.9.1.5 and 8.5.5 (an unmasked
 * overflow or underflow of a store to memory stores nothing).
 */
import { type Code, define, type IrFunction } from '../../../ir/code.ts';
import * as op from '../../../ir/op.ts';
import {
  add,
  add32,
  and,
  and32,
  clz,
  eq32,
  eqz,
  eqz32,
  extendU,
  geS32,
  gtS32,
  gtU,
  i32,
  i64,
  leS32,
  ne,
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
} from '../../../ir/value.ts';
import { F32, F64, type Format } from '../../softfloat/format.ts';
import { type Core, within } from './core.ts';
import {
  BIAS,
  EXCEPTION,
  either,
  INTEGER_BIT,
  isInfinite,
  isNan,
  isNormal,
  isSignalling,
  isUnsupported,
  isZero,
  RC,
  read,
  signOf,
  STATUS,
  TOP_EXPONENT,
  write,
} from './format.ts';

/** (dst, bits) -> flags: the number as it is, a signalling NaN too; DE where it is denormal. Raises nothing. */
function makeWiden(f: Format): IrFunction {
  return define(`x87_widen_${f.name}`, ['i32', f.type], 'i32', (code, dst, given) => {
    const bits = code.let(f.widen(given));
    const field = code.let(and32(wrap(shrU(bits, f.fraction)), f.top));
    const sign = code.let(shl32(f.signOf(bits), 15));
    const fraction = code.let(shl(bits, 64 - f.fraction));
    code.if(within(field, 1, f.top - 1), () => {
      write(code, dst, or32(sign, add32(field, BIAS - f.bias)), or(shrU(fraction, 1), INTEGER_BIT));
      code.return(i32(0));
    });
    code.if(field, () => {
      write(code, dst, or32(sign, TOP_EXPONENT), or(shrU(fraction, 1), INTEGER_BIT));
      code.return(i32(0));
    });
    code.if(eqz(fraction), () => {
      write(code, dst, sign, i64(0));
      code.return(i32(0));
    });
    const shift = code.let(clz(fraction));
    write(code, dst, or32(sign, sub32(BIAS - f.bias, wrap(shift))), shl(fraction, shift));
    code.return(i32(EXCEPTION.DE));
  });
}

/** They need nothing of a CPU's state. */
export const widen = { f32: makeWiden(F32), f64: makeWiden(F64) } as const;

/** (dst, bits) -> delivered: FLD. */
function makeLoad(core: Core, f: Format, widened: IrFunction): IrFunction {
  return define(`x87_load_${f.name}`, ['i32', f.type], 'i32', (code, dst, given) => {
    const bits = code.let(f.widen(given));
    core.clearC1(code);
    const field = code.let(and32(wrap(shrU(bits, f.fraction)), f.top));
    code.if(within(field, 1, f.top - 1), () => {
      const se = or32(shl32(f.signOf(bits), 15), add32(field, BIAS - f.bias));
      write(code, dst, se, or(shl(bits, 63 - f.fraction), INTEGER_BIT));
      code.return(i32(1));
    });
    code.if(f.isSignalling(bits), () => {
      code.if(core.raise(code, i32(EXCEPTION.IE)), () => code.return(i32(0)));
      code.call(widened, dst, f.narrow(or(bits, f.quiet)));
      code.return(i32(1));
    });
    const denormal = and32(eqz(and(bits, f.infinity)), ne(f.magnitude(bits), 0));
    // Loaded also where that is unmasked, as processors do.
    code.if(denormal, () => void core.raise(code, i32(EXCEPTION.DE)));
    code.call(widened, dst, given);
    code.return(i32(1));
  });
}

/** (dst, a) -> delivered: FST; writes 4 or 8 bytes. */
function makeStore(core: Core, f: Format): IrFunction {
  const storeOp = f.bits === 64 ? op.I64_STORE : op.I32_STORE;
  const drop = 63 - f.fraction;
  return define(`x87_store_${f.name}`, ['i32', 'i32'], 'i32', (code, dst, pa) => {
    const a = read(code, pa);
    const sign = code.let(signOf(a));
    const put = (bits: Value): void => code.store(storeOp, dst, f.narrow(bits));
    const deliver = (bits: Value): void => {
      put(bits);
      code.return(i32(1));
    };
    const fraction = (1n << BigInt(f.fraction)) - 1n;
    const exponent = code.let(sub32(a.exponent, BIAS - f.bias));
    const control = code.let(core.control);
    const room = within(exponent, 1, f.top - 2);
    const masked = eq32(and32(control, 0xc20), 0x20);
    code.if(and32(masked, and32(isNormal(a), room)), () => {
      const rest = code.let(shl(a.significand, 64 - drop));
      const whole = code.let(shrU(a.significand, drop));
      const up = code.let(core.goesUp(i32(0), sign, rest, wrap(and(whole, 1))));
      const status = and32(core.status, ~STATUS.C1);
      core.setStatus(code, or32(status, or32(shl32(ne(rest, 0), 5), shl32(up, 9))));
      // The leading one counts on the exponent field, as a carry does.
      const field = shl(extendU(sub32(exponent, 1)), f.fraction);
      deliver(f.signed(sign, add(add(field, whole), extendU(up))));
    });
    code.if(isUnsupported(a), () => {
      code.if(core.raise(code, i32(EXCEPTION.IE)), () => code.return(i32(0)));
      deliver(i64(f.sign | f.infinity | f.quiet));
    });
    core.clearC1(code);
    code.if(isNan(a), () => {
      code.if(isSignalling(a), () => code.if(core.raise(code, i32(EXCEPTION.IE)), () => code.return(i32(0))));
      const carried = and(shrU(a.significand, drop), fraction);
      deliver(f.signed(sign, or(carried, f.infinity | f.quiet)));
    });
    code.if(isInfinite(a), () => deliver(f.signed(sign, f.infinity)));
    code.if(isZero(a), () => deliver(f.signed(sign, 0n)));
    const rounding = code.let(core.rounding);
    const x = core.normalise(code, a);
    const small = code.let(sub32(x.exponent, BIAS - f.bias));
    const head = code.var(i64(0));
    const rest = code.var(i64(0));
    const up = code.var(i32(0));
    const cut = (by: Value): void => {
      // `by` from drop on: how much of the significand lies below the last place.
      const far = code.let(gtS32(by, 63));
      const count = code.let(extendU(by));
      const half = or(shrU(x.significand, 1), 1);
      head.set(select(far, i64(0), shrU(x.significand, count)));
      rest.set(select(far, select(eq32(by, 64), x.significand, half), shl(x.significand, sub(64, count))));
      code.if(gtS32(by, 65), () => rest.set(i64(1)));
      up.set(core.goesUp(rounding, sign, rest.value, wrap(and(head.value, 1))));
    };
    cut(i32(drop));
    const flags = code.var(i32(0));
    const field = code.var(i64(0));
    code.if(
      leS32(small, 0),
      () => {
        const carry = and32(up.value, eqz(and(add(head.value, 1), fraction)));
        const tiny = code.let(eqz32(and32(carry, eqz32(small))));
        code.if(and32(tiny, eqz32(and32(control, EXCEPTION.UE))), () => {
          core.raise(code, i32(EXCEPTION.UE));
          code.return(i32(0));
        });
        cut(code.let(add32(sub32(1, small), drop)));
        flags.set(select(and32(tiny, ne(rest.value, 0)), i32(EXCEPTION.UE), i32(0)));
      },
      () => field.set(shl(extendU(sub32(small, 1)), f.fraction)),
    );
    const magnitude = code.let(add(add(field.value, head.value), extendU(up.value)));
    const over = or32(geS32(small, f.top), geS32(wrap(shrU(magnitude, f.fraction)), f.top));
    code.if(over, () => {
      code.if(eqz32(and32(control, EXCEPTION.OE)), () => {
        core.raise(code, i32(EXCEPTION.OE));
        code.return(i32(0));
      });
      const infinite = code.let(or32(eqz32(rounding), eq32(rounding, select(sign, i32(RC.down), i32(RC.up)))));
      core.raise(code, i32(EXCEPTION.OE | EXCEPTION.PE));
      core.setStatus(code, or32(core.status, shl32(infinite, 9)));
      deliver(f.signed(sign, sub(i64(f.infinity), extendU(eqz32(infinite)))));
    });
    core.raise(code, or32(flags.value, select(ne(rest.value, 0), i32(EXCEPTION.PE), i32(0))));
    core.setStatus(code, or32(core.status, shl32(up.value, 9)));
    deliver(f.signed(sign, magnitude));
  });
}

/** (dst, i64) -> 1: FILD of any size, sign-extended; always exact. */
function makeFromInteger(core: Core): IrFunction {
  return define('x87_from_integer', ['i32', 'i64'], 'i32', (code, dst, x) => {
    code.if(eqz(x), () => core.exact(code, dst, i32(0), i64(0)));
    const negative = code.let(shrU(x, 63));
    const magnitude = code.let(select(wrap(negative), sub(0, x), x));
    const shift = code.let(clz(magnitude));
    const se = or32(shl32(wrap(negative), 15), sub32(BIAS + 63, wrap(shift)));
    core.exact(code, dst, se, shl(magnitude, shift));
  });
}

/**
 * Magnitude of a finite number rounded to an integer, below 2^64 (exponent checked before):
 * the integer, and the fraction that was cut off.
 */
export function toWhole(
  core: Core,
  code: Code,
  significand: Value,
  exponent: Value,
  sign: Value,
  rounding: Value,
): { whole: Value; inexact: Value; up: Value } {
  const whole = code.var(significand);
  const rest = code.var(i64(0));
  const by = code.let(sub32(BIAS + 63, exponent));
  code.if(by, () => {
    const count = code.let(extendU(by));
    code.if(
      gtS32(by, 63),
      () => {
        rest.set(select(eq32(by, 64), significand, extendU(ne(significand, 0))));
        whole.set(i64(0));
      },
      () => {
        rest.set(shl(significand, sub(64, count)));
        whole.set(shrU(significand, count));
      },
    );
  });
  const up = code.let(core.goesUp(rounding, sign, rest.value, wrap(and(whole.value, 1))));
  whole.set(add(whole.value, extendU(up)));
  return { whole: whole.value, inexact: ne(rest.value, 0), up };
}

/** (dst, a, rounding) -> delivered: FIST, FISTTP (rounding RC.chop); writes 2, 4 or 8 bytes. */
function makeToInteger(core: Core, bits: 16 | 32 | 64): IrFunction {
  const storeOp = bits === 64 ? op.I64_STORE : bits === 32 ? op.I64_STORE32 : op.I64_STORE16;
  return define(`x87_to_i${bits}`, ['i32', 'i32', 'i32'], 'i32', (code, dst, pa, rounding) => {
    const a = read(code, pa);
    const lowest = 1n << BigInt(bits - 1);
    const refuse = (): void => {
      code.if(core.raise(code, i32(EXCEPTION.IE)), () => code.return(i32(0)));
      code.store(storeOp, dst, i64(lowest));
      code.return(i32(1));
    };
    const tooLarge = geS32(a.exponent, BIAS + 64);
    code.if(either(isUnsupported(a), tooLarge), refuse);
    const sign = code.let(signOf(a));
    const { whole, inexact, up } = toWhole(core, code, a.significand, a.exponent, sign, rounding);
    const limit = code.let(add(i64(lowest - 1n), extendU(sign)));
    // Unsigned: 2^64 rounded up from just below has wrapped to 0.
    code.if(either(gtU(whole, limit), and32(up, eqz(whole))), refuse);
    const flags = select(inexact, i32(EXCEPTION.PE), i32(0));
    core.raise(code, flags);
    core.setStatus(code, or32(core.status, shl32(up, 9)));
    code.store(storeOp, dst, select(sign, sub(0, whole), whole));
    code.return(i32(1));
  });
}

/** (dst, a) -> delivered: FLD or FST of a register or m80; copies any bits. */
function makeCopy(core: Core): IrFunction {
  return define('x87_copy', ['i32', 'i32'], 'i32', (code, dst, pa) => {
    const a = read(code, pa);
    core.clearC1(code);
    write(code, dst, a.se, a.significand);
    code.return(i32(1));
  });
}

export interface Conversions {
  /** (dst, bits) -> flags for an arithmetic function: a memory operand as it is. */
  readonly widenF32: IrFunction;
  readonly widenF64: IrFunction;
  /** (dst, bits) -> delivered: FLD m32fp, m64fp */
  readonly loadF32: IrFunction;
  readonly loadF64: IrFunction;
  /** (dst, a) -> delivered: FST; writes 4 or 8 bytes */
  readonly storeF32: IrFunction;
  readonly storeF64: IrFunction;
  /** (dst, i64) -> 1: FILD */
  readonly fromInteger: IrFunction;
  /** (dst, a, rounding as in the control word) -> delivered: FIST, FISTTP */
  readonly toI16: IrFunction;
  readonly toI32: IrFunction;
  readonly toI64: IrFunction;
  /** (dst, a) -> 1 */
  readonly copy: IrFunction;
}

export function makeConversions(core: Core): Conversions {
  return {
    widenF32: widen.f32,
    widenF64: widen.f64,
    loadF32: makeLoad(core, F32, widen.f32),
    loadF64: makeLoad(core, F64, widen.f64),
    storeF32: makeStore(core, F32),
    storeF64: makeStore(core, F64),
    fromInteger: makeFromInteger(core),
    toI16: makeToInteger(core, 16),
    toI32: makeToInteger(core, 32),
    toI64: makeToInteger(core, 64),
    copy: makeCopy(core),
  };
}
