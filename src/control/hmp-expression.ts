/**
 * Expressions of the monitor: 64-bit integers with C's literals, `$register`,
 * and QEMU's precedence: `+ -` loosest, then `& | ^`, then `* / %`.
 */
import { ControlError } from './hub.ts';

const MAX_DEPTH = 100;

/** Reads an argument line from left to right. */
export class Scanner {
  readonly text: string;
  at = 0;
  private readonly register: (name: string) => bigint | undefined;
  private depth = 0;

  constructor(text: string, register: (name: string) => bigint | undefined) {
    this.text = text;
    this.register = register;
  }

  space(): void {
    while (this.text[this.at] === ' ' || this.text[this.at] === '\t') this.at++;
  }

  get done(): boolean {
    this.space();
    return this.at >= this.text.length;
  }

  peek(): string {
    this.space();
    return this.text[this.at] ?? '';
  }

  /** A word, or a text in double quotes with C's escapes; undefined at the end. */
  word(): string | undefined {
    if (this.done) return undefined;
    if (this.text[this.at] !== '"') {
      const from = this.at;
      while (this.at < this.text.length && !' \t'.includes(this.text[this.at])) this.at++;
      return this.text.slice(from, this.at);
    }
    let word = '';
    for (this.at++; this.at < this.text.length; this.at++) {
      const char = this.text[this.at];
      if (char === '"') {
        this.at++;
        return word;
      }
      if (char !== '\\') word += char;
      else {
        const escaped = this.text[++this.at];
        const plain = ({ n: '\n', r: '\r', '\\': '\\', "'": "'", '"': '"' } as Record<string, string>)[escaped ?? ''];
        if (plain === undefined) throw new ControlError(`unsupported escape code: '\\${escaped ?? ''}'`);
        word += plain;
      }
    }
    throw new ControlError('unterminated string');
  }

  /** A signed 64-bit value. Throws ControlError. */
  expression(): bigint {
    if (++this.depth > MAX_DEPTH) throw new ControlError('expression too deep');
    let value = this.logic();
    for (;;) {
      const operator = this.peek();
      if (operator !== '+' && operator !== '-') break;
      this.at++;
      const right = this.logic();
      value = wrap(operator === '+' ? value + right : value - right);
    }
    this.depth--;
    return value;
  }

  private logic(): bigint {
    let value = this.product();
    for (;;) {
      const operator = this.peek();
      if (operator === '' || !'&|^'.includes(operator)) return value;
      this.at++;
      const right = this.product();
      value = wrap(operator === '&' ? value & right : operator === '|' ? value | right : value ^ right);
    }
  }

  private product(): bigint {
    let value = this.unary();
    for (;;) {
      const operator = this.peek();
      if (operator === '' || !'*/%'.includes(operator)) return value;
      this.at++;
      const right = this.unary();
      if (operator !== '*' && right === 0n) throw new ControlError('division by zero');
      value = wrap(operator === '*' ? value * right : operator === '/' ? value / right : value % right);
    }
  }

  private unary(): bigint {
    const char = this.peek();
    if (char === '') throw new ControlError('unexpected end of expression');
    if ('+-~'.includes(char)) {
      if (++this.depth > MAX_DEPTH) throw new ControlError('expression too deep');
      this.at++;
      const value = this.unary();
      this.depth--;
      return wrap(char === '-' ? -value : char === '~' ? ~value : value);
    }
    if (char === '(') {
      this.at++;
      const value = this.expression();
      if (this.peek() !== ')') throw new ControlError("')' expected");
      this.at++;
      return value;
    }
    if (char === "'") return this.character();
    if (char === '$') {
      const name = /^[\w.-]{1,64}/.exec(this.text.slice(this.at + 1, this.at + 66))?.[0] ?? '';
      this.at += 1 + name.length;
      const value = this.register(name);
      if (value === undefined) throw new ControlError('unknown register');
      return wrap(value);
    }
    return this.literal(char);
  }

  private character(): bigint {
    const value = this.text.codePointAt(this.at + 1);
    if (value === undefined || this.text[this.at + 2] !== "'")
      throw new ControlError("missing terminating ' character");
    this.at += 3;
    return BigInt(value);
  }

  private literal(first: string): bigint {
    const digits = /^(0x[0-9a-f]+|[0-9]+)/i.exec(this.text.slice(this.at, this.at + 80))?.[0];
    if (!digits) throw new ControlError(`invalid char '${first}' in expression`);
    this.at += digits.length;
    const octal = /^0[0-7]+$/.test(digits);
    const value = BigInt(
      octal ? '0o' + digits.slice(1) : /^0[0-9]/.test(digits) ? digits.replace(/^0+/, '') || '0' : digits,
    );
    if (value >= 2n ** 64n) throw new ControlError('number too large');
    return wrap(value);
  }
}

function wrap(value: bigint): bigint {
  return BigInt.asIntN(64, value);
}
