/** `x`, `xp` and `print`: formats and layout as QEMU prints them. */
import { ControlError } from './hub.ts';
import type { Scanner } from './hmp-expression.ts';

export type Letter = 'x' | 'd' | 'u' | 'o' | 'c';
export interface Format {
  readonly count: number;
  readonly letter: Letter;
  readonly size: 1 | 2 | 4 | 8;
}

/** A dump of more than this is a mistake. */
const MAX_BYTES = 1 << 20;
const SIZES: Readonly<Record<string, Format['size']>> = { b: 1, h: 2, w: 4, g: 8 };

/** Reads `/4xw`; what is left out stays as it was last time. */
export function parseFormat(scanner: Scanner, last: Format, sized: boolean): Format {
  if (scanner.peek() !== '/') return { ...last, count: 1 };
  scanner.at++;
  const digits = /^[0-9]*/.exec(scanner.text.slice(scanner.at, scanner.at + 12))?.[0] ?? '';
  scanner.at += digits.length;
  let letter: Letter | undefined;
  let size: Format['size'] | undefined;
  for (;;) {
    const char = scanner.text[scanner.at];
    if (char === undefined || char === ' ' || char === '\t') break;
    if ('xduoc'.includes(char)) letter = char as Letter;
    else if (sized && Object.hasOwn(SIZES, char)) size = SIZES[char];
    else if (char === 'i') throw new ControlError("there is no disassembler in this monitor; use format 'x'");
    else throw new ControlError(`invalid char in format: '${char}'`);
    scanner.at++;
  }
  const count = digits === '' ? 1 : Number(digits);
  const bytes = size ?? (letter === 'c' ? 1 : last.size);
  if (count * bytes > MAX_BYTES) throw new ControlError(`at most ${MAX_BYTES / bytes} values at a time`);
  return { count, letter: letter ?? last.letter, size: bytes };
}

/** Lines of a memory dump. `read` answers undefined where there is nothing to read. */
export function dump(
  format: Format,
  address: bigint,
  read: (at: bigint, length: number) => Uint8Array | undefined,
): string {
  const width = format.letter === 'c' ? 1 : format.size;
  const perLine = format.letter === 'c' ? 8 : 16;
  const lines: string[] = [];
  for (let at = 0, left = format.count * format.size; left > 0; ) {
    const length = Math.min(left, perLine);
    const from = BigInt.asUintN(64, address + BigInt(at));
    const bytes = read(from, length);
    const label = from.toString(16).padStart(16, '0') + ':';
    if (!bytes) {
      lines.push(`${label} Cannot access memory`);
      break;
    }
    let line = label;
    for (let i = 0; i < length; i += width) line += ' ' + cell(format.letter, width, load(bytes, i, width));
    lines.push(line);
    at += length;
    left -= length;
  }
  return lines.map((line) => line + '\n').join('');
}

function load(bytes: Uint8Array, at: number, width: number): bigint {
  let value = 0n;
  for (let i = width - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[at + i]);
  return value;
}

function cell(letter: Letter, width: number, value: bigint): string {
  const bits = width * 8;
  switch (letter) {
    case 'x':
      return '0x' + value.toString(16).padStart(width * 2, '0');
    case 'o':
      return octal(value).padStart(Math.floor((bits + 2) / 3));
    case 'u':
      return value.toString().padStart(Math.floor((bits * 10 + 32) / 33));
    case 'd':
      // Narrow values count as unsigned, as in QEMU.
      return BigInt.asIntN(64, value)
        .toString()
        .padStart(Math.floor((bits * 10 + 32) / 33));
    case 'c':
      return character(Number(value));
  }
}

/** `print`: one value, without padding. */
export function printed(letter: Letter, value: bigint): string {
  switch (letter) {
    case 'x':
      return '0x' + BigInt.asUintN(64, value).toString(16);
    case 'o':
      return octal(BigInt.asUintN(64, value));
    case 'u':
      return BigInt.asUintN(64, value).toString();
    case 'd':
      return value.toString();
    case 'c':
      return character(Number(value & 255n));
  }
}

function octal(value: bigint): string {
  return value === 0n ? '0' : '0' + value.toString(8);
}

function character(code: number): string {
  const named: Record<number, string> = { 10: '\\n', 13: '\\r', 39: "\\'", 92: '\\\\' };
  if (named[code]) return `'${named[code]}'`;
  return code >= 32 && code < 127 ? `'${String.fromCharCode(code)}'` : `'\\x${code.toString(16).padStart(2, '0')}'`;
}
