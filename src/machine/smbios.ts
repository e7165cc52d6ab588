/**
 * SMBIOS: what the machine says about itself (dmidecode).
 *
 * Spec: DMTF DSP0134 3.6, "Structure definitions"; the entry point is the
 * 32-bit one of 2.8. Contents and handles are QEMU 7.2's.
 */
import { writeU16, writeU32, writeU64 } from '../bits/endian.ts';
import { utf8 } from '../bits/text.ts';
import type { MemoryRange } from './pc-memory.ts';
import { E820 } from './pc-memory.ts';

const KIB = 1024;
const GIB = 2 ** 30;
/** Above this a memory device's size goes to its extended field. */
const OLD_DEVICE_LIMIT = 0x7fff;
const DEVICE_SIZE = 16 * GIB;
const UNKNOWN = 2;
const OTHER = 1;

export interface SmbiosMachine {
  /** `Standard PC (i440FX + PIIX, 1996)` */
  readonly product: string;
  /** `pc-i440fx-7.2` */
  readonly version: string;
  /** 16 bytes as text, or nothing. */
  readonly uuid?: string;
  readonly cpus: number;
  /** Bytes of RAM. */
  readonly memory: number;
  readonly ranges: readonly MemoryRange[];
  /** CPUID leaf 1: eax, edx. */
  readonly processor?: { readonly eax: number; readonly edx: number };
  /** Type 0, where somebody wants it said: firmware fills it in otherwise. */
  readonly bios?: { readonly vendor: string; readonly version: string; readonly date: string };
}

export interface SmbiosFiles {
  readonly tables: Uint8Array;
  readonly anchor: Uint8Array;
}

class Structures {
  private readonly pieces: Uint8Array[] = [];
  largest = 0;

  get count(): number {
    return this.pieces.length;
  }

  /** A structure: formatted area (`length` bytes with its header), then strings that `text` numbers. */
  add(
    type: number,
    handle: number,
    length: number,
    fill: (at: Uint8Array, text: (value: string) => number) => void,
  ): void {
    const area = new Uint8Array(length);
    area[0] = type;
    area[1] = length;
    writeU16(area, 2, handle);
    const strings: number[] = [];
    let count = 0;
    fill(area, (value) => {
      if (value === '') return 0;
      strings.push(...utf8(value), 0);
      return ++count;
    });
    const piece = Uint8Array.of(...area, ...strings, ...(count ? [0] : [0, 0]));
    this.largest = Math.max(this.largest, piece.length);
    this.pieces.push(piece);
  }

  finish(): Uint8Array {
    return Uint8Array.from(this.pieces.flatMap((piece) => [...piece]));
  }
}

export function smbios(machine: SmbiosMachine): SmbiosFiles {
  const all = new Structures();
  const { bios, product, version, cpus, memory } = machine;
  const maker = 'QEMU';
  if (bios) {
    all.add(0, 0x0000, 0x18, (at, text) => {
      at[4] = text(bios.vendor);
      at[5] = text(bios.version);
      writeU16(at, 6, 0xe800);
      at[8] = text(bios.date);
      writeU32(at, 10, 0x08); // characteristics are not supported
      at[0x13] = 0x1c; // targeted content, virtual machine, UEFI unknown
    });
  }
  all.add(1, 0x0100, 0x1b, (at, text) => {
    at[4] = text(maker);
    at[5] = text(product);
    at[6] = text(version);
    at.set(uuidBytes(machine.uuid), 8);
    at[0x18] = 6; // woken by the power switch
  });
  all.add(3, 0x0300, 0x16, (at, text) => {
    at[4] = text(maker);
    at[5] = OTHER;
    at[6] = text(version);
    at.fill(3, 9, 12); // safe: boot-up, power supply, thermal
    at[12] = UNKNOWN;
  });
  for (let socket = 0; socket < cpus; socket++) {
    all.add(4, 0x0400 + socket, 0x2a, (at, text) => {
      at[4] = text(`CPU ${socket}`);
      at[5] = 3; // central processor
      at[6] = OTHER;
      at[7] = text(maker);
      writeU32(at, 8, machine.processor?.eax ?? 0);
      writeU32(at, 12, machine.processor?.edx ?? 0);
      at[0x10] = text(version);
      writeU16(at, 0x14, 2000); // MHz, most and now
      writeU16(at, 0x16, 2000);
      at[0x18] = 0x41; // populated, enabled
      at[0x19] = OTHER;
      at.fill(0xff, 0x1a, 0x20); // no cache handles
      at.fill(1, 0x23, 0x26); // cores, enabled, threads
      writeU16(at, 0x26, UNKNOWN);
      writeU16(at, 0x28, OTHER);
    });
  }
  memoryStructures(all, memory, machine.ranges);
  all.add(32, 0x2000, 0x0b, () => {});
  all.add(127, 0x7f00, 4, () => {});
  const tables = all.finish();
  return { tables, anchor: anchor(all, tables.length) };
}

function memoryStructures(all: Structures, memory: number, ranges: readonly MemoryRange[]): void {
  const devices = Math.max(1, Math.ceil(memory / DEVICE_SIZE));
  all.add(16, 0x1000, 0x17, (at) => {
    at[4] = OTHER;
    at[5] = 3; // system memory
    at[6] = 6; // error correction over several bits
    writeU32(at, 7, memory / KIB < 0x8000_0000 ? memory / KIB : 0x8000_0000);
    if (memory / KIB >= 0x8000_0000) writeU64(at, 0x0f, memory);
    writeU16(at, 0x0b, 0xfffe);
    writeU16(at, 0x0d, devices);
  });
  for (let device = 0; device < devices; device++) {
    const mebibytes = Math.min(DEVICE_SIZE, memory - device * DEVICE_SIZE) / (KIB * KIB);
    all.add(17, 0x1100 + device, 0x28, (at, text) => {
      writeU16(at, 4, 0x1000);
      writeU16(at, 6, 0xfffe);
      writeU16(at, 8, 0xffff);
      writeU16(at, 10, 0xffff);
      writeU16(at, 12, mebibytes < OLD_DEVICE_LIMIT ? mebibytes : OLD_DEVICE_LIMIT);
      at[14] = 9; // DIMM
      at[16] = text(`DIMM ${device}`);
      at[18] = 7; // RAM
      writeU16(at, 19, 2);
      at[23] = text('QEMU');
      if (mebibytes >= OLD_DEVICE_LIMIT) writeU32(at, 28, mebibytes);
    });
  }
  const parts = ranges.filter(({ type }) => type === E820.RAM);
  parts.forEach(({ base, size }, index) => {
    all.add(19, 0x1300 + index, 0x1f, (at) => {
      const [first, last] = [base / KIB, (base + size) / KIB - 1];
      const wide = last >= 0xffff_ffff;
      writeU32(at, 4, wide ? 0xffff_ffff : first);
      writeU32(at, 8, wide ? 0xffff_ffff : last);
      writeU16(at, 12, 0x1000);
      at[14] = 1;
      if (wide) {
        writeU64(at, 15, base);
        writeU64(at, 23, base + size - 1);
      }
    });
  });
}

/** "_SM_" with the intermediate "_DMI_"; firmware fills in the address and both checksums once more. */
function anchor(all: Structures, length: number): Uint8Array {
  const bytes = new Uint8Array(0x1f);
  bytes.set(utf8('_SM_'));
  bytes[5] = bytes.length;
  bytes[6] = 2;
  bytes[7] = 8;
  writeU16(bytes, 8, all.largest);
  bytes.set(utf8('_DMI_'), 0x10);
  writeU16(bytes, 0x16, length);
  writeU16(bytes, 0x1c, all.count);
  bytes[0x1e] = 0x28;
  const sum = (from: number) => -bytes.subarray(from).reduce((total, byte) => total + byte, 0);
  bytes[0x15] = sum(0x10);
  bytes[4] = sum(0);
  return bytes;
}

/** The first three parts of a UUID are little-endian here. */
function uuidBytes(uuid: string | undefined): Uint8Array {
  const bytes = new Uint8Array(16);
  if (uuid === undefined) return bytes;
  const hex = uuid.replaceAll('-', '');
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  order.forEach((from, at) => {
    bytes[at] = Number.parseInt(hex.slice(2 * from, 2 * from + 2), 16);
  });
  return bytes;
}
