/**
 * Descriptor tables, what looks at descriptors, segment registers and bases.
 *
 * Spec: SDM volume 2, the pages of the mnemonics; volume 3, "Protected-Mode
 * Memory Management", "Checking Access Rights".
 */
import {
  add,
  and,
  and32,
  eqz,
  eqz32,
  extendU,
  gtU32,
  i32,
  i64,
  ltU32,
  or,
  select,
  type Value,
  wrap,
} from '../../../ir/value.ts';
import type { X86Insn } from '../insn.ts';
import { isBase, isCanonical } from '../canonical.ts';
import { insn, type Row } from '../opcode.ts';
import { inspect } from '../inspect.ts';
import { loadLdtr, loadSegment, loadTr } from '../segment.ts';
import { Cr4, Eflags, Seg, Shadow } from '../state.ts';
import type { RegisterOperand } from '../instance.ts';
import { mayLook, needsProtectedMode, system } from './privilege.ts';

type Semantics = (m: X86Insn) => void;

// Descriptor tables.

const loadTable =
  (base: 'gdtBase' | 'idtBase', limit: 'gdtLimit' | 'idtLimit'): Semantics =>
  (m) => {
    m.privileged();
    const size = m.bits === 64 ? 64 : 32;
    const bytes = m.let(m.loadPart(0, 0, 16));
    const address = m.let(m.loadPart(0, 2, size));
    if (size === 64) m.if(eqz32(isBase(address)), () => m.gp());
    m.setState(limit, wrap(bytes));
    // With 16-bit operands a base has 24 bits.
    m.setState(base, m.osize === 16 && size === 32 ? and(address, 0xff_ffff) : address);
    m.system();
  };
const storeTable =
  (base: 'gdtBase' | 'idtBase', limit: 'gdtLimit' | 'idtLimit'): Semantics =>
  (m) => {
    mayLook(m);
    m.storePart(0, 0, 16, extendU(m.state(limit)));
    m.storePart(0, 2, m.bits === 64 ? 64 : 32, m.state(base));
  };
const loadSystemSegment =
  (load: typeof loadLdtr): Semantics =>
  (m) => {
    needsProtectedMode(m);
    m.privileged();
    m.raiseIf(m.call(load, and32(wrap(m.get(0)), 0xffff)));
    m.system();
  };
const storeSystemSegment =
  (seg: number): Semantics =>
  (m) => {
    needsProtectedMode(m);
    mayLook(m);
    m.set(0, extendU(m.state('segSelector', seg * 4)));
  };

/** LAR, LSL, VERR, VERW: `inspect` looks at a descriptor; ZF says whether it may be seen. */
const inspectSegment =
  (what: number, gives: boolean): Semantics =>
  (m) => {
    needsProtectedMode(m);
    const selector = and32(wrap(m.get(gives ? 1 : 0)), 0xffff);
    const visible = m.let(m.call(inspect, selector, i32(what)));
    // A fault on the way is one; else 1 or 0.
    m.if(gtU32(visible, 1), () => m.raise(visible, m.state('faultAddress')));
    if (gives) {
      const value = m.let(m.state('result'));
      const old = m.get(0);
      if (m.size(0) === 32) m.setR(m.leaves.register(0), select(visible, value, m.r(m.leaves.register(0))));
      else m.set(0, select(visible, value, old));
    }
    const others = and(m.flagsImage(), Eflags.arithmetic & ~Eflags.zf);
    m.setFlags(or(others, select(visible, i64(Eflags.zf), i64(0))));
  };
const adjustLevel: Semantics = (m) => {
  needsProtectedMode(m);
  const to = m.let(and(m.get(0), 0xffff));
  const level = m.let(and(m.get(1), 3));
  const less = m.let(ltU32(wrap(and(to, 3)), wrap(level)));
  const adjusted = m.let(or(and(to, 0xfffc), level));
  // Memory is written only where something changes.
  if (m.isMemory(0)) m.if(less, () => m.set(0, adjusted));
  else m.set(0, select(less, adjusted, to));
  const others = and(m.flagsImage(), Eflags.arithmetic & ~Eflags.zf);
  m.setFlags(or(others, select(less, i64(Eflags.zf), i64(0))));
};

// Segment registers.

function setSegment(m: X86Insn, seg: number, selector: Value): void {
  m.raiseIf(m.call(loadSegment, i32(seg), and32(wrap(selector), 0xffff)));
  if (seg === Seg.ss) m.setState('shadow', Shadow.stack);
  m.system();
}
const readSegment: Semantics = (m) => {
  const value = extendU(m.state('segSelector', (m.operand(1) as RegisterOperand).n * 4));
  // Memory takes 16 bits whatever the operand size.
  if (m.isMemory(0)) m.storePart(0, 0, 16, value);
  else m.set(0, value);
};
const writeSegment: Semantics = (m) => {
  const seg = (m.operand(0) as RegisterOperand).n;
  if (seg === Seg.cs) m.ud();
  else setSegment(m, seg, m.get(1));
};
const pushSegment: Semantics = (m) => {
  const value = extendU(m.state('segSelector', (m.operand(0) as RegisterOperand).n * 4));
  m.push(value, m.osize);
};
const popSegment: Semantics = (m) => {
  const from = m.let(m.sp());
  const value = m.let(m.loadAt(Seg.ss, from, m.osize));
  // The stack pointer's width is that of the stack before.
  const to = m.let(m.stackOffset(add(from, m.osize / 8)));
  m.setSp(to);
  setSegment(m, (m.operand(0) as RegisterOperand).n, value);
};
/** LDS, LES, LSS, LFS, LGS. */
const loadPointer =
  (seg: number): Semantics =>
  (m) => {
    const offset = m.let(m.loadPart(1, 0, m.osize));
    const selector = m.let(m.loadPart(1, m.osize / 8, 16));
    setSegment(m, seg, selector);
    if (seg === Seg.ss) m.setState('shadow', Shadow.none);
    m.set(0, offset);
  };

// Bases of FS and GS.

const baseRegister = (m: X86Insn): void => m.if(eqz(and(m.state('cr4'), Cr4.fsgsbase)), () => m.ud());
const readBase =
  (seg: number): Semantics =>
  (m) => {
    baseRegister(m);
    m.set(0, m.state('segBase', seg * 8));
  };
const writeBase =
  (seg: number): Semantics =>
  (m) => {
    baseRegister(m);
    const value = m.let(m.zx(0));
    m.if(eqz32(isCanonical(value)), () => m.gp());
    m.setState('segBase', value, seg * 8);
  };
const swapGs: Semantics = (m) => {
  m.privileged();
  const gs = m.let(m.state('segBase', Seg.gs * 8));
  const kernel = m.let(m.state('kernelGsBase'));
  m.setState('segBase', kernel, Seg.gs * 8);
  m.setState('kernelGsBase', gs);
};

export const descriptors = (): readonly Row[] => [
  insn('sgdt', '0F 01 /0 mem', 'M', storeTable('gdtBase', 'gdtLimit')),
  insn('sidt', '0F 01 /1 mem', 'M', storeTable('idtBase', 'idtLimit')),
  insn('lgdt', '0F 01 /2 mem', 'M', loadTable('gdtBase', 'gdtLimit'), system),
  insn('lidt', '0F 01 /3 mem', 'M', loadTable('idtBase', 'idtLimit'), system),
  insn('sldt', '0F 00 /0 mem', 'Ew', storeSystemSegment(Seg.ldtr)),
  insn('sldt', '0F 00 /0 reg', 'Ev', storeSystemSegment(Seg.ldtr)),
  insn('str', '0F 00 /1 mem', 'Ew', storeSystemSegment(Seg.tr)),
  insn('str', '0F 00 /1 reg', 'Ev', storeSystemSegment(Seg.tr)),
  insn('lldt', '0F 00 /2', 'Ew', loadSystemSegment(loadLdtr), system),
  insn('ltr', '0F 00 /3', 'Ew', loadSystemSegment(loadTr), system),
  insn('verr', '0F 00 /4', 'Ew', inspectSegment(2, false)),
  insn('verw', '0F 00 /5', 'Ew', inspectSegment(3, false)),
  insn('lar', '0F 02 /r', 'Gv Ew', inspectSegment(0, true)),
  insn('lsl', '0F 03 /r', 'Gv Ew', inspectSegment(1, true)),
  insn('arpl', '63 /r', 'Ew Gw', adjustLevel, { only: 'legacy' }),
  insn('mov', '8C /r', 'Ev Sw', readSegment),
  insn('mov', '8E /r', 'Sw Ew', writeSegment, system),
  ...(['ES', 'CS', 'SS', 'DS'] as const).map((name, n) =>
    insn('push', ['06', '0E', '16', '1E'][n], name, pushSegment, { only: 'legacy' }),
  ),
  ...(['ES', 'SS', 'DS'] as const).map((name, n) =>
    insn('pop', ['07', '17', '1F'][n], name, popSegment, { ...system, only: 'legacy' }),
  ),
  insn('push', '0F A0', 'FS', pushSegment, { size: 'd64' }),
  insn('push', '0F A8', 'GS', pushSegment, { size: 'd64' }),
  insn('pop', '0F A1', 'FS', popSegment, { ...system, size: 'd64' }),
  insn('pop', '0F A9', 'GS', popSegment, { ...system, size: 'd64' }),
  insn('les', 'C4 /r mem', 'Gv M', loadPointer(Seg.es), { ...system, only: 'legacy' }),
  insn('lds', 'C5 /r mem', 'Gv M', loadPointer(Seg.ds), { ...system, only: 'legacy' }),
  insn('lss', '0F B2 /r mem', 'Gv M', loadPointer(Seg.ss), system),
  insn('lfs', '0F B4 /r mem', 'Gv M', loadPointer(Seg.fs), system),
  insn('lgs', '0F B5 /r mem', 'Gv M', loadPointer(Seg.gs), system),
  insn('rdfsbase', 'F3 0F AE /0 reg', 'Ry', readBase(Seg.fs), { only: 'long', feature: 'fsgsbase' }),
  insn('rdgsbase', 'F3 0F AE /1 reg', 'Ry', readBase(Seg.gs), { only: 'long', feature: 'fsgsbase' }),
  insn('wrfsbase', 'F3 0F AE /2 reg', 'Ry', writeBase(Seg.fs), { only: 'long', feature: 'fsgsbase' }),
  insn('wrgsbase', 'F3 0F AE /3 reg', 'Ry', writeBase(Seg.gs), { only: 'long', feature: 'fsgsbase' }),
  insn('swapgs', '0F 01 F8', '', swapGs, { only: 'long' }),
];
