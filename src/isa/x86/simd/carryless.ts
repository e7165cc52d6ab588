/**
 * Carry-less multiplication and CRC-32C.
 *
 * Spec: Intel SDM volume 2, PCLMULQDQ, CRC32.
 */
import { define, type IrFunction } from '../../../ir/code.ts';
import {
  and,
  and32,
  i32,
  mul,
  or,
  select,
  shl,
  shrU,
  shrU32,
  sub32,
  type Value,
  wrap,
  xor,
  xor32,
} from '../../../ir/value.ts';
import { i64x2, zero } from '../../../ir/vector.ts';
import { type BinaryImm, range } from './operation.ts';

/** One bit in four: sums of up to 15 partial products leave the next such bit alone. */
const every4 = (n: number): bigint => BigInt.asUintN(64, 0x1111_1111_1111_1111n << BigInt(n));

/** The low 64 bits of the product, by integer multiplications of numbers with holes. */
const low: IrFunction = define('clmul_low', ['i64', 'i64'], 'i64', (code, x, y) => {
  const xs = range(4).map((n) => code.let(and(x, every4(n))));
  const ys = range(4).map((n) => code.let(and(y, every4(n))));
  const parts = range(4).map((n) => {
    const products = range(4).map((k) => mul(xs[k], ys[(n - k) & 3]));
    return and(
      products.reduce((sum, product) => xor(sum, product)),
      every4(n),
    );
  });
  code.return(parts.reduce((sum, part) => or(sum, part)));
});

const reverse: IrFunction = define('reverse_bits', ['i64'], 'i64', (code, x) => {
  let value = x;
  for (const [by, mask] of [
    [1, 0x5555_5555_5555_5555n],
    [2, 0x3333_3333_3333_3333n],
    [4, 0x0f0f_0f0f_0f0f_0f0fn],
    [8, 0x00ff_00ff_00ff_00ffn],
    [16, 0x0000_ffff_0000_ffffn],
  ] as const)
    value = code.let(or(and(shrU(value, by), mask), shl(and(value, mask), by)));
  code.return(or(shrU(value, 32), shl(value, 32)));
});

/** (i64, i64) -> v128: all 127 bits. The high half is the low half of the product of the reversed operands. */
export const carrylessProduct: IrFunction = define('clmul', ['i64', 'i64'], 'v128', (code, x, y) => {
  const mirrored = code.call(low, code.call(reverse, x), code.call(reverse, y));
  const high = shrU(code.call(reverse, mirrored), 1);
  code.return(i64x2.replaceLane(i64x2.replaceLane(zero, 0, code.call(low, x, y)), 1, high));
});

export const pclmulqdq: BinaryImm = (code, a, b, imm) =>
  code.call(carrylessProduct, i64x2.extractLane(a, imm & 1), i64x2.extractLane(b, (imm >> 4) & 1));

/** (crc i32, data i64, bits i32: 8, 16, 32 or 64) -> crc i32, with the reflected polynomial 0x82f63b78. */
export const crc32: IrFunction = define('crc32c', ['i32', 'i64', 'i32'], 'i32', (code, crc, data, bits) => {
  const rest = code.var(data);
  const value = code.var(crc);
  const left = code.var(bits);
  const step = (state: Value): Value => xor32(shrU32(state, 1), select(and32(state, 1), i32(0x82f6_3b78), i32(0)));
  code.loop((again) => {
    value.set(code.let(xor32(value.value, and32(wrap(rest.value), 0xff))));
    for (const _ of range(8)) value.set(step(value.value));
    rest.set(shrU(rest.value, 8));
    left.set(sub32(left.value, 8));
    code.br(again, left.value);
  });
  code.return(value.value);
});
