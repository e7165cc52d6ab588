/**
 * Linux/x86 kernels (bzImage): the set-up header read and filled in.
 *
 * Spec: Linux, Documentation/arch/x86/boot.rst (protocol 2.15) and
 * zero-page.rst; addresses are those that QEMU 7.2 chooses.
 */
import { alignDown, readU16, readU32, writeU16, writeU32, writeU64 } from '../bits/endian.ts';
import { ConfigError } from '../bits/errors.ts';
import { utf8 } from '../bits/text.ts';
import type { MemoryRange } from './pc-memory.ts';

const HEADER = {
  SETUP_SECTS: 0x1f1,
  VID_MODE: 0x1fa,
  MAGIC: 0x202,
  VERSION: 0x206,
  TYPE_OF_LOADER: 0x210,
  LOADFLAGS: 0x211,
  RAMDISK_IMAGE: 0x218,
  RAMDISK_SIZE: 0x21c,
  HEAP_END: 0x224,
  CMD_LINE: 0x228,
  INITRD_MAX: 0x22c,
  XLOADFLAGS: 0x236,
};
const LOADED_HIGH = 1;
const CAN_USE_HEAP = 0x80;
const XLF_KERNEL_64 = 1;
const XLF_CAN_BE_LOADED_ABOVE_4G = 2;
/** "QEMU" among the boot loaders that have a number. */
const LOADER = 0xb0;
const OLD_INITRD_MAX = 0x37ff_ffff;
const VIDEO_MODES: Readonly<Record<string, number>> = { normal: 0xffff, ext: 0xfffe, ask: 0xfffd };
const ENTRY_64 = 0x200;
const MOST_E820 = 128;

export interface LinuxFiles {
  readonly kernel: Uint8Array;
  readonly initrd?: Uint8Array;
  readonly append?: string;
  /** Where RAM below 4 GiB that may hold a ramdisk ends. */
  readonly top: number;
}

export interface LinuxImage {
  /** The real-mode part with its header filled in. */
  readonly setup: Uint8Array;
  readonly setupAddress: number;
  /** The protected-mode part. */
  readonly code: Uint8Array;
  readonly codeAddress: number;
  /** With its NUL. */
  readonly commandLine: Uint8Array;
  readonly commandLineAddress: number;
  readonly initrd?: { readonly data: Uint8Array; readonly address: number };
  /** 0x020f is 2.15; 0 for a kernel without the header's magic. */
  readonly protocol: number;
  readonly entry64: boolean;
}

/** Where in guest memory the header says where the ramdisk is. */
export const ramdiskField = (image: LinuxImage): number => image.setupAddress + HEADER.RAMDISK_IMAGE;

export function isLinux(kernel: Uint8Array): boolean {
  return kernel.length > 0x240 && readU32(kernel, HEADER.MAGIC) === 0x5372_6448; // "HdrS"
}

/** Prepares a bzImage. Throws ConfigError. */
export function prepareLinux({ kernel, initrd, append = '', top }: LinuxFiles): LinuxImage {
  const protocol = readU16(kernel, HEADER.VERSION);
  const sectors = kernel[HEADER.SETUP_SECTS] || 4;
  const setupSize = (sectors + 1) * 512;
  if (setupSize >= kernel.length)
    throw new ConfigError('kernel-truncated', 'the kernel is a truncated bzImage', 'fetch or build it again');
  const setup = kernel.slice(0, setupSize);
  const code = kernel.subarray(setupSize);
  const high = protocol >= 0x200 && (setup[HEADER.LOADFLAGS] & LOADED_HIGH) !== 0;
  const modern = high && protocol >= 0x202;
  const commandLine = utf8(`${append}\0`);
  const setupAddress = modern ? 0x1_0000 : 0x9_0000;
  const commandLineAddress = modern ? 0x2_0000 : alignDown(0x9_a000 - commandLine.length, 16);
  if (modern ? commandLine.length > 0x1_0000 : commandLine.length > 0x800)
    throw new ConfigError('append-too-long', 'the kernel command line is too long', 'shorten -append');
  if (protocol >= 0x202) writeU32(setup, HEADER.CMD_LINE, commandLineAddress);
  else {
    writeU16(setup, 0x20, 0xa33f);
    writeU16(setup, 0x22, commandLineAddress - setupAddress);
  }
  const mode = videoMode(append);
  if (mode !== undefined) writeU16(setup, HEADER.VID_MODE, mode);
  if (protocol >= 0x200) setup[HEADER.TYPE_OF_LOADER] = LOADER;
  if (protocol >= 0x201) {
    setup[HEADER.LOADFLAGS] |= CAN_USE_HEAP;
    writeU16(setup, HEADER.HEAP_END, commandLineAddress - setupAddress - 0x200);
  }
  const placed = initrd && placeInitrd(initrd, setup, protocol, top, (high ? 0x10_0000 : 0) + code.length);
  return {
    setup,
    setupAddress,
    code,
    codeAddress: high ? 0x10_0000 : 0x1_0000,
    commandLine,
    commandLineAddress,
    initrd: placed,
    protocol,
    entry64: protocol >= 0x20c && (readU16(setup, HEADER.XLOADFLAGS) & XLF_KERNEL_64) !== 0,
  };
}

function placeInitrd(data: Uint8Array, setup: Uint8Array, protocol: number, top: number, codeEnd: number) {
  if (protocol < 0x200)
    throw new ConfigError('initrd-refused', 'the kernel is too old to take a ramdisk', 'use a newer');
  const above = protocol >= 0x20c && readU16(setup, HEADER.XLOADFLAGS) & XLF_CAN_BE_LOADED_ABOVE_4G;
  const most = above ? 0xffff_ffff : protocol >= 0x203 ? readU32(setup, HEADER.INITRD_MAX) : OLD_INITRD_MAX;
  const address = alignDown(Math.min(most + 1, top) - data.length, 4096);
  if (address < codeEnd) {
    const mebibytes = Math.ceil((codeEnd + data.length) / 0x10_0000) + 8;
    const what = 'the memory is too small for kernel and initial ramdisk';
    throw new ConfigError('memory-too-small', what, `give the machine at least ${mebibytes} MiB (-m)`);
  }
  writeU32(setup, HEADER.RAMDISK_IMAGE, address);
  writeU32(setup, HEADER.RAMDISK_SIZE, data.length);
  return { data, address };
}

/** What `vga=` on the command line asks for. */
function videoMode(append: string): number | undefined {
  const text = /(?:^|\s)vga=(\S+)/.exec(append)?.[1];
  if (text === undefined) return undefined;
  const mode = VIDEO_MODES[text] ?? Number(text);
  return Number.isInteger(mode) ? mode & 0xffff : undefined;
}

/** boot_params ("zero page") for a kernel entered without its real-mode code; 4096 bytes. */
export function zeroPage(image: LinuxImage, map: readonly MemoryRange[], rsdp?: number): Uint8Array {
  const page = new Uint8Array(4096);
  const end = Math.min(0x202 + image.setup[0x201], 0x290);
  page.set(image.setup.subarray(HEADER.SETUP_SECTS, end), HEADER.SETUP_SECTS);
  page[HEADER.TYPE_OF_LOADER] = LOADER;
  if (rsdp !== undefined) writeU64(page, 0x70, rsdp); // acpi_rsdp_addr
  const ranges = map.slice(0, MOST_E820);
  page[0x1e8] = ranges.length;
  ranges.forEach(({ base, size, type }, index) => {
    writeU64(page, 0x2d0 + 20 * index, base);
    writeU64(page, 0x2d8 + 20 * index, size);
    writeU32(page, 0x2e0 + 20 * index, type);
  });
  return page;
}

/** Where a kernel with its code at `codeAddress` is entered. */
export const linuxEntry = (image: LinuxImage): number => image.codeAddress + (image.entry64 ? ENTRY_64 : 0);
