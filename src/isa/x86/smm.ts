/**
 * System management mode: what an SMI saves and RSM restores, in the form of
 * QEMU's processors, which SeaBIOS and OVMF know.
 *
 * Spec: AMD64 Architecture Programmer's Manual, volume 2 (24593-3.42),
 * "System-Management Mode": "SMM State-Save Area" (processors with long mode)
 * and "Legacy SMM State-Save Area". Departures, which are QEMU's: a processor
 * that was halted goes on behind HLT; there is no I/O restart.
 */
import { define } from '../../ir/code.ts';
import { eqz32, i32 } from '../../ir/value.ts';
import { hostCall, type StateAccess, tlbFlush } from '../isa.ts';
import { readEflags, writeEflags } from './cpu.ts';
import { put } from './field.ts';
import { updateMode } from './mode.ts';
import { HostCall } from './msr.ts';
import { reloadPdptes } from './paging.ts';
import { Attr, Cr0, Efer, Eflags, Seg, Smm } from './state.ts';

/** Where the saved state lies: the last 512 bytes of the 64 KiB from SMBASE on. */
export const SAVE_AREA = { at: 0xfe00, size: 0x200 } as const;
const ENTRY = 0x8000n;
/** Of a segment's attributes what descriptors have. */
const ATTR_BITS = 0xf0ff;
/** In the revision: SMBASE is part of what RSM restores. */
const RELOCATES = 0x2_0000;
const M32 = 0xffff_ffffn;

const CONTROL = ['cr0', 'cr3', 'cr4', 'dr6', 'dr7'] as const;

/** Offsets in the area: the manual's less 0xfe00. */
interface SaveLayout {
  /** Bytes of a register, and of a selector. */
  readonly word: 4 | 8;
  readonly half: 2 | 4;
  segment(seg: number): { readonly selector: number; readonly attr: number; readonly limit: number };
  /** Of the limit; the base follows, where registers are as wide as its words. */
  readonly tables: { readonly gdt: number; readonly idt: number };
  readonly gprs: number;
  gpr(n: number): number;
  readonly ip: number;
  readonly flags: number;
  readonly control: Readonly<Record<(typeof CONTROL)[number], number>>;
  readonly efer?: number;
  readonly revision: { readonly at: number; readonly value: number };
  readonly smbase: number;
}

const WIDE: SaveLayout = {
  word: 8,
  half: 2,
  segment(seg) {
    const at = seg === Seg.ldtr ? 0x70 : seg === Seg.tr ? 0x90 : 16 * seg;
    return { selector: at, attr: at + 2, limit: at + 4 };
  },
  tables: { gdt: 0x64, idt: 0x84 },
  gprs: 16,
  gpr: (n) => 0x1f8 - 8 * n,
  ip: 0x178,
  flags: 0x170,
  control: { cr0: 0x158, cr3: 0x150, cr4: 0x148, dr6: 0x168, dr7: 0x160 },
  efer: 0xd0,
  revision: { at: 0xfc, value: RELOCATES | 0x64 },
  smbase: 0x100,
};

const NARROW: SaveLayout = {
  word: 4,
  half: 4,
  segment(seg) {
    if (seg === Seg.ldtr) return { selector: 0x1c0, attr: 0x178, limit: 0x17c };
    if (seg === Seg.tr) return { selector: 0x1c4, attr: 0x15c, limit: 0x160 };
    const attr = seg < 3 ? 0x184 + 12 * seg : 0x12c + 12 * (seg - 3);
    return { selector: 0x1a8 + 4 * seg, attr, limit: attr + 4 };
  },
  tables: { gdt: 0x170, idt: 0x154 },
  gprs: 8,
  gpr: (n) => 0x1d0 + 4 * n,
  ip: 0x1f0,
  flags: 0x1f4,
  control: { cr0: 0x1fc, cr3: 0x1f8, cr4: 0x114, dr6: 0x1cc, dr7: 0x1c8 },
  revision: { at: 0xfc, value: RELOCATES },
  smbase: 0xf8,
};

const isLongCode = (state: StateAccess): boolean =>
  (state.get64('efer') & BigInt(Efer.lma)) !== 0n && (state.get32('segAttr', Seg.cs) & Attr.long) !== 0;

/** A segment's attributes as memory holds them: SS has the privilege level; what is unusable is not present. */
function attributes(state: StateAccess, seg: number): number {
  let attr = state.get32('segAttr', seg);
  if (seg === Seg.ss) attr = (attr & ~Attr.dpl) | (state.get32('cpl') << 5);
  if (attr & Attr.unusable) attr &= ~Attr.present;
  return attr & ATTR_BITS;
}

function setSegment(
  state: StateAccess,
  seg: number,
  selector: number,
  attr: number,
  limit: number,
  base: bigint,
): void {
  const known = attr & ATTR_BITS;
  state.set32('segSelector', selector & 0xffff, seg);
  state.set32('segAttr', known & Attr.present ? known : known | Attr.unusable, seg);
  state.set32('segLimit', limit, seg);
  state.set64('segBase', base, seg);
}

function save(state: StateAccess, to: DataView, at: SaveLayout): void {
  const { word, half } = at;
  const put64 = (where: number, value: bigint) => {
    if (word === 8) to.setBigUint64(where, value, true);
    else to.setUint32(where, Number(value & M32), true);
  };
  const put16 = (where: number, value: number) => {
    if (half === 2) to.setUint16(where, value, true);
    else to.setUint32(where, value, true);
  };
  for (let seg = 0; seg <= Seg.tr; seg++) {
    const place = at.segment(seg);
    put16(place.selector, state.get32('segSelector', seg));
    put16(place.attr, attributes(state, seg));
    to.setUint32(place.limit, state.get32('segLimit', seg), true);
    put64(place.limit + 4, state.get64('segBase', seg));
  }
  for (const name of ['gdt', 'idt'] as const) {
    to.setUint32(at.tables[name], state.get32(`${name}Limit`), true);
    put64(at.tables[name] + 4, state.get64(`${name}Base`));
  }
  for (let n = 0; n < at.gprs; n++) put64(at.gpr(n), state.get64('gpr', n));
  const pc = state.get64('pc');
  put64(at.ip, isLongCode(state) ? pc : (pc - state.get64('segBase', Seg.cs)) & M32);
  put64(at.flags, readEflags(state));
  for (const name of CONTROL) put64(at.control[name], state.get64(name));
  if (at.efer !== undefined) put64(at.efer, state.get64('efer'));
  to.setUint32(at.revision.at, at.revision.value, true);
  to.setUint32(at.smbase, state.getNumber('smbase'), true);
}

/** Gives the instruction pointer. */
function restore(state: StateAccess, from: DataView, at: SaveLayout): bigint {
  const { word, half } = at;
  const word32 = (where: number) => from.getUint32(where, true);
  const get64 = (where: number) => (word === 8 ? from.getBigUint64(where, true) : BigInt(word32(where)));
  const get16 = (where: number) => (half === 2 ? from.getUint16(where, true) : word32(where));
  for (let seg = 0; seg <= Seg.tr; seg++) {
    const place = at.segment(seg);
    const base = get64(place.limit + 4);
    setSegment(state, seg, get16(place.selector), get16(place.attr), word32(place.limit), base);
  }
  for (const name of ['gdt', 'idt'] as const) {
    state.set32(`${name}Limit`, word32(at.tables[name]) & 0xffff);
    state.set64(`${name}Base`, get64(at.tables[name] + 4));
  }
  for (let n = 0; n < at.gprs; n++) state.set64('gpr', get64(at.gpr(n)), n);
  writeEflags(state, BigInt(word32(at.flags)));
  for (const name of CONTROL)
    state.set64(name, name === 'cr3' ? get64(at.control.cr3) : BigInt(word32(at.control[name])));
  if (at.efer !== undefined) state.set64('efer', get64(at.efer));
  if (word32(at.revision.at) & RELOCATES) state.set64('smbase', BigInt(word32(at.smbase)));
  return get64(at.ip);
}

/**
 * A processor takes an SMI: `area` gets its state, if there is memory, as processors with long mode (`wide`) or without
 * save it.
 */
export function enterSmm(state: StateAccess, area: DataView | undefined, wide: boolean): void {
  if (area) save(state, area, wide ? WIDE : NARROW);
  const blocked = state.get32('nmiBlocked') !== 0;
  state.set32('inSmm', Smm.inside | (blocked ? Smm.nmiWasBlocked : 0));
  state.set32('nmiBlocked', 1);
  state.set64('efer', 0n);
  state.set64('cr0', state.get64('cr0') & ~BigInt(Cr0.pe | Cr0.em | Cr0.ts) & 0x7fff_ffffn);
  state.set64('cr4', 0n);
  state.set64('dr7', 0x400n);
  writeEflags(state, BigInt(Eflags.fixed));
  const data = Attr.s | Attr.present | Attr.writable | Attr.accessed | Attr.granular;
  const smbase = state.get64('smbase');
  for (const seg of [Seg.es, Seg.ss, Seg.ds, Seg.fs, Seg.gs]) setSegment(state, seg, 0, data, 0xffff_ffff, 0n);
  setSegment(state, Seg.cs, Number((smbase >> 4n) & 0xffffn), data | Attr.code, 0xffff_ffff, smbase);
  state.set32('cpl', 0);
  state.set32('waiting', 0);
  state.set32('monitorArmed', 0);
  state.set64('pc', smbase + ENTRY);
}

/** RSM: the state of `area`; false where it is none that a processor can have, or no memory is there. */
export function leaveSmm(state: StateAccess, area: DataView | undefined, wide: boolean): boolean {
  if (!area) return false;
  const ip = restore(state, area, wide ? WIDE : NARROW);
  const cr0 = state.get64('cr0');
  const isProtected = (cr0 & BigInt(Cr0.pe)) !== 0n;
  const isPaged = (cr0 & BigInt(Cr0.pg)) !== 0n;
  if (isPaged ? !isProtected : (state.get64('efer') & BigInt(Efer.lma)) !== 0n) return false;
  state.set64('cr0', cr0 | BigInt(Cr0.et));
  const virtual = (state.get32('eflags') & Eflags.vm) !== 0;
  const level = (state.get32('segAttr', Seg.ss) & Attr.dpl) >> 5;
  state.set32('cpl', !isProtected ? 0 : virtual ? 3 : level);
  state.set64('pc', isLongCode(state) ? ip : (state.get64('segBase', Seg.cs) + ip) & M32);
  if (!(state.get32('inSmm') & Smm.nmiWasBlocked)) state.set32('nmiBlocked', 0);
  state.set32('inSmm', 0);
  return true;
}

/** take_smi(): enters system management mode. */
export const takeSmi = define('take_smi', [], undefined, (f) => {
  f.call(hostCall, i32(HostCall.enterSmm), i32(0), i32(0));
  f.call(tlbFlush, i32(0));
  f.call(updateMode);
});

/** resume(): RSM, in system management mode. A state that cannot be shuts the processor down. */
export const resumeFromSmm = define('resume_from_smm', [], undefined, (f) => {
  const bad = f.var(f.call(hostCall, i32(HostCall.leaveSmm), i32(0), i32(0)));
  f.call(tlbFlush, i32(0));
  f.call(updateMode);
  f.if(eqz32(bad.value), () => bad.set(f.call(reloadPdptes)));
  f.if(bad.value, () => {
    for (const field of ['shutdown', 'stopped', 'attention'] as const) put(f, field, 1);
  });
});
