/**
 * Shifts, rotates and single bits.
 *
 * Spec: SDM volume 2, "SAL/SAR/SHL/SHR", "RCL/RCR/ROL/ROR", "SHLD", "SHRD",
 * "BT", "BSF", "BSR", "TZCNT", "LZCNT", "POPCNT".
 */
import {
  add,
  and,
  clz,
  ctz,
  eqz,
  extendU,
  i64,
  isConst,
  isValue,
  mul,
  ne,
  not,
  or,
  popcnt,
  remU,
  rotl,
  rotl32,
  rotr,
  rotr32,
  select,
  shl,
  shrS,
  shrU,
  sub,
  type Value,
  wrap,
  xor,
} from '../../../ir/value.ts';
import { type Kind, resultOf, type Size, sizeOf } from '../flags.ts';
import { signExtend, zeroExtend } from '../extend.ts';
import type { X86Insn } from '../insn.ts';
import { insn, type Row } from '../opcode.ts';
import type { MemoryOperand } from '../instance.ts';
import { Eflags } from '../state.ts';

type Semantics = (m: X86Insn) => void;

/** The count in operand `n`, cut as the processor cuts it. */
const countOf = (m: X86Insn, n: number): Value => m.let(and(m.get(n), m.size(0) === 64 ? 63 : 31));
const bitOf = (condition: Value, mask: number): Value => select(condition, i64(mask), i64(0));

/** Flags of a shift: none change where the count is 0. */
function shiftFlags(m: X86Insn, count: Value, kind: Kind, result: Value, before: Value): void {
  const size = m.size(0);
  if (isConst(count)) {
    if (!isValue(count, 0)) m.flags(kind, size, result, before);
  } else m.flagsIf(ne(count, 0), kind, size, result, before);
}

const shiftLeft: Semantics = (m) => {
  const count = countOf(m, 1);
  const a = m.let(m.get(0, true));
  const result = m.let(shl(a, count));
  m.set(0, result);
  shiftFlags(m, count, 'shl', result, m.let(shl(a, sub(count, 1))));
};
const shiftRight =
  (signed: boolean): Semantics =>
  (m) => {
    const count = countOf(m, 1);
    const size = m.size(0);
    const a = m.let(signed ? signExtend(m.get(0, true), size) : zeroExtend(m.get(0, true), size));
    const shift = signed ? shrS : shrU;
    const result = m.let(shift(a, count));
    m.set(0, result);
    shiftFlags(m, count, 'sar', result, m.let(shift(a, sub(count, 1))));
  };

/** Rotates change CF and OF alone, where their count is not 0. */
function rotateFlags(m: X86Insn, count: Value, carry: Value, overflow: Value): void {
  if (isValue(count, 0)) return;
  const old = m.let(m.flagsImage(true));
  const kept = and(old, Eflags.arithmetic & ~(Eflags.cf | Eflags.of));
  const changed = or(kept, or(and(carry, 1), shl(and(overflow, 1), 11)));
  m.setFlags(isConst(count) ? changed : select(ne(count, 0), changed, old));
}

/** The operand rotated left by a count below its size. */
function rotateLeft(a: Value, count: Value, size: Size): Value {
  if (size === 64) return rotl(a, count);
  const low = zeroExtend(a, size);
  return or(shl(low, count), shrU(low, sub(size, count)));
}
const top = (value: Value, size: Size) => shrU(value, size - 1);

const rotate =
  (left: boolean): Semantics =>
  (m) => {
    const size = m.size(0);
    const count = countOf(m, 1);
    const a = m.let(m.get(0, true));
    const by = m.let(and(count, size - 1));
    let result: Value;
    if (size === 64) result = left ? rotl(a, by) : rotr(a, by);
    else if (size === 32) result = extendU((left ? rotl32 : rotr32)(wrap(a), wrap(by)));
    else result = rotateLeft(a, left ? by : and(sub(size, by), size - 1), size);
    result = m.let(result);
    m.set(0, result);
    if (left) rotateFlags(m, count, result, xor(top(result, size), result));
    else rotateFlags(m, count, top(result, size), xor(top(result, size), shrU(result, size - 2)));
  };

const rotateThroughCarry =
  (left: boolean): Semantics =>
  (m) => {
    const size = m.size(0);
    const count = countOf(m, 1);
    const a = m.let(zeroExtend(m.get(0, true), size));
    const carry = m.let(extendU(m.flag('b')));
    // Size and carry turn together: modulo one more than the size.
    const by = m.let(size < 32 ? remU(count, size + 1) : count);
    // Shifts by the whole size are two shifts: WebAssembly takes counts modulo 64.
    const below = (x: Value) => shrU(shrU(x, 1), sub(size, by));
    const above = (x: Value) => shl(shl(x, 1), sub(size, by));
    const rotated = left
      ? or(or(shl(a, by), below(a)), shl(carry, sub(by, 1)))
      : or(or(shrU(a, by), above(a)), shl(carry, sub(size, by)));
    const still = eqz(by);
    const result = m.let(select(still, a, rotated));
    m.set(0, result);
    const out = left ? shrU(a, sub(size, by)) : shrU(a, sub(by, 1));
    const cf = m.let(and(select(still, carry, out), 1));
    const of = left ? xor(top(result, size), cf) : xor(top(result, size), shrU(result, size - 2));
    rotateFlags(m, by, cf, of);
  };

const shiftDouble =
  (left: boolean): Semantics =>
  (m) => {
    const size = m.size(0);
    const count = countOf(m, 2);
    const a = m.let(zeroExtend(m.get(0, true), size));
    const b = m.let(zeroExtend(m.get(1), size));
    const rest = sub(size, count);
    const moved = left ? or(shl(a, count), shrU(b, rest)) : or(shrU(a, count), shl(b, rest));
    // A count of 0 would shift the other operand by 64.
    const result = m.let(select(eqz(count), a, moved));
    m.set(0, result);
    const before = m.let(left ? shl(a, sub(count, 1)) : shrU(a, sub(count, 1)));
    shiftFlags(m, count, left ? 'shl' : 'sar', result, before);
  };

// Bits by number.

/** CF alone changes; OF, SF, AF and PF are undefined. */
function setCarry(m: X86Insn, bit: Value): void {
  const known = m.knownCcOp;
  m.ccFollows = true;
  const result = known === undefined ? undefined : resultOf(known, m.flagOperands());
  if (known !== undefined && result) m.flags('bit', sizeOf(known), m.let(result), bit);
  else m.setFlags(or(and(m.flagsImage(), Eflags.arithmetic & ~Eflags.cf), bit));
}

type BitChange = 'none' | 'set' | 'reset' | 'complement';

const bitTest =
  (change: BitChange): Semantics =>
  (m) => {
    const size = m.size(0) as 16 | 32 | 64;
    const writes = change !== 'none';
    const number = m.operand(1).kind === 'imm' ? m.get(1) : m.let(m.sx(1));
    const shift = m.let(and(number, size - 1));
    const apply = (old: Value): Value => {
      const mask = shl(1, shift);
      if (change === 'set') return or(old, mask);
      return change === 'reset' ? and(old, not(mask)) : xor(old, mask);
    };
    if (m.isMemory(0) && m.operand(1).kind === 'reg') {
      // A register counts bits from the operand's start, in both directions.
      const { seg, asize } = m.operand(0) as MemoryOperand;
      const bytes = size / 8;
      const away = mul(shrS(number, Math.log2(size)), bytes);
      const sum = add(m.offset(0), away);
      const offset = m.let(asize === 64 ? sum : zeroExtend(sum, asize));
      const address = m.let(m.linear(seg, offset, bytes, writes));
      const old = m.let(m.loadLinear(address, size, writes));
      if (writes) m.storeLinear(address, size, apply(old));
      setCarry(m, m.let(and(shrU(old, shift), 1)));
      return;
    }
    const old = m.let(m.get(0, writes));
    if (writes) m.set(0, apply(old));
    setCarry(m, m.let(and(shrU(old, shift), 1)));
  };

const scan =
  (forward: boolean): Semantics =>
  (m) => {
    const value = m.let(m.zx(1));
    const index = forward ? ctz(value) : xor(clz(value), 63);
    // The destination stays where there is no bit.
    const size = m.size(0);
    const result = m.let(select(eqz(value), m.get(0), index));
    if (size === 32) m.setR(m.leaves.register(0), select(eqz(value), m.r(m.leaves.register(0)), index));
    else m.set(0, result);
    m.flags('logic', size, value);
  };

const countZeros =
  (trailing: boolean): Semantics =>
  (m) => {
    const size = m.size(1);
    const value = m.let(m.zx(1));
    const count = trailing ? ctz(size === 64 ? value : or(value, i64(1n << BigInt(size)))) : sub(clz(value), 64 - size);
    const result = m.let(count);
    m.set(0, result);
    m.setFlags(or(bitOf(eqz(value), Eflags.cf), bitOf(eqz(result), Eflags.zf)));
  };
const countOnes: Semantics = (m) => {
  const value = m.let(m.zx(1));
  m.set(0, popcnt(value));
  m.setFlags(bitOf(eqz(value), Eflags.zf));
};

const SHIFTS: readonly (readonly [string, number, Semantics])[] = [
  ['rol', 0, rotate(true)],
  ['ror', 1, rotate(false)],
  ['rcl', 2, rotateThroughCarry(true)],
  ['rcr', 3, rotateThroughCarry(false)],
  ['shl', 4, shiftLeft],
  ['shr', 5, shiftRight(false)],
  ['shl', 6, shiftLeft],
  ['sar', 7, shiftRight(true)],
];
const BITS: readonly (readonly [string, number, string, BitChange])[] = [
  ['bt', 4, 'A3', 'none'],
  ['bts', 5, 'AB', 'set'],
  ['btr', 6, 'B3', 'reset'],
  ['btc', 7, 'BB', 'complement'],
];

export const shifts = (): readonly Row[] => [
  ...SHIFTS.flatMap(([name, digit, semantics]) => [
    insn(name, `C0 /${digit}`, 'Eb Ib', semantics),
    insn(name, `C1 /${digit}`, 'Ev Ib', semantics),
    insn(name, `D0 /${digit}`, 'Eb 1', semantics),
    insn(name, `D1 /${digit}`, 'Ev 1', semantics),
    insn(name, `D2 /${digit}`, 'Eb CL', semantics),
    insn(name, `D3 /${digit}`, 'Ev CL', semantics),
  ]),
  insn('shld', '0F A4 /r', 'Ev Gv Ib', shiftDouble(true)),
  insn('shld', '0F A5 /r', 'Ev Gv CL', shiftDouble(true)),
  insn('shrd', '0F AC /r', 'Ev Gv Ib', shiftDouble(false)),
  insn('shrd', '0F AD /r', 'Ev Gv CL', shiftDouble(false)),
  ...BITS.flatMap(([name, digit, code, change]) => [
    insn(name, `0F ${code} /r`, 'Ev Gv', bitTest(change), { lock: change !== 'none' }),
    insn(name, `0F BA /${digit}`, 'Ev Ib', bitTest(change), { lock: change !== 'none' }),
  ]),
  insn('bsf', '0F BC /r', 'Gv Ev', scan(true)),
  insn('bsr', '0F BD /r', 'Gv Ev', scan(false)),
  insn('tzcnt', 'F3 0F BC /r', 'Gv Ev', countZeros(true), { feature: 'bmi1' }),
  insn('lzcnt', 'F3 0F BD /r', 'Gv Ev', countZeros(false), { feature: 'abm' }),
  insn('popcnt', 'F3 0F B8 /r', 'Gv Ev', countOnes, { feature: 'popcnt' }),
];
