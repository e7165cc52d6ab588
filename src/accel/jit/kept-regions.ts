/**
 * Regions of earlier processes. What a region is follows from the guest's code and its mode, wherever that lies; so a
 * system that boots once more needs none of its code worked out again, only put into modules.
 *
 * A region is kept with the bytes of guest code that it was made from, which must be those in memory for it to be
 * taken, and with the places in its body where the numbers of functions and of decoded pages stand.
 *
 * The store holds one file for everything else that a region depends on, of records: eight words, then lists and bytes
 * as they are written below. What is cut short or changed is not there.
 */
import { latin1, utf8 } from '../../bits/text.ts';
import type { Type } from '../../ir/op.ts';
import type { CodeStore } from '../code-store.ts';
import { KEY_BYTES, KnownStarts, startKey } from './known-starts.ts';
import type { Body, Signature } from './module.ts';

/** Guest code: `start` in bytes from the page of the entry. */
export interface CodeRange {
  readonly start: number;
  readonly bytes: Uint8Array;
}

export interface KeptRegion {
  readonly mode: number;
  /** Of the entry in its page. */
  readonly offset: number;
  /** Guest instructions. */
  readonly instructions: number;
  readonly code: readonly CodeRange[];
  /** The functions that the body calls, by the numbers that stand in it. */
  readonly callees: readonly NamedSignature[];
  readonly body: Body;
}

export interface NamedSignature extends Signature {
  readonly name: string;
  /** Undefined: the engine's own, which every region may call. */
  readonly caller?: Caller | undefined;
}

/**
 * An instruction that calls a function. A region may be taken before some of its instructions have been executed in
 * this process; so what they call may not be linked yet, and is found by the instruction.
 */
export interface Caller {
  readonly mode: number;
  /** The instruction, as hexadecimal digits. */
  readonly bytes: string;
}

/** Reads guest memory: `length` bytes at `start` from the entry's page, or undefined where nothing is known. */
export type ReadCode = (start: number, length: number) => Uint8Array | undefined;

/** Most bytes of a file; what is new goes into an empty one then. */
const MOST_BYTES = 32 << 20;
const HEAD = 32;
/** Variants of a place that are kept: code that is moved about has other addresses in it each time. */
const MOST_VARIANTS = 4;

export class KeptRegions {
  private readonly store: CodeStore;
  private readonly name: string;
  private bytes: Uint8Array;
  private readonly places = new Map<number, number[]>();
  private added: Uint8Array[] = [];

  /** `shape`: all that regions depend on besides the program, their mode and their code. */
  constructor(store: CodeStore, shape: string) {
    this.store = store;
    this.name = `regions-${hashOf(utf8(shape)).toString(16)}`;
    const stored = store.read(this.name) ?? new Uint8Array(0);
    // A Uint8Array proper: the pieces of some others' subclasses are no copies.
    this.bytes = new Uint8Array(stored.buffer, stored.byteOffset, stored.length);
    const view = viewOf(this.bytes);
    let at = 0;
    while (at + HEAD <= this.bytes.length) {
      const size = view.getUint32(at, true);
      if (size < HEAD || at + size > this.bytes.length) break;
      this.index(view.getUint32(at + 8, true), at);
      at += size;
    }
    this.bytes = this.bytes.subarray(0, at);
  }

  private index(key: number, at: number): void {
    const known = this.places.get(key);
    if (known) known.push(at);
    else this.places.set(key, [at]);
  }

  /** Where regions begin. */
  get starts(): KnownStarts {
    const starts = new KnownStarts();
    for (const key of this.places.keys()) starts.add(key);
    return starts;
  }

  /** How many regions have been added since they were last written. */
  get unwritten(): number {
    return this.added.length;
  }

  /** The region that begins at `offset`, made from the code that stands there now. */
  find(mode: number, offset: number, read: ReadCode): KeptRegion | undefined {
    const key = keyOf(mode, offset, read);
    for (const at of (key !== undefined && this.places.get(key)) || []) {
      const region = this.record(at);
      if (region?.mode !== mode || region.offset !== offset) continue;
      if (region.code.every(({ start, bytes }) => isSame(read(start, bytes.length), bytes))) return region;
    }
    return undefined;
  }

  add(region: KeptRegion, read: ReadCode): void {
    const key = keyOf(region.mode, region.offset, read);
    if (key !== undefined && (this.places.get(key)?.length ?? 0) < MOST_VARIANTS) this.added.push(write(region, key));
  }

  /** Puts what has been added into the store. */
  write(): void {
    const size = this.added.reduce((sum, { length }) => sum + length, this.bytes.length);
    const before = size > MOST_BYTES ? [] : [this.bytes];
    if (before.length === 0) this.places.clear();
    const all = concat([...before, ...this.added]);
    const view = viewOf(all);
    for (let at = before.length > 0 ? this.bytes.length : 0; at < all.length; at += view.getUint32(at, true))
      this.index(view.getUint32(at + 8, true), at);
    this.bytes = all;
    this.added = [];
    this.store.write(this.name, all);
  }

  private record(at: number): KeptRegion | undefined {
    const view = viewOf(this.bytes);
    const record = this.bytes.subarray(at, at + view.getUint32(at, true));
    return hashOf(record.subarray(8)) === view.getUint32(at + 4, true) ? parse(record) : undefined;
  }
}

/** The key of the place at `offset`; undefined where nothing is known. */
function keyOf(mode: number, offset: number, read: ReadCode): number | undefined {
  const first = read(offset, Math.min(KEY_BYTES, 4096 - offset));
  return first && startKey(mode, offset, viewOf(first), 0);
}

function write({ mode, offset, instructions, code, callees, body }: KeptRegion, key: number): Uint8Array {
  const names = utf8(
    callees
      .map(({ name, params, result, caller }) => `${name} ${params.join()} ${result ?? ''} ${textOf(caller)}`)
      .join('\n'),
  );
  const codeBytes = code.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const lists = [...body.unlikely, ...body.calls, ...body.pages];
  const size = HEAD + code.length * 4 + lists.length * 4 + names.length + codeBytes + body.bytes.length;
  const out = new Uint8Array(size + (-size & 3));
  const view = viewOf(out);
  view.setUint32(0, out.length, true);
  view.setUint32(8, key, true);
  view.setUint16(12, mode, true);
  view.setUint16(14, offset, true);
  view.setUint16(16, instructions, true);
  view.setUint16(18, code.length, true);
  view.setUint16(20, body.unlikely.length, true);
  view.setUint16(22, body.calls.length, true);
  view.setUint16(24, body.pages.length, true);
  view.setUint16(26, names.length, true);
  view.setUint32(28, body.bytes.length, true);
  let at = HEAD;
  for (const { start, bytes } of code) {
    view.setInt16(at, start, true);
    view.setUint16(at + 2, bytes.length, true);
    at += 4;
  }
  for (const number of lists) {
    view.setUint32(at, number, true);
    at += 4;
  }
  for (const bytes of [...code.map((range) => range.bytes), names, body.bytes]) {
    out.set(bytes, at);
    at += bytes.length;
  }
  view.setUint32(4, hashOf(out.subarray(8)), true);
  return out;
}

/** A record whose sum is right, so that it is one that `write` wrote. */
function parse(record: Uint8Array): KeptRegion {
  const view = viewOf(record);
  let at = HEAD;
  const ranges = Array.from({ length: view.getUint16(18, true) }, () => {
    const range = { start: view.getInt16(at, true), length: view.getUint16(at + 2, true) };
    at += 4;
    return range;
  });
  const list = (length: number): number[] =>
    Array.from({ length }, () => {
      at += 4;
      return view.getUint32(at - 4, true);
    });
  const bytes = (length: number): Uint8Array => {
    at += length;
    return record.subarray(at - length, at);
  };
  const unlikely = list(view.getUint16(20, true));
  const calls = list(view.getUint16(22, true));
  const pages = list(view.getUint16(24, true));
  const code = ranges.map(({ start, length }) => ({ start, bytes: bytes(length) }));
  const names = latin1(bytes(view.getUint16(26, true)));
  return {
    mode: view.getUint16(12, true),
    offset: view.getUint16(14, true),
    instructions: view.getUint16(16, true),
    code,
    callees: names === '' ? [] : names.split('\n').map(signature),
    body: { bytes: bytes(view.getUint32(28, true)), unlikely, calls, pages },
  };
}

const signatures = new Map<string, NamedSignature>();
function signature(text: string): NamedSignature {
  let known = signatures.get(text);
  if (!known) {
    const [name, types, result, caller] = text.split(' ');
    const params = types === '' ? [] : (types.split(',') as Type[]);
    known = { name, params, result: (result || undefined) as Type, caller: callerOf(caller) };
    signatures.set(text, known);
  }
  return known;
}

const textOf = (caller: Caller | undefined): string => (caller ? `${caller.mode}:${caller.bytes}` : '');
function callerOf(text: string): Caller | undefined {
  const [mode, bytes] = text.split(':');
  return text === '' ? undefined : { mode: Number(mode), bytes };
}

/** FNV-1a. */
function hashOf(bytes: Uint8Array): number {
  let hash = 0x811c_9dc5;
  for (let n = 0; n < bytes.length; n++) hash = Math.imul(hash ^ bytes[n], 0x0100_0193);
  return hash >>> 0;
}

function isSame(x: Uint8Array | undefined, y: Uint8Array): boolean {
  if (!x || x.length !== y.length) return false;
  for (let n = 0; n < y.length; n++) if (x[n] !== y[n]) return false;
  return true;
}

const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, byteLength);

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
