/**
 * Flattened device trees: a writer, and a reader for trees that users bring.
 *
 * Spec: Devicetree Specification v0.4, "Flattened Devicetree (DTB) Format".
 */
import { alignUp, readU32be, writeU32be, writeU64be } from '../bits/endian.ts';
import { ConfigError } from '../bits/errors.ts';
import { latin1, utf8 } from '../bits/text.ts';

const MAGIC = 0xd00dfeed;
const VERSION = 17;
const LAST_COMPATIBLE = 16;
const HEADER = 40;
const TOKEN = { BEGIN_NODE: 1, END_NODE: 2, PROP: 3, NOP: 4, END: 9 };
const MAX_DEPTH = 64;

export interface FdtNode {
  /** With its unit address; the root's is empty. */
  name: string;
  readonly properties: Map<string, Uint8Array>;
  readonly children: FdtNode[];
}

export interface Fdt {
  readonly root: FdtNode;
  readonly bootCpu: number;
  /** The memory reservation block as it lies in the file, without its terminator. */
  readonly reservations: Uint8Array;
}

/** A property value: text, texts, 32-bit cells, raw bytes, or nothing for a flag. */
export type Value = string | readonly string[] | readonly number[] | Uint8Array | true;

/** A node from plain objects, in order. */
export function node(
  name: string,
  properties: Readonly<Record<string, Value | undefined>>,
  children: FdtNode[] = [],
): FdtNode {
  const map = new Map<string, Uint8Array>();
  for (const [key, value] of Object.entries(properties)) if (value !== undefined) map.set(key, encode(value));
  return { name, properties: map, children };
}

function encode(value: Value): Uint8Array {
  if (value === true) return new Uint8Array(0);
  if (value instanceof Uint8Array) return value;
  if (typeof value === 'string') return utf8(`${value}\0`);
  if (value.length && typeof value[0] === 'string') return utf8(value.map((text) => `${text}\0`).join(''));
  const bytes = new Uint8Array(4 * value.length);
  (value as readonly number[]).forEach((cell, index) => {
    writeU32be(bytes, 4 * index, cell);
  });
  return bytes;
}

/** Two cells for each 64-bit number (below 2^53). */
export function cells64(...values: number[]): number[] {
  return values.flatMap((value) => [Math.floor(value / 0x1_0000_0000), value >>> 0]);
}

/** Sets a property of a node, or takes it away with undefined. */
export function setProperty(of: FdtNode, name: string, value: Value | undefined): void {
  if (value === undefined) of.properties.delete(name);
  else of.properties.set(name, encode(value));
}

/** The node at an absolute path, undefined when there is none. */
export function findNode(root: FdtNode, path: string): FdtNode | undefined {
  let at: FdtNode | undefined = root;
  for (const part of path.split('/')) if (part) at = at?.children.find((child) => child.name === part);
  return at;
}

/** The blob. */
export function writeFdt(root: FdtNode, bootCpu = 0, reservations: Uint8Array = new Uint8Array(0)): Uint8Array {
  const strings = new Map<string, number>();
  let stringsSize = 0;
  const offsetOf = (name: string) => {
    let offset = strings.get(name);
    if (offset === undefined) {
      offset = stringsSize;
      strings.set(name, offset);
      stringsSize += utf8(name).length + 1;
    }
    return offset;
  };
  const sizeOf = (of: FdtNode): number => {
    let size = 8 + alignUp(utf8(of.name).length + 1, 4);
    for (const [name, value] of of.properties) {
      offsetOf(name);
      size += 12 + alignUp(value.length, 4);
    }
    for (const child of of.children) size += sizeOf(child);
    return size;
  };
  const structSize = sizeOf(root) + 4;
  const structAt = HEADER + reservations.length + 16;
  const stringsAt = structAt + structSize;
  const blob = new Uint8Array(alignUp(stringsAt + stringsSize, 8));
  [MAGIC, blob.length, structAt, stringsAt, HEADER, VERSION, LAST_COMPATIBLE, bootCpu, stringsSize, structSize].forEach(
    (word, index) => {
      writeU32be(blob, 4 * index, word);
    },
  );
  blob.set(reservations, HEADER);
  let at = structAt;
  const word = (value: number) => {
    writeU32be(blob, at, value);
    at += 4;
  };
  const raw = (bytes: Uint8Array) => {
    blob.set(bytes, at);
    at += alignUp(bytes.length, 4);
  };
  const emit = (of: FdtNode): void => {
    word(TOKEN.BEGIN_NODE);
    raw(utf8(`${of.name}\0`));
    for (const [name, value] of of.properties) {
      word(TOKEN.PROP);
      word(value.length);
      word(offsetOf(name));
      raw(value);
    }
    for (const child of of.children) emit(child);
    word(TOKEN.END_NODE);
  };
  emit(root);
  word(TOKEN.END);
  for (const [name, offset] of strings) blob.set(utf8(name), stringsAt + offset);
  return blob;
}

function bad(why: string): ConfigError {
  return new ConfigError('dtb-damaged', `the device tree blob is damaged: ${why}`, 'compile it again with dtc');
}

/** Reads a blob; throws ConfigError `dtb-damaged`. */
export function readFdt(blob: Uint8Array): Fdt {
  if (blob.length < HEADER || readU32be(blob, 0) !== MAGIC) throw bad('it does not start with the magic number');
  const total = readU32be(blob, 4);
  const structAt = readU32be(blob, 8);
  const stringsAt = readU32be(blob, 12);
  const reservedAt = readU32be(blob, 16);
  if (total > blob.length) throw bad(`it should have ${total} bytes and has ${blob.length}`);
  if (readU32be(blob, 24) > VERSION) throw bad('its version is too new');
  if (structAt > total || stringsAt > total || reservedAt > total) throw bad('a block lies outside it');
  let reservedEnd = reservedAt;
  while (reservedEnd + 16 <= total && blob.subarray(reservedEnd, reservedEnd + 16).some((byte) => byte !== 0))
    reservedEnd += 16;

  let at = structAt;
  const word = () => {
    if (at + 4 > total) throw bad('it ends too early');
    at += 4;
    return readU32be(blob, at - 4);
  };
  const text = (from: number) => {
    const end = blob.indexOf(0, from);
    if (from >= total || end < 0 || end >= total) throw bad('a name without an end');
    return latin1(blob.subarray(from, end));
  };
  const next = () => {
    let token = word();
    while (token === TOKEN.NOP) token = word();
    return token;
  };
  const nodeHere = (depth: number): FdtNode => {
    if (depth > MAX_DEPTH) throw bad('it is nested too deeply');
    const name = text(at);
    at += alignUp(name.length + 1, 4);
    const here: FdtNode = { name, properties: new Map(), children: [] };
    for (;;) {
      const token = next();
      if (token === TOKEN.END_NODE) return here;
      if (token === TOKEN.BEGIN_NODE) here.children.push(nodeHere(depth + 1));
      else if (token === TOKEN.PROP) {
        const length = word();
        const property = text(stringsAt + word());
        if (length > total - at) throw bad(`the property ${property} is too long`);
        here.properties.set(property, blob.slice(at, at + length));
        at += alignUp(length, 4);
      } else throw bad(`an unknown token ${token}`);
    }
  };
  if (next() !== TOKEN.BEGIN_NODE) throw bad('it has no root');
  return { root: nodeHere(0), bootCpu: readU32be(blob, 28), reservations: blob.slice(reservedAt, reservedEnd) };
}

/** What the loader says to the kernel in /chosen. Addresses are guest-physical. */
export interface Chosen {
  readonly bootargs?: string;
  readonly initrd?: { readonly start: number; readonly end: number };
  readonly rngSeed?: Uint8Array;
}

/** Sets what is given in /chosen of a tree, which is made when it is not there. */
export function setChosen(root: FdtNode, chosen: Chosen): void {
  let at = findNode(root, '/chosen');
  if (!at) {
    at = node('chosen', {});
    root.children.push(at);
  }
  if (chosen.bootargs !== undefined) setProperty(at, 'bootargs', chosen.bootargs);
  if (chosen.rngSeed) setProperty(at, 'rng-seed', chosen.rngSeed);
  if (chosen.initrd) {
    const ends = [chosen.initrd.start, chosen.initrd.end].map((address) => {
      const bytes = new Uint8Array(8);
      writeU64be(bytes, 0, address);
      return bytes;
    });
    setProperty(at, 'linux,initrd-start', ends[0]);
    setProperty(at, 'linux,initrd-end', ends[1]);
  }
}

/** A user's blob with /chosen patched. Throws ConfigError `dtb-damaged`. */
export function patchFdt(blob: Uint8Array, chosen: Chosen): Uint8Array {
  const tree = readFdt(blob);
  setChosen(tree.root, chosen);
  return writeFdt(tree.root, tree.bootCpu, tree.reservations);
}
