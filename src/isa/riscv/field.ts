/** Access to the fields of a hart's state from IR functions. */
import type { Code } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import { add32, cpu, type I32, type I64, load, type Value } from '../../ir/value.ts';
import { FIELD_32 } from './insn.ts';
import { AT } from './state.ts';

export type FieldName = keyof typeof AT;

/** The field's value: i32 or i64 as declared; of an array, its element at `byteIndex`. */
export function get(field: FieldName, byteIndex?: I32): Value {
  const base = byteIndex === undefined ? cpu : add32(cpu, byteIndex);
  return load(FIELD_32.has(field) ? op.I32_LOAD : op.I64_LOAD, base, AT[field]);
}

export function put(code: Code, field: FieldName, value: I64, byteIndex?: I32): void {
  const base = byteIndex === undefined ? cpu : add32(cpu, byteIndex);
  code.store(FIELD_32.has(field) ? op.I32_STORE : op.I64_STORE, base, value, AT[field]);
}
