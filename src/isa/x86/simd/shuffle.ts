/**
 * Moving lanes about: packing, unpacking, shuffles, blends, extension, masks.
 *
 * Spec: Intel SDM volume 2, PACKxx, PUNPCKxx, PSHUFx, SHUFPx, PALIGNR, PBLENDx,
 * BLENDx, PMOVSXxx, PMOVZXxx, PMOVMSKB, MOVMSKPx, INSERTPS, PINSRx, PEXTRx.
 */
import type { Code } from '../../../ir/code.ts';
import type { Value } from '../../../ir/value.ts';
import { every, i8x16, i16x8, i32x4, i64x2, shuffle, shuffleLanes, v128, zero } from '../../../ir/vector.ts';
import { type BinaryImm, binary, range, type Unary, type UnaryImm, unary } from './operation.ts';

export const packsswb = binary(i8x16.narrowI16x8S);
export const packuswb = binary(i8x16.narrowI16x8U);
export const packssdw = binary(i16x8.narrowI32x4S);
export const packusdw = binary(i16x8.narrowI32x4U);

type Size = 1 | 2 | 4 | 8;
/** Lanes of `a` and `b` by turns, from lane `first`. */
const interleave = (size: Size, part: 'low' | 'high') => {
  const lanes = 16 / size;
  const first = part === 'low' ? 0 : lanes / 2;
  return binary((a, b) =>
    shuffleLanes(
      size,
      a,
      b,
      range(lanes / 2, first).flatMap((n) => [n, n + lanes]),
    ),
  );
};
export const punpcklbw = interleave(1, 'low');
export const punpcklwd = interleave(2, 'low');
/** UNPCKLPS too. */
export const punpckldq = interleave(4, 'low');
/** UNPCKLPD, MOVLHPS too. */
export const punpcklqdq = interleave(8, 'low');
export const punpckhbw = interleave(1, 'high');
export const punpckhwd = interleave(2, 'high');
export const punpckhdq = interleave(4, 'high');
export const punpckhqdq = interleave(8, 'high');
/** The upper half of `b` below that of `a`. */
export const movhlps = binary((a, b) => shuffleLanes(8, a, b, [3, 1]));

/** Four fields of two bits. */
const fields = (imm: number): number[] => range(4).map((n) => (imm >> (2 * n)) & 3);

/** A bit 7 in the control gives 0; else its four low bits count. */
export const pshufb = binary((a, b) => i8x16.swizzle(a, v128.and(b, every(8, 0x8f))));
export const pshufd: UnaryImm = (_, a, imm) => shuffleLanes(4, a, a, fields(imm));
export const pshuflw: UnaryImm = (_, a, imm) => shuffleLanes(2, a, a, [...fields(imm), 4, 5, 6, 7]);
export const pshufhw: UnaryImm = (_, a, imm) =>
  shuffleLanes(2, a, a, [0, 1, 2, 3, ...fields(imm).map((field) => 4 + field)]);
export const shufps: BinaryImm = (_, a, b, imm) => {
  const [p, q, r, s] = fields(imm);
  return shuffleLanes(4, a, b, [p, q, 4 + r, 4 + s]);
};
export const shufpd: BinaryImm = (_, a, b, imm) => shuffleLanes(8, a, b, [imm & 1, 2 + ((imm >> 1) & 1)]);
export const movshdup: Unary = (_, a) => shuffleLanes(4, a, a, [1, 1, 3, 3]);
export const movsldup: Unary = (_, a) => shuffleLanes(4, a, a, [0, 0, 2, 2]);
export const movddup: Unary = (_, a) => shuffleLanes(8, a, a, [0, 0]);
/** The first lane in all. */
export const broadcast = (size: Size): Unary =>
  unary((a) => shuffleLanes(size, a, a, new Array<number>(16 / size).fill(0)));

/** Sixteen bytes from `imm` on of `a` above `b`. */
export const palignr: BinaryImm = (_, a, b, imm) => {
  if (imm >= 32) return zero;
  return imm <= 16 ? shuffle(b, a, range(16, imm)) : shuffle(a, zero, range(16, imm - 16));
};

/** `b` where a bit of the immediate is set. */
const blend =
  (size: Size): BinaryImm =>
  (_, a, b, imm) => {
    const lanes = 16 / size;
    return shuffleLanes(
      size,
      a,
      b,
      range(lanes).map((n) => ((imm >> n) & 1 ? lanes + n : n)),
    );
  };
export const pblendw = blend(2);
export const blendps = blend(4);
export const blendpd = blend(8);
/** `b` where the mask's lane has its sign set. */
export const pblendvb = (_: Code, a: Value, b: Value, mask: Value): Value => v128.bitselect(b, a, i8x16.shrS(mask, 7));
export const blendvps = (_: Code, a: Value, b: Value, mask: Value): Value => v128.bitselect(b, a, i32x4.shrS(mask, 31));
export const blendvpd = (_: Code, a: Value, b: Value, mask: Value): Value => v128.bitselect(b, a, i64x2.shrS(mask, 63));

/** A lane of `b` goes into `a`; bits of the immediate clear lanes. */
export const insertps: BinaryImm = (_, a, b, imm) => {
  const from = imm >> 6;
  const to = (imm >> 4) & 3;
  const mixed = shuffleLanes(
    4,
    a,
    b,
    range(4).map((n) => (n === to ? 4 + from : n)),
  );
  if ((imm & 15) === 0) return mixed;
  return shuffleLanes(
    4,
    mixed,
    zero,
    range(4).map((n) => ((imm >> n) & 1 ? 4 : n)),
  );
};

// A lane from or to a general register; lane numbers are modulo the count. Lanes of 8 to 32 bits are i32.
export const pinsrb = (a: Value, x: Value, imm: number): Value => i8x16.replaceLane(a, imm & 15, x);
export const pinsrw = (a: Value, x: Value, imm: number): Value => i16x8.replaceLane(a, imm & 7, x);
export const pinsrd = (a: Value, x: Value, imm: number): Value => i32x4.replaceLane(a, imm & 3, x);
export const pinsrq = (a: Value, x: Value, imm: number): Value => i64x2.replaceLane(a, imm & 1, x);
export const pextrb = (a: Value, imm: number): Value => i8x16.extractLaneU(a, imm & 15);
export const pextrw = (a: Value, imm: number): Value => i16x8.extractLaneU(a, imm & 7);
/** EXTRACTPS too. */
export const pextrd = (a: Value, imm: number): Value => i32x4.extractLane(a, imm & 3);
export const pextrq = (a: Value, imm: number): Value => i64x2.extractLane(a, imm & 1);

// The signs of all lanes (i32).
export const pmovmskb = (a: Value): Value => i8x16.bitmask(a);
export const movmskps = (a: Value): Value => i32x4.bitmask(a);
export const movmskpd = (a: Value): Value => i64x2.bitmask(a);

/** From the low lanes; of the upper half of a 256-bit result, from the lanes that follow: move them down first. */
export const pmovsxbw = unary(i16x8.extendLowI8x16S);
export const pmovsxwd = unary(i32x4.extendLowI16x8S);
export const pmovsxdq = unary(i64x2.extendLowI32x4S);
export const pmovsxbd = unary((a) => i32x4.extendLowI16x8S(i16x8.extendLowI8x16S(a)));
export const pmovsxwq = unary((a) => i64x2.extendLowI32x4S(i32x4.extendLowI16x8S(a)));
export const pmovsxbq = unary((a) => i64x2.extendLowI32x4S(i32x4.extendLowI16x8S(i16x8.extendLowI8x16S(a))));
export const pmovzxbw = unary(i16x8.extendLowI8x16U);
export const pmovzxwd = unary(i32x4.extendLowI16x8U);
export const pmovzxdq = unary(i64x2.extendLowI32x4U);
export const pmovzxbd = unary((a) => i32x4.extendLowI16x8U(i16x8.extendLowI8x16U(a)));
export const pmovzxwq = unary((a) => i64x2.extendLowI32x4U(i32x4.extendLowI16x8U(a)));
export const pmovzxbq = unary((a) => i64x2.extendLowI32x4U(i32x4.extendLowI16x8U(i16x8.extendLowI8x16U(a))));
