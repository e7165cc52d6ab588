/**
 * AVX's and AVX2's permutations: within each half, and across the halves.
 *
 * Spec: Intel SDM volume 2, VPERMILPx, VPERMx, VPERM2x128, VINSERTx128,
 * VEXTRACTx128.
 */
import type { Code } from '../../../ir/code.ts';
import type { Value } from '../../../ir/value.ts';
import { every, i8x16, i32x4, i64x2, shuffle, shuffleLanes, v128, zero } from '../../../ir/vector.ts';
import { type Binary, type UnaryImm, range, type Wide } from './operation.ts';

/** Two bits of each lane of `b` choose. */
export const vpermilps: Binary = (_, a, b) => {
  // The number of a lane becomes those of its four bytes: 4n + 0, 1, 2, 3.
  const numbers = i32x4.mul(v128.and(b, every(32, 3)), every(32, 0x04040404));
  return i8x16.swizzle(a, i8x16.add(numbers, every(32, 0x03020100)));
};
/** Bit 1 of each lane of `b` chooses. */
export const vpermilpd: Binary = (_, a, b) => {
  const second = i64x2.shrS(i64x2.shl(b, 62), 63);
  return v128.bitselect(shuffleLanes(8, a, a, [1, 1]), shuffleLanes(8, a, a, [0, 0]), second);
};
export const vpermilpsImm: UnaryImm = (_, a, imm) =>
  shuffleLanes(
    4,
    a,
    a,
    range(4).map((n) => (imm >> (2 * n)) & 3),
  );
/** Of the upper half of a 256-bit vector, bits 2 and 3 of the immediate. */
export const vpermilpdImm: UnaryImm = (_, a, imm) => shuffleLanes(8, a, a, [imm & 1, (imm >> 1) & 1]);

/** VPERMD, VPERMPS: three bits of each lane of `control` choose among eight lanes. */
export function vpermd(code: Code, control: Wide, x: Wide): Wide {
  const half = (numbers: Value): Value => {
    const low = vpermilps(code, x.low, numbers);
    const upper = i32x4.shrS(i32x4.shl(numbers, 29), 31);
    return v128.bitselect(vpermilps(code, x.high, numbers), low, upper);
  };
  return { low: half(control.low), high: half(control.high) };
}

/** VPERMQ, VPERMPD. */
export function vpermq(_: Code, { low, high }: Wide, imm: number): Wide {
  const pick = (at: number): Value => shuffleLanes(8, low, high, [(imm >> at) & 3, (imm >> (at + 2)) & 3]);
  return { low: pick(0), high: pick(4) };
}

/** VPERM2F128, VPERM2I128. */
export function vperm2x128(_: Code, a: Wide, b: Wide, imm: number): Wide {
  const halves = [a.low, a.high, b.low, b.high];
  const pick = (field: number): Value => (field & 8 ? zero : halves[field & 3]);
  return { low: pick(imm), high: pick(imm >> 4) };
}

/** VINSERTF128, VINSERTI128. */
export const vinsertx128 = (a: Wide, b: Value, imm: number): Wide =>
  imm & 1 ? { low: a.low, high: b } : { low: b, high: a.high };
/** VEXTRACTF128, VEXTRACTI128. */
export const vextractx128 = (a: Wide, imm: number): Value => (imm & 1 ? a.high : a.low);

/** What VPMOVSXxx and VPMOVZXxx of 256 bits extend into their upper half: the source from byte `first`. */
export const from = (a: Value, first: 2 | 4 | 8): Value =>
  shuffle(
    a,
    a,
    range(16, first).map((n) => n & 15),
  );
