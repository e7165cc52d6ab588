/**
 * A small binary form for saved states.
 *
 * Spec: RFC 8949 (CBOR), deterministic encoding of: null, booleans, integers,
 * bigints below 2^64, doubles, text, byte strings, arrays, maps with text keys.
 * Departure: tags, indefinite lengths and the short floats are refused.
 */
import { StateError } from '../bits/errors.ts';
import { fromUtf8, utf8 } from '../bits/text.ts';

/** What a saved state consists of. */
export type Saved =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly Saved[]
  | { readonly [key: string]: Saved };

const MAX_DEPTH = 32;

export function encodeCbor(value: Saved): Uint8Array {
  const out = new Output();
  put(out, value, 0);
  return out.bytes.slice(0, out.length);
}

/** Throws StateError when `bytes` is not one whole value of the subset. */
export function decodeCbor(bytes: Uint8Array): Saved {
  const input = new Input(bytes);
  const value = get(input, 0);
  if (input.at !== bytes.length) throw damaged('bytes follow its end');
  return value;
}

function damaged(how: string): StateError {
  return new StateError('state-damaged', `the saved state is damaged: ${how}`, 'use another copy of it');
}

class Output {
  bytes = new Uint8Array(1024);
  length = 0;

  /** Makes room for `count` more bytes and returns where they start. */
  grow(count: number): number {
    const at = this.length;
    this.length += count;
    if (this.length > this.bytes.length) {
      const larger = new Uint8Array(Math.max(this.length, this.bytes.length * 2));
      larger.set(this.bytes);
      this.bytes = larger;
    }
    return at;
  }

  append(bytes: Uint8Array): void {
    const at = this.grow(bytes.length);
    this.bytes.set(bytes, at);
  }

  /** The head of an item: major type and argument. */
  head(major: number, argument: bigint): void {
    const width = argument < 24n ? 0 : argument < 0x100n ? 1 : argument < 0x10000n ? 2 : argument < 1n << 32n ? 4 : 8;
    const at = this.grow(1 + width);
    const short = width === 0 ? Number(argument) : 24 + Math.log2(width);
    this.bytes[at] = (major << 5) | short;
    for (let i = 0; i < width; i++) this.bytes[at + width - i] = Number((argument >> BigInt(8 * i)) & 0xffn);
  }
}

function put(out: Output, value: Saved, depth: number): void {
  if (depth > MAX_DEPTH) throw new RangeError('state: nested too deeply');
  if (value === null || typeof value === 'boolean') out.head(7, value === null ? 22n : value ? 21n : 20n);
  else if (typeof value === 'number' && Number.isSafeInteger(value) && !Object.is(value, -0)) {
    out.head(value < 0 ? 1 : 0, value < 0 ? BigInt(-1 - value) : BigInt(value));
  } else if (typeof value === 'number') {
    const at = out.grow(9);
    out.bytes[at] = 0xfb;
    new DataView(out.bytes.buffer).setFloat64(at + 1, value);
  } else if (typeof value === 'bigint') {
    // A bigint is always eight bytes, so that it comes back as a bigint.
    const at = out.grow(10);
    out.bytes[at] = 0xc2; // tag 2: unsigned bignum
    out.bytes[at + 1] = 0x48;
    new DataView(out.bytes.buffer).setBigUint64(at + 2, value);
  } else if (typeof value === 'string') {
    const text = utf8(value);
    out.head(3, BigInt(text.length));
    out.append(text);
  } else if (value instanceof Uint8Array) {
    out.head(2, BigInt(value.length));
    out.append(value);
  } else if (Array.isArray(value)) {
    out.head(4, BigInt(value.length));
    for (const item of value) put(out, item, depth + 1);
  } else {
    const entries = Object.entries(value);
    out.head(5, BigInt(entries.length));
    for (const [key, item] of entries) {
      put(out, key, depth + 1);
      put(out, item, depth + 1);
    }
  }
}

class Input {
  at = 0;
  private readonly bytes: Uint8Array;
  private readonly view: DataView;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  take(count: number): number {
    if (count > this.bytes.length - this.at) throw damaged('it ends too early');
    const at = this.at;
    this.at += count;
    return at;
  }

  slice(count: number): Uint8Array {
    const at = this.take(count);
    return this.bytes.slice(at, at + count);
  }

  u8(): number {
    return this.bytes[this.take(1)];
  }

  f64(): number {
    return this.view.getFloat64(this.take(8));
  }

  u64(): bigint {
    return this.view.getBigUint64(this.take(8));
  }

  argument(short: number): number {
    if (short < 24) return short;
    if (short === 24) return this.u8();
    if (short === 25) return this.view.getUint16(this.take(2));
    if (short === 26) return this.view.getUint32(this.take(4));
    if (short === 27) return Number(this.u64());
    throw damaged('an item of unknown length');
  }
}

function get(input: Input, depth: number): Saved {
  if (depth > MAX_DEPTH) throw damaged('it is nested too deeply');
  const head = input.u8();
  const major = head >> 5;
  const short = head & 31;
  if (head === 0xfb) return input.f64();
  if (head === 0xc2) {
    if (input.u8() !== 0x48) throw damaged('a bignum that is not eight bytes long');
    return input.u64();
  }
  if (major === 7 && short >= 20 && short <= 22) return short === 22 ? null : short === 21;
  if (major >= 6) throw damaged(`an item of unknown kind 0x${head.toString(16)}`);
  const argument = input.argument(short);
  switch (major) {
    case 0:
      return argument;
    case 1:
      return -1 - argument;
    case 2:
      return input.slice(argument);
    case 3:
      return fromUtf8(input.slice(argument));
    case 4: {
      const items: Saved[] = [];
      for (let i = 0; i < argument; i++) items.push(get(input, depth + 1));
      return items;
    }
    default: {
      const map: Record<string, Saved> = Object.create(null);
      for (let i = 0; i < argument; i++) {
        const key = get(input, depth + 1);
        if (typeof key !== 'string') throw damaged('a key that is no text');
        map[key] = get(input, depth + 1);
      }
      return map;
    }
  }
}
