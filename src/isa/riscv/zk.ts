/**
 * Scalar cryptography: bit manipulation for it (Zbkb, Zbkx) and the hash
 * functions of SHA-2 (Zknh). What Zbkb and Zbkc share with Zbb and Zbc are rows
 * of those.
 *
 * Spec: RISC-V Unprivileged ISA 20240411, "Cryptography Extensions: Scalar &
 * Entropy Source Instructions".
 */
import {
  add,
  and,
  extendS,
  type I64,
  i64,
  ltU,
  or,
  rotr,
  rotr32,
  select,
  sext32,
  shl,
  shrU,
  shrU32,
  type Value,
  wrap,
  xor,
  xor32,
  zext32,
} from '../../ir/value.ts';
import { extension, type Instruction, insn, type RiscvInsn } from './insn.ts';
import { type Binary, R } from './rv64i.ts';

/** d = f(a), where f reads its operand more than once. */
const U = (name: string, bits: string, f: (x: Value) => Value): Instruction =>
  insn(name, bits, (m, { a, d }) => m.setX(d, f(m.let(m.x(a)))));

/** The low parts of two registers side by side. */
const pack: Binary = (x, y) => or(zext32(x), shl(y, 32));
const packh: Binary = (x, y) => or(and(x, 0xff), shl(and(y, 0xff), 8));
const packw: Binary = (x, y) => sext32(or(and(x, 0xffff), shl(y, 16)));

/** Reverses the bits of each byte. */
function brev8(m: RiscvInsn, x: Value): Value {
  const swap = (v: Value, mask: I64, by: number) => or(shl(and(v, mask), by), and(shrU(v, by), mask));
  const pairs = m.let(swap(x, 0x5555555555555555n, 1));
  const quads = m.let(swap(pairs, 0x3333333333333333n, 2));
  return swap(quads, 0x0f0f0f0f0f0f0f0fn, 4);
}

export const zbkb: readonly Instruction[] = extension('zbkb', [
  R('pack', '0000100 bbbbb aaaaa 100 ddddd 0110011', pack),
  R('packh', '0000100 bbbbb aaaaa 111 ddddd 0110011', packh),
  // With x0 it is zext.h, a row of Zbb.
  { ...R('packw', '0000100 bbbbb aaaaa 100 ddddd 0111011', packw), where: ({ b }) => b !== 0 },
  insn('brev8', '011010000111 aaaaa 101 ddddd 0010011', (m, { a, d }) => m.setX(d, brev8(m, m.let(m.x(a))))),
]);

/** Looks the elements of `indices` up in `table`; both are registers full of elements of `width` bits. */
function xperm(m: RiscvInsn, table: Value, indices: Value, width: 4 | 8): Value {
  const mask = (1 << width) - 1;
  const result = m.var(i64(0));
  const at = m.var(i64(0));
  m.while(
    () => ltU(at.value, 64),
    () => {
      const index = m.let(shl(and(shrU(indices, at.value), mask), width === 4 ? 2 : 3));
      // An index beyond the register gives 0; a shift would begin anew.
      const element = select(ltU(index, 64), and(shrU(table, index), mask), i64(0));
      result.set(or(result.value, shl(element, at.value)));
      at.set(add(at.value, width));
    },
  );
  return result.value;
}
const XPERM = (name: string, bits: string, width: 4 | 8): Instruction =>
  insn(name, bits, (m, { a, b, d }) => m.setX(d, xperm(m, m.let(m.x(a)), m.let(m.x(b)), width)));

export const zbkx: readonly Instruction[] = extension('zbkx', [
  XPERM('xperm4', '0010100 bbbbb aaaaa 010 ddddd 0110011', 4),
  XPERM('xperm8', '0010100 bbbbb aaaaa 100 ddddd 0110011', 8),
]);

/** Three rotations to the right, xored; `sigma`'s third is a shift. */
const sum256 = (p: number, q: number, r: number) => (x: Value) => {
  const w = wrap(x);
  return extendS(xor32(xor32(rotr32(w, p), rotr32(w, q)), rotr32(w, r)));
};
const sigma256 = (p: number, q: number, r: number) => (x: Value) => {
  const w = wrap(x);
  return extendS(xor32(xor32(rotr32(w, p), rotr32(w, q)), shrU32(w, r)));
};
const sum512 = (p: number, q: number, r: number) => (x: Value) => xor(xor(rotr(x, p), rotr(x, q)), rotr(x, r));
const sigma512 = (p: number, q: number, r: number) => (x: Value) => xor(xor(rotr(x, p), rotr(x, q)), shrU(x, r));

export const zknh: readonly Instruction[] = extension('zknh', [
  U('sha256sum0', '000100000000 aaaaa 001 ddddd 0010011', sum256(2, 13, 22)),
  U('sha256sum1', '000100000001 aaaaa 001 ddddd 0010011', sum256(6, 11, 25)),
  U('sha256sig0', '000100000010 aaaaa 001 ddddd 0010011', sigma256(7, 18, 3)),
  U('sha256sig1', '000100000011 aaaaa 001 ddddd 0010011', sigma256(17, 19, 10)),
  U('sha512sum0', '000100000100 aaaaa 001 ddddd 0010011', sum512(28, 34, 39)),
  U('sha512sum1', '000100000101 aaaaa 001 ddddd 0010011', sum512(14, 18, 41)),
  U('sha512sig0', '000100000110 aaaaa 001 ddddd 0010011', sigma512(1, 8, 7)),
  U('sha512sig1', '000100000111 aaaaa 001 ddddd 0010011', sigma512(19, 61, 6)),
]);
