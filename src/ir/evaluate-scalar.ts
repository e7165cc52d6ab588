/**
 * Evaluates the operations of integers and floats with JavaScript numbers and
 * BigInts, as WebAssembly's specification states each. Representation: evaluate.ts.
 */
import {
  f32FromBits,
  f32ToBits,
  f64FromBits,
  f64ToBits,
  floatBinary,
  floatCompare,
  floatUnary,
  saturate,
  singleFromInteger,
} from './float-number.ts';
import * as op from './op.ts';

type Datum = number | bigint;

const M64 = (1n << 64n) - 1n;
const u64 = (x: bigint) => x & M64;
const s64 = (x: bigint) => BigInt.asIntN(64, x);

type Operation = (a: never, b: never) => Datum;
const operations = new Map<number, Operation>();

/** The value of an operation of integers and floats; an operand that it has not is 0. */
export function evaluateScalar(code: number, a: Datum, b: Datum): Datum {
  const f = operations.get(code);
  if (!f) throw new Error(`evaluate: ${op.opInfo(code)?.name ?? code}`);
  return f(a as never, b as never);
}

function table<A>(ops: Record<string, number>, functions: Record<string, (a: A, b: A) => Datum>): void {
  for (const [name, code] of Object.entries(ops)) {
    const f = functions[name];
    if (f) operations.set(code, f as Operation);
  }
}

const bit = (x: boolean) => (x ? 1 : 0);
table<number>(op.i32Compare, {
  eq: (a, b) => bit(a === b),
  ne: (a, b) => bit(a !== b),
  lt_s: (a, b) => bit(a < b),
  lt_u: (a, b) => bit(a >>> 0 < b >>> 0),
  gt_s: (a, b) => bit(a > b),
  gt_u: (a, b) => bit(a >>> 0 > b >>> 0),
  le_s: (a, b) => bit(a <= b),
  le_u: (a, b) => bit(a >>> 0 <= b >>> 0),
  ge_s: (a, b) => bit(a >= b),
  ge_u: (a, b) => bit(a >>> 0 >= b >>> 0),
});
table<bigint>(op.i64Compare, {
  eq: (a, b) => bit(a === b),
  ne: (a, b) => bit(a !== b),
  lt_s: (a, b) => bit(s64(a) < s64(b)),
  lt_u: (a, b) => bit(a < b),
  gt_s: (a, b) => bit(s64(a) > s64(b)),
  gt_u: (a, b) => bit(a > b),
  le_s: (a, b) => bit(s64(a) <= s64(b)),
  le_u: (a, b) => bit(a <= b),
  ge_s: (a, b) => bit(s64(a) >= s64(b)),
  ge_u: (a, b) => bit(a >= b),
});
table<number>(op.i32Integer, {
  add: (a, b) => (a + b) | 0,
  sub: (a, b) => (a - b) | 0,
  mul: (a, b) => Math.imul(a, b),
  div_s: (a, b) => (a / b) | 0,
  div_u: (a, b) => ((a >>> 0) / (b >>> 0)) | 0,
  rem_s: (a, b) => (a % b) | 0,
  rem_u: (a, b) => ((a >>> 0) % (b >>> 0)) | 0,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shl: (a, b) => a << b,
  shr_s: (a, b) => a >> b,
  shr_u: (a, b) => (a >>> b) | 0,
  rotl: (a, b) => (a << (b & 31)) | (a >>> (-b & 31)),
  rotr: (a, b) => (a >>> (b & 31)) | (a << (-b & 31)),
});
table<bigint>(op.i64Integer, {
  add: (a, b) => u64(a + b),
  sub: (a, b) => u64(a - b),
  mul: (a, b) => u64(a * b),
  div_s: (a, b) => u64(s64(a) / s64(b)),
  div_u: (a, b) => a / b,
  rem_s: (a, b) => u64(s64(a) % s64(b)),
  rem_u: (a, b) => a % b,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shl: (a, b) => u64(a << (b & 63n)),
  shr_s: (a, b) => u64(s64(a) >> (b & 63n)),
  shr_u: (a, b) => a >> (b & 63n),
  rotl: (a, b) => u64((a << (b & 63n)) | (a >> (64n - (b & 63n)))),
  rotr: (a, b) => u64((a >> (b & 63n)) | (a << (64n - (b & 63n)))),
});
table<number>(op.i32Count, {
  clz: (a) => Math.clz32(a),
  ctz: (a) => (a === 0 ? 32 : 31 - Math.clz32(a & -a)),
  popcnt: (a) => ones(BigInt(a >>> 0)),
});
table<bigint>(op.i64Count, {
  clz: (a) => BigInt(64 - (a === 0n ? 0 : a.toString(2).length)),
  ctz: (a) => (a === 0n ? 64n : BigInt((a & -a).toString(2).length - 1)),
  popcnt: (a) => BigInt(ones(a)),
});
function ones(x: bigint): number {
  return x.toString(2).replaceAll('0', '').length;
}

for (const [name, f] of Object.entries(floatBinary)) {
  operations.set(op.f64Binary[name], ((a: bigint, b: bigint) =>
    f64ToBits(f(f64FromBits(a), f64FromBits(b)))) as Operation);
  operations.set(op.f32Binary[name], ((a: number, b: number) =>
    f32ToBits(Math.fround(f(f32FromBits(a), f32FromBits(b))))) as Operation);
}
for (const [name, f] of Object.entries(floatUnary)) {
  operations.set(op.f64Unary[name], ((a: bigint) => f64ToBits(f(f64FromBits(a)))) as Operation);
  operations.set(op.f32Unary[name], ((a: number) => f32ToBits(Math.fround(f(f32FromBits(a))))) as Operation);
}
for (const [name, f] of Object.entries(floatCompare)) {
  operations.set(op.f64Compare[name], ((a: bigint, b: bigint) => bit(f(f64FromBits(a), f64FromBits(b)))) as Operation);
  operations.set(op.f32Compare[name], ((a: number, b: number) => bit(f(f32FromBits(a), f32FromBits(b)))) as Operation);
}
const SIGN64 = 1n << 63n;
const one = (code: number, f: (a: never) => Datum) => operations.set(code, f as Operation);
one(op.f64Unary.abs, (a: bigint) => a & ~SIGN64);
one(op.f64Unary.neg, (a: bigint) => a ^ SIGN64);
one(op.f32Unary.abs, (a: number) => a & 0x7fffffff);
one(op.f32Unary.neg, (a: number) => (a ^ 0x80000000) >>> 0);
operations.set(op.f64Binary.copysign, ((a: bigint, b: bigint) => (a & ~SIGN64) | (b & SIGN64)) as Operation);
operations.set(
  op.f32Binary.copysign,
  ((a: number, b: number) => ((a & 0x7fffffff) | (b & 0x80000000)) >>> 0) as Operation,
);
one(op.I32_EQZ, (a: number) => bit(a === 0));
one(op.I64_EQZ, (a: bigint) => bit(a === 0n));
one(op.I32_WRAP, (a: bigint) => Number(BigInt.asIntN(32, a)));
one(op.I64_EXTEND_S, (a: number) => u64(BigInt(a)));
one(op.I64_EXTEND_U, (a: number) => BigInt(a >>> 0));
one(op.I32_EXTEND8_S, (a: number) => (a << 24) >> 24);
one(op.I32_EXTEND16_S, (a: number) => (a << 16) >> 16);
one(op.I64_EXTEND8_S, (a: bigint) => u64(BigInt.asIntN(8, a)));
one(op.I64_EXTEND16_S, (a: bigint) => u64(BigInt.asIntN(16, a)));
one(op.I64_EXTEND32_S, (a: bigint) => u64(BigInt.asIntN(32, a)));
one(op.F64_CONVERT_I32_S, (a: number) => f64ToBits(a));
one(op.F64_CONVERT_I32_U, (a: number) => f64ToBits(a >>> 0));
one(op.F64_CONVERT_I64_S, (a: bigint) => f64ToBits(Number(s64(a))));
one(op.F64_CONVERT_I64_U, (a: bigint) => f64ToBits(Number(a)));
one(op.F32_CONVERT_I32_S, (a: number) => f32ToBits(Math.fround(a)));
one(op.F32_CONVERT_I32_U, (a: number) => f32ToBits(Math.fround(a >>> 0)));
one(op.F32_CONVERT_I64_S, (a: bigint) => f32ToBits(singleFromInteger(s64(a))));
one(op.F32_CONVERT_I64_U, (a: bigint) => f32ToBits(singleFromInteger(a)));
one(op.F32_DEMOTE, (a: bigint) => f32ToBits(Math.fround(f64FromBits(a))));
one(op.F64_PROMOTE, (a: number) => f64ToBits(f32FromBits(a)));
one(op.I32_REINTERPRET, (a: number) => a | 0);
one(op.F32_REINTERPRET, (a: number) => a >>> 0);
one(op.I64_REINTERPRET, (a: bigint) => a);
one(op.F64_REINTERPRET, (a: bigint) => a);

const bounds: readonly [string, bigint, bigint][] = [
  ['i32s', -(1n << 31n), (1n << 31n) - 1n],
  ['i32u', 0n, (1n << 32n) - 1n],
  ['i64s', -(1n << 63n), (1n << 63n) - 1n],
  ['i64u', 0n, (1n << 64n) - 1n],
];
for (const [n, codes] of [
  [0, [op.I32_TRUNC_SAT_F32_S, op.I32_TRUNC_SAT_F64_S]],
  [1, [op.I32_TRUNC_SAT_F32_U, op.I32_TRUNC_SAT_F64_U]],
  [2, [op.I64_TRUNC_SAT_F32_S, op.I64_TRUNC_SAT_F64_S]],
  [3, [op.I64_TRUNC_SAT_F32_U, op.I64_TRUNC_SAT_F64_U]],
] as const) {
  const [, low, high] = bounds[n];
  const out = (x: number): Datum => {
    const r = saturate(x, low, high);
    return n < 2 ? Number(BigInt.asIntN(32, r)) : u64(r);
  };
  one(codes[0], (a: number) => out(f32FromBits(a)));
  one(codes[1], (a: bigint) => out(f64FromBits(a)));
}

/** Turns raw bits, zero-extended, into what a load instruction gives. */
export function extendScalarLoad(code: number, raw: bigint): Datum {
  switch (code) {
    case op.I32_LOAD:
    case op.I32_LOAD8_U:
    case op.I32_LOAD16_U:
      return Number(BigInt.asIntN(32, raw));
    case op.F32_LOAD:
      return Number(raw);
    case op.I32_LOAD8_S:
      return Number(BigInt.asIntN(8, raw));
    case op.I32_LOAD16_S:
      return Number(BigInt.asIntN(16, raw));
    case op.I64_LOAD8_S:
      return u64(BigInt.asIntN(8, raw));
    case op.I64_LOAD16_S:
      return u64(BigInt.asIntN(16, raw));
    case op.I64_LOAD32_S:
      return u64(BigInt.asIntN(32, raw));
    default:
      return raw;
  }
}
