/**
 * ELF executables for x86, of 32 and 64 bits, as kernels that are entered in
 * protected mode: by Multiboot, or by the PVH note.
 *
 * Specs: System V ABI, "Object Files"; Xen, "x86/HVM direct boot ABI"
 * (XEN_ELFNOTE_PHYS32_ENTRY).
 */
import { readU16, readU32, readU64 } from '../bits/endian.ts';
import { ConfigError } from '../bits/errors.ts';
import type { Segment } from './loader-elf.ts';

const EM_386 = 3;
const EM_X86_64 = 62;
const PT_LOAD = 1;
const PT_NOTE = 4;
const XEN_ELFNOTE_PHYS32_ENTRY = 18;
/** No kernel has more program headers, notes. */
const MOST = 1024;

export interface X86Elf {
  readonly bits: 32 | 64;
  /** Physical, where the file's entry lies in a segment. */
  readonly entry: number;
  /** The entry of PVH, physical. */
  readonly pvhEntry?: number;
  /** By physical address, as the file has them. */
  readonly segments: readonly Segment[];
}

/** Throws ConfigError for files that are truncated, for another processor, or load nothing. */
export function parseX86Elf(bytes: Uint8Array): X86Elf {
  const wide = bytes[4] === 2;
  if (bytes.length < (wide ? 64 : 52)) throw truncated();
  const machine = readU16(bytes, 18);
  if (bytes[5] !== 1 || (machine !== EM_386 && machine !== EM_X86_64))
    throw new ConfigError(
      'kernel-wrong-architecture',
      `the kernel is an ELF file for another processor (e_machine ${machine})`,
      'use one for x86',
    );
  const word = (at: number) => (wide ? readU64(bytes, at) : readU32(bytes, at));
  const table = word(wide ? 32 : 28);
  const entrySize = wide ? 56 : 32;
  const count = readU16(bytes, wide ? 56 : 44);
  if (count > MOST || !(table + count * entrySize <= bytes.length)) throw truncated();
  const virtualEntry = word(24);
  let entry = virtualEntry;
  let pvhEntry: number | undefined;
  const segments: Segment[] = [];
  for (let i = 0; i < count; i++) {
    const at = table + i * entrySize;
    const kind = readU32(bytes, at);
    const [offset, virtual, address, fileSize, memorySize] = (wide ? [8, 16, 24, 32, 40] : [4, 8, 12, 16, 20]).map(
      (field) => word(at + field),
    );
    if (kind !== PT_LOAD && kind !== PT_NOTE) continue;
    if (!(offset + fileSize <= bytes.length)) throw truncated();
    const data = bytes.subarray(offset, offset + fileSize);
    if (kind === PT_NOTE) {
      pvhEntry ??= pvhNote(data);
      continue;
    }
    const size = Math.max(memorySize, fileSize);
    if (size === 0) continue;
    segments.push({ address, data, size });
    if (virtualEntry >= virtual && virtualEntry < virtual + size) entry = address + (virtualEntry - virtual);
  }
  if (!segments.length)
    throw new ConfigError(
      'kernel-not-bootable',
      'the kernel is an ELF file that loads nothing',
      'link it as a program',
    );
  return { bits: wide ? 64 : 32, entry, pvhEntry, segments };
}

/** The 32-bit entry that a Xen note names. */
function pvhNote(notes: Uint8Array): number | undefined {
  for (let at = 0, n = 0; at + 12 <= notes.length && n < MOST; n++) {
    const nameSize = readU32(notes, at);
    const size = readU32(notes, at + 4);
    const name = at + 12;
    const content = name + Math.ceil(nameSize / 4) * 4;
    const next = content + Math.ceil(size / 4) * 4;
    if (!(next <= notes.length)) return undefined;
    const isXen = nameSize === 4 && readU32(notes, name) === 0x006e_6558; // "Xen"
    if (isXen && readU32(notes, at + 8) === XEN_ELFNOTE_PHYS32_ENTRY && size >= 4) return readU32(notes, content);
    at = next;
  }
  return undefined;
}

function truncated(): ConfigError {
  return new ConfigError('kernel-truncated', 'the kernel is a truncated ELF file', 'fetch or build it again');
}
