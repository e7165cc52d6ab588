/**
 * Cuts a byte stream into JSON values, however the bytes arrive.
 *
 * Invariant: memory is bounded by `MAX_BYTES` whatever comes in, nesting by
 * `MAX_DEPTH` (so parsing by recursion is safe), and one bad stretch of input
 * yields one error.
 *
 * Departure from QEMU: after an error everything up to the next line (or, for
 * a stray character, the next object) is dropped; QEMU goes on at the next
 * token and so answers one bad line with many errors.
 */
import { type Json, JsonError, parseJson } from './json-values.ts';

const MAX_BYTES = 1 << 20;
const MAX_DEPTH = 1024;

const NEWLINE = 10;
const QUOTE = 34;
const APOSTROPHE = 39;
const BACKSLASH = 92;
const OPEN = [0x7b, 0x5b];
const CLOSE = [0x7d, 0x5d];

export class JsonReader {
  private buffer = new Uint8Array(256);
  private length = 0;
  private depth = 0;
  /** The quote that ends the string we are in, or 0. */
  private quote = 0;
  private escaped = false;
  /** Dropping input after an error: until a newline, or until an object opens. */
  private dropping: 'no' | 'line' | 'stray' = 'no';
  private readonly decoder = new TextDecoder();

  /** Takes bytes as far as the caller asks for values; yields the values and errors that they complete. */
  *read(bytes: Uint8Array): Generator<Json | JsonError, void> {
    for (const byte of bytes) {
      const result = this.byte(byte);
      if (result !== undefined) yield result;
    }
  }

  /** Forgets a half-read value: somebody else is talking now. */
  reset(): void {
    this.length = 0;
    this.depth = 0;
    this.quote = 0;
    this.escaped = false;
    this.dropping = 'no';
    if (this.buffer.length > 4096) this.buffer = new Uint8Array(256);
  }

  private byte(byte: number): Json | JsonError | undefined {
    if (this.dropping !== 'no') {
      if (byte !== NEWLINE && !(this.dropping === 'stray' && OPEN.includes(byte))) return undefined;
      this.dropping = 'no';
    }
    if (this.quote) return this.inString(byte);
    const blank = byte <= 32;
    if (
      this.depth === 0 &&
      this.length > 0 &&
      (blank || byte === QUOTE || byte === APOSTROPHE || OPEN.includes(byte))
    ) {
      // A number or keyword at the top ends where something else begins.
      const value = this.finish();
      if (blank) return value;
      this.byte(byte);
      return value;
    }
    if (blank) {
      if (byte !== 32 && byte !== NEWLINE && byte !== 9 && byte !== 13)
        return this.fail('stray control character', 'stray');
      if (this.length === 0) return undefined;
    }
    if (byte >= 127) return this.fail("stray '\uFFFD'", 'stray');
    if (byte === QUOTE || byte === APOSTROPHE) this.quote = byte;
    else if (OPEN.includes(byte)) {
      if (++this.depth > MAX_DEPTH) return this.fail('JSON nesting depth limit exceeded', 'line');
    } else if (CLOSE.includes(byte)) {
      if (this.depth === 0) return this.fail('expecting value', 'stray');
      if (--this.depth === 0) return this.keep(byte) ?? this.finish();
    } else if (this.depth === 0 && this.length === 0 && !/[-0-9a-zA-Z]/.test(String.fromCharCode(byte))) {
      return this.fail(`stray '${String.fromCharCode(byte)}'`, 'stray');
    }
    return this.keep(byte);
  }

  private inString(byte: number): Json | JsonError | undefined {
    if (byte < 32) return this.fail('control character in string', byte === NEWLINE ? 'no' : 'line');
    const ends = byte === this.quote && !this.escaped;
    this.escaped = byte === BACKSLASH && !this.escaped;
    if (ends) this.quote = 0;
    const full = this.keep(byte);
    return full ?? (ends && this.depth === 0 ? this.finish() : undefined);
  }

  private keep(byte: number): JsonError | undefined {
    if (this.length === MAX_BYTES) return this.fail('JSON token size limit exceeded', 'line');
    if (this.length === this.buffer.length) {
      const larger = new Uint8Array(Math.min(this.buffer.length * 2, MAX_BYTES));
      larger.set(this.buffer);
      this.buffer = larger;
    }
    this.buffer[this.length++] = byte;
    return undefined;
  }

  private finish(): Json | JsonError {
    const text = this.decoder.decode(this.buffer.subarray(0, this.length));
    this.reset();
    return parseJson(text);
  }

  private fail(what: string, drop: 'no' | 'line' | 'stray'): JsonError {
    this.reset();
    this.dropping = drop;
    return new JsonError(what.startsWith('JSON ') ? what : `JSON parse error, ${what}`);
  }
}
