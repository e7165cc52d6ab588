/**
 * Model-specific and extended control registers, time, counters,
 * identification, random numbers.
 *
 * Spec: SDM volume 2, the pages of the mnemonics; volume 3, "Reading
 * Performance-Monitoring and Time-Stamp Counters", "Reading and Writing
 * Model-Specific Registers".
 */
import {
  and,
  and32,
  eqz,
  eqz32,
  gtU32,
  i32,
  i64,
  ne,
  ne32,
  or,
  or32,
  shl,
  shrU,
  type Value,
  wrap,
  zext32,
} from '../../../ir/value.ts';
import { hostCall } from '../../isa.ts';
import type { X86Insn } from '../insn.ts';
import { RAX, RBX, RCX, RDX } from '../registers.ts';
import { HostCall, readMsr, writeMsr } from '../msr.ts';
import { timeStampNow } from '../time-stamp.ts';
import { insn, type Row } from '../opcode.ts';
import { Cr4, Eflags } from '../state.ts';
import { updateUnits } from '../mode.ts';
import { has, system } from './privilege.ts';

type Semantics = (m: X86Insn) => void;

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

// Extended control registers.

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

export const modelSpecific = (): readonly Row[] => [
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
  insn('xgetbv', 'NP 0F 01 D0', '', readExtended, { feature: 'xsave' }),
  insn('xsetbv', 'NP 0F 01 D1', '', writeExtended, { ...system, feature: 'xsave' }),
];
