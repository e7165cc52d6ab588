/**
 * The code that gets a kernel going: an option ROM that firmware runs as a boot
 * device, and a reset vector for boards without firmware. Both are written for
 * the one machine they are in, so addresses and sizes are constants in them.
 *
 * Specs: BIOS Boot Specification 1.01 (PnP header, bootstrap entry vector);
 * QEMU, docs/specs/fw_cfg (DMA); Linux/x86 boot protocol; Multiboot 0.6.96;
 * Xen, "x86/HVM direct boot ABI" (PVH).
 */
import { writeU32be, writeU64be } from '../bits/endian.ts';
import { Assembler, CC, R, S } from './x86-assembler.ts';

/** One transfer of fw_cfg DMA: `length` bytes of `item` to `address`; without `item`, the bytes that follow in the last one. */
export interface RomTransfer {
  readonly item?: number;
  readonly length: number;
  readonly address: number;
}

/** A memory map that the firmware is asked for and that goes behind `at`. */
export interface RomMemoryMap {
  readonly kind: 'multiboot' | 'pvh';
  /** Guest-physical address of the boot information, below 64 KiB. */
  readonly info: number;
  /** Where the map's entries go, below 64 KiB. */
  readonly at: number;
}

/** What happens when everything is loaded. */
export type RomEntry =
  /** Real mode: Linux's set-up code at `setup`; its stack ends at `stack` (an offset). */
  | { readonly kind: 'real'; readonly setup: number; readonly stack: number }
  /** Protected mode without paging, flat segments. */
  | {
      readonly kind: 'protected';
      readonly entry: number;
      readonly eax: number;
      readonly ebx: number;
      readonly map: RomMemoryMap;
    };

export interface OptionRom {
  readonly product: string;
  readonly transfers: readonly RomTransfer[];
  /** Which transfer is the initial ramdisk: it moves down where firmware has taken the end of memory. */
  readonly initrd?: { readonly transfer: number; readonly fieldAt: number };
  readonly entry: RomEntry;
}

const PORT_DMA = 0x514;
const CONTROL = { READ: 2, SELECT: 8 };
/** Scratch memory of the ROM's code, between the BIOS data area and where boot sectors go. */
const GDT_POINTER = 0x5f0;
const LIST = 0x600;
const STACK = 0x7000;
const SMAP = 0x534d_4150;
const MAP_ENTRY = 24;
const MOST_ENTRIES = 100;
const MOST_TRANSFERS = 256;
const FLAT_CODE = [0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0];
const FLAT_CODE64 = [0xff, 0xff, 0, 0, 0, 0x9b, 0xaf, 0];
const FLAT_DATA = [0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0];

/** An option ROM whose bootstrap entry loads what `transfers` say and enters it. */
export function buildOptionRom(rom: OptionRom): Uint8Array {
  const { transfers, entry, initrd } = rom;
  if (transfers.length > MOST_TRANSFERS) throw new RangeError(`a boot of ${transfers.length} pieces`);
  const asm = new Assembler();
  asm.db(0x55, 0xaa, 0).retf(); // signature, size (below), initialisation: nothing to do
  asm.to(0x18).dw(0).ref16('pnp');
  asm.label('pnp').text('$PnP').db(1, 2).dw(0).db(0, 0).dd(0).ref16('maker').ref16('product');
  asm.db(0, 0, 0, 0).dw(0).dw(0).ref16('boot').dw(0).dw(0); // class, indicators, BCV, DV, BEV, reserved, resources
  asm.label('maker').text('Trapframe\0').label('product').text(`${rom.product}\0`);

  asm.label('boot').cli().cld();
  asm.alu('xor', R.ax, R.ax).movToSegment(S.ss, R.ax).movToSegment(S.es, R.ax).movImm(R.sp, STACK);
  asm.movFromSegment(R.ax, S.cs).movToSegment(S.ds, R.ax);
  // The list of transfers goes to RAM: fw_cfg writes its answers into it.
  asm.movRef16(R.si, 'list').movImm16(R.di, LIST);
  asm.movImm16(R.cx, transfers.length * 4).db(0xf3, 0x66, 0xa5); // rep movsd
  if (initrd) lowerInitrd(asm, transfers[initrd.transfer], LIST + 16 * initrd.transfer);

  asm.movImm16(R.di, LIST).movImm16(R.cx, transfers.length);
  asm.label('transfer').alu('xor', R.ax, R.ax).movImm16(R.dx, PORT_DMA).outDx();
  asm
    .movzx(R.ax, R.di)
    .bswap(R.ax)
    .movImm16(R.dx, PORT_DMA + 4)
    .outDx();
  asm.label('wait').loadEsDi(R.ax).bswap(R.ax).alu('test', R.ax, R.ax).jcc(CC.zero, 'done');
  asm.aluImm('and', R.ax, 1).jcc(CC.zero, 'wait').int(0x18); // it failed: firmware takes the next boot device
  asm.label('done').db(0x83, 0xc7, 16).loop('transfer'); // add di, 16
  if (entry.kind === 'real') {
    if (initrd) storeInitrd(asm, LIST + 16 * initrd.transfer, initrd.fieldAt);
    enterReal(asm, entry.setup, entry.stack);
  } else {
    memoryMap(asm, entry.map);
    enterProtected(asm, entry);
  }
  asm
    .to(Math.ceil(asm.here / 4) * 4)
    .label('list')
    .data(transferList(transfers));

  const code = asm.finish();
  const bytes = new Uint8Array(Math.ceil((code.length + 1) / 512) * 512);
  bytes.set(code);
  bytes[2] = bytes.length / 512;
  bytes[bytes.length - 1] = -bytes.reduce((sum, byte) => sum + byte, 0);
  return bytes;
}

function transferList(transfers: readonly RomTransfer[]): Uint8Array {
  const list = new Uint8Array(16 * transfers.length);
  transfers.forEach(({ item, length, address }, index) => {
    const select = item === undefined ? 0 : item * 0x1_0000 + CONTROL.SELECT;
    writeU32be(list, 16 * index, CONTROL.READ + select);
    writeU32be(list, 16 * index + 4, length);
    writeU64be(list, 16 * index + 8, address);
  });
  return list;
}

/** INT 15h AX=E801h knows where memory ends that firmware has left; the ramdisk ends there too. */
function lowerInitrd(asm: Assembler, { address, length }: RomTransfer, at: number): void {
  asm.movImm16(R.ax, 0xe801).int(0x15).jcc(CC.carry, 'keep');
  asm.movzx(R.ax, R.dx).alu('test', R.ax, R.ax).jcc(CC.zero, 'small');
  asm.shl(R.ax, 16).aluImm('add', R.ax, 0x100_0000).jmp('top'); // 64 KiB blocks above 16 MiB
  asm.label('small').movzx(R.ax, R.cx).shl(R.ax, 10).aluImm('add', R.ax, 0x10_0000); // KiB above 1 MiB
  asm
    .label('top')
    .movImm(R.bx, address + length)
    .alu('sub', R.bx, R.ax)
    .jcc(CC.belowEqual, 'keep');
  asm.aluImm('add', R.bx, 0xfff).aluImm('and', R.bx, 0xffff_f000);
  asm
    .movImm(R.ax, address)
    .alu('sub', R.ax, R.bx)
    .bswap(R.ax)
    .storeEs(at + 12, R.ax);
  asm.label('keep');
}

/** Tells the set-up header where the ramdisk is now. */
function storeInitrd(asm: Assembler, at: number, field: number): void {
  asm.loadEs(R.ax, at + 12).bswap(R.ax);
  asm
    .movImm16(R.bx, field >>> 4)
    .movToSegment(S.es, R.bx)
    .storeEs(field & 15, R.ax);
}

function enterReal(asm: Assembler, setup: number, stack: number): void {
  const segment = setup >>> 4;
  asm.movImm16(R.ax, segment);
  for (const register of [S.ds, S.es, S.fs, S.gs, S.ss]) asm.movToSegment(register, R.ax);
  asm
    .movImm(R.sp, stack)
    .db(0x68)
    .dw(segment + 0x20)
    .db(0x6a, 0)
    .retf();
}

/** Asks firmware (INT 15h AX=E820h) for the memory map and tells the boot information. */
function memoryMap(asm: Assembler, { kind, info, at }: RomMemoryMap): void {
  const multiboot = kind === 'multiboot';
  asm.alu('xor', R.bx, R.bx).movImm16(R.di, at).movImm16(R.bp, MOST_ENTRIES);
  asm.label('region');
  asm.db(0x57, 0x55); // push di; push bp
  if (multiboot) asm.storeEsDi(0, MAP_ENTRY - 4).db(0x83, 0xc7, 4); // an entry's own size; add di, 4
  asm.movImm(R.ax, 0xe820).movImm(R.dx, SMAP).movImm(R.cx, 20).int(0x15);
  asm.db(0x5d, 0x5f).jcc(CC.carry, 'mapped'); // pop bp; pop di
  if (!multiboot) asm.storeEsDi(20, 0); // reserved
  asm.db(0x83, 0xc7, MAP_ENTRY, 0x4d).jcc(CC.zero, 'mapped'); // add di, 24; dec bp
  asm.alu('test', R.bx, R.bx).jcc(CC.notZero, 'region');
  asm.label('mapped').movzx(R.ax, R.di).aluImm('sub', R.ax, at);
  if (!multiboot) {
    asm.alu('xor', R.dx, R.dx).movImm(R.cx, MAP_ENTRY).db(0x66, 0xf7, 0xf1); // div ecx
    asm.storeEs(info + PVH_INFO.MEMORY_MAP_ENTRIES, R.ax);
    return;
  }
  asm.storeEs(info + MULTIBOOT_INFO.MAP_LENGTH, R.ax);
  asm
    .int(0x12)
    .movzx(R.ax, R.ax)
    .storeEs(info + MULTIBOOT_INFO.MEM_LOWER, R.ax);
  asm.movImm16(R.ax, 0xe801).int(0x15).movzx(R.dx, R.dx).shl(R.dx, 6); // 64 KiB blocks above 16 MiB
  asm
    .movzx(R.cx, R.cx)
    .alu('add', R.dx, R.cx)
    .storeEs(info + MULTIBOOT_INFO.MEM_UPPER, R.dx);
}

/** Offsets in the boot information that depend on the memory map. */
export const MULTIBOOT_INFO = { MEM_LOWER: 4, MEM_UPPER: 8, MAP_LENGTH: 44 };
export const PVH_INFO = { MEMORY_MAP_ENTRIES: 48 };

function enterProtected(asm: Assembler, entry: Extract<RomEntry, { kind: 'protected' }>): void {
  asm.cli().db(0xe4, 0x92, 0x0c, 0x02, 0x24, 0xfe, 0xe6, 0x92); // A20 on, through port 92h
  asm.movFromSegment(R.ax, S.cs).movzx(R.ax, R.ax).shl(R.ax, 4).mov(R.bx, R.ax).addRef(R.ax, 'gdt');
  asm
    .movImm(R.cx, 3 * 8 - 1)
    .storeEs(GDT_POINTER, R.cx)
    .storeEs(GDT_POINTER + 2, R.ax);
  asm.db(0x26, 0x66, 0x0f, 0x01, 0x16).dw(GDT_POINTER); // lgdt
  asm.addRef(R.bx, 'flat').movFromControl(R.ax, 0).aluImm('or', R.ax, 1).movToControl(0, R.ax);
  asm.db(0x66, 0x6a, 8, 0x66, 0x53, 0x66).retf(); // push 8; push ebx; retf
  asm.bits(32).label('flat').movImm(R.ax, 16);
  for (const register of [S.ds, S.es, S.fs, S.gs, S.ss]) asm.movToSegment(register, R.ax);
  asm.movImm(R.sp, STACK).movImm(R.ax, entry.eax).movImm(R.bx, entry.ebx).movImm(R.cx, entry.entry).jmpReg(R.cx);
  asm
    .bits(16)
    .to(Math.ceil(asm.here / 8) * 8)
    .label('gdt')
    .dd(0)
    .dd(0)
    .db(...FLAT_CODE)
    .db(...FLAT_DATA);
}

/** How a board without firmware enters a kernel. */
export type DirectEntry =
  /** 32-bit: Linux (esi = boot_params) or PVH (ebx = start info). */
  | { readonly kind: 'protected'; readonly entry: number; readonly ebx: number; readonly esi: number }
  /** 64-bit with the page tables at `cr3`: Linux, rsi = boot_params. */
  | { readonly kind: 'long'; readonly entry: number; readonly esi: number; readonly cr3: number };

export const RESET_ROM_SIZE = 0x1000;
const RESET_ROM_BASE = 0x1_0000_0000 - RESET_ROM_SIZE;
/** Offset 0 of the ROM in the segment that the processor starts in. */
const RESET_OFFSET = 0x1_0000 - RESET_ROM_SIZE;
const IA32_EFER = 0xc000_0080;
/** IA32_MTRR_DEF_TYPE: on, and memory is write-back; kernels leave the page attribute table alone without. */
const MTRR_DEFAULT = 0x2ff;
const MTRR_WRITE_BACK = 0x806;
const SELECTOR = { START: 8, CODE: 0x10, DATA: 0x18 };

/** The last 4 KiB below 4 GiB of a board without firmware: from the reset vector into the kernel. */
export function buildResetRom(entry: DirectEntry): Uint8Array {
  const asm = new Assembler();
  asm
    .label('gdt')
    .dd(0)
    .dd(0)
    .db(...FLAT_CODE);
  asm.db(...(entry.kind === 'long' ? FLAT_CODE64 : FLAT_CODE)).db(...FLAT_DATA);
  asm
    .label('gdtr')
    .dw(4 * 8 - 1)
    .ref32('gdt', RESET_ROM_BASE);
  asm.label('start').cli().cld();
  asm.db(0xb0, 0xff, 0xe6, 0x21, 0xe6, 0xa1); // an 8259 pair that nobody has set up keeps quiet
  asm.db(0x2e, 0x66, 0x0f, 0x01, 0x16).ref16('gdtr', RESET_OFFSET); // lgdt cs:[gdtr]
  asm.movFromControl(R.ax, 0).aluImm('and', R.ax, 0x9fff_ffff).aluImm('or', R.ax, 1).movToControl(0, R.ax); // caches on
  asm.jmpFar32(SELECTOR.START, 'flat', RESET_ROM_BASE);
  asm.bits(32).label('flat').movImm(R.ax, SELECTOR.DATA);
  for (const register of [S.ds, S.es, S.fs, S.gs, S.ss]) asm.movToSegment(register, R.ax);
  asm.movImm(R.cx, MTRR_DEFAULT).movImm(R.ax, MTRR_WRITE_BACK).alu('xor', R.dx, R.dx).db(0x0f, 0x30); // wrmsr
  asm.alu('xor', R.bp, R.bp).alu('xor', R.di, R.di).movImm(R.sp, STACK);
  if (entry.kind === 'protected') {
    asm.movImm(R.bx, entry.ebx).movImm(R.si, entry.esi).jmpFar32(SELECTOR.CODE, 'in', RESET_ROM_BASE);
    asm.label('in').movImm(R.cx, entry.entry).jmpReg(R.cx);
  } else {
    asm
      .movFromControl(R.ax, 4)
      .aluImm('or', R.ax, 1 << 5)
      .movToControl(4, R.ax); // PAE
    asm.movImm(R.ax, entry.cr3).movToControl(3, R.ax);
    asm
      .movImm(R.cx, IA32_EFER)
      .movImm(R.ax, 1 << 8)
      .alu('xor', R.dx, R.dx)
      .db(0x0f, 0x30); // wrmsr: LME
    asm.movFromControl(R.ax, 0).aluImm('or', R.ax, 0x8000_0000).movToControl(0, R.ax);
    asm.jmpFar32(SELECTOR.CODE, 'in', RESET_ROM_BASE);
    asm.bits(64).label('in').movImm(R.si, entry.esi).movImm(R.ax, entry.entry).jmpReg(R.ax);
  }
  asm
    .bits(16)
    .to(RESET_ROM_SIZE - 16)
    .jmpNear('start')
    .to(RESET_ROM_SIZE);
  return asm.finish();
}
