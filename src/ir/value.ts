/**
 * Values: immutable expression trees over operations. The constructors check
 * types and fold constants, so that a row whose operands are known writes
 * less code than one whose operands are parameters.
 */
import * as op from './op.ts';
import type { Type } from './op.ts';

export class Value {
  readonly op: number;
  readonly type: Type;
  /** Constant (numbers up to 2^53 exactly), local or register number, offset, lane. */
  readonly imm: number;
  /**
   * The constant of an i64 beyond 2^53, signed; of a v128, unsigned; the lanes of a
   * shuffle, a byte each, the first in the lowest; otherwise undefined.
   */
  readonly big: bigint | undefined;
  readonly a: Value | undefined;
  readonly b: Value | undefined;
  readonly c: Value | undefined;
  /** Of a local: how many low bits may be set. */
  readonly bits: number;

  constructor(code: number, type: Type, imm: number, big?: bigint, a?: Value, b?: Value, c?: Value, bits = 64) {
    this.op = code;
    this.type = type;
    this.imm = imm;
    this.big = big;
    this.a = a;
    this.b = b;
    this.c = c;
    this.bits = bits;
  }
}

/** An i64 operand as rows write it. */
export type I64 = Value | number | bigint;
/** An i32 operand as rows write it. */
export type I32 = Value | number;

const small32: Value[] = [];
const small64: Value[] = [];
for (let n = -64; n <= 256; n++) {
  small32.push(new Value(op.CONST_I32, 'i32', n));
  small64.push(new Value(op.CONST_I64, 'i64', n));
}

export function i32(value: I32): Value {
  if (value instanceof Value) return value;
  const n = value | 0;
  return n >= -64 && n <= 256 ? small32[n + 64] : new Value(op.CONST_I32, 'i32', n);
}

export function i64(value: I64): Value {
  if (value instanceof Value) return value;
  if (typeof value === 'bigint') {
    const signed = BigInt.asIntN(64, value);
    if (signed < -0x1f_ffff_ffff_ffffn || signed > 0x1f_ffff_ffff_ffffn)
      return new Value(op.CONST_I64, 'i64', 0, signed);
    value = Number(signed);
  }
  return value >= -64 && value <= 256 && Number.isInteger(value)
    ? small64[value + 64]
    : new Value(op.CONST_I64, 'i64', value);
}

/** A float constant by its bits would lose nothing; by number is enough for every constant we have. */
export function f64(value: number): Value {
  return new Value(op.CONST_F64, 'f64', value);
}
export function f32(value: number): Value {
  return new Value(op.CONST_F32, 'f32', value);
}

/** `bits`: of an i64 that never changes, how many low bits may be set. */
export function local(index: number, type: Type, bits = 64): Value {
  return new Value(op.LOCAL_GET, type, index, undefined, undefined, undefined, undefined, bits);
}
export function reg(index: number, type: Type): Value {
  return new Value(op.REG, type, index);
}
export function pcPlus(offset: number): Value {
  return new Value(op.PC, 'i64', offset);
}
export const cpu: Value = new Value(op.CPU, 'i32', 0);

export function isConst(value: Value): boolean {
  return value.op === op.CONST_I64 || value.op === op.CONST_I32;
}
/** True for an integer constant equal to `n`. */
export function isValue(value: Value, n: number): boolean {
  return isConst(value) && value.big === undefined && value.imm === n;
}
/** The signed constant of an i64 or i32 constant. */
export function constant(value: Value): bigint {
  return value.big ?? BigInt(value.imm);
}

/** How many low bits of an i64 may be set, as far as that is cheap to say. */
export function bitsOf({ op: code, imm, big, a, b, bits }: Value): number {
  const { and, or, xor, shr_u } = op.i64Integer;
  switch (code) {
    case op.LOCAL_GET:
      return bits;
    case op.CONST_I64:
      return big !== undefined || imm < 0 ? 64 : imm === 0 ? 0 : Math.floor(Math.log2(imm)) + 1;
    case op.I64_EXTEND_U:
      return 32;
    case and:
      return Math.min(bitsOf(a as Value), bitsOf(b as Value));
    case or:
    case xor:
      return Math.max(bitsOf(a as Value), bitsOf(b as Value));
    case shr_u:
      return isConst(b as Value) && (b as Value).big === undefined
        ? Math.max(0, bitsOf(a as Value) - ((b as Value).imm & 63))
        : bitsOf(a as Value);
  }
  return op.loadedBits(code);
}

function check(value: Value, type: Type, name: string): void {
  if (value.type !== type) throw new TypeError(`${name}: operand of type ${value.type}, wants ${type}`);
}

/** Any operation by opcode, types checked, not folded. */
export function apply(code: number, ...args: Value[]): Value {
  const info = op.opInfo(code);
  if (!info) throw new TypeError(`no such operation 0x${code.toString(16)}`);
  if (args.length !== info.args.length) throw new TypeError(`${info.name}: ${args.length} operands`);
  for (let n = 0; n < args.length; n++) check(args[n], info.args[n], info.name);
  return new Value(code, info.result, 0, undefined, args[0], args[1], args[2]);
}

const u64 = (value: bigint) => BigInt.asUintN(64, value);

/** Evaluates a binary i64 operation on constants. Division is never folded. */
function fold64(code: number, x: bigint, y: bigint): bigint | undefined {
  const { add, sub, mul, and, or, xor, shl, shr_s, shr_u } = op.i64Integer;
  switch (code) {
    case add:
      return x + y;
    case sub:
      return x - y;
    case mul:
      return x * y;
    case and:
      return x & y;
    case or:
      return x | y;
    case xor:
      return x ^ y;
    case shl:
      return x << (y & 63n);
    case shr_s:
      return x >> (y & 63n);
    case shr_u:
      return u64(x) >> (y & 63n);
    default:
      return undefined;
  }
}

function binary64(code: number): (x: I64, y: I64) => Value {
  const { add, sub, or, xor, shl, shr_s, shr_u, and, mul } = op.i64Integer;
  const zeroRight = new Set([add, sub, or, xor, shl, shr_s, shr_u]);
  const commutes = new Set([add, or, xor, and, mul]);
  return (x, y) => {
    let left = i64(x);
    let right = i64(y);
    if (left.op === op.CONST_I64 && right.op !== op.CONST_I64 && commutes.has(code)) [left, right] = [right, left];
    if (right.op === op.CONST_I64) {
      if (left.op === op.CONST_I64) {
        if (code === add && left.big === undefined && right.big === undefined) {
          const sum = left.imm + right.imm;
          if (Number.isSafeInteger(sum)) return i64(sum);
        }
        const folded = fold64(code, constant(left), constant(right));
        if (folded !== undefined) return i64(folded);
      }
      if (isValue(right, 0) && zeroRight.has(code)) return left;
      if (code === and && isValue(right, 0)) return right;
      // Cut to a byte or a word already.
      if (code === and && MASKS.has(right.imm) && right.big === undefined && bitsOf(left) <= bitsOf(right)) return left;
      if (code === add && right.big === undefined) {
        if (left.op === op.PC) return pcPlus(left.imm + right.imm);
        if (left.op === add && left.b?.op === op.CONST_I64 && left.b.big === undefined) {
          const sum = left.b.imm + right.imm;
          if (Number.isSafeInteger(sum)) return new Value(add, 'i64', 0, undefined, left.a, i64(sum));
        }
      }
    }
    if (isSame(left, right)) {
      if (code === xor || code === sub) return i64(0);
      if (code === and || code === or) return left;
    }
    return apply(code, left, right);
  };
}

/** What bytes, half words and words are cut with. */
const MASKS: ReadonlySet<number> = new Set([0xff, 0xffff, 0xffff_ffff]);

/** The same local or register: as the operands of one operation they have one value. */
function isSame(x: Value, y: Value): boolean {
  return x === y || (x.op === y.op && x.imm === y.imm && (x.op === op.REG || x.op === op.LOCAL_GET));
}

function binary32(code: number): (x: I32, y: I32) => Value {
  const { add, sub, and, or, xor, shl, shr_s, shr_u } = op.i32Integer;
  const zeroRight = new Set([add, sub, or, xor, shl, shr_s, shr_u]);
  return (x, y) => {
    const left = i32(x);
    const right = i32(y);
    if (right.op === op.CONST_I32) {
      const p = left.imm;
      const q = right.imm;
      if (left.op === op.CONST_I32) {
        if (code === add) return i32(p + q);
        if (code === sub) return i32(p - q);
        if (code === and) return i32(p & q);
        if (code === or) return i32(p | q);
        if (code === xor) return i32(p ^ q);
        if (code === shl) return i32(p << q);
        if (code === shr_s) return i32(p >> q);
        if (code === shr_u) return i32(p >>> q);
      }
      if (q === 0 && zeroRight.has(code)) return left;
    }
    return apply(code, left, right);
  };
}

const compare64 = (code: number) => (x: I64, y: I64) => apply(code, i64(x), i64(y));
const compare32 = (code: number) => (x: I32, y: I32) => apply(code, i32(x), i32(y));
const unary = (code: number) => (x: Value) => apply(code, x);
const binary = (code: number) => (x: Value, y: Value) => apply(code, x, y);

// i64 arithmetic: plain names, the common case of a 64-bit guest.
export const add = binary64(op.i64Integer.add);
export const sub = binary64(op.i64Integer.sub);
export const mul = binary64(op.i64Integer.mul);
export const divS = binary64(op.i64Integer.div_s);
export const divU = binary64(op.i64Integer.div_u);
export const remS = binary64(op.i64Integer.rem_s);
export const remU = binary64(op.i64Integer.rem_u);
export const and = binary64(op.i64Integer.and);
export const or = binary64(op.i64Integer.or);
export const xor = binary64(op.i64Integer.xor);
export const shl = binary64(op.i64Integer.shl);
export const shrS = binary64(op.i64Integer.shr_s);
export const shrU = binary64(op.i64Integer.shr_u);
export const rotl = binary64(op.i64Integer.rotl);
export const rotr = binary64(op.i64Integer.rotr);
export const eq = compare64(op.i64Compare.eq);
export const ne = compare64(op.i64Compare.ne);
export const ltS = compare64(op.i64Compare.lt_s);
export const ltU = compare64(op.i64Compare.lt_u);
export const gtS = compare64(op.i64Compare.gt_s);
export const gtU = compare64(op.i64Compare.gt_u);
export const leS = compare64(op.i64Compare.le_s);
export const leU = compare64(op.i64Compare.le_u);
export const geS = compare64(op.i64Compare.ge_s);
export const geU = compare64(op.i64Compare.ge_u);
export const eqz = (x: I64): Value => apply(op.I64_EQZ, i64(x));
export const clz = unary(op.i64Count.clz);
export const ctz = unary(op.i64Count.ctz);
export const popcnt = unary(op.i64Count.popcnt);
export const not = (x: I64): Value => xor(x, -1);
export const neg = (x: I64): Value => sub(0, x);

// i32 arithmetic.
export const add32 = binary32(op.i32Integer.add);
export const sub32 = binary32(op.i32Integer.sub);
export const mul32 = binary32(op.i32Integer.mul);
export const divS32 = binary32(op.i32Integer.div_s);
export const divU32 = binary32(op.i32Integer.div_u);
export const remS32 = binary32(op.i32Integer.rem_s);
export const remU32 = binary32(op.i32Integer.rem_u);
export const and32 = binary32(op.i32Integer.and);
export const or32 = binary32(op.i32Integer.or);
export const xor32 = binary32(op.i32Integer.xor);
export const shl32 = binary32(op.i32Integer.shl);
export const shrS32 = binary32(op.i32Integer.shr_s);
export const shrU32 = binary32(op.i32Integer.shr_u);
export const rotl32 = binary32(op.i32Integer.rotl);
export const rotr32 = binary32(op.i32Integer.rotr);
export const eq32 = compare32(op.i32Compare.eq);
export const ne32 = compare32(op.i32Compare.ne);
export const ltS32 = compare32(op.i32Compare.lt_s);
export const ltU32 = compare32(op.i32Compare.lt_u);
export const gtS32 = compare32(op.i32Compare.gt_s);
export const gtU32 = compare32(op.i32Compare.gt_u);
export const leS32 = compare32(op.i32Compare.le_s);
export const leU32 = compare32(op.i32Compare.le_u);
export const geS32 = compare32(op.i32Compare.ge_s);
export const geU32 = compare32(op.i32Compare.ge_u);
export const eqz32 = (x: I32): Value => apply(op.I32_EQZ, i32(x));
export const clz32 = unary(op.i32Count.clz);
export const ctz32 = unary(op.i32Count.ctz);
export const popcnt32 = unary(op.i32Count.popcnt);

// Conversions.
export const wrap = (x: I64): Value => {
  const value = i64(x);
  if (value.op === op.CONST_I64) return i32(Number(BigInt.asIntN(32, constant(value))));
  if (value.op === op.I64_EXTEND_S || value.op === op.I64_EXTEND_U) return value.a as Value;
  if (value.op === op.I64_EXTEND32_S) return wrap(value.a as Value);
  return apply(op.I32_WRAP, value);
};
export const extendS = (x: Value): Value => (x.op === op.CONST_I32 ? i64(x.imm) : apply(op.I64_EXTEND_S, x));
export const extendU = (x: Value): Value => (x.op === op.CONST_I32 ? i64(x.imm >>> 0) : apply(op.I64_EXTEND_U, x));
/** Sign-extends the low 8, 16 or 32 bits of an i64. */
export const sext8 = unary(op.I64_EXTEND8_S);
export const sext16 = unary(op.I64_EXTEND16_S);
/** Operations whose low word depends on the low words of their operands only. */
const LOW_WORD = new Map([
  [op.i64Integer.add, add32],
  [op.i64Integer.sub, sub32],
  [op.i64Integer.mul, mul32],
  [op.i64Integer.and, and32],
  [op.i64Integer.or, or32],
  [op.i64Integer.xor, xor32],
]);
export const sext32 = (x: I64): Value => {
  const value = i64(x);
  if (value.op === op.CONST_I64) return i64(BigInt.asIntN(32, constant(value)));
  if (value.op === op.I64_EXTEND32_S || value.op === op.I64_EXTEND_S) return value;
  // Arithmetic on words is cheaper as such than cut to a word afterwards.
  const narrow = LOW_WORD.get(value.op);
  if (narrow) return extendS(narrow(wrap(value.a as Value), wrap(value.b as Value)));
  return apply(op.I64_EXTEND32_S, value);
};
export const zext32 = (x: I64): Value => and(x, 0xffffffff);

/** `condition ? yes : no`, both evaluated. */
export function select(condition: Value, yes: Value, no: Value): Value {
  check(condition, 'i32', 'select');
  check(no, yes.type, 'select');
  if (condition.op === op.CONST_I32) return condition.imm !== 0 ? yes : no;
  return new Value(op.SELECT, yes.type, 0, undefined, yes, no, condition);
}

/** Host linear memory: `address + offset`, offset a constant. */
export function load(code: number, address: I32, offset = 0): Value {
  const info = op.opInfo(code);
  if (!info || !op.isLoad(code)) throw new TypeError('load: not a load');
  const base = i32(address);
  check(base, 'i32', info.name);
  return new Value(code, info.result, offset, undefined, base);
}

// Floats.
export const addF64 = binary(op.f64Binary.add);
export const subF64 = binary(op.f64Binary.sub);
export const mulF64 = binary(op.f64Binary.mul);
export const divF64 = binary(op.f64Binary.div);
export const addF32 = binary(op.f32Binary.add);
export const subF32 = binary(op.f32Binary.sub);
export const mulF32 = binary(op.f32Binary.mul);
export const divF32 = binary(op.f32Binary.div);
export const bitsF64 = (x: Value): Value =>
  x.op === op.F64_REINTERPRET ? (x.a as Value) : apply(op.I64_REINTERPRET, x);
export const bitsF32 = (x: Value): Value =>
  x.op === op.F32_REINTERPRET ? (x.a as Value) : apply(op.I32_REINTERPRET, x);
export const fromBitsF64 = (x: Value): Value =>
  x.op === op.I64_REINTERPRET ? (x.a as Value) : apply(op.F64_REINTERPRET, x);
export const fromBitsF32 = (x: Value): Value =>
  x.op === op.I32_REINTERPRET ? (x.a as Value) : apply(op.F32_REINTERPRET, x);
