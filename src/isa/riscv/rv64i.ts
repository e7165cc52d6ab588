/**
 * RV64I, the base integer instruction set, with Zifencei and Zihintpause.
 *
 * Spec: RISC-V Unprivileged ISA 20240411; the headings below are its own.
 * A row is a mnemonic, an encoding and its semantics.
 */
import {
  add,
  and,
  eq,
  extendS,
  extendU,
  geS,
  geU,
  type I64,
  ltS,
  ltU,
  ne,
  or,
  sext32,
  shl,
  shl32,
  shrS,
  shrS32,
  shrU,
  shrU32,
  sub,
  type Value,
  wrap,
  xor,
} from '../../ir/value.ts';
import { extension, type Instruction, insn, type LoadWidth, type StoreWidth } from './insn.ts';
import { Cause } from './state.ts';

export type Binary = (x: I64, y: I64) => Value;

/** The result of a 32-bit operation, sign-extended. */
export const word =
  (f: Binary): Binary =>
  (x, y) =>
    sext32(f(x, y));
export const slt: Binary = (x, y) => extendU(ltS(x, y));
export const sltu: Binary = (x, y) => extendU(ltU(x, y));
/** Shifts of the low word; the amount is the low five bits. */
export const sllw: Binary = (x, y) => extendS(shl32(wrap(x), wrap(y)));
export const srlw: Binary = (x, y) => extendS(shrU32(wrap(x), wrap(y)));
export const sraw: Binary = (x, y) => extendS(shrS32(wrap(x), wrap(y)));

export const R = (name: string, bits: string, f: Binary): Instruction =>
  insn(name, bits, (m, { a, b, d }) => m.setX(d, f(m.x(a), m.x(b))));
export const I = (name: string, bits: string, f: Binary): Instruction =>
  insn(name, bits, (m, { a, i, d }) => m.setX(d, f(m.x(a), i)));
const L = (name: string, bits: string, width: LoadWidth): Instruction =>
  insn(name, bits, (m, { a, i, d }) => m.setX(d, m.load(width, add(m.x(a), i))));
const S = (name: string, bits: string, width: StoreWidth): Instruction =>
  insn(name, bits, (m, { a, b, i }) => m.storeTo(width, add(m.x(a), i), m.x(b)));
const B = (name: string, bits: string, f: Binary): Instruction =>
  insn(name, bits, (m, { a, b, i }) => m.branch(f(m.x(a), m.x(b)), add(m.pc, i)));

export const rv64i: readonly Instruction[] = extension('i', [
  // Integer Register-Immediate Instructions
  I('addi', '[11:0] aaaaa 000 ddddd 0010011', add),
  I('slti', '[11:0] aaaaa 010 ddddd 0010011', slt),
  I('sltiu', '[11:0] aaaaa 011 ddddd 0010011', sltu),
  I('xori', '[11:0] aaaaa 100 ddddd 0010011', xor),
  I('ori', '[11:0] aaaaa 110 ddddd 0010011', or),
  I('andi', '[11:0] aaaaa 111 ddddd 0010011', and),
  I('slli', '000000 u[5:0] aaaaa 001 ddddd 0010011', shl),
  I('srli', '000000 u[5:0] aaaaa 101 ddddd 0010011', shrU),
  I('srai', '010000 u[5:0] aaaaa 101 ddddd 0010011', shrS),
  insn('lui', '[31:12] ddddd 0110111', (m, { i, d }) => m.setX(d, i)),
  insn('auipc', '[31:12] ddddd 0010111', (m, { i, d }) => m.setX(d, add(m.pc, i))),
  // Integer Register-Immediate Instructions (RV64)
  I('addiw', '[11:0] aaaaa 000 ddddd 0011011', word(add)),
  I('slliw', '0000000 u[4:0] aaaaa 001 ddddd 0011011', sllw),
  I('srliw', '0000000 u[4:0] aaaaa 101 ddddd 0011011', srlw),
  I('sraiw', '0100000 u[4:0] aaaaa 101 ddddd 0011011', sraw),
  // Integer Register-Register Operations
  R('add', '0000000 bbbbb aaaaa 000 ddddd 0110011', add),
  R('sub', '0100000 bbbbb aaaaa 000 ddddd 0110011', sub),
  R('sll', '0000000 bbbbb aaaaa 001 ddddd 0110011', shl),
  R('slt', '0000000 bbbbb aaaaa 010 ddddd 0110011', slt),
  R('sltu', '0000000 bbbbb aaaaa 011 ddddd 0110011', sltu),
  R('xor', '0000000 bbbbb aaaaa 100 ddddd 0110011', xor),
  R('srl', '0000000 bbbbb aaaaa 101 ddddd 0110011', shrU),
  R('sra', '0100000 bbbbb aaaaa 101 ddddd 0110011', shrS),
  R('or', '0000000 bbbbb aaaaa 110 ddddd 0110011', or),
  R('and', '0000000 bbbbb aaaaa 111 ddddd 0110011', and),
  R('addw', '0000000 bbbbb aaaaa 000 ddddd 0111011', word(add)),
  R('subw', '0100000 bbbbb aaaaa 000 ddddd 0111011', word(sub)),
  R('sllw', '0000000 bbbbb aaaaa 001 ddddd 0111011', sllw),
  R('srlw', '0000000 bbbbb aaaaa 101 ddddd 0111011', srlw),
  R('sraw', '0100000 bbbbb aaaaa 101 ddddd 0111011', sraw),
  // Unconditional Jumps
  insn('jal', '[20|10:1|11|19:12] ddddd 1101111', (m, { i, d }) => {
    m.setX(d, m.nextPc);
    m.jump(add(m.pc, i), d !== 0);
  }),
  insn('jalr', '[11:0] aaaaa 000 ddddd 1100111', (m, { a, i, d }) => {
    m.setX(d, m.nextPc);
    m.jump(and(add(m.x(a), i), -2), d !== 0);
  }),
  // Conditional Branches
  B('beq', '[12|10:5] bbbbb aaaaa 000 [4:1|11] 1100011', eq),
  B('bne', '[12|10:5] bbbbb aaaaa 001 [4:1|11] 1100011', ne),
  B('blt', '[12|10:5] bbbbb aaaaa 100 [4:1|11] 1100011', ltS),
  B('bge', '[12|10:5] bbbbb aaaaa 101 [4:1|11] 1100011', geS),
  B('bltu', '[12|10:5] bbbbb aaaaa 110 [4:1|11] 1100011', ltU),
  B('bgeu', '[12|10:5] bbbbb aaaaa 111 [4:1|11] 1100011', geU),
  // Load and Store Instructions
  L('lb', '[11:0] aaaaa 000 ddddd 0000011', 'i8'),
  L('lh', '[11:0] aaaaa 001 ddddd 0000011', 'i16'),
  L('lw', '[11:0] aaaaa 010 ddddd 0000011', 'i32'),
  L('ld', '[11:0] aaaaa 011 ddddd 0000011', 'i64'),
  L('lbu', '[11:0] aaaaa 100 ddddd 0000011', 'u8'),
  L('lhu', '[11:0] aaaaa 101 ddddd 0000011', 'u16'),
  L('lwu', '[11:0] aaaaa 110 ddddd 0000011', 'u32'),
  S('sb', '[11:5] bbbbb aaaaa 000 [4:0] 0100011', 'i8'),
  S('sh', '[11:5] bbbbb aaaaa 001 [4:0] 0100011', 'i16'),
  S('sw', '[11:5] bbbbb aaaaa 010 [4:0] 0100011', 'i32'),
  S('sd', '[11:5] bbbbb aaaaa 011 [4:0] 0100011', 'i64'),
  // Memory Ordering Instructions; `pause` is one of them. Harts of one machine see stores in order.
  insn('fence', '---- ---- ---- ----- 000 ----- 0001111', () => {}),
  // Zifencei. Stores already drop the translations they touch; the interpreter looks again.
  insn('fence.i', '------------ ----- 001 ----- 0001111', (m) => m.system(), { system: true }),
  // Environment Call and Breakpoints
  insn('ebreak', '000000000001 00000 000 00000 1110011', (m) => m.raise(Cause.breakpoint, m.pc), { system: true }),
]);
