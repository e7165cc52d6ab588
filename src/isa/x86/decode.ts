/**
 * From bytes to a row and its operands.
 *
 * Spec: SDM volume 2, "Instruction Format", "Opcode Extensions".
 */
import type { ImmediateOperand, Instance, Operand } from './instance.ts';
import type { Row } from './opcode.ts';
import { type ByteReader, Cursor, type Head, IllegalOpcode, opcodeBytes, prefixes, SHORT } from './opcode-bytes.ts';
import { address, operand } from './operand.ts';

export { SHORT } from './opcode-bytes.ts';

/** What `Decoder` makes of bytes. */
export interface Decoded extends Instance {
  readonly row: Row;
}

/** No such instruction; `length` bytes were looked at. */
export interface Illegal {
  readonly illegal: true;
  readonly length: number;
  /** It is no instruction because it goes on behind the last byte that one may have. */
  readonly tooLong: boolean;
}
const ROWS_PER_MAP = 256;

export class Decoder {
  readonly rows: readonly Row[];
  private readonly table: number[][];

  /** `lacks`: features whose instructions there are not; older ones with the same opcode stand in their place. */
  constructor(rows: readonly Row[], lacks: ReadonlySet<string> = new Set()) {
    this.rows = rows;
    this.table = Array.from({ length: 8 * ROWS_PER_MAP }, () => []);
    rows.forEach(({ opcode: { vex, map, byte, register }, traits }, index) => {
      if (traits.feature !== undefined && lacks.has(traits.feature)) return;
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
