/**
 * Checksums and TCP segmentation on the way out.
 *
 * Spec: Intel 8254x Software Developer's Manual, "TCP/IP Context Transmit
 * Descriptor" and "TCP Segmentation".
 */
import { readU16, readU16be, readU32, readU32be, writeU16be, writeU32be } from '../../bits/endian.ts';
import { checksum, wordSum } from '../../hw/ethernet.ts';

/** A context descriptor: offsets in the frame (start, place of the checksum, last byte), and the sizes of segments. */
export type Offload = {
  ipcss: number;
  ipcso: number;
  ipcse: number;
  tucss: number;
  tucso: number;
  tucse: number;
  /** Bytes of payload over all segments, of the headers, and of payload in a segment. */
  paylen: number;
  hdrlen: number;
  mss: number;
  ip: boolean; // version 4
  tcp: boolean;
};
export const NO_OFFLOAD: Offload = {
  ...{ ipcss: 0, ipcso: 0, ipcse: 0, tucss: 0, tucso: 0, tucse: 0 },
  ...{ paylen: 0, hdrlen: 0, mss: 0, ip: false, tcp: false },
};
const TUCMD = { TCP: 1 << 24, IP: 1 << 25 } as const;
const TCP_FLAGS = { FIN: 1, PSH: 8 } as const;

/** Reads the 16 bytes of a context descriptor. */
export function readOffload(descriptor: Uint8Array): Offload {
  const command = readU32(descriptor, 8);
  return {
    ipcss: descriptor[0],
    ipcso: descriptor[1],
    ipcse: readU16(descriptor, 2),
    tucss: descriptor[4],
    tucso: descriptor[5],
    tucse: readU16(descriptor, 6),
    paylen: command & 0xf_ffff,
    hdrlen: descriptor[13],
    mss: readU16(descriptor, 14),
    ip: (command & TUCMD.IP) !== 0,
    tcp: (command & TUCMD.TCP) !== 0,
  };
}

/** Puts the checksum of [start, end] at `place`; an end of 0 is the frame's. Zero is written as its other form. */
export function putChecksum(frame: Uint8Array, place: number, start: number, end: number): void {
  const length = end && end < frame.length ? end + 1 : frame.length;
  if (place + 1 < length) writeU16be(frame, place, checksum(wordSum(frame, start, length)) || 0xffff);
}

/** Makes the headers in `segment`, the `index`th of its message, its own. */
export function renumber(segment: Uint8Array, offload: Offload, index: number, withChecksum: boolean): void {
  const { ipcss, tucss, tucso, mss, paylen } = offload;
  const size = segment.length;
  const put16 = (at: number, value: number) => {
    if (at + 2 <= size) writeU16be(segment, at, value);
  };
  const get16 = (at: number) => (at + 2 <= size ? readU16be(segment, at) : 0);
  if (offload.ip) {
    put16(ipcss + 2, size - ipcss);
    put16(ipcss + 4, get16(ipcss + 4) + index);
  } else put16(ipcss + 4, size - ipcss);
  const length = size - tucss;
  const before = index * mss;
  if (offload.tcp) {
    if (tucss + 8 <= size) writeU32be(segment, tucss + 4, readU32be(segment, tucss + 4) + before);
    // As unsigned numbers of 32 bits.
    if ((paylen - before) >>> 0 > mss && tucss + 13 < size) segment[tucss + 13] &= ~(TCP_FLAGS.PSH | TCP_FLAGS.FIN);
  } else put16(tucss + 4, length);
  if (!withChecksum) return;
  // The driver has put the pseudo header's sum there, without the length.
  const sum = get16(tucso) + (length & 0xffff);
  put16(tucso, (sum >>> 16) + (sum & 0xffff));
}
