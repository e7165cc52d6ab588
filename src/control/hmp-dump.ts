/** `x`, `xp` and `print`: formats and layout as QEMU prints them. */
import type { ProcessorText } from '../machine/api.ts';
import { ControlError } from './hub.ts';
import type { Scanner } from './hmp-expression.ts';

export type Letter = 'x' | 'd' | 'u' | 'o' | 'c' | 'i';
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
  if (scanner.peek() !== '/') return { ...last, count: 1, size: last.letter === 'i' ? 1 : last.size };
  scanner.at++;
  const digits = /^[0-9]*/.exec(scanner.text.slice(scanner.at, scanner.at + 12))?.[0] ?? '';
  scanner.at += digits.length;
  let letter: Letter | undefined;
  let size: Format['size'] | undefined;
  for (;;) {
    const char = scanner.text[scanner.at];
    if (char === undefined || char === ' ' || char === '\t') break;
    if ('xduoci'.includes(char)) letter = char as Letter;
    else if (sized && Object.hasOwn(SIZES, char)) size = SIZES[char];
    else throw new ControlError(`invalid char in format: '${char}'`);
    scanner.at++;
  }
  const count = digits === '' ? 1 : Number(digits);
  const bytes = size ?? ((letter ?? last.letter) === 'i' ? 1 : last.size);
  if (count * bytes > MAX_BYTES) throw new ControlError(`at most ${MAX_BYTES / bytes} values at a time`);
  return { count, letter: letter ?? last.letter, size: bytes };
}

/** What a later command takes where it says nothing: instructions leave the size as it was. */
export function remembered(last: Format, now: Format): Format {
  return now.letter === 'i' ? { ...now, size: last.size } : now;
}

/** Lines of a memory dump. `read` answers undefined where there is nothing to read. */
export function dump(
  format: Format,
  address: bigint,
  read: (at: bigint, length: number) => Uint8Array | undefined,
): string {
  const width = format.letter === 'c' ? 1 : format.size;
  const perLine = format.size === 1 ? 8 : 16;
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

/** Memory is read up to the next kilobyte: what is not there may begin at each. */
const AHEAD = 1024;
const LONGEST = 16;
/** Bytes beside an instruction; those of longer ones stand on lines of their own. */
const BESIDE = 8;

/** Lines of instructions. */
export function dumpCode(
  count: number,
  address: bigint,
  processor: ProcessorText,
  read: (at: bigint, length: number) => Uint8Array | undefined,
): string {
  let text = '';
  let known = new Uint8Array(0);
  let at = address;
  const label = (where: bigint) => `0x${BigInt.asUintN(64, where).toString(16).padStart(8, '0')}: `;
  for (let left = Math.max(count, 1); left > 0; left--) {
    const from = BigInt.asUintN(64, at + BigInt(known.length));
    const length = AHEAD - Number(from % BigInt(AHEAD));
    const more = known.length < LONGEST ? read(from, length) : undefined;
    if (more) known = new Uint8Array([...known, ...more]);
    if (known.length === 0) return `${text}${label(at)}unable to read memory\n`;
    const code = processor.code(known, at) ?? {
      length: 1,
      mnemonic: '.byte',
      operands: `0x${known[0].toString(16).padStart(2, '0')}`,
    };
    const bytes = [...known.subarray(0, code.length)].map((byte) => ` ${byte.toString(16).padStart(2, '0')}`);
    const beside = bytes
      .slice(0, BESIDE)
      .join('')
      .padEnd(3 * BESIDE);
    text += `${label(at)}${beside}  ${code.mnemonic.padEnd(8)} ${code.operands}\n`;
    if (bytes.length > BESIDE) text += `${label(at + BigInt(BESIDE))}${bytes.slice(BESIDE).join('')}\n`;
    known = known.slice(code.length);
    at = BigInt.asUintN(64, at + BigInt(code.length));
  }
  return text;
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
    case 'i':
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
      return value === 0n ? '0' : '0x' + BigInt.asUintN(64, value).toString(16);
    case 'o':
      return octal(BigInt.asUintN(64, value));
    case 'u':
      return BigInt.asUintN(64, value).toString();
    case 'd':
    case 'i':
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
