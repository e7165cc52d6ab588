/** A small assembler over the rows' own encodings. */
import { insert } from '../../src/isa/encoding.ts';
import type { Instruction } from '../../src/isa/riscv/insn.ts';
import { rows } from '../../src/isa/riscv/rows.ts';

const byName = new Map(rows.map((row) => [row.mnemonic, row]));

export function rowOf(mnemonic: string): Instruction {
  const row = byName.get(mnemonic);
  if (!row) throw new RangeError(`no instruction ${mnemonic}`);
  return row;
}

export type OperandValues = Readonly<Record<string, number>>;

/** The word of an instruction; registers by number, also where the field has three bits. */
export function encode(row: Instruction, operands: OperandValues): number {
  let word = row.encoding.match;
  for (const field of row.encoding.fields) {
    const value = operands[field.letter] ?? 0;
    const short = field.width === 3 && 'abcd'.includes(field.letter);
    word |= insert(field, short ? value - 8 : value);
  }
  return word >>> 0;
}

export class Label {
  at: number | undefined;
}

/** One instruction in the code: what shrinking may turn into a no-operation. */
export interface Unit {
  /** Offset in the code, bytes. */
  readonly at: number;
  readonly length: 2 | 4;
  /** Units of one group stand or go together. */
  readonly group: number;
}

export class Assembler {
  /** Address of the first byte as the code itself sees it. */
  readonly base: bigint;
  readonly units: Unit[] = [];
  private readonly bytes: number[] = [];
  private groups = 0;
  private grouped = false;
  private readonly fixups: {
    readonly at: number;
    readonly label: Label;
    readonly row: Instruction;
    readonly operands: OperandValues;
  }[] = [];

  constructor(base: bigint) {
    this.base = base;
  }

  /** Offset of the next instruction. */
  get at(): number {
    return this.bytes.length;
  }
  get pc(): bigint {
    return this.base + BigInt(this.at);
  }

  half(value: number): void {
    this.bytes.push(value & 255, (value >>> 8) & 255);
  }
  /** An instruction word as it is: 2 bytes when its low bits say so. */
  word(value: number): void {
    const length = (value & 3) === 3 ? 4 : 2;
    this.units.push({ at: this.at, length, group: this.grouped ? this.groups : ++this.groups });
    this.half(value);
    if (length === 4) this.half(value >>> 16);
  }
  /** Instructions that make no sense without one another. */
  group(body: () => void): void {
    const outer = this.grouped;
    if (!outer) this.groups++;
    this.grouped = true;
    body();
    this.grouped = outer;
  }
  op(mnemonic: string, operands: OperandValues = {}): void {
    this.word(encode(rowOf(mnemonic), operands));
  }
  /** An instruction whose immediate is the distance to a label. */
  to(mnemonic: string, label: Label, operands: OperandValues = {}): void {
    const row = rowOf(mnemonic);
    this.fixups.push({ at: this.at, label, row, operands });
    this.word(encode(row, { ...operands, i: 0 }));
  }
  /** d = the address of a label. */
  la(d: number, label: Label): void {
    const at = this.at;
    this.group(() => {
      this.op('auipc', { d, i: 0 });
      this.fixups.push({ at: this.at, label, row: rowOf('addi'), operands: { d, a: d, from: at } });
      this.op('addi', { d, a: d, i: 0 });
    });
  }
  place(label: Label): void {
    label.at = this.at;
  }
  label(): Label {
    const label = new Label();
    this.place(label);
    return label;
  }

  /** d = value, by lui, addi and shifts. */
  li(d: number, value: bigint): void {
    this.group(() => this.loadImmediate(d, value));
  }
  private loadImmediate(d: number, value: bigint): void {
    const v = BigInt.asIntN(64, value);
    if (v >= -2048n && v < 2048n) {
      this.op('addi', { d, a: 0, i: Number(v) });
      return;
    }
    const low = Number(BigInt.asIntN(12, v));
    if (v === BigInt.asIntN(32, v)) {
      const upper = Number(BigInt.asIntN(32, v - BigInt(low)));
      this.op('lui', { d, i: upper });
      if (low !== 0) this.op('addiw', { d, a: d, i: low });
      return;
    }
    let upper = BigInt.asIntN(64, v - BigInt(low)) >> 12n;
    let shift = 12;
    while ((upper & 1n) === 0n) {
      upper >>= 1n;
      shift++;
    }
    this.loadImmediate(d, upper);
    this.op('slli', { d, a: d, i: shift });
    if (low !== 0) this.op('addi', { d, a: d, i: low });
  }

  csrw(csr: number, a: number): void {
    this.op('csrrw', { d: 0, k: csr, a });
  }
  csrr(d: number, csr: number): void {
    this.op('csrrs', { d, k: csr, a: 0 });
  }

  /** The code with every label in place. */
  finish(): Uint8Array {
    const out = Uint8Array.from(this.bytes);
    const view = new DataView(out.buffer);
    for (const { at, label, row, operands } of this.fixups) {
      if (label.at === undefined) throw new Error(`${row.mnemonic} to a label that has no place`);
      const i = label.at - (operands.from ?? at);
      const word = encode(row, { ...operands, i });
      if (row.encoding.bits === 32) view.setUint32(at, word, true);
      else view.setUint16(at, word, true);
    }
    return out;
  }
}
