/**
 * Checksums and TCP segmentation of C+ mode.
 *
 * Spec: Realtek RTL8139C+, "Transmit Descriptor"; RFC 791, 793, 768. Only IPv4.
 */
import { readU16be, readU32be, writeU16be, writeU32be } from '../../bits/endian.ts';
import { checksum, HEADER, wordSum } from '../../hw/ethernet.ts';

export const TX = { LARGE: 1 << 27, IP: 1 << 18, UDP: 1 << 17, TCP: 1 << 16 } as const;
const TYPE_IP = 0x0800;
const PROTOCOL = { TCP: 6, UDP: 17 } as const;
const FLAGS = { FIN: 1, PSH: 8 } as const;
const MTU = 1500;

/** The frames that a frame with these descriptor bits becomes. Lengths in its headers are the guest's, and checked. */
export function offload(frame: Uint8Array, bits: number): Uint8Array[] {
  if (!(bits & (TX.LARGE | TX.IP | TX.UDP | TX.TCP)) || frame.length < HEADER + 20) return [frame];
  if (readU16be(frame, 12) !== TYPE_IP || frame[HEADER] >> 4 !== 4) return [frame];
  const payload = HEADER + 4 * (frame[HEADER] & 15);
  if (payload < HEADER + 20 || payload > frame.length) return [frame];
  const end = HEADER + readU16be(frame, HEADER + 2);
  const protocol = frame[HEADER + 9];
  if (end > frame.length || end < payload) return [frame];
  if (bits & TX.IP) putIp(frame, payload);
  if (bits & TX.LARGE && protocol === PROTOCOL.TCP) return segments(frame, payload, end, bits);
  if (bits & TX.TCP && protocol === PROTOCOL.TCP) putTransport(frame, payload, end, payload + 16);
  else if (bits & TX.UDP && protocol === PROTOCOL.UDP) putTransport(frame, payload, end, payload + 6);
  return [frame];
}

function putIp(frame: Uint8Array, payload: number): void {
  writeU16be(frame, HEADER + 10, 0);
  writeU16be(frame, HEADER + 10, checksum(wordSum(frame, HEADER, payload)));
}

/** Puts the checksum over the pseudo header and [payload, end). */
function putTransport(frame: Uint8Array, payload: number, end: number, at: number): void {
  if (at + 2 > end) return;
  writeU16be(frame, at, 0);
  const pseudo = wordSum(frame, HEADER + 12, HEADER + 20) + frame[HEADER + 9] + (end - payload);
  writeU16be(frame, at, checksum(pseudo + wordSum(frame, payload, end)));
}

function segments(frame: Uint8Array, payload: number, end: number, bits: number): Uint8Array[] {
  if (payload + 20 > end) return [];
  const data = payload + 4 * (frame[payload + 12] >> 4);
  const size = (bits >>> 16) & 0x7ff || MTU - (data - HEADER);
  if (data < payload + 20 || data >= end || size <= 0) return [];
  const cut: Uint8Array[] = [];
  for (let at = data; at < end; at += size) {
    const stop = Math.min(at + size, end);
    const segment = new Uint8Array(data + stop - at);
    segment.set(frame.subarray(0, data));
    segment.set(frame.subarray(at, stop), data);
    writeU16be(segment, HEADER + 2, segment.length - HEADER);
    writeU16be(segment, HEADER + 4, readU16be(frame, HEADER + 4) + cut.length);
    writeU32be(segment, payload + 4, readU32be(frame, payload + 4) + at - data);
    if (stop < end) segment[payload + 13] &= ~(FLAGS.FIN | FLAGS.PSH);
    putIp(segment, payload);
    putTransport(segment, payload, segment.length, payload + 16);
    cut.push(segment);
  }
  return cut;
}
