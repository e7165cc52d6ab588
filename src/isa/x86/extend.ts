/** Values of an operand's size as values of 64 bits. */
import { and, extendU, sext8, sext16, sext32, type Value, zext32 } from '../../ir/value.ts';
import type { Size } from './flags.ts';

/** An i32 as an i64 without sign. */
export function zext32From(value: Value): Value {
  return value.type === 'i32' ? extendU(value) : zext32(value);
}

export function zeroExtend(value: Value, size: Size): Value {
  if (size === 64) return value;
  return size === 32 ? zext32(value) : and(value, size === 16 ? 0xffff : 0xff);
}
export function signExtend(value: Value, size: Size): Value {
  if (size === 64) return value;
  return size === 32 ? sext32(value) : size === 16 ? sext16(value) : sext8(value);
}
