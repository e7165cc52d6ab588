/**
 * The low words of 64-bit values, worked out in 32 bits. Guests of 32 bits, and most arithmetic of others, use no more;
 * the host clears the upper half with such an operation, so that cutting a sum to a word costs nothing.
 */
import * as op from '../../ir/op.ts';
import { bitsOf, type Value } from '../../ir/value.ts';

/** Operations whose low word depends on the low words of their operands only. */
const NARROW = new Map<number, number>([
  [op.i64Integer.add, op.i32Integer.add],
  [op.i64Integer.sub, op.i32Integer.sub],
  [op.i64Integer.mul, op.i32Integer.mul],
  [op.i64Integer.and, op.i32Integer.and],
  [op.i64Integer.or, op.i32Integer.or],
  [op.i64Integer.xor, op.i32Integer.xor],
]);
const LOW_WORD = 0xffff_ffff;

/** What code goes to. */
interface Output {
  op(code: number): void;
  i32Const(value: number): void;
  value(value: Value): void;
}

const isNumber = (value: Value): boolean => value.op === op.CONST_I64 && value.big === undefined;
const isMask = (value: Value): boolean => isNumber(value) && value.imm === LOW_WORD;
const isShift = (value: Value): boolean => isNumber(value) && value.imm >= 0 && value.imm < 32;

/** Whether `value` is an operation cut to a word, which `pushLowWord` makes cheaper than the 64-bit one and a mask. */
export function isNarrow({ op: code, a, b }: Value): boolean {
  if (code !== op.i64Integer.and || !isMask(b as Value)) return false;
  const cut = a as Value;
  return NARROW.has(cut.op) || (cut.op === op.i64Integer.shl && isShift(cut.b as Value));
}

/** Pushes the low 32 bits of an i64. */
export function pushLowWord(e: Output, value: Value): void {
  const { op: code, a, b } = value;
  const narrow = NARROW.get(code);
  if (code === op.i64Integer.and && isMask(b as Value)) pushLowWord(e, a as Value);
  else if (narrow !== undefined) {
    pushLowWord(e, a as Value);
    pushLowWord(e, b as Value);
    e.op(narrow);
  } else if (code === op.i64Integer.shl && isShift(b as Value)) {
    pushLowWord(e, a as Value);
    e.i32Const((b as Value).imm);
    e.op(op.i32Integer.shl);
  } else if (code === op.i64Integer.shr_u && isShift(b as Value) && bitsOf(a as Value) <= 32) {
    pushLowWord(e, a as Value);
    e.i32Const((b as Value).imm);
    e.op(op.i32Integer.shr_u);
  } else if (isNumber(value)) e.i32Const(Number(BigInt.asIntN(32, BigInt(value.imm))));
  else if (code === op.I64_EXTEND_U || code === op.I64_EXTEND_S) e.value(a as Value);
  else {
    e.value(value);
    e.op(op.I32_WRAP);
  }
}
