/**
 * Multiply-add by the processor's own instruction.
 *
 * WebAssembly has no scalar one, but relaxed SIMD's `f64x2.relaxed_madd` is
 * fused where the processor can: one try at start-up tells. Spec: WebAssembly
 * Core Specification 3.0, "Vector Instructions" (relaxed).
 */
import type { Callable, IrFunction } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import { bitsF64, fromBitsF64, load, local, cpu as cpuValue } from '../../ir/value.ts';
import { isSafe } from '../../isa/softfloat/host.ts';
import { calleesOf } from './callees.ts';
import { Emitter, type Lowering } from './emit.ts';
import type { Body } from './module.ts';

const SPLAT = [0xfd, 0x14];
const RELAXED_MADD = [0xfd, 0x87, 0x02];
const EXTRACT_LANE_0 = [0xfd, 0x21, 0x00];

/** (f64, f64, f64) -> f64 as a module of its own. */
const PROBE = new Uint8Array([
  ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...[1, 8, 1, 0x60, 3, 0x7c, 0x7c, 0x7c, 1, 0x7c],
  ...[3, 2, 1, 0],
  ...[7, 5, 1, 1, 0x66, 0, 0],
  ...[10, 22, 1, 20, 0],
  ...[0x20, 0, ...SPLAT, 0x20, 1, ...SPLAT, 0x20, 2, ...SPLAT, ...RELAXED_MADD, ...EXTRACT_LANE_0],
  0x0b,
]);

let known: boolean | undefined;

/** Whether the engine has a multiply-add that rounds once. */
export function hasFusedMultiplyAdd(): boolean {
  if (known === undefined) {
    known = false;
    if (WebAssembly.validate(PROBE)) {
      const { f } = new WebAssembly.Instance(new WebAssembly.Module(PROBE)).exports;
      // The product is 1 - 2^-54, which rounds to 1.
      known = (f as (...x: number[]) => number)(1 + 2 ** -27, 1 - 2 ** -27, -1) === -(2 ** -54);
    }
  }
  return known;
}

/** The name of the function that `emitFused` stands in for. */
export const FUSED = 'f64_fma_host';

/** `f64_fma_host` (see softfloat/host.ts) with the processor's instruction in place of its transformations; `floatFast` as in StateFields. */
export function emitFused(lowering: Lowering, target: IrFunction, floatFast: number): Body {
  const exact = [...calleesOf(target.body.statements)][0] as Callable;
  const RESULT = 4;
  const e = new Emitter(lowering, [...target.params, 'f64'], target.params.length);
  const bytes = (list: readonly number[]) => {
    for (const byte of list) e.out.u8(byte);
  };
  e.value(load(op.I32_LOAD, cpuValue, floatFast));
  e.if();
  for (const n of [0, 1, 2]) {
    e.get(n);
    bytes(SPLAT);
  }
  bytes(RELAXED_MADD);
  bytes(EXTRACT_LANE_0);
  e.set(RESULT);
  e.value(isSafe(local(RESULT, 'f64')));
  e.if();
  e.get(RESULT);
  e.return();
  e.end();
  e.end();
  for (const n of [0, 1, 2]) e.value(bitsF64(local(n, 'f64')));
  e.get(3);
  e.call(lowering.callee(exact));
  e.op(fromBitsF64(local(0, 'i64')).op);
  return e.finish();
}
