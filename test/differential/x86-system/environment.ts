/**
 * What bare x86 programs stand in: segments, gates, page tables and a handler
 * that lets the next block begin, for each mode of the processor.
 */
import { Assembler, R } from '../../../src/machine/x86-assembler.ts';
import type { CpuState } from '../../../src/accel/cpu-state.ts';
import { isa } from '../../../src/isa/x86/isa.ts';
import { Attr, Cr0, Cr4, Efer, Seg } from '../../../src/isa/x86/state.ts';

export const MODES = [
  'real',
  'protected16',
  'segmented32',
  'flat32',
  'paged32',
  'pae',
  'compatibility',
  'long',
] as const;
export type ModeName = (typeof MODES)[number];

export const RAM = 0x10_0000;
/** Places below 64 KiB, that 16-bit code reaches all. */
export const AT = {
  gdt: 0x1000,
  idt: 0x2000,
  tss: 0x3000,
  handler: 0x4000,
  /** Where the block that runs begins. */
  current: 0x5000,
  stack: 0x7f00,
  innerStack: 0x6f00,
  code: 0x8000,
  data: 0xc000,
  dataEnd: 0xf000,
  tables: 0x1_0000,
} as const;
export const BLOCK = 128;
export const BLOCKS = 24;

const SELECTOR = {
  code: 0x08,
  data: 0x10,
  userCode: 0x1b,
  userData: 0x23,
  handlerCode: 0x28,
  handlerData: 0x30,
  tss: 0x38,
};
/** Where the segments of segmented modes begin. */
export const DATA_BASE = 0x100;

export const bitsOf = (mode: ModeName): 16 | 32 | 64 =>
  mode === 'long' ? 64 : mode === 'real' || mode === 'protected16' ? 16 : 32;
export const dataBaseOf = (mode: ModeName): number =>
  mode === 'protected16' || mode === 'segmented32' || mode === 'compatibility' ? DATA_BASE : 0;
const isLong = (mode: ModeName): boolean => mode === 'long' || mode === 'compatibility';

/** A descriptor: `high` has type, DPL and size bits at their places in the second word. */
function descriptor(view: DataView, selector: number, base: number, limit: number, high: number): void {
  const granular = limit > 0xf_ffff;
  const stored = granular ? limit >>> 12 : limit;
  const at = AT.gdt + (selector & 0xfff8);
  view.setUint32(at, (stored & 0xffff) | (base << 16), true);
  const upper = ((base >>> 16) & 0xff) | (base & 0xff00_0000) | (stored & 0xf_0000) | (granular ? 1 << 23 : 0);
  view.setUint32(at + 4, upper | high, true);
}
const CODE = 0x9b00;
const DATA = 0x9300;
const USER = 0x6000;
const BIG = 1 << 22;
const LONG = 1 << 21;

function descriptors(view: DataView, mode: ModeName): void {
  const base = dataBaseOf(mode);
  const limit = base === 0 ? 0xffff_ffff : mode === 'protected16' ? 0xefff : 0xf_efff;
  const size = mode === 'long' ? LONG : bitsOf(mode) === 32 ? BIG : 0;
  const stack = bitsOf(mode) === 16 ? 0 : BIG;
  const codeLimit = bitsOf(mode) === 16 ? 0xffff : 0xffff_ffff;
  descriptor(view, SELECTOR.code, 0, codeLimit, CODE | size);
  descriptor(view, SELECTOR.data, base, limit, DATA | stack);
  descriptor(view, SELECTOR.userCode, 0, codeLimit, CODE | USER | size);
  descriptor(view, SELECTOR.userData, base, limit, DATA | USER | stack);
  descriptor(view, SELECTOR.handlerCode, 0, 0xffff_ffff, CODE | (isLong(mode) ? LONG : BIG));
  descriptor(view, SELECTOR.handlerData, 0, 0xffff_ffff, DATA | BIG);
  descriptor(view, SELECTOR.tss, AT.tss, 0x67, 0x8b00);
  if (isLong(mode)) view.setUint32(AT.tss + 4, AT.innerStack, true);
  else {
    view.setUint32(AT.tss + 4, AT.innerStack, true);
    view.setUint16(AT.tss + 8, SELECTOR.handlerData, true);
  }
  view.setUint16(AT.tss + 0x66, 0x68, true);
}

function gates(view: DataView, mode: ModeName): void {
  for (let vector = 0; vector < 256; vector++) {
    if (mode === 'real') {
      view.setUint32(vector * 4, AT.handler, true);
      continue;
    }
    const gate = AT.idt + vector * (isLong(mode) ? 16 : 8);
    view.setUint32(gate, AT.handler | (SELECTOR.handlerCode << 16), true);
    // User code may ask for some.
    view.setUint32(gate + 4, 0x8e00 | (vector % 3 === 0 ? USER : 0), true);
  }
}

/** The handler: takes the next block, clean segments, flags and stack; HLT behind the last. */
function handler(mode: ModeName, user: boolean): Uint8Array {
  const end = AT.code + BLOCK * BLOCKS;
  const a = new Assembler();
  if (mode === 'real') {
    // xor ax, ax; mov ds, ax; mov es, ax; mov ss, ax; mov sp, stack
    a.db(0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xc0, 0x8e, 0xd0, 0xbc).dw(AT.stack);
    a.db(0xa1).dw(AT.current).db(0x05).dw(BLOCK).db(0xa3).dw(AT.current); // mov ax, [current]; add; mov
    a.db(0x3d).dw(end).db(0x72, 1, 0xf4); // cmp ax, end; jb +1; hlt
    a.db(0x6a, 2, 0x6a, 0, 0x50, 0xcf); // push flags, CS, IP; iret
    return a.finish();
  }
  a.bits(32);
  const data = user ? SELECTOR.userData : SELECTOR.data;
  // mov ax, handlerData; mov ds, ax; mov ss, ax; mov esp, stack
  a.db(0x66, 0xb8).dw(SELECTOR.handlerData).db(0x8e, 0xd8, 0x8e, 0xd0, 0xbc).dd(AT.innerStack);
  if (isLong(mode)) {
    a.db(0x8b, 0x04, 0x25).dd(AT.current).db(0x05).dd(BLOCK).db(0x89, 0x04, 0x25).dd(AT.current);
  } else a.db(0xa1).dd(AT.current).db(0x05).dd(BLOCK).db(0xa3).dd(AT.current);
  a.db(0x3d).dd(end).db(0x72, 1, 0xf4);
  const push = (value: number) => a.db(0x68).dd(value);
  if (user || isLong(mode)) {
    push(data);
    push(AT.stack - dataBaseOf(mode));
  }
  push(2);
  push(user ? SELECTOR.userCode : SELECTOR.code);
  a.db(0x50); // push eax
  if (!(user || isLong(mode)))
    a.db(0x66, 0xb9).dw(data).db(0x8e, 0xc1, 0x8e, 0xd9); // mov cx, data; mov es, cx; mov ds, cx
  else a.db(0x66, 0xb9).dw(data).db(0x8e, 0xc1, 0x8e, 0xd9);
  if (isLong(mode)) a.db(0x48);
  a.db(0xcf);
  return a.finish();
}

const P = 1 | 2 | 4 | 0x20;
/** Identity, with pages in the data area that are read-only, the supervisor's, or missing. */
function tables(view: DataView, mode: ModeName): void {
  const special = (page: number): number => {
    const at = page * 4096;
    if (at === AT.dataEnd) return P & ~2;
    if (at === AT.dataEnd + 0x1000 || page === 40) return 0;
    return page === 41 ? P & ~4 : P;
  };
  const wide = mode !== 'paged32';
  const [leaf, directory, upper, top] = [0, 1, 2, 3].map((n) => AT.tables + n * 0x1000);
  for (let page = 0; page < 256; page++) {
    const entry = special(page) === 0 ? 0 : page * 4096 + special(page);
    if (wide) view.setBigUint64(leaf + page * 8, BigInt(entry), true);
    else view.setUint32(leaf + page * 4, entry, true);
  }
  if (!wide) view.setUint32(directory, leaf | P, true);
  else {
    view.setBigUint64(directory, BigInt(leaf | P), true);
    view.setBigUint64(upper, BigInt(directory | (mode === 'pae' ? 1 : P)), true);
    view.setBigUint64(top, BigInt(upper | P), true);
  }
}
const ROOT: Readonly<Partial<Record<ModeName, number>>> = {
  paged32: AT.tables + 0x1000,
  pae: AT.tables + 0x2000,
  compatibility: AT.tables + 0x3000,
  long: AT.tables + 0x3000,
};

/** RAM with everything but the blocks. */
export function environment(mode: ModeName, user: boolean): Uint8Array {
  const ram = new Uint8Array(RAM);
  const view = new DataView(ram.buffer);
  descriptors(view, mode);
  gates(view, mode);
  if (ROOT[mode] !== undefined) tables(view, mode);
  ram.set(handler(mode, user), AT.handler);
  view.setUint32(AT.current, AT.code - BLOCK, true);
  return ram;
}

/** Lets a CPU begin in the handler. */
export function begin(state: CpuState, mode: ModeName): void {
  const segment = (seg: number, selector: number, base: number, limit: number, attr: number) => {
    state.set32('segSelector', selector, seg);
    state.set64('segBase', BigInt(base), seg);
    state.set32('segLimit', limit, seg);
    state.set32('segAttr', attr, seg);
  };
  const data = Attr.s | Attr.present | Attr.writable | Attr.accessed;
  const real = mode === 'real';
  const long = isLong(mode);
  const width = real ? 0 : Attr.big | Attr.granular;
  const limit = real ? 0xffff : 0xffff_ffff;
  for (const seg of [Seg.es, Seg.ss, Seg.ds, Seg.fs, Seg.gs])
    segment(seg, real ? 0 : SELECTOR.handlerData, 0, limit, data | width);
  segment(
    Seg.cs,
    real ? 0 : SELECTOR.handlerCode,
    0,
    limit,
    data | Attr.code | (long ? Attr.long | Attr.granular : width),
  );
  segment(Seg.tr, SELECTOR.tss, AT.tss, 0x67, Attr.present | 11);
  segment(Seg.ldtr, 0, 0, 0, Attr.unusable);
  state.set64('gdtBase', BigInt(AT.gdt));
  state.set32('gdtLimit', 0x3f);
  state.set64('idtBase', real ? 0n : BigInt(AT.idt));
  state.set32('idtLimit', real ? 0x3ff : long ? 0xfff : 0x7ff);
  const root = ROOT[mode];
  const cr0 = Cr0.ne | Cr0.mp | Cr0.et | (real ? 0 : Cr0.pe) | Cr0.wp;
  state.set64('cr0', BigInt(cr0) | (root === undefined ? 0n : BigInt(Cr0.pg)));
  state.set64('cr3', BigInt(root ?? 0));
  const pae = mode === 'pae' || long ? Cr4.pae : 0;
  state.set64('cr4', BigInt(Cr4.osfxsr | Cr4.osxmmexcpt | Cr4.osxsave | Cr4.fsgsbase | pae));
  state.set64('xcr0', 7n);
  state.set64('efer', BigInt(long ? Efer.lme | Efer.lma | Efer.nxe : 0));
  if (mode === 'pae') state.set64('pdpte', BigInt(AT.tables + 0x1000 + 1));
  state.set64('pc', BigInt(AT.handler));
}

export { isa, R };
