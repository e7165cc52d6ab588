/**
 * Kernels that are entered in protected mode with a structure that describes
 * what was loaded: Multiboot (Xen, GNU Mach) and PVH (an ELF vmlinux).
 *
 * Specs: Multiboot Specification 0.6.96; Xen, "x86/HVM direct boot ABI".
 * Departures from Multiboot: no drive, APM, VBE or symbol information.
 */
import { alignUp, readU32, writeU32, writeU64 } from '../bits/endian.ts';
import { ConfigError } from '../bits/errors.ts';
import { utf8 } from '../bits/text.ts';
import type { BootModule } from './config.ts';
import type { Segment } from './loader-elf.ts';
import { isElf } from './loader-elf.ts';
import { parseX86Elf } from './x86-elf.ts';

const MULTIBOOT_EAX = 0x2bad_b002;
const FLAG_ADDRESSES = 0x1_0000;
const INFO_FLAGS = 0x1 | 0x4 | 0x8 | 0x40 | 0x200; // memory, command line, modules, memory map, loader's name
const INFO_SIZE = 0x74;
const PVH_MAGIC = 0x336e_c578;
const PVH_SIZE = 56;

/** Where the boot information lies: low memory that firmware leaves free. */
export const BOOT_INFO = 0x9000;
export const BOOT_MAP = 0x9400;
/** Where else it may lie when a Multiboot kernel covers that: pages that 16-bit code reaches. */
const INFO_PAGES = [BOOT_INFO, 0xe000, 0xf000, 0x1000, 0x2000, 0x3000, 0x4000, 0x5000, 0x6000];
/** Module list and command line of PVH. */
const PVH_MODULES = 0xa000;
const PVH_COMMAND_LINE = 0x2_0000;

export interface ElfFiles {
  readonly kernel: Uint8Array;
  /** What a Multiboot kernel sees as its name. */
  readonly kernelName: string;
  readonly append: string;
  /** Where usable RAM below 4 GiB ends. */
  readonly top: number;
}

/** Everything in its place; the entry is protected mode's. */
export interface ElfBoot {
  readonly kind: 'multiboot' | 'pvh';
  readonly segments: readonly Segment[];
  readonly entry: number;
  readonly eax: number;
  /** Where the boot information lies, and the memory map. */
  readonly info: number;
  readonly map: number;
}

/** Throws ConfigError. */
export function prepareMultiboot(files: ElfFiles, header: number, modules: readonly BootModule[]): ElfBoot {
  const { kernel, top } = files;
  const { entry, segments: image } =
    readU32(kernel, header + 4) & FLAG_ADDRESSES ? byAddresses(kernel, header) : multibootElf(kernel);
  const place = infoPage(image);
  const map = place + (BOOT_MAP - BOOT_INFO);
  let end = 0;
  for (const { address, size } of image) end = Math.max(end, address + size);
  const segments = [...image];
  const list = new Uint8Array(16 * modules.length);
  const put = (data: Uint8Array, align: number) => {
    const address = alignUp(end, align);
    end = address + data.length;
    if (data.length) segments.push({ address, data, size: data.length });
    return address;
  };
  modules.forEach(({ data, commandLine }, index) => {
    const start = put(data, 4096);
    writeU32(list, 16 * index, start);
    writeU32(list, 16 * index + 4, start + data.length);
    writeU32(list, 16 * index + 8, put(utf8(`${commandLine}\0`), 16));
  });
  const info = new Uint8Array(INFO_SIZE);
  writeU32(info, 0, INFO_FLAGS);
  writeU32(info, 16, put(utf8(`${files.kernelName} ${files.append}\0`), 16));
  writeU32(info, 20, modules.length);
  writeU32(info, 24, put(list, 16));
  writeU32(info, 48, map);
  writeU32(info, 64, put(utf8('Trapframe\0'), 16));
  if (!(end <= top)) throw tooSmall(end);
  segments.push({ address: place, data: info, size: info.length });
  return { kind: 'multiboot', segments, entry, eax: MULTIBOOT_EAX, info: place, map };
}

/** A page that no part of the kernel covers; if there is none, the kernel loses what it has there. */
function infoPage(image: readonly Segment[]): number {
  const covers = (page: number) => image.some(({ address, size }) => address < page + 4096 && page < address + size);
  return INFO_PAGES.find((page) => !covers(page)) ?? BOOT_INFO;
}

function multibootElf(kernel: Uint8Array) {
  if (!isElf(kernel))
    throw new ConfigError(
      'kernel-not-bootable',
      'the Multiboot kernel is no ELF file and names no addresses',
      'link it again',
    );
  const elf = parseX86Elf(kernel);
  if (elf.bits === 64)
    throw new ConfigError(
      'kernel-wrong-architecture',
      'the Multiboot kernel is a 64-bit ELF file',
      'give the 32-bit one (objcopy -O elf32-i386)',
    );
  return elf;
}

/** The "a.out kludge": the header says what goes where. */
function byAddresses(kernel: Uint8Array, header: number): { entry: number; segments: readonly Segment[] } {
  const [headerAddress, loadAddress, loadEnd, bssEnd, entry] = [12, 16, 20, 24, 28].map((at) =>
    header + at + 4 <= kernel.length ? readU32(kernel, header + at) : 0,
  );
  const offset = header - (headerAddress - loadAddress);
  const length = loadEnd ? loadEnd - loadAddress : kernel.length - offset;
  if (offset < 0 || length <= 0 || offset + length > kernel.length)
    throw new ConfigError('kernel-not-bootable', 'the Multiboot header names bytes outside the file', 'link it again');
  const size = Math.max(length, bssEnd ? bssEnd - loadAddress : 0);
  return { entry, segments: [{ address: loadAddress, data: kernel.subarray(offset, offset + length), size }] };
}

/** A memory map or where tables are, for boards without firmware. */
export interface PvhExtras {
  readonly rsdp?: number;
  readonly mapEntries?: number;
}

/** Throws ConfigError. */
export function preparePvh(files: ElfFiles, initrd: Uint8Array | undefined, extras: PvhExtras = {}): ElfBoot {
  const elf = parseX86Elf(files.kernel);
  if (elf.pvhEntry === undefined)
    throw new ConfigError(
      'kernel-not-bootable',
      'the kernel is an ELF file with neither a Multiboot header nor a PVH entry',
      'use a bzImage, or build it with CONFIG_PVH',
    );
  const segments = [...elf.segments];
  const end = Math.max(...segments.map(({ address, size }) => address + size));
  const info = new Uint8Array(PVH_SIZE);
  writeU32(info, 0, PVH_MAGIC);
  writeU32(info, 4, 1); // version
  if (initrd) {
    const address = Math.floor((files.top - initrd.length) / 4096) * 4096;
    if (address < end) throw tooSmall(end + initrd.length);
    const list = new Uint8Array(32);
    writeU64(list, 0, address);
    writeU64(list, 8, initrd.length);
    segments.push({ address, data: initrd, size: initrd.length });
    segments.push({ address: PVH_MODULES, data: list, size: list.length });
    writeU32(info, 12, 1);
    writeU64(info, 16, PVH_MODULES);
  } else if (!(end <= files.top)) throw tooSmall(end);
  const commandLine = utf8(`${files.append}\0`);
  if (commandLine.length > 0x1_0000)
    throw new ConfigError('append-too-long', 'the kernel command line is too long', 'shorten -append');
  segments.push({ address: PVH_COMMAND_LINE, data: commandLine, size: commandLine.length });
  writeU64(info, 24, PVH_COMMAND_LINE);
  writeU64(info, 32, extras.rsdp ?? 0);
  writeU64(info, 40, BOOT_MAP);
  writeU32(info, 48, extras.mapEntries ?? 0);
  segments.push({ address: BOOT_INFO, data: info, size: info.length });
  return { kind: 'pvh', segments, entry: elf.pvhEntry, eax: 0, info: BOOT_INFO, map: BOOT_MAP };
}

function tooSmall(need: number): ConfigError {
  const mebibytes = Math.ceil(need / 0x10_0000) + 8;
  const what = 'the memory is too small for the kernel and its modules';
  return new ConfigError('memory-too-small', what, `give the machine at least ${mebibytes} MiB (-m)`);
}
