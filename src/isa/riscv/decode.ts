/** From an instruction word to its row and operands, by tables made from the rows' encodings. */
import { extract, type Field } from '../encoding.ts';
import type { Instruction } from './insn.ts';

export interface Decoded {
  readonly row: Instruction;
  /** Position of the row in the decoder's list. */
  readonly index: number;
  readonly word: number;
  /** Bytes: 2 or 4. */
  readonly length: 2 | 4;
  /** Operands by letter; registers as numbers 0 to 31. */
  readonly operands: Readonly<Record<string, number>>;
}

const REGISTERS = new Set(['a', 'b', 'c', 'd']);

/** Fields of three bits name x8 to x15. */
function operandOf(field: Field, word: number): number {
  const value = extract(field, word);
  return field.width === 3 && REGISTERS.has(field.letter) ? value + 8 : value;
}

export class Decoder {
  readonly rows: readonly Instruction[];
  private readonly wide: number[][] = Array.from({ length: 256 }, () => []);
  private readonly narrow: number[][] = Array.from({ length: 32 }, () => []);

  constructor(rows: readonly Instruction[]) {
    this.rows = rows;
    rows.forEach(({ encoding: { bits, mask, match } }, index) => {
      const keyOf = bits === 32 ? wideKey : narrowKey;
      const table = bits === 32 ? this.wide : this.narrow;
      for (let key = 0; key < table.length; key++) {
        const word = bits === 32 ? wideWord(key) : narrowWord(key);
        const known = bits === 32 ? 0x707f : 0xe003;
        if (((word ^ match) & mask & known) === 0 && keyOf(word) === key) table[key].push(index);
      }
    });
  }

  /** The length of the instruction that begins with this halfword. */
  static length(half: number): 2 | 4 {
    return (half & 3) === 3 ? 4 : 2;
  }

  /** `word` holds 32 bits, or 16 when its low bits say so; undefined when it is no instruction. */
  decode(word: number): Decoded | undefined {
    const length = Decoder.length(word);
    const bits = length === 4 ? word >>> 0 : word & 0xffff;
    const candidates = length === 4 ? this.wide[wideKey(bits)] : this.narrow[narrowKey(bits)];
    for (const index of candidates) {
      const row = this.rows[index];
      const { mask, match, fields } = row.encoding;
      if ((bits & mask) >>> 0 !== match) continue;
      const operands: Record<string, number> = {};
      for (const field of fields) operands[field.letter] = operandOf(field, bits);
      if (row.where && !row.where(operands)) continue;
      return { row, index, word: bits, length, operands };
    }
    return undefined;
  }
}

const wideKey = (word: number) => ((word >>> 2) & 31) | (((word >>> 12) & 7) << 5);
const wideWord = (key: number) => ((key & 31) << 2) | 3 | ((key >>> 5) << 12);
const narrowKey = (word: number) => (word & 3) | (((word >>> 13) & 7) << 2);
const narrowWord = (key: number) => (key & 3) | ((key >>> 2) << 13);

const X_NAMES =
  'zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6'.split(' ');
export const registerName = (n: number): string => X_NAMES[n];
const F_NAMES =
  'ft0 ft1 ft2 ft3 ft4 ft5 ft6 ft7 fs0 fs1 fa0 fa1 fa2 fa3 fa4 fa5 fa6 fa7 fs2 fs3 fs4 fs5 fs6 fs7 fs8 fs9 fs10 fs11 ft8 ft9 ft10 ft11'.split(
    ' ',
  );
export const floatRegisterName = (n: number): string => F_NAMES[n];

/** One line of assembly: mnemonic and operands, branch targets as addresses when `pc` is given. */
export function disassemble({ row, operands }: Decoded, pc?: bigint): string {
  const floats = row.fp !== 'none';
  const parts: string[] = [];
  for (const letter of ['d', 'a', 'b', 'c', 'k', 'i', 'z']) {
    const value = operands[letter];
    if (value === undefined) continue;
    if (REGISTERS.has(letter)) parts.push(floats && letter !== 'a' ? floatRegisterName(value) : registerName(value));
    else if (letter === 'i' && pc !== undefined && /^(c\.)?(b|jal$|j$)/.test(row.mnemonic))
      parts.push(`0x${BigInt.asUintN(64, pc + BigInt(value)).toString(16)}`);
    else parts.push(letter === 'k' ? `0x${value.toString(16)}` : String(value));
  }
  return parts.length > 0 ? `${row.mnemonic.padEnd(10)} ${parts.join(', ')}` : row.mnemonic;
}
