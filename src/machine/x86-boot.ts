/**
 * `-kernel` on a PC: what fw_cfg offers and which option ROM boots it, and how
 * a board without firmware goes about it.
 */
import { ConfigError } from '../bits/errors.ts';
import { FW_CFG } from '../devices/fw-cfg/fw-cfg.ts';
import type { MachineConfig } from './config.ts';
import { isElf, type Segment } from './loader-elf.ts';
import { gunzip, isGzip } from './loader-gzip.ts';
import { e820Table, type MemoryRange } from './pc-memory.ts';
import { BOOT_INFO, BOOT_MAP, type ElfBoot, prepareMultiboot, preparePvh } from './x86-boot-elf.ts';
import { isLinux, type LinuxImage, linuxEntry, prepareLinux, ramdiskField, zeroPage } from './x86-boot-linux.ts';
import { multibootHeader } from './x86-multiboot.ts';
import { buildOptionRom, buildResetRom, type RomTransfer } from './x86-boot-rom.ts';

export interface FirmwareBoot {
  /** fw_cfg items by number. */
  readonly items: readonly (readonly [key: number, content: Uint8Array])[];
  /** The option ROM that boots it, and its name below `genroms/`. */
  readonly rom: { readonly name: string; readonly content: Uint8Array };
}

type Files = Pick<MachineConfig, 'kernel' | 'kernelName' | 'initrd' | 'modules' | 'append' | 'memory'>;

/** An item that is not there reads as zeros. */
const NO_ITEM = 0x3fff;
/** Left between the set-up code's stack and the command line, bytes. */
const STACK_MARGIN = 16;

/** A boot through firmware. `top` is where RAM below 4 GiB ends that is free for images. Throws ConfigError. */
export async function firmwareBoot(files: Files, top: number): Promise<FirmwareBoot> {
  const kernel = await unpack(files);
  if (isLinux(kernel)) return linuxBoot(prepareLinux({ kernel, initrd: files.initrd, append: files.append, top }));
  return elfBoot(recogniseElf(kernel, files, top, {}));
}

async function unpack({ kernel, memory }: Files): Promise<Uint8Array> {
  if (!kernel?.length) throw new ConfigError('kernel-empty', 'the kernel file is empty', 'fetch or build it again');
  return isGzip(kernel) ? gunzip(kernel, 'kernel', memory) : kernel;
}

function recogniseElf(
  kernel: Uint8Array,
  files: Files,
  top: number,
  extras: Parameters<typeof preparePvh>[2],
): ElfBoot {
  const { kernelName = 'kernel', append = '', initrd } = files;
  const header = multibootHeader(kernel);
  const common = { kernel, kernelName, append, top };
  if (header !== undefined) {
    const modules = files.modules ?? (initrd ? [{ data: initrd, commandLine: 'initrd' }] : []);
    return prepareMultiboot(common, header, modules);
  }
  if (isElf(kernel)) return preparePvh(common, initrd, extras);
  throw new ConfigError('kernel-not-a-kernel', 'the kernel is no bzImage, Multiboot or PVH kernel', 'use one of these');
}

function linuxBoot(image: LinuxImage): FirmwareBoot {
  const { setup, setupAddress, code, codeAddress, commandLine, commandLineAddress, initrd } = image;
  const items: (readonly [number, Uint8Array])[] = [];
  const transfers: RomTransfer[] = [];
  const add = (keys: { address: number; size: number; data: number }, address: number, data: Uint8Array) => {
    items.push([keys.address, u32(address)], [keys.size, u32(data.length)], [keys.data, data]);
    transfers.push({ item: keys.data, length: data.length, address });
  };
  add(KEYS.setup, setupAddress, setup);
  add(KEYS.commandLine, commandLineAddress, commandLine);
  add(KEYS.kernel, codeAddress, code);
  if (initrd) add(KEYS.initrd, initrd.address, initrd.data);
  const content = buildOptionRom({
    product: 'Linux loader',
    transfers,
    initrd: initrd && { transfer: transfers.length - 1, fieldAt: ramdiskField(image) },
    entry: { kind: 'real', setup: setupAddress, stack: commandLineAddress - setupAddress - STACK_MARGIN },
  });
  return { items, rom: { name: 'linuxboot_dma.bin', content } };
}

const KEYS = {
  setup: { address: FW_CFG.SETUP_ADDR, size: FW_CFG.SETUP_SIZE, data: FW_CFG.SETUP_DATA },
  commandLine: { address: FW_CFG.CMDLINE_ADDR, size: FW_CFG.CMDLINE_SIZE, data: FW_CFG.CMDLINE_DATA },
  kernel: { address: FW_CFG.KERNEL_ADDR, size: FW_CFG.KERNEL_SIZE, data: FW_CFG.KERNEL_DATA },
  initrd: { address: FW_CFG.INITRD_ADDR, size: FW_CFG.INITRD_SIZE, data: FW_CFG.INITRD_DATA },
};

/** All segments' bytes one behind the other in one item; the ROM puts them into their places. */
function elfBoot({ kind, segments, entry, eax, info, map }: ElfBoot): FirmwareBoot {
  const data = new Uint8Array(segments.reduce((sum, segment) => sum + segment.data.length, 0));
  const transfers: RomTransfer[] = [];
  let at = 0;
  for (const segment of segments) {
    if (!segment.data.length) continue;
    data.set(segment.data, at);
    transfers.push({
      item: at ? undefined : FW_CFG.KERNEL_DATA,
      length: segment.data.length,
      address: segment.address,
    });
    at += segment.data.length;
  }
  // What a segment clears, last: selecting another item forgets the place in the first.
  for (const { address, data: content, size } of segments) {
    if (size > content.length)
      transfers.push({ item: NO_ITEM, length: size - content.length, address: address + content.length });
  }
  const multiboot = kind === 'multiboot';
  const content = buildOptionRom({
    product: multiboot ? 'Multiboot loader' : 'PVH loader',
    transfers,
    entry: { kind: 'protected', entry, eax, ebx: info, map: { kind, info, at: map } },
  });
  const items: FirmwareBoot['items'] = [[FW_CFG.KERNEL_DATA, data]];
  return { items, rom: { name: multiboot ? 'multiboot_dma.bin' : 'pvh.bin', content } };
}

export interface DirectBoot {
  /** What lies in RAM at reset. */
  readonly segments: readonly Segment[];
  /** The last bytes below 4 GiB. */
  readonly rom: Uint8Array;
}

/** Where the boot information, page tables and tables of a boot without firmware lie. */
const DIRECT = { ZERO_PAGE: 0x1_0000, PAGE_TABLES: 0x3_0000 };

/** A boot without firmware: Linux or PVH. `map` is what the kernel is told about memory, `rsdp` where ACPI begins. */
export async function directBoot(
  files: Files,
  map: readonly MemoryRange[],
  top: number,
  rsdp: number | undefined,
): Promise<DirectBoot> {
  const kernel = await unpack(files);
  if (!isLinux(kernel)) {
    const boot = recogniseElf(kernel, files, top, { rsdp, mapEntries: map.length });
    if (boot.kind === 'multiboot')
      throw new ConfigError('kernel-not-bootable', 'the board has no firmware for a Multiboot kernel', 'use -M pc');
    const entry = { kind: 'protected', entry: boot.entry, ebx: BOOT_INFO, esi: 0 } as const;
    const table = pvhMap(map);
    return {
      segments: [...boot.segments, { address: BOOT_MAP, data: table, size: table.length }],
      rom: buildResetRom(entry),
    };
  }
  const image = prepareLinux({ kernel, initrd: files.initrd, append: files.append, top });
  const segments: Segment[] = [];
  const put = (address: number, data: Uint8Array) => segments.push({ address, data, size: data.length });
  put(DIRECT.ZERO_PAGE, zeroPage(image, map, rsdp));
  put(image.commandLineAddress, image.commandLine);
  put(image.codeAddress, image.code);
  if (image.initrd) put(image.initrd.address, image.initrd.data);
  const entry = linuxEntry(image);
  if (!image.entry64)
    return { segments, rom: buildResetRom({ kind: 'protected', entry, ebx: 0, esi: DIRECT.ZERO_PAGE }) };
  put(DIRECT.PAGE_TABLES, identityTables(DIRECT.PAGE_TABLES));
  return {
    segments,
    rom: buildResetRom({ kind: 'long', entry, esi: DIRECT.ZERO_PAGE, cr3: DIRECT.PAGE_TABLES }),
  };
}

/** hvm_memmap_table_entry: 24 bytes each. */
function pvhMap(map: readonly MemoryRange[]): Uint8Array {
  const packed = e820Table(map);
  const table = new Uint8Array(24 * map.length);
  for (let i = 0; i < map.length; i++) table.set(packed.subarray(20 * i, 20 * i + 20), 24 * i);
  return table;
}

/** Page tables that show the first 4 GiB as they are, in pages of 2 MiB; six pages. */
function identityTables(at: number): Uint8Array {
  const tables = new Uint8Array(6 * 4096);
  const view = new DataView(tables.buffer);
  const PRESENT = 3; // and writable
  view.setUint32(0, (at + 4096) | PRESENT, true);
  for (let gib = 0; gib < 4; gib++) view.setUint32(4096 + 8 * gib, (at + 4096 * (2 + gib)) | PRESENT, true);
  for (let page = 0; page < 2048; page++)
    view.setUint32(2 * 4096 + 8 * page, (page * 0x20_0000 + 0x80 + PRESENT) >>> 0, true);
  return tables;
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
}
