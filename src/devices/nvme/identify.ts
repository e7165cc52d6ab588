/**
 * What controller and namespace say of themselves, and log pages.
 *
 * Spec: NVM Express 1.4, "Identify command", "Get Log Page command". Values are
 * QEMU's where it has the same capability.
 */
import { writeU16, writeU32, writeU64 } from '../../bits/endian.ts';

/** Data of one command: 4 KiB shifted by this. */
export const MDTS = 7;
export const VERSION = 0x1_0400;
export const NAMESPACES = 1;
const PAGE = 4096;

export function identifyController(serial: string): Uint8Array {
  const data = new Uint8Array(PAGE);
  writeU16(data, 0, 0x1b36);
  writeU16(data, 2, 0x1af4);
  putAscii(data, 4, 20, serial);
  putAscii(data, 24, 40, 'QEMU NVMe Ctrl');
  putAscii(data, 64, 8, '7.2.22');
  data[72] = 6; // recommended arbitration burst
  data.set([0x00, 0x54, 0x52], 73); // IEEE OUI
  data[77] = MDTS;
  writeU32(data, 80, VERSION);
  data[111] = 1; // an I/O controller
  data[258] = 3; // aborts, less one
  data[259] = 3; // asynchronous events, less one
  data[260] = 3; // firmware: one slot, read-only
  data[261] = 4; // extended data of Get Log Page
  writeU16(data, 266, 343); // warning and critical temperature, kelvin
  writeU16(data, 268, 373);
  data[512] = 0x66; // entries of 64 bytes
  data[513] = 0x44; // and 16
  writeU32(data, 516, NAMESPACES);
  writeU16(data, 520, 0x0d); // compare, dataset management, write zeroes
  data[525] = 7; // a volatile write cache; flush takes all namespaces
  data.set(ascii(`nqn.2019-08.org.qemu:${serial}`).subarray(0, 223), 768);
  writeU16(data, 2048, 2500); // power state 0: 25 W
  writeU32(data, 2052, 16);
  writeU32(data, 2056, 4);
  return data;
}

/** `blocks` of 2^`shift` bytes. */
export function identifyNamespace(blocks: number, shift: number, readOnly: boolean): Uint8Array {
  const data = new Uint8Array(PAGE);
  writeU64(data, 0, blocks);
  writeU64(data, 8, blocks);
  writeU64(data, 16, blocks);
  data[99] = readOnly ? 1 : 0;
  data[130] = shift; // LBA format 0, without metadata
  return data;
}

export function namespaceList(after: number): Uint8Array {
  const data = new Uint8Array(PAGE);
  if (after < NAMESPACES) writeU32(data, 0, NAMESPACES);
  return data;
}

/** A log page from `offset` on; undefined when there is none of that number. */
export function logPage(
  page: number,
  counters: { readonly reads: number; readonly writes: number },
): Uint8Array | undefined {
  const data = new Uint8Array(512);
  switch (page) {
    case 1: // errors: none
      return data;
    case 2: // health
      writeU16(data, 1, 323); // kelvin
      data[3] = 100; // spare, per cent
      data[4] = 10;
      writeU64(data, 64, counters.reads);
      writeU64(data, 80, counters.writes);
      return data;
    case 3: // firmware slots
      data[0] = 1;
      putAscii(data, 8, 8, '1.0');
      return data;
    default:
      return undefined;
  }
}

function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (char) => char.charCodeAt(0) & 0x7f);
}

function putAscii(data: Uint8Array, at: number, length: number, text: string): void {
  data.fill(0x20, at, at + length);
  data.set(ascii(text).subarray(0, length), at);
}
