/**
 * Frame information structures and command tables of AHCI.
 *
 * Spec: Serial ATA AHCI 1.3.1, "System Memory Model"; Serial ATA 3.1,
 * "FIS definitions".
 */
import { readU16, readU32, readU64 } from '../../bits/endian.ts';
import type { Dma } from '../../hw/device.ts';
import type { Segment } from '../../hw/virtqueue.ts';

export const FIS = { TO_DEVICE: 0x27, TO_HOST: 0x34, PIO_SETUP: 0x5f, DEVICE_BITS: 0xa1 } as const;
/** Where received frames lie, from PxFB on. */
export const RECEIVED = { PIO_SETUP: 0x20, TO_HOST: 0x40, DEVICE_BITS: 0x58 } as const;
/** Byte 1 of a frame: the interrupt bit to the host; "this is a command" to the device. */
export const FIS_INTERRUPT = 0x40;
export const FIS_COMMAND = 0x80;

const HEADER = 32;
const PRDT = 0x80;
const COMMAND_FIS = 64;
const PRD = 16;

/** One of the 32 entries of a command list, with the guest's numbers. */
export interface CommandHeader {
  /** Where it lies; PRDBC is at +4. */
  readonly at: number;
  /** Entries of the PRD table, up to 65535. */
  readonly prds: number;
  readonly table: number;
  /** 64 bytes; the frame is in the first 20. */
  readonly frame: Uint8Array;
  /** 16 bytes of the packet. */
  readonly packet: Uint8Array;
}

/** Undefined when list or table are not in RAM. */
export function commandHeader(dma: Dma, list: number, slot: number): CommandHeader | undefined {
  const at = list + HEADER * slot;
  const header = dma.readable(at, HEADER);
  if (!header) return undefined;
  const table = readU64(header, 8) - (readU32(header, 8) & 0x7f);
  const bytes = dma.readable(table, PRDT);
  if (!bytes) return undefined;
  // Copied: the guest may change them while the command runs.
  const frame = bytes.slice(0, COMMAND_FIS);
  return { at, prds: readU16(header, 2), table, frame, packet: bytes.slice(0x40, 0x50) };
}

/** The PRD table as far as `wanted` bytes need it. */
export function segmentsOf(dma: Dma, header: CommandHeader, wanted: number): Segment[] {
  const segments: Segment[] = [];
  let length = 0;
  for (let entry = 0; entry < header.prds && length < wanted; entry++) {
    const prd = dma.readable(header.table + PRDT + PRD * entry, PRD);
    if (!prd) break;
    const size = Math.min((readU32(prd, 12) & 0x3f_ffff) + 1, wanted - length);
    segments.push({ address: readU64(prd, 0), length: size });
    length += size;
  }
  return segments;
}

/** The 48-bit address in a frame. */
export function lbaOf(frame: Uint8Array): number {
  const low = frame[4] | (frame[5] << 8) | (frame[6] << 16);
  return low + (frame[8] | (frame[9] << 8) | (frame[10] << 16)) * 0x100_0000;
}
