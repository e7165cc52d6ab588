/** Random single instructions, made from the rows. */
import { extract, type Field } from '../../src/isa/encoding.ts';
import type { Instruction } from '../../src/isa/riscv/insn.ts';
import { rows } from '../../src/isa/riscv/rows.ts';
import { encode } from './assembler.ts';
import { RESUME } from './firmware.ts';
import type { Random } from './random.ts';

/** Registers that random instructions leave alone: ra, sp, s0 and s2 point at data; s4 and s5 count. */
export const RA = 1;
export const SP = 2;
export const S0 = 8;
export const PTR = 18;
export const OUTER = 20;
export const INNER = 21;
const KEPT = new Set([RA, SP, S0, PTR, OUTER, INNER, RESUME]);
const FREE = Array.from({ length: 32 }, (_, n) => n).filter((n) => !KEPT.has(n));
const FREE_SHORT = [9, 10, 11, 12, 13, 14, 15];

const MEMORY = /^(c\.)?f?[ls][bhwd]u?(sp)?$/;
const CONTROL = /^(jal|jalr|b(eq|ne|lt|ge|ltu|geu)|c\.(j|jr|jalr|beqz|bnez))$/;
const TRAPS = /^(c\.)?ebreak$/;

const plain = (row: Instruction) =>
  !MEMORY.test(row.mnemonic) && !CONTROL.test(row.mnemonic) && !TRAPS.test(row.mnemonic);
const of = (...extensions: string[]) => rows.filter((row) => extensions.includes(row.extension) && plain(row));

export const COMPUTE = of('i', 'm', 'zba', 'zbb', 'zbc', 'zbs', 'zbkb', 'zbkx', 'zknh', 'zicond', 'c', 'zcb').filter(
  ({ mnemonic }) => !['fence.i', 'c.addi16sp'].includes(mnemonic),
);
/** Compressed ones among them, so that a weight can be given to them. */
export const COMPRESSED = COMPUTE.filter((row) => row.encoding.bits === 16);
export const FLOAT = of('f', 'd', 'zfa');
export const LOADS_AND_STORES = rows.filter((row) => MEMORY.test(row.mnemonic));
export const ATOMIC = of('a');
export const CACHE = of('zicbo');

/** Bytes of a load's or store's operand. */
export function widthOf(row: Instruction): number {
  const letter = /[bhwd]/.exec(row.mnemonic.replace(/^c\./, '').replace(/^f?[ls]/, ''));
  return { b: 1, h: 2, w: 4, d: 8 }[letter?.[0] ?? 'd'] ?? 8;
}

const highest = (field: Field) => extract(field, 0xffffffff);
const short = (field: Field) => field.width === 3;

/** An immediate that the field can hold. */
export function immediate(random: Random, field: Field): number {
  const bits = random.chance(0.3) ? 0xffffffff * (random.chance(0.5) ? 1 : 0) : random.u32();
  const word = random.chance(0.2) ? random.below(32) : bits;
  // What the pieces keep of a random word: insert and extract without a place in between.
  let value = 0;
  for (const { width, to } of field.pieces) value |= ((word >>> to) & (width === 32 ? -1 : 2 ** width - 1)) << to;
  if (field.signed) {
    const shift = 32 - field.width;
    value = (value << shift) >> shift;
  }
  return value;
}

/** Operands for a row that writes no kept register; undefined fields stay 0. */
export function operands(random: Random, row: Instruction): Record<string, number> {
  for (;;) {
    const o: Record<string, number> = {};
    for (const field of row.encoding.fields) {
      const { letter } = field;
      if (letter === 'd') o.d = short(field) ? random.pick(FREE_SHORT) : random.pick(FREE);
      else if ('abc'.includes(letter)) o[letter] = short(field) ? random.between(8, 15) : random.below(32);
      else if (letter === 'r')
        o.r = random.weighted([
          [6, 7],
          [3, 0],
          [1, 1],
          [1, 2],
          [1, 3],
          [1, 4],
        ]);
      else if (letter === 'i') o.i = immediate(random, field);
      else o[letter] = random.below(highest(field) + 1);
    }
    if (!row.where || row.where(o)) return o;
  }
}

const NOTHING: ReadonlySet<string> = new Set();

const missing = (row: Instruction, without: ReadonlySet<string>) =>
  without.has(row.extension) || without.has(row.mnemonic);

/** One instruction that computes; none of the extensions and mnemonics in `without`. */
export function compute(random: Random, without = NOTHING): number {
  for (;;) {
    const row = random.pick(random.chance(0.35) ? COMPRESSED : COMPUTE);
    if (!missing(row, without)) return encode(row, operands(random, row));
  }
}

export function float(random: Random, without = NOTHING): number {
  for (;;) {
    const row = random.pick(FLOAT);
    if (!missing(row, without)) return encode(row, operands(random, row));
  }
}

/** A load or store through one of the pointers (or only through `base`). */
export function access(random: Random, base?: number, misaligned = 0.1, without = NOTHING): number {
  for (;;) {
    const row = random.pick(LOADS_AND_STORES);
    if (missing(row, without)) continue;
    const o = operands(random, row);
    const stackForm = /sp$/.test(row.mnemonic);
    if (base !== undefined && (row.encoding.bits === 16 || stackForm)) continue;
    if (!stackForm) {
      const field = row.encoding.fields.find(({ letter }) => letter === 'a') as Field;
      o.a = base ?? (short(field) ? S0 : random.pick([SP, S0, PTR]));
    }
    if (row.encoding.bits === 32) {
      if (random.chance(0.7)) o.i >>= 4;
      if (!random.chance(misaligned)) o.i &= -widthOf(row);
    }
    // Stores may not give away a kept register's role, but may store its value.
    return encode(row, o);
  }
}

/** An atomic memory operation through PTR. */
export function atomic(random: Random, row = random.pick(ATOMIC)): number {
  return encode(row, { ...operands(random, row), a: PTR });
}

export function cacheBlock(random: Random): number {
  const row = random.pick(CACHE);
  return encode(row, { a: PTR });
}

/** A word that may well be no instruction. */
export function anyWord(random: Random): number {
  if (random.chance(0.3))
    return random.pick([0, 0xffffffff, 0x00000013 | (random.u32() & 0xfffff000), 0x8000, 0x2000 | 3]);
  // A legal instruction with some bits turned over, no control flow: only what fails to decode is kept by the caller.
  const row = random.pick(rows);
  return (encode(row, operands(random, row)) ^ (1 << random.below(row.encoding.bits))) >>> 0;
}
