/**
 * Floating-point numbers as the evaluator computes with them: bits to JavaScript
 * numbers and back, and the operations that JavaScript spells otherwise.
 */
const scratch = new DataView(new ArrayBuffer(8));

export function f64FromBits(bits: bigint): number {
  scratch.setBigUint64(0, bits);
  return scratch.getFloat64(0);
}
export function f64ToBits(value: number): bigint {
  scratch.setFloat64(0, value);
  return scratch.getBigUint64(0);
}
export function f32FromBits(bits: number): number {
  scratch.setUint32(0, bits);
  return scratch.getFloat32(0);
}
export function f32ToBits(value: number): number {
  scratch.setFloat32(0, value);
  return scratch.getUint32(0);
}

type Unary = (x: number) => number;
const nearest: Unary = (x) => {
  if (!Number.isFinite(x) || Number.isInteger(x)) return x;
  const floor = Math.floor(x);
  const up = x - floor > 0.5 || (x - floor === 0.5 && floor % 2 !== 0);
  const rounded = up ? floor + 1 : floor;
  return rounded === 0 && x < 0 ? -0 : rounded;
};
/** JavaScript's functions may give a signalling NaN back as it came; WebAssembly's results are quiet. */
const quiet = (x: number) => (Number.isNaN(x) ? Number.NaN : x);
const minimum = (a: number, b: number) => quiet(Math.min(a, b));
const maximum = (a: number, b: number) => quiet(Math.max(a, b));
export const floatBinary: Record<string, (a: number, b: number) => number> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  div: (a, b) => a / b,
  min: minimum,
  max: maximum,
};
export const floatUnary: Record<string, Unary> = {
  ceil: (x) => quiet(Math.ceil(x)),
  floor: (x) => quiet(Math.floor(x)),
  trunc: (x) => quiet(Math.trunc(x)),
  nearest: (x) => quiet(nearest(x)),
  sqrt: Math.sqrt,
};
export const floatCompare: Record<string, (a: number, b: number) => boolean> = {
  eq: (a, b) => a === b,
  ne: (a, b) => a !== b,
  lt: (a, b) => a < b,
  gt: (a, b) => a > b,
  le: (a, b) => a <= b,
  ge: (a, b) => a >= b,
};
/** Rounds once: an integer beyond 2^53 is first made odd in its lowest kept bit. */
export function singleFromInteger(x: bigint): number {
  const magnitude = x < 0n ? -x : x;
  const length = magnitude.toString(2).length;
  if (length <= 53) return Math.fround(Number(x));
  const drop = BigInt(length - 40);
  const sticky = (magnitude & ((1n << drop) - 1n)) === 0n ? 0n : 1n;
  const kept = Number(((magnitude >> drop) | sticky) << drop);
  return Math.fround(x < 0n ? -kept : kept);
}

/** The integer that `x` is cut to, the nearest of those from `low` to `high`; 0 for a NaN. */
export function saturate(x: number, low: bigint, high: bigint): bigint {
  if (Number.isNaN(x)) return 0n;
  if (x <= Number(low)) return low;
  if (x >= Number(high)) return high;
  return BigInt(Math.trunc(x));
}
