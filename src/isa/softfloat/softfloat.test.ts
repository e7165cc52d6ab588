/** What ISAs choose differently; test/conformance holds the arithmetic itself against real FPUs. */
import assert from 'node:assert';
import { test } from 'node:test';
import type { IrFunction } from '../../ir/code.ts';
import { type Datum, Evaluator, f64ToBits, type World } from '../../ir/evaluate.ts';
import type { FloatOptions } from './format.ts';
import { softfloat } from './softfloat.ts';

const RISCV: FloatOptions = {
  flagsOffset: 8,
  flags: { inexact: 1, underflow: 2, overflow: 4, divideByZero: 8, invalid: 16 },
  tininess: 'after',
  nan: 'canonical',
  noInteger: 'clamp-nan-high',
};
const X86: FloatOptions = {
  ...RISCV,
  flags: { invalid: 1, divideByZero: 4, overflow: 8, underflow: 16, inexact: 32 },
  nan: 'first',
  negativeNan: true,
  noInteger: 'lowest',
};
const ARM: FloatOptions = { ...RISCV, tininess: 'before', nan: 'signalling-first', noInteger: 'clamp-nan-zero' };

const riscv = softfloat(RISCV);
const x86 = softfloat(X86);
const arm = softfloat(ARM);

/** The result and the flags it raised. */
function run(f: IrFunction, ...args: Datum[]): [Datum, number] {
  const memory = new DataView(new ArrayBuffer(16));
  const result = new Evaluator({ memory, cpu: 0 } as unknown as World).call(f, args);
  return [result, memory.getUint32(8, true)];
}

const INF = f64ToBits(Infinity);
const ONE = f64ToBits(1);
const MINUS = 1n << 63n;
const QUIET = 0x7ff8_0000_0000_0005n;
const NOISY = 0x7ff0_0000_0000_0003n;
const QUIETED = 0x7ff8_0000_0000_0003n;

test('NaN results', () => {
  assert.deepStrictEqual(run(riscv.f64.add, QUIET, NOISY, 0), [0x7ff8_0000_0000_0000n, 16]);
  assert.deepStrictEqual(run(x86.f64.add, QUIET, NOISY, 0), [QUIET, 1]);
  assert.deepStrictEqual(run(arm.f64.add, QUIET, NOISY, 0), [QUIETED, 16]);
  assert.deepStrictEqual(run(x86.f64.add, ONE, QUIET, 0), [QUIET, 0]);
  assert.deepStrictEqual(run(x86.f64.sub, ONE, QUIET, 0), [QUIET, 0]); // not with its sign turned
  assert.deepStrictEqual(run(x86.f64.add, INF, INF | MINUS, 0), [0xfff8_0000_0000_0000n, 1]);
  assert.deepStrictEqual(run(arm.f64.add, INF, INF | MINUS, 0), [0x7ff8_0000_0000_0000n, 16]);
});

test('NaN results of multiply-add', () => {
  assert.deepStrictEqual(run(riscv.f64.fma, INF, 0n, QUIET, 0), [0x7ff8_0000_0000_0000n, 16]);
  assert.deepStrictEqual(run(x86.f64.fma, INF, 0n, QUIET, 0), [QUIET, 0]);
  assert.deepStrictEqual(run(arm.f64.fma, INF, 0n, QUIET, 0), [0x7ff8_0000_0000_0000n, 16]);
  assert.deepStrictEqual(run(arm.f64.fma, QUIET, NOISY, QUIET, 0), [QUIETED, 16]);
});

test('NaNs carry over to the other format', () => {
  assert.deepStrictEqual(run(x86.narrow, 0xfff4_0000_0000_0000n, 0), [0xffe0_0000 | 0, 1]);
  assert.deepStrictEqual(run(arm.widen, 0x7f80_0001), [0x7ff8_0000_2000_0000n, 16]);
  assert.deepStrictEqual(run(riscv.widen, 0x7f80_0001), [0x7ff8_0000_0000_0000n, 16]);
});

test('tininess after rounding, or before', () => {
  // (1 - 2^-104) * 2^-1022 rounds up to the smallest normal number, to 53 bits as well as to the subnormal's 52.
  const least = 1n << 52n;
  const operands = [least + 1n, ONE - 2n] as const;
  assert.deepStrictEqual(run(riscv.f64.mul, ...operands, 0), [least, 1]);
  assert.deepStrictEqual(run(arm.f64.mul, ...operands, 0), [least, 3]);
  assert.deepStrictEqual(run(riscv.f64.mul, ...operands, 1), [least - 1n, 3]);
  // (1 - 2^-53) * 2^-1022 has 53 bits and becomes normal only because a subnormal has fewer.
  assert.deepStrictEqual(run(riscv.f64.mul, least, ONE - 1n, 0), [least, 3]);
});

test('where there is no integer', () => {
  const w = [(1n << 31n) - 1n, 1n << 31n] as const;
  const lowest = BigInt.asUintN(64, -(1n << 31n));
  assert.deepStrictEqual(run(riscv.f64.toInteger, QUIET, 1, ...w), [w[0], 16]);
  assert.deepStrictEqual(run(x86.f64.toInteger, QUIET, 1, ...w), [lowest, 1]);
  assert.deepStrictEqual(run(arm.f64.toInteger, QUIET, 1, ...w), [0n, 16]);
  assert.deepStrictEqual(run(x86.f64.toInteger, f64ToBits(1e30), 1, ...w), [lowest, 1]);
  assert.deepStrictEqual(run(arm.f64.toInteger, f64ToBits(1e30), 1, ...w), [w[0], 16]);
  assert.deepStrictEqual(run(arm.f64.toInteger, f64ToBits(-1e10), 1, ...w), [lowest, 16]);
});
