/** Access to the fields of a CPU's state from IR functions. */
import type { Code } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import { add32, cpu, type I32, type I64, load, type Value } from '../../ir/value.ts';
import { AT, FIELD_32, type FieldName } from './state.ts';

/** The field's value: i32 or i64 as declared; of an array, its element at `byteIndex`. */
export function get(field: FieldName, byteIndex?: I32): Value {
  if (typeof byteIndex === 'number') return load(loadOf(field), cpu, AT[field] + byteIndex);
  const base = byteIndex === undefined ? cpu : add32(cpu, byteIndex);
  return load(loadOf(field), base, AT[field]);
}

export function put(code: Code, field: FieldName, value: I64, byteIndex?: I32): void {
  const store = FIELD_32.has(field) ? op.I32_STORE : op.I64_STORE;
  if (typeof byteIndex === 'number') code.store(store, cpu, value, AT[field] + byteIndex);
  else code.store(store, byteIndex === undefined ? cpu : add32(cpu, byteIndex), value, AT[field]);
}

const loadOf = (field: FieldName) => (FIELD_32.has(field) ? op.I32_LOAD : op.I64_LOAD);
