/**
 * The rows that F and D have alike, written once over a precision.
 *
 * Spec: RISC-V Unprivileged ISA 20240411, "F Extension for Single-Precision
 * Floating-Point"; the headings are its own. Where the host's arithmetic gives
 * the result, softfloat's function stands beside it for all other cases.
 */
import type { IrFunction } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import {
  addF64,
  and,
  and32,
  apply,
  bitsF32,
  bitsF64,
  extendS,
  extendU,
  fromBitsF32,
  fromBitsF64,
  i32,
  i64,
  ltU,
  mulF64,
  or32,
  sext32,
  shl,
  type Value,
  wrap,
  xor,
  xor32,
} from '../../ir/value.ts';
import { isBounded, isNoHalfway, isSafe } from '../softfloat/host.ts';
import {
  double,
  hostFma,
  isNumber,
  NX,
  orElse,
  type Precision,
  READS,
  ROUNDS,
  rounded,
  roundingMode,
  single,
  WRITES,
} from './float.ts';
import { type Instruction, insn, type RiscvInsn } from './insn.ts';

const OP_FP = '1010011';

/** Two operands, rounded; `right` says whether the host's result stands. */
function arithmetic(p: Precision, name: 'add' | 'sub' | 'mul' | 'div', code: string, right: (x: Value) => Value) {
  return insn(
    `f${name}.${p.letter}`,
    `${code}${p.fmt} bbbbb aaaaa rrr ddddd ${OP_FP}`,
    (m, { a, b, d, r }) => {
      const x = p.get(m, a);
      const y = p.get(m, b);
      const host = () => {
        const value = m.let(apply(p.host.binary[name], x, y));
        return { value, right: right(value) };
      };
      const exact = (rounding: Value) => p.fromBits(m.call(p.soft[name], p.bits(x), p.bits(y), rounding));
      p.set(m, d, rounded(m, r, host, exact));
    },
    ROUNDS,
  );
}

function squareRoot(p: Precision): Instruction {
  return insn(
    `fsqrt.${p.letter}`,
    `01011${p.fmt} 00000 aaaaa rrr ddddd ${OP_FP}`,
    (m, { a, d, r }) => {
      const x = p.get(m, a);
      const host = () => {
        const value = m.let(apply(p.host.unary.sqrt, x));
        return { value, right: isBounded(value) };
      };
      p.set(
        m,
        d,
        rounded(m, r, host, (rounding) => p.fromBits(m.call(p.soft.sqrt, p.bits(x), rounding))),
      );
    },
    ROUNDS,
  );
}

/** x * y + z */
function multiplyAdd(m: RiscvInsn, p: Precision, r: number, x: Value, y: Value, z: Value): Value {
  const exact = (rounding: Value) => p.fromBits(m.call(p.soft.fma, p.bits(x), p.bits(y), p.bits(z), rounding));
  if (p === double) {
    if (r !== 0 && r !== 7) return exact(roundingMode(m, r));
    return m.call(hostFma, x, y, z, roundingMode(m, r));
  }
  const host = () => {
    const wide = (v: Value) => apply(op.F64_PROMOTE, v);
    const sum = m.let(addF64(mulF64(wide(x), wide(y)), wide(z)));
    const value = m.let(apply(op.F32_DEMOTE, sum));
    return { value, right: and32(isNoHalfway(sum), isSafe(value)) };
  };
  return rounded(m, r, host, exact);
}

/** Signs of the product and of the addend: negating changes no NaN's other bits. */
function fused(p: Precision, name: string, opcode: string, negateProduct: boolean, negateAddend: boolean): Instruction {
  const negate = (m: RiscvInsn, x: Value, really: boolean) => (really ? m.let(apply(p.host.unary.neg, x)) : x);
  return insn(
    `${name}.${p.letter}`,
    `ccccc ${p.fmt} bbbbb aaaaa rrr ddddd ${opcode}`,
    (m, { a, b, c, d, r }) => {
      const x = negate(m, p.get(m, a), negateProduct);
      const y = p.get(m, b);
      const z = negate(m, p.get(m, c), negateAddend);
      p.set(m, d, multiplyAdd(m, p, r, x, y, z));
    },
    ROUNDS,
  );
}

/** Minimum or maximum: the host's is right unless a NaN is involved, which it then gives. */
export function extremum(
  p: Precision,
  name: string,
  funct3: string,
  host: 'min' | 'max',
  exact: IrFunction,
): Instruction {
  return insn(
    `${name}.${p.letter}`,
    `00101${p.fmt} bbbbb aaaaa ${funct3} ddddd ${OP_FP}`,
    (m, { a, b, d }) => {
      const x = p.get(m, a);
      const y = p.get(m, b);
      const value = m.let(apply(p.host.binary[host], x, y));
      const result = orElse(m, value, isNumber(p, value), () => p.fromBits(m.call(exact, p.bits(x), p.bits(y))));
      p.set(m, d, result);
    },
    WRITES,
  );
}

/** Comparison into an integer register: false, and perhaps invalid, with a NaN. */
export function comparison(
  p: Precision,
  name: string,
  funct3: string,
  relation: string,
  exact: IrFunction,
): Instruction {
  return insn(
    `${name}.${p.letter}`,
    `10100${p.fmt} bbbbb aaaaa ${funct3} ddddd ${OP_FP}`,
    (m, { a, b, d }) => {
      const x = p.get(m, a);
      const y = p.get(m, b);
      const numbers = and32(isNumber(p, x), isNumber(p, y));
      const value = apply(p.host.compare[relation], x, y);
      m.setX(d, extendU(orElse(m, value, numbers, () => m.call(exact, p.bits(x), p.bits(y)))));
    },
    WRITES,
  );
}

/** What the integer conversions work with, by the suffix of the mnemonic. */
interface Integer {
  readonly suffix: 'w' | 'wu' | 'l' | 'lu';
  readonly field: string;
  readonly largest: bigint;
  readonly lowest: bigint;
}
const INTEGERS: readonly Integer[] = [
  { suffix: 'w', field: '00000', largest: (1n << 31n) - 1n, lowest: 1n << 31n },
  { suffix: 'wu', field: '00001', largest: (1n << 32n) - 1n, lowest: 0n },
  { suffix: 'l', field: '00010', largest: (1n << 63n) - 1n, lowest: 1n << 63n },
  { suffix: 'lu', field: '00011', largest: (1n << 64n) - 1n, lowest: 0n },
];

/** The host's rounding to an integer in a mode, if it has one. */
export const hostRounding = (p: Precision, r: number): number | undefined => {
  const { nearest, trunc, floor, ceil } = p.host.unary;
  return r === 7 ? nearest : [nearest, trunc, floor, ceil][r];
};

/** Whether a double is an integer (any) that the type holds; the lowest signed one may be missed. */
function fits(whole: Value, { largest, lowest }: Integer): Value {
  const power = largest + 1n; // a power of two
  const limit = BigInt(1023 + power.toString(2).length - 1) << 52n;
  // Bits in order as integers: without the sign, or with it where a negative number does not fit.
  if (lowest === 0n) return ltU(bitsF64(whole), limit);
  return ltU(shl(bitsF64(whole), 1), limit << 1n);
}

function toInteger(p: Precision, integer: Integer): Instruction {
  const { suffix, field, largest, lowest } = integer;
  return insn(
    `fcvt.${suffix}.${p.letter}`,
    `11000${p.fmt} ${field} aaaaa rrr ddddd ${OP_FP}`,
    (m, { a, d, r }) => {
      const x = p.get(m, a);
      const narrow = (value: Value) => (suffix === 'wu' ? sext32(value) : value);
      const exact = () => {
        const rounding = roundingMode(m, r);
        return narrow(m.call(p.soft.toInteger, p.bits(x), rounding, i64(largest), i64(lowest)));
      };
      const host = hostRounding(p, r);
      if (host === undefined) {
        m.setX(d, exact());
        return;
      }
      const whole = m.let(apply(host, x));
      const wide = p === single ? m.let(apply(op.F64_PROMOTE, whole)) : whole;
      const value = apply(lowest === 0n ? op.I64_TRUNC_SAT_F64_U : op.I64_TRUNC_SAT_F64_S, wide);
      // With a static mode, exact results need no flag; else inexact must be flagged already.
      const flagged = r === 7 ? m.get('fpFast') : or32(and32(m.get('fflags'), NX), apply(p.host.compare.eq, whole, x));
      m.setX(d, orElse(m, narrow(value), and32(flagged, fits(wide, integer)), exact));
    },
    ROUNDS,
  );
}

const FROM: Readonly<Record<'s' | 'd', Readonly<Record<Integer['suffix'], number>>>> = {
  s: { w: op.F32_CONVERT_I32_S, wu: op.F32_CONVERT_I32_U, l: op.F32_CONVERT_I64_S, lu: op.F32_CONVERT_I64_U },
  d: { w: op.F64_CONVERT_I32_S, wu: op.F64_CONVERT_I32_U, l: op.F64_CONVERT_I64_S, lu: op.F64_CONVERT_I64_U },
};

function fromInteger(p: Precision, { suffix, field, lowest }: Integer): Instruction {
  const short = suffix[0] === 'w';
  const exact = lowest === 0n ? p.soft.fromUnsigned : p.soft.fromSigned;
  return insn(
    `fcvt.${p.letter}.${suffix}`,
    `11010${p.fmt} ${field} aaaaa rrr ddddd ${OP_FP}`,
    (m, { a, d, r }) => {
      const x = m.let(short ? wrap(m.x(a)) : m.x(a));
      const value = () => apply(FROM[p.letter][suffix], x);
      if (short && p === double) {
        roundingMode(m, r); // must be a mode, though the result is exact
        p.set(m, d, value());
        return;
      }
      const wide = () => (short ? (lowest === 0n ? extendU(x) : extendS(x)) : x);
      // The right one where `fast`: no integer is too large or too small.
      const host = () => ({ value: value(), right: i32(1) });
      p.set(
        m,
        d,
        rounded(m, r, host, (rounding) => p.fromBits(m.call(exact, wide(), rounding))),
      );
    },
    ROUNDS,
  );
}

function sign(p: Precision, name: string, funct3: string, f: (x: Value, y: Value) => Value): Instruction {
  return insn(
    `${name}.${p.letter}`,
    `00100${p.fmt} bbbbb aaaaa ${funct3} ddddd ${OP_FP}`,
    (m, { a, b, d }) => {
      const x = p.get(m, a);
      p.set(m, d, f(x, typeof a === 'number' && a === b ? x : p.get(m, b)));
    },
    WRITES,
  );
}

/** The rows of one precision that are the same in F and D. */
export function commonRows(p: Precision): Instruction[] {
  const { copysign } = p.host.binary;
  const { neg, abs } = p.host.unary;
  const exclusive = (x: Value, y: Value): Value => {
    if (p === double) return fromBitsF64(xor(bitsF64(x), and(bitsF64(y), 1n << 63n)));
    return fromBitsF32(xor32(bitsF32(x), and32(bitsF32(y), 1 << 31)));
  };
  return [
    // Floating-Point Computational Instructions
    arithmetic(p, 'add', '00000', isBounded),
    arithmetic(p, 'sub', '00001', isBounded),
    arithmetic(p, 'mul', '00010', isSafe),
    arithmetic(p, 'div', '00011', isSafe),
    squareRoot(p),
    extremum(p, 'fmin', '000', 'min', p.soft.min),
    extremum(p, 'fmax', '001', 'max', p.soft.max),
    fused(p, 'fmadd', '1000011', false, false),
    fused(p, 'fmsub', '1000111', false, true),
    fused(p, 'fnmsub', '1001011', true, false),
    fused(p, 'fnmadd', '1001111', true, true),
    // Floating-Point Conversion and Move Instructions
    ...INTEGERS.map((integer) => toInteger(p, integer)),
    ...INTEGERS.map((integer) => fromInteger(p, integer)),
    // The assembler's fmv, fneg and fabs name one register twice.
    sign(p, 'fsgnj', '000', (x, y) => (x === y ? x : apply(copysign, x, y))),
    sign(p, 'fsgnjn', '001', (x, y) => (x === y ? apply(neg, x) : apply(copysign, x, apply(neg, y)))),
    sign(p, 'fsgnjx', '010', (x, y) => (x === y ? apply(abs, x) : exclusive(x, y))),
    // Floating-Point Compare Instructions
    comparison(p, 'fle', '000', 'le', p.soft.le),
    comparison(p, 'flt', '001', 'lt', p.soft.lt),
    comparison(p, 'feq', '010', 'eq', p.soft.eq),
    // Floating-Point Classify Instruction
    insn(
      `fclass.${p.letter}`,
      `11100${p.fmt} 00000 aaaaa 001 ddddd ${OP_FP}`,
      (m, { a, d }) => m.setX(d, extendU(m.call(p.soft.classify, p.bits(p.get(m, a))))),
      READS,
    ),
  ];
}
