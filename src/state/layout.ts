/**
 * State layouts: the one declaration from which a device's or CPU's reset
 * value, snapshot, migration stream and property dump follow.
 *
 * A layout only grows: a field missing from a saved state takes its default,
 * which must mean the old behaviour; an unknown field is refused.
 */

/** A scalar field: how many bytes it takes in linear memory and its reset value. */
export interface Scalar<T> {
  readonly kind: 'scalar';
  readonly name: ScalarName;
  /** Size and alignment in linear memory, bytes. */
  readonly size: 1 | 2 | 4 | 8;
  readonly initial: T;
}
export type ScalarName = 'bool' | 'u1' | 'u8' | 'u16' | 'u32' | 'i32' | 'u64' | 'f64';

/** A fixed number of equal scalars. */
export interface ArrayField<T> {
  readonly kind: 'array';
  readonly of: Scalar<T>;
  readonly length: number;
}

/** Raw bytes of a fixed length. */
export interface BytesField {
  readonly kind: 'bytes';
  readonly length: number;
}

/** A JSON-like value of any size: queues, requests in flight, strings. Never in linear memory. */
export interface JsonField<T> {
  readonly kind: 'json';
  readonly initial: () => T;
}

// biome-ignore lint/suspicious/noExplicitAny: a field of any value type
export type Field = Scalar<any> | ArrayField<any> | BytesField | JsonField<any>;
export type Fields = Readonly<Record<string, Field>>;

type ValueOf<F> =
  F extends Scalar<infer T>
    ? T
    : F extends ArrayField<infer T>
      ? T[]
      : F extends BytesField
        ? Uint8Array
        : F extends JsonField<infer T>
          ? T
          : never;
/** The plain object that holds one instance of a layout. */
export type StateOf<L> = L extends Layout<infer F> ? { -readonly [K in keyof F]: ValueOf<F[K]> } : never;

export interface Layout<F extends Fields = Fields> {
  readonly name: string;
  readonly version: number;
  readonly fields: F;
}

function scalar<T>(name: ScalarName, size: 1 | 2 | 4 | 8, initial: T): Scalar<T> {
  return { kind: 'scalar', name, size, initial };
}
export const bool: Scalar<boolean> = scalar('bool', 1, false as boolean);
export const u1: Scalar<number> = scalar('u1', 1, 0 as number);
export const u8: Scalar<number> = scalar('u8', 1, 0 as number);
export const u16: Scalar<number> = scalar('u16', 2, 0 as number);
export const u32: Scalar<number> = scalar('u32', 4, 0 as number);
export const i32: Scalar<number> = scalar('i32', 4, 0 as number);
export const f64: Scalar<number> = scalar('f64', 8, 0 as number);
export const u64: Scalar<bigint> = scalar('u64', 8, 0n as bigint);

/** The same scalar with another reset value. */
export function initially<T>(field: Scalar<T>, initial: T): Scalar<T> {
  return { ...field, initial };
}
export function array<T>(of: Scalar<T>, length: number): ArrayField<T> {
  return { kind: 'array', of, length };
}
export function bytes(length: number): BytesField {
  return { kind: 'bytes', length };
}
export function json<T>(initial: () => T): JsonField<T> {
  return { kind: 'json', initial };
}

export function layout<F extends Fields>(name: string, version: number, fields: F): Layout<F> {
  return { name, version, fields };
}

/**
 * A fresh instance holding every field's reset value. Made from entries: an object that gets more than a dozen
 * properties one by one is a hash table to V8, and each look at a device's state a search.
 */
export function create<F extends Fields>(of: Layout<F>): StateOf<Layout<F>> {
  const entries = Object.entries(of.fields).map(([name, field]) => [name, initialOf(field)]);
  return Object.fromEntries(entries) as StateOf<Layout<F>>;
}

/** Puts every field back to its reset value, in place. */
export function reset<F extends Fields>(of: Layout<F>, state: StateOf<Layout<F>>): void {
  Object.assign(state, create(of));
}

function initialOf(field: Field): unknown {
  switch (field.kind) {
    case 'scalar':
      return field.initial;
    case 'array':
      return new Array(field.length).fill(field.of.initial);
    case 'bytes':
      return new Uint8Array(field.length);
    case 'json':
      return field.initial();
  }
}

/** Where each field of a layout lies in linear memory: byte offsets, naturally aligned. */
export interface Placement {
  readonly size: number;
  readonly offset: Readonly<Record<string, number>>;
}

/** Places a layout in linear memory in declaration order. JSON fields cannot be placed. */
export function place(of: Layout): Placement {
  const offsets: [string, number][] = [];
  let at = 0;
  for (const [name, field] of Object.entries(of.fields)) {
    if (field.kind === 'json') throw new TypeError(`${of.name}.${name}: a JSON field has no place in linear memory`);
    const align = field.kind === 'bytes' ? 8 : field.kind === 'array' ? field.of.size : field.size;
    const size =
      field.kind === 'bytes' ? field.length : field.kind === 'array' ? field.of.size * field.length : field.size;
    at = Math.ceil(at / align) * align;
    offsets.push([name, at]);
    at += size;
  }
  // See `create`.
  return { size: Math.ceil(at / 16) * 16, offset: Object.fromEntries(offsets) };
}
