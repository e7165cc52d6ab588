/**
 * Recognises kernels and firmware.
 *
 * Specs: Linux, Documentation/arch/riscv/boot-image-header.rst; ELF as in
 * loader-elf.ts; EFI zboot as in Linux, drivers/firmware/efi/libstub/zboot-header.S;
 * U-Boot's legacy image header, include/image.h.
 *
 * What is not recognised is a raw binary, as in QEMU; only files that certainly
 * are no kernels are refused.
 */
import { readU16, readU32, readU32be, readU64 } from '../bits/endian.ts';
import { ConfigError } from '../bits/errors.ts';
import { latin1 } from '../bits/text.ts';
import { isElf, parseElf, type Segment } from './loader-elf.ts';
import { gunzip, isGzip } from './loader-gzip.ts';

export type { Segment } from './loader-elf.ts';

export const EM_RISCV = 243;

export type BootImage =
  /** Runs where it is put: a Linux Image, or a raw binary. `size` includes what it clears; bytes. */
  | { readonly kind: 'linux'; readonly data: Uint8Array; readonly size: number; readonly textOffset: number }
  | { readonly kind: 'raw'; readonly data: Uint8Array; readonly size: number }
  /** Says itself where it belongs. */
  | { readonly kind: 'fixed'; readonly entry: number; readonly segments: readonly Segment[] };

/** Formats that people take for kernels: where the magic is, what it is, what the file is. */
const FOREIGN: readonly (readonly [number, string, string])[] = [
  [0, '\xfd7zXZ\0', 'compressed with xz'],
  [0, '\x28\xb5\x2f\xfd', 'compressed with zstd'],
  [0, 'BZh', 'compressed with bzip2'],
  [0, '\x02\x21\x4c\x18', 'compressed with lz4'],
  [0, '\x04\x22\x4d\x18', 'compressed with lz4'],
  [0, '!<arch>\n', 'an ar archive or a .deb package'],
  [0, '070701', 'a cpio archive (an initial ramdisk?)'],
  [0, '070702', 'a cpio archive (an initial ramdisk?)'],
  [257, 'ustar', 'a tar archive'],
  [0, 'PK\x03\x04', 'a zip archive'],
  [0, 'QFI\xfb', 'a qcow2 disk image'],
  [0, '\xed\xab\xee\xdb', 'an RPM package'],
  [0x8001, 'CD001', 'a CD image'],
  [0, '\xd0\x0d\xfe\xed', 'a device tree or FIT image'],
  [0x38, 'ARM\x64', 'a kernel for arm64'],
  [0x202, 'HdrS', 'a kernel for x86'],
];

/**
 * Recognises a file. `what` (`kernel`, `firmware`) names it in errors and codes; `limit` bounds what it may
 * unpack to, in bytes. Throws ConfigError.
 */
export async function recognise(file: Uint8Array, what: string, limit: number): Promise<BootImage> {
  if (file.length === 0) throw new ConfigError(`${what}-empty`, `the ${what} file is empty`, 'fetch or build it again');
  if (isGzip(file)) {
    const inner = await gunzip(file, what, limit);
    if (!isGzip(inner)) return recognise(inner, what, limit);
    throw notOne(what, 'compressed twice');
  }
  if (isElf(file)) return { kind: 'fixed', ...parseElf(file, what, EM_RISCV) };
  if (has(file, 0, 'MZ') && has(file, 4, 'zimg')) return unpackZboot(file, what, limit);
  if (has(file, 0x30, 'RISCV\0\0\0') || has(file, 0x38, 'RSC\x05')) return linuxImage(file, what);
  if (file.length >= 64 && readU32be(file, 0) === 0x2705_1956) return uImage(file, what, limit);
  for (const [at, magic, name] of FOREIGN) if (has(file, at, magic)) throw notOne(what, name);
  if (isText(file)) throw notOne(what, 'a text file');
  return { kind: 'raw', data: file, size: file.length };
}

function notOne(what: string, name: string): ConfigError {
  return new ConfigError(
    `${what}-not-a-${what}`,
    `the ${what} file is ${name}`,
    `use an uncompressed, gzip or ELF ${what}`,
  );
}

function has(file: Uint8Array, at: number, magic: string): boolean {
  return file.length >= at + magic.length && latin1(file.subarray(at, at + magic.length)) === magic;
}

function isText(file: Uint8Array): boolean {
  return file.subarray(0, 1024).every((byte) => (byte >= 0x20 && byte < 0x7f) || (byte >= 9 && byte <= 13));
}

function linuxImage(file: Uint8Array, what: string): BootImage {
  const truncated = file.length < 64 || peEnd(file) > file.length;
  if (truncated)
    throw new ConfigError(`${what}-truncated`, `the ${what} is a truncated Linux Image`, 'fetch or build it again');
  return {
    kind: 'linux',
    data: file,
    textOffset: readU64(file, 8),
    size: Math.max(readU64(file, 16), file.length),
  };
}

/** Where the last section of a PE file ends, so that a truncated EFI kernel is noticed; 0 without a PE header. */
function peEnd(file: Uint8Array): number {
  if (!has(file, 0, 'MZ') || file.length < 0x40) return 0;
  const header = readU32(file, 0x3c);
  if (!has(file, header, 'PE\0\0') || file.length < header + 24) return 0;
  const sections = readU16(file, header + 6);
  const table = header + 24 + readU16(file, header + 20);
  if (table + 40 * sections > file.length) return Infinity;
  let end = 0;
  for (let i = 0; i < sections; i++) {
    const at = table + 40 * i;
    end = Math.max(end, readU32(file, at + 20) + readU32(file, at + 16));
  }
  return end;
}

async function unpackZboot(file: Uint8Array, what: string, limit: number): Promise<BootImage> {
  if (file.length < 64)
    throw new ConfigError(`${what}-truncated`, `the ${what} is a truncated zboot image`, 'fetch it again');
  const compression = latin1(file.subarray(24, 56)).replace(/\0.*$/s, '');
  const start = readU32(file, 8);
  const end = start + readU32(file, 12);
  if (compression !== 'gzip') {
    const why = `the ${what} is an EFI zboot image compressed with ${JSON.stringify(compression)}`;
    throw new ConfigError(`${what}-zboot-compression`, why, 'use one compressed with gzip, or the uncompressed Image');
  }
  if (end > file.length)
    throw new ConfigError(`${what}-truncated`, `the ${what} is a truncated zboot image`, 'fetch or build it again');
  return recognise(await gunzip(file.subarray(start, end), what, limit), what, limit);
}

/** U-Boot's legacy header: big-endian sizes and addresses in front of the data. */
async function uImage(file: Uint8Array, what: string, limit: number): Promise<BootImage> {
  const size = readU32be(file, 12);
  const [address, entry] = [readU32be(file, 16), readU32be(file, 20)];
  const compression = file[31];
  if (64 + size > file.length)
    throw new ConfigError(`${what}-truncated`, `the ${what} is a truncated U-Boot image`, 'fetch or build it again');
  if (compression > 1) throw notOne(what, 'a U-Boot image with an unknown compression');
  const body = file.subarray(64, 64 + size);
  const data = compression === 1 ? await gunzip(body, what, limit) : body;
  return { kind: 'fixed', entry, segments: [{ address, data, size: data.length }] };
}
