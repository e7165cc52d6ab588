/**
 * ELF executables as boot images.
 *
 * Spec: System V ABI, "Object Files" and "Program Loading"; the e_machine of
 * RISC-V is 243.
 */
import { readU16, readU32, readU64 } from '../bits/endian.ts';
import { ConfigError } from '../bits/errors.ts';

const PT_LOAD = 1;
const PROGRAM_HEADER = 56;

/** Bytes for guest-physical memory: `data`, then zeros up to `size`. */
export interface Segment {
  readonly address: number;
  readonly data: Uint8Array;
  readonly size: number;
}

export interface ElfImage {
  readonly entry: number;
  readonly segments: readonly Segment[];
}

export function isElf(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && readU32(bytes, 0) === 0x464c_457f;
}

/** Parses a little-endian ELF64 for `machine`; `what` names it in the ConfigError thrown otherwise. */
export function parseElf(bytes: Uint8Array, what: string, machine: number): ElfImage {
  const truncated = () =>
    new ConfigError(`${what}-truncated`, `the ${what} is a truncated ELF file`, 'fetch or build it again');
  if (bytes.length < 64) throw truncated();
  if (bytes[4] !== 2 || bytes[5] !== 1) {
    const why = bytes[4] === 1 ? 'is a 32-bit ELF file' : 'is no little-endian ELF64 file';
    throw new ConfigError(`${what}-wrong-architecture`, `the ${what} ${why}`, 'build it for a 64-bit machine');
  }
  if (readU16(bytes, 18) !== machine) {
    const why = `the ${what} is an ELF file for another processor (e_machine ${readU16(bytes, 18)}, not ${machine})`;
    throw new ConfigError(`${what}-wrong-architecture`, why, 'use one for this machine');
  }
  const table = readU64(bytes, 32);
  const entrySize = readU16(bytes, 54);
  const count = readU16(bytes, 56);
  if (count === 0 || entrySize !== PROGRAM_HEADER)
    throw new ConfigError(
      `${what}-not-bootable`,
      `the ${what} is an ELF file without segments`,
      'link it as an executable',
    );
  if (!(table + count * PROGRAM_HEADER <= bytes.length)) throw truncated();
  let entry = readU64(bytes, 24);
  const virtualEntry = entry;
  const segments: Segment[] = [];
  for (let i = 0; i < count; i++) {
    const at = table + i * PROGRAM_HEADER;
    if (readU32(bytes, at) !== PT_LOAD) continue;
    const offset = readU64(bytes, at + 8);
    const virtual = readU64(bytes, at + 16);
    const address = readU64(bytes, at + 24);
    const fileSize = readU64(bytes, at + 32);
    const size = Math.max(readU64(bytes, at + 40), fileSize);
    if (!(offset + fileSize <= bytes.length)) throw truncated();
    if (size === 0) continue;
    segments.push({ address, data: bytes.subarray(offset, offset + fileSize), size });
    // An entry point that is a virtual address lies in the segment that holds it. Far above 2^53 both
    // numbers are rounded: the low bits come from exact 64-bit arithmetic.
    const into = BigInt.asUintN(64, exact(bytes, 24) - exact(bytes, at + 16));
    if (virtualEntry >= virtual && into < BigInt(size)) entry = address + Number(into);
  }
  if (!segments.length)
    throw new ConfigError(
      `${what}-not-bootable`,
      `the ${what} is an ELF file that loads nothing`,
      'link it as an executable',
    );
  return { entry, segments };
}

function exact(bytes: Uint8Array, at: number): bigint {
  return (BigInt(readU32(bytes, at + 4)) << 32n) | BigInt(readU32(bytes, at));
}
