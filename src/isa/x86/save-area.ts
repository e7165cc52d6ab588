/**
 * The areas that FXSAVE and XSAVE write: x87, SSE and AVX state in memory.
 *
 * Spec: SDM volume 1, 10.5 "FXSAVE and FXRSTOR Instructions", 13.4 "XSAVE
 * Area", 13.5 "XSAVE-Managed State". The standard and the compacted format
 * place AVX state alike, which is the only extended component here.
 *
 * These functions write into instructions that end as `system`: the register
 * files are in memory then. Addresses are linear (i64, locals).
 */
import * as op from '../../ir/op.ts';
import {
  add,
  add32,
  and32,
  cpu,
  extendU,
  i32,
  i64,
  load,
  ltU32,
  or,
  or32,
  shl,
  shl32,
  shrU,
  shrU32,
  type Value,
  wrap,
  xor32,
  zext32,
} from '../../ir/value.ts';
import { zero } from '../../ir/vector.ts';
import type { X86Insn } from './insn.ts';
import { isFast } from './simd/mxcsr.ts';
import { MXCSR_MASK } from './sse-unit.ts';
import { AT } from './state.ts';
import { behind, physical, topNow, updateSummary } from './x87-unit.ts';

/** Components, by their bits in XCR0. */
export const Component = { x87: 1, sse: 2, avx: 4 } as const;

// Offsets in an area.
const MXCSR = 24;
const ST = 32;
const XMM = 160;
export const LEGACY_BYTES = 512;
export const HEADER = 512;
const YMMH = 576;
export const AREA_BYTES = 832;

/** What the components are set to that an area says are in their initial state. */
const FCW_INITIAL = 0x37f;
export const MXCSR_INITIAL = 0x1f80;

/** A loop over `count` registers of 16 bytes; `body` gets an offset in bytes (i32). */
function eachRegister(m: X86Insn, count: number, body: (offset: Value) => void): void {
  const at = m.var(i32(0));
  m.while(
    () => ltU32(at.value, 16 * count),
    () => {
      body(at.value);
      at.set(add32(at.value, 16));
    },
  );
}
/** How many registers code of this width can name. */
const vectorCount = (m: X86Insn): number => (m.bits === 64 ? 16 : 8);
/** Pointers are 64 bits wide, without selectors. */
const hasLongPointers = (m: X86Insn): boolean => m.decoded.w && m.bits === 64;
/** Within an area. It does not reach across the end of 32-bit addresses: it is aligned, and inside its segment. */
const behindAddress = (base: Value, bytes: number, offset: Value): Value => add(add(base, bytes), extendU(offset));

// x87.

/** i32: two bits of a register's tag become one, which says that it is not empty. */
function shortTags(m: X86Insn): Value {
  const tags = m.let(m.state('ftag'));
  let empty = m.let(and32(and32(tags, shrU32(tags, 1)), 0x5555));
  for (const [by, mask] of [
    [1, 0x3333],
    [2, 0x0f0f],
    [4, 0x00ff],
  ] as const)
    empty = m.let(and32(or32(empty, shrU32(empty, by)), mask));
  return xor32(empty, 0xff);
}
function fullTags(m: X86Insn, short: Value): Value {
  let empty = m.let(xor32(short, 0xff));
  for (const [by, mask] of [
    [4, 0x0f0f],
    [2, 0x3333],
    [1, 0x5555],
  ] as const)
    empty = m.let(and32(or32(empty, shl32(empty, by)), mask));
  return or32(empty, shl32(empty, 1));
}
/** Where ST(i) is that stands at `offset` in the area's registers. */
const stackRegister = (top: Value, offset: Value): Value => physical(behind(top, shrU32(offset, 4)));

export function saveX87(m: X86Insn, to: Value): void {
  const top = m.let(topNow());
  const status = or32(m.state('fsw'), shl32(top, 11));
  const words = or32(m.state('fcw'), shl32(status, 16));
  const tags = or32(shortTags(m), shl32(m.state('fop'), 16));
  m.gstore(op.I64_STORE, to, m.let(or(extendU(words), shl(extendU(tags), 32))));
  const pointer = (offset: 'fip' | 'fdp', selector: 'fcs' | 'fds'): Value =>
    hasLongPointers(m) ? m.state(offset) : or(zext32(m.state(offset)), shl(extendU(m.state(selector)), 32));
  m.gstore(op.I64_STORE, add(to, 8), m.let(pointer('fip', 'fcs')));
  m.gstore(op.I64_STORE, add(to, 16), m.let(pointer('fdp', 'fds')));
  eachRegister(m, 8, (offset) => {
    const from = m.let(stackRegister(top, offset));
    const at = m.let(behindAddress(to, ST, offset));
    m.gstore(op.I64_STORE, at, load(op.I64_LOAD, from));
    m.gstore(op.I64_STORE, add(at, 8), extendU(load(op.I32_LOAD16_U, from, 8)));
  });
}

export function restoreX87(m: X86Insn, from: Value): void {
  const words = m.let(m.gload(op.I64_LOAD, from));
  const [ip, dp] = [8, 16].map((bytes) => m.gload(op.I64_LOAD, add(from, bytes)));
  const status = m.let(wrap(shrU(words, 16)));
  const top = m.let(and32(shrU32(status, 11), 7));
  eachRegister(m, 8, (offset) => {
    const at = m.let(behindAddress(from, ST, offset));
    const [significand, rest] = [m.gload(op.I64_LOAD, at), m.gload(op.I64_LOAD16_U, add(at, 8))];
    const to = m.let(stackRegister(top, offset));
    m.store(op.I64_STORE, to, significand);
    m.store(op.I64_STORE, to, rest, 8);
  });
  m.setState('fcw', or32(and32(wrap(words), 0x1f3f), 0x40));
  m.setState('fsw', and32(status, 0xc7ff));
  m.setState('ftop', top);
  m.setState('ftag', fullTags(m, m.let(and32(wrap(shrU(words, 32)), 0xff))));
  m.setState('fop', and32(wrap(shrU(words, 48)), 0x7ff));
  const long = hasLongPointers(m);
  m.setState('fip', long ? ip : zext32(ip));
  m.setState('fdp', long ? dp : zext32(dp));
  m.setState('fcs', long ? i32(0) : and32(wrap(shrU(ip, 32)), 0xffff));
  m.setState('fds', long ? i32(0) : and32(wrap(shrU(dp, 32)), 0xffff));
  m.call(updateSummary);
}
export function resetX87(m: X86Insn): void {
  m.setState('fcw', FCW_INITIAL);
  m.setState('ftag', 0xffff);
  for (const field of ['fsw', 'ftop', 'fop', 'fip', 'fdp', 'fcs', 'fds'] as const) m.setState(field, 0);
  eachRegister(m, 8, (offset) => m.store(op.V128_STORE, add32(cpu, offset), zero, AT.fpr));
}

// MXCSR, SSE and AVX.

/** MXCSR and the mask of its bits that exist. */
export function saveMxcsr(m: X86Insn, to: Value): void {
  m.gstore(op.I64_STORE, add(to, MXCSR), m.let(or(extendU(m.state('mxcsr')), i64(MXCSR_MASK * 2 ** 32))));
}
/** The value of an area (i32); a general protection fault where it has bits that do not exist and `used` is not 0. */
export function loadMxcsr(m: X86Insn, from: Value, used: Value = i32(1)): Value {
  const value = m.let(wrap(m.gload(op.I64_LOAD32_U, add(from, MXCSR))));
  m.if(and32(used, ltU32(MXCSR_MASK, value)), () => m.gp());
  return value;
}
export function setMxcsr(m: X86Insn, value: Value): void {
  m.setState('mxcsr', value);
  m.setState('sseFast', isFast(value));
}

const FILES = { xmm: { at: AT.xmm, from: XMM }, ymmh: { at: AT.ymmh, from: YMMH } } as const;
type File = keyof typeof FILES;

export function saveVectors(m: X86Insn, file: File, to: Value): void {
  const { at, from } = FILES[file];
  eachRegister(m, vectorCount(m), (offset) =>
    m.gstore(op.V128_STORE, behindAddress(to, from, offset), load(op.V128_LOAD, add32(cpu, offset), at)),
  );
}
export function restoreVectors(m: X86Insn, file: File, area: Value): void {
  const { at, from } = FILES[file];
  eachRegister(m, vectorCount(m), (offset) =>
    m.store(op.V128_STORE, add32(cpu, offset), m.gload(op.V128_LOAD, behindAddress(area, from, offset)), at),
  );
}
export function resetVectors(m: X86Insn, file: File): void {
  eachRegister(m, vectorCount(m), (offset) => m.store(op.V128_STORE, add32(cpu, offset), zero, FILES[file].at));
}
