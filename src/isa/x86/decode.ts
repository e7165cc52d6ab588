/**
 * From bytes to a row and its operands.
 *
 * Spec: SDM volume 2, "Instruction Format", "ModR/M and SIB Bytes", "REX
 * Prefixes", "Intel Advanced Vector Extensions: VEX".
 */
import type {
  Bits,
  ImmediateOperand,
  Instance,
  MemoryOperand,
  Operand,
  RegisterKind,
  RegisterOperand,
} from './instance.ts';
import type { Row } from './opcode.ts';
import { bitsOf, Seg } from './state.ts';

export type {
  Bits,
  ImmediateOperand,
  MemoryOperand,
  Operand,
  RegisterKind,
  RegisterOperand,
} from './instance.ts';

/** The longest instruction, bytes. */
export const MAX_LENGTH = 15;

/** What `Decoder` makes of bytes. */
export interface Decoded extends Instance {
  readonly row: Row;
}

/** Bytes of code: undefined where nothing more is known. */
export type ByteReader = (at: number) => number | undefined;

/** No such instruction; `length` bytes were looked at. */
export interface Illegal {
  readonly illegal: true;
  readonly length: number;
  /** It is no instruction because it goes on behind the last byte that one may have. */
  readonly tooLong: boolean;
}
export const SHORT = 'short';

class Cursor {
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
class IllegalOpcode {
  readonly tooLong: boolean;
  constructor(tooLong = false) {
    this.tooLong = tooLong;
  }
}

/** Everything about an instruction before its operands are known. */
interface Head {
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

const ROWS_PER_MAP = 256;

export class Decoder {
  readonly rows: readonly Row[];
  private readonly table: number[][];

  constructor(rows: readonly Row[]) {
    this.rows = rows;
    this.table = Array.from({ length: 8 * ROWS_PER_MAP }, () => []);
    rows.forEach(({ opcode: { vex, map, byte, register } }, index) => {
      for (let low = 0; low < (register ? 8 : 1); low++)
        this.table[((vex ? 4 : 0) + map) * ROWS_PER_MAP + byte + low].push(index);
    });
    for (const list of this.table) list.sort((p, q) => special(rows[q]) - special(rows[p]) || p - q);
  }

  /** `read(n)` gives byte n of the instruction. SHORT when it ran out of bytes. */
  decode(read: ByteReader, mode: number): Decoded | Illegal | typeof SHORT {
    const c = new Cursor(read);
    try {
      return this.whole(c, mode);
    } catch (stop) {
      if (stop === SHORT) return SHORT;
      if (stop instanceof IllegalOpcode) return { illegal: true, length: c.at, tooLong: stop.tooLong };
      throw stop;
    }
  }

  private whole(c: Cursor, mode: number): Decoded {
    const h = prefixes(c, mode);
    opcodeBytes(c, h);
    const candidates = this.table[((h.vex ? 4 : 0) + h.map) * ROWS_PER_MAP + h.byte];
    if (candidates.length === 0) throw new IllegalOpcode();
    // All rows of an opcode have ModRM or none has, but for a few of which `modrm: none` comes last.
    const modrm = this.rows[candidates[0]].opcode.modrm !== 'none';
    h.modrm = modrm ? c.peek() : -1;
    const index = candidates.find((n) => fits(this.rows[n], h));
    if (index === undefined) throw new IllegalOpcode();
    const row = this.rows[index];
    if (row.opcode.modrm !== 'none') c.u8();
    const { traits } = row;
    if (traits.size && h.bits === 64 && (h.osize === 32 || traits.size === 'f64')) h.osize = 64;
    const memory =
      h.modrm >= 0 && row.opcode.modrm !== 'none' && h.modrm < 0xc0 ? address(c, h, traits.vsib) : undefined;
    if (h.vex && h.vvvv !== 0 && !row.operands.some(isVvvv)) throw new IllegalOpcode();
    const operands = row.operands.map((code) => operand(c, h, row, code, memory));
    if (traits.vsib) distinct(operands);
    if (h.lock && !(traits.lock && operands[0]?.kind === 'mem')) throw new IllegalOpcode();
    const length = c.at;
    const repeats = traits.string === true && h.rep !== 0;
    const flow = repeats ? 'branch' : (traits.flow ?? 'next');
    let target: number | undefined;
    if (repeats) target = 0;
    else if (flow === 'branch' || flow === 'jump' || flow === 'call') {
      const to = operands.find((o, n) => o.kind === 'imm' && row.operands[n][0] === 'J') as
        | ImmediateOperand
        | undefined;
      // The instruction pointer wraps at 64 KiB where it is 16 bits wide: then the base of CS matters.
      if (to && h.osize !== 16) target = length + Number(to.value);
    }
    return {
      row,
      index,
      mode,
      length,
      osize: h.osize,
      asize: h.asize,
      rep: h.rep,
      lock: h.lock,
      seg: h.seg,
      w: h.w,
      vectorLength: h.vex ? h.vectorLength : 0,
      modrm: row.opcode.modrm === 'none' ? -1 : h.modrm,
      operands,
      flow,
      target,
      ends: traits.ends ?? (flow === 'jump' || flow === 'indirect' || flow === 'return'),
    };
  }
}

const isVvvv = (code: string): boolean => code[0] === 'H' || code[0] === 'B';
/** Destination, indices and mask of a gather must be three registers. */
function distinct(operands: readonly Operand[]): void {
  const numbers = operands.map((operand) =>
    operand.kind === 'reg' ? operand.n : operand.kind === 'mem' ? operand.vectorIndex : undefined,
  );
  if (new Set(numbers).size !== numbers.length) throw new IllegalOpcode();
}

const PREFIX_ORDER = { f2: 3, f3: 3, '66': 2, np: 2, any: 0 } as const;
/** Rows that ask for more are looked at first. */
function special({ opcode: { prefix, w, exact, digit, modrm, vectorLength, register } }: Row): number {
  return (
    PREFIX_ORDER[prefix] * 16 +
    (w !== undefined ? 4 : 0) +
    (exact !== undefined ? 8 : 0) +
    (digit !== undefined ? 2 : 0) +
    (modrm === 'mem' || modrm === 'reg' ? 1 : 0) +
    (vectorLength ? 4 : 0) +
    (register ? 0 : 1) +
    (modrm === 'none' ? -100 : 0)
  );
}

function fits({ opcode, traits }: Row, h: Head): boolean {
  const { prefix, w, exact, digit, modrm, vectorLength } = opcode;
  if (traits.only && (traits.only === 'long') !== (h.bits === 64)) return false;
  // 90 is NOP, and with REX.B an exchange.
  if (opcode.map === 0 && opcode.byte === 0x90 && !opcode.register && h.b !== 0) return false;
  if (h.vex) {
    const pp = h.rep === 0xf2 ? 'f2' : h.rep === 0xf3 ? 'f3' : h.has66 ? '66' : 'np';
    if (prefix !== 'any' && prefix !== pp) return false;
    if (vectorLength !== 0 && vectorLength !== h.vectorLength) return false;
  } else if (prefix === 'f2' || prefix === 'f3') {
    if (h.rep !== (prefix === 'f2' ? 0xf2 : 0xf3)) return false;
  } else if (prefix === '66') {
    if (!h.has66 || h.rep !== 0) return false;
  } else if (prefix === 'np' && (h.has66 || h.rep !== 0)) return false;
  if (w !== undefined && w !== h.w) return false;
  if (modrm === 'none') return true;
  if (exact !== undefined && h.modrm !== exact) return false;
  if (digit !== undefined && ((h.modrm >> 3) & 7) !== digit) return false;
  if (modrm === 'mem' && h.modrm >= 0xc0) return false;
  return modrm !== 'reg' || h.modrm >= 0xc0;
}

const SEGMENTS: Readonly<Record<number, number>> = {
  38: Seg.es,
  46: Seg.cs,
  54: Seg.ss,
  62: Seg.ds,
  100: Seg.fs,
  101: Seg.gs,
};

function prefixes(c: Cursor, mode: number): Head {
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

function opcodeBytes(c: Cursor, h: Head): void {
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

type Address = Omit<MemoryOperand, 'size'>;

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

function address(c: Cursor, h: Head, vsib = false): Address {
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

function operand(c: Cursor, h: Head, row: Row, code: string, memory: Address | undefined): Operand {
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
