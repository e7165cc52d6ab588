/**
 * Floating-point arithmetic in integers, with exact flags and every rounding
 * mode: IR functions for one ISA's rules.
 *
 * Spec: IEEE 754-2019. What the host's own arithmetic can do faster is in
 * host.ts; these functions are right always.
 */
import type { IrFunction } from '../../ir/code.ts';
import { makeAdd, makeDiv, makeMul, makeSqrt, makeSub } from './arithmetic.ts';
import { makeClassify, makeCompare, makeExtremum } from './compare.ts';
import {
  makeFromInteger,
  makeModular,
  makeNarrow,
  makeRoundToInteger,
  makeToInteger,
  makeToIntegerF32,
  makeWiden,
} from './convert.ts';
import { Core, makeRaiseFlags } from './core.ts';
import { makeFma } from './fma.ts';
import { F32, F64, type FloatOptions } from './format.ts';

/**
 * Operations of one format. "bits" is i32 for binary32, i64 for binary64; `rm` a
 * rounding mode (i32, 0 to 4, see `Rounding`).
 */
export interface FormatFunctions {
  /** (bits, bits, rm) -> bits */
  readonly add: IrFunction;
  readonly sub: IrFunction;
  readonly mul: IrFunction;
  readonly div: IrFunction;
  /** (bits, rm) -> bits */
  readonly sqrt: IrFunction;
  /** (a bits, b bits, c bits, rm) -> bits of a * b + c */
  readonly fma: IrFunction;
  /** (bits, bits) -> bits: minimumNumber, maximumNumber */
  readonly min: IrFunction;
  readonly max: IrFunction;
  /** (bits, bits) -> bits: minimum, maximum; a NaN wins */
  readonly minNan: IrFunction;
  readonly maxNan: IrFunction;
  /** (bits, bits) -> i32: quiet */
  readonly eq: IrFunction;
  /** (bits, bits) -> i32: signalling */
  readonly lt: IrFunction;
  readonly le: IrFunction;
  /** (bits, bits) -> i32 */
  readonly ltQuiet: IrFunction;
  readonly leQuiet: IrFunction;
  /** (bits) -> i32 */
  readonly classify: IrFunction;
  /** (bits, rm, magnitude of the largest i64, of the lowest i64) -> i64 */
  readonly toInteger: IrFunction;
  /** (i64, rm) -> bits */
  readonly fromSigned: IrFunction;
  readonly fromUnsigned: IrFunction;
  /** (bits, rm, flags i32 to raise where inexact) -> bits */
  readonly roundToInteger: IrFunction;
}

export interface FloatFunctions {
  readonly f32: FormatFunctions;
  readonly f64: FormatFunctions;
  /** (f32 bits) -> f64 bits */
  readonly widen: IrFunction;
  /** (f64 bits, rm) -> f32 bits */
  readonly narrow: IrFunction;
  /** (f64 bits) -> i64: truncated, modulo 2^32, sign-extended */
  readonly toInt32Modular: IrFunction;
}

function functions(core: Core, toInteger: IrFunction): FormatFunctions {
  const add = makeAdd(core);
  return {
    add,
    sub: makeSub(core, add),
    mul: makeMul(core),
    div: makeDiv(core),
    sqrt: makeSqrt(core),
    fma: makeFma(core),
    min: makeExtremum(core, 'min', 'number'),
    max: makeExtremum(core, 'max', 'number'),
    minNan: makeExtremum(core, 'min', 'nan'),
    maxNan: makeExtremum(core, 'max', 'nan'),
    eq: makeCompare(core, 'eq', 'quiet'),
    lt: makeCompare(core, 'lt', 'signalling'),
    le: makeCompare(core, 'le', 'signalling'),
    ltQuiet: makeCompare(core, 'lt', 'quiet'),
    leQuiet: makeCompare(core, 'le', 'quiet'),
    classify: makeClassify(core),
    toInteger,
    fromSigned: makeFromInteger(core, 'signed'),
    fromUnsigned: makeFromInteger(core, 'unsigned'),
    roundToInteger: makeRoundToInteger(core),
  };
}

export function softfloat(options: FloatOptions): FloatFunctions {
  const raiseFlags = makeRaiseFlags(options);
  const single = new Core(F32, options, raiseFlags);
  const double = new Core(F64, options, raiseFlags);
  const toInteger = makeToInteger(double);
  return {
    f32: functions(single, makeToIntegerF32(toInteger)),
    f64: functions(double, toInteger),
    widen: makeWiden(single, double),
    narrow: makeNarrow(single, double),
    toInt32Modular: makeModular(double),
  };
}
