/**
 * Data movement: MOV and its kin, the stack, conversions, address
 * computation, flags as data.
 *
 * Spec: SDM volume 2, the pages of the mnemonics; volume 1, "Data Transfer
 * Instructions".
 */
import {
  add,
  and,
  extendU,
  gtS,
  ltS,
  ne32,
  or,
  or32,
  select,
  shl,
  shrS,
  shrU,
  sub,
  type Value,
  wrap,
  xor,
} from '../../../ir/value.ts';
import { signExtend, zeroExtend } from '../extend.ts';
import type { X86Insn } from '../insn.ts';
import { RAX, RBP, RDX, RSP } from '../registers.ts';
import { insn, type Row } from '../opcode.ts';
import { Eflags, Seg, Vector } from '../state.ts';
import { swap32, swap64 } from '../swap.ts';

type Semantics = (m: X86Insn) => void;

const move: Semantics = (m) => m.set(0, m.get(1));
const moveZero: Semantics = (m) => m.set(0, m.zx(1));
const moveSign: Semantics = (m) => m.set(0, m.sx(1));

const exchange: Semantics = (m) => {
  const a = m.let(m.get(0, true));
  const b = m.let(m.get(1));
  m.set(0, b);
  m.set(1, a);
};

const loadAddress: Semantics = (m) => m.set(0, m.offset(1));

const moveIf =
  (cc: number): Semantics =>
  (m) => {
    const value = m.let(m.get(1));
    // A destination of 32 bits is cleared above in either case.
    m.set(0, select(m.condition(cc), value, m.get(0)));
  };
const setIf =
  (cc: number): Semantics =>
  (m) =>
    m.set(0, extendU(truth(m.condition(cc))));
const truth = (condition: Value): Value => ne32(condition, 0);

const swapBytes: Semantics = (m) => {
  const size = m.osize === 64 ? 64 : 32;
  m.set(0, m.call(size === 64 ? swap64 : swap32, m.get(0)));
};
/** MOVBE: the bytes of an operand the other way round. */
const moveSwapped: Semantics = (m) => {
  const value = m.get(1);
  const size = m.size(1);
  if (size === 16) {
    const v = m.let(value);
    m.set(0, or(shl(v, 8), and(shrU(v, 8), 0xff)));
  } else m.set(0, m.call(size === 64 ? swap64 : swap32, value));
};

// The stack.

const stackSize = (m: X86Insn) => m.osize;

const push: Semantics = (m) => m.push(m.get(0), stackSize(m));
const pop: Semantics = (m) => {
  const size = stackSize(m);
  if (!m.isMemory(0)) {
    const from = m.let(m.sp());
    const value = m.loadAt(Seg.ss, from, size);
    m.setSp(add(from, size / 8));
    m.set(0, value); // after the pointer: it may be the destination
    return;
  }
  // An address that is formed from the stack pointer is formed after the pop.
  const from = m.let(m.sp());
  const value = m.let(m.loadAt(Seg.ss, from, size));
  const operand = m.operand(0);
  if (operand.kind !== 'mem') return;
  const usesStack = m.usesRegister(0, RSP, size / 8);
  const offset = add(m.offset(0), usesStack);
  const cut = operand.asize === 64 ? offset : and(offset, operand.asize === 32 ? 0xffff_ffff : 0xffff);
  m.storeAt(operand.seg, m.let(cut), size, value);
  m.setSp(add(from, size / 8));
};

const pushAll: Semantics = (m) => {
  const size = m.osize as 16 | 32;
  const sp = m.let(m.sp());
  for (let n = 0; n < 8; n++) m.storeAt(Seg.ss, m.let(m.stackOffset(sub(sp, ((n + 1) * size) / 8))), size, m.r(n));
  m.setSp(sub(sp, size));
};
const popAll: Semantics = (m) => {
  const size = m.osize as 16 | 32;
  const sp = m.let(m.sp());
  for (let n = 0; n < 8; n++) {
    const value = m.loadAt(Seg.ss, m.let(m.stackOffset(add(sp, (n * size) / 8))), size);
    if (7 - n !== RSP) m.setR(7 - n, value, size);
  }
  m.setSp(add(sp, size));
};

const enterFrame: Semantics = (m) => {
  const { osize: size } = m;
  const bytes = size / 8;
  const allocate = zeroExtend(m.get(0), 16);
  const level = m.let(and(m.get(1), 31));
  const sp = m.var(m.stackOffset(sub(m.sp(), bytes)));
  m.storeAt(Seg.ss, sp.value, size, m.r(RBP));
  // Of a stack pointer of 16 bits the upper half belongs to the frame pointer too.
  const above = m.segmented ? and(m.r(RSP), xor(m.state('stackMask'), -1)) : undefined;
  const frame = m.let(above ? or(above, sp.value) : sp.value);
  m.if(ne32(wrap(level), 0), () => {
    const n = m.var(sub(level, 1));
    const from = m.var(m.r(RBP));
    m.while(
      () => ne32(wrap(n.value), 0),
      () => {
        from.set(m.stackOffset(sub(from.value, bytes)));
        const link = m.let(m.loadAt(Seg.ss, from.value, size));
        sp.set(m.stackOffset(sub(sp.value, bytes)));
        m.storeAt(Seg.ss, sp.value, size, link);
        n.set(sub(n.value, 1));
      },
    );
    sp.set(m.stackOffset(sub(sp.value, bytes)));
    m.storeAt(Seg.ss, sp.value, size, frame);
  });
  const end = m.let(m.stackOffset(sub(sp.value, allocate)));
  // The new top of the stack must be writable, though nothing is written there.
  void m.loadLinear(m.linear(Seg.ss, end, bytes, true), size, true);
  m.setR(RBP, frame, size);
  m.setSp(end);
};
const leaveFrame: Semantics = (m) => {
  const { osize: size } = m;
  const from = m.let(m.stackOffset(m.bits === 64 ? m.r(RBP) : zeroExtend(m.r(RBP), 32)));
  const value = m.loadAt(Seg.ss, from, size);
  m.setSp(add(from, size / 8));
  m.setR(RBP, value, size);
};

// Conversions.

/** CBW, CWDE, CDQE: the accumulator's lower half, sign-extended. */
const convert: Semantics = (m) => {
  const { osize: size } = m;
  m.setR(RAX, signExtend(m.r(RAX), (size / 2) as 8 | 16 | 32), size);
};
/** CWD, CDQ, CQO: rDX filled with the accumulator's sign. */
const convertDouble: Semantics = (m) => {
  const { osize: size } = m;
  m.setR(RDX, shrS(signExtend(m.r(RAX), size), 63), size);
};

const translate: Semantics = (m) => {
  const operand = m.decoded;
  const rbx = m.r(3);
  const offset = add(rbx, and(m.r(RAX), 0xff));
  const cut = operand.asize === 64 ? offset : zeroExtend(offset, operand.asize);
  m.setR(RAX, m.loadAt(m.segment(), m.let(cut), 8), 8);
};

// Flags as data.

const LAHF = Eflags.sf | Eflags.zf | Eflags.af | Eflags.pf | Eflags.cf;
const loadFlags: Semantics = (m) => m.setR(RAX, or(and(m.flagsImage(), LAHF), Eflags.fixed), 8, true);
const storeFlags: Semantics = (m) => {
  const ah = and(shrU(m.r(RAX), 8), LAHF);
  m.setFlags(or(ah, and(m.flagsImage(), Eflags.of)));
};
const changeCarry =
  (change: (image: Value) => Value): Semantics =>
  (m) =>
    m.setFlags(change(m.flagsImage()));
const changeDirection =
  (set: boolean): Semantics =>
  (m) => {
    const flags = extendU(m.state('eflags'));
    m.setState('eflags', wrap(set ? or(flags, Eflags.df) : and(flags, ~Eflags.df)));
  };
/** SALC: AL filled with CF. */
const setAlFromCarry: Semantics = (m) => m.setR(RAX, sub(0, extendU(truth(m.flag('b')))), 8);

const boundCheck: Semantics = (m) => {
  const size = m.osize as 16 | 32;
  const index = m.let(m.sx(0));
  const low = m.let(signExtend(m.loadPart(1, 0, size), size));
  const high = m.let(signExtend(m.loadPart(1, size / 8, size), size));
  m.if(outside(index, low, high), () => m.fault(Vector.br));
};
const outside = (x: Value, low: Value, high: Value): Value => or32(ltS(x, low), gtS(x, high));

const conditions = (make: (cc: number, name: string) => readonly Row[]): Row[] =>
  CC_NAMES.flatMap((name, cc) => make(cc, name));
export const CC_NAMES = ['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g'];
const hex = (n: number) => n.toString(16).toUpperCase().padStart(2, '0');

export const moves = (): readonly Row[] => [
  insn('mov', '88 /r', 'Eb Gb', move),
  insn('mov', '89 /r', 'Ev Gv', move),
  insn('mov', '8A /r', 'Gb Eb', move),
  insn('mov', '8B /r', 'Gv Ev', move),
  insn('mov', 'A0', 'AL Ob', move),
  insn('mov', 'A1', 'eAX Ov', move),
  insn('mov', 'A2', 'Ob AL', move),
  insn('mov', 'A3', 'Ov eAX', move),
  insn('mov', 'B0+r', 'Zb Ib', move),
  insn('mov', 'B8+r', 'Zv Iv', move),
  insn('mov', 'C6 /0', 'Eb Ib', move),
  insn('mov', 'C7 /0', 'Ev Iz', move),
  insn('movzx', '0F B6 /r', 'Gv Eb', moveZero),
  insn('movzx', '0F B7 /r', 'Gv Ew', moveZero),
  insn('movsx', '0F BE /r', 'Gv Eb', moveSign),
  insn('movsx', '0F BF /r', 'Gv Ew', moveSign),
  insn('movsxd', 'REX.W 63 /r', 'Gv Ed', moveSign, { only: 'long' }),
  insn('movsxd', '63 /r', 'Gv Ez', moveSign, { only: 'long' }),
  insn('movbe', '0F 38 F0 /r mem', 'Gv Mv', moveSwapped, { feature: 'movbe' }),
  insn('movbe', '0F 38 F1 /r mem', 'Mv Gv', moveSwapped, { feature: 'movbe' }),
  insn('movnti', 'NP 0F C3 /r mem', 'My Gy', move, { feature: 'sse2' }),
  insn('xchg', '86 /r', 'Eb Gb', exchange, { lock: true }),
  insn('xchg', '87 /r', 'Ev Gv', exchange, { lock: true }),
  insn('xchg', '90+r', 'Zv eAX', exchange),
  insn('lea', '8D /r mem', 'Gv M', loadAddress),
  insn('bswap', '0F C8+r', 'Zv', swapBytes),
  insn('xlat', 'D7', '', translate),
  insn('push', '50+r', 'Zv', push, { size: 'd64' }),
  insn('push', '68', 'Iz', push, { size: 'd64' }),
  insn('push', '6A', 'Ibs', push, { size: 'd64' }),
  insn('push', 'FF /6', 'Ev', push, { size: 'd64' }),
  insn('pop', '58+r', 'Zv', pop, { size: 'd64' }),
  insn('pop', '8F /0', 'Ev', pop, { size: 'd64' }),
  insn('pusha', '60', '', pushAll, { only: 'legacy' }),
  insn('popa', '61', '', popAll, { only: 'legacy' }),
  insn('enter', 'C8', 'Iw Ib', enterFrame, { size: 'd64' }),
  insn('leave', 'C9', '', leaveFrame, { size: 'd64' }),
  insn('bound', '62 /r mem', 'Gv M', boundCheck, { only: 'legacy' }),
  insn('cbw', '98', '', convert),
  insn('cwd', '99', '', convertDouble),
  insn('lahf', '9F', '', loadFlags),
  insn('sahf', '9E', '', storeFlags),
  insn(
    'cmc',
    'F5',
    '',
    changeCarry((image) => xor(image, Eflags.cf)),
  ),
  insn(
    'clc',
    'F8',
    '',
    changeCarry((image) => and(image, ~Eflags.cf)),
  ),
  insn(
    'stc',
    'F9',
    '',
    changeCarry((image) => or(image, Eflags.cf)),
  ),
  insn('cld', 'FC', '', changeDirection(false)),
  insn('std', 'FD', '', changeDirection(true)),
  insn('salc', 'D6', '', setAlFromCarry, { only: 'legacy' }),
  ...conditions((cc, name) => [
    insn(`cmov${name}`, `0F ${hex(0x40 + cc)} /r`, 'Gv Ev', moveIf(cc), { feature: 'cmov' }),
    insn(`set${name}`, `0F ${hex(0x90 + cc)} /r`, 'Eb', setIf(cc)),
  ]),
];
