/**
 * The cpio "newc" format, in which Linux takes its initial ramdisk.
 *
 * Spec: Linux Documentation/driver-api/early-userspace/buffer-format.rst.
 * Departure: no hard links and no checksums (newc's magic 070701 has none).
 */
import { fromUtf8, latin1, utf8 } from '../bits/text.ts';
import { concat } from './byte-reader.ts';
import { ImageError } from './image-error.ts';

export interface CpioEntry {
  /** Relative, without a leading slash. */
  readonly path: string;
  /** Type and permissions, as in `stat`: 0o100755, 0o40755, 0o120777, 0o20600. */
  readonly mode: number;
  readonly content: Uint8Array;
  /** Major and minor number of a device node. */
  readonly device?: readonly [number, number];
}

export const file = (path: string, content: Uint8Array | string, permissions = 0o644): CpioEntry => ({
  path,
  mode: 0o100000 | permissions,
  content: typeof content === 'string' ? utf8(content) : content,
});
export const directory = (path: string, permissions = 0o755): CpioEntry => ({
  path,
  mode: 0o040000 | permissions,
  content: new Uint8Array(0),
});
export const symlink = (path: string, target: string): CpioEntry => ({
  path,
  mode: 0o120777,
  content: utf8(target),
});
export const characterDevice = (path: string, major: number, minor: number, permissions = 0o600): CpioEntry => ({
  path,
  mode: 0o020000 | permissions,
  content: new Uint8Array(0),
  device: [major, minor],
});

const MAGIC = '070701';
const HEADER_SIZE = 110;
const TRAILER = 'TRAILER!!!';
/** The kernel's own limit on names (PATH_MAX). */
const MAX_NAME = 4096;

const pad4 = (size: number): number => (4 - (size % 4)) % 4;

/** Writes an archive: owned by root, times zero, so that equal input gives equal bytes. */
export function writeCpio(entries: readonly CpioEntry[]): Uint8Array {
  const parts: Uint8Array[] = [];
  let inode = 1;
  const add = (entry: CpioEntry, links: number): void => {
    const name = utf8(`${entry.path}\0`);
    const [major, minor] = entry.device ?? [0, 0];
    const fields = [
      links === 0 ? 0 : inode++,
      entry.mode,
      0,
      0,
      links,
      0,
      entry.content.length,
      0,
      0,
      major,
      minor,
      name.length,
      0,
    ];
    parts.push(utf8(MAGIC + fields.map((value) => value.toString(16).padStart(8, '0')).join('')), name);
    parts.push(new Uint8Array(pad4(HEADER_SIZE + name.length)), entry.content);
    parts.push(new Uint8Array(pad4(entry.content.length)));
  };
  for (const entry of entries) {
    if (entry.content.length >= 2 ** 32) {
      throw new ImageError('cpio-too-big', `${entry.path} is too big for a newc archive`, 'keep files below 4 GiB');
    }
    add(entry, (entry.mode & 0o170000) === 0o040000 ? 2 : 1);
  }
  add({ path: TRAILER, mode: 0, content: new Uint8Array(0) }, 0);
  return concat(parts);
}

/** Reads an archive; contents are views of `data`. Throws `image-malformed` on anything that is no newc archive. */
export function readCpio(data: Uint8Array): CpioEntry[] {
  const entries: CpioEntry[] = [];
  let at = 0;
  const malformed = (problem: string) =>
    new ImageError('image-malformed', `cpio archive: ${problem} at byte ${at}`, 'this is not a newc archive');
  for (;;) {
    if (at + HEADER_SIZE > data.length) throw malformed('it ends without a trailer');
    const header = latin1(data.subarray(at, at + HEADER_SIZE));
    if (!header.startsWith(MAGIC) || !/^[0-9a-fA-F]*$/.test(header)) throw malformed('bad header');
    const field = (index: number): number => Number.parseInt(header.slice(6 + index * 8, 14 + index * 8), 16);
    const nameSize = field(11);
    const size = field(6);
    if (nameSize < 1 || nameSize > MAX_NAME) throw malformed('a name of absurd length');
    const body = at + HEADER_SIZE + nameSize + pad4(HEADER_SIZE + nameSize);
    if (body + size > data.length) throw malformed('an entry that is longer than the archive');
    const path = fromUtf8(data.subarray(at + HEADER_SIZE, at + HEADER_SIZE + nameSize - 1));
    if (path === TRAILER) return entries;
    const device = [field(9), field(10)] as const;
    const content = data.subarray(body, body + size);
    const isDevice = (field(1) & 0o170000) === 0o020000 || (field(1) & 0o170000) === 0o060000;
    entries.push(isDevice ? { path, mode: field(1), content, device } : { path, mode: field(1), content });
    at = body + size + pad4(size);
  }
}
