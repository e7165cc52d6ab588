/**
 * From instruction words to the 8 bytes of decoded operations.
 *
 * What a word becomes is worked out once and kept in a table: one line for
 * each word of 16 bits, and a direct-mapped cache for those of 32. A direct
 * jump has a handler for each way its target can lie to it.
 */
import type { Field } from '../encoding.ts';
import type { HandlerNumbers, OperationDecoder, Reach } from '../isa.ts';
import { Decoder, operandOf } from './decode.ts';
import { CONSTANT_LETTERS, handlerKey, REGISTER_LETTERS } from './handler.ts';
import type { Instruction } from './insn.ts';

const NARROW = 1 << 16;
const WIDE_BITS = 17;
/** Lines of the table: the word, the two halves of the operation less the handler, the handler and what is below. */
const LINE = 4;
const HANDLER_MASK = 0xffff;
const VALID = 1 << 16;
/** Nothing runs on behind it. */
const ENDS = 1 << 17;
/** In place of the handler's number stands that of the jump; the high half is the distance to the target. */
const DIRECT = 1 << 18;

/** Extensions whose handlers are made at the start; none of their rows has operands that are constants. */
const COMMON: ReadonlySet<string> = new Set(['i', 'm', 'a', 'c']);

const PAGE = 4096;

/** What is the same for all instructions of a row. */
interface RowLayout {
  readonly registers: readonly {
    readonly field: Field;
    readonly letter: 'a' | 'b' | 'c' | 'd';
    readonly zeroBit: number;
  }[];
  readonly constants: readonly Field[];
  readonly immediate: Field | undefined;
  /** ENDS and DIRECT. */
  readonly flags: number;
  /** By the registers that are constant 0: number of the handler or of the jump; -1: not asked for yet. Only of rows without constants. */
  readonly numbers: Int32Array;
}

const ZERO_BITS = { a: 1, b: 2, c: 4, d: 8 } as const;

/** The handlers of a direct jump by reach; -1: not asked for yet. */
interface Jump {
  readonly row: number;
  readonly constants: Readonly<Record<string, number>>;
  forward: number;
  backward: number;
  far: number;
}

export class Operations implements OperationDecoder {
  private readonly decoder: Decoder;
  private readonly handlers: HandlerNumbers;
  readonly spill = undefined;
  private readonly table = new Int32Array((NARROW + (1 << WIDE_BITS)) * LINE);
  private readonly layouts: (RowLayout | undefined)[] = [];
  private jumps: Jump[] = [];
  /** Of the instruction decoded last. */
  private last = 0;

  constructor(rows: readonly Instruction[], handlers: HandlerNumbers) {
    this.decoder = new Decoder(rows);
    this.handlers = handlers;
    this.preload();
  }

  decode(view: DataView, at: number, left: number): number {
    if (left < 2) return -1;
    let word = view.getUint16(at, true);
    const length = Decoder.length(word);
    if (length === 4) {
      if (left < 4) return -1;
      word = view.getInt32(at, true);
    }
    this.last = this.line(word);
    return this.last < 0 ? 0 : length;
  }

  /** The line of a word of 16 or 32 bits; -1 when it is no instruction. */
  private line(word: number): number {
    const wide = (word & 3) === 3;
    const bits = wide ? word | 0 : word & 0xffff;
    const line = (wide ? NARROW + (Math.imul(bits, 0x9e3779b1) >>> (32 - WIDE_BITS)) : bits) * LINE;
    return this.table[line] === bits && this.table[line + 3] !== 0 ? line : this.make(bits, line);
  }

  write(offset: number, out: DataView, at: number): void {
    const { table, last } = this;
    const facts = table[last + 3];
    let handler = facts & HANDLER_MASK;
    const high = table[last + 2];
    if (facts & DIRECT) {
      const to = offset + high;
      handler = this.handlerOf(handler, to < 0 || to >= PAGE ? 'far' : high <= 0 ? 'backward' : 'forward');
    }
    out.setInt32(at, table[last + 1] | handler, true);
    out.setInt32(at + 4, high, true);
  }

  get ends(): boolean {
    return (this.table[this.last + 3] & ENDS) !== 0;
  }

  /** Forgets everything and gives the handlers new numbers. No operation may be left. */
  clear(): void {
    this.handlers.clear();
    this.table.fill(0);
    this.layouts.length = 0;
    this.jumps = [];
    this.preload();
  }

  private handlerOf(number: number, reach: Exclude<Reach, 'none'>): number {
    const jump = this.jumps[number];
    if (jump[reach] < 0) jump[reach] = this.number(jump.row, jump.constants, reach);
    return jump[reach];
  }

  private number(row: number, constants: Readonly<Record<string, number>>, reach: Reach): number {
    return this.handlers.number(handlerKey(this.decoder.rows[row], row, constants), reach);
  }

  private make(word: number, line: number): number {
    const row = this.decoder.rowOf(word);
    if (row < 0) return -1;
    this.layouts[row] ??= this.layout(row);
    const { registers, constants, immediate, flags, numbers } = this.layouts[row];
    let low = 0;
    let high = 0;
    let zeros = 0;
    for (let n = 0; n < registers.length; n++) {
      const value = operandOf(registers[n].field, word);
      if (value === 0) zeros |= registers[n].zeroBit;
      if (n < 2) low |= value << (n * 8 + 19);
      else high |= value << (n * 8 - 13);
    }
    if (immediate) high = operandOf(immediate, word);
    let number = constants.length > 0 ? -1 : numbers[zeros];
    if (number < 0) {
      const values: Record<string, number> = {};
      for (const { letter, zeroBit } of registers) if (zeros & zeroBit) values[letter] = 0;
      for (const field of constants) values[field.letter] = operandOf(field, word);
      if (flags & DIRECT) number = this.jumps.push({ row, constants: values, forward: -1, backward: -1, far: -1 }) - 1;
      else number = this.number(row, values, 'none');
      numbers[zeros] = number;
    }
    this.table[line] = word;
    this.table[line + 1] = low;
    this.table[line + 2] = high;
    this.table[line + 3] = number | flags | VALID;
    return line;
  }

  private layout(index: number): RowLayout {
    const row = this.decoder.rows[index];
    const { direct, ends } = this.decoder.flowOf(index);
    const find = (letter: string) => row.encoding.fields.filter((field) => field.letter === letter);
    const system = row.extension === 'zicsr' || row.extension === 's';
    return {
      registers: REGISTER_LETTERS.flatMap((letter) =>
        find(letter).map((field) => ({ field, letter, zeroBit: system || letter === 'd' ? ZERO_BITS[letter] : 0 })),
      ),
      constants: CONSTANT_LETTERS.flatMap(find),
      immediate: find('i')[0],
      flags: (ends ? ENDS : 0) | (direct ? DIRECT : 0),
      numbers: new Int32Array(16).fill(-1),
    };
  }

  /** Asks for the handlers that nearly every guest needs: one module costs less than a hundred small ones. */
  private preload(): void {
    this.decoder.rows.forEach(({ extension }, row) => {
      if (!COMMON.has(extension)) return;
      const { direct, links } = this.decoder.flowOf(row);
      const reaches: readonly Reach[] = direct ? ['forward', 'backward', 'far'] : ['none'];
      for (const reach of reaches) {
        this.number(row, {}, reach);
        if (direct && links) this.number(row, { d: 0 }, reach);
      }
    });
  }
}
