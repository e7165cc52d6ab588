/**
 * Comparison and examination.
 *
 * Spec: Intel SDM volume 2, FCOM, FUCOM, FCOMI, FUCOMI, FTST, FXAM.
 *
 * Departure: the flags are set where an exception is unmasked too, as AMD's processors do.
 */
import { type Code, define, type IrFunction } from '../../../ir/code.ts';
import { and32, eq, eq32, eqz32, i32, ltS32, ltU, or32, select, shl32, type Value, xor32 } from '../../../ir/value.ts';
import type { Core } from './core.ts';
import {
  CONDITIONS,
  EXCEPTION,
  either,
  isDenormal,
  isInfinite,
  isNan,
  isSignalling,
  isUnsupported,
  isZero,
  type Parts,
  read,
  signOf,
  STATUS,
} from './format.ts';

/** EFLAGS: shifted left by 8 they are C3, C2 and C0. */
const ZF = 0x40;
const PF = 0x04;
const CF = 0x01;
const UNORDERED = ZF | PF | CF;
/** With the flags: an unmasked exception waits, and nothing may be popped. */
export const NOT_DELIVERED = 0x100;

/** CF where a < b, ZF where equal: of numbers. */
function order(code: Code, a: Parts, b: Parts): Value {
  const zero = code.let(and32(isZero(a), isZero(b)));
  const signA = code.let(signOf(a));
  const same = and32(eq32(a.se, b.se), eq(a.significand, b.significand));
  // A pseudo-denormal's exponent counts as 1, which is that of the same number as a normal one.
  const ea = code.let(select(and32(eqz32(a.exponent), eqz32(isZero(a))), i32(1), a.exponent));
  const eb = code.let(select(and32(eqz32(b.exponent), eqz32(isZero(b))), i32(1), b.exponent));
  const alike = and32(and32(eq32(signA, signOf(b)), eq32(ea, eb)), eq(a.significand, b.significand));
  const less = or32(ltS32(ea, eb), and32(eq32(ea, eb), ltU(a.significand, b.significand)));
  const below = select(eq32(signA, signOf(b)), xor32(less, signA), signA);
  return select(either(zero, same, alike), i32(ZF), select(below, i32(CF), i32(0)));
}

/** (a, b, flags, quiet) -> ZF, PF and CF, and NOT_DELIVERED where an exception is unmasked. Clears C1. */
function makeCompareFlags(core: Core): IrFunction {
  return define('x87_compare_flags', ['i32', 'i32', 'i32', 'i32'], 'i32', (code, pa, pb, flags, quiet) => {
    const a = read(code, pa);
    const b = read(code, pb);
    core.clearC1(code);
    const unsupported = or32(isUnsupported(a), isUnsupported(b));
    const nan = code.let(or32(isNan(a), isNan(b)));
    const signalling = or32(isSignalling(a), isSignalling(b));
    code.if(either(unsupported, nan), () => {
      code.if(either(unsupported, signalling, eqz32(quiet)), () => {
        code.if(core.raise(code, i32(EXCEPTION.IE)), () => code.return(i32(UNORDERED | NOT_DELIVERED)));
      });
      code.return(i32(UNORDERED));
    });
    const denormal = either(flags, isDenormal(a), isDenormal(b));
    const result = code.var(order(code, a, b));
    code.if(denormal, () => {
      const unmasked = core.raise(code, i32(EXCEPTION.DE));
      code.if(unmasked, () => result.set(or32(result.value, NOT_DELIVERED)));
    });
    code.return(result.value);
  });
}

/** (a, b, flags, quiet) -> delivered: sets C3, C2 and C0. */
function makeCompare(core: Core, compareFlags: IrFunction): IrFunction {
  return define('x87_compare', ['i32', 'i32', 'i32', 'i32'], 'i32', (code, pa, pb, flags, quiet) => {
    const result = code.call(compareFlags, pa, pb, flags, quiet);
    const conditions = shl32(and32(result, UNORDERED), 8);
    core.setStatus(code, or32(and32(core.status, ~CONDITIONS), conditions));
    code.return(eqz32(and32(result, NOT_DELIVERED)));
  });
}

/** (a, empty) -> 1: FXAM; `empty` (i32) where the tag says so. */
function makeExamine(core: Core): IrFunction {
  const { C0, C1, C2, C3 } = STATUS;
  return define('x87_examine', ['i32', 'i32'], 'i32', (code, pa, empty) => {
    const a = read(code, pa);
    const { exponent } = a;
    const finite = select(exponent, i32(C2), select(isZero(a), i32(C3), i32(C3 | C2)));
    const number = select(isInfinite(a), i32(C2 | C0), select(isNan(a), i32(C0), finite));
    const all = select(empty, i32(C3 | C0), select(isUnsupported(a), i32(0), number));
    core.setStatus(code, either(and32(core.status, ~CONDITIONS), all, select(signOf(a), i32(C1), i32(0))));
    code.return(i32(1));
  });
}

export interface Comparisons {
  /** (a, b, flags, quiet) -> delivered: FCOM (quiet 0), FUCOM (quiet 1); for FTST compare with a register holding 0 */
  readonly compare: IrFunction;
  /** (a, b, flags, quiet) -> ZF, PF and CF in EFLAGS' places, with NOT_DELIVERED where nothing may be popped: FCOMI, FUCOMI */
  readonly compareFlags: IrFunction;
  /** (a, empty) -> 1: FXAM */
  readonly examine: IrFunction;
}

export function makeComparisons(core: Core): Comparisons {
  const compareFlags = makeCompareFlags(core);
  return { compareFlags, compare: makeCompare(core, compareFlags), examine: makeExamine(core) };
}
