/**
 * Near and far transfers of control, software interrupts, loops.
 *
 * Spec: SDM volume 2, the pages of the mnemonics; volume 1, "Procedure Calls,
 * Interrupts, and Exceptions".
 */
import {
  add,
  and,
  and32,
  eqz,
  eqz32,
  gtU32,
  i32,
  i64,
  ne,
  ne32,
  or32,
  shrU,
  shrU32,
  sub,
  type Value,
  wrap,
} from '../../../ir/value.ts';
import { farCall, farJump } from '../far.ts';
import { farReturn, interruptReturn } from '../far-return.ts';
import { zeroExtend } from '../extend.ts';
import type { X86Insn } from '../insn.ts';
import { RCX } from '../registers.ts';
import { deliver, Source } from '../interrupt.ts';
import { insn, type Row } from '../opcode.ts';
import { resumeFromSmm } from '../smm.ts';
import { Cr0, Eflags, Vector } from '../state.ts';
import { CC_NAMES } from './move.ts';

type Semantics = (m: X86Insn) => void;

const jumpRelative: Semantics = (m) => m.jumpBy(0);
const jumpIndirect: Semantics = (m) => m.jumpTo(m.let(m.zx(0)));
const jumpIf =
  (cc: number): Semantics =>
  (m) =>
    m.branchBy(m.condition(cc), 0);

const call: Semantics = (m) => {
  // The target first: it may be formed from the stack pointer.
  const relative = m.operand(0).kind === 'imm';
  const target = relative ? undefined : m.let(m.zx(0));
  // Nothing is pushed where the target is beyond the segment's limit.
  if (target) m.jumpTo(target, true);
  else m.jumpBy(0, true);
  m.push(m.nextIp(), m.osize);
};
const returnNear: Semantics = (m) => {
  const from = m.let(m.sp());
  const target = m.let(m.loadAt(2, from, m.osize));
  const release = m.decoded.operands.length > 0 ? and(m.get(0), 0xffff) : i64(0);
  m.setSp(add(add(from, m.osize / 8), release));
  m.jumpTo(target);
};

/** LOOP, LOOPE, LOOPNE: a count register of the address size. */
const loop =
  (flag: 'always' | 'equal' | 'unequal'): Semantics =>
  (m) => {
    const size = m.decoded.asize;
    const count = m.let(zeroExtend(sub(m.r(RCX), 1), size));
    m.setR(RCX, count, size);
    if (flag === 'always') m.branchBy(ne(count, 0), 0);
    else m.branchBy(and32(ne(count, 0), m.condition(flag === 'equal' ? 4 : 5)), 0);
  };
const jumpIfCountZero: Semantics = (m) => m.branchBy(m.isZero(m.r(RCX), m.decoded.asize), 0);

// Far transfers: an IR function does the work and sets pc.

const bytesOf = (m: X86Insn): Value => i32(m.osize / 8);

/** The far pointer in memory operand 0: offset, then selector. */
function farPointer(m: X86Insn): { selector: Value; offset: Value } {
  const operand = m.operand(0);
  if (operand.kind === 'imm') {
    // As the decoder packs it.
    const packed = m.let(m.get(0));
    return { selector: wrap(shr32(packed)), offset: zeroExtend(packed, 32) };
  }
  const offset = m.let(m.loadPart(0, 0, m.osize));
  const selector = m.let(wrap(m.loadPart(0, m.osize / 8, 16)));
  return { selector, offset };
}
const shr32 = (value: Value): Value => shrU(value, 32);

const jumpFar: Semantics = (m) => {
  const { selector, offset } = farPointer(m);
  m.raiseIf(m.call(farJump, selector, offset, m.nextPc));
  m.system(m.state('pc'));
};
const callFar: Semantics = (m) => {
  const { selector, offset } = farPointer(m);
  m.raiseIf(m.call(farCall, selector, offset, m.nextPc, bytesOf(m)));
  m.system(m.state('pc'));
};
const returnFar: Semantics = (m) => {
  const release = m.decoded.operands.length > 0 ? and(m.get(0), 0xffff) : i64(0);
  m.raiseIf(m.call(farReturn, bytesOf(m), release));
  m.system(m.state('pc'));
};
const returnFromInterrupt: Semantics = (m) => {
  m.raiseIf(m.call(interruptReturn, bytesOf(m), m.nextPc));
  m.system(m.state('pc'));
};

/** A software interrupt; the handler returns to the next instruction. */
function interrupt(m: X86Insn, vector: Value, source: number): void {
  m.raiseIf(m.call(deliver, vector, i32(source), m.nextPc));
  m.system(m.state('pc'));
}
const interruptN: Semantics = (m) => interrupt(m, and32(wrap(m.get(0)), 0xff), Source.software);
const breakpoint: Semantics = (m) => interrupt(m, i32(Vector.bp), Source.software | Source.breakpoint);
const interruptOne: Semantics = (m) => interrupt(m, i32(Vector.db), Source.breakpoint);
const interruptOnOverflow: Semantics = (m) => {
  const overflow = m.let(m.flag('o'));
  m.setState('pc', m.nextPc);
  m.if(overflow, () => m.raiseIf(m.call(deliver, i32(Vector.of), i32(Source.software | Source.breakpoint), m.nextPc)));
  m.system(m.state('pc'));
};

const resume: Semantics = (m) => {
  m.if(eqz32(m.state('inSmm')), () => m.ud());
  m.call(resumeFromSmm);
  m.system(m.state('pc'));
};

const halt: Semantics = (m) => {
  m.privileged();
  m.setState('waiting', 1);
  m.system();
};
const undefinedOpcode: Semantics = (m) => m.ud();
const nothing: Semantics = () => {};

// Interrupt enable.

/** Whether IF may be changed: CPL at most IOPL. */
const mayChangeInterrupts = (m: X86Insn): void => {
  const flags = m.let(m.state('eflags'));
  const iopl = and32(shrU32(flags, 12), 3);
  const virtual = ne32(and32(flags, Eflags.vm), 0);
  // Real-address mode has no privilege; virtual-8086 mode is CPL 3.
  const real = eqz(and(m.state('cr0'), Cr0.pe));
  m.if(and32(eqz32(real), or32(gtU32(m.state('cpl'), iopl), and32(virtual, ne32(iopl, 3)))), () => m.gp());
};

const disableInterrupts: Semantics = (m) => {
  mayChangeInterrupts(m);
  m.setState('eflags', and32(m.state('eflags'), ~Eflags.if));
};
/** Interrupts are taken after the next instruction at the earliest. */
const enableInterrupts: Semantics = (m) => {
  mayChangeInterrupts(m);
  const was = m.let(m.state('eflags'));
  m.setState('eflags', or32(was, Eflags.if));
  const off = m.let(eqz32(and32(was, Eflags.if)));
  m.if(off, () => m.setState('heldPc', m.nextPc));
  // Only somebody who waits makes it worth while to look up.
  m.check(and32(off, ne32(m.state('lines'), 0)));
};

const hex = (n: number) => n.toString(16).toUpperCase().padStart(2, '0');

export const control = (): readonly Row[] => [
  insn('jmp', 'EB', 'Jb', jumpRelative, { flow: 'jump', size: 'f64' }),
  insn('jmp', 'E9', 'Jz', jumpRelative, { flow: 'jump', size: 'f64' }),
  insn('jmp', 'FF /4', 'Ev', jumpIndirect, { flow: 'indirect', size: 'f64' }),
  insn('call', 'E8', 'Jz', call, { flow: 'call', size: 'f64' }),
  insn('call', 'FF /2', 'Ev', call, { flow: 'call', size: 'f64' }),
  insn('ret', 'C3', '', returnNear, { flow: 'return', size: 'f64' }),
  insn('ret', 'C2', 'Iw', returnNear, { flow: 'return', size: 'f64' }),
  ...CC_NAMES.flatMap((name, cc) => [
    insn(`j${name}`, hex(0x70 + cc), 'Jb', jumpIf(cc), { flow: 'branch', size: 'f64' }),
    insn(`j${name}`, `0F ${hex(0x80 + cc)}`, 'Jz', jumpIf(cc), { flow: 'branch', size: 'f64' }),
  ]),
  insn('loopne', 'E0', 'Jb', loop('unequal'), { flow: 'branch', size: 'f64' }),
  insn('loope', 'E1', 'Jb', loop('equal'), { flow: 'branch', size: 'f64' }),
  insn('loop', 'E2', 'Jb', loop('always'), { flow: 'branch', size: 'f64' }),
  insn('jcxz', 'E3', 'Jb', jumpIfCountZero, { flow: 'branch', size: 'f64' }),
  insn('jmp', 'EA', 'Ap', jumpFar, { flow: 'system', only: 'legacy', ends: true }),
  insn('jmp', 'FF /5 mem', 'M', jumpFar, { flow: 'system', ends: true }),
  insn('call', '9A', 'Ap', callFar, { flow: 'system', only: 'legacy', ends: true }),
  insn('call', 'FF /3 mem', 'M', callFar, { flow: 'system', ends: true }),
  insn('retf', 'CB', '', returnFar, { flow: 'system', ends: true }),
  insn('retf', 'CA', 'Iw', returnFar, { flow: 'system', ends: true }),
  insn('iret', 'CF', '', returnFromInterrupt, { flow: 'system', ends: true }),
  insn('int3', 'CC', '', breakpoint, { flow: 'system' }),
  insn('int', 'CD', 'Ib', interruptN, { flow: 'system' }),
  insn('into', 'CE', '', interruptOnOverflow, { flow: 'system', only: 'legacy' }),
  insn('int1', 'F1', '', interruptOne, { flow: 'system' }),
  insn('hlt', 'F4', '', halt, { flow: 'system' }),
  insn('cli', 'FA', '', disableInterrupts),
  insn('sti', 'FB', '', enableInterrupts, { flow: 'check' }),
  insn('rsm', '0F AA', '', resume, { flow: 'system', ends: true }),
  insn('ud2', '0F 0B', '', undefinedOpcode),
  insn('ud1', '0F B9 /r', 'Gv Ev', undefinedOpcode),
  insn('ud0', '0F FF /r', 'Gv Ev', undefinedOpcode),
  insn('nop', '90', '', nothing),
  insn('pause', 'F3 90', '', nothing),
  insn('nop', '0F 1F /r', 'Ev', nothing),
  ...[0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e].map((code) => insn('nop', `0F ${hex(code)} /r`, 'Ev', nothing)),
  insn('prefetchw', '0F 0D /r mem', 'M', nothing),
];
