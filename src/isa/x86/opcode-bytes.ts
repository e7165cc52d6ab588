/**
 * An instruction's bytes up to its opcode: prefixes, REX, VEX, escapes.
 *
 * Spec: SDM volume 2, "Instruction Format", "Instruction Prefixes", "REX
 * Prefixes", "Intel Advanced Vector Extensions: VEX".
 */
import type { Bits } from './instance.ts';
import { bitsOf, Seg } from './state.ts';

/** The longest instruction, bytes. */
export const MAX_LENGTH = 15;

/** Bytes of code: undefined where nothing more is known. */
export type ByteReader = (at: number) => number | undefined;

export const SHORT = 'short';

export class Cursor {
  at = 0;
  private readonly read: ByteReader;
  constructor(read: ByteReader) {
    this.read = read;
  }
  u8(): number {
    const byte = this.at < MAX_LENGTH ? this.read(this.at) : TOO_LONG;
    if (byte === undefined) throw SHORT;
    if (byte === TOO_LONG) throw new IllegalOpcode(true);
    this.at++;
    return byte;
  }
  peek(): number {
    const byte = this.u8();
    this.at--;
    return byte;
  }
  i8(): number {
    return (this.u8() << 24) >> 24;
  }
  i16(): number {
    return ((this.u8() | (this.u8() << 8)) << 16) >> 16;
  }
  i32(): number {
    return this.u8() | (this.u8() << 8) | (this.u8() << 16) | (this.u8() << 24);
  }
  i64(): bigint {
    const low = BigInt(this.i32() >>> 0);
    return BigInt.asIntN(64, low | (BigInt(this.i32()) << 32n));
  }
}
const TOO_LONG = -1;
export class IllegalOpcode {
  readonly tooLong: boolean;
  constructor(tooLong = false) {
    this.tooLong = tooLong;
  }
}

/** Everything about an instruction before its operands are known. */
export interface Head {
  mode: number;
  bits: Bits;
  osize: Bits;
  asize: Bits;
  seg: number;
  rep: 0 | 0xf2 | 0xf3;
  lock: boolean;
  has66: boolean;
  rex: number;
  w: boolean;
  r: number;
  x: number;
  b: number;
  vex: boolean;
  vvvv: number;
  vectorLength: 0 | 128 | 256;
  map: number;
  byte: number;
  modrm: number;
}

const SEGMENTS: Readonly<Record<number, number>> = {
  38: Seg.es,
  46: Seg.cs,
  54: Seg.ss,
  62: Seg.ds,
  100: Seg.fs,
  101: Seg.gs,
};

export function prefixes(c: Cursor, mode: number): Head {
  const bits = bitsOf(mode);
  const h: Head = {
    mode,
    bits,
    osize: bits === 16 ? 16 : 32,
    asize: bits,
    seg: -1,
    rep: 0,
    lock: false,
    has66: false,
    rex: 0,
    w: false,
    r: 0,
    x: 0,
    b: 0,
    vex: false,
    vvvv: 0,
    vectorLength: 0,
    map: 0,
    byte: 0,
    modrm: -1,
  };
  for (;;) {
    const byte = c.u8();
    const segment = SEGMENTS[byte];
    if (byte === 0x66) h.has66 = true;
    else if (byte === 0x67) h.asize = bits === 32 ? 16 : 32;
    else if (byte === 0xf0) h.lock = true;
    else if (byte === 0xf2 || byte === 0xf3) h.rep = byte;
    else if (segment !== undefined) {
      // In 64-bit code the first four mean nothing.
      if (bits !== 64 || segment >= Seg.fs) h.seg = segment;
    } else if (bits === 64 && (byte & 0xf0) === 0x40) {
      h.rex = byte;
      continue; // a prefix behind it makes it void
    } else {
      c.at--;
      break;
    }
    h.rex = 0;
  }
  if (h.has66) h.osize = bits === 16 ? 32 : 16;
  if (h.rex !== 0) {
    h.w = (h.rex & 8) !== 0;
    h.r = (h.rex & 4) << 1;
    h.x = (h.rex & 2) << 2;
    h.b = (h.rex & 1) << 3;
    if (h.w) h.osize = 64;
  }
  return h;
}

export function opcodeBytes(c: Cursor, h: Head): void {
  h.byte = c.u8();
  if (h.byte === 0xc4 || h.byte === 0xc5) {
    // In 16- and 32-bit code LES and LDS, unless the ModRM byte would name a register. Real mode has no VEX.
    if (h.bits === 64 || c.peek() >= 0xc0) {
      vex(c, h);
      return;
    }
  }
  if (h.byte !== 0x0f) return;
  h.byte = c.u8();
  h.map = 1;
  if (h.byte === 0x38 || h.byte === 0x3a) {
    h.map = h.byte === 0x38 ? 2 : 3;
    h.byte = c.u8();
  }
}

function vex(c: Cursor, h: Head): void {
  if (h.has66 || h.rep !== 0 || h.lock || h.rex !== 0) throw new IllegalOpcode();
  const long = h.byte === 0xc4;
  const first = c.u8();
  const extend = (bit: number) => (h.bits === 64 && (first & bit) === 0 ? 8 : 0);
  h.r = extend(0x80);
  let last = first;
  h.map = 1;
  if (long) {
    h.x = extend(0x40);
    h.b = extend(0x20);
    h.map = first & 0x1f;
    if (h.map < 1 || h.map > 3) throw new IllegalOpcode();
    last = c.u8();
    h.w = (last & 0x80) !== 0;
  }
  h.vex = true;
  h.vvvv = (~last >> 3) & 15;
  h.vectorLength = last & 4 ? 256 : 128;
  const pp = last & 3;
  h.has66 = pp === 1;
  h.rep = pp === 2 ? 0xf3 : pp === 3 ? 0xf2 : 0;
  if (h.w && h.bits === 64) h.osize = 64;
  else h.osize = h.bits === 16 ? 16 : 32;
  if (h.bits !== 64) h.vvvv &= 7;
  h.byte = c.u8();
}
