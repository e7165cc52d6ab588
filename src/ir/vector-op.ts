/**
 * The operations on vectors: WebAssembly's own, as 0xfd000 + sub-opcode
 * (WebAssembly Core Specification 2.0, "Vector Instructions"). Loads, stores
 * and constants stand in op.ts; constructors of values in vector.ts.
 */
import { op, type Type, VECTOR } from './op.ts';

type Codes<K extends string> = Readonly<Record<K, number>>;

/** Declares operations of one shape that share a type; by name, with their sub-opcodes. */
function declare<K extends string>(shape: string, args: readonly Type[], result: Type, subs: Record<K, number>) {
  const codes = { ...subs };
  for (const name of Object.keys(subs) as K[]) codes[name] = op(VECTOR + subs[name], `${shape}.${name}`, args, result);
  return codes as Codes<K>;
}

const V = 'v128';
const unary = <K extends string>(shape: string, subs: Record<K, number>) => declare(shape, [V], V, subs);
const binary = <K extends string>(shape: string, subs: Record<K, number>) => declare(shape, [V, V], V, subs);
const shift = (shape: string, first: number) =>
  declare(shape, [V, 'i32'], V, { shl: first, shr_s: first + 1, shr_u: first + 2 });
/** Questions about all lanes, to an i32. */
const ask = <K extends string>(shape: string, subs: Record<K, number>) => declare(shape, [V], 'i32', subs);

/** Operations with a lane number as immediate. */
const withLane = new Set<number>();
function lanes<K extends string>(shape: string, args: readonly Type[], result: Type, subs: Record<K, number>) {
  const codes = declare(shape, args, result, subs);
  for (const code of Object.values<number>(codes)) withLane.add(code);
  return codes;
}
/** Whether `imm` is a lane number. */
export function hasLane(code: number): boolean {
  return withLane.has(code);
}

/** Sixteen lanes of the two operands, the second's from 16; they stand in `big`, a byte each. */
export const SHUFFLE = op(VECTOR + 13, 'i8x16.shuffle', [V, V], V);
/** The lanes of a shuffle, or any sixteen bytes. */
export function laneNumbers(big: bigint): number[] {
  return Array.from({ length: 16 }, (_, n) => Number((big >> BigInt(8 * n)) & 0xffn));
}

export const v128 = {
  unary: unary('v128', { not: 77 }),
  binary: binary('v128', { and: 78, andnot: 79, or: 80, xor: 81 }),
  /** bitselect(a, b, c): a where c has ones, else b. */
  select: declare('v128', [V, V, V], V, { bitselect: 82 }),
  ask: ask('v128', { any_true: 83 }),
};

export const i8x16 = {
  splat: declare('i8x16', ['i32'], V, { splat: 15 }),
  extract: lanes('i8x16', [V], 'i32', { extract_lane_s: 21, extract_lane_u: 22 }),
  replace: lanes('i8x16', [V, 'i32'], V, { replace_lane: 23 }),
  unary: unary('i8x16', { abs: 96, neg: 97, popcnt: 98 }),
  ask: ask('i8x16', { all_true: 99, bitmask: 100 }),
  shift: shift('i8x16', 107),
  binary: binary('i8x16', {
    ...{ swizzle: 14, eq: 35, ne: 36, lt_s: 37, lt_u: 38, gt_s: 39, gt_u: 40, le_s: 41, le_u: 42, ge_s: 43, ge_u: 44 },
    ...{ narrow_i16x8_s: 101, narrow_i16x8_u: 102, add: 110, add_sat_s: 111, add_sat_u: 112 },
    ...{ sub: 113, sub_sat_s: 114, sub_sat_u: 115, min_s: 118, min_u: 119, max_s: 120, max_u: 121, avgr_u: 123 },
  }),
};

export const i16x8 = {
  splat: declare('i16x8', ['i32'], V, { splat: 16 }),
  extract: lanes('i16x8', [V], 'i32', { extract_lane_s: 24, extract_lane_u: 25 }),
  replace: lanes('i16x8', [V, 'i32'], V, { replace_lane: 26 }),
  unary: unary('i16x8', {
    ...{ extadd_pairwise_i8x16_s: 124, extadd_pairwise_i8x16_u: 125, abs: 128, neg: 129 },
    ...{ extend_low_i8x16_s: 135, extend_high_i8x16_s: 136, extend_low_i8x16_u: 137, extend_high_i8x16_u: 138 },
  }),
  ask: ask('i16x8', { all_true: 131, bitmask: 132 }),
  shift: shift('i16x8', 139),
  binary: binary('i16x8', {
    ...{ eq: 45, ne: 46, lt_s: 47, lt_u: 48, gt_s: 49, gt_u: 50, le_s: 51, le_u: 52, ge_s: 53, ge_u: 54 },
    ...{ q15mulr_sat_s: 130, narrow_i32x4_s: 133, narrow_i32x4_u: 134, add: 142, add_sat_s: 143, add_sat_u: 144 },
    ...{ sub: 145, sub_sat_s: 146, sub_sat_u: 147, mul: 149, min_s: 150, min_u: 151, max_s: 152, max_u: 153 },
    ...{ avgr_u: 155, extmul_low_i8x16_s: 156, extmul_high_i8x16_s: 157 },
    ...{ extmul_low_i8x16_u: 158, extmul_high_i8x16_u: 159 },
  }),
};

export const i32x4 = {
  splat: declare('i32x4', ['i32'], V, { splat: 17 }),
  extract: lanes('i32x4', [V], 'i32', { extract_lane: 27 }),
  replace: lanes('i32x4', [V, 'i32'], V, { replace_lane: 28 }),
  unary: unary('i32x4', {
    ...{ extadd_pairwise_i16x8_s: 126, extadd_pairwise_i16x8_u: 127, abs: 160, neg: 161 },
    ...{ extend_low_i16x8_s: 167, extend_high_i16x8_s: 168, extend_low_i16x8_u: 169, extend_high_i16x8_u: 170 },
    ...{ trunc_sat_f32x4_s: 248, trunc_sat_f32x4_u: 249, trunc_sat_f64x2_s_zero: 252, trunc_sat_f64x2_u_zero: 253 },
  }),
  ask: ask('i32x4', { all_true: 163, bitmask: 164 }),
  shift: shift('i32x4', 171),
  binary: binary('i32x4', {
    ...{ eq: 55, ne: 56, lt_s: 57, lt_u: 58, gt_s: 59, gt_u: 60, le_s: 61, le_u: 62, ge_s: 63, ge_u: 64 },
    ...{ add: 174, sub: 177, mul: 181, min_s: 182, min_u: 183, max_s: 184, max_u: 185, dot_i16x8_s: 186 },
    ...{ extmul_low_i16x8_s: 188, extmul_high_i16x8_s: 189, extmul_low_i16x8_u: 190, extmul_high_i16x8_u: 191 },
  }),
};

export const i64x2 = {
  splat: declare('i64x2', ['i64'], V, { splat: 18 }),
  extract: lanes('i64x2', [V], 'i64', { extract_lane: 29 }),
  replace: lanes('i64x2', [V, 'i64'], V, { replace_lane: 30 }),
  unary: unary('i64x2', {
    ...{ abs: 192, neg: 193 },
    ...{ extend_low_i32x4_s: 199, extend_high_i32x4_s: 200, extend_low_i32x4_u: 201, extend_high_i32x4_u: 202 },
  }),
  ask: ask('i64x2', { all_true: 195, bitmask: 196 }),
  shift: shift('i64x2', 203),
  binary: binary('i64x2', {
    ...{ add: 206, sub: 209, mul: 213, eq: 214, ne: 215, lt_s: 216, gt_s: 217, le_s: 218, ge_s: 219 },
    ...{ extmul_low_i32x4_s: 220, extmul_high_i32x4_s: 221, extmul_low_i32x4_u: 222, extmul_high_i32x4_u: 223 },
  }),
};

export const f32x4 = {
  splat: declare('f32x4', ['f32'], V, { splat: 19 }),
  extract: lanes('f32x4', [V], 'f32', { extract_lane: 31 }),
  replace: lanes('f32x4', [V, 'f32'], V, { replace_lane: 32 }),
  unary: unary('f32x4', {
    ...{ demote_f64x2_zero: 94, ceil: 103, floor: 104, trunc: 105, nearest: 106 },
    ...{ abs: 224, neg: 225, sqrt: 227, convert_i32x4_s: 250, convert_i32x4_u: 251 },
  }),
  binary: binary('f32x4', {
    ...{ eq: 65, ne: 66, lt: 67, gt: 68, le: 69, ge: 70 },
    ...{ add: 228, sub: 229, mul: 230, div: 231, min: 232, max: 233, pmin: 234, pmax: 235 },
  }),
};

export const f64x2 = {
  splat: declare('f64x2', ['f64'], V, { splat: 20 }),
  extract: lanes('f64x2', [V], 'f64', { extract_lane: 33 }),
  replace: lanes('f64x2', [V, 'f64'], V, { replace_lane: 34 }),
  unary: unary('f64x2', {
    ...{ promote_low_f32x4: 95, ceil: 116, floor: 117, trunc: 122, nearest: 148 },
    ...{ abs: 236, neg: 237, sqrt: 239, convert_low_i32x4_s: 254, convert_low_i32x4_u: 255 },
  }),
  binary: binary('f64x2', {
    ...{ eq: 71, ne: 72, lt: 73, gt: 74, le: 75, ge: 76 },
    ...{ add: 240, sub: 241, mul: 242, div: 243, min: 244, max: 245, pmin: 246, pmax: 247 },
  }),
};
