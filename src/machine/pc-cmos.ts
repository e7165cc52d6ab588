/**
 * What firmware finds in CMOS memory: sizes of memory, drives, boot order.
 *
 * Spec: IBM PC AT technical reference, "Real-Time Clock/CMOS RAM Information";
 * the bytes beyond are Bochs's and QEMU's, which SeaBIOS reads.
 */
import type { PcMemory } from './pc-memory.ts';

const KIB = 1024;
const BLOCK = 0x1_0000;
const MIB = 0x10_0000;
/** Types of floppy drives: 1.44 MB. */
const FLOPPY_144 = 4;
/** Codes of boot devices. */
const BOOT: Readonly<Record<string, number>> = { a: 1, c: 2, d: 3, n: 4 };

export interface Cmos {
  readonly memory: PcMemory;
  readonly cpus: number;
  /** Drives A and B. */
  readonly floppies: readonly boolean[];
  /** Letters of `-boot order=`. */
  readonly bootOrder: string;
  /** Check a floppy's signature before booting it. */
  readonly floppyCheck: boolean;
  /** Geometry of the first two IDE disks: cylinders, heads, sectors. */
  readonly disks: readonly (readonly [number, number, number] | undefined)[];
}

/** Writes through `set`. */
export function fillCmos(cmos: Cmos, set: (at: number, value: number) => void): void {
  const word = (at: number, value: number) => {
    set(at, value & 0xff);
    set(at + 1, (value >>> 8) & 0xff);
  };
  const { below, above } = cmos.memory;
  word(0x15, 640);
  const extended = Math.min(0xffff, Math.max(0, (below - MIB) / KIB));
  word(0x17, extended);
  word(0x30, extended);
  word(0x34, Math.min(0xffff, Math.max(0, (below - 16 * MIB) / BLOCK)));
  const high = Math.min(0xff_ffff, above / BLOCK);
  word(0x5b, high);
  set(0x5d, high >>> 16);
  set(0x5f, Math.min(255, cmos.cpus - 1));
  const codes = [...cmos.bootOrder].map((letter) => BOOT[letter] ?? 0).slice(0, 3);
  set(0x3d, ((codes[1] ?? 0) << 4) | (codes[0] ?? 0));
  set(0x38, ((codes[2] ?? 0) << 4) | (cmos.floppyCheck ? 0 : 1));
  const types = cmos.floppies.map((there) => (there ? FLOPPY_144 : 0));
  set(0x10, ((types[0] ?? 0) << 4) | (types[1] ?? 0));
  const count = cmos.floppies.filter((there) => there).length;
  set(0x14, 0x06 | (count ? ((count - 1) << 6) | 1 : 0)); // coprocessor, PS/2 mouse, floppies
  disks(cmos.disks, set, word);
}

/** Type 47 with a geometry, and whether firmware translates it. */
function disks(
  geometries: Cmos['disks'],
  set: (at: number, value: number) => void,
  word: (at: number, value: number) => void,
): void {
  let translation = 0;
  geometries.forEach((geometry, index) => {
    if (!geometry || index > 1) return;
    const [cylinders, heads, sectors] = geometry;
    const at = index === 0 ? 0x1b : 0x24;
    set(0x19 + index, 47);
    word(at, cylinders);
    set(at + 2, heads);
    word(at + 3, 0xffff);
    set(at + 5, 0xc0 | (heads > 8 ? 8 : 0));
    word(at + 6, cylinders);
    set(at + 8, sectors);
    // None while it fits into 1024 cylinders and 16 heads, else LBA.
    if (cylinders > 1024) translation |= 1 << (2 * index);
  });
  set(0x12, (geometries[0] ? 0xf0 : 0) | (geometries[1] ? 0x0f : 0));
  set(0x39, translation);
}
