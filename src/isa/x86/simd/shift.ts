/**
 * Shifts of packed integers.
 *
 * Spec: Intel SDM volume 2, PSLLx, PSRLx, PSRAx, PSLLDQ, PSRLDQ, VPSLLVx,
 * VPSRLVx, VPSRAVD. A count beyond the lane shifts everything out; an
 * arithmetic one leaves the sign.
 */
import type { Code } from '../../../ir/code.ts';
import {
  gtU,
  gtU32,
  i32,
  i64,
  ltU,
  ltU32,
  select,
  shl,
  shl32,
  shrS32,
  shrU,
  shrU32,
  type Value,
  wrap,
} from '../../../ir/value.ts';
import { i16x8, i32x4, i64x2, shuffle, zero } from '../../../ir/vector.ts';
import { type Binary, range, type UnaryImm } from './operation.ts';

/** By an immediate, or by the low 64 bits of a vector. */
type Shift = (code: Code, a: Value, count: number | Value) => Value;
type Shape = typeof i16x8 | typeof i32x4 | typeof i64x2;

const logical = (shape: Shape, width: number, way: 'shl' | 'shrU'): Shift => {
  const shift = shape[way];
  return (code, a, count) => {
    if (typeof count === 'number') return count < width ? shift(a, count) : zero;
    const n = code.let(i64x2.extractLane(count, 0));
    return select(ltU(n, width), shift(a, wrap(n)), zero);
  };
};
const arithmetic =
  (shape: typeof i16x8 | typeof i32x4, width: number): Shift =>
  (code, a, count) => {
    if (typeof count === 'number') return shape.shrS(a, Math.min(count, width - 1));
    const n = code.let(i64x2.extractLane(count, 0));
    return shape.shrS(a, select(gtU(n, width - 1), i32(width - 1), wrap(n)));
  };

export const psllw = logical(i16x8, 16, 'shl');
export const pslld = logical(i32x4, 32, 'shl');
export const psllq = logical(i64x2, 64, 'shl');
export const psrlw = logical(i16x8, 16, 'shrU');
export const psrld = logical(i32x4, 32, 'shrU');
export const psrlq = logical(i64x2, 64, 'shrU');
export const psraw = arithmetic(i16x8, 16);
export const psrad = arithmetic(i32x4, 32);

/** By bytes. */
export const pslldq: UnaryImm = (_, a, imm) => {
  const n = Math.min(imm, 16);
  return shuffle(zero, a, range(16, 16 - n));
};
export const psrldq: UnaryImm = (_, a, imm) => shuffle(a, zero, range(16, Math.min(imm, 16)));

/** Each lane by its own count. */
const each32 =
  (shift: (x: Value, count: Value) => Value): Binary =>
  (code, a, b) =>
    range(4).reduce((result, n) => {
      const count = code.let(i32x4.extractLane(b, n));
      return i32x4.replaceLane(result, n, shift(i32x4.extractLane(a, n), count));
    }, a);
const each64 =
  (shift: (x: Value, count: Value) => Value): Binary =>
  (code, a, b) =>
    range(2).reduce((result, n) => {
      const count = code.let(i64x2.extractLane(b, n));
      const shifted = select(ltU(count, 64), shift(i64x2.extractLane(a, n), count), i64(0));
      return i64x2.replaceLane(result, n, shifted);
    }, a);

export const vpsllvd = each32((x, n) => select(ltU32(n, 32), shl32(x, n), i32(0)));
export const vpsrlvd = each32((x, n) => select(ltU32(n, 32), shrU32(x, n), i32(0)));
export const vpsravd = each32((x, n) => shrS32(x, select(gtU32(n, 31), i32(31), n)));
export const vpsllvq = each64(shl);
export const vpsrlvq = each64(shrU);
