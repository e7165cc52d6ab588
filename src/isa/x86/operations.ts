/**
 * From bytes to operations, remembering what the bytes that say what an
 * instruction is (prefixes, opcode, ModRM, SIB) mean: what is left to be done
 * for one seen before is to pick its displacement and immediates.
 */
import type { HandlerNumbers, OperationDecoder, Reach } from '../isa.ts';
import { ByteKeys } from './byte-keys.ts';
import { type Decoded, type Decoder, SHORT } from './decode.ts';
import { operationOf, type X86HandlerKey } from './handler.ts';
import type { Row } from './opcode.ts';
import { bitsOf } from './state.ts';

const PAGE = 4096;
const REACHES: readonly Reach[] = ['none', 'forward', 'backward', 'far'];
/** More bytes than this are not remembered. */
const MOST_BYTES = 6;

/** One of the numbers that follow the bytes of a key. */
interface Field {
  /** Offset in the instruction. */
  readonly at: number;
  readonly size: 1 | 2 | 4 | 8;
}

interface Known {
  readonly key: X86HandlerKey;
  readonly low: number;
  readonly length: number;
  readonly ends: boolean;
  /** What goes to the operation's words, in order; a field of 8 bytes takes both. */
  readonly fields: readonly Field[];
  /** A direct jump, whose word is its distance from the instruction's start. */
  readonly direct: boolean;
  /** The handler's numbers by reach, 0: not asked for yet. */
  readonly numbers: number[];
}

/** Bytes that are prefixes whatever the mode; REX only in 64-bit code. */
const PREFIXES = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3]);
const IS_PREFIX = Uint8Array.from({ length: 256 }, (_, byte) => (PREFIXES.has(byte) ? 1 : 0));

export class X86Operations implements OperationDecoder {
  private readonly decoder: Decoder;
  private readonly numbers: HandlerNumbers;
  /** By map and opcode byte: 1 when it has a ModRM byte, 2 when that depends. */
  private readonly modrm: Uint8Array;
  /** By family of modes. */
  private readonly known: readonly ByteKeys<Known>[] = Array.from({ length: 4 }, () => new ByteKeys<Known>());
  private low = 0;
  private high = 0;
  private current: Known | undefined;
  private distance = 0;
  /** The last one follows from the bytes of its key and its fields. */
  private lasting = false;
  spill: number | undefined;

  constructor(decoder: Decoder, rows: readonly Row[], numbers: HandlerNumbers) {
    this.decoder = decoder;
    this.numbers = numbers;
    this.modrm = new Uint8Array(4 * 256);
    const seen = new Uint8Array(4 * 256);
    for (const { opcode } of rows) {
      if (opcode.vex) continue;
      for (let n = 0; n < (opcode.register ? 8 : 1); n++) {
        const at = opcode.map * 256 + opcode.byte + n;
        const has = opcode.modrm === 'none' ? 0 : 1;
        this.modrm[at] = seen[at] && this.modrm[at] !== has ? 2 : has;
        seen[at] = 1;
      }
    }
  }

  /** How many bytes say what the instruction is; 0 when there are too many or it is of a kind that is not remembered. */
  private keyLength(view: DataView, at: number, left: number, bits: number): number {
    let n = 0;
    const most = Math.min(left, MOST_BYTES);
    let asize = bits;
    for (; n < most; n++) {
      const byte = view.getUint8(at + n);
      if (byte === 0x67) asize = bits === 32 ? 16 : 32;
      if (!IS_PREFIX[byte] && !(bits === 64 && (byte & 0xf0) === 0x40)) break;
    }
    if (n >= most) return 0;
    let byte = view.getUint8(at + n++);
    let map = 0;
    if (byte === 0xc4 || byte === 0xc5) return 0;
    if (byte === 0x0f) {
      if (n >= most) return 0;
      byte = view.getUint8(at + n++);
      map = 1;
      if (byte === 0x38 || byte === 0x3a) {
        map = byte === 0x38 ? 2 : 3;
        if (n >= most) return 0;
        byte = view.getUint8(at + n++);
      }
    }
    const has = this.modrm[map * 256 + byte];
    if (has === 2) return 0;
    if (has === 1) {
      if (n >= most) return 0;
      const modrm = view.getUint8(at + n++);
      if (asize !== 16 && modrm < 0xc0 && (modrm & 7) === 4) {
        if (n >= most) return 0;
        n++;
      }
    }
    return n;
  }

  decode(view: DataView, at: number, left: number, mode: number): number {
    const bits = bitsOf(mode);
    const bytes = this.keyLength(view, at, left, bits);
    if (bytes === 0) return this.decodeAnew(view, at, left, mode);
    const map = this.known[(mode / 3) | 0];
    let low = 0;
    let high = bytes;
    for (let n = 0; n < bytes; n++) {
      const byte = view.getUint8(at + n);
      if (n < 4) low = (low << 8) | byte;
      else high = (high << 8) | byte;
    }
    const known = map.get(high, low);
    if (known) return known.length > left ? -1 : this.take(known, view, at);
    const length = this.decodeAnew(view, at, left, mode);
    if (length > 0 && this.current && this.lasting) map.set(high, low, this.current);
    return length;
  }

  /** Lets a known instruction be the last one. */
  private take(known: Known, view: DataView, at: number): number {
    this.current = known;
    this.low = known.low;
    this.high = 0;
    this.spill = undefined;
    const { fields } = known;
    for (let n = 0; n < fields.length; n++) {
      const field = fields[n];
      const place = at + field.at;
      const word =
        field.size === 1
          ? view.getInt8(place)
          : field.size === 2
            ? view.getInt16(place, true)
            : view.getInt32(place, true);
      if (n === 0) this.high = word;
      else this.spill = word;
      if (field.size === 8) this.spill = view.getInt32(place + 4, true);
    }
    if (known.direct) {
      // The distance counts from the instruction's end.
      if (fields.length > 0) this.high += known.length;
      this.distance = this.high;
    }
    return known.length;
  }

  private decodeAnew(view: DataView, at: number, left: number, mode: number): number {
    this.current = undefined;
    const decoded = this.decoder.decode((n) => (n < left ? view.getUint8(at + n) : undefined), mode);
    if (decoded === SHORT) return -1;
    if ('illegal' in decoded) return 0;
    const { key, low, high, spill } = operationOf(decoded);
    this.low = low;
    this.high = high;
    this.spill = spill;
    this.distance = decoded.target ?? 0;
    const { length, target, row, operands, flow } = decoded;
    // Far pointers do not lie in fields; some immediates are part of the handler.
    this.lasting = row.traits.immediate !== 'constant' && operands.every(({ size }) => size !== 48);
    this.current = {
      key: key as X86HandlerKey,
      low,
      length,
      // Behind a conditional jump is often what is never executed: it is decoded when it is.
      ends: decoded.ends || flow === 'branch',
      fields: fieldsOf(decoded),
      direct: target !== undefined,
      numbers: [0, 0, 0, 0],
    };
    return length;
  }

  get ends(): boolean {
    return this.current?.ends === true;
  }

  write(offset: number, out: DataView, at: number): void {
    const { current } = this;
    if (!current) throw new Error('nothing has been decoded');
    let reach = 0;
    if (current.direct) {
      const to = offset + this.distance;
      reach = to < 0 || to >= PAGE ? 3 : this.distance <= 0 ? 2 : 1;
    }
    let number = current.numbers[reach];
    if (number === 0) {
      number = this.numbers.number(current.key, REACHES[reach]);
      current.numbers[reach] = number;
    }
    out.setUint16(at, number, true);
    out.setUint16(at + 2, this.low, true);
    out.setInt32(at + 4, this.high, true);
  }

  clear(): void {
    for (const map of this.known) map.clear();
    this.current = undefined;
    this.numbers.clear();
  }
}

/** Where the numbers of an instruction stand: at its end, displacement before immediates. */
function fieldsOf({ operands, row, length }: Decoded): Field[] {
  const sizes: (1 | 2 | 4 | 8)[] = [];
  for (const operand of operands)
    if (operand.kind === 'mem' && operand.dispBytes > 0) sizes.push(operand.dispBytes as 1 | 2 | 4 | 8);
  operands.forEach((operand, n) => {
    if (operand.kind === 'imm' && row.operands[n] !== '1') sizes.push((operand.size / 8) as 1 | 2 | 4 | 8);
  });
  let at = length;
  for (const size of sizes) at -= size;
  return sizes.map((size) => {
    const field = { at, size };
    at += size;
    return field;
  });
}
