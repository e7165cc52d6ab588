/**
 * The words of ATA: status and error bits, commands, identification strings.
 *
 * Spec: ATA/ATAPI-6 (T13/1410D rev 3b), "Register descriptions" and
 * "Command descriptions"; NCQ as in ATA8-ACS.
 */
import { writeU16 } from '../../bits/endian.ts';

export const SECTOR = 512;

export const STATUS = { ERR: 0x01, DRQ: 0x08, DSC: 0x10, DF: 0x20, DRDY: 0x40, BSY: 0x80 } as const;
/** What a drive shows that is at rest. */
export const READY: number = STATUS.DRDY | STATUS.DSC;
export const ERROR = { ABRT: 0x04, MCR: 0x08, IDNF: 0x10, MC: 0x20, UNC: 0x40 } as const;
/** Bits of the device register. */
export const DEVICE = { HEAD: 0x0f, DEV: 0x10, LBA: 0x40, OBSOLETE: 0xa0 } as const;
/** A packet device's interrupt reason, in the sector count register. */
export const REASON = { CD: 1, IO: 2 } as const;

export const COMMAND = {
  NOP: 0x00,
  DEVICE_RESET: 0x08,
  RECALIBRATE: 0x10,
  READ_SECTORS: 0x20,
  READ_SECTORS_NO_RETRY: 0x21,
  READ_SECTORS_EXT: 0x24,
  READ_DMA_EXT: 0x25,
  READ_NATIVE_MAX_EXT: 0x27,
  READ_MULTIPLE_EXT: 0x29,
  WRITE_SECTORS: 0x30,
  WRITE_SECTORS_NO_RETRY: 0x31,
  WRITE_SECTORS_EXT: 0x34,
  WRITE_DMA_EXT: 0x35,
  WRITE_MULTIPLE_EXT: 0x39,
  WRITE_VERIFY: 0x3c,
  READ_VERIFY: 0x40,
  READ_VERIFY_NO_RETRY: 0x41,
  READ_VERIFY_EXT: 0x42,
  READ_FPDMA_QUEUED: 0x60,
  WRITE_FPDMA_QUEUED: 0x61,
  SEEK: 0x70,
  EXECUTE_DIAGNOSTIC: 0x90,
  INITIALIZE_PARAMETERS: 0x91,
  PACKET: 0xa0,
  IDENTIFY_PACKET: 0xa1,
  SMART: 0xb0,
  READ_MULTIPLE: 0xc4,
  WRITE_MULTIPLE: 0xc5,
  SET_MULTIPLE: 0xc6,
  READ_DMA: 0xc8,
  READ_DMA_NO_RETRY: 0xc9,
  WRITE_DMA: 0xca,
  WRITE_DMA_NO_RETRY: 0xcb,
  STANDBY_IMMEDIATE: 0xe0,
  IDLE_IMMEDIATE: 0xe1,
  STANDBY: 0xe2,
  IDLE: 0xe3,
  CHECK_POWER_MODE: 0xe5,
  SLEEP: 0xe6,
  FLUSH_CACHE: 0xe7,
  FLUSH_CACHE_EXT: 0xea,
  IDENTIFY: 0xec,
  SET_FEATURES: 0xef,
  READ_NATIVE_MAX: 0xf8,
} as const;

/** Puts `text` into words from `word` on, padded with blanks, the first character of a pair in the high byte. */
export function putText(words: Uint8Array, word: number, length: number, text: string): void {
  for (let i = 0; i < length; i++) words[2 * word + (i ^ 1)] = i < text.length ? text.charCodeAt(i) & 0x7f : 0x20;
}

/** IDENTIFY data from the words that are not 0. */
export function identifyData(words: Readonly<Record<number, number>>): Uint8Array {
  const data = new Uint8Array(SECTOR);
  for (const [word, value] of Object.entries(words)) writeU16(data, 2 * Number(word), value);
  return data;
}

export interface Geometry {
  readonly cylinders: number;
  readonly heads: number;
  readonly sectors: number;
}

/** The geometry of a disk of `sectors` sectors that says nothing of it: 16 heads of 63, at most 16383 cylinders. */
export function defaultGeometry(sectors: number): Geometry {
  return { cylinders: Math.min(16383, Math.max(2, Math.floor(sectors / (16 * 63)))), heads: 16, sectors: 63 };
}
