/**
 * The x87 FPU's arithmetic in 80 bits as IR functions.
 *
 * Pointers (dst, a, b) are byte addresses of registers in linear memory
 * (format.ts); a destination may be an operand. The functions read the control
 * word and keep the status word, TOP excepted; stack and tags are the caller's.
 */
import { type Arithmetic, makeArithmetic } from './plain.ts';
import { type Comparisons, makeComparisons } from './compare.ts';
import { type Conversions, makeConversions } from './convert.ts';
import { Core, type X87Options } from './core.ts';
import { type IntegerFunctions, makeIntegerFunctions } from './integer.ts';
import { type Logarithms, makeLogarithms } from './logarithm.ts';
import { makeScaleFunctions, type ScaleFunctions } from './scale.ts';
import { makeTrigonometry, type TrigonometricFunctions } from './trigonometry.ts';
import type { IrFunction } from '../../../ir/code.ts';

export type { X87Options } from './core.ts';

export interface X87
  extends Arithmetic,
    Comparisons,
    Conversions,
    IntegerFunctions,
    Logarithms,
    ScaleFunctions,
    TrigonometricFunctions {
  /** (flags) -> unmasked: clears C1, sets flags (EXCEPTION, STATUS.stackFault); not 0 where one of them is unmasked */
  readonly raise: IrFunction;
  /** (dst) -> delivered: raises invalid, writes the indefinite NaN */
  readonly invalid: IrFunction;
}

export function x87(options: X87Options): X87 {
  const core = new Core(options);
  const arithmetic = makeArithmetic(core);
  return {
    raise: core.raiseFunction,
    invalid: core.invalidFunction,
    ...arithmetic,
    ...makeLogarithms(core, arithmetic.add),
    ...makeTrigonometry(core),
    ...makeComparisons(core),
    ...makeConversions(core),
    ...makeIntegerFunctions(core),
    ...makeScaleFunctions(core),
  };
}
