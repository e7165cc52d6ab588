/** The two precisions as vectors have them: lanes, and what a whole vector of results must be to be the right ones. */
import {
  type Value,
  and32,
  apply,
  bitsF32,
  bitsF64,
  eqz32,
  fromBitsF32,
  fromBitsF64,
  f32,
  f64,
  ltU,
  ltU32,
  shl,
  shl32,
  sub,
  sub32,
} from '../../../ir/value.ts';
import * as op from '../../../ir/op.ts';
import { every, f32x4, f64x2, i32x4, i64x2, v128, zero } from '../../../ir/vector.ts';
import { F32, F64, type Format } from '../../softfloat/format.ts';
import { isSafe } from '../../softfloat/host.ts';

export interface Precision {
  readonly name: 'ps' | 'pd';
  readonly format: Format;
  readonly lanes: number;
  /** Type of a lane's bits. */
  readonly type: 'i32' | 'i64';
  readonly shape: typeof f32x4 | typeof f64x2;
  readonly allTrue: (x: Value) => Value;
  /** A lane's bits. */
  readonly bits: (x: Value, lane: number) => Value;
  readonly withBits: (x: Value, lane: number, bits: Value) => Value;
  /** Lane 0 as a number. */
  readonly number: (x: Value) => Value;
  readonly withNumber: (x: Value, number: Value) => Value;
  readonly toBits: (number: Value) => Value;
  readonly fromBits: (bits: Value) => Value;
  readonly unary: Readonly<Record<string, number>>;
  readonly binary: Readonly<Record<string, number>>;
  readonly compare: Readonly<Record<string, number>>;
  /** A vector with these bits in every lane. */
  readonly every: (bits: bigint) => Value;
}

export const single: Precision = {
  name: 'ps',
  format: F32,
  lanes: 4,
  type: 'i32',
  shape: f32x4,
  allTrue: i32x4.allTrue,
  bits: i32x4.extractLane,
  withBits: i32x4.replaceLane,
  number: (x) => f32x4.extractLane(x, 0),
  withNumber: (x, number) => f32x4.replaceLane(x, 0, number),
  toBits: bitsF32,
  fromBits: fromBitsF32,
  unary: op.f32Unary,
  binary: op.f32Binary,
  compare: op.f32Compare,
  every: (bits) => every(32, bits),
};
export const double: Precision = {
  name: 'pd',
  format: F64,
  lanes: 2,
  type: 'i64',
  shape: f64x2,
  allTrue: i64x2.allTrue,
  bits: i64x2.extractLane,
  withBits: i64x2.replaceLane,
  number: (x) => f64x2.extractLane(x, 0),
  withNumber: (x, number) => f64x2.replaceLane(x, 0, number),
  toBits: bitsF64,
  fromBits: fromBitsF64,
  unary: op.f64Unary,
  binary: op.f64Binary,
  compare: op.f64Compare,
  every: (bits) => every(64, bits),
};

const smallest = (p: Precision): Value => p.every(1n << BigInt(p.format.fraction));
const infinity = (p: Precision): Value => p.every(p.format.infinity);

// Of vectors: all ones in the lanes where it holds.
export const denormalLanes = (p: Precision, x: Value): Value =>
  v128.and(p.shape.lt(p.shape.abs(x), smallest(p)), p.shape.ne(x, zero));
/** Finite and above the smallest normal number, to which a tiny one may have been rounded. */
export const safeLanes = (p: Precision, x: Value): Value => {
  const magnitude = p.shape.abs(x);
  return v128.and(p.shape.gt(magnitude, smallest(p)), p.shape.lt(magnitude, infinity(p)));
};
export const zeroLanes = (p: Precision, x: Value): Value => p.shape.eq(x, zero);
/** No NaN and no denormal number. */
export const plainLanes = (p: Precision, x: Value): Value => {
  const magnitude = p.shape.abs(x);
  const normal = v128.and(p.shape.ge(magnitude, smallest(p)), p.shape.le(magnitude, infinity(p)));
  return v128.or(normal, zeroLanes(p, x));
};

// The same of one number: i32, 0 or 1.
export const isDenormalNumber = (p: Precision, x: Value): Value =>
  p.type === 'i32'
    ? ltU32(sub32(shl32(bitsF32(x), 1), 1), 0xff_ffff)
    : ltU(sub(shl(bitsF64(x), 1), 1), (1n << 53n) - 1n);
export const isSafeNumber = (_: Precision, x: Value): Value => isSafe(x);
export const isZeroNumber = (p: Precision, x: Value): Value =>
  apply(p.compare['eq'], x, p.type === 'i32' ? f32(0) : f64(0));
export const isPlainNumber = (p: Precision, x: Value): Value =>
  and32(apply(p.compare['eq'], x, x), eqz32(isDenormalNumber(p, x)));
