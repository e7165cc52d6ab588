/**
 * Evaluates the vector operations: lane by lane, as WebAssembly's specification
 * states each. A vector is an unsigned BigInt of 128 bits, lane 0 the lowest.
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
} from './float-number.ts';
import * as op from './op.ts';
import * as vop from './vector-op.ts';

type Datum = number | bigint;
type Operation = (args: readonly Datum[], imm: number, big: bigint | undefined) => Datum;
const operations = new Map<number, Operation>();

/** The value (i32, i64, f32, f64 or v128) of a vector operation. */
export function evaluateVector(code: number, args: readonly Datum[], imm: number, big: bigint | undefined): Datum {
  const f = operations.get(code);
  if (!f) throw new Error(`evaluate: ${op.opInfo(code)?.name ?? code}`);
  return f(args, imm, big);
}

/** Lanes, unsigned, lane 0 first. */
function split(width: number, x: Datum, count = 128 / width): bigint[] {
  const mask = (1n << BigInt(width)) - 1n;
  return Array.from({ length: count }, (_, n) => ((x as bigint) >> BigInt(n * width)) & mask);
}
function join(width: number, lanes: readonly bigint[]): bigint {
  return lanes.reduceRight((all, lane) => (all << BigInt(width)) | BigInt.asUintN(width, lane), 0n);
}
const map = (width: number, x: Datum, f: (lane: bigint) => bigint) => join(width, split(width, x).map(f));
const zip = (width: number, x: Datum, y: Datum, f: (a: bigint, b: bigint) => bigint) => {
  const right = split(width, y);
  return join(
    width,
    split(width, x).map((lane, n) => f(lane, right[n])),
  );
};
const truth = (x: boolean) => (x ? -1n : 0n);
const least = (a: bigint, b: bigint) => (a < b ? a : b);
const most = (a: bigint, b: bigint) => (a > b ? a : b);

/** Defines those of `functions` that the shape has. */
function define<F>(codes: Readonly<Record<string, number>>, functions: Record<string, F>, make: (f: F) => Operation) {
  for (const [name, code] of Object.entries(codes)) {
    const f = functions[name];
    if (f) operations.set(code, make(f));
  }
}

for (const [width, shape] of [
  [8, vop.i8x16],
  [16, vop.i16x8],
  [32, vop.i32x4],
  [64, vop.i64x2],
] as const) {
  const bits = BigInt(width);
  const s = (x: bigint) => BigInt.asIntN(width, x);
  const clampS = (x: bigint) => most(-(1n << (bits - 1n)), least(x, (1n << (bits - 1n)) - 1n));
  const clampU = (x: bigint) => most(0n, least(x, (1n << bits) - 1n));
  const binary: Record<string, (a: bigint, b: bigint) => bigint> = {
    eq: (a, b) => truth(a === b),
    ne: (a, b) => truth(a !== b),
    lt_s: (a, b) => truth(s(a) < s(b)),
    lt_u: (a, b) => truth(a < b),
    gt_s: (a, b) => truth(s(a) > s(b)),
    gt_u: (a, b) => truth(a > b),
    le_s: (a, b) => truth(s(a) <= s(b)),
    le_u: (a, b) => truth(a <= b),
    ge_s: (a, b) => truth(s(a) >= s(b)),
    ge_u: (a, b) => truth(a >= b),
    add: (a, b) => a + b,
    sub: (a, b) => a - b,
    mul: (a, b) => a * b,
    add_sat_s: (a, b) => clampS(s(a) + s(b)),
    add_sat_u: (a, b) => clampU(a + b),
    sub_sat_s: (a, b) => clampS(s(a) - s(b)),
    sub_sat_u: (a, b) => clampU(a - b),
    min_s: (a, b) => least(s(a), s(b)),
    min_u: least,
    max_s: (a, b) => most(s(a), s(b)),
    max_u: most,
    avgr_u: (a, b) => (a + b + 1n) >> 1n,
    q15mulr_sat_s: (a, b) => clampS((s(a) * s(b) + 0x4000n) >> 15n),
  };
  define(
    shape.binary,
    binary,
    (f) =>
      ([x, y]) =>
        zip(width, x, y, f),
  );
  const unary: Record<string, (a: bigint) => bigint> = {
    abs: (a) => (s(a) < 0n ? -s(a) : a),
    neg: (a) => -a,
    popcnt: (a) => BigInt(a.toString(2).replaceAll('0', '').length),
  };
  define(
    shape.unary,
    unary,
    (f) =>
      ([x]) =>
        map(width, x, f),
  );
  const shifts: Record<string, (a: bigint, count: bigint) => bigint> = {
    shl: (a, count) => a << count,
    shr_s: (a, count) => s(a) >> count,
    shr_u: (a, count) => a >> count,
  };
  define(shape.shift, shifts, (f) => ([x, count]) => {
    const by = BigInt((count as number) & (width - 1));
    return map(width, x, (lane) => f(lane, by));
  });
  operations.set(shape.splat.splat, ([x]) => map(width, 0n, () => BigInt(x)));
  operations.set(shape.replace.replace_lane, ([x, value], lane) => {
    const lanes = split(width, x);
    lanes[lane] = BigInt(value);
    return join(width, lanes);
  });
  operations.set(shape.ask.all_true, ([x]) => (split(width, x).every((lane) => lane !== 0n) ? 1 : 0));
  operations.set(shape.ask.bitmask, ([x]) =>
    split(width, x).reduce((mask, lane, n) => (s(lane) < 0n ? mask | (1 << n) : mask), 0),
  );
  // From lanes of half the width to this one and back.
  const narrow = width / 2;
  const half = 64 / narrow;
  const from = `i${narrow}x${128 / narrow}`;
  for (const sign of ['s', 'u'] as const) {
    const extend = (x: bigint) => (sign === 's' ? BigInt.asIntN(narrow, x) : x);
    const parts = (x: Datum, high: boolean) => {
      const lanes = split(narrow, x).map(extend);
      return high ? lanes.slice(half) : lanes.slice(0, half);
    };
    for (const [part, high] of [
      ['low', false],
      ['high', true],
    ] as const) {
      define(
        shape.unary,
        { [`extend_${part}_${from}_${sign}`]: extend },
        () =>
          ([x]) =>
            join(width, parts(x, high)),
      );
      define(shape.binary, { [`extmul_${part}_${from}_${sign}`]: extend }, () => ([x, y]) => {
        const right = parts(y, high);
        return join(
          width,
          parts(x, high).map((lane, n) => lane * right[n]),
        );
      });
    }
    define(shape.unary, { [`extadd_pairwise_${from}_${sign}`]: extend }, () => ([x]) => {
      const lanes = split(narrow, x).map(extend);
      return join(
        width,
        Array.from({ length: half }, (_, n) => lanes[2 * n] + lanes[2 * n + 1]),
      );
    });
    const clamp = sign === 's' ? clampS : clampU;
    const wide = width * 2;
    define(
      shape.binary,
      { [`narrow_i${wide}x${128 / wide}_${sign}`]: clamp },
      () => (args) =>
        join(
          width,
          args.flatMap((x) => split(wide, x).map((lane) => clamp(BigInt.asIntN(wide, lane)))),
        ),
    );
  }
}

for (const [width, shape] of [
  [8, vop.i8x16],
  [16, vop.i16x8],
] as const) {
  operations.set(shape.extract.extract_lane_s, ([x], lane) => Number(BigInt.asIntN(width, split(width, x)[lane])));
  operations.set(shape.extract.extract_lane_u, ([x], lane) => Number(split(width, x)[lane]));
}
operations.set(vop.i32x4.extract.extract_lane, ([x], lane) => Number(BigInt.asIntN(32, split(32, x)[lane])));
operations.set(vop.i64x2.extract.extract_lane, ([x], lane) => split(64, x)[lane]);
operations.set(vop.f32x4.extract.extract_lane, ([x], lane) => Number(split(32, x)[lane]));
operations.set(vop.f64x2.extract.extract_lane, ([x], lane) => split(64, x)[lane]);

operations.set(vop.i32x4.binary.dot_i16x8_s, ([x, y]) => {
  const left = split(16, x).map((lane) => BigInt.asIntN(16, lane));
  const right = split(16, y).map((lane) => BigInt.asIntN(16, lane));
  const product = (n: number) => left[n] * right[n];
  return join(
    32,
    [0, 2, 4, 6].map((n) => product(n) + product(n + 1)),
  );
});
operations.set(vop.i8x16.binary.swizzle, ([x, y]) => {
  const lanes = split(8, x);
  return map(8, y, (n) => (n < 16n ? lanes[Number(n)] : 0n));
});
operations.set(vop.SHUFFLE, ([x, y], _, big) => {
  const lanes = [...split(8, x), ...split(8, y)];
  return join(
    8,
    vop.laneNumbers(big as bigint).map((n) => lanes[n]),
  );
});

const bitwise: Record<string, (a: bigint, b: bigint) => bigint> = {
  and: (a, b) => a & b,
  andnot: (a, b) => a & ~b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
};
define(
  vop.v128.binary,
  bitwise,
  (f) =>
    ([x, y]) =>
      BigInt.asUintN(128, f(x as bigint, y as bigint)),
);
operations.set(vop.v128.unary.not, ([x]) => BigInt.asUintN(128, ~(x as bigint)));
operations.set(vop.v128.ask.any_true, ([x]) => (x === 0n ? 0 : 1));
operations.set(vop.v128.select.bitselect, ([x, y, mask]) => {
  const ones = mask as bigint;
  return ((x as bigint) & ones) | BigInt.asUintN(128, (y as bigint) & ~ones);
});

const single = (bits: bigint) => f32FromBits(Number(bits));
const ofSingle = (x: number) => BigInt(f32ToBits(Math.fround(x)));
for (const [width, shape, number, bits] of [
  [32, vop.f32x4, single, ofSingle],
  [64, vop.f64x2, f64FromBits, f64ToBits],
] as const) {
  const sign = 1n << BigInt(width - 1);
  define(
    shape.binary,
    floatBinary,
    (f) =>
      ([x, y]) =>
        zip(width, x, y, (a, b) => bits(f(number(a), number(b)))),
  );
  define(
    shape.binary,
    floatCompare,
    (f) =>
      ([x, y]) =>
        zip(width, x, y, (a, b) => truth(f(number(a), number(b)))),
  );
  define(
    shape.unary,
    floatUnary,
    (f) =>
      ([x]) =>
        map(width, x, (a) => bits(f(number(a)))),
  );
  operations.set(shape.binary.pmin, ([x, y]) => zip(width, x, y, (a, b) => (number(b) < number(a) ? b : a)));
  operations.set(shape.binary.pmax, ([x, y]) => zip(width, x, y, (a, b) => (number(a) < number(b) ? b : a)));
  operations.set(shape.unary.abs, ([x]) => map(width, x, (a) => a & (sign - 1n)));
  operations.set(shape.unary.neg, ([x]) => map(width, x, (a) => a ^ sign));
  operations.set(shape.splat.splat, ([x]) => map(width, 0n, () => BigInt(x)));
  operations.set(shape.replace.replace_lane, ([x, value], lane) => {
    const lanes = split(width, x);
    lanes[lane] = BigInt(value);
    return join(width, lanes);
  });
}
operations.set(vop.f32x4.unary.demote_f64x2_zero, ([x]) =>
  join(
    32,
    split(64, x).map((lane) => ofSingle(f64FromBits(lane))),
  ),
);
operations.set(vop.f64x2.unary.promote_low_f32x4, ([x]) =>
  join(
    64,
    split(32, x, 2).map((lane) => f64ToBits(single(lane))),
  ),
);

for (const [sign, low, high] of [
  ['s', -(1n << 31n), (1n << 31n) - 1n],
  ['u', 0n, (1n << 32n) - 1n],
] as const) {
  const extend = (x: bigint) => Number(sign === 's' ? BigInt.asIntN(32, x) : x);
  const cut = (x: number) => saturate(x, low, high);
  operations.set(vop.i32x4.unary[`trunc_sat_f32x4_${sign}`], ([x]) => map(32, x, (lane) => cut(single(lane))));
  operations.set(vop.i32x4.unary[`trunc_sat_f64x2_${sign}_zero`], ([x]) =>
    join(
      32,
      split(64, x).map((lane) => cut(f64FromBits(lane))),
    ),
  );
  operations.set(vop.f32x4.unary[`convert_i32x4_${sign}`], ([x]) => map(32, x, (lane) => ofSingle(extend(lane))));
  operations.set(vop.f64x2.unary[`convert_low_i32x4_${sign}`], ([x]) =>
    join(
      64,
      split(32, x, 2).map((lane) => f64ToBits(extend(lane))),
    ),
  );
}

/** Turns the bytes of a vector load's memory operand into the vector. */
export function extendVectorLoad(code: number, raw: bigint): bigint {
  switch (code) {
    case op.V128_LOAD8_SPLAT:
      return map(8, 0n, () => raw);
    case op.V128_LOAD16_SPLAT:
      return map(16, 0n, () => raw);
    case op.V128_LOAD32_SPLAT:
      return map(32, 0n, () => raw);
    case op.V128_LOAD64_SPLAT:
      return map(64, 0n, () => raw);
    case op.V128_LOAD:
    case op.V128_LOAD32_ZERO:
    case op.V128_LOAD64_ZERO:
      return raw;
  }
  // load8x8_s, load8x8_u, load16x4_s and so on.
  const index = code - op.VECTOR - 1;
  const width = 8 << (index >> 1);
  const lanes = split(width, raw, 64 / width);
  return join(2 * width, index % 2 === 0 ? lanes.map((lane) => BigInt.asIntN(width, lane)) : lanes);
}
