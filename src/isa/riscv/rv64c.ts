/**
 * C, compressed instructions (with Zcd), and Zcb.
 *
 * Spec: RISC-V Unprivileged ISA 20240411, "C Extension for Compressed
 * Instructions", "RVC Instruction Set Listings". Fields of three letters name
 * x8 to x15 and f8 to f15.
 */
import {
  add,
  and,
  bitsF64,
  eqz,
  eqz32,
  fromBitsF64,
  type I64,
  mul,
  not,
  or,
  sext8,
  sext16,
  shl,
  shrS,
  shrU,
  sub,
  type Value,
  xor,
  zext32,
} from '../../ir/value.ts';
import { extension, type Instruction, insn, type LoadWidth, type StoreWidth, type Traits } from './insn.ts';
import { type Binary, word } from './rv64i.ts';
import { Cause } from './state.ts';

const SP = 2;
const RA = 1;

/** d = d op immediate */
const DI = (name: string, bits: string, f: Binary, where?: Traits['where']): Instruction =>
  insn(name, bits, (m, { d, i }) => m.setX(d, f(m.x(d), i)), { where });
/** d = d op b */
const DB = (name: string, bits: string, f: Binary, where?: Traits['where']): Instruction =>
  insn(name, bits, (m, { d, b }) => m.setX(d, f(m.x(d), m.x(b))), { where });
const LOAD = (name: string, bits: string, w: LoadWidth): Instruction =>
  insn(name, bits, (m, { a, d, i }) => m.setX(d, m.load(w, add(m.x(a), i))));
const STORE = (name: string, bits: string, w: StoreWidth): Instruction =>
  insn(name, bits, (m, { a, b, i }) => m.storeTo(w, add(m.x(a), i), m.x(b)));
const JUMP = (name: string, bits: string, link: boolean): Instruction =>
  insn(
    name,
    bits,
    (m, { a }) => {
      if (link) m.setX(RA, m.nextPc);
      m.jump(and(m.x(a), -2), link);
    },
    { where: ({ a }) => a !== 0 },
  );
const UNARY = (name: string, bits: string, f: (x: Value) => Value): Instruction =>
  insn(name, bits, (m, { d }) => m.setX(d, f(m.x(d))));

const fld =
  (
    at: (m: Parameters<Instruction['semantics']>[0], a: Parameters<Instruction['semantics']>[1]) => I64,
  ): Instruction['semantics'] =>
  (m, o) =>
    m.setF(o.d, fromBitsF64(m.load('i64', add(at(m, o), o.i))));
const fsd =
  (
    at: (m: Parameters<Instruction['semantics']>[0], a: Parameters<Instruction['semantics']>[1]) => I64,
  ): Instruction['semantics'] =>
  (m, o) =>
    m.storeTo('i64', add(at(m, o), o.i), bitsF64(m.f(o.b)));

export const rv64c: readonly Instruction[] = extension('c', [
  // Quadrant 0
  insn('c.addi4spn', '000 u[5:4|9:6|2|3] ddd 00', (m, { d, i }) => m.setX(d, add(m.x(SP), i)), {
    where: ({ i }) => i !== 0,
  }),
  insn(
    'c.fld',
    '001 u[5:3] aaa u[7:6] ddd 00',
    fld((m, { a }) => m.x(a)),
    { fp: 'write' },
  ),
  LOAD('c.lw', '010 u[5:3] aaa u[2|6] ddd 00', 'i32'),
  LOAD('c.ld', '011 u[5:3] aaa u[7:6] ddd 00', 'i64'),
  insn(
    'c.fsd',
    '101 u[5:3] aaa u[7:6] bbb 00',
    fsd((m, { a }) => m.x(a)),
    { fp: 'read' },
  ),
  STORE('c.sw', '110 u[5:3] aaa u[2|6] bbb 00', 'i32'),
  STORE('c.sd', '111 u[5:3] aaa u[7:6] bbb 00', 'i64'),
  // Quadrant 1
  DI('c.addi', '000 [5] ddddd [4:0] 01', add),
  DI('c.addiw', '001 [5] ddddd [4:0] 01', word(add), ({ d }) => d !== 0),
  insn('c.li', '010 [5] ddddd [4:0] 01', (m, { d, i }) => m.setX(d, i)),
  insn('c.addi16sp', '011 [9] 00010 [4|6|8:7|5] 01', (m, { i }) => m.setX(SP, add(m.x(SP), i)), {
    where: ({ i }) => i !== 0,
  }),
  insn('c.lui', '011 [17] ddddd [16:12] 01', (m, { d, i }) => m.setX(d, i), {
    where: ({ d, i }) => d !== 2 && i !== 0,
  }),
  DI('c.srli', '100 u[5] 00 ddd u[4:0] 01', shrU),
  DI('c.srai', '100 u[5] 01 ddd u[4:0] 01', shrS),
  DI('c.andi', '100 [5] 10 ddd [4:0] 01', and),
  DB('c.sub', '100 0 11 ddd 00 bbb 01', sub),
  DB('c.xor', '100 0 11 ddd 01 bbb 01', xor),
  DB('c.or', '100 0 11 ddd 10 bbb 01', or),
  DB('c.and', '100 0 11 ddd 11 bbb 01', and),
  DB('c.subw', '100 1 11 ddd 00 bbb 01', word(sub)),
  DB('c.addw', '100 1 11 ddd 01 bbb 01', word(add)),
  insn('c.j', '101 [11|4|9:8|10|6|7|3:1|5] 01', (m, { i }) => m.jump(add(m.pc, i))),
  insn('c.beqz', '110 [8|4:3] aaa [7:6|2:1|5] 01', (m, { a, i }) => m.branch(eqz(m.x(a)), add(m.pc, i))),
  insn('c.bnez', '111 [8|4:3] aaa [7:6|2:1|5] 01', (m, { a, i }) => m.branch(eqz32(eqz(m.x(a))), add(m.pc, i))),
  // Quadrant 2
  DI('c.slli', '000 u[5] ddddd u[4:0] 10', shl),
  insn(
    'c.fldsp',
    '001 u[5] ddddd u[4:3|8:6] 10',
    fld((m) => m.x(SP)),
    { fp: 'write' },
  ),
  insn('c.lwsp', '010 u[5] ddddd u[4:2|7:6] 10', (m, { d, i }) => m.setX(d, m.load('i32', add(m.x(SP), i))), {
    where: ({ d }) => d !== 0,
  }),
  insn('c.ldsp', '011 u[5] ddddd u[4:3|8:6] 10', (m, { d, i }) => m.setX(d, m.load('i64', add(m.x(SP), i))), {
    where: ({ d }) => d !== 0,
  }),
  JUMP('c.jr', '100 0 aaaaa 00000 10', false),
  insn('c.mv', '100 0 ddddd bbbbb 10', (m, { d, b }) => m.setX(d, m.x(b)), { where: ({ b }) => b !== 0 }),
  insn('c.ebreak', '100 1 00000 00000 10', (m) => m.raise(Cause.breakpoint, m.pc), { system: true }),
  JUMP('c.jalr', '100 1 aaaaa 00000 10', true),
  DB('c.add', '100 1 ddddd bbbbb 10', add, ({ b }) => b !== 0),
  insn(
    'c.fsdsp',
    '101 u[5:3|8:6] bbbbb 10',
    fsd((m) => m.x(SP)),
    { fp: 'read' },
  ),
  insn('c.swsp', '110 u[5:2|7:6] bbbbb 10', (m, { b, i }) => m.storeTo('i32', add(m.x(SP), i), m.x(b))),
  insn('c.sdsp', '111 u[5:3|8:6] bbbbb 10', (m, { b, i }) => m.storeTo('i64', add(m.x(SP), i), m.x(b))),
]);

export const zcb: readonly Instruction[] = extension('zcb', [
  LOAD('c.lbu', '100 000 aaa u[0|1] ddd 00', 'u8'),
  LOAD('c.lhu', '100 001 aaa 0 u[1] ddd 00', 'u16'),
  LOAD('c.lh', '100 001 aaa 1 u[1] ddd 00', 'i16'),
  STORE('c.sb', '100 010 aaa u[0|1] bbb 00', 'i8'),
  STORE('c.sh', '100 011 aaa 0 u[1] bbb 00', 'i16'),
  UNARY('c.zext.b', '100 111 ddd 11 000 01', (x) => and(x, 0xff)),
  UNARY('c.sext.b', '100 111 ddd 11 001 01', sext8),
  UNARY('c.zext.h', '100 111 ddd 11 010 01', (x) => and(x, 0xffff)),
  UNARY('c.sext.h', '100 111 ddd 11 011 01', sext16),
  UNARY('c.zext.w', '100 111 ddd 11 100 01', zext32),
  UNARY('c.not', '100 111 ddd 11 101 01', not),
  DB('c.mul', '100 111 ddd 10 bbb 01', mul),
]);
