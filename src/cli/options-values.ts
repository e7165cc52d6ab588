/**
 * Values on QEMU's command line: `key=value` lists with the `,,` escape and an
 * implied first key, switches, sizes and numbers.
 */
import { ConfigError } from '../bits/errors.ts';

/** A mistake on the command line, or an option that is known and not there. */
export class OptionError extends ConfigError {
  /** What stands before the message: `-m abc`; empty for mistakes that no single option made. */
  readonly where: string;

  constructor(where: string, what: string, mend = '', code = 'bad-option') {
    super(code, what, mend);
    this.where = where;
  }
}

/** An option or value that QEMU knows and this emulator does not have. */
export function refuse(where: string, what: string, mend: string): never {
  throw new OptionError(where, what, mend, 'option-refused');
}

const MAX_PARAMETERS = 1024;

/**
 * Splits `a=1,b=x,,y,c` into pairs. The first parameter may leave out its key
 * when `implied` names one; a later parameter without value is a switch:
 * `name` means `name=on`, `noname` means `name=off` for the names in `switches`.
 */
export function keyValues(text: string, implied?: string, switches: readonly string[] = []): [string, string][] {
  const pairs: [string, string][] = [];
  for (const [index, part] of splitCommas(text).entries()) {
    if (index >= MAX_PARAMETERS) break;
    const equals = part.indexOf('=');
    if (equals >= 0 && !(index === 0 && implied && part.slice(0, equals).includes(','))) {
      pairs.push([part.slice(0, equals), part.slice(equals + 1)]);
    } else if (index === 0 && implied) pairs.push([implied, part]);
    else if (part === '' && index > 0) continue;
    else if (part.startsWith('no') && switches.includes(part.slice(2))) pairs.push([part.slice(2), 'off']);
    else pairs.push([part, 'on']);
  }
  return pairs;
}

/** Splits at single commas; a doubled comma is one comma of the value. */
export function splitCommas(text: string): string[] {
  const parts: string[] = [];
  let part = '';
  for (let i = 0; i < text.length; i++) {
    if (text[i] !== ',') part += text[i];
    else if (text[i + 1] === ',') {
      part += ',';
      i++;
    } else {
      parts.push(part);
      part = '';
    }
  }
  parts.push(part);
  return parts;
}

/** The parameters of one option; every one must be asked for before `finish`. The last of equal keys counts. */
export class Params {
  readonly where: string;
  private readonly values = new Map<string, string>();
  private readonly asked = new Set<string>();

  constructor(where: string, pairs: readonly (readonly [string, string])[]) {
    this.where = where;
    for (const [key, value] of pairs) this.values.set(key, value);
  }

  static parse(where: string, text: string, implied?: string, switches: readonly string[] = []): Params {
    return new Params(where, keyValues(text, implied, switches));
  }

  has(key: string): boolean {
    return this.values.has(key);
  }

  /** Whether `help` or `?` stands among the parameters. */
  get wantsHelp(): boolean {
    for (const [key, value] of this.values)
      if (key === 'help' || key === '?' || value === 'help' || value === '?') return true;
    return false;
  }

  text(key: string): string | undefined {
    this.asked.add(key);
    return this.values.get(key);
  }

  onOff(key: string): boolean | undefined {
    const value = this.text(key);
    return value === undefined ? undefined : onOff(this.where, key, value);
  }

  number(key: string, low = 0, high = Number.MAX_SAFE_INTEGER): number | undefined {
    const value = this.text(key);
    return value === undefined ? undefined : number(this.where, key, value, low, high);
  }

  size(key: string, unit = 1): number | undefined {
    const value = this.text(key);
    return value === undefined ? undefined : size(this.where, key, value, unit);
  }

  /** One of a closed set of words. */
  word<W extends string>(key: string, ...words: readonly W[]): W | undefined {
    const value = this.text(key);
    if (value === undefined) return undefined;
    if (!words.includes(value as W))
      throw new OptionError(this.where, `Parameter '${key}' does not accept value '${value}'`);
    return value as W;
  }

  /** Known to QEMU, without effect here; any value passes. */
  ignore(...keys: readonly string[]): void {
    for (const key of keys) this.asked.add(key);
  }

  /** What has not been asked for yet. */
  rest(): [string, string][] {
    return [...this.values].filter(([key]) => !this.asked.has(key));
  }

  /** Refuses every parameter that nobody asked for. */
  finish(): void {
    const [unknown] = this.rest();
    if (unknown) throw new OptionError(this.where, `Invalid parameter '${unknown[0]}'`);
  }
}

export function onOff(where: string, key: string, value: string): boolean {
  if (['on', 'yes', 'true', 'y'].includes(value)) return true;
  if (['off', 'no', 'false', 'n'].includes(value)) return false;
  throw new OptionError(where, `Parameter '${key}' expects 'on' or 'off'`);
}

/** A non-negative integer, decimal, hexadecimal (`0x`) or octal (leading `0`). */
export function integer(text: string): number | undefined {
  if (/^0x[0-9a-f]+$/i.test(text)) return Number(text);
  if (/^0[0-7]+$/.test(text)) return parseInt(text, 8);
  return /^[0-9]+$/.test(text) ? Number(text) : undefined;
}

export function number(where: string, key: string, value: string, low: number, high: number): number {
  const parsed = integer(value);
  if (parsed === undefined) throw new OptionError(where, `Parameter '${key}' expects a number`);
  if (parsed < low || parsed > high) {
    const range = high === Number.MAX_SAFE_INTEGER ? `at least ${low}` : `between ${low} and ${high}`;
    throw new OptionError(where, `Parameter '${key}' must be ${range}`);
  }
  return parsed;
}

const UNITS = 'bkmgtpe';

/** Bytes: `512M`, `1.5G`, `0x1000`, `4096`. Without a suffix the number counts `unit` bytes. */
export function size(where: string, key: string, value: string, unit = 1): number {
  const match = /^(0x[0-9a-f]+|[0-9]+(?:\.[0-9]+)?)([bkmgtpe]?)$/i.exec(value);
  const scale = match?.[2] ? 1024 ** UNITS.indexOf(match[2].toLowerCase()) : unit;
  const bytes = match ? Math.floor(Number(match[1]) * scale) : Number.NaN;
  if (!(bytes < 2 ** 64)) {
    throw new OptionError(
      where,
      `Parameter '${key}' expects a non-negative number below 2^64`,
      'a suffix k, M, G, T, P or E means kibi-, mebi-, gibi-, tebi-, pebi- or exbibytes',
    );
  }
  return bytes;
}
