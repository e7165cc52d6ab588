/**
 * System instructions: flags, fast system calls, waiting; those of registers
 * and tables stand in files of their own.
 *
 * Spec: SDM volume 2, the pages of the mnemonics; volume 3, "System
 * Instruction Summary".
 */
import {
  and,
  and32,
  eqz,
  eqz32,
  extendU,
  gtU32,
  i32,
  ne,
  ne32,
  or,
  or32,
  select,
  shrU,
  shrU32,
  wrap,
  xor,
  xor32,
  zext32,
} from '../../../ir/value.ts';
import { hypercall } from '../hypercall.ts';
import type { X86Insn } from '../insn.ts';
import { RAX, RBX, RCX, RDX, RSI, RSP } from '../registers.ts';
import { insn, type Row } from '../opcode.ts';
import { Cr0, Eflags } from '../state.ts';
import { sysenter, sysexit, syscall, sysret } from '../syscall.ts';
import { updateMode } from '../mode.ts';
import { system } from './privilege.ts';
import { controlRegisters } from './control-registers.ts';
import { descriptors } from './descriptors.ts';
import { modelSpecific } from './model-specific.ts';

type Semantics = (m: X86Insn) => void;

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

// Waiting, hypercalls, caches.

/** MONITOR and MWAIT: waiting ends with any interrupt; a store elsewhere is seen at the next one. */
const monitor: Semantics = (m) => {
  m.privileged();
  m.if(ne(zext32(m.r(RCX)), 0), () => m.gp());
};
const callMachine: Semantics = (m) => {
  const long = m.bits === 64;
  const words = [RAX, RBX, RCX, RDX, RSI].map((register) => (long ? m.r(register) : zext32(m.r(register))));
  m.setR(RAX, m.let(m.call(hypercall, ...words, i32(long ? 1 : 0))), long ? 64 : 32);
  // It may have interrupted its own processor.
  m.check(or32(ne32(m.state('lines'), 0), ne32(m.state('attention'), 0)));
};

const wait: Semantics = (m) => {
  m.privileged();
  m.if(ne(shrU(zext32(m.r(RCX)), 1), 0), () => m.gp());
  m.system();
};

const privilegedNothing: Semantics = (m) => m.privileged();

export const systemRows = (): readonly Row[] => [
  ...controlRegisters(),
  ...descriptors(),
  ...modelSpecific(),
  insn('pushf', '9C', '', pushFlags, { size: 'd64' }),
  insn('popf', '9D', '', popFlags, { flow: 'check', size: 'd64' }),
  insn('clac', 'NP 0F 01 CA', '', setAccess(false), { ...system, feature: 'smap' }),
  insn('stac', 'NP 0F 01 CB', '', setAccess(true), { ...system, feature: 'smap' }),
  insn('invd', '0F 08', '', privilegedNothing),
  insn('wbinvd', '0F 09', '', privilegedNothing),
  insn('syscall', '0F 05', '', enterSystem, { ...system, ends: true, feature: 'syscall' }),
  insn('sysret', '0F 07', '', leaveSystem, { ...system, ends: true, feature: 'syscall' }),
  insn('sysenter', '0F 34', '', enterFast, { ...system, ends: true, feature: 'sep' }),
  insn('sysexit', '0F 35', '', leaveFast, { ...system, ends: true, feature: 'sep' }),
  insn('vmcall', '0F 01 C1', '', callMachine, { flow: 'check' }),
  insn('vmmcall', '0F 01 D9', '', callMachine, { flow: 'check' }),
  insn('monitor', '0F 01 C8', '', monitor, { feature: 'monitor' }),
  insn('mwait', '0F 01 C9', '', wait, { ...system, feature: 'monitor' }),
];
