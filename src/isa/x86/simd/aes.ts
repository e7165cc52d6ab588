/**
 * AES-NI: a round of AES and what expanding keys needs.
 *
 * Spec: FIPS 197; Intel SDM volume 2, AESENC, AESENCLAST, AESDEC, AESDECLAST,
 * AESIMC, AESKEYGENASSIST.
 *
 * The S-boxes are looked up sixteen bytes at a time with no memory access that
 * depends on data.
 */
import { define, type IrFunction } from '../../../ir/code.ts';
import type { Value } from '../../../ir/value.ts';
import { bytes, constant128, every, i8x16, shuffle, v128 } from '../../../ir/vector.ts';
import { range, type UnaryImm } from './operation.ts';

/** Times x in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1. */
const timesX = (a: number): number => ((a << 1) ^ (a & 0x80 ? 0x11b : 0)) & 0xff;
const rotate = (a: number, n: number): number => ((a << n) | (a >> (8 - n))) & 0xff;

/** Inverses by walking the powers of 3 up and those of its inverse down; then the affine map. */
function makeBox(): number[] {
  const box = new Array<number>(256).fill(0);
  box[0] = 0x63;
  let p = 1;
  let q = 1;
  do {
    p ^= timesX(p);
    for (const n of [1, 2, 4]) q ^= q << n;
    q &= 0xff;
    if (q & 0x80) q ^= 0x09;
    box[p] = q ^ rotate(q, 1) ^ rotate(q, 2) ^ rotate(q, 3) ^ rotate(q, 4) ^ 0x63;
  } while (p !== 1);
  return box;
}
const BOX = makeBox();
const INVERSE = range(256).map((n) => BOX.indexOf(n));

function makeSubstitution(name: string, box: readonly number[]): IrFunction {
  return define(name, ['v128'], 'v128', (code, x) => {
    let result: Value = i8x16.swizzle(bytes(...box.slice(0, 16)), x);
    // A number outside of the sixteen at hand gives 0.
    for (const high of range(15, 16, 16))
      result = v128.or(result, i8x16.swizzle(bytes(...box.slice(high, high + 16)), v128.xor(x, every(8, high))));
    code.return(result);
  });
}
const substitute = makeSubstitution('aes_sub_bytes', BOX);
const substituteBack = makeSubstitution('aes_inv_sub_bytes', INVERSE);

/** Row r of the state, bytes r, r + 4, r + 8, r + 12, is turned by r columns. */
const SHIFT = range(16).map((n) => (n + 4 * (n % 4)) % 16);
const SHIFT_BACK = range(16).map((n) => (n + 12 * (n % 4)) % 16);
/** Each column turned by `rows`. */
const turn = (x: Value, rows: number): Value =>
  shuffle(
    x,
    x,
    range(16).map((n) => (n & 12) | ((n + rows) & 3)),
  );
const twice = (x: Value): Value => v128.xor(i8x16.shl(x, 1), v128.and(i8x16.shrS(x, 7), every(8, 0x1b)));

const mixColumns: IrFunction = define('aes_mix_columns', ['v128'], 'v128', (code, x) => {
  const double = code.let(twice(x));
  const pairs = code.let(v128.xor(x, turn(x, 1)));
  code.return(v128.xor(v128.xor(double, turn(v128.xor(double, x), 1)), turn(pairs, 2)));
});
/** The inverse's polynomial is the other's times 4x^2 + 5. */
const mixColumnsBack: IrFunction = define('aes_inv_mix_columns', ['v128'], 'v128', (code, x) => {
  const four = twice(code.let(twice(code.let(v128.xor(x, turn(x, 2))))));
  code.return(code.call(mixColumns, v128.xor(x, four)));
});

/** (state, round key) -> state */
export const aesenc: IrFunction = define('aesenc', ['v128', 'v128'], 'v128', (code, x, key) => {
  const bytes = code.call(substitute, shuffle(x, x, SHIFT));
  code.return(v128.xor(code.call(mixColumns, bytes), key));
});
export const aesenclast: IrFunction = define('aesenclast', ['v128', 'v128'], 'v128', (code, x, key) => {
  code.return(v128.xor(code.call(substitute, shuffle(x, x, SHIFT)), key));
});
export const aesdec: IrFunction = define('aesdec', ['v128', 'v128'], 'v128', (code, x, key) => {
  const bytes = code.call(substituteBack, shuffle(x, x, SHIFT_BACK));
  code.return(v128.xor(code.call(mixColumnsBack, bytes), key));
});
export const aesdeclast: IrFunction = define('aesdeclast', ['v128', 'v128'], 'v128', (code, x, key) => {
  code.return(v128.xor(code.call(substituteBack, shuffle(x, x, SHIFT_BACK)), key));
});
/** (key) -> key */
export const aesimc: IrFunction = mixColumnsBack;

/** Words 1 and 3 substituted, as they are and turned by a byte with the round constant. */
export const aeskeygenassist: UnaryImm = (code, a, imm) => {
  const s = code.call(substitute, a);
  const words = shuffle(s, s, [4, 5, 6, 7, 5, 6, 7, 4, 12, 13, 14, 15, 13, 14, 15, 12]);
  const constant = BigInt(imm);
  return v128.xor(words, constant128((constant << 32n) | (constant << 96n)));
};
