/**
 * Arithmetic and comparisons of packed integers.
 *
 * Spec: Intel SDM volume 2, PABSx, PADDx, PAVGx, PCMPxx, PHADDx, PHMINPOSUW,
 * PMADDx, PMAXx, PMINx, MPSADBW, PMULx, PSADBW, PSIGNx, PSUBx.
 */
import { and32, eqz32, or32, shl32, shrU32, type Value } from '../../../ir/value.ts';
import {
  constant128,
  every,
  i8x16,
  i16x8,
  i32x4,
  i64x2,
  shuffle,
  shuffleLanes,
  v128,
  zero,
} from '../../../ir/vector.ts';
import { type Binary, type BinaryImm, binary, range, type Unary, unary } from './operation.ts';

export const paddb = binary(i8x16.add);
export const paddw = binary(i16x8.add);
export const paddd = binary(i32x4.add);
export const paddq = binary(i64x2.add);
export const paddsb = binary(i8x16.addSatS);
export const paddsw = binary(i16x8.addSatS);
export const paddusb = binary(i8x16.addSatU);
export const paddusw = binary(i16x8.addSatU);
export const psubb = binary(i8x16.sub);
export const psubw = binary(i16x8.sub);
export const psubd = binary(i32x4.sub);
export const psubq = binary(i64x2.sub);
export const psubsb = binary(i8x16.subSatS);
export const psubsw = binary(i16x8.subSatS);
export const psubusb = binary(i8x16.subSatU);
export const psubusw = binary(i16x8.subSatU);
export const pavgb = binary(i8x16.avgrU);
export const pavgw = binary(i16x8.avgrU);
export const pabsb = unary(i8x16.abs);
export const pabsw = unary(i16x8.abs);
export const pabsd = unary(i32x4.abs);

export const pminub = binary(i8x16.minU);
export const pminuw = binary(i16x8.minU);
export const pminud = binary(i32x4.minU);
export const pminsb = binary(i8x16.minS);
export const pminsw = binary(i16x8.minS);
export const pminsd = binary(i32x4.minS);
export const pmaxub = binary(i8x16.maxU);
export const pmaxuw = binary(i16x8.maxU);
export const pmaxud = binary(i32x4.maxU);
export const pmaxsb = binary(i8x16.maxS);
export const pmaxsw = binary(i16x8.maxS);
export const pmaxsd = binary(i32x4.maxS);

export const pcmpeqb = binary(i8x16.eq);
export const pcmpeqw = binary(i16x8.eq);
export const pcmpeqd = binary(i32x4.eq);
export const pcmpeqq = binary(i64x2.eq);
export const pcmpgtb = binary(i8x16.gtS);
export const pcmpgtw = binary(i16x8.gtS);
export const pcmpgtd = binary(i32x4.gtS);
export const pcmpgtq = binary(i64x2.gtS);

export const pand = binary(v128.and);
/** Not the first operand. */
export const pandn = binary((a, b) => v128.andnot(b, a));
export const por = binary(v128.or);
export const pxor = binary(v128.xor);

export const pmullw = binary(i16x8.mul);
export const pmulld = binary(i32x4.mul);
export const pmaddwd = binary(i32x4.dotI16x8S);

const ODD = range(8, 1, 2);
/** The high words of eight products of 32 bits. */
const highWords = (low: Value, high: Value): Value => shuffleLanes(2, low, high, ODD);
export const pmulhw = binary((a, b) => highWords(i32x4.extmulLowI16x8S(a, b), i32x4.extmulHighI16x8S(a, b)));
export const pmulhuw = binary((a, b) => highWords(i32x4.extmulLowI16x8U(a, b), i32x4.extmulHighI16x8U(a, b)));

const evens = (x: Value): Value => shuffleLanes(4, x, x, [0, 2, 0, 2]);
export const pmuludq = binary((a, b) => i64x2.extmulLowI32x4U(evens(a), evens(b)));
export const pmuldq = binary((a, b) => i64x2.extmulLowI32x4S(evens(a), evens(b)));

/** As `q15mulr_sat_s`, but -1 times -1 wraps around to -1. */
export const pmulhrsw = binary((a, b) => {
  const lowest = every(16, 0x8000);
  return v128.xor(i16x8.q15mulrSatS(a, b), v128.and(i16x8.eq(a, lowest), i16x8.eq(b, lowest)));
});

/** Unsigned bytes times signed ones; pairs summed with saturation. The products fit a word. */
export const pmaddubsw = binary((a, b) => {
  const even = i16x8.mul(v128.and(a, every(16, 0xff)), i16x8.shrS(i16x8.shl(b, 8), 8));
  return i16x8.addSatS(even, i16x8.mul(i16x8.shrU(a, 8), i16x8.shrS(b, 8)));
});

const distance = (a: Value, b: Value): Value => v128.or(i8x16.subSatU(a, b), i8x16.subSatU(b, a));
export const psadbw: Binary = (code, a, b) => {
  const sums = code.let(i32x4.extaddPairwiseI16x8U(i16x8.extaddPairwiseI8x16U(distance(a, b))));
  return i64x2.add(i64x2.shrU(sums, 32), v128.and(sums, every(64, 0xffff_ffff)));
};

/** Eight sums of four distances; the group of `b` and where `a` begins are in the immediate. */
export const mpsadbw: BinaryImm = (_, a, b, imm) => {
  const first = (imm & 4) === 0 ? 0 : 4;
  const group = (imm & 3) * 4;
  const terms = range(4).map((k) => {
    const moving = shuffle(
      a,
      zero,
      range(8).flatMap((n) => [first + k + n, 16]),
    );
    const fixed = shuffle(
      b,
      zero,
      range(8).flatMap(() => [group + k, 16]),
    );
    return i16x8.abs(i16x8.sub(moving, fixed));
  });
  return terms.reduce((sum, term) => i16x8.add(sum, term));
};

/** The least word, and in the word above it its number. */
export const phminposuw: Unary = (code, a) => {
  // Value and number in one key, so that the first of equal words wins.
  const low = v128.or(i32x4.shl(i32x4.extendLowI16x8U(a), 3), constant128(0x3_00000002_00000001_00000000n));
  const high = v128.or(i32x4.shl(i32x4.extendHighI16x8U(a), 3), constant128(0x7_00000006_00000005_00000004n));
  const four = code.let(i32x4.minU(low, high));
  const two = code.let(i32x4.minU(four, shuffleLanes(4, four, four, [2, 3, 0, 1])));
  const key = code.let(i32x4.extractLane(i32x4.minU(two, shuffleLanes(4, two, two, [1, 0, 3, 2])), 0));
  return i32x4.replaceLane(zero, 0, or32(shrU32(key, 3), shl32(and32(key, 7), 16)));
};

/** `a` with the sign of `b`, 0 where that is 0. */
const sign = (shape: typeof i8x16 | typeof i16x8 | typeof i32x4, width: number): Binary =>
  binary((a, b) => {
    const negative = shape.shrS(b, width - 1);
    return v128.andnot(shape.sub(v128.xor(a, negative), negative), shape.eq(b, zero));
  });
export const psignb = sign(i8x16, 8);
export const psignw = sign(i16x8, 16);
export const psignd = sign(i32x4, 32);

/** Neighbours of `a` in the lower half, of `b` in the upper. */
const horizontal = (size: 2 | 4, join: (even: Value, odd: Value) => Value): Binary =>
  binary((a, b) => {
    const lanes = 16 / size;
    return join(shuffleLanes(size, a, b, range(lanes, 0, 2)), shuffleLanes(size, a, b, range(lanes, 1, 2)));
  });
export const phaddw = horizontal(2, i16x8.add);
export const phaddd = horizontal(4, i32x4.add);
export const phaddsw = horizontal(2, i16x8.addSatS);
export const phsubw = horizontal(2, i16x8.sub);
export const phsubd = horizontal(4, i32x4.sub);
export const phsubsw = horizontal(2, i16x8.subSatS);

/** PTEST's flags: `a` and `b` share no bit (ZF), `b` has no bit that `a` has not (CF); i32, 0 or 1. */
export const ptestZero: Binary = (_, a, b) => noBit(v128.and(a, b));
export const ptestCarry: Binary = (_, a, b) => noBit(v128.andnot(b, a));
/** VTESTPS and VTESTPD: sign bits only. */
export const vtestpsZero: Binary = (_, a, b) => noSign(i32x4.bitmask(v128.and(a, b)));
export const vtestpsCarry: Binary = (_, a, b) => noSign(i32x4.bitmask(v128.andnot(b, a)));
export const vtestpdZero: Binary = (_, a, b) => noSign(i64x2.bitmask(v128.and(a, b)));
export const vtestpdCarry: Binary = (_, a, b) => noSign(i64x2.bitmask(v128.andnot(b, a)));
const noBit = (x: Value): Value => eqz32(v128.anyTrue(x));
const noSign = (mask: Value): Value => eqz32(mask);
