/** Reading and writing integers in byte arrays. Callers check bounds. */

export function readU16(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8);
}
export function readU32(bytes: Uint8Array, at: number): number {
  return (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;
}
/** A little-endian u64 as a number: exact below 2^53, rounded above, which every bounds check refuses anyway. */
export function readU64(bytes: Uint8Array, at: number): number {
  return readU32(bytes, at) + readU32(bytes, at + 4) * 0x1_0000_0000;
}
export function writeU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
}
export function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}
/** `value` is a non-negative integer below 2^53. */
export function writeU64(bytes: Uint8Array, at: number, value: number): void {
  writeU32(bytes, at, value >>> 0);
  writeU32(bytes, at + 4, Math.floor(value / 0x1_0000_0000));
}

export function readU16be(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1];
}
export function readU32be(bytes: Uint8Array, at: number): number {
  return ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0;
}
export function readU64be(bytes: Uint8Array, at: number): number {
  return readU32be(bytes, at) * 0x1_0000_0000 + readU32be(bytes, at + 4);
}
export function writeU16be(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}
export function writeU32be(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
export function writeU64be(bytes: Uint8Array, at: number, value: number): void {
  writeU32be(bytes, at, Math.floor(value / 0x1_0000_0000));
  writeU32be(bytes, at + 4, value >>> 0);
}

/** The four bytes of a 32-bit value in the opposite order. */
export function swap32(value: number): number {
  return ((value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)) >>> 0;
}
export function swap16(value: number): number {
  return ((value << 8) | ((value >>> 8) & 0xff)) & 0xffff;
}

/** Rounds up to a multiple of `to` (any positive integer; values below 2^53). */
export function alignUp(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
export function alignDown(value: number, to: number): number {
  return Math.floor(value / to) * to;
}
