/**
 * MMX: the operations on 64 bits, by those on 128.
 *
 * Spec: Intel SDM volume 1, "Programming with Intel MMX Technology"; volume 2.
 * Most work on lanes, and then the low half is the result.
 */
import type { Code } from '../../../ir/code.ts';
import { and32, type Value } from '../../../ir/value.ts';
import { every, i8x16, i64x2, v128, zero } from '../../../ir/vector.ts';
import type { Binary } from './operation.ts';
import { palignr, pshuflw } from './shuffle.ts';

/** On i64 values. */
export type MmxBinary = (code: Code, a: Value, b: Value) => Value;

export const widen = (x: Value): Value => i64x2.replaceLane(zero, 0, x);
export const low = (x: Value): Value => i64x2.extractLane(x, 0);
const high = (x: Value): Value => i64x2.extractLane(x, 1);
const both = (a: Value, b: Value): Value => i64x2.replaceLane(widen(a), 1, b);

/** An operation whose lower lanes depend on lower lanes only; PUNPCKLxx too, and shifts by the count in `b`. */
export const lanewise =
  (operation: Binary): MmxBinary =>
  (code, a, b) =>
    low(operation(code, code.let(widen(a)), code.let(widen(b))));
/** PACKxx, PHADDx, PHSUBx: `a` gives the lower half of the result and `b` the upper. */
export const gathered =
  (operation: Binary): MmxBinary =>
  (code, a, b) => {
    const joined = code.let(both(a, b));
    return low(operation(code, joined, joined));
  };
/** PUNPCKHxx, by PUNPCKLxx. */
export const upper =
  (unpackLow: Binary): MmxBinary =>
  (code, a, b) =>
    high(unpackLow(code, code.let(widen(a)), code.let(widen(b))));
/** A shift by an immediate, PABSx. */
export const one =
  (operation: (code: Code, a: Value) => Value) =>
  (code: Code, a: Value): Value =>
    low(operation(code, code.let(widen(a))));

/** Three bits of the control count. */
export const pshufb: MmxBinary = (_, a, b) => low(i8x16.swizzle(widen(a), v128.and(widen(b), every(8, 0x87))));
export const pshufw = (code: Code, a: Value, imm: number): Value => low(pshuflw(code, code.let(widen(a)), imm));
export const palignrMmx = (code: Code, a: Value, b: Value, imm: number): Value => {
  const joined = code.let(both(b, a));
  return low(palignr(code, zero, joined, imm));
};
export const pmovmskb = (a: Value): Value => and32(i8x16.bitmask(widen(a)), 0xff);
