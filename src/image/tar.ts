/**
 * Reads tar archives from a stream.
 *
 * Spec: POSIX.1-2024 pax, "ustar Interchange Format" and "pax Extended Header",
 * and GNU tar's long names (types L and K) and base-256 numbers. Departure:
 * sparse files and global headers' defaults are not interpreted.
 */
import { fromUtf8, latin1 } from '../bits/text.ts';
import type { ByteReader } from './byte-reader.ts';

export type TarType = 'file' | 'directory' | 'symlink' | 'hardlink' | 'other';

export interface TarEntry {
  /** Relative, without `./`; never leaves the directory it is unpacked into. */
  readonly path: string;
  readonly type: TarType;
  readonly mode: number;
  /** Bytes of content. */
  readonly size: number;
  /** Where a link points, as written. */
  readonly target: string;
  /** The content; what of it is not read is skipped. */
  readonly body: AsyncGenerator<Uint8Array, void, undefined>;
}

const BLOCK = 512;
/** Names longer than this are refused: a header must not decide how much memory we take. */
const MAX_EXTENDED = 64 * 1024;
/** Far beyond any package, and exactly representable. */
const MAX_SIZE = 2 ** 40;

const TYPES: Readonly<Record<string, TarType>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '5': 'directory',
};

/** Walks the entries in order. */
export async function* tarEntries(reader: ByteReader): AsyncGenerator<TarEntry, void, undefined> {
  let longPath: string | undefined;
  let longTarget: string | undefined;
  let longSize: number | undefined;
  for (;;) {
    const header = await reader.exactlyOrEnd(BLOCK);
    // Two zero blocks end an archive; one, or a clean end of the file, will do.
    if (header === undefined || isZero(header)) return;
    if (!checksumFits(header)) throw reader.malformed('bad tar header checksum');
    const flag = String.fromCharCode(header[156]);
    const size = number(reader, header, 124, 12);
    if (flag === 'L' || flag === 'K' || flag === 'x' || flag === 'g') {
      if (size > MAX_EXTENDED) throw reader.malformed('an extended tar header of absurd size');
      const data = await reader.exactly(size);
      await reader.skip(padding(size));
      if (flag === 'L') longPath = untilNul(data);
      if (flag === 'K') longTarget = untilNul(data);
      if (flag === 'x') {
        const records = paxRecords(reader, data);
        longPath = records.get('path') ?? longPath;
        longTarget = records.get('linkpath') ?? longTarget;
        const paxSize = records.get('size');
        if (paxSize !== undefined) {
          if (!/^\d{1,13}$/.test(paxSize)) throw reader.malformed('bad size in a pax header');
          longSize = Number(paxSize);
        }
      }
      continue;
    }
    const type = TYPES[flag] ?? 'other';
    const bytes = type === 'file' || type === 'other' ? (longSize ?? size) : 0;
    if (bytes > MAX_SIZE) throw reader.malformed('a tar entry of absurd size');
    const prefix = latin1(header.subarray(257, 262)) === 'ustar' && header[262] === 0 ? field(header, 345, 155) : '';
    const name = field(header, 0, 100);
    const path = safePath(longPath ?? (prefix === '' ? name : `${prefix}/${name}`));
    if (path === undefined) throw reader.malformed('a tar entry that leaves its directory');
    const end = reader.offset + bytes;
    yield {
      path,
      type,
      mode: number(reader, header, 100, 8) & 0o7777,
      size: bytes,
      target: longTarget ?? field(header, 157, 100),
      body: reader.slice(bytes),
    };
    await reader.skip(end - reader.offset + padding(bytes));
    longPath = longTarget = longSize = undefined;
  }
}

/** Cleans a member's path; undefined when it is absolute or climbs out. */
export function safePath(path: string): string | undefined {
  if (path.startsWith('/') || path.includes('\0') || path.includes('\\')) return undefined;
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  return parts.includes('..') ? undefined : parts.join('/');
}

function padding(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

function isZero(block: Uint8Array): boolean {
  return block.every((byte) => byte === 0);
}

/** The sum of the header's bytes with the checksum field itself as spaces. */
function checksumFits(header: Uint8Array): boolean {
  let sum = 8 * 0x20;
  for (let i = 0; i < BLOCK; i++) if (i < 148 || i >= 156) sum += header[i];
  return sum === Number.parseInt(field(header, 148, 8).trim(), 8);
}

function untilNul(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return fromUtf8(end < 0 ? bytes : bytes.subarray(0, end));
}

function field(header: Uint8Array, at: number, length: number): string {
  return untilNul(header.subarray(at, at + length));
}

function number(reader: ByteReader, header: Uint8Array, at: number, length: number): number {
  if (header[at] & 0x80) {
    let value = header[at] & 0x7f;
    for (let i = 1; i < length; i++) {
      value = value * 256 + header[at + i];
      if (value > MAX_SIZE) throw reader.malformed('an absurd number in a tar header');
    }
    return value;
  }
  const text = field(header, at, length).trim();
  if (!/^[0-7]*$/.test(text)) throw reader.malformed('bad number in a tar header');
  return text === '' ? 0 : Number.parseInt(text, 8);
}

/** `LENGTH KEY=VALUE\n` records. */
function paxRecords(reader: ByteReader, data: Uint8Array): Map<string, string> {
  const records = new Map<string, string>();
  for (let at = 0; at < data.length; ) {
    const space = data.indexOf(0x20, at);
    const digits = space < 0 ? '' : latin1(data.subarray(at, space));
    const length = /^\d{1,6}$/.test(digits) ? Number(digits) : 0;
    if (length < digits.length + 3 || at + length > data.length) throw reader.malformed('bad pax record');
    const record = fromUtf8(data.subarray(space + 1, at + length - 1));
    const equals = record.indexOf('=');
    if (equals < 1) throw reader.malformed('bad pax record');
    records.set(record.slice(0, equals), record.slice(equals + 1));
    at += length;
  }
  return records;
}
