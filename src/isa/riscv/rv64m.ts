/**
 * M, integer multiplication and division.
 *
 * Spec: RISC-V Unprivileged ISA 20240411, "M Extension for Integer
 * Multiplication and Division". Dividing by zero gives all ones and the
 * dividend; the overflow of the most negative number by -1 gives itself and 0.
 */
import type { Code } from '../../ir/code.ts';
import {
  add,
  and,
  and32,
  divS,
  divU,
  eq,
  eqz,
  type I64,
  i64,
  mul,
  or32,
  remS,
  remU,
  select,
  sext32,
  shrS,
  shrU,
  sub,
  type Value,
  zext32,
} from '../../ir/value.ts';
import { extension, type Instruction, insn } from './insn.ts';
import { type Binary, R, word } from './rv64i.ts';

/** The high 64 bits of an unsigned 64 x 64 product, by 32-bit halves. */
function mulhu(m: Code, x: Value, y: Value): Value {
  const xl = m.let(zext32(x));
  const xh = m.let(shrU(x, 32));
  const yl = m.let(zext32(y));
  const yh = m.let(shrU(y, 32));
  const low = mul(xl, yl);
  const t = m.let(add(mul(xh, yl), shrU(low, 32)));
  const w = m.let(add(mul(xl, yh), zext32(t)));
  return m.let(add(add(mul(xh, yh), shrU(t, 32)), shrU(w, 32)));
}

const MH = (name: string, bits: string, signedA: boolean, signedB: boolean): Instruction =>
  insn(name, bits, (m, { a, b, d }) => {
    const x = m.let(m.x(a));
    const y = m.let(m.x(b));
    let high = mulhu(m, x, y);
    // An operand taken as unsigned that was negative counts 2^64 too much.
    if (signedA) high = sub(high, and(shrS(x, 63), y));
    if (signedB) high = sub(high, and(shrS(y, 63), x));
    m.setX(d, high);
  });

/** Division of operands prepared by `ext`; `lowest` is the number whose division by -1 overflows. */
const D = (
  name: string,
  bits: string,
  f: Binary,
  ext: (x: I64) => Value,
  lowest: bigint | undefined,
  byZero: 'ones' | 'x',
) =>
  insn(name, bits, (m, { a, b, d }) => {
    const x = m.let(ext(m.x(a)));
    const y = m.let(ext(m.x(b)));
    const zero = m.let(eqz(y));
    // Divide by something harmless where WebAssembly would trap: by 1 the quotient of an overflow is right as it is.
    let harmless = zero;
    if (lowest !== undefined) harmless = m.let(or32(zero, and32(eq(x, lowest), eq(y, -1))));
    const quotient = f(x, select(harmless, i64(1), y));
    m.setX(d, select(zero, byZero === 'ones' ? i64(-1) : narrow(x, ext), narrow(quotient, ext)));
  });

const same = (x: I64): Value => i64(x);
/** The result of a division of words, sign-extended. */
const narrow = (x: Value, ext: (x: I64) => Value) => (ext === same ? x : sext32(x));

const MIN64 = -(1n << 63n);
const MIN32 = -(1n << 31n);

export const rv64m: readonly Instruction[] = extension('m', [
  // Multiplication Operations
  R('mul', '0000001 bbbbb aaaaa 000 ddddd 0110011', mul),
  MH('mulh', '0000001 bbbbb aaaaa 001 ddddd 0110011', true, true),
  MH('mulhsu', '0000001 bbbbb aaaaa 010 ddddd 0110011', true, false),
  MH('mulhu', '0000001 bbbbb aaaaa 011 ddddd 0110011', false, false),
  R('mulw', '0000001 bbbbb aaaaa 000 ddddd 0111011', word(mul)),
  // Division Operations
  D('div', '0000001 bbbbb aaaaa 100 ddddd 0110011', divS, same, MIN64, 'ones'),
  D('divu', '0000001 bbbbb aaaaa 101 ddddd 0110011', divU, same, undefined, 'ones'),
  D('rem', '0000001 bbbbb aaaaa 110 ddddd 0110011', remS, same, MIN64, 'x'),
  D('remu', '0000001 bbbbb aaaaa 111 ddddd 0110011', remU, same, undefined, 'x'),
  D('divw', '0000001 bbbbb aaaaa 100 ddddd 0111011', divS, sext32, MIN32, 'ones'),
  D('divuw', '0000001 bbbbb aaaaa 101 ddddd 0111011', divU, zext32, undefined, 'ones'),
  D('remw', '0000001 bbbbb aaaaa 110 ddddd 0111011', remS, sext32, MIN32, 'x'),
  D('remuw', '0000001 bbbbb aaaaa 111 ddddd 0111011', remU, zext32, undefined, 'x'),
]);
