/**
 * What functions of this folder look like: they write IR that computes on vectors.
 *
 * `a` is the first source (of a legacy encoding the destination), `b` the
 * second. Operands are locals or constants, so that they may be named more
 * than once; a result is any value. The 256-bit forms that do not work in each
 * half apart take and give `Wide`.
 */
import type { Code } from '../../../ir/code.ts';
import type { Value } from '../../../ir/value.ts';

export type Unary = (code: Code, a: Value) => Value;
export type Binary = (code: Code, a: Value, b: Value) => Value;
/** With an 8-bit immediate. */
export type UnaryImm = (code: Code, a: Value, imm: number) => Value;
export type BinaryImm = (code: Code, a: Value, b: Value, imm: number) => Value;

/** A vector of 256 bits. */
export interface Wide {
  readonly low: Value;
  readonly high: Value;
}

/** Operations that WebAssembly has as they are. */
export const unary =
  (make: (a: Value) => Value): Unary =>
  (_, a) =>
    make(a);
export const binary =
  (make: (a: Value, b: Value) => Value): Binary =>
  (_, a, b) =>
    make(a, b);

export const range = (count: number, first = 0, step = 1): number[] =>
  Array.from({ length: count }, (_, n) => first + n * step);
