/**
 * A row as a handler of the interpreter tier: which operands stand in its
 * decoded operation, and which make a handler of their own.
 *
 * An operation holds up to four registers (u8 each, number * 8, from byte 2
 * on), or two and an immediate (i32 at 4). Operands that a row wants constant
 * (CSR numbers, rounding modes, x0 as destination) are part of the key.
 */
import type { RegOperand } from '../../ir/insn.ts';
import * as op from '../../ir/op.ts';
import { apply, i64, load, local, type Value } from '../../ir/value.ts';
import type { HandlerKey } from '../isa.ts';
import { gatesOf } from './gates.ts';
import type { Instruction, Operands } from './insn.ts';

export const REGISTER_LETTERS = ['d', 'a', 'b', 'c'] as const;
/** Operands that are always constants of a handler. */
export const CONSTANT_LETTERS = ['k', 'r', 'z'] as const;

export interface RiscvHandlerKey extends HandlerKey {
  /** Position in the list of rows. */
  readonly row: number;
  readonly constants: Readonly<Record<string, number>>;
}

/** `index` is the row's position in the list. */
export function handlerKey(
  row: Instruction,
  index: number,
  constants: Readonly<Record<string, number>>,
): RiscvHandlerKey {
  return {
    id: idOf(index, constants),
    length: row.encoding.bits / 8,
    gates: gatesOf(row.fp),
    counts: row.extension === 'zicsr',
    row: index,
    constants,
  };
}

/** A number below 2^53 for each key: a row has either rounding mode or CSR number, and the latter's immediate. */
function idOf(row: number, { a, b, c, d, k = 0, r = 0, z = 0 }: Readonly<Record<string, number>>): number {
  const zeros = (a === 0 ? 1 : 0) | (b === 0 ? 2 : 0) | (c === 0 ? 4 : 0) | (d === 0 ? 8 : 0);
  return (row * 16 + zeros) * (1 << 20) + (k | (r << 12) | (z << 15));
}

/** Operands as parameters: bytes and words of the decoded operation, whose address is local 0. */
export function operandsFor(row: Instruction, constants: Readonly<Record<string, number>>): Operands {
  const operands: Record<string, RegOperand | Value> = {};
  const ip = local(0, 'i32');
  let place = 2;
  for (const letter of REGISTER_LETTERS) {
    if (!row.encoding.fields.some((field) => field.letter === letter)) continue;
    operands[letter] = constants[letter] ?? load(op.I32_LOAD8_U, ip, place);
    place++;
  }
  for (const [letter, value] of Object.entries(constants)) operands[letter] ??= value;
  const immediate = row.encoding.fields.some(({ letter }) => letter === 'i');
  if (immediate && place > 4) throw new RangeError(`${row.mnemonic}: an immediate and ${place - 2} registers`);
  operands.i = immediate ? apply(op.I64_EXTEND_S, load(op.I32_LOAD, ip, 4)) : i64(0);
  return operands as unknown as Operands;
}
