/** Where a PC's RAM shows in guest-physical space, and what firmware is told about it. */
import { alignDown, writeU32, writeU64 } from '../bits/endian.ts';

export const E820 = { RAM: 1, RESERVED: 2, ACPI: 3 };

/** Guest-physical, bytes; `type` as in INT 15h AX=E820h. */
export interface MemoryRange {
  readonly base: number;
  readonly size: number;
  readonly type: number;
}

export const FOUR_GIB = 0x1_0000_0000;
const MIB = 0x10_0000;

export interface PcMemory {
  /** Bytes of RAM at 0 (with what VGA and ROMs cover). */
  readonly below: number;
  /** Bytes of RAM at 4 GiB. */
  readonly above: number;
}

/**
 * Splits RAM around the hole for devices, as QEMU 7.2 does. `limit` is where the hole begins at most, `split` where it
 * begins when RAM does not fit below that.
 */
export function splitMemory(size: number, limit: number, split: number): PcMemory {
  return size >= limit ? { below: split, above: size - split } : { below: size, above: 0 };
}

/** The ranges of RAM alone: `etc/e820`. */
export function ramRanges({ below, above }: PcMemory): MemoryRange[] {
  const ranges = [{ base: 0, size: below, type: E820.RAM }];
  if (above > 0) ranges.push({ base: FOUR_GIB, size: above, type: E820.RAM });
  return ranges;
}

/** The map that a kernel without firmware gets; the last `acpi` bytes below 4 GiB hold tables. */
export function directRanges(memory: PcMemory, acpi: number): MemoryRange[] {
  const top = alignDown(memory.below - acpi, 4096);
  const ranges = [
    { base: 0, size: 0x9_fc00, type: E820.RAM },
    { base: 0x9_fc00, size: 0x400, type: E820.RESERVED },
    { base: 0xe_0000, size: 0x2_0000, type: E820.RESERVED },
    { base: MIB, size: top - MIB, type: E820.RAM },
  ];
  if (memory.below > top) ranges.push({ base: top, size: memory.below - top, type: E820.ACPI });
  return memory.above ? [...ranges, { base: FOUR_GIB, size: memory.above, type: E820.RAM }] : ranges;
}

/** Packed entries of 20 bytes. */
export function e820Table(ranges: readonly MemoryRange[]): Uint8Array {
  const table = new Uint8Array(20 * ranges.length);
  ranges.forEach(({ base, size, type }, index) => {
    writeU64(table, 20 * index, base);
    writeU64(table, 20 * index + 8, size);
    writeU32(table, 20 * index + 16, type);
  });
  return table;
}
