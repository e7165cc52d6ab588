/**
 * SHA extensions: rounds of SHA-1 and SHA-256 and their message schedules.
 *
 * Spec: FIPS 180-4; Intel SDM volume 2, SHA1xxx, SHA256xxx. Words are named from
 * the highest lane down, as the SDM has them.
 */
import { define, type IrFunction } from '../../../ir/code.ts';
import { add32, and32, i32, or32, rotl32, rotr32, shrU32, type Value, xor32 } from '../../../ir/value.ts';
import { i32x4, zero } from '../../../ir/vector.ts';
import { range } from './operation.ts';
import type { Code } from '../../../ir/code.ts';

/** Lane 3 first. */
const words = (code: Code, x: Value): Value[] => [3, 2, 1, 0].map((n) => code.let(i32x4.extractLane(x, n)));
const joined = (list: readonly Value[]): Value =>
  list.reduce((result, word, n) => i32x4.replaceLane(result, 3 - n, word), zero);
const sum = (...terms: Value[]): Value => terms.reduce((total, term) => add32(total, term));
const choose = (x: Value, y: Value, z: Value): Value => xor32(z, and32(x, xor32(y, z)));
const parity = (x: Value, y: Value, z: Value): Value => xor32(xor32(x, y), z);
const majority = (x: Value, y: Value, z: Value): Value => or32(and32(x, y), and32(z, or32(x, y)));

const SHA1 = [
  { f: choose, k: 0x5a82_7999 },
  { f: parity, k: 0x6ed9_eba1 },
  { f: majority, k: 0x8f1b_bcdc },
  { f: parity, k: 0xca62_c1d6 },
] as const;

/** Four rounds, by the immediate's low two bits: (a, b) -> v128 each. */
export const sha1rnds4: readonly IrFunction[] = SHA1.map(({ f, k }, n) =>
  define(`sha1rnds4_${n}`, ['v128', 'v128'], 'v128', (code, x, y) => {
    let [a, b, c, d] = words(code, x);
    let e: Value = i32(0); // in the first word already
    for (const word of words(code, y)) {
      const next = code.let(sum(f(b, c, d), rotl32(a, i32(5)), word, e, i32(k)));
      const turned = code.let(rotl32(b, i32(30)));
      [a, b, c, d, e] = [next, a, turned, c, d];
    }
    code.return(joined([a, b, c, d]));
  }),
);
export const sha1nexte: IrFunction = define('sha1nexte', ['v128', 'v128'], 'v128', (code, a, b) => {
  const e = rotl32(i32x4.extractLane(a, 3), i32(30));
  code.return(i32x4.replaceLane(b, 3, add32(i32x4.extractLane(b, 3), e)));
});
export const sha1msg1: IrFunction = define('sha1msg1', ['v128', 'v128'], 'v128', (code, a, b) => {
  const w = [...words(code, a), ...words(code, b)];
  code.return(joined(range(4).map((n) => xor32(w[n], w[n + 2]))));
});
export const sha1msg2: IrFunction = define('sha1msg2', ['v128', 'v128'], 'v128', (code, a, b) => {
  const [x0, x1, x2, x3] = words(code, a);
  const [, w13, w14, w15] = words(code, b);
  const w16 = code.let(rotl32(xor32(x0, w13), i32(1)));
  const rest = [xor32(x1, w14), xor32(x2, w15), xor32(x3, w16)].map((x) => rotl32(x, i32(1)));
  code.return(joined([w16, ...rest]));
});

const turned = (x: Value, p: number, q: number, last: Value): Value =>
  xor32(xor32(rotr32(x, i32(p)), rotr32(x, i32(q))), last);
const large0 = (x: Value): Value => turned(x, 2, 13, rotr32(x, i32(22)));
const large1 = (x: Value): Value => turned(x, 6, 11, rotr32(x, i32(25)));
const small0 = (x: Value): Value => turned(x, 7, 18, shrU32(x, 3));
const small1 = (x: Value): Value => turned(x, 17, 19, shrU32(x, 10));

/** (state CDGH, state ABEF, words with constants) -> state ABEF after two rounds. */
export const sha256rnds2: IrFunction = define('sha256rnds2', ['v128', 'v128', 'v128'], 'v128', (code, x, y, wk) => {
  let [a, b, e, f] = words(code, y);
  let [c, d, g, h] = words(code, x);
  for (const n of range(2)) {
    const t = code.let(sum(choose(e, f, g), large1(e), i32x4.extractLane(wk, n), h));
    const nextA = code.let(sum(t, majority(a, b, c), large0(a)));
    const nextE = code.let(add32(t, d));
    [a, b, c, d, e, f, g, h] = [nextA, a, b, c, nextE, e, f, g];
  }
  code.return(joined([a, b, e, f]));
});
export const sha256msg1: IrFunction = define('sha256msg1', ['v128', 'v128'], 'v128', (code, a, b) => {
  const [w3, w2, w1, w0] = words(code, a);
  const w4 = code.let(i32x4.extractLane(b, 0));
  code.return(joined([add32(w3, small0(w4)), add32(w2, small0(w3)), add32(w1, small0(w2)), add32(w0, small0(w1))]));
});
export const sha256msg2: IrFunction = define('sha256msg2', ['v128', 'v128'], 'v128', (code, a, b) => {
  const [x3, x2, x1, x0] = words(code, a);
  const [w15, w14] = words(code, b);
  const w16 = code.let(add32(x0, small1(w14)));
  const w17 = code.let(add32(x1, small1(w15)));
  code.return(joined([add32(x3, small1(w17)), add32(x2, small1(w16)), w17, w16]));
});
