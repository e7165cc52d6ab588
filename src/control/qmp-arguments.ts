/** Checks the arguments of a QMP command against what it takes, with QEMU's messages. */
import { type Control, ControlError } from './hub.ts';
import { isObject, type Json } from './json-values.ts';

/** A type, with `?` when the argument may be left out. */
export type ArgumentType = `${'integer' | 'string' | 'boolean' | 'array' | 'object' | 'any'}${'' | '?'}`;
export type Takes = Readonly<Record<string, ArgumentType>>;
export type Arguments = Readonly<Record<string, Json | undefined>>;

export interface QmpCommand {
  readonly takes?: Takes;
  run(control: Control, given: Arguments): Json | undefined | Promise<Json | undefined>;
}

/** Throws ControlError for a missing, unexpected or mistyped argument. */
export function bind(takes: Takes, given: { readonly [key: string]: Json }): Arguments {
  const bound: Record<string, Json | undefined> = {};
  for (const [name, type] of Object.entries(takes)) {
    const value = Object.hasOwn(given, name) ? given[name] : undefined;
    if (value === undefined) {
      if (!type.endsWith('?')) throw new ControlError(`Parameter '${name}' is missing`);
      continue;
    }
    const wanted = type.replace('?', '');
    if (!fits(wanted, value)) throw new ControlError(`Invalid parameter type for '${name}', expected: ${wanted}`);
    bound[name] = value;
  }
  for (const name of Object.keys(given))
    if (!Object.hasOwn(takes, name)) throw new ControlError(`Parameter '${name}' is unexpected`);
  return bound;
}

function fits(type: string, value: Json): boolean {
  switch (type) {
    case 'integer':
      return typeof value === 'bigint' || (typeof value === 'number' && Number.isInteger(value));
    case 'array':
      return Array.isArray(value);
    case 'object':
      return isObject(value);
    case 'any':
      return true;
    default:
      return typeof value === type;
  }
}

/** An argument that `bind` has checked to be an integer. */
export function integer(value: Json | undefined): bigint {
  return BigInt(value as number | bigint);
}
