/**
 * Control and debug registers, protection keys, and what forgets translations.
 *
 * Spec: SDM volume 2, the pages of the mnemonics; volume 3, "Control
 * Registers", "Debug Registers", "Invalidation of TLBs and Paging-Structure Caches".
 */
import { add, and, and32, eqz, eqz32, extendU, i32, i64, ne, or, shrU, wrap, zext32 } from '../../../ir/value.ts';
import { hostCall, tlbFlush, tlbFlushPage } from '../../isa.ts';
import { zeroExtend } from '../extend.ts';
import type { X86Insn } from '../insn.ts';
import { RAX, RCX, RDX } from '../registers.ts';
import { isBase } from '../canonical.ts';
import { HostCall } from '../msr.ts';
import { debugDetected } from '../debug.ts';
import { insn, type Row } from '../opcode.ts';
import { writeCr0, writeCr3, writeCr4 } from '../paging.ts';
import { Cr0, Cr4, Dr6, Seg } from '../state.ts';
import { updateUnits } from '../mode.ts';
import type { RegisterOperand } from '../instance.ts';
import { has, mayLook, system } from './privilege.ts';

type Semantics = (m: X86Insn) => void;

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

// Protection keys.

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

export const controlRegisters = (): readonly Row[] => [
  insn('mov', '0F 20 /r', 'Ry Cd', readControl, { size: 'f64' }),
  insn('mov', '0F 22 /r', 'Cd Ry', writeControl, { ...system, size: 'f64' }),
  insn('mov', '0F 21 /r', 'Ry Dd', readDebug, { size: 'f64' }),
  insn('mov', '0F 23 /r', 'Dd Ry', writeDebug, { ...system, size: 'f64' }),
  insn('lmsw', '0F 01 /6', 'Ew', loadMachineStatus, system),
  insn('smsw', '0F 01 /4 mem', 'Ew', storeMachineStatus),
  insn('smsw', '0F 01 /4 reg', 'Ev', storeMachineStatus),
  insn('clts', '0F 06', '', clearTaskSwitched, system),
  insn('invlpg', '0F 01 /7 mem', 'M', invalidatePage, system),
  insn('invpcid', '66 0F 38 82 /r mem', 'Gy M', invalidatePcid, { ...system, feature: 'invpcid' }),
  insn('rdpkru', 'NP 0F 01 EE', '', readKeys, { feature: 'pku' }),
  insn('wrpkru', 'NP 0F 01 EF', '', writeKeys, { ...system, feature: 'pku' }),
];
