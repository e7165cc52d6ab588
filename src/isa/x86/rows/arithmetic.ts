/**
 * Integer arithmetic and logic.
 *
 * Spec: SDM volume 2, the pages of the mnemonics; volume 1, "Binary Arithmetic
 * Instructions", "Logical Instructions", "Decimal Arithmetic Instructions".
 */
import {
  add,
  and,
  divS,
  divU,
  eq,
  eqz,
  extendS,
  extendU,
  geU,
  i32,
  i64,
  ltS,
  mul,
  ne,
  neg,
  not,
  or,
  or32,
  remS,
  remU,
  select,
  shl,
  shrS,
  shrU,
  sub,
  type Value,
  wrap,
  xor,
} from '../../../ir/value.ts';
import type { Size } from '../flags.ts';
import { mulHighS, mulHighU, divide128 } from '../multiply.ts';
import { signExtend, zeroExtend } from '../extend.ts';
import type { X86Insn } from '../insn.ts';
import { RAX, RDX } from '../registers.ts';
import { insn, type Row, type Traits } from '../opcode.ts';
import { Eflags, Vector } from '../state.ts';

type Semantics = (m: X86Insn) => void;

/** The two-operand forms that most operations have, from the base of their opcodes. */
function binary(mnemonic: string, base: number, digit: number, semantics: Semantics, writes = true): Row[] {
  const hex = (n: number) => n.toString(16).toUpperCase().padStart(2, '0');
  const lock: Traits = { lock: writes };
  return [
    insn(mnemonic, `${hex(base)} /r`, 'Eb Gb', semantics, lock),
    insn(mnemonic, `${hex(base + 1)} /r`, 'Ev Gv', semantics, lock),
    insn(mnemonic, `${hex(base + 2)} /r`, 'Gb Eb', semantics),
    insn(mnemonic, `${hex(base + 3)} /r`, 'Gv Ev', semantics),
    insn(mnemonic, hex(base + 4), 'AL Ib', semantics),
    insn(mnemonic, hex(base + 5), 'eAX Iz', semantics),
    insn(mnemonic, `80 /${digit}`, 'Eb Ib', semantics, lock),
    insn(mnemonic, `81 /${digit}`, 'Ev Iz', semantics, lock),
    insn(mnemonic, `82 /${digit}`, 'Eb Ib', semantics, { ...lock, only: 'legacy' }),
    insn(mnemonic, `83 /${digit}`, 'Ev Ibs', semantics, lock),
  ];
}

const addition: Semantics = (m) => {
  const b = m.let(m.get(1));
  const r = m.let(add(m.get(0, true), b));
  m.set(0, r);
  m.flags('add', m.size(0), r, b);
};
const additionWithCarry: Semantics = (m) => {
  const b = m.let(m.get(1));
  const carry = m.let(extendU(m.flag('b')));
  const r = m.let(add(add(m.get(0, true), b), carry));
  m.set(0, r);
  m.flags('adc', m.size(0), r, b, carry);
};
const subtraction: Semantics = (m) => {
  const b = m.let(m.get(1));
  const a = m.let(m.get(0, true));
  m.set(0, sub(a, b));
  m.flags('sub', m.size(0), a, b);
};
const subtractionWithBorrow: Semantics = (m) => {
  const b = m.let(m.get(1));
  const borrow = m.let(extendU(m.flag('b')));
  const a = m.let(m.get(0, true));
  m.set(0, sub(sub(a, b), borrow));
  m.flags('sbb', m.size(0), a, b, borrow);
};
const comparison: Semantics = (m) => {
  const b = m.let(m.get(1));
  m.flags('sub', m.size(0), m.let(m.get(0)), b);
};
const logic =
  (operation: (a: Value, b: Value) => Value): Semantics =>
  (m) => {
    const b = m.get(1);
    const r = m.let(operation(m.get(0, true), b));
    m.set(0, r);
    m.flags('logic', m.size(0), r);
  };
const test: Semantics = (m) => m.flags('logic', m.size(0), m.let(and(m.get(0), m.get(1))));

/** INC and DEC leave CF alone. */
const step =
  (kind: 'inc' | 'dec'): Semantics =>
  (m) => {
    const carry = m.let(extendU(m.flag('b')));
    const r = m.let(add(m.get(0, true), kind === 'inc' ? 1 : -1));
    m.set(0, r);
    m.flags(kind, m.size(0), r, carry);
  };
const negation: Semantics = (m) => {
  const a = m.let(m.get(0, true));
  m.set(0, neg(a));
  m.flags('sub', m.size(0), i64(0), a);
};
const complement: Semantics = (m) => m.set(0, not(m.get(0, true)));

const exchangeAndAdd: Semantics = (m) => {
  const a = m.let(m.get(0, true));
  const b = m.let(m.get(1));
  const r = m.let(add(a, b));
  // The first operand is written last: it may be the second one too.
  if (m.isMemory(0)) m.set(0, r);
  m.set(1, a);
  if (!m.isMemory(0)) m.set(0, r);
  m.flags('add', m.size(0), r, b);
};

const compareAndExchange: Semantics = (m) => {
  const size = m.size(0);
  const a = m.let(m.get(0, true));
  const accumulator = m.let(m.r(RAX));
  const equal = m.let(eq(zeroExtend(a, size), zeroExtend(accumulator, size)));
  // The accumulator is left alone where they are equal, its upper half too.
  const old = size === 32 ? zeroExtend(a, 32) : merge(accumulator, a, size);
  m.setR(RAX, select(equal, accumulator, old));
  // Behind the accumulator, which may be the destination. Memory is written in either case; a register of 32 bits
  // that is not written is not cleared above either.
  const b = m.get(1);
  if (m.isMemory(0) || size !== 32) m.set(0, select(equal, b, a));
  else m.setR(m.leaves.register(0), select(equal, zeroExtend(b, 32), m.r(m.leaves.register(0))));
  m.flags('sub', size, accumulator, a);
};
const merge = (old: Value, value: Value, size: Size): Value => {
  if (size === 64) return value;
  const mask = 2 ** size - 1;
  return or(and(old, i64(~BigInt(mask))), and(value, mask));
};

/** CMPXCHG8B and CMPXCHG16B. */
const compareAndExchangePair: Semantics = (m) => {
  const half: 32 | 64 = m.decoded.w && m.bits === 64 ? 64 : 32;
  const bytes = half / 8;
  const address = m.address(0, 2 * bytes, true);
  if (half === 64) m.if(ne(and(address, 15), 0), () => m.gp());
  const upper = m.let(m.bits === 64 ? add(address, bytes) : zeroExtend(add(address, bytes), 32));
  const low = m.let(m.loadLinear(address, half, true));
  const high = m.let(m.loadLinear(upper, half, true));
  const cut = (n: number) => zeroExtend(m.r(n), half);
  const equal = m.let(and32b(eq(low, cut(RAX)), eq(high, cut(RDX))));
  m.storeLinear(address, half, select(equal, cut(3), low));
  m.storeLinear(upper, half, select(equal, cut(1), high));
  m.setR(RAX, select(equal, m.r(RAX), low));
  m.setR(RDX, select(equal, m.r(RDX), high));
  const others = and(m.flagsImage(), Eflags.arithmetic & ~Eflags.zf);
  m.setFlags(or(others, shl(extendU(equal), 6)));
};
const and32b = (x: Value, y: Value): Value => wrap(and(extendU(x), extendU(y)));

// Multiplication and division.

/** The one-operand forms: rAX times the operand, to rDX:rAX. */
const multiply =
  (signed: boolean): Semantics =>
  (m) => {
    const size = m.size(0);
    const extend = signed ? signExtend : zeroExtend;
    const a = m.let(extend(m.r(RAX), size));
    const b = m.let(signed ? m.sx(0) : m.zx(0));
    const low = m.let(mul(a, b));
    if (size === 64) {
      const high = m.let(m.call(signed ? mulHighS : mulHighU, a, b));
      m.setR(RAX, low);
      m.setR(RDX, high);
      m.flags('mul', size, low, signed ? xor(high, shrS(low, 63)) : high);
      return;
    }
    if (size === 8) m.setR(RAX, low, 16);
    else {
      m.setR(RAX, low, size);
      m.setR(RDX, shrU(low, size), size);
    }
    m.flags('mul', size, low, signed ? sub(low, signExtend(low, size)) : shrU(low, size));
  };

/** IMUL with two or three operands. */
const multiplyInto =
  (first: number, second: number): Semantics =>
  (m) => {
    const size = m.size(0);
    const a = m.let(m.sx(first));
    const b = m.let(m.sx(second));
    const low = m.let(mul(a, b));
    m.set(0, low);
    if (size === 64) m.flags('imul', size, a, b);
    else m.flags('mul', size, low, sub(low, signExtend(low, size)));
  };

const divisionError = (m: X86Insn, condition: Value): void => {
  m.if(condition, () => m.fault(Vector.de));
};

/** DIV and IDIV: rDX:rAX by the operand. */
const divide =
  (signed: boolean): Semantics =>
  (m) => {
    const size = m.size(0);
    const divisor = m.let(signed ? m.sx(0) : m.zx(0));
    divisionError(m, eqz(divisor));
    if (size === 64) {
      const high = m.let(m.r(RDX));
      const low = m.let(m.r(RAX));
      const bad = m.let(m.call(divide128, high, low, divisor, i32(signed ? 1 : 0)));
      divisionError(m, bad);
      m.setR(RAX, m.state('result'));
      m.setR(RDX, m.state('result2'));
      return;
    }
    const rax = m.r(RAX);
    let dividend: Value;
    if (size === 8) dividend = signed ? signExtend(rax, 16) : zeroExtend(rax, 16);
    else {
      const pair = or(shl(m.r(RDX), size), zeroExtend(rax, size));
      dividend = size === 32 ? pair : signed ? extendS(wrap(pair)) : extendU(wrap(pair));
    }
    dividend = m.let(dividend);
    if (signed && size === 32) {
      // The one quotient that 64 bits do not hold.
      divisionError(m, and32b(eq(dividend, i64(-(1n << 63n))), eq(divisor, -1)));
    }
    const quotient = m.let(signed ? divS(dividend, divisor) : divU(dividend, divisor));
    const remainder = m.let(signed ? remS(dividend, divisor) : remU(dividend, divisor));
    divisionError(m, signed ? ne(quotient, signExtend(quotient, size)) : geU(quotient, i64(1n << BigInt(size))));
    if (size === 8) m.setR(RAX, or(and(quotient, 0xff), shl(remainder, 8)), 16);
    else {
      m.setR(RAX, quotient, size);
      m.setR(RDX, remainder, size);
    }
  };

// Decimal arithmetic, on AL and AH.

const AL = (m: X86Insn) => and(m.r(RAX), 0xff);
const bit = (condition: Value, mask: number): Value => select(condition, i64(mask), i64(0));
/** ZF, SF and PF of a byte, as an image. */
const flagsOfByte = (m: X86Insn, value: Value): Value => {
  const low = m.let(and(value, 0xff));
  const odd = and(shrU(i64(0x6996n), and(xor(low, shrU(low, 4)), 15)), 1);
  return or(or(bit(eqz(low), Eflags.zf), and(low, Eflags.sf)), bit(eqz(odd), Eflags.pf));
};

const decimalAdjust =
  (sign: 1 | -1): Semantics =>
  (m) => {
    const al = m.let(AL(m));
    const carry = m.let(m.flag('b'));
    const half = m.let(or32(m.flag('af'), gt(and(al, 15), 9)));
    const first = m.let(select(half, add(al, 6 * sign), al));
    const borrow =
      sign < 0 ? wrap(and(bit(half, 1), extendU(ltS(al, 6)))) : wrap(and(bit(half, 1), extendU(gt(al, 0xf9))));
    const high = m.let(or32(carry, gt(al, 0x99)));
    const result = m.let(and(select(high, add(first, 0x60 * sign), first), 0xff));
    m.setR(RAX, result, 8);
    const cf = sign < 0 ? or32(high, borrow) : high;
    m.setFlags(or(or(flagsOfByte(m, result), bit(cf, Eflags.cf)), bit(half, Eflags.af)));
  };
const gt = (a: Value, n: number): Value => ltS(i64(n), a);

const asciiAdjust =
  (sign: 1 | -1): Semantics =>
  (m) => {
    const ax = m.let(and(m.r(RAX), 0xffff));
    const adjust = m.let(or32(m.flag('af'), gt(and(ax, 15), 9)));
    const changed = m.let(select(adjust, add(ax, 0x106 * sign), ax));
    const result = m.let(or(and(changed, 0xff00), and(changed, 15)));
    m.setR(RAX, result, 16);
    m.setFlags(or(flagsOfByte(m, result), bit(adjust, Eflags.cf | Eflags.af)));
  };

const asciiAdjustAfterMultiply: Semantics = (m) => {
  const base = m.let(and(m.get(0), 0xff));
  divisionError(m, eqz(base));
  const al = m.let(AL(m));
  const result = m.let(or(shl(divU(al, base), 8), remU(al, base)));
  m.setR(RAX, result, 16);
  m.setFlags(flagsOfByte(m, result));
};
const asciiAdjustBeforeDivide: Semantics = (m) => {
  const ax = m.let(m.r(RAX));
  const result = m.let(and(add(AL(m), mul(and(shrU(ax, 8), 0xff), and(m.get(0), 0xff))), 0xff));
  m.setR(RAX, result, 16);
  m.setFlags(flagsOfByte(m, result));
};

export const arithmetic = (): readonly Row[] => [
  ...binary('add', 0x00, 0, addition),
  ...binary('or', 0x08, 1, logic(or)),
  ...binary('adc', 0x10, 2, additionWithCarry),
  ...binary('sbb', 0x18, 3, subtractionWithBorrow),
  ...binary('and', 0x20, 4, logic(and)),
  ...binary('sub', 0x28, 5, subtraction),
  ...binary('xor', 0x30, 6, logic(xor)),
  ...binary('cmp', 0x38, 7, comparison, false),
  insn('test', '84 /r', 'Eb Gb', test),
  insn('test', '85 /r', 'Ev Gv', test),
  insn('test', 'A8', 'AL Ib', test),
  insn('test', 'A9', 'eAX Iz', test),
  insn('test', 'F6 /0', 'Eb Ib', test),
  insn('test', 'F6 /1', 'Eb Ib', test),
  insn('test', 'F7 /0', 'Ev Iz', test),
  insn('test', 'F7 /1', 'Ev Iz', test),
  insn('inc', '40+r', 'Zv', step('inc'), { only: 'legacy' }),
  insn('dec', '48+r', 'Zv', step('dec'), { only: 'legacy' }),
  insn('inc', 'FE /0', 'Eb', step('inc'), { lock: true }),
  insn('inc', 'FF /0', 'Ev', step('inc'), { lock: true }),
  insn('dec', 'FE /1', 'Eb', step('dec'), { lock: true }),
  insn('dec', 'FF /1', 'Ev', step('dec'), { lock: true }),
  insn('not', 'F6 /2', 'Eb', complement, { lock: true }),
  insn('not', 'F7 /2', 'Ev', complement, { lock: true }),
  insn('neg', 'F6 /3', 'Eb', negation, { lock: true }),
  insn('neg', 'F7 /3', 'Ev', negation, { lock: true }),
  insn('mul', 'F6 /4', 'Eb', multiply(false)),
  insn('mul', 'F7 /4', 'Ev', multiply(false)),
  insn('imul', 'F6 /5', 'Eb', multiply(true)),
  insn('imul', 'F7 /5', 'Ev', multiply(true)),
  insn('imul', '0F AF /r', 'Gv Ev', multiplyInto(0, 1)),
  insn('imul', '69 /r', 'Gv Ev Iz', multiplyInto(1, 2)),
  insn('imul', '6B /r', 'Gv Ev Ibs', multiplyInto(1, 2)),
  insn('div', 'F6 /6', 'Eb', divide(false)),
  insn('div', 'F7 /6', 'Ev', divide(false)),
  insn('idiv', 'F6 /7', 'Eb', divide(true)),
  insn('idiv', 'F7 /7', 'Ev', divide(true)),
  insn('xadd', '0F C0 /r', 'Eb Gb', exchangeAndAdd, { lock: true }),
  insn('xadd', '0F C1 /r', 'Ev Gv', exchangeAndAdd, { lock: true }),
  insn('cmpxchg', '0F B0 /r', 'Eb Gb', compareAndExchange, { lock: true }),
  insn('cmpxchg', '0F B1 /r', 'Ev Gv', compareAndExchange, { lock: true }),
  insn('cmpxchg8b', '0F C7 /1 mem', 'M', compareAndExchangePair, { lock: true, feature: 'cx8' }),
  insn('daa', '27', '', decimalAdjust(1), { only: 'legacy' }),
  insn('das', '2F', '', decimalAdjust(-1), { only: 'legacy' }),
  insn('aaa', '37', '', asciiAdjust(1), { only: 'legacy' }),
  insn('aas', '3F', '', asciiAdjust(-1), { only: 'legacy' }),
  insn('aam', 'D4', 'Ib', asciiAdjustAfterMultiply, { only: 'legacy' }),
  insn('aad', 'D5', 'Ib', asciiAdjustBeforeDivide, { only: 'legacy' }),
];
