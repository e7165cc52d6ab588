/**
 * Comparisons, minimum and maximum, classification.
 *
 * Spec: IEEE 754-2019, "Comparison predicates", "Minimum and maximum
 * operations", "class"; the bits of a class are RISC-V's `fclass`.
 */
import { type Code, define, type IrFunction } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import {
  add32,
  and32,
  apply,
  eq,
  eq32,
  eqz,
  fromBitsF32,
  fromBitsF64,
  i32,
  ltU,
  or32,
  select,
  shl32,
  sub32,
  type Value,
  wrap,
} from '../../ir/value.ts';
import type { Core } from './core.ts';

type Relation = 'eq' | 'lt' | 'le';

/** The host's own comparison of bits (i64). */
function hostCompare(core: Core, relation: Relation, a: Value, b: Value): Value {
  if (core.format.bits === 64) return apply(op.f64Compare[relation], fromBitsF64(a), fromBitsF64(b));
  return apply(op.f32Compare[relation], fromBitsF32(wrap(a)), fromBitsF32(wrap(b)));
}

/** Gives 1 or 0 (i32); false where an operand is a NaN. A quiet one is invalid only to a signalling predicate. */
export function makeCompare(core: Core, relation: Relation, kind: 'quiet' | 'signalling'): IrFunction {
  const { format: f } = core;
  return define(`${f.name}_${relation}_${kind}`, [f.type, f.type], 'i32', (code, left, right) => {
    const a = code.let(f.widen(left));
    const b = code.let(f.widen(right));
    const bad = kind === 'quiet' ? or32(f.isSignalling(a), f.isSignalling(b)) : or32(f.isNan(a), f.isNan(b));
    code.if(bad, () => core.raise(code, i32(core.options.flags.invalid)));
    code.return(hostCompare(core, relation, a, b));
  });
}

/**
 * `minimumNumber` and `maximumNumber` (a number wins over a NaN) or `minimum` and
 * `maximum` (a NaN wins); -0 is less than +0.
 */
export function makeExtremum(core: Core, which: 'min' | 'max', nan: 'number' | 'nan'): IrFunction {
  const { format: f } = core;
  const name = `${f.name}_${which}${nan === 'nan' ? '_nan' : ''}`;
  return define(name, [f.type, f.type], f.type, (code, left, right) => {
    const a = code.let(f.widen(left));
    const b = code.let(f.widen(right));
    const some = nan === 'nan' ? or32(f.isNan(a), f.isNan(b)) : and32(f.isNan(a), f.isNan(b));
    code.if(some, () => core.return(code, code.call(core.nanOf, a, b)));
    if (nan === 'number') {
      const oneNan = or32(f.isNan(a), f.isNan(b));
      code.if(oneNan, () => {
        const signalling = or32(f.isSignalling(a), f.isSignalling(b));
        code.if(signalling, () => core.raise(code, i32(core.options.flags.invalid)));
        core.return(code, select(f.isNan(a), b, a));
      });
    }
    const aFirst = less(core, code, a, b);
    core.return(code, which === 'min' ? select(aFirst, a, b) : select(aFirst, b, a));
  });
}

/** The order of two numbers that are no NaN, -0 below +0: as integers, turned round where negative. */
function less(core: Core, code: Code, a: Value, b: Value): Value {
  const { format: f } = core;
  const signA = code.let(f.signOf(a));
  const signB = f.signOf(b);
  return select(eq32(signA, signB), select(signA, ltU(b, a), ltU(a, b)), signA);
}

/**
 * Gives (i32) one bit: 0 -infinity, 1 negative normal, 2 negative subnormal, 3 -0,
 * 4 +0, 5 positive subnormal, 6 positive normal, 7 +infinity, 8 signalling NaN, 9 quiet NaN.
 */
export function makeClassify(core: Core): IrFunction {
  const { format: f } = core;
  return define(`${f.name}_class`, [f.type], 'i32', (code, x) => {
    const a = code.let(f.widen(x));
    code.if(f.isNan(a), () => code.return(select(f.isSignalling(a), i32(1 << 8), i32(1 << 9))));
    const magnitude = code.let(f.magnitude(a));
    const finite = select(ltU(magnitude, 1n << BigInt(f.fraction)), i32(1), i32(2));
    const size = code.let(select(eqz(magnitude), i32(0), select(eq(magnitude, f.infinity), i32(3), finite)));
    code.return(shl32(i32(1), select(f.signOf(a), sub32(3, size), add32(size, 4))));
  });
}
