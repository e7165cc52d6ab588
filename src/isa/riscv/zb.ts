/**
 * Bit manipulation (Zba, Zbb, Zbc, Zbs), conditional operations (Zicond) and
 * cache blocks (Zicbom, Zicboz, Zicbop).
 *
 * Spec: RISC-V Unprivileged ISA 20240411, "B Extension for Bit Manipulation",
 * "Zicond", "CMO Extensions". Caches are coherent here, so clean, flush and
 * inval only check their permission and address.
 */
import type { Code } from '../../ir/code.ts';
import {
  add,
  and,
  clz,
  clz32,
  ctz,
  ctz32,
  eqz,
  eqz32,
  extendS,
  extendU,
  gtS,
  gtU,
  type I64,
  i64,
  ltS,
  ltU,
  ltU32,
  not,
  or,
  popcnt,
  popcnt32,
  rotl,
  rotl32,
  rotr,
  rotr32,
  select,
  sext8,
  sext16,
  shl,
  shrU,
  sub,
  type Value,
  wrap,
  xor,
  zext32,
} from '../../ir/value.ts';
import { extension, type Instruction, insn, type RiscvInsn } from './insn.ts';
import { type Binary, I, R } from './rv64i.ts';
import { PRIV_M } from './state.ts';

const U = (name: string, bits: string, f: (x: Value) => Value): Instruction =>
  insn(name, bits, (m, { a, d }) => m.setX(d, f(m.x(a))));

const shadd =
  (n: number, ext: (x: I64) => Value = i64): Binary =>
  (x, y) =>
    add(shl(ext(x), n), y);

export const zba: readonly Instruction[] = extension('zba', [
  R('add.uw', '0000100 bbbbb aaaaa 000 ddddd 0111011', shadd(0, zext32)),
  R('sh1add', '0010000 bbbbb aaaaa 010 ddddd 0110011', shadd(1)),
  R('sh1add.uw', '0010000 bbbbb aaaaa 010 ddddd 0111011', shadd(1, zext32)),
  R('sh2add', '0010000 bbbbb aaaaa 100 ddddd 0110011', shadd(2)),
  R('sh2add.uw', '0010000 bbbbb aaaaa 100 ddddd 0111011', shadd(2, zext32)),
  R('sh3add', '0010000 bbbbb aaaaa 110 ddddd 0110011', shadd(3)),
  R('sh3add.uw', '0010000 bbbbb aaaaa 110 ddddd 0111011', shadd(3, zext32)),
  I('slli.uw', '000010 u[5:0] aaaaa 001 ddddd 0011011', (x, n) => shl(zext32(x), n)),
]);

/** Reverses the bytes of a doubleword. */
function rev8(x: Value): Value {
  const swap = (v: Value, mask: I64, by: number) => or(shl(and(v, mask), by), and(shrU(v, by), mask));
  return rotl(swap(swap(x, 0x00ff00ff00ff00ffn, 8), 0x0000ffff0000ffffn, 16), 32);
}
/** 0xff in each byte of `x` that is not zero. */
function orcb(m: Code, x: Value): Value {
  const low7 = 0x7f7f7f7f7f7f7f7fn;
  const high = m.let(and(or(add(and(x, low7), low7), x), not(i64(low7))));
  return or(sub(high, shrU(high, 7)), high); // each 0x80 becomes 0xff
}

const minmax =
  (better: Binary): Binary =>
  (x, y) =>
    select(better(x, y), i64(x), i64(y));

export const zbb: readonly Instruction[] = extension('zbb', [
  R('andn', '0100000 bbbbb aaaaa 111 ddddd 0110011', (x, y) => and(x, not(y))),
  R('orn', '0100000 bbbbb aaaaa 110 ddddd 0110011', (x, y) => or(x, not(y))),
  R('xnor', '0100000 bbbbb aaaaa 100 ddddd 0110011', (x, y) => not(xor(x, y))),
  U('clz', '011000000000 aaaaa 001 ddddd 0010011', clz),
  U('ctz', '011000000001 aaaaa 001 ddddd 0010011', ctz),
  U('cpop', '011000000010 aaaaa 001 ddddd 0010011', popcnt),
  U('clzw', '011000000000 aaaaa 001 ddddd 0011011', (x) => extendU(clz32(wrap(x)))),
  U('ctzw', '011000000001 aaaaa 001 ddddd 0011011', (x) => extendU(ctz32(wrap(x)))),
  U('cpopw', '011000000010 aaaaa 001 ddddd 0011011', (x) => extendU(popcnt32(wrap(x)))),
  R('max', '0000101 bbbbb aaaaa 110 ddddd 0110011', minmax(gtS)),
  R('maxu', '0000101 bbbbb aaaaa 111 ddddd 0110011', minmax(gtU)),
  R('min', '0000101 bbbbb aaaaa 100 ddddd 0110011', minmax(ltS)),
  R('minu', '0000101 bbbbb aaaaa 101 ddddd 0110011', minmax(ltU)),
  U('sext.b', '011000000100 aaaaa 001 ddddd 0010011', sext8),
  U('sext.h', '011000000101 aaaaa 001 ddddd 0010011', sext16),
  U('zext.h', '000010000000 aaaaa 100 ddddd 0111011', (x) => and(x, 0xffff)),
  R('rol', '0110000 bbbbb aaaaa 001 ddddd 0110011', rotl),
  R('ror', '0110000 bbbbb aaaaa 101 ddddd 0110011', rotr),
  I('rori', '011000 u[5:0] aaaaa 101 ddddd 0010011', rotr),
  R('rolw', '0110000 bbbbb aaaaa 001 ddddd 0111011', (x, y) => extendS(rotl32(wrap(x), wrap(y)))),
  R('rorw', '0110000 bbbbb aaaaa 101 ddddd 0111011', (x, y) => extendS(rotr32(wrap(x), wrap(y)))),
  I('roriw', '0110000 u[4:0] aaaaa 101 ddddd 0011011', (x, y) => extendS(rotr32(wrap(x), wrap(y)))),
  insn('orc.b', '001010000111 aaaaa 101 ddddd 0010011', (m, { a, d }) => m.setX(d, orcb(m, m.let(m.x(a))))),
  insn('rev8', '011010111000 aaaaa 101 ddddd 0010011', (m, { a, d }) => m.setX(d, rev8(m.x(a)))),
]);

/** Carry-less multiplication by shift and xor: the low half, or the high half of the reversed product. */
function clmul(m: RiscvInsn, x: Value, y: Value, part: 'low' | 'high' | 'reversed'): Value {
  const result = m.var(i64(0));
  const n = m.var(i64(part === 'high' ? 1 : 0));
  m.while(
    () => ltU(n.value, 64),
    () => {
      const term =
        part === 'low' ? shl(x, n.value) : part === 'high' ? shrU(x, sub(64, n.value)) : shrU(x, sub(63, n.value));
      m.if(wrap(and(shrU(y, n.value), 1)), () => result.set(xor(result.value, term)));
      n.set(add(n.value, 1));
    },
  );
  return result.value;
}
const CL = (name: string, bits: string, part: 'low' | 'high' | 'reversed'): Instruction =>
  insn(name, bits, (m, { a, b, d }) => m.setX(d, clmul(m, m.let(m.x(a)), m.let(m.x(b)), part)));

export const zbc: readonly Instruction[] = extension('zbc', [
  CL('clmul', '0000101 bbbbb aaaaa 001 ddddd 0110011', 'low'),
  CL('clmulh', '0000101 bbbbb aaaaa 011 ddddd 0110011', 'high'),
  CL('clmulr', '0000101 bbbbb aaaaa 010 ddddd 0110011', 'reversed'),
]);

const mask = (n: I64) => shl(1, n);
const bclr: Binary = (x, n) => and(x, not(mask(n)));
const bext: Binary = (x, n) => and(shrU(x, n), 1);
const binv: Binary = (x, n) => xor(x, mask(n));
const bset: Binary = (x, n) => or(x, mask(n));

export const zbs: readonly Instruction[] = extension('zbs', [
  R('bclr', '0100100 bbbbb aaaaa 001 ddddd 0110011', bclr),
  I('bclri', '010010 u[5:0] aaaaa 001 ddddd 0010011', bclr),
  R('bext', '0100100 bbbbb aaaaa 101 ddddd 0110011', bext),
  I('bexti', '010010 u[5:0] aaaaa 101 ddddd 0010011', bext),
  R('binv', '0110100 bbbbb aaaaa 001 ddddd 0110011', binv),
  I('binvi', '011010 u[5:0] aaaaa 001 ddddd 0010011', binv),
  R('bset', '0010100 bbbbb aaaaa 001 ddddd 0110011', bset),
  I('bseti', '001010 u[5:0] aaaaa 001 ddddd 0010011', bset),
]);

export const zicond: readonly Instruction[] = extension('zicond', [
  R('czero.eqz', '0000111 bbbbb aaaaa 101 ddddd 0110011', (x, y) => select(eqz(y), i64(0), i64(x))),
  R('czero.nez', '0000111 bbbbb aaaaa 111 ddddd 0110011', (x, y) => select(eqz(y), i64(x), i64(0))),
]);

/** Bytes of a cache block, as the device tree says. */
export const CACHE_BLOCK = 64;

/** Illegal where the envcfg registers of the modes above do not allow it: bit of menvcfg and senvcfg. */
function permitted(m: RiscvInsn, bit: number, width: number): void {
  const allowed = (field: 'menvcfg' | 'senvcfg') => eqz(and(shrU(m.get(field), bit), (1 << width) - 1));
  m.if(ltU32(m.get('priv'), PRIV_M), () => m.if(allowed('menvcfg'), () => m.illegal()));
  m.if(eqz32(m.get('priv')), () => m.if(allowed('senvcfg'), () => m.illegal()));
}

const CBO = (name: string, funct: string, bit: number, width: number): Instruction =>
  insn(name, `${funct} aaaaa 010 00000 0001111`, (m, { a }) => {
    permitted(m, bit, width);
    const block = m.let(and(m.x(a), -CACHE_BLOCK));
    if (name === 'cbo.zero') {
      for (let n = 0; n < CACHE_BLOCK; n += 8) m.storeTo('i64', n === 0 ? block : add(block, n), i64(0));
    } else m.load('u8', block);
  });

export const zicbo: readonly Instruction[] = extension('zicbo', [
  CBO('cbo.inval', '000000000000', 4, 2),
  CBO('cbo.clean', '000000000001', 6, 1),
  CBO('cbo.flush', '000000000010', 6, 1),
  CBO('cbo.zero', '000000000100', 7, 1),
  // Prefetches are hints in the space of `ori x0`, which does nothing anyway.
]);
