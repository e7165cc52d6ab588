/**
 * The time-stamp counter: nanoseconds of the board's clock times a rate, and
 * what software, and a change of accelerator, added.
 *
 * Spec: SDM volume 3, "Time-Stamp Counter"; volume 4, IA32_TSC_ADJUST.
 */
import * as op from '../../ir/op.ts';
import { define } from '../../ir/code.ts';
import { add, apply } from '../../ir/value.ts';
import { readTime, type StateAccess } from '../isa.ts';
import { get } from './field.ts';

const cell = new DataView(new ArrayBuffer(8));

/** A rate in Hz as the state keeps it: the bits of ticks a nanosecond. */
export function rateBits(hz: number): bigint {
  cell.setFloat64(0, hz / 1e9);
  return cell.getBigUint64(0);
}
/** Ticks a nanosecond. */
export function rateOf(state: StateAccess): number {
  cell.setBigUint64(0, state.get64('tscRate'));
  return cell.getFloat64(0);
}

/** What a processor's counter reads when the clock is at `now` nanoseconds. */
export function timeStamp(state: StateAccess, now: number): bigint {
  const ticks = BigInt(Math.floor(Math.floor(now) * rateOf(state)));
  return BigInt.asUintN(64, ticks + state.get64('tscOffset') + state.get64('tscSkew'));
}

/** The same for instructions. */
export const timeStampNow = define('time_stamp', [], 'i64', (f) => {
  const ticks = apply(op.f64Binary.mul, f.call(readTime), apply(op.F64_REINTERPRET, get('tscRate')));
  f.return(add(add(apply(op.I64_TRUNC_SAT_F64_U, ticks), get('tscOffset')), get('tscSkew')));
});
