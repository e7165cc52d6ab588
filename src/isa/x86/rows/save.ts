/**
 * State of the floating-point and vector units to memory and back; MXCSR;
 * fences and cache lines.
 *
 * Spec: SDM volume 2, FXSAVE, FXRSTOR, XSAVE, XSAVEC, XSAVEOPT, XSAVES, XRSTOR,
 * XRSTORS, LDMXCSR, STMXCSR, LFENCE, MFENCE, SFENCE, CLFLUSH, CLFLUSHOPT, CLWB;
 * volume 1, 13.6 to 13.12.
 *
 * Memory is coherent and in order here, so fences and flushes do nothing, not
 * even translate their address, as in QEMU. Every enabled component counts as
 * in use and modified: XSAVEOPT, XSAVEC and XSAVES write all they are asked for.
 */
import * as op from '../../../ir/op.ts';
import {
  add,
  and,
  and32,
  eqz,
  extendU,
  i32,
  i64,
  ltS,
  ltU32,
  ne,
  or,
  or32,
  select,
  shl,
  type Value,
  wrap,
  xor,
  zext32,
} from '../../../ir/value.ts';
import type { X86Insn } from '../insn.ts';
import { RAX, RDX } from '../registers.ts';
import { insn, type Row } from '../opcode.ts';
import {
  AREA_BYTES,
  Component,
  HEADER,
  LEGACY_BYTES,
  loadMxcsr,
  MXCSR_INITIAL,
  resetVectors,
  resetX87,
  restoreVectors,
  restoreX87,
  saveMxcsr,
  saveVectors,
  saveX87,
  setMxcsr,
} from '../save-area.ts';
import { MXCSR_MASK } from '../sse-unit.ts';
import { Cr0, Cr4, Vector } from '../state.ts';
import { vex } from './vector-forms.ts';

type Semantics = (m: X86Insn) => void;

const has = (word: Value, bits: number): Value => ne(and(word, bits), 0);

/** The linear address of an area, which must be aligned. */
function area(m: X86Insn, bytes: number, alignment: 16 | 64, write: boolean): Value {
  const address = m.address(0, bytes, write);
  m.if(has(address, alignment - 1), () => m.gp());
  return address;
}
const load64 = (m: X86Insn, from: Value, bytes: number): Value => m.gload(op.I64_LOAD, add(from, bytes));
/** Faults here where the area's end would: nothing has been changed yet. */
const probe = (m: X86Insn, from: Value, bytes: number): void => void m.gload(op.I64_LOAD8_U, add(from, bytes - 1));

const fastSave: Semantics = (m) => {
  const to = area(m, LEGACY_BYTES, 16, true);
  saveX87(m, to);
  saveMxcsr(m, to);
  m.if(has(m.state('cr4'), Cr4.osfxsr), () => saveVectors(m, 'xmm', to));
  m.system();
};
const fastRestore: Semantics = (m) => {
  const from = area(m, LEGACY_BYTES, 16, false);
  probe(m, from, LEGACY_BYTES);
  const mxcsr = loadMxcsr(m, from);
  restoreX87(m, from);
  m.if(has(m.state('cr4'), Cr4.osfxsr), () => {
    setMxcsr(m, mxcsr);
    restoreVectors(m, 'xmm', from);
  });
  m.system();
};

// XSAVE.

/** What may keep the instructions from being executed. */
const mayManage = (m: X86Insn): void => {
  m.if(eqz(and(m.state('cr4'), Cr4.osxsave)), () => m.ud());
  m.if(has(m.state('cr0'), Cr0.ts), () => m.fault(Vector.nm));
};
/** Components that EDX:EAX asks for and that are enabled. Among those that the supervisor manages there is none. */
const requested = (m: X86Insn): Value => m.let(and(or(shl(m.r(RDX), 32), zext32(m.r(RAX))), m.state('xcr0')));

type SaveForm = 'standard' | 'compacted';
const save =
  (form: SaveForm, supervisor = false): Semantics =>
  (m) => {
    mayManage(m);
    if (supervisor) m.privileged();
    const to = area(m, AREA_BYTES, 64, true);
    const components = requested(m);
    const old = form === 'standard' ? m.let(load64(m, to, HEADER)) : i64(0);
    m.if(has(components, Component.x87), () => saveX87(m, to));
    const control = form === 'standard' ? Component.sse | Component.avx : Component.sse;
    m.if(has(components, control), () => saveMxcsr(m, to));
    m.if(has(components, Component.sse), () => saveVectors(m, 'xmm', to));
    m.if(has(components, Component.avx), () => saveVectors(m, 'ymmh', to));
    // Of components that were not asked for the standard form keeps what the header says.
    m.gstore(op.I64_STORE, add(to, HEADER), m.let(or(old, components)));
    if (form === 'compacted') m.gstore(op.I64_STORE, add(to, HEADER + 8), m.let(or(components, COMPACTED)));
    m.system();
  };
const COMPACTED = i64(-(1n << 63n));

const restore =
  (supervisor: boolean): Semantics =>
  (m) => {
    mayManage(m);
    if (supervisor) m.privileged();
    const from = area(m, AREA_BYTES, 64, false);
    const components = requested(m);
    const enabled = m.let(m.state('xcr0'));
    const present = m.let(load64(m, from, HEADER));
    const layout = m.let(load64(m, from, HEADER + 8));
    const reserved = m.var(load64(m, from, HEADER + 16));
    const compacted = m.let(ltS(layout, 0));
    const outside = (bits: Value, allowed: Value): Value => ne(and(bits, xor(allowed, -1)), 0);
    m.if(
      compacted,
      () => {
        for (let at = 24; at < 64; at += 8) reserved.set(or(reserved.value, load64(m, from, HEADER + at)));
        m.if(or32(outside(layout, or(enabled, COMPACTED)), outside(present, layout)), () => m.gp());
      },
      () => {
        if (supervisor) m.gp();
        else m.if(or32(outside(present, enabled), ne(layout, 0)), () => m.gp());
      },
    );
    m.if(ne(reserved.value, 0), () => m.gp());
    m.if(has(and(components, present), Component.avx), () => probe(m, from, AREA_BYTES));
    // The standard form loads MXCSR with AVX too, and whether or not the area has SSE state.
    const control = select(compacted, i64(Component.sse), i64(Component.sse | Component.avx));
    const wanted = m.let(ne(and(components, control), 0));
    const initial = m.let(and32(compacted, eqz(and(present, Component.sse))));
    const given = loadMxcsr(m, from, m.let(and32(wanted, eqz(extendU(initial)))));
    m.if(wanted, () => setMxcsr(m, m.let(select(initial, i32(MXCSR_INITIAL), given))));
    const each = (bit: number, load: () => void, reset: () => void): void =>
      m.if(has(components, bit), () => m.if(has(present, bit), load, reset));
    each(
      Component.x87,
      () => restoreX87(m, from),
      () => resetX87(m),
    );
    each(
      Component.sse,
      () => restoreVectors(m, 'xmm', from),
      () => resetVectors(m, 'xmm'),
    );
    each(
      Component.avx,
      () => restoreVectors(m, 'ymmh', from),
      () => resetVectors(m, 'ymmh'),
    );
    m.system();
  };

// MXCSR.

const loadControl: Semantics = (m) => {
  const value = m.let(wrap(m.get(0)));
  m.if(ltU32(i32(MXCSR_MASK), value), () => m.gp());
  setMxcsr(m, value);
};
const storeControl: Semantics = (m) => m.set(0, extendU(m.state('mxcsr')));

/** Cache lines are the host's; the address must be one that can be read. */
const touch: Semantics = (m) => void m.get(0);
const nothing: Semantics = () => {};

const system = { flow: 'system' } as const;
const fxsr = { ...system, gate: 'x87', feature: 'fxsr' } as const;
const sse = { gate: 'sse', feature: 'sse' } as const;

export const saveRows = (): readonly Row[] => [
  insn('fxsave', 'NP 0F AE /0 mem', 'M', fastSave, fxsr),
  insn('fxrstor', 'NP 0F AE /1 mem', 'M', fastRestore, fxsr),
  insn('ldmxcsr', 'NP 0F AE /2 mem', 'Md', loadControl, sse),
  insn('stmxcsr', 'NP 0F AE /3 mem', 'Md', storeControl, sse),
  vex('ldmxcsr', 'NP 0F AE /2 mem', 'VEX.128', 'Md', loadControl),
  vex('stmxcsr', 'NP 0F AE /3 mem', 'VEX.128', 'Md', storeControl),
  insn('xsave', 'NP 0F AE /4 mem', 'M', save('standard'), { ...system, feature: 'xsave' }),
  insn('xrstor', 'NP 0F AE /5 mem', 'M', restore(false), { ...system, feature: 'xsave' }),
  insn('xsaveopt', 'NP 0F AE /6 mem', 'M', save('standard'), { ...system, feature: 'xsaveopt' }),
  insn('xsavec', 'NP 0F C7 /4 mem', 'M', save('compacted'), { ...system, feature: 'xsavec' }),
  insn('xsaves', 'NP 0F C7 /5 mem', 'M', save('compacted', true), { ...system, feature: 'xsaves' }),
  insn('xrstors', 'NP 0F C7 /3 mem', 'M', restore(true), { ...system, feature: 'xsaves' }),
  insn('lfence', 'NP 0F AE /5 reg', '', nothing, { feature: 'sse2' }),
  insn('mfence', 'NP 0F AE /6 reg', '', nothing, { feature: 'sse2' }),
  insn('sfence', 'NP 0F AE /7 reg', '', nothing, { feature: 'sse' }),
  insn('clflush', 'NP 0F AE /7 mem', 'Mb', touch, { feature: 'clflush' }),
  insn('clflushopt', '66 0F AE /7 mem', 'Mb', touch, { feature: 'clflushopt' }),
  insn('clwb', '66 0F AE /6 mem', 'Mb', touch, { feature: 'clwb' }),
];
