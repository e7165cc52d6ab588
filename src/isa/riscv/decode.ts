/** From an instruction word to its row and operands, by tables made from the rows' encodings. */
import type { End } from '../../ir/insn.ts';
import * as op from '../../ir/op.ts';
import { i64 } from '../../ir/value.ts';
import { extract, type Field } from '../encoding.ts';
import type { Flow, Decoded as IsaDecoded } from '../isa.ts';
import { csrs } from './csr.ts';
import { gatesOf } from './gates.ts';
import { type Instruction, type Operands, RiscvInsn } from './insn.ts';

/** A decoded RISC-V instruction. */
export interface Decoded extends IsaDecoded {
  readonly row: Instruction;
  /** Position of the row in the decoder's list. */
  readonly index: number;
  readonly word: number;
  /** Bytes: 2 or 4. */
  readonly length: 2 | 4;
  /** Operands by letter; registers as numbers 0 to 31. */
  readonly operands: Readonly<Record<string, number>>;
}

const isRegister = (letter: string) => letter <= 'd';
/** Registers that hold return addresses by convention: ra and t0. */
const isLink = (register: number) => register === 1 || register === 5;

/** Fields of three bits name x8 to x15. */
export function operandOf(field: Field, word: number): number {
  const value = extract(field, word);
  return field.width === 3 && isRegister(field.letter) ? value + 8 : value;
}

/** What is the same for all instructions of a row. */
export interface RowFlow {
  readonly kind: End['kind'];
  /** Jumps by a distance that the instruction says. */
  readonly direct: boolean;
  readonly ends: boolean;
  /** Links when it has no destination, or one that is not x0. */
  readonly links: boolean;
}

interface Row {
  readonly row: Instruction;
  readonly index: number;
  /** As signed numbers. */
  readonly mask: number;
  readonly match: number;
  readonly fields: readonly Field[];
}

/** How many decoded instructions are kept; then all are forgotten. */
const RECENT = 1 << 15;

export class Decoder {
  readonly rows: readonly Instruction[];
  private readonly flows: RowFlow[] = [];
  /** What has been decoded, by word as a signed number. */
  private readonly recent = new Map<number, Decoded>();
  private readonly wide: Row[][] = Array.from({ length: 256 }, () => []);
  private readonly narrow: Row[][] = Array.from({ length: 32 }, () => []);

  constructor(rows: readonly Instruction[]) {
    this.rows = rows;
    rows.forEach((row, index) => {
      const { bits, mask, match, fields } = row.encoding;
      const known = { row, index, mask: mask | 0, match: match | 0, fields };
      const table = bits === 32 ? this.wide : this.narrow;
      for (let key = 0; key < table.length; key++) {
        const word = bits === 32 ? wideWord(key) : narrowWord(key);
        if (((word ^ match) & mask & (bits === 32 ? 0x707f : 0xe003)) === 0) table[key].push(known);
      }
    });
  }

  /** The length of the instruction that begins with this halfword. */
  static length(half: number): 2 | 4 {
    return (half & 3) === 3 ? 4 : 2;
  }

  private find(word: number): Row | undefined {
    const candidates = (word & 3) === 3 ? this.wide[wideKey(word)] : this.narrow[narrowKey(word)];
    for (let n = 0; n < candidates.length; n++) {
      const known = candidates[n];
      if ((word & known.mask) !== known.match) continue;
      if (known.row.where && !known.row.where(operandsOf(known, word))) continue;
      return known;
    }
    return undefined;
  }

  /** Facts of a row, found from its semantics when they are first asked for. */
  flowOf(index: number): RowFlow {
    this.flows[index] ??= flowOfRow(this.rows[index]);
    return this.flows[index];
  }

  /** Position of the row in the list; -1 when the word is no instruction. */
  rowOf(word: number): number {
    return this.find((word & 3) === 3 ? word | 0 : word & 0xffff)?.index ?? -1;
  }

  /** `word` holds 32 bits, or 16 when its low bits say so; undefined when it is no instruction. */
  decode(word: number): Decoded | undefined {
    const bits = (word & 3) === 3 ? word | 0 : word & 0xffff;
    let decoded = this.recent.get(bits);
    if (!decoded) {
      decoded = this.decodeAnew(bits);
      if (!decoded) return undefined;
      if (this.recent.size >= RECENT) this.recent.clear();
      this.recent.set(bits, decoded);
    }
    return decoded;
  }

  private decodeAnew(bits: number): Decoded | undefined {
    const known = this.find(bits);
    if (!known) return undefined;
    const { row, index } = known;
    const operands = operandsOf(known, bits);
    const { kind, direct, ends, links } = this.flowOf(index);
    const csr = row.extension === 'zicsr' ? csrs.get(operands.k) : undefined;
    let flow: Flow = 'next';
    if (row.system(operands)) flow = 'system';
    else if (kind === 'branch') flow = 'branch';
    else if (kind === 'jump') {
      if (links && operands.d !== 0) flow = 'call';
      else flow = direct ? 'jump' : isLink(operands.a) ? 'return' : 'indirect';
    } else if (csr?.tells === true) flow = 'check';
    const target = direct ? operands.i : undefined;
    return {
      row,
      index,
      word: bits >>> 0,
      length: Decoder.length(bits),
      operands,
      flow,
      target,
      ends,
      gates: gatesOf(row.fp),
      interpreted: csr?.counts === true,
    };
  }
}

function operandsOf({ fields }: Row, word: number): Record<string, number> {
  const operands: Record<string, number> = {};
  for (let n = 0; n < fields.length; n++) operands[fields[n].letter] = operandOf(fields[n], word);
  return operands;
}

/** How the instructions of a row end, as its semantics say. */
function flowOfRow(row: Instruction): RowFlow {
  // Which operands it has is all that matters: none of these is x0.
  const { bits, fields } = row.encoding;
  const operands = Object.fromEntries(fields.map(({ letter }) => [letter, 1]));
  const insn = new RiscvInsn(bits / 8, i64(0));
  row.semantics(insn, { ...operands, i: i64(0) } as unknown as Operands);
  const { end } = insn;
  return {
    kind: end.kind,
    direct: (end.kind === 'jump' || end.kind === 'branch') && end.target.op === op.PC,
    ends: end.kind === 'jump' || (end.kind === 'system' && end.target.op !== op.PC),
    links: end.kind === 'jump' && end.link,
  };
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
export function disassemble({ row, operands, target }: Decoded, pc?: bigint): string {
  const floats = row.fp !== 'none';
  const parts: string[] = [];
  for (const letter of ['d', 'a', 'b', 'c', 'k', 'i', 'z']) {
    const value = operands[letter];
    if (value === undefined) continue;
    if (isRegister(letter)) parts.push(floats && letter !== 'a' ? floatRegisterName(value) : registerName(value));
    else if (letter === 'i' && pc !== undefined && target !== undefined)
      parts.push(`0x${BigInt.asUintN(64, pc + BigInt(value)).toString(16)}`);
    else parts.push(letter === 'k' ? `0x${value.toString(16)}` : String(value));
  }
  return parts.length > 0 ? `${row.mnemonic.padEnd(10)} ${parts.join(', ')}` : row.mnemonic;
}
