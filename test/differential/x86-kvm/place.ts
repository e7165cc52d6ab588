/**
 * Where system instructions are tried out: the environment of x86-system with
 * more descriptors, gates, a local table, a second task and second page
 * tables; all code beyond the instruction is HLT, wherever it leads.
 */
import type { CpuState } from '../../../src/accel/cpu-state.ts';
import { Attr, Eflags, Seg } from '../../../src/isa/x86/state.ts';
import { AT, begin, bitsOf, dataBaseOf, environment, type ModeName } from '../x86-system/environment.ts';

export const SELECTORS = [
  0, 3, 0x08, 0x10, 0x1b, 0x23, 0x28, 0x30, 0x38, 0x48, 0x50, 0x58, 0x60, 0x68, 0x70, 0x78, 0x88, 0x98, 0xa8, 0xb0,
  0xb8, 0xc8, 0x04, 0x0c, 0x14, 0x2b, 0x13, 0xb3, 0xfff8,
] as const;
/** Those that code can be in. */
export const CODE_SELECTORS = [0x08, 0x1b, 0x28, 0x68, 0x98, 0xa8, 0xb0, 0xb3, 0xc8, 0x60, 0x10, 0, 0x0c] as const;
export const GDT_LIMIT = 0xcf;
const LDT = 0x3800;
const LDT_LIMIT = 0x1f;
const SECOND_TSS = 0x3400;
const TSS_LIMIT = 0x67;
/** Where jumps and gates lead. */
export const TARGET = AT.code + 0x100;
/** Page tables that show another page where the data begins. */
export const OTHER_TABLES = 0x8000;
const SHOWN_INSTEAD = 0x5_0000;
/** Where paging keeps user code out. */
export const KERNEL_PAGE = 0x2_9000;

export const isLong = (mode: ModeName): boolean => mode === 'long' || mode === 'compatibility';
const rootOf = (mode: ModeName): number =>
  isLong(mode) ? AT.tables + 0x3000 : mode === 'pae' ? AT.tables + 0x2000 : mode === 'paged32' ? AT.tables + 0x1000 : 0;
export const hasPaging = (mode: ModeName): boolean => rootOf(mode) !== 0;

function put(view: DataView, at: number, base: number, limit: number, rights: number): void {
  view.setUint32(at, (limit & 0xffff) | (base << 16), true);
  view.setUint32(at + 4, ((base >>> 16) & 0xff) | (base & 0xff00_0000) | (limit & 0xf_0000) | rights, true);
}

const GRANULAR = 1 << 23;
const BIG = 1 << 22;
const LONG = 1 << 21;
const DPL = (level: number): number => level << 13;

function descriptors(view: DataView, mode: ModeName): void {
  const long = isLong(mode);
  const size = long ? LONG : BIG;
  const flat = (selector: number, rights: number) => put(view, AT.gdt + selector, 0, 0xf_ffff, rights | GRANULAR);
  flat(0x48, 0x1300 | BIG); // data, not present
  flat(0x50, 0x9100 | BIG); // read-only
  put(view, AT.gdt + 0x58, 0, 0x3, 0x9700 | BIG | GRANULAR); // expand-down, above 16 KiB
  flat(0x60, 0x9900 | size); // execute-only
  flat(0x68, 0x9f00 | size); // conforming
  flat(0x70, 0x9300 | DPL(1) | BIG);
  put(view, AT.gdt + 0x78, LDT, LDT_LIMIT, 0x8200);
  put(view, AT.gdt + 0x88, SECOND_TSS, TSS_LIMIT, 0x8900);
  // Call gates: to the handler's code, for anyone; one of 16 bits.
  view.setUint32(AT.gdt + 0x98, TARGET | (0x28 << 16), true);
  view.setUint32(AT.gdt + 0x9c, 0xec00, true);
  view.setUint32(AT.gdt + 0xa0, 0, true);
  view.setUint32(AT.gdt + 0xa4, 0, true);
  view.setUint32(AT.gdt + 0xa8, TARGET | (0x08 << 16), true);
  view.setUint32(AT.gdt + 0xac, 0xe400, true);
  flat(0xb0, 0xfb00 | BIG); // code for CPL 3, of 32 bits
  put(view, AT.gdt + 0xb8, 0, 0xffff, 0x9300); // 16-bit data
  put(view, AT.gdt + 0xc8, 0, 0xffff, 0x9b00); // 16-bit code
  put(view, LDT + 0x00, 0, 0xf_ffff, 0x9300 | BIG | GRANULAR);
  put(view, LDT + 0x08, 0, 0xf_ffff, 0x9b00 | size | GRANULAR);
  put(view, LDT + 0x10, 0, 0xf_ffff, 0x1300 | GRANULAR);
}

function secondTask(view: DataView, mode: ModeName): void {
  if (isLong(mode)) return;
  const word = (at: number, value: number) => view.setUint32(SECOND_TSS + at, value, true);
  word(4, AT.innerStack);
  word(8, 0x30);
  word(0x1c, rootOf(mode));
  word(0x20, TARGET);
  word(0x24, Eflags.fixed);
  word(0x38, AT.stack);
  for (const at of [0x48, 0x50, 0x54, 0x58, 0x5c]) word(at, 0x30);
  word(0x4c, 0x28);
  word(0x64, 0x68 << 16);
}

/** A second set of tables, where the data's first page is another one. */
function otherTables(ram: Uint8Array, mode: ModeName): void {
  if (!hasPaging(mode)) return;
  ram.copyWithin(AT.tables + OTHER_TABLES, AT.tables, AT.tables + 0x4000);
  const view = new DataView(ram.buffer, ram.byteOffset);
  const wide = mode !== 'paged32';
  const moved = AT.tables + OTHER_TABLES;
  const page = AT.data / 4096;
  if (wide) view.setBigUint64(moved + page * 8, BigInt(SHOWN_INSTEAD | 0x27), true);
  else view.setUint32(moved + page * 4, SHOWN_INSTEAD | 0x27, true);
  for (const level of [0x1000, 0x2000, 0x3000]) {
    const low = view.getUint32(moved + level, true);
    if (low) view.setUint32(moved + level, low + OTHER_TABLES, true);
  }
}

/** RAM with HLT where code may lead. */
export function place(mode: ModeName, user: boolean): Uint8Array {
  const ram = environment(mode, user);
  const view = new DataView(ram.buffer);
  ram.fill(0xf4, AT.handler, AT.handler + 0x100);
  // Where KVM itself may step: see src/accel/kvm/x86/system-calls.ts.
  ram[AT.handler] = 0x90;
  ram.fill(0xf4, AT.code, AT.data);
  for (let at = AT.data; at < AT.dataEnd; at++) ram[at] = (at * 37) & 0xff;
  for (let at = AT.stack - 0x200; at < AT.stack; at++) ram[at] = 0;
  if (mode !== 'real') {
    descriptors(view, mode);
    secondTask(view, mode);
  }
  ram.fill(0xf4, KERNEL_PAGE, KERNEL_PAGE + 4096);
  ram.fill(0x5a, SHOWN_INSTEAD, SHOWN_INSTEAD + 4096);
  otherTables(ram, mode);
  return ram;
}
export const otherRoot = (mode: ModeName): number => rootOf(mode) + OTHER_TABLES;

/** As if the selector had been loaded; of a descriptor that can be. */
function load(state: CpuState, ram: Uint8Array, seg: number, selector: number): void {
  const view = new DataView(ram.buffer, ram.byteOffset);
  const low = view.getUint32(AT.gdt + (selector & 0xfff8), true);
  const high = view.getUint32(AT.gdt + (selector & 0xfff8) + 4, true);
  const limit = (low & 0xffff) | (high & 0xf_0000);
  const granular = (high & GRANULAR) !== 0;
  state.set32('segSelector', selector, seg);
  state.set64('segBase', BigInt(((low >>> 16) | ((high & 0xff) << 16) | (high & 0xff00_0000)) >>> 0), seg);
  state.set32('segLimit', granular ? ((limit << 12) | 0xfff) >>> 0 : limit, seg);
  state.set32('segAttr', (high >>> 8) & 0xf0ff, seg);
}

/** A CPU at the instruction, in the code and data segments of the mode. */
export function enter(state: CpuState, ram: Uint8Array, mode: ModeName, user: boolean): void {
  begin(state, mode);
  state.set32('gdtLimit', GDT_LIMIT);
  if (mode === 'real') {
    // Interrupts come as real mode has them; their vectors lead to the handler.
    for (const seg of [Seg.ldtr, Seg.tr]) state.set32('segAttr', Attr.present | (seg === Seg.tr ? 11 : 2), seg);
  } else {
    load(state, ram, Seg.cs, user ? 0x1b : 0x08);
    for (const seg of [Seg.es, Seg.ss, Seg.ds, Seg.fs, Seg.gs]) load(state, ram, seg, user ? 0x23 : 0x10);
  }
  state.set32('cpl', user ? 3 : 0);
  state.set64('pc', BigInt(AT.code));
  state.set64('gpr', BigInt(AT.stack - 0x100 - dataBaseOf(mode)), 4);
}

export { AT, bitsOf, dataBaseOf };
