/**
 * Conversions between formats and to and from integers; rounding to an integer.
 *
 * Spec: IEEE 754-2019, "formatOf general-computational operations".
 */
import { type Code, define, type IrFunction } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import {
  add,
  and,
  and32,
  apply,
  bitsF32,
  bitsF64,
  eq,
  eq32,
  eqz32,
  extendU,
  fromBitsF32,
  gtS32,
  gtU,
  i32,
  i64,
  ltS,
  ltS32,
  ne,
  or,
  or32,
  select,
  sext32,
  shl,
  shrU,
  sub,
  sub32,
  type Value,
  wrap,
} from '../../ir/value.ts';
import { type Core, jam } from './core.ts';
import { F32, F64, Rounding } from './format.ts';

const toDouble = (bits: Value): Value => bitsF64(apply(op.F64_PROMOTE, fromBitsF32(bits)));

/**
 * The integer next to a finite binary64 below 2^64 in magnitude, as its magnitude (i64)
 * and whether it differs (i32).
 */
function nearestInteger(code: Code, x: Value, rounding: Value): { readonly magnitude: Value; readonly inexact: Value } {
  const { significand, exponent } = F64.unpack(code, x);
  const magnitude = code.var(shl(significand, extendU(exponent)));
  const rest = code.var(i64(0));
  code.if(ltS32(exponent, 0), () => {
    // Two bits below the point, the last of them sticky: 0 exact, 1 below the half, 2 the half, 3 above.
    const shifted = code.let(jam(code, shl(significand, 2), sub32(0, exponent)));
    magnitude.set(shrU(shifted, 2));
    rest.set(and(shifted, 3));
    const some = ne(rest.value, 0);
    const even = gtU(or(rest.value, and(magnitude.value, 1)), 2);
    const away = gtU(rest.value, 1);
    const directed = and32(some, eq32(rounding, sub32(Rounding.RUP, F64.signOf(x))));
    const up = select(eqz32(rounding), even, select(eq32(rounding, Rounding.RMM), away, directed));
    magnitude.set(add(magnitude.value, extendU(up)));
  });
  return { magnitude: magnitude.value, inexact: ne(rest.value, 0) };
}

/**
 * To an integer: binary64 bits, rounding mode, the magnitudes (i64, unsigned) of the
 * largest and of the lowest integer. Gives an i64.
 */
export function makeToInteger(core: Core): IrFunction {
  const { options } = core;
  return define('f64_to_integer', ['i64', 'i32', 'i64', 'i64'], 'i64', (code, x, rounding, largest, lowest) => {
    const refuse = (value: Value): void => {
      core.raise(code, i32(options.flags.invalid));
      code.return(options.noInteger === 'lowest' ? sub(0, lowest) : value);
    };
    code.if(F64.isNan(x), () => refuse(options.noInteger === 'clamp-nan-high' ? largest : i64(0)));
    const limit = code.let(select(F64.signOf(x), lowest, largest));
    const clamped = code.let(select(F64.signOf(x), sub(0, lowest), largest));
    code.if(gtS32(wrap(shrU(F64.magnitude(x), F64.fraction)), F64.bias + 63), () => refuse(clamped));
    const { magnitude, inexact } = nearestInteger(code, x, rounding);
    code.if(gtU(magnitude, limit), () => refuse(clamped));
    code.if(inexact, () => core.raise(code, i32(options.flags.inexact)));
    code.return(select(F64.signOf(x), sub(0, magnitude), magnitude));
  });
}

/** The same from binary32: every one of them is a binary64. */
export function makeToIntegerF32(toInteger: IrFunction): IrFunction {
  return define('f32_to_integer', ['i32', 'i32', 'i64', 'i64'], 'i64', (code, x, rounding, largest, lowest) => {
    code.return(code.call(toInteger, toDouble(x), rounding, largest, lowest));
  });
}

/** From an i64, signed or unsigned; rounding mode. */
export function makeFromInteger(core: Core, kind: 'signed' | 'unsigned'): IrFunction {
  const { format: f } = core;
  const name = `${f.name}_from_${kind}`;
  return define(name, ['i64', 'i32'], f.type, (code, x, rounding) => {
    const negative = kind === 'signed' ? ltS(x, 0) : i32(0);
    const magnitude = kind === 'signed' ? select(ltS(x, 0), sub(0, x), x) : x;
    core.return(code, code.call(core.round, negative, i32(0), magnitude, rounding));
  });
}

/** A NaN in the other format: what it carries stands at the top of the fraction. */
function otherNan(from: Core, to: Core, code: Code, x: Value): Value {
  const signalling = from.format.isSignalling(x);
  code.if(signalling, () => from.raise(code, i32(from.options.flags.invalid)));
  if (from.options.nan === 'canonical') return i64(to.defaultNan);
  const carried = and(x, from.format.quiet - 1n);
  const by = to.format.fraction - from.format.fraction;
  const moved = by > 0 ? shl(carried, by) : shrU(carried, -by);
  return to.format.signed(from.format.signOf(x), or(moved, to.format.infinity | to.format.quiet));
}

/** binary64 to binary32: bits, rounding mode. */
export function makeNarrow(single: Core, double: Core): IrFunction {
  return define('f64_to_f32', ['i64', 'i32'], 'i32', (code, x, rounding) => {
    code.if(F64.isSpecial(x), () => {
      code.if(F64.isNan(x), () => code.return(wrap(otherNan(double, single, code, x))));
      code.return(wrap(F32.signed(F64.signOf(x), F32.infinity)));
    });
    const { significand, exponent } = F64.unpack(code, x);
    code.return(wrap(code.call(single.round, F64.signOf(x), exponent, significand, rounding)));
  });
}

/** binary32 to binary64; always exact. */
export function makeWiden(single: Core, double: Core): IrFunction {
  return define('f32_to_f64', ['i32'], 'i64', (code, bits) => {
    const x = code.let(extendU(bits));
    code.if(F32.isNan(x), () => code.return(otherNan(single, double, code, x)));
    code.return(toDouble(bits));
  });
}

/**
 * Rounding to an integer in the same format: bits, rounding mode, and the flags to
 * raise where the result differs (0 or inexact).
 */
export function makeRoundToInteger(core: Core): IrFunction {
  const { format: f } = core;
  return define(`${f.name}_round_to_integer`, [f.type, 'i32', 'i32'], f.type, (code, bits, rounding, flags) => {
    const given = code.let(f.widen(bits));
    code.if(f.isNan(given), () => core.return(code, code.call(core.nanOf, given, given)));
    const x = f.bits === 32 ? code.let(toDouble(bits)) : given;
    const field = wrap(shrU(F64.magnitude(x), F64.fraction));
    code.if(gtS32(field, F64.bias + F64.fraction - 1), () => code.return(bits)); // an integer, or infinite
    const { magnitude, inexact } = nearestInteger(code, x, rounding);
    const raised = code.let(select(inexact, flags, i32(0)));
    code.if(raised, () => core.raise(code, raised));
    const whole = apply(op.F64_CONVERT_I64_U, magnitude);
    const result = f.bits === 32 ? extendU(bitsF32(apply(op.F32_DEMOTE, whole))) : bitsF64(whole);
    core.return(code, f.signed(f.signOf(given), result));
  });
}

/**
 * The low 32 bits of a binary64 truncated to an integer of any size, as a signed i64:
 * JavaScript's conversion (RISC-V `fcvtmod.w.d`, Arm `FJCVTZS`). What does not fit is invalid.
 */
export function makeModular(core: Core): IrFunction {
  const { flags } = core.options;
  return define('f64_to_i32_modular', ['i64'], 'i64', (code, x) => {
    code.if(F64.isSpecial(x), () => {
      core.raise(code, i32(flags.invalid));
      code.return(i64(0));
    });
    const { significand, exponent } = F64.unpack(code, x);
    const whole = code.var(i64(0));
    const inexact = code.var(i32(0));
    const tooLarge = code.var(i32(0));
    code.if(
      ltS32(exponent, 0),
      () => {
        const shifted = code.let(jam(code, shl(significand, 1), sub32(0, exponent)));
        whole.set(shrU(shifted, 1));
        inexact.set(wrap(and(shifted, 1)));
      },
      () => {
        tooLarge.set(1);
        code.if(ltS32(exponent, 64), () => whole.set(shl(significand, extendU(exponent))));
      },
    );
    const signed = code.let(select(F64.signOf(x), sub(0, whole.value), whole.value));
    const fits = eq(sext32(signed), signed);
    code.if(
      or32(tooLarge.value, eqz32(fits)),
      () => core.raise(code, i32(flags.invalid)),
      () => code.if(inexact.value, () => core.raise(code, i32(flags.inexact))),
    );
    code.return(sext32(signed));
  });
}
