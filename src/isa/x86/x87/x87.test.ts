/** What stands in the manual; test/conformance holds all functions against a real FPU. */
import assert from 'node:assert';
import { test } from 'node:test';
import type { IrFunction } from '../../../ir/code.ts';
import { type Datum, Evaluator, type World } from '../../../ir/evaluate.ts';
import { EXCEPTION, STATUS } from './format.ts';
import { x87 } from './x87.ts';

const CONTROL = 0;
const STATUS_AT = 4;
const A = 128;
const B = 144;
const RESULT = 160;
const fpu = x87({ control: CONTROL, status: STATUS_AT, scratch: 16 });

type Register = readonly [se: number, significand: bigint];
const ONE: Register = [0x3fff, 1n << 63n];
const THREE: Register = [0x4000, 3n << 62n];
const INFINITY: Register = [0x7fff, 1n << 63n];
const NOTHING: Register = [0, 0n];
const INDEFINITE: Register = [0xffff, 3n << 62n];
const DEFAULT = 0x37f;

/** What the function returned, the result register and the status word. */
function run(control: number, f: IrFunction, operands: readonly Register[], ...args: Datum[]) {
  const memory = new DataView(new ArrayBuffer(256));
  memory.setUint32(CONTROL, control, true);
  operands.forEach(([se, significand], n) => {
    memory.setBigUint64(A + 16 * n, significand, true);
    memory.setUint16(A + 16 * n + 8, se, true);
  });
  const delivered = new Evaluator({ memory, cpu: 0 } as unknown as World).call(f, args);
  const result = [memory.getUint16(RESULT + 8, true), memory.getBigUint64(RESULT, true)];
  return { delivered, result, status: memory.getUint32(STATUS_AT, true) };
}
const two = (control: number, f: IrFunction, a: Register, b: Register) => run(control, f, [a, b], RESULT, A, B, 0);

test('a third, in every rounding and precision', () => {
  const third = (control: number) => two(control, fpu.div, ONE, THREE);
  const c1 = EXCEPTION.PE | STATUS.C1;
  assert.deepStrictEqual(third(DEFAULT).result, [0x3ffd, 0xaaaa_aaaa_aaaa_aaabn]);
  assert.strictEqual(third(DEFAULT).status, c1);
  assert.deepStrictEqual(third(DEFAULT | 0xc00).result, [0x3ffd, 0xaaaa_aaaa_aaaa_aaaan]);
  assert.strictEqual(third(DEFAULT | 0xc00).status, EXCEPTION.PE);
  assert.deepStrictEqual(third(0x27f).result, [0x3ffd, 0xaaaa_aaaa_aaaa_a800n]);
  assert.deepStrictEqual(third(0x07f).result, [0x3ffd, 0xaaaa_ab00_0000_0000n]);
  assert.strictEqual(third(0x07f).status, c1);
});

test('division by zero, masked and not', () => {
  const masked = two(DEFAULT, fpu.div, ONE, NOTHING);
  assert.deepStrictEqual(masked, { delivered: 1, result: [...INFINITY], status: EXCEPTION.ZE });
  const unmasked = two(DEFAULT & ~EXCEPTION.ZE, fpu.div, ONE, NOTHING);
  assert.deepStrictEqual(unmasked, { delivered: 0, result: [0, 0n], status: EXCEPTION.ZE | STATUS.summary });
});

test('unsupported encodings are invalid', () => {
  const unnormal: Register = [0x4000, 1n << 62n];
  const sum = two(DEFAULT, fpu.add, ONE, unnormal);
  assert.deepStrictEqual(sum, { delivered: 1, result: [...INDEFINITE], status: EXCEPTION.IE });
});

test('of two quiet NaNs the one with the larger significand', () => {
  const small: Register = [0x7fff, (3n << 62n) | 1n];
  const large: Register = [0xffff, (3n << 62n) | 2n];
  assert.deepStrictEqual(two(DEFAULT, fpu.mul, small, large).result, [...large]);
  assert.deepStrictEqual(two(DEFAULT, fpu.mul, large, small).result, [...large]);
});

test('an unmasked overflow is adjusted', () => {
  const huge: Register = [0x7ffe, 1n << 63n];
  const { delivered, result, status } = two(DEFAULT & ~EXCEPTION.OE, fpu.mul, huge, huge);
  assert.strictEqual(delivered, 1);
  assert.deepStrictEqual(result, [2 * 0x7ffe - 0x3fff - 0x6000, 1n << 63n]);
  assert.strictEqual(status, EXCEPTION.OE | STATUS.summary);
});

test('a stack fault tells its direction', () => {
  const overflow = run(DEFAULT, fpu.stackFault, [], RESULT, 1);
  const status = EXCEPTION.IE | STATUS.stackFault;
  assert.deepStrictEqual(overflow, { delivered: 1, result: [...INDEFINITE], status: status | STATUS.C1 });
  assert.strictEqual(run(DEFAULT, fpu.stackFault, [], RESULT, 0).status, status);
  assert.strictEqual(run(DEFAULT & ~EXCEPTION.IE, fpu.stackFault, [], RESULT, 0).delivered, 0);
});

test('beyond 2^63 there is no sine', () => {
  const far: Register = [0x3fff + 63, 1n << 63n];
  const { delivered, result, status } = run(DEFAULT, fpu.fsin, [far], RESULT, A);
  assert.deepStrictEqual({ delivered, result, status }, { delivered: 0, result: [0, 0n], status: STATUS.C2 });
});
