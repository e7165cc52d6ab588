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
import { define, type IrFunction } from '../../../ir/code.ts';
import { i32, or32, select } from '../../../ir/value.ts';
import { EXCEPTION, INDEFINITE, STATUS, write } from './format.ts';

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
  /** (dst, overflow) -> delivered: a stack fault, IE and SF, C1 where it is an overflow; writes the indefinite NaN */
  readonly stackFault: IrFunction;
  /** (dst) -> delivered: raises invalid, writes the indefinite NaN */
  readonly invalid: IrFunction;
}

function makeStackFault(core: Core): IrFunction {
  return define('x87_stack_fault', ['i32', 'i32'], 'i32', (code, dst, overflow) => {
    const unmasked = core.raise(code, i32(EXCEPTION.IE | STATUS.stackFault));
    core.setStatus(code, or32(core.status, select(overflow, i32(STATUS.C1), i32(0))));
    code.if(unmasked, () => code.return(i32(0)));
    write(code, dst, INDEFINITE.se, INDEFINITE.significand);
    code.return(i32(1));
  });
}

export function x87(options: X87Options): X87 {
  const core = new Core(options);
  const arithmetic = makeArithmetic(core);
  return {
    raise: core.raiseFunction,
    invalid: core.invalidFunction,
    stackFault: makeStackFault(core),
    ...arithmetic,
    ...makeLogarithms(core, arithmetic.add),
    ...makeTrigonometry(core),
    ...makeComparisons(core),
    ...makeConversions(core),
    ...makeIntegerFunctions(core),
    ...makeScaleFunctions(core),
  };
}
