/**
 * ACPI Machine Language: terms as bytes, put together like expressions.
 *
 * Spec: ACPI 6.4, "ACPI Machine Language (AML) Specification"; resource
 * descriptors as in "Resource Data Types for ACPI".
 * A term is its bytes; functions are named after the ASL they stand for.
 */

export type Term = readonly number[];

const EXT = 0x5b;

/** PkgLength: one to four bytes, its own included. */
function packageLength(length: number): number[] {
  if (length + 1 < 0x40) return [length + 1];
  const extra = length + 2 < 0x1000 ? 1 : length + 3 < 0x10_0000 ? 2 : 3;
  const whole = length + 1 + extra;
  const bytes = [(extra << 6) | (whole & 15)];
  for (let i = 0; i < extra; i++) bytes.push((whole >>> (4 + 8 * i)) & 0xff);
  return bytes;
}

function sized(opcode: readonly number[], ...content: readonly Term[]): Term {
  const body = content.flat();
  return [...opcode, ...packageLength(body.length), ...body];
}

const letters = (text: string): number[] => [...text].map((letter) => letter.charCodeAt(0));
const little = (value: number, size: number): number[] =>
  Array.from({ length: size }, (_, i) => Math.floor(value / 2 ** (8 * i)) % 256);

/** A name string: `FOO`, `\\_SB.PCI0`, `^BAR`. Segments are filled up with underscores. */
export function path(text: string): Term {
  const [, prefix, rest] = /^([\\^]*)(.*)$/.exec(text) as RegExpExecArray;
  const segments = rest === '' ? [] : rest.split('.').map((segment) => letters(segment.padEnd(4, '_')));
  const lead =
    segments.length === 0 ? [0] : segments.length === 1 ? [] : segments.length === 2 ? [0x2e] : [0x2f, segments.length];
  return [...letters(prefix), ...lead, ...segments.flat()];
}

// Data

export function int(value: number): Term {
  if (value === 0) return [0x00];
  if (value === 1) return [0x01];
  if (value < 0x100) return [0x0a, value];
  if (value < 0x1_0000) return [0x0b, ...little(value, 2)];
  return value < 0x1_0000_0000 ? [0x0c, ...little(value, 4)] : [0x0e, ...little(value, 8)];
}
/** A DWord whatever its value: its place and size do not depend on it. */
export const dword = (value: number): Term => [0x0c, ...little(value, 4)];
export const text = (value: string): Term => [0x0d, ...letters(value), 0];
export const buffer = (bytes: readonly number[]): Term => sized([0x11], int(bytes.length), bytes);
export function list(...items: readonly Term[]): Term {
  return sized([0x12], [items.length], ...items);
}
/** A compressed EISA id: `PNP0A03`. */
export function eisaId(id: string): Term {
  const letter = (index: number) => id.charCodeAt(index) - 0x40;
  const digits = Number.parseInt(id.slice(3), 16);
  const high = (letter(0) << 10) | (letter(1) << 5) | letter(2);
  return [0x0c, high >> 8, high & 0xff, digits >> 8, digits & 0xff];
}
/** A UUID in the byte order of ToUUID. */
export function uuid(value: string): Term {
  const hex = value.replaceAll('-', '');
  const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
  return buffer(order.map((index) => Number.parseInt(hex.slice(2 * index, 2 * index + 2), 16)));
}

// Named objects

export const name = (at: string, value: Term): Term => [0x08, ...path(at), ...value];
export const scope = (at: string, ...terms: readonly Term[]): Term => sized([0x10], path(at), ...terms);
export const device = (at: string, ...terms: readonly Term[]): Term => sized([EXT, 0x82], path(at), ...terms);
export function method(at: string, args: number, ...terms: readonly Term[]): Term {
  return sized([0x14], path(at), [args], ...terms);
}
/** A method that one thread is in at a time. */
export function serialized(at: string, args: number, ...terms: readonly Term[]): Term {
  return sized([0x14], path(at), [args | 8], ...terms);
}
export const mutex = (at: string): Term => [EXT, 0x01, ...path(at), 0];
export const SPACE = { MEMORY: 0, IO: 1, PCI: 2 };
export function region(at: string, space: number, offset: Term, length: number): Term {
  return [EXT, 0x80, ...path(at), space, ...offset, ...int(length)];
}
export const ACCESS = { ANY: 0, BYTE: 1, WORD: 2, DWORD: 3 };
/** Fields of a region, name and bits each; a name of `''` skips. Writes leave the other bits (`zeros`: clear them). */
export function field(
  at: string,
  access: number,
  fields: readonly (readonly [name: string, bits: number])[],
  zeros = false,
): Term {
  const body = fields.map(([label, bits]) => [...(label ? path(label) : [0]), ...fieldLength(bits)]);
  return sized([EXT, 0x81], path(at), [access | (zeros ? 0x40 : 0)], ...body);
}
/** A field's length is coded like a PkgLength, but does not count itself. */
function fieldLength(bits: number): Term {
  if (bits < 0x40) return [bits];
  const extra = bits < 0x1000 ? 1 : bits < 0x10_0000 ? 2 : 3;
  return [(extra << 6) | (bits & 15), ...little(Math.floor(bits / 16), extra)];
}

// Statements and expressions

export const local = (index: number): Term => [0x60 + index];
export const arg = (index: number): Term => [0x68 + index];
export const ones: Term = [0xff];
const NOWHERE: Term = [0];
export const store = (value: Term, to: Term): Term => [0x70, ...value, ...to];
export const and = (a: Term, b: Term, to: Term = NOWHERE): Term => [0x7b, ...a, ...b, ...to];
export const or = (a: Term, b: Term, to: Term = NOWHERE): Term => [0x7d, ...a, ...b, ...to];
export const shiftLeft = (a: Term, b: Term, to: Term = NOWHERE): Term => [0x79, ...a, ...b, ...to];
export const equal = (a: Term, b: Term): Term => [0x93, ...a, ...b];
export const not = (a: Term): Term => [0x92, ...a];
export const when = (condition: Term, ...terms: readonly Term[]): Term => sized([0xa0], condition, ...terms);
export const otherwise = (...terms: readonly Term[]): Term => sized([0xa1], ...terms);
export const back = (value: Term): Term => [0xa4, ...value];
export const notify = (what: Term, value: Term): Term => [0x86, ...what, ...value];
export const acquire = (at: string): Term => [EXT, 0x23, ...path(at), 0xff, 0xff];
export const release = (at: string): Term => [EXT, 0x27, ...path(at)];
export const call = (at: string, ...args: readonly Term[]): Term => [...path(at), ...args.flat()];
export const dwordField = (source: Term, offset: number, at: string): Term => [
  0x8a,
  ...source,
  ...int(offset),
  ...path(at),
];

// Resource descriptors

/** A resource template: descriptors and their end. */
export const resources = (...descriptors: readonly Term[]): Term => buffer([...descriptors.flat(), 0x79, 0]);
export const io = (low: number, high: number, align: number, length: number): Term => [
  0x47,
  1,
  ...little(low, 2),
  ...little(high, 2),
  align,
  length,
];
/** ISA interrupts: rising edge, not shared. */
export const irq = (...lines: readonly number[]): Term => {
  const mask = lines.reduce((bits, line) => bits | (1 << line), 0);
  return [0x22, ...little(mask, 2)];
};
export const dma = (channel: number): Term => [0x2a, 1 << channel, 0];
/** Extended interrupts: consumer, level, active high, shared. */
export const interrupts = (...lines: readonly number[]): Term => [
  0x89,
  ...little(2 + 4 * lines.length, 2),
  0x09,
  lines.length,
  ...lines.flatMap((line) => little(line, 4)),
];
/** The same, edge-triggered and exclusive. */
export const edgeInterrupt = (line: number): Term => [0x89, 6, 0, 0x03, 1, ...little(line, 4)];
export const memory32 = (base: number, length: number, writable = true): Term => [
  0x86,
  9,
  0,
  writable ? 1 : 0,
  ...little(base, 4),
  ...little(length, 4),
];
const ADDRESS = { MEMORY: 0, IO: 1, BUS: 2 };
/** Producer, with fixed ends; descriptor of words, doublewords or quadwords. */
function addresses(tag: number, size: number, kind: number, specific: number, low: number, high: number): Term {
  const numbers = [0, low, high, 0, high - low + 1].flatMap((value) => little(value, size));
  return [tag, ...little(3 + numbers.length, 2), kind, 0x0c, specific, ...numbers];
}
export const wordBus = (low: number, high: number): Term => addresses(0x88, 2, ADDRESS.BUS, 0, low, high);
export const wordIo = (low: number, high: number): Term => addresses(0x88, 2, ADDRESS.IO, 3, low, high);
/** Memory, writable; `cacheable` is for frame buffers. */
export const dwordMemory = (low: number, high: number, cacheable = false): Term =>
  addresses(0x87, 4, ADDRESS.MEMORY, cacheable ? 3 : 1, low, high);
export const qwordMemory = (low: number, high: number): Term => addresses(0x8a, 8, ADDRESS.MEMORY, 3, low, high);
