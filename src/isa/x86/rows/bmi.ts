/**
 * Bit manipulation: BMI1, BMI2, ADX, and CRC32 of SSE4.2.
 *
 * Spec: SDM volume 2, ADCX, ADOX, ANDN, BEXTR, BLSI, BLSMSK, BLSR, BZHI, CRC32,
 * MULX, PDEP, PEXT, RORX, SARX, SHLX, SHRX. AF and PF, which most of them leave
 * undefined, are cleared or follow from the result.
 */
import { define } from '../../../ir/code.ts';
import {
  add,
  and,
  and32,
  eqz,
  extendU,
  geU,
  gtU,
  i32,
  i64,
  ltU,
  mul,
  ne,
  neg,
  or,
  or32,
  rotr,
  select,
  shl,
  shrS,
  shrU,
  sub,
  type Value,
  wrap,
  xor,
} from '../../../ir/value.ts';
import type { Size } from '../flags.ts';
import { zeroExtend } from '../extend.ts';
import type { X86Insn } from '../insn.ts';
import { RDX } from '../registers.ts';
import { mulHighU } from '../multiply.ts';
import { insn, type Row } from '../opcode.ts';
import { crc32 } from '../simd/carryless.ts';
import { Cr0, Eflags } from '../state.ts';

type Semantics = (m: X86Insn) => void;

/** VEX is unknown in real-address and virtual-8086 mode, which 16-bit code may be in. */
const vexMode =
  (semantics: Semantics): Semantics =>
  (m) => {
    if (m.bits !== 64) {
      const real = eqz(and(m.state('cr0'), Cr0.pe));
      m.if(or32(real, anyBit(and32(m.state('eflags'), Eflags.vm))), () => m.ud());
    }
    semantics(m);
  };
const anyBit = (x: Value): Value => ne(extendU(x), 0);

const flag = (condition: Value, bit: number): Value => select(condition, i64(bit), i64(0));
/** SF and ZF of the result, and CF; the others are cleared. */
function resultFlags(m: X86Insn, result: Value, size: Size, carry: Value): void {
  const signAndZero = or(flag(eqz(zeroExtend(result, size)), Eflags.zf), and(shrU(result, size - 8), Eflags.sf));
  m.setFlags(or(signAndZero, flag(carry, Eflags.cf)));
}

const andNot: Semantics = (m) => {
  const r = m.let(and(xor(m.get(1), -1), m.get(2)));
  m.set(0, r);
  m.flags('logic', m.size(0), r);
};
/** BLSI, BLSR, BLSMSK. `carryOnZero`: CF says that the source was 0, or that it was not. */
const lowestBit =
  (operation: (x: Value) => Value, carryOnZero: boolean): Semantics =>
  (m) => {
    const x = m.let(m.zx(1));
    const r = m.let(operation(x));
    m.set(0, r);
    resultFlags(m, r, m.size(0), carryOnZero ? eqz(x) : ne(x, 0));
  };
const lowBits = (count: Value): Value => sub(shl(1, count), 1);
/** The operand above the lowest `count` bits cleared; all of it where there are no so many. */
const cut = (x: Value, count: Value): Value => select(ltU(count, 64), and(x, lowBits(count)), x);

const extractField: Semantics = (m) => {
  const x = m.let(m.zx(1));
  const control = m.let(m.get(2));
  const start = m.let(and(control, 0xff));
  const moved = m.let(select(ltU(start, 64), shrU(x, start), i64(0)));
  const r = m.let(cut(moved, m.let(and(shrU(control, 8), 0xff))));
  m.set(0, r);
  m.flags('logic', m.size(0), r);
};
const zeroHigh: Semantics = (m) => {
  const size = m.size(0);
  const x = m.let(m.zx(1));
  const count = m.let(and(m.get(2), 0xff));
  const r = m.let(cut(x, count));
  m.set(0, r);
  resultFlags(m, r, size, geU(count, size));
};
const shiftWithoutFlags =
  (shift: (x: Value, count: Value, size: Size) => Value, signed = false): Semantics =>
  (m) => {
    const size = m.size(0);
    const x = m.let(signed ? m.sx(1) : m.zx(1));
    m.set(0, shift(x, m.let(and(m.get(2), size - 1)), size));
  };
const rotateRight = (x: Value, count: Value, size: Size): Value =>
  size === 64 ? rotr(x, count) : or(shrU(x, count), shl(x, sub(size, count)));

const multiply: Semantics = (m) => {
  const size = m.size(0);
  const a = m.let(zeroExtend(m.r(RDX), size));
  const b = m.let(m.zx(2));
  const low = m.let(mul(a, b));
  const high = size === 64 ? m.let(m.call(mulHighU, a, b)) : shrU(low, 32);
  // Where both are one register it has the upper half.
  m.set(1, low);
  m.set(0, high);
};

/** pdep(x, mask): the low bits of x at the places of the mask's ones. */
const deposit = define('pdep', ['i64', 'i64'], 'i64', (f, x, mask) => {
  const left = f.var(mask);
  const bits = f.var(x);
  const result = f.var(i64(0));
  f.while(
    () => ne(left.value, 0),
    () => {
      const lowest = f.let(and(left.value, neg(left.value)));
      result.set(or(result.value, and(lowest, neg(and(bits.value, 1)))));
      bits.set(shrU(bits.value, 1));
      left.set(xor(left.value, lowest));
    },
  );
  f.return(result.value);
});
/** pext(x, mask): the bits of x at the places of the mask's ones, side by side. */
const extract = define('pext', ['i64', 'i64'], 'i64', (f, x, mask) => {
  const left = f.var(mask);
  const place = f.var(i64(1));
  const result = f.var(i64(0));
  f.while(
    () => ne(left.value, 0),
    () => {
      const lowest = f.let(and(left.value, neg(left.value)));
      result.set(or(result.value, select(ne(and(x, lowest), 0), place.value, i64(0))));
      place.set(shl(place.value, 1));
      left.set(xor(left.value, lowest));
    },
  );
  f.return(result.value);
});
const scatter =
  (f: typeof deposit): Semantics =>
  (m) => {
    const x = m.let(m.zx(1));
    m.set(0, m.call(f, x, m.let(m.zx(2))));
  };

/** Adds with CF or with OF as the carry, which alone is changed. */
const addWithFlag =
  (bit: number, question: 'b' | 'o'): Semantics =>
  (m) => {
    const carry = m.let(extendU(m.flag(question)));
    const flags = m.let(m.flagsImage());
    const a = m.let(m.zx(0));
    const b = m.let(m.zx(1));
    const sum = m.let(add(a, b));
    const r = m.let(add(sum, carry));
    const out = m.size(0) === 64 ? or32(gtU(a, sum), gtU(sum, r)) : wrap(shrU(r, 32));
    m.set(0, r);
    m.setFlags(or(and(flags, Eflags.arithmetic & ~bit), flag(out, bit)));
  };

const checksum: Semantics = (m) => {
  const data = m.let(m.zx(1));
  m.set(0, extendU(m.call(crc32, wrap(m.get(0)), data, i32(m.size(1)))));
};

const row = (
  name: string,
  prefix: string,
  code: string,
  operands: string,
  semantics: Semantics,
  feature: string,
): Row => insn(name, `${prefix} VEX.128 0F ${code}`, operands, vexMode(semantics), { feature });
const crc = { feature: 'sse4.2' };
const adx = { feature: 'adx' };

export const bmi = (): readonly Row[] => [
  row('andn', 'NP', '38 F2 /r', 'Gy By Ey', andNot, 'bmi1'),
  row(
    'blsr',
    'NP',
    '38 F3 /1',
    'By Ey',
    lowestBit((x) => and(x, sub(x, 1)), true),
    'bmi1',
  ),
  row(
    'blsmsk',
    'NP',
    '38 F3 /2',
    'By Ey',
    lowestBit((x) => xor(x, sub(x, 1)), true),
    'bmi1',
  ),
  row(
    'blsi',
    'NP',
    '38 F3 /3',
    'By Ey',
    lowestBit((x) => and(x, neg(x)), false),
    'bmi1',
  ),
  row('bextr', 'NP', '38 F7 /r', 'Gy Ey By', extractField, 'bmi1'),
  row('bzhi', 'NP', '38 F5 /r', 'Gy Ey By', zeroHigh, 'bmi2'),
  row('pext', 'F3', '38 F5 /r', 'Gy By Ey', scatter(extract), 'bmi2'),
  row('pdep', 'F2', '38 F5 /r', 'Gy By Ey', scatter(deposit), 'bmi2'),
  row('mulx', 'F2', '38 F6 /r', 'Gy By Ey', multiply, 'bmi2'),
  row('shlx', '66', '38 F7 /r', 'Gy Ey By', shiftWithoutFlags(shl), 'bmi2'),
  row('sarx', 'F3', '38 F7 /r', 'Gy Ey By', shiftWithoutFlags(shrS, true), 'bmi2'),
  row('shrx', 'F2', '38 F7 /r', 'Gy Ey By', shiftWithoutFlags(shrU), 'bmi2'),
  row('rorx', 'F2', '3A F0 /r', 'Gy Ey Ib', shiftWithoutFlags(rotateRight), 'bmi2'),
  insn('adcx', '66 0F 38 F6 /r', 'Gy Ey', addWithFlag(Eflags.cf, 'b'), adx),
  insn('adox', 'F3 0F 38 F6 /r', 'Gy Ey', addWithFlag(Eflags.of, 'o'), adx),
  insn('crc32', 'F2 0F 38 F0 /r', 'Gy Eb', checksum, crc),
  insn('crc32', 'F2 0F 38 F1 /r', 'Gy Ev', checksum, crc),
];
