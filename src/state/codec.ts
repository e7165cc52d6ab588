/**
 * Saving and loading the state of a layout.
 *
 * A saved state is a plain value: name and version of the layout and its
 * fields. It has a text form (JSON; what JSON lacks is wrapped in an object
 * with one key that starts with `$`) and a binary one (CBOR).
 *
 * Invariant: loading checks everything before it changes anything. Missing
 * fields take their defaults; unknown fields, other layouts, later versions
 * and values out of range are refused with a StateError.
 */
import { StateError } from '../bits/errors.ts';
import { base64, fromBase64 } from '../bits/text.ts';
import { decodeCbor, encodeCbor, type Saved } from './cbor.ts';
import { create, type Field, type Layout, type ScalarName } from './layout.ts';

export type { Saved } from './cbor.ts';

export interface SavedState {
  readonly layout: string;
  readonly version: number;
  readonly fields: { readonly [name: string]: Saved };
}

/** A deep copy of `state` in its saved form. */
export function save(of: Layout, state: object): SavedState {
  const values = state as Record<string, unknown>;
  const fields: Record<string, Saved> = {};
  for (const name of Object.keys(of.fields)) fields[name] = copy(values[name] as Saved);
  return { layout: of.name, version: of.version, fields };
}

/** Puts a saved state into `state`. Throws StateError and leaves `state` alone when it does not fit. */
export function load(of: Layout, state: object, saved: SavedState): void {
  if (saved.layout !== of.name)
    throw new StateError(
      'state-other',
      `the saved state is one of ${saved.layout}, not of ${of.name}`,
      "check the machine's devices",
    );
  if (!(saved.version <= of.version)) {
    const what = `${of.name}: the saved state has version ${saved.version}, this program knows ${of.version}`;
    throw new StateError('state-newer', what, 'use a newer program');
  }
  for (const name of Object.keys(saved.fields)) {
    if (Object.hasOwn(of.fields, name)) continue;
    throw new StateError(
      'state-unknown-field',
      `${of.name}: unknown field ${name} in the saved state`,
      'use a newer program',
    );
  }
  const fresh = create(of) as Record<string, unknown>;
  for (const [name, field] of Object.entries(of.fields)) {
    if (!Object.hasOwn(saved.fields, name)) continue;
    const value = saved.fields[name];
    if (!fits(field, value)) {
      throw new StateError(
        'state-value',
        `${of.name}.${name}: the saved value does not fit`,
        'use another copy of the saved state',
      );
    }
    fresh[name] = copy(value);
  }
  Object.assign(state, fresh);
}

/** Any saved value (also a whole machine's map of SavedState) as bytes, and back. */
export const toBinary: (value: Saved | SavedState) => Uint8Array = (value) => encodeCbor(value as Saved);
export const fromBinary: (bytes: Uint8Array) => Saved = decodeCbor;

/** A saved value as a JSON text. */
export function toJson(value: Saved | SavedState): string {
  return JSON.stringify(wrap(value as Saved));
}

/** The inverse of `toJson`. Throws StateError on damage. */
export function fromJson(text: string): Saved {
  let parsed: Saved;
  try {
    parsed = JSON.parse(text) as Saved;
  } catch (cause) {
    throw new StateError('state-damaged', 'the saved state is no JSON', 'use another copy of it', cause);
  }
  return unwrap(parsed);
}

/** Checks the shape of a value that claims to be a SavedState. */
export function asSavedState(value: Saved): SavedState {
  const state = value as unknown as SavedState;
  if (isMap(value) && typeof state.layout === 'string' && typeof state.version === 'number' && isMap(state.fields))
    return state;
  throw new StateError(
    'state-damaged',
    'the saved state lacks its layout, version or fields',
    'use another copy of it',
  );
}

function isMap(value: Saved | undefined): value is { readonly [key: string]: Saved } {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}

const RANGES: Readonly<Record<ScalarName, (value: unknown) => boolean>> = {
  bool: (value) => typeof value === 'boolean',
  u1: (value) => value === 0 || value === 1,
  u8: (value) => inRange(value, 0, 0xff),
  u16: (value) => inRange(value, 0, 0xffff),
  u32: (value) => inRange(value, 0, 0xffff_ffff),
  i32: (value) => inRange(value, -0x8000_0000, 0x7fff_ffff),
  u64: (value) => typeof value === 'bigint' && BigInt.asUintN(64, value) === value,
  f64: (value) => typeof value === 'number',
};

function inRange(value: unknown, least: number, greatest: number): boolean {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= greatest;
}

function fits(field: Field, value: Saved): boolean {
  switch (field.kind) {
    case 'scalar':
      return RANGES[field.name](value);
    case 'array':
      return Array.isArray(value) && value.length === field.length && value.every(RANGES[field.of.name]);
    case 'bytes':
      return value instanceof Uint8Array && value.length === field.length;
    case 'json':
      return true;
  }
}

function copy(value: Saved): Saved {
  if (value instanceof Uint8Array) return value.slice();
  if (Array.isArray(value)) return value.map(copy);
  if (isMap(value)) return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, copy(item)]));
  return value;
}

function wrap(value: Saved): Saved {
  if (typeof value === 'bigint') return { $u64: `0x${value.toString(16)}` };
  if (typeof value === 'number' && (!Number.isFinite(value) || Object.is(value, -0)))
    return { $f64: Object.is(value, -0) ? '-0' : String(value) };
  if (value instanceof Uint8Array) return { $bytes: base64(value) };
  if (Array.isArray(value)) return value.map(wrap);
  if (isMap(value)) return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, wrap(item)]));
  return value;
}

function unwrap(value: Saved): Saved {
  if (Array.isArray(value)) return value.map(unwrap);
  if (!isMap(value)) return value;
  const { $u64, $f64, $bytes } = value;
  if (typeof $u64 === 'string' && /^0x[0-9a-f]{1,16}$/.test($u64)) return BigInt($u64);
  if (typeof $f64 === 'string') return Number($f64);
  if (typeof $bytes === 'string') {
    const bytes = fromBase64($bytes);
    if (bytes) return bytes;
    throw new StateError('state-damaged', 'the saved state holds bytes that are no base64', 'use another copy of it');
  }
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, unwrap(item)]));
}
