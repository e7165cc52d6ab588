/**
 * Operands by the SDM's codes, and effective addresses.
 *
 * Spec: SDM volume 2, "ModR/M and SIB Bytes", appendix A, "Codes for
 * Addressing Method" and "Codes for Operand Type".
 */
import type { MemoryOperand, Operand, RegisterKind, RegisterOperand } from './instance.ts';
import type { Row } from './opcode.ts';
import { type Cursor, type Head, IllegalOpcode } from './opcode-bytes.ts';
import { Seg } from './state.ts';

export type Address = Omit<MemoryOperand, 'size'>;

const PAIRS: readonly (readonly [number, number])[] = [
  [3, 6],
  [3, 7],
  [5, 6],
  [5, 7],
  [6, -1],
  [7, -1],
  [5, -1],
  [3, -1],
];

export function address(c: Cursor, h: Head, vsib = false): Address {
  const mod = h.modrm >> 6;
  const rm = h.modrm & 7;
  let base = -1;
  let index = -1;
  let scale = 0;
  let disp = 0;
  const start = c.at + (h.asize !== 16 && rm === 4 ? 1 : 0);
  let relative = false;
  let vectorIndex: number | undefined;
  if (vsib && (rm !== 4 || h.asize === 16)) throw new IllegalOpcode();
  if (h.asize === 16) {
    [base, index] = PAIRS[rm];
    if (mod === 0 && rm === 6) {
      base = -1;
      disp = c.i16();
    }
    const seg = base === 5 ? Seg.ss : Seg.ds;
    if (mod === 1) disp = c.i8();
    else if (mod === 2) disp = c.i16();
    return {
      kind: 'mem',
      seg: h.seg < 0 ? seg : h.seg,
      base,
      index,
      scale,
      disp,
      relative,
      asize: 16,
      dispBytes: (c.at - start) as 0 | 1 | 2,
    };
  }
  let low = rm;
  if (rm === 4) {
    const sib = c.u8();
    scale = sib >> 6;
    index = ((sib >> 3) & 7) | h.x;
    if (vsib) {
      vectorIndex = index;
      index = -1;
    } else if (index === 4) index = -1;
    low = sib & 7;
    base = low | h.b;
    if (low === 5 && mod === 0) {
      base = -1;
      disp = c.i32();
    }
  } else if (rm === 5 && mod === 0) {
    disp = c.i32();
    relative = h.bits === 64;
  } else base = rm | h.b;
  if (mod === 1) disp = c.i8();
  else if (mod === 2) disp = c.i32();
  const stack = base >= 0 && (base === 4 || base === 5);
  return {
    kind: 'mem',
    seg: h.seg < 0 ? (stack ? Seg.ss : Seg.ds) : h.seg,
    base,
    index,
    ...(vectorIndex === undefined ? {} : { vectorIndex }),
    scale: index < 0 && vectorIndex === undefined ? 0 : scale,
    disp,
    relative,
    asize: h.asize,
    dispBytes: (c.at - start) as 0 | 1 | 4,
  };
}

const FIXED: Readonly<Record<string, readonly [number, number]>> = {
  AL: [0, 8],
  CL: [1, 8],
  AX: [0, 16],
  DX: [2, 16],
  EAX: [0, 32],
  ECX: [1, 32],
  EDX: [2, 32],
};
const SEGMENT_NAMES = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS'];

/** Bits of an operand with the given size letters. */
function sizeOf(letters: string, h: Head): number {
  switch (letters) {
    case 'b':
      return 8;
    case 'w':
      return 16;
    case 'd':
    case 'ss':
      return 32;
    case 'q':
    case 'sd':
    case 'pi':
      return 64;
    case 'v':
      return h.osize;
    case 'z':
      return h.osize === 64 ? 32 : h.osize;
    case 'y':
      return h.osize === 64 ? 64 : 32;
    case 't':
      return 80;
    case 'dq':
      return 128;
    case 'qq':
      return 256;
    case 'x':
    case 'ps':
    case 'pd':
      return h.vex ? h.vectorLength : 128;
    case 'h':
      // Half a vector.
      return (h.vex ? h.vectorLength : 128) / 2;
    case '':
    case 'p':
    case 's':
    case 'a':
      return 0;
    default:
      throw new SyntaxError(`operand size ${letters}`);
  }
}

const register = (file: RegisterKind, n: number, size: number): RegisterOperand => ({
  kind: 'reg',
  file,
  n,
  high: false,
  size,
});

function general(h: Head, n: number, size: number): RegisterOperand {
  // Without REX or VEX the byte registers 4 to 7 are the second bytes of the first four.
  if (size === 8 && h.rex === 0 && !h.vex && n >= 4 && n < 8)
    return { kind: 'reg', file: 'gpr', n: n - 4, high: true, size };
  return register('gpr', n, size);
}

function immediate(c: Cursor, size: number): number | bigint {
  return size === 8 ? c.i8() : size === 16 ? c.i16() : size === 32 ? c.i32() : c.i64();
}

export function operand(c: Cursor, h: Head, row: Row, code: string, memory: Address | undefined): Operand {
  const fixed = FIXED[code];
  if (fixed) return register('gpr', fixed[0], fixed[1]);
  if (code === 'eAX') return register('gpr', 0, h.osize);
  if (code === '1') return { kind: 'imm', value: 1, size: 8 };
  const named = SEGMENT_NAMES.indexOf(code);
  if (named >= 0) return register('seg', named, 16);
  if (code === 'ST') return register('st', 0, 80);
  const letters = code.slice(1);
  const reg = ((h.modrm >> 3) & 7) | h.r;
  const rm = (h.modrm & 7) | h.b;
  switch (code[0]) {
    case 'E': {
      const size = sizeOf(letters, h);
      return memory ? { ...memory, size } : general(h, rm, size);
    }
    case 'G':
      return general(h, reg, sizeOf(letters, h));
    case 'B':
      return register('gpr', h.vvvv, sizeOf(letters, h));
    case 'Z':
      return general(h, (h.byte & 7) | h.b, sizeOf(letters, h));
    case 'R':
      return general(h, rm, sizeOf(letters, h));
    case 'M':
      if (!memory) throw new IllegalOpcode();
      return { ...memory, size: sizeOf(letters, h) };
    case 'O': {
      const disp = h.asize === 64 ? c.i64() : h.asize === 32 ? c.i32() : c.i16();
      const seg = h.seg < 0 ? Seg.ds : h.seg;
      return {
        kind: 'mem',
        seg,
        base: -1,
        index: -1,
        scale: 0,
        disp,
        relative: false,
        asize: h.asize,
        dispBytes: (h.asize / 8) as 2 | 4 | 8,
        size: sizeOf(letters, h),
      };
    }
    case 'I': {
      const size = letters === 'bs' ? 8 : sizeOf(letters, h);
      return { kind: 'imm', value: immediate(c, size), size };
    }
    case 'J': {
      const size = letters === 'b' ? 8 : h.osize === 16 ? 16 : 32;
      return { kind: 'imm', value: immediate(c, size), size };
    }
    case 'A': {
      // A far pointer: offset, then selector, as one number.
      const offset = h.osize === 16 ? c.i16() & 0xffff : c.i32() >>> 0;
      const selector = c.i16() & 0xffff;
      return { kind: 'imm', value: selector * 0x1_0000_0000 + offset, size: 48 };
    }
    case 'S':
      if ((reg & 7) > 5) throw new IllegalOpcode();
      return register('seg', reg & 7, 16);
    case 'C':
      return register('cr', reg, h.bits === 64 ? 64 : 32);
    case 'D':
      return register('dr', reg, h.bits === 64 ? 64 : 32);
    case 'V':
      return register('xmm', reg, sizeOf(letters, h));
    case 'W': {
      const size = sizeOf(letters, h);
      return memory ? { ...memory, size } : register('xmm', rm, size);
    }
    case 'U':
      return register('xmm', rm, sizeOf(letters, h));
    case 'H':
      return register('xmm', h.vvvv, sizeOf(letters, h));
    case 'L':
      return register('xmm', (c.i8() >> 4) & 15 & (h.bits === 64 ? 15 : 7), sizeOf(letters, h));
    case 'P':
      return register('mm', reg & 7, 64);
    case 'Q':
      return memory ? { ...memory, size: letters === '' ? 64 : sizeOf(letters, h) } : register('mm', rm & 7, 64);
    case 'N':
      return register('mm', rm & 7, 64);
    case 'T':
      return register('st', h.modrm & 7, 80);
    default:
      throw new SyntaxError(`${row.mnemonic}: operand ${code}`);
  }
}
