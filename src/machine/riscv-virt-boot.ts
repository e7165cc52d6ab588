/**
 * What lies where in RAM when the `virt` board comes out of reset: firmware,
 * kernel, initial ramdisk, device tree, and the reset vector in the mask ROM.
 *
 * Placement follows QEMU 7.2 (hw/riscv/boot.c's rules): the kernel at the next
 * 2 MiB boundary behind the firmware, the ramdisk half the RAM or 128 MiB
 * further, the tree at the end of RAM below 3 GiB, aligned to 2 MiB.
 * Departure: a ramdisk never starts inside the kernel's image.
 */
import { alignDown, alignUp, writeU32, writeU64 } from '../bits/endian.ts';
import { ConfigError } from '../bits/errors.ts';
import type { BootImage, Segment } from './loader.ts';
import { VIRT_MAP } from './riscv-virt-map.ts';

const MIB = 0x10_0000;
const FDT_LIMIT = 0xc000_0000;
const FW_DYNAMIC_MAGIC = 0x4942_534f; // "OSBI"
const FW_DYNAMIC_VERSION = 2;
const PRV_S = 1;

/** The order in which images take their places. */
export interface BootFiles {
  /** Bytes of RAM. */
  readonly memory: number;
  /** Bytes at the start of RAM where a kernel expects firmware though there is none. */
  readonly reserved?: number;
  readonly firmware?: BootImage;
  readonly kernel?: BootImage;
  readonly initrd?: Uint8Array;
}

export interface Placed {
  /** Everything to copy into RAM at reset, but for the device tree. */
  readonly segments: Segment[];
  /** Where firmware starts; RAM's base without one. */
  readonly firmwareEntry: number;
  /** Where the kernel starts, 0 without one. */
  readonly kernelEntry: number;
  readonly initrd?: { readonly start: number; readonly end: number };
}

/** Finds places for all images. Throws ConfigError `memory-too-small` or `…-outside-ram`. */
export function placeImages(files: BootFiles): Placed {
  const { base } = VIRT_MAP.dram;
  const segments: Segment[] = [];
  let firmwareEntry: number = base;
  let firmwareEnd = base + (files.reserved ?? 0);
  if (files.firmware) {
    const placed = place(files.firmware, base, 'firmware', files.memory);
    segments.push(...placed.segments);
    firmwareEntry = placed.entry;
    firmwareEnd = placed.end;
  }
  if (!files.kernel) return { segments, firmwareEntry, kernelEntry: 0 };

  const placed = place(files.kernel, alignUp(firmwareEnd, 2 * MIB), 'kernel', files.memory);
  for (const segment of placed.segments) {
    const clash = segments.find(
      (other) => segment.address < other.address + other.size && other.address < segment.address + segment.size,
    );
    if (clash)
      throw new ConfigError(
        'kernel-over-firmware',
        `the kernel at ${hex(segment.address)} overlaps the firmware`,
        'link it elsewhere',
      );
  }
  segments.push(...placed.segments);
  if (!files.initrd) return { segments, firmwareEntry, kernelEntry: placed.entry };

  const wanted = placed.entry + Math.min(alignDown(files.memory / 2, 4096), 128 * MIB);
  const room = base + files.memory - 2 * MIB; // leave the tree its place
  let initrd = Math.max(wanted, alignUp(placed.end, 4096));
  if (initrd + files.initrd.length > room) initrd = alignUp(placed.end, 4096);
  if (initrd + files.initrd.length > room) {
    const need = alignUp(initrd + files.initrd.length - base + 3 * MIB, MIB) / MIB;
    throw tooSmall(files.memory, 'kernel and initial ramdisk', need);
  }
  segments.push({ address: initrd, data: files.initrd, size: files.initrd.length });
  return {
    segments,
    firmwareEntry,
    kernelEntry: placed.entry,
    initrd: { start: initrd, end: initrd + files.initrd.length },
  };
}

/** Where the device tree goes. Throws ConfigError `memory-too-small` when something lies there. */
export function placeFdt(memory: number, size: number, segments: readonly Segment[]): number {
  const end = Math.min(VIRT_MAP.dram.base + memory, FDT_LIMIT);
  let address = alignDown(end - size, 2 * MIB);
  const free = () =>
    segments.every((other) => address >= other.address + other.size || address + size <= other.address);
  // A ramdisk that fills RAM up to its end: the last place that is free will do.
  if (!free()) address = alignDown(end - size, 4096);
  if (address < VIRT_MAP.dram.base || !free()) throw tooSmall(memory, 'images and device tree', memory / MIB + 4);
  return address;
}

function place(image: BootImage, start: number, what: string, memory: number) {
  const segments: readonly Segment[] =
    image.kind === 'fixed' ? image.segments : [{ address: start, data: image.data, size: image.size }];
  const { base } = VIRT_MAP.dram;
  let end = 0;
  for (const segment of segments) {
    end = Math.max(end, segment.address + segment.size);
    if (segment.address >= base && segment.address + segment.size <= base + memory) continue;
    if (segment.address < base || segment.size > 0xffff_ffff || image.kind === 'fixed') {
      const where = `${hex(segment.address)} to ${hex(segment.address + segment.size)}`;
      const ram = `RAM is ${hex(base)} to ${hex(base + memory)}`;
      throw new ConfigError(
        `${what}-outside-ram`,
        `the ${what} wants to be at ${where}, ${ram}`,
        'link it for this board or add memory (-m)',
      );
    }
    throw tooSmall(memory, what, alignUp(end - base + 4 * MIB, MIB) / MIB);
  }
  return { segments, entry: image.kind === 'fixed' ? image.entry : start, end };
}

function tooSmall(memory: number, what: string, mebibytes: number): ConfigError {
  const has = `${memory / MIB} MiB of memory are too few for the ${what}`;
  return new ConfigError('memory-too-small', has, `give the machine at least ${Math.ceil(mebibytes)} MiB (-m)`);
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

/**
 * The code that every hart starts with at the base of the mask ROM, its data and the `fw_dynamic_info` for
 * OpenSBI behind it: a0 = hart, a1 = device tree, a2 = info, jump to `start`.
 */
export function resetVector(start: number, fdt: number, kernelEntry: number): Uint8Array {
  const rom = new Uint8Array(40 + 48);
  const code = [
    0x0000_0297, // auipc t0, 0
    0x0282_8613, // addi  a2, t0, 40
    0xf140_2573, // csrr  a0, mhartid
    0x0202_b583, // ld    a1, 32(t0)
    0x0182_b283, // ld    t0, 24(t0)
    0x0002_8067, // jr    t0
  ];
  code.forEach((word, index) => {
    writeU32(rom, 4 * index, word);
  });
  const info = [FW_DYNAMIC_MAGIC, FW_DYNAMIC_VERSION, kernelEntry, PRV_S, 0, 0];
  [start, fdt, ...info].forEach((value, index) => {
    writeU64(rom, 24 + 8 * index, value);
  });
  return rom;
}
