/**
 * General, segment and control registers: a CPU's state to and from kvm_regs
 * and kvm_sregs or kvm_sregs2.
 *
 * Spec: "The Definitive KVM API Documentation", KVM_GET_REGS, KVM_GET_SREGS,
 * KVM_GET_SREGS2. Departures of form: our pc is linear, KVM's RIP an offset in
 * CS; our privilege level is a field, KVM's is SS.DPL.
 */
import type { StateAccess } from '../../../isa/isa.ts';
import { readEflags, writeEflags } from '../../../isa/x86/cpu.ts';
import { Attr, Cr0, Cr4, Efer, Eflags, Seg } from '../../../isa/x86/state.ts';
import { Regs, REGS_ORDER, Segment, Sregs, SREGS2_PDPTRS_VALID, Sregs2 } from './abi-x86.ts';

const SEGMENTS = 8;
/** Names of control registers in the state, and their places. */
const CONTROL = [
  ['cr0', Sregs.cr0],
  ['cr2', Sregs.cr2],
  ['cr3', Sregs.cr3],
  ['cr4', Sregs.cr4],
  ['efer', Sregs.efer],
] as const;
const TABLES = [
  ['gdtBase', 'gdtLimit', Sregs.gdt],
  ['idtBase', 'idtLimit', Sregs.idt],
] as const;

const M32 = 0xffff_ffffn;

const isLongCode = (state: StateAccess): boolean =>
  (state.get64('efer') & BigInt(Efer.lma)) !== 0n && (state.get32('segAttr', Seg.cs) & Attr.long) !== 0;

/** RIP: the linear pc less CS's base, where CS has one. */
function instructionPointer(state: StateAccess): bigint {
  const pc = state.get64('pc');
  return isLongCode(state) ? pc : (pc - state.get64('segBase', Seg.cs)) & M32;
}

export function encodeRegs(state: StateAccess, to: DataView): void {
  REGS_ORDER.forEach((place, n) => {
    to.setBigUint64(Regs.gpr + place * 8, state.get64('gpr', n), true);
  });
  to.setBigUint64(Regs.rip, instructionPointer(state), true);
  to.setBigUint64(Regs.rflags, readEflags(state), true);
}

/** After `decodeSregs`: where pc is follows from CS. */
export function decodeRegs(from: DataView, state: StateAccess): void {
  REGS_ORDER.forEach((place, n) => {
    state.set64('gpr', from.getBigUint64(Regs.gpr + place * 8, true), n);
  });
  const rip = from.getBigUint64(Regs.rip, true);
  state.set64('pc', isLongCode(state) ? rip : (state.get64('segBase', Seg.cs) + rip) & M32);
  const flags = from.getBigUint64(Regs.rflags, true);
  writeEflags(state, flags);
  state.set32('cpl', privilege(state, flags));
}

/** The level that code runs at, from what KVM holds. */
function privilege(state: StateAccess, flags: bigint): number {
  if (!(state.get64('cr0') & BigInt(Cr0.pe))) return 0;
  if (flags & BigInt(Eflags.vm)) return 3;
  return (state.get32('segAttr', Seg.ss) & Attr.dpl) >> 5;
}

function encodeSegment(state: StateAccess, seg: number, to: DataView, at: number): void {
  let attr = state.get32('segAttr', seg);
  const protectedMode = (state.get64('cr0') & BigInt(Cr0.pe)) !== 0n;
  // KVM reads the privilege level there.
  if (seg === Seg.ss && protectedMode) attr = (attr & ~Attr.dpl) | (state.get32('cpl') << 5);
  const unusable = (attr & Attr.unusable) !== 0;
  const bit = (mask: number) => (!unusable && attr & mask ? 1 : 0);
  to.setBigUint64(at + Segment.base, state.get64('segBase', seg), true);
  to.setUint32(at + Segment.limit, state.get32('segLimit', seg), true);
  to.setUint16(at + Segment.selector, state.get32('segSelector', seg), true);
  to.setUint8(at + Segment.type, unusable ? 0 : attr & Attr.type);
  to.setUint8(at + Segment.present, bit(Attr.present));
  to.setUint8(at + Segment.dpl, unusable && seg !== Seg.ss ? 0 : (attr & Attr.dpl) >> 5);
  to.setUint8(at + Segment.db, bit(Attr.big));
  to.setUint8(at + Segment.s, bit(Attr.s));
  to.setUint8(at + Segment.l, bit(Attr.long));
  to.setUint8(at + Segment.g, bit(Attr.granular));
  to.setUint8(at + Segment.avl, bit(Attr.avl));
  to.setUint8(at + Segment.unusable, unusable ? 1 : 0);
}

function decodeSegment(from: DataView, at: number, state: StateAccess, seg: number): void {
  const byte = (place: number) => from.getUint8(at + place);
  const dpl = (byte(Segment.dpl) & 3) << 5;
  let attr: number = Attr.unusable | (seg === Seg.ss ? dpl : 0);
  // A register holds no segment that is not present, though some KVM do not call it unusable.
  if (!byte(Segment.unusable) && byte(Segment.present)) {
    const when = (place: number, mask: number) => (byte(place) ? mask : 0);
    attr = (byte(Segment.type) & Attr.type) | dpl;
    attr |= when(Segment.present, Attr.present) | when(Segment.s, Attr.s) | when(Segment.avl, Attr.avl);
    attr |= when(Segment.l, Attr.long) | when(Segment.db, Attr.big) | when(Segment.g, Attr.granular);
  }
  state.set64('segBase', from.getBigUint64(at + Segment.base, true), seg);
  state.set32('segLimit', from.getUint32(at + Segment.limit, true), seg);
  state.set32('segSelector', from.getUint16(at + Segment.selector, true), seg);
  state.set32('segAttr', attr, seg);
}

/** With PAE paging the page-directory-pointer table is part of the processor's state. */
export function usesPdptes(state: StateAccess): boolean {
  const paging = (state.get64('cr0') & BigInt(Cr0.pg)) !== 0n && (state.get64('cr4') & BigInt(Cr4.pae)) !== 0n;
  return paging && (state.get64('efer') & BigInt(Efer.lma)) === 0n;
}

/**
 * kvm_sregs, or kvm_sregs2 where `second`. CR8 and the local APIC's base stay as they are in `to`: they are not the
 * state's. No external interrupt is asked for: see events.ts.
 */
export function encodeSregs(state: StateAccess, to: DataView, second: boolean): void {
  for (let seg = 0; seg < SEGMENTS; seg++) encodeSegment(state, seg, to, Sregs.segments[seg]);
  for (const [base, limit, at] of TABLES) {
    to.setBigUint64(at + Sregs.table.base, state.get64(base), true);
    to.setUint16(at + Sregs.table.limit, state.get32(limit), true);
  }
  for (const [name, at] of CONTROL) to.setBigUint64(at, state.get64(name), true);
  if (!second) {
    for (let n = 0; n < 4; n++) to.setBigUint64(Sregs.interruptBitmap + n * 8, 0n, true);
    return;
  }
  const kept = usesPdptes(state);
  to.setBigUint64(Sregs2.flags, kept ? BigInt(SREGS2_PDPTRS_VALID) : 0n, true);
  for (let n = 0; n < 4; n++) to.setBigUint64(Sregs2.pdptrs + n * 8, kept ? state.get64('pdpte', n) : 0n, true);
}

export function decodeSregs(from: DataView, state: StateAccess, second: boolean): void {
  for (let seg = 0; seg < SEGMENTS; seg++) decodeSegment(from, Sregs.segments[seg], state, seg);
  for (const [base, limit, at] of TABLES) {
    state.set64(base, from.getBigUint64(at + Sregs.table.base, true));
    state.set32(limit, from.getUint16(at + Sregs.table.limit, true));
  }
  for (const [name, at] of CONTROL) state.set64(name, from.getBigUint64(at, true));
  if (!second || !(from.getBigUint64(Sregs2.flags, true) & BigInt(SREGS2_PDPTRS_VALID))) return;
  for (let n = 0; n < 4; n++) state.set64('pdpte', from.getBigUint64(Sregs2.pdptrs + n * 8, true), n);
}
