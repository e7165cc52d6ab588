/**
 * What network cards know of Ethernet and IP: address classes, check sequences,
 * checksums.
 *
 * Spec: IEEE 802.3, "MAC frame format" and "Cyclic redundancy check"; RFC 1071.
 */
import { readU16be } from '../bits/endian.ts';

/** Bytes of the two addresses, and of addresses and type. */
export const ADDRESSES = 12;
export const HEADER = 14;
/** The shortest frame, without its check sequence. */
export const MIN_FRAME = 60;
/** The EtherType of an 802.1Q tag, and the tag's bytes. */
export const VLAN_TYPE = 0x8100;
export const VLAN_TAG = 4;

export function isBroadcast(frame: Uint8Array): boolean {
  for (let i = 0; i < 6; i++) if (frame[i] !== 0xff) return false;
  return true;
}

/** A group address: multicast, broadcast too. */
export function isGroup(frame: Uint8Array): boolean {
  return (frame[0] & 1) === 1;
}

export function isFor(frame: Uint8Array, address: ArrayLike<number>, at = 0): boolean {
  for (let i = 0; i < 6; i++) if (frame[i] !== address[at + i]) return false;
  return true;
}

/** A frame of at least 60 bytes, padded with zeros. */
export function padded(frame: Uint8Array): Uint8Array {
  if (frame.length >= MIN_FRAME) return frame;
  const whole = new Uint8Array(MIN_FRAME);
  whole.set(frame);
  return whole;
}

/** The frame with an 802.1Q tag behind its addresses. `tag` is its four bytes. */
export function tagged(frame: Uint8Array, type: number, tag: number): Uint8Array {
  const whole = new Uint8Array(frame.length + VLAN_TAG);
  whole.set(frame.subarray(0, ADDRESSES));
  whole.set([type >>> 8, type, tag >>> 8, tag], ADDRESSES);
  whole.set(frame.subarray(ADDRESSES), ADDRESSES + VLAN_TAG);
  return whole;
}

/** The frame without its 802.1Q tag. */
export function untagged(frame: Uint8Array): Uint8Array {
  const whole = new Uint8Array(frame.length - VLAN_TAG);
  whole.set(frame.subarray(0, ADDRESSES));
  whole.set(frame.subarray(ADDRESSES + VLAN_TAG), ADDRESSES);
  return whole;
}

const REFLECTED = 0xedb8_8320;
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ REFLECTED : value >>> 1;
  return value;
});

/** The frame check sequence as the number that is sent low byte first. */
export function crc32(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** The bit (0..63) of a multicast filter: the CRC's top six bits, most significant bit first. */
export function multicastBit(frame: Uint8Array): number {
  const crc = ~crc32(frame.subarray(0, 6));
  let bit = 0;
  for (let i = 0; i < 6; i++) bit = (bit << 1) | ((crc >>> i) & 1);
  return bit;
}

/** Adds bytes [from, to) as big-endian words, an odd last byte as a high one. The sum stays exact below 2^53. */
export function wordSum(bytes: Uint8Array, from: number, to: number): number {
  let sum = 0;
  let at = from;
  for (; at + 1 < to; at += 2) sum += readU16be(bytes, at);
  return at < to ? sum + (bytes[at] << 8) : sum;
}

/** The ones' complement of a sum of words, 16 bits: what goes into an IP checksum field. */
export function checksum(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded % 0x1_0000) + Math.floor(folded / 0x1_0000);
  return ~folded & 0xffff;
}
