/**
 * System instructions: control, debug and segment registers, descriptor
 * tables, model-specific registers, SYSCALL and its kin, flags.
 *
 * Spec: SDM volume 2, the pages of the mnemonics; volume 3, "System
 * Instruction Summary".
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
  ne,
  ne32,
  or,
  or32,
  select,
  shl,
  shrU,
  shrU32,
  type Value,
  wrap,
  xor,
  xor32,
  zext32,
} from '../../../ir/value.ts';
import { hostCall, tlbFlush, tlbFlushPage } from '../../isa.ts';
import { RAX, RBX, RCX, RDX, RSP, type X86Insn, zeroExtend } from '../insn.ts';
import { isBase, isCanonical } from '../canonical.ts';
import { HostCall, readMsr, writeMsr } from '../msr.ts';
import { timeStampNow } from '../time-stamp.ts';
import { debugDetected } from '../debug.ts';
import { insn, type Row } from '../opcode.ts';
import { writeCr0, writeCr3, writeCr4 } from '../paging.ts';
import { inspect } from '../inspect.ts';
import { loadLdtr, loadSegment, loadTr } from '../segment.ts';
import { Cr0, Cr4, Dr6, Eflags, Seg, Shadow } from '../state.ts';
import { sysenter, sysexit, syscall, sysret } from '../syscall.ts';
import { updateMode, updateUnits } from '../mode.ts';
import type { RegisterOperand } from '../decode.ts';

type Semantics = (m: X86Insn) => void;
const system = { flow: 'system' } as const;

const has = (word: Value, bits: number): Value => ne(and(word, bits), 0);
/** Faults with #UD in real-address and virtual-8086 mode. */
const needsProtectedMode = (m: X86Insn): void => {
  const v86 = ne32(and32(m.state('eflags'), Eflags.vm), 0);
  m.if(or32(eqz(and(m.state('cr0'), Cr0.pe)), v86), () => m.ud());
};
/** UMIP keeps user code from looking at system structures. */
const mayLook = (m: X86Insn): void => {
  m.if(and32(has(m.state('cr4'), Cr4.umip), ne32(m.state('cpl'), 0)), () => m.gp());
};

// Control and debug registers.

const CONTROL = { 0: 'cr0', 2: 'cr2', 3: 'cr3', 4: 'cr4' } as const;

const readControl: Semantics = (m) => {
  const n = (m.operand(1) as RegisterOperand).n;
  if (n !== 8 && !(n in CONTROL)) {
    m.ud();
    return;
  }
  m.privileged();
  if (n === 8) m.set(0, extendU(m.call(hostCall, i32(HostCall.readCr8), i32(0), i32(0))));
  else m.set(0, m.state(CONTROL[n as keyof typeof CONTROL]));
};
const writeControl: Semantics = (m) => {
  const n = (m.operand(0) as RegisterOperand).n;
  if (n !== 8 && !(n in CONTROL)) {
    m.ud();
    return;
  }
  m.privileged();
  const value = m.let(m.zx(1));
  if (n === 0) m.raiseIf(m.call(writeCr0, value));
  else if (n === 2) m.setState('cr2', value);
  else if (n === 3) m.raiseIf(m.call(writeCr3, value));
  else if (n === 4) m.raiseIf(m.call(writeCr4, value));
  else {
    m.if(ne(shrU(value, 4), 0), () => m.gp());
    m.call(hostCall, i32(HostCall.writeCr8), wrap(value), i32(0));
  }
  m.system();
};

/** DR4 and DR5 are other names of DR6 and DR7 without CR4.DE. */
const debugNumber = (m: X86Insn, n: number): number => {
  if (n === 4 || n === 5) {
    m.if(has(m.state('cr4'), Cr4.de), () => m.ud());
    return n + 2;
  }
  return n;
};
const readDebug: Semantics = (m) => {
  const n = debugNumber(m, (m.operand(1) as RegisterOperand).n);
  if (n > 7) {
    m.ud();
    return;
  }
  m.privileged();
  m.raiseIf(m.call(debugDetected));
  m.set(0, n < 4 ? m.state('dr', n * 8) : m.state(n === 6 ? 'dr6' : 'dr7'));
};
const writeDebug: Semantics = (m) => {
  const n = debugNumber(m, (m.operand(0) as RegisterOperand).n);
  if (n > 7) {
    m.ud();
    return;
  }
  m.privileged();
  const value = m.let(m.zx(1));
  m.raiseIf(m.call(debugDetected));
  if (n < 4) m.setState('dr', value, n * 8);
  else {
    m.if(ne(shrU(value, 32), 0), () => m.gp());
    if (n === 6) m.setState('dr6', or(and(value, Dr6.known), i64(Dr6.ones)));
    else m.setState('dr7', or(and(value, i64(0xffff_2bff)), 0x400));
  }
  // Translations of pages with breakpoints on data are not kept.
  if (n !== 6) m.call(tlbFlush, i32(0));
  m.system();
};

const loadMachineStatus: Semantics = (m) => {
  m.privileged();
  // PE can be set, not cleared.
  const old = m.let(m.state('cr0'));
  const low = and(m.get(0), 0xf);
  m.raiseIf(m.call(writeCr0, or(and(old, i64(~0xen)), or(low, and(old, 1)))));
  m.system();
};
const storeMachineStatus: Semantics = (m) => {
  mayLook(m);
  m.set(0, m.state('cr0'));
};
const clearTaskSwitched: Semantics = (m) => {
  m.privileged();
  m.setState('cr0', and(m.state('cr0'), ~Cr0.ts));
  m.call(updateUnits);
  m.system();
};

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

// Flags.

const PUSHED = ~(Eflags.rf | Eflags.vm);
const iopl3InV86 = (m: X86Insn): void => {
  if (m.bits === 64) return;
  const flags = m.let(m.state('eflags'));
  const bad = and32(ne32(and32(flags, Eflags.vm), 0), ne32(and32(flags, Eflags.iopl), Eflags.iopl));
  m.if(bad, () => m.gp());
};
const pushFlags: Semantics = (m) => {
  iopl3InV86(m);
  const image = or(m.flagsImage(), extendU(and32(m.state('eflags'), PUSHED)));
  m.push(m.let(image), m.osize);
};
const popFlags: Semantics = (m) => {
  iopl3InV86(m);
  const value = m.let(m.pop(m.osize));
  const cpl = m.let(m.state('cpl'));
  const iopl = m.let(and32(shrU32(m.state('eflags'), 12), 3));
  const always = Eflags.tf | Eflags.df | Eflags.nt | Eflags.ac | Eflags.id;
  const real = eqz(and(m.state('cr0'), Cr0.pe));
  const may = or32(
    i32(always),
    or32(
      select(or32(real, eqz32(cpl)), i32(Eflags.iopl), i32(0)),
      select(or32(real, eqz32(gtU32(cpl, iopl))), i32(Eflags.if), i32(0)),
    ),
  );
  const others = m.let(m.osize === 16 ? and32(may, 0xffff) : may);
  const was = m.let(m.state('eflags'));
  const now = m.let(or32(and32(was, wrap(xor(extendU(others), -1))), and32(wrap(value), others)));
  m.setState('eflags', now);
  m.setFlags(and(value, Eflags.arithmetic));
  const changed = m.let(and32(xor32(was, now), Eflags.tf | Eflags.ac));
  m.if(changed, () => m.call(updateMode));
  const enabled = and32(ne32(and32(now, Eflags.if), 0), ne32(m.state('lines'), 0));
  m.check(or32(changed, enabled));
};

/** STAC and CLAC change what data accesses may touch. */
const setAccess =
  (on: boolean): Semantics =>
  (m) => {
    m.if(ne32(m.state('cpl'), 0), () => m.ud());
    const flags = m.state('eflags');
    m.setState('eflags', on ? or32(flags, Eflags.ac) : and32(flags, ~Eflags.ac));
    m.call(updateMode);
    m.system();
  };

// Model-specific registers, time, identification.

const pair = (m: X86Insn): Value => or(shl(m.r(RDX), 32), zext32(m.r(RAX)));
function setPair(m: X86Insn, value: Value): void {
  const v = m.let(value);
  m.setR(RAX, v, 32);
  m.setR(RDX, shrU(v, 32));
}
const readModelSpecific: Semantics = (m) => {
  m.privileged();
  m.raiseIf(m.call(readMsr, wrap(m.r(RCX))));
  setPair(m, m.state('result'));
};
const writeModelSpecific: Semantics = (m) => {
  m.privileged();
  m.raiseIf(m.call(writeMsr, wrap(m.r(RCX)), m.let(pair(m))));
  m.system();
};
const mayReadTime = (m: X86Insn): void => {
  m.if(and32(has(m.state('cr4'), Cr4.tsd), ne32(m.state('cpl'), 0)), () => m.gp());
};
const readTimeStamp: Semantics = (m) => {
  mayReadTime(m);
  setPair(m, m.call(timeStampNow));
};
const readTimeStampAndProcessor: Semantics = (m) => {
  mayReadTime(m);
  setPair(m, m.call(timeStampNow));
  m.setR(RCX, m.state('tscAux'), 32);
};
const readPerformance: Semantics = (m) => {
  const allowed = or32(has(m.state('cr4'), Cr4.pce), eqz32(m.state('cpl')));
  m.if(eqz32(allowed), () => m.gp());
  setPair(m, i64(0));
};
const identify: Semantics = (m) => {
  m.call(hostCall, i32(HostCall.cpuid), wrap(m.r(RAX)), wrap(m.r(RCX)));
  const first = m.let(m.state('result'));
  const second = m.let(m.state('result2'));
  m.setR(RAX, first, 32);
  m.setR(RBX, shrU(first, 32));
  m.setR(RCX, second, 32);
  m.setR(RDX, shrU(second, 32));
};

const random: Semantics = (m) => {
  m.call(hostCall, i32(HostCall.random), i32(0), i32(0));
  m.set(0, m.state('result'));
  m.setFlags(Eflags.cf);
};
const readProcessorId: Semantics = (m) => m.setR(m.leaves.register(0), m.state('tscAux'));

// Translation.

const invalidatePage: Semantics = (m) => {
  m.privileged();
  const { seg } = m.operand(0) as { seg: number };
  // No limit is checked.
  const base = m.bits === 64 && seg < Seg.fs ? i64(0) : m.state('segBase', seg * 8);
  const address = add(base, m.offset(0));
  m.call(tlbFlushPage, m.let(m.bits === 64 ? address : zext32(address)));
  m.system();
};
const invalidatePcid: Semantics = (m) => {
  m.privileged();
  const type = m.let(zeroExtend(m.get(0), m.bits === 64 ? 64 : 32));
  m.if(ne(shrU(type, 2), 0), () => m.gp());
  const descriptor = m.let(m.loadPart(1, 0, 64));
  const address = m.let(m.loadPart(1, 8, 64));
  m.if(ne(shrU(descriptor, 12), 0), () => m.gp());
  m.if(and32(eqz(type), eqz32(isBase(address))), () => m.gp());
  // Without PCIDs there is only the one that is 0.
  const named = and32(eqz(shrU(type, 1)), ne(and(descriptor, 0xfff), 0));
  m.if(and32(named, eqz(and(m.state('cr4'), Cr4.pcide))), () => m.gp());
  m.call(tlbFlush, i32(0));
  m.system();
};
const privilegedNothing: Semantics = (m) => m.privileged();

// Bases of FS and GS; protection keys; extended control registers.

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
const keysOn = (m: X86Insn): void => {
  m.if(eqz(and(m.state('cr4'), Cr4.pke)), () => m.ud());
  m.if(ne(zext32(m.r(RCX)), 0), () => m.gp());
};
const readKeys: Semantics = (m) => {
  keysOn(m);
  m.setR(RAX, extendU(m.state('pkru')));
  m.setR(RDX, i64(0));
};
const writeKeys: Semantics = (m) => {
  keysOn(m);
  m.if(ne(zext32(m.r(RDX)), 0), () => m.gp());
  m.setState('pkru', wrap(m.r(RAX)));
  m.call(tlbFlush, i32(0));
  m.system();
};
const extendedOn = (m: X86Insn): void => {
  m.if(eqz(and(m.state('cr4'), Cr4.osxsave)), () => m.ud());
};
const readExtended: Semantics = (m) => {
  extendedOn(m);
  // Register 1: the components that are in use, here all that are enabled.
  m.if(gtU32(wrap(m.r(RCX)), 1), () => m.gp());
  setPair(m, m.state('xcr0'));
};
const writeExtended: Semantics = (m) => {
  extendedOn(m);
  m.privileged();
  m.if(ne(zext32(m.r(RCX)), 0), () => m.gp());
  const value = m.let(pair(m));
  // x87 always; AVX only with SSE.
  const avxAlone = and32(has(value, 4), eqz(and(value, 2)));
  m.if(or32(or32(eqz(and(value, 1)), ne(shrU(value, 3), 0)), avxAlone), () => m.gp());
  m.setState('xcr0', value);
  m.call(updateUnits);
  m.system();
};

// Fast system calls.

const enterSystem: Semantics = (m) => {
  m.raiseIf(m.call(syscall, m.nextPc));
  m.setR(RCX, m.state('result'));
  // In compatibility mode, too, which cannot name it.
  m.setR(11, m.state('result2'));
  m.system(m.state('pc'));
};
const leaveSystem: Semantics = (m) => {
  m.raiseIf(m.call(sysret, i32(m.osize === 64 ? 1 : 0), m.r(RCX), m.r(11)));
  m.system(m.state('pc'));
};
const enterFast: Semantics = (m) => {
  m.raiseIf(m.call(sysenter));
  m.setR(RSP, m.state('result'));
  m.system(m.state('pc'));
};
const leaveFast: Semantics = (m) => {
  m.raiseIf(m.call(sysexit, i32(m.osize === 64 ? 1 : 0), m.r(RDX), m.r(RCX)));
  m.setR(RSP, m.osize === 64 ? m.r(RCX) : zext32(m.r(RCX)));
  m.system(m.state('pc'));
};

/** MONITOR and MWAIT: waiting ends with any interrupt; a store elsewhere is seen at the next one. */
const monitor: Semantics = (m) => {
  m.privileged();
  m.if(ne(zext32(m.r(RCX)), 0), () => m.gp());
};
/** A hypercall of KVM's: there are none, which the guest is told as KVM tells it. */
const NO_HYPERCALL = -1000;
const NOT_PERMITTED = -1;
const hypercall: Semantics = (m) => m.setR(RAX, select(m.state('cpl'), i64(NOT_PERMITTED), i64(NO_HYPERCALL)));

const wait: Semantics = (m) => {
  m.privileged();
  m.if(ne(shrU(zext32(m.r(RCX)), 1), 0), () => m.gp());
  m.system();
};

export const systemRows: readonly Row[] = [
  insn('mov', '0F 20 /r', 'Ry Cd', readControl, { size: 'f64' }),
  insn('mov', '0F 22 /r', 'Cd Ry', writeControl, { ...system, size: 'f64' }),
  insn('mov', '0F 21 /r', 'Ry Dd', readDebug, { size: 'f64' }),
  insn('mov', '0F 23 /r', 'Dd Ry', writeDebug, { ...system, size: 'f64' }),
  insn('lmsw', '0F 01 /6', 'Ew', loadMachineStatus, system),
  insn('smsw', '0F 01 /4 mem', 'Ew', storeMachineStatus),
  insn('smsw', '0F 01 /4 reg', 'Ev', storeMachineStatus),
  insn('clts', '0F 06', '', clearTaskSwitched, system),
  insn('sgdt', '0F 01 /0 mem', 'M', storeTable('gdtBase', 'gdtLimit')),
  insn('sidt', '0F 01 /1 mem', 'M', storeTable('idtBase', 'idtLimit')),
  insn('lgdt', '0F 01 /2 mem', 'M', loadTable('gdtBase', 'gdtLimit'), system),
  insn('lidt', '0F 01 /3 mem', 'M', loadTable('idtBase', 'idtLimit'), system),
  insn('invlpg', '0F 01 /7 mem', 'M', invalidatePage, system),
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
  insn('pushf', '9C', '', pushFlags, { size: 'd64' }),
  insn('popf', '9D', '', popFlags, { flow: 'check', size: 'd64' }),
  insn('clac', 'NP 0F 01 CA', '', setAccess(false), { ...system, feature: 'smap' }),
  insn('stac', 'NP 0F 01 CB', '', setAccess(true), { ...system, feature: 'smap' }),
  insn('rdmsr', '0F 32', '', readModelSpecific, system),
  insn('wrmsr', '0F 30', '', writeModelSpecific, system),
  insn('rdtsc', '0F 31', '', readTimeStamp),
  insn('rdtscp', '0F 01 F9', '', readTimeStampAndProcessor, { feature: 'rdtscp' }),
  insn('rdpmc', '0F 33', '', readPerformance),
  insn('cpuid', '0F A2', '', identify),
  insn('rdrand', 'NP 0F C7 /6 reg', 'Ev', random, { feature: 'rdrand' }),
  insn('rdseed', 'NP 0F C7 /7 reg', 'Ev', random, { feature: 'rdseed' }),
  insn('rdrand', '66 0F C7 /6 reg', 'Ev', random, { feature: 'rdrand' }),
  insn('rdseed', '66 0F C7 /7 reg', 'Ev', random, { feature: 'rdseed' }),
  insn('rdpid', 'F3 0F C7 /7 reg', 'Ry', readProcessorId, { feature: 'rdpid' }),
  insn('invpcid', '66 0F 38 82 /r mem', 'Gy M', invalidatePcid, { ...system, feature: 'invpcid' }),
  insn('invd', '0F 08', '', privilegedNothing),
  insn('wbinvd', '0F 09', '', privilegedNothing),
  insn('rdfsbase', 'F3 0F AE /0 reg', 'Ry', readBase(Seg.fs), { only: 'long', feature: 'fsgsbase' }),
  insn('rdgsbase', 'F3 0F AE /1 reg', 'Ry', readBase(Seg.gs), { only: 'long', feature: 'fsgsbase' }),
  insn('wrfsbase', 'F3 0F AE /2 reg', 'Ry', writeBase(Seg.fs), { only: 'long', feature: 'fsgsbase' }),
  insn('wrgsbase', 'F3 0F AE /3 reg', 'Ry', writeBase(Seg.gs), { only: 'long', feature: 'fsgsbase' }),
  insn('swapgs', '0F 01 F8', '', swapGs, { only: 'long' }),
  insn('rdpkru', 'NP 0F 01 EE', '', readKeys, { feature: 'pku' }),
  insn('wrpkru', 'NP 0F 01 EF', '', writeKeys, { ...system, feature: 'pku' }),
  insn('xgetbv', 'NP 0F 01 D0', '', readExtended, { feature: 'xsave' }),
  insn('xsetbv', 'NP 0F 01 D1', '', writeExtended, { ...system, feature: 'xsave' }),
  insn('syscall', '0F 05', '', enterSystem, { ...system, ends: true, feature: 'syscall' }),
  insn('sysret', '0F 07', '', leaveSystem, { ...system, ends: true, feature: 'syscall' }),
  insn('sysenter', '0F 34', '', enterFast, { ...system, ends: true, feature: 'sep' }),
  insn('sysexit', '0F 35', '', leaveFast, { ...system, ends: true, feature: 'sep' }),
  insn('vmcall', '0F 01 C1', '', hypercall),
  insn('vmmcall', '0F 01 D9', '', hypercall),
  insn('monitor', '0F 01 C8', '', monitor, { feature: 'monitor' }),
  insn('mwait', '0F 01 C9', '', wait, { ...system, feature: 'monitor' }),
];
