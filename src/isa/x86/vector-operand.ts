/**
 * Vector operands of an instruction: XMM and YMM registers, MMX registers,
 * memory of the same sizes.
 *
 * Spec: SDM volume 2, 2.4 "AVX and SSE Instruction Exception Classification";
 * volume 1, 14.1.2 "VEX-Encoded Instructions" (what becomes of upper halves),
 * 9.6.2 "Transitions Between x87 FPU and MMX Code".
 *
 * A vector is v128. Of a 256-bit one the halves go apart (`Wide`). Run-time
 * register operands (`Leaves.register`) count in bytes: 16 a register, MMX too.
 */
import type { RegOperand } from '../../ir/insn.ts';
import * as op from '../../ir/op.ts';
import { add, add32, and, and32, cpu, gtU32, i64, load, ne32, type Value, wrap, zext32 } from '../../ir/value.ts';
import { zero } from '../../ir/vector.ts';
import type { ImmediateOperand, MemoryOperand } from './instance.ts';
import type { X86Insn } from './insn.ts';
import { XMM, YMMH } from './registers.ts';
import { low, widen } from './simd/mmx.ts';
import type { Wide } from './simd/operation.ts';
import { AT } from './state.ts';
import { pendingX87 } from './x87-unit.ts';

/** Whether the instruction has a VEX prefix. */
export const isVex = (m: X86Insn): boolean => m.decoded.vectorLength !== 0;
export const isWide = (m: X86Insn): boolean => m.decoded.vectorLength === 256;

/** An 8-bit immediate as a number: the row has `immediate: 'constant'`. */
export function imm8(m: X86Insn, n: number): number {
  return Number((m.operand(n) as ImmediateOperand).value) & 0xff;
}

/** The value as one that may be named more than once. */
export const named = (m: X86Insn, value: Value): Value => (value.op === op.REG ? value : m.let(value));

// Registers.

export const xmm = (m: X86Insn, n: RegOperand): Value => named(m, m.read(XMM, n));
const upper = (m: X86Insn, n: RegOperand): Value => named(m, m.read(YMMH, n));

/** Writes the low half of a register: a VEX prefix clears the upper one, others leave it alone. */
export function setXmm(m: X86Insn, n: RegOperand, value: Value): void {
  m.write(XMM, n, value);
  if (isVex(m)) m.write(YMMH, n, zero);
}

// Memory.

/** Whether the instruction wants its memory operand of 16 bytes aligned. */
const isStrict = (m: X86Insn): boolean => !isVex(m) && m.decoded.row.traits.unaligned !== true;

/** The address of memory operand `n` of `bytes`, aligned so where that is asked for. */
export function vectorAddress(m: X86Insn, n: number, bytes: number, write: boolean, aligned: boolean): Value {
  // A segment's limit is looked at after the alignment, as AMD's processors do.
  if (aligned && m.segmented) {
    const { seg } = m.operand(n) as MemoryOperand;
    const sum = add(m.state('segBase', seg * 8), m.offset(n));
    m.if(ne32(and32(wrap(sum), bytes - 1), 0), () => m.gp());
  }
  const address = m.address(n, bytes, write);
  if (aligned && !m.segmented) m.if(ne32(and32(wrap(address), bytes - 1), 0), () => m.gp());
  return address;
}

/** The linear address `bytes` behind another. */
export function behind(m: X86Insn, address: Value, bytes: number): Value {
  const sum = add(address, bytes);
  return m.bits === 64 ? sum : zext32(sum);
}
/** Faults where a store to memory operand `n` would; nothing has been changed yet. */
export function storable(m: X86Insn, n: number): void {
  const bytes = m.operand(n).size / 8;
  m.gload(bytes === 8 ? op.I64_LOAD : op.V128_LOAD, m.address(n, bytes, true), 'store');
}
/** A store of 32 bytes in two parts is seen whole or not at all: faults first where the next page would. */
function bothStorable(m: X86Insn, address: Value): void {
  m.if(gtU32(and32(wrap(address), 0xfff), 0x1000 - 32), () => {
    m.gload(op.I64_LOAD8_U, address, 'store');
    m.gload(op.I64_LOAD8_U, and(behind(m, address, 31), -0x1000), 'store');
  });
}

// Operands.

/** The low 128 bits of operand `n`: a register's, or as many of memory as its code says with zeros above. */
export function vector(m: X86Insn, n: number, aligned = isStrict(m)): Value {
  const operand = m.operand(n);
  if (operand.kind === 'reg') {
    const register = m.leaves.register(n);
    return operand.file === 'mm' ? m.let(widen(readMmx(register))) : xmm(m, register);
  }
  if (operand.size <= 64) return m.let(widen(m.get(n)));
  return m.gload(op.V128_LOAD, vectorAddress(m, n, 16, false, aligned && operand.size === 128));
}

/** All of a 256-bit operand. */
export function wide(m: X86Insn, n: number, aligned = false): Wide {
  if (!m.isMemory(n)) {
    const register = m.leaves.register(n);
    return { low: xmm(m, register), high: upper(m, register) };
  }
  const address = vectorAddress(m, n, 32, false, aligned);
  return { low: m.gload(op.V128_LOAD, address), high: m.gload(op.V128_LOAD, behind(m, address, 16)) };
}

/** Writes operand `n`: the low half of a register, or as many bits of memory as its code says. */
export function setVector(m: X86Insn, n: number, value: Value, aligned = isStrict(m)): void {
  const { kind, size } = m.operand(n);
  if (kind === 'reg') setXmm(m, m.leaves.register(n), value);
  else if (size <= 64) m.set(n, low(value));
  else m.gstore(op.V128_STORE, vectorAddress(m, n, 16, true, aligned), value);
}

export function setWide(m: X86Insn, n: number, { low, high }: Wide, aligned = false): void {
  if (!m.isMemory(n)) {
    const register = m.leaves.register(n);
    m.write(XMM, register, low);
    m.write(YMMH, register, high);
    return;
  }
  const address = vectorAddress(m, n, 32, true, aligned);
  if (!aligned) bothStorable(m, address);
  const [first, second] = [m.let(low), m.let(high)];
  m.gstore(op.V128_STORE, address, first);
  m.gstore(op.V128_STORE, behind(m, address, 16), second);
}

// MMX registers: significands of the x87's, physically numbered.

const readMmx = (n: RegOperand): Value =>
  typeof n === 'number' ? load(op.I64_LOAD, cpu, AT.fpr + 16 * n) : load(op.I64_LOAD, add32(cpu, n), AT.fpr);

/** 64 bits of an MMX operand or of memory, i64. */
export function mmx(m: X86Insn, n: number): Value {
  return m.let(m.isMemory(n) ? m.get(n) : readMmx(m.leaves.register(n)));
}
/** Writes an MMX register, whose exponent becomes all ones, or memory. */
export function setMmx(m: X86Insn, n: number, value: Value): void {
  if (m.isMemory(n)) {
    m.set(n, value);
    return;
  }
  const register = m.leaves.register(n);
  const [base, offset] = typeof register === 'number' ? [cpu, AT.fpr + 16 * register] : [add32(cpu, register), AT.fpr];
  m.store(op.I64_STORE, base, value, offset);
  m.store(op.I64_STORE, base, i64(0xffff), offset + 8);
}
/** The transition to MMX: the stack starts at 0 and all registers are valid. */
export function enterMmx(m: X86Insn): void {
  m.setState('ftop', 0);
  m.setState('ftag', 0);
}
/** A row of MMX: reports an x87 exception that waits; afterwards the transition has happened. */
export const withMmx =
  (semantics: (m: X86Insn) => void) =>
  (m: X86Insn): void => {
    pendingX87(m);
    semantics(m);
    enterMmx(m);
  };
