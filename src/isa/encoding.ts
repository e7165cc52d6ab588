/**
 * Instruction encodings written as their spec's tables draw them, and the
 * decoder tables that follow from them.
 *
 * Notation, from the most significant bit: `0` and `1` are fixed, `-` is any
 * bit, a run of one letter is an operand field, `[11|4:1]` are bits of the
 * signed immediate `i` (as the tables of the RISC-V manual list them) and
 * `u[5:3|8:6]` bits of an unsigned one. Blanks are for the eye.
 */

/** Bits `[at, at + width)` of the word are bits `[to, to + width)` of the operand. */
export interface Piece {
  readonly at: number;
  readonly width: number;
  readonly to: number;
}

export interface Field {
  readonly letter: string;
  readonly pieces: readonly Piece[];
  readonly signed: boolean;
  /** One more than the highest bit of the operand. */
  readonly width: number;
}

export interface Encoding {
  /** Bits of the word: 16 or 32. */
  readonly bits: number;
  readonly mask: number;
  readonly match: number;
  readonly fields: readonly Field[];
}

export function encoding(text: string): Encoding {
  const parts: {
    readonly width: number;
    readonly fixed?: string;
    readonly letter?: string;
    readonly immediate?: [number, number][];
    readonly signed?: boolean;
  }[] = [];
  for (const token of text.split(' ')) {
    const immediate = /^(u?)\[([\d:|]+)\]$/.exec(token);
    if (immediate) {
      const ranges = immediate[2].split('|').map((range): [number, number] => {
        const [high, low] = range.split(':').map(Number);
        return [high, low ?? high];
      });
      const width = ranges.reduce((sum, [high, low]) => sum + high - low + 1, 0);
      parts.push({ width, immediate: ranges, signed: immediate[1] === '' });
      continue;
    }
    for (const [run] of token.matchAll(/[01-]+|([a-z])\1*/g)) {
      if (/[01-]/.test(run)) parts.push({ width: run.length, fixed: run });
      else parts.push({ width: run.length, letter: run[0] });
    }
  }
  const bits = parts.reduce((sum, part) => sum + part.width, 0);
  if (bits !== 16 && bits !== 32) throw new SyntaxError(`encoding of ${bits} bits: ${text}`);
  let mask = 0;
  let match = 0;
  const fields = new Map<string, { pieces: Piece[]; signed: boolean; width: number }>();
  const field = (letter: string, signed: boolean) => {
    let found = fields.get(letter);
    if (!found) {
      found = { pieces: [], signed, width: 0 };
      fields.set(letter, found);
    }
    return found;
  };
  let at = bits;
  for (const part of parts) {
    if (part.fixed !== undefined) {
      for (const bit of part.fixed) {
        at--;
        if (bit !== '-') mask |= 1 << at;
        if (bit === '1') match |= 1 << at;
      }
    } else if (part.letter !== undefined) {
      at -= part.width;
      const f = field(part.letter, false);
      f.pieces.push({ at, width: part.width, to: 0 });
      f.width = Math.max(f.width, part.width);
    } else {
      const f = field('i', part.signed ?? true);
      for (const [high, low] of part.immediate ?? []) {
        at -= high - low + 1;
        f.pieces.push({ at, width: high - low + 1, to: low });
        f.width = Math.max(f.width, high + 1);
      }
    }
  }
  return {
    bits,
    mask: mask >>> 0,
    match: match >>> 0,
    fields: [...fields].map(([letter, f]) => ({ letter, ...f })),
  };
}

/** The operand's value in `word`: a number, sign-extended where the field is signed. */
export function extract(field: Field, word: number): number {
  let value = 0;
  for (const { at, width, to } of field.pieces) {
    const piece = (word >>> at) & (width === 32 ? -1 : (1 << width) - 1);
    value |= piece << to;
  }
  if (field.signed) {
    const shift = 32 - field.width;
    value = (value << shift) >> shift;
  }
  return value;
}

/** Puts an operand into a word; the inverse of `extract`. */
export function insert(field: Field, value: number): number {
  let word = 0;
  for (const { at, width, to } of field.pieces) {
    const piece = (value >>> to) & (width === 32 ? -1 : (1 << width) - 1);
    word |= piece << at;
  }
  return word >>> 0;
}

/** True when some word matches both encodings. */
export function overlap(a: Encoding, b: Encoding): boolean {
  const common = a.mask & b.mask;
  return a.bits === b.bits && (a.match & common) === (b.match & common);
}
