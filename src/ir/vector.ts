/**
 * Constructors of v128 values: WebAssembly's vector operations under its own
 * names in camel case, a shape each: `i16x8.addSatS(a, b)`, `f32x4.extractLane(v, 2)`.
 *
 * Lane 0 stands in the lowest bits. A comparison gives all ones where it holds.
 * Shift counts are i32, modulo the width of a lane.
 */
import * as op from './op.ts';
import { apply, type I32, i32, Value } from './value.ts';
import * as vop from './vector-op.ts';

type Camel<S extends string> = S extends `${infer Head}_${infer Tail}` ? `${Head}${Capitalize<Camel<Tail>>}` : S;
type Named<K extends string, F> = { readonly [N in K as Camel<N>]: F };

/** One constructor for each operation of a group. */
function each<K extends string, F>(codes: Readonly<Record<K, number>>, make: (code: number) => F): Named<K, F> {
  const made: Record<string, F> = {};
  for (const [name, code] of Object.entries<number>(codes))
    made[name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())] = make(code);
  return made as Named<K, F>;
}

const unary = (code: number) => (x: Value) => apply(code, x);
const binary = (code: number) => (x: Value, y: Value) => apply(code, x, y);
const shift = (code: number) => (x: Value, count: I32) => apply(code, x, i32(count));

function laneOf(code: number, lane: number, x: Value, y?: Value): Value {
  const { type, a, b } = y ? apply(code, x, y) : apply(code, x);
  return new Value(code, type, lane, undefined, a, b);
}
const extract = (count: number) => (code: number) => (x: Value, lane: number) => {
  checkLane(lane, count);
  return laneOf(code, lane, x);
};
const replace = (count: number) => (code: number) => (x: Value, lane: number, value: Value) => {
  checkLane(lane, count);
  return laneOf(code, lane, x, value);
};
function checkLane(lane: number, count: number): void {
  if (!Number.isInteger(lane) || lane < 0 || lane >= count) throw new RangeError(`lane ${lane} of ${count}`);
}

/** What the four shapes of integers share. */
interface Integers<Splat extends string, E extends string, R extends string> {
  readonly splat: Readonly<Record<Splat, number>>;
  readonly extract: Readonly<Record<E, number>>;
  readonly replace: Readonly<Record<R, number>>;
}
function laneOperations<S extends string, E extends string, R extends string>(
  count: number,
  codes: Integers<S, E, R>,
): Named<S, (x: Value) => Value> &
  Named<E, (x: Value, lane: number) => Value> &
  Named<R, (x: Value, lane: number, value: Value) => Value> {
  return {
    ...each(codes.splat, unary),
    ...each(codes.extract, extract(count)),
    ...each(codes.replace, replace(count)),
  };
}

/** A constant by its 128 bits. */
export function constant128(bits: bigint): Value {
  return new Value(op.CONST_V128, 'v128', 0, BigInt.asUintN(128, bits));
}
/** A constant by its sixteen bytes, that of lane 0 first. */
export function bytes(...list: readonly number[]): Value {
  if (list.length !== 16) throw new RangeError(`${list.length} bytes of a vector`);
  return constant128(joined(list));
}
function joined(list: readonly number[]): bigint {
  return list.reduceRight((all, byte) => (all << 8n) | BigInt(byte & 0xff), 0n);
}
/** A constant with `bits` in every lane of `width` bits. */
export function every(width: 8 | 16 | 32 | 64, bits: bigint | number): Value {
  const lane = BigInt.asUintN(width, BigInt(bits));
  let all = 0n;
  for (let at = 0n; at < 128n; at += BigInt(width)) all |= lane << at;
  return constant128(all);
}
export const zero: Value = constant128(0n);
export const ones: Value = constant128(-1n);

/** Sixteen bytes of `x` (numbers 0 to 15) and `y` (16 to 31), lane 0's first. */
export function shuffle(x: Value, y: Value, numbers: readonly number[]): Value {
  if (numbers.length !== 16) throw new RangeError(`${numbers.length} lanes of a shuffle`);
  for (const number of numbers) checkLane(number, 32);
  const { type, a, b } = apply(vop.SHUFFLE, x, y);
  return new Value(vop.SHUFFLE, type, 0, joined(numbers), a, b);
}
/** A shuffle by lanes of `size` bytes; `y`'s are counted on from `x`'s. */
export function shuffleLanes(size: 1 | 2 | 4 | 8, x: Value, y: Value, numbers: readonly number[]): Value {
  return shuffle(
    x,
    y,
    numbers.flatMap((number) => Array.from({ length: size }, (_, n) => number * size + n)),
  );
}

export const v128 = {
  ...each(vop.v128.unary, unary),
  ...each(vop.v128.binary, binary),
  ...each(vop.v128.ask, unary),
  /** `yes` where `mask` has ones, else `no`, bit by bit. */
  bitselect: (yes: Value, no: Value, mask: Value): Value => apply(vop.v128.select.bitselect, yes, no, mask),
};
export const i8x16 = {
  ...laneOperations(16, vop.i8x16),
  ...each(vop.i8x16.unary, unary),
  ...each(vop.i8x16.binary, binary),
  ...each(vop.i8x16.shift, shift),
  ...each(vop.i8x16.ask, unary),
};
export const i16x8 = {
  ...laneOperations(8, vop.i16x8),
  ...each(vop.i16x8.unary, unary),
  ...each(vop.i16x8.binary, binary),
  ...each(vop.i16x8.shift, shift),
  ...each(vop.i16x8.ask, unary),
};
export const i32x4 = {
  ...laneOperations(4, vop.i32x4),
  ...each(vop.i32x4.unary, unary),
  ...each(vop.i32x4.binary, binary),
  ...each(vop.i32x4.shift, shift),
  ...each(vop.i32x4.ask, unary),
};
export const i64x2 = {
  ...laneOperations(2, vop.i64x2),
  ...each(vop.i64x2.unary, unary),
  ...each(vop.i64x2.binary, binary),
  ...each(vop.i64x2.shift, shift),
  ...each(vop.i64x2.ask, unary),
};
export const f32x4 = {
  ...laneOperations(4, vop.f32x4),
  ...each(vop.f32x4.unary, unary),
  ...each(vop.f32x4.binary, binary),
};
export const f64x2 = {
  ...laneOperations(2, vop.f64x2),
  ...each(vop.f64x2.unary, unary),
  ...each(vop.f64x2.binary, binary),
};
