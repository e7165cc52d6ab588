/**
 * JSON as QMP speaks it: integers keep all their digits, output has QEMU's
 * spacing (`{"a": 1, "b": [2]}`), and a parse error is a value with QEMU's words.
 */
export type Json =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly Json[]
  | { readonly [key: string]: Json | undefined };

export function isObject(value: Json | undefined): value is { readonly [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Text of a value; with `pretty`, four spaces of indentation a level. */
export function writeJson(value: Json, pretty = false, indent = ''): string {
  if (value === null || typeof value === 'boolean' || typeof value === 'bigint') return String(value);
  if (typeof value === 'number') return writeNumber(value);
  if (typeof value === 'string') return writeString(value);
  const deeper = indent + '    ';
  const items = Array.isArray(value)
    ? value.map((item) => writeJson(item, pretty, deeper))
    : Object.entries(value)
        .filter(([, item]) => item !== undefined)
        .map(([key, item]) => `${writeString(key)}: ${writeJson(item as Json, pretty, deeper)}`);
  const [open, close] = Array.isArray(value) ? '[]' : '{}';
  if (!pretty || items.length === 0) return open + items.join(', ') + close;
  return `${open}\n${deeper}${items.join(`,\n${deeper}`)}\n${indent}${close}`;
}

function writeNumber(value: number): string {
  return Number.isFinite(value) ? String(value) : Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf';
}

/** ASCII only, so that any byte stream carries it. */
function writeString(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (c) => '\\u' + c.charCodeAt(0).toString(16).toUpperCase().padStart(4, '0'),
  );
}

export class JsonError {
  readonly message: string;
  constructor(message: string) {
    this.message = message;
  }
}

/** Parses one value; the caller bounds length and nesting. Strings may stand in single quotes, as QEMU allows. */
export function parseJson(text: string): Json | JsonError {
  const parser = new Parser(text);
  try {
    const value = parser.value();
    return parser.atEnd() ? value : new JsonError('JSON parse error, expecting value');
  } catch (error) {
    if (error instanceof Failure) return new JsonError(`JSON parse error, ${error.message}`);
    throw error;
  }
}

class Failure extends Error {}

const ESCAPES: Readonly<Record<string, string>> = {
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  '/': '/',
  '\\': '\\',
  '"': '"',
  "'": "'",
};

class Parser {
  private readonly text: string;
  private at = 0;

  constructor(text: string) {
    this.text = text;
  }

  atEnd(): boolean {
    this.space();
    return this.at === this.text.length;
  }

  value(): Json {
    this.space();
    const char = this.text[this.at];
    if (char === '{') return this.object();
    if (char === '[') return this.array();
    if (char === '"' || char === "'") return this.string();
    if (char === '-' || (char >= '0' && char <= '9')) return this.number();
    return this.keyword();
  }

  private space(): void {
    while (this.at < this.text.length && ' \t\r\n'.includes(this.text[this.at])) this.at++;
  }

  /** Whether the next character, spaces aside, is `char`; takes it. */
  private take(char: string): boolean {
    this.space();
    if (this.text[this.at] !== char) return false;
    this.at++;
    return true;
  }

  private object(): Json {
    this.at++;
    // No prototype: a member called __proto__ is a member like any other.
    const members = new Map<string, Json>();
    if (this.take('}')) return {};
    do {
      this.space();
      const quote = this.text[this.at];
      if (quote !== '"' && quote !== "'") throw new Failure('key is not a string in object');
      const key = this.string();
      if (!this.take(':')) throw new Failure('missing : in object pair');
      if (members.has(key)) throw new Failure('duplicate key');
      members.set(key, this.value());
    } while (this.take(','));
    if (!this.take('}')) throw new Failure('expected separator in dict');
    return Object.fromEntries(members);
  }

  private array(): Json {
    this.at++;
    const items: Json[] = [];
    if (this.take(']')) return items;
    do items.push(this.value());
    while (this.take(','));
    if (!this.take(']')) throw new Failure('expected separator in list');
    return items;
  }

  private string(): string {
    const quote = this.text[this.at++];
    const parts: string[] = [];
    for (;;) {
      const from = this.at;
      while (this.at < this.text.length && this.text[this.at] !== quote && this.text[this.at] !== '\\') this.at++;
      parts.push(this.text.slice(from, this.at));
      const char = this.text[this.at++];
      if (char === undefined) throw new Failure('unterminated string');
      if (char === quote) return parts.join('');
      const letter = this.text[this.at++];
      if (letter === 'u') {
        const digits = this.text.slice(this.at, this.at + 4);
        if (!/^[0-9a-fA-F]{4}$/.test(digits)) throw new Failure(`\\u${digits} is not a valid Unicode character`);
        parts.push(String.fromCharCode(parseInt(digits, 16)));
        this.at += 4;
      } else if (Object.hasOwn(ESCAPES, letter)) parts.push(ESCAPES[letter]);
      else throw new Failure(`invalid escape sequence '\\${letter}' in string`);
    }
  }

  private number(): Json {
    const match = /^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/.exec(this.text.slice(this.at, this.at + 400));
    if (!match) throw new Failure("invalid number, stray '-'");
    this.at += match[0].length;
    if (match[2] !== undefined || match[3] !== undefined) return Number(match[0]);
    const value = Number(match[0]);
    return Number.isSafeInteger(value) ? value : BigInt(match[0]);
  }

  private keyword(): Json {
    const word = /^[a-zA-Z]{0,64}/.exec(this.text.slice(this.at, this.at + 64))?.[0] ?? '';
    this.at += word.length;
    if (word === 'true') return true;
    if (word === 'false') return false;
    if (word === 'null') return null;
    throw new Failure(word ? `invalid keyword '${word}'` : 'expecting value');
  }
}
