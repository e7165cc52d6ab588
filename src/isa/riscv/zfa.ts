/**
 * Zfa, additional floating-point instructions, for single and double precision.
 *
 * Spec: RISC-V Unprivileged ISA 20240411, "Zfa Extension for Additional
 * Floating-Point Instructions". What moves halves of a double is RV32's.
 */
import { define, type IrFunction } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import { and32, apply, constant, eq, i32, i64, or32, type Value } from '../../ir/value.ts';
import { isBounded } from '../softfloat/host.ts';
import { double, NX, orElse, type Precision, ROUNDS, roundingMode, single, soft, WRITES } from './float.ts';
import { comparison, extremum, hostRounding } from './float-rows.ts';
import { extension, type Instruction, insn } from './insn.ts';

/** What fli loads: entry 1 is the smallest normal number, 31 the canonical NaN. */
// biome-ignore format: as the spec's table
const IMMEDIATES: readonly number[] = [
  -1, 0, 2 ** -16, 2 ** -15, 2 ** -8, 2 ** -7, 0.0625, 0.125,
  0.25, 0.3125, 0.375, 0.4375, 0.5, 0.625, 0.75, 0.875,
  1, 1.25, 1.5, 1.75, 2, 2.5, 3, 4,
  8, 16, 128, 256, 32768, 65536, Infinity, NaN,
];

function immediateBits(p: Precision, n: number): Value {
  const view = new DataView(new ArrayBuffer(8));
  if (p === single) {
    view.setFloat32(0, n === 1 ? 2 ** -126 : IMMEDIATES[n]);
    return n === 31 ? p.canonical : i32(view.getInt32(0));
  }
  view.setFloat64(0, n === 1 ? 2 ** -1022 : IMMEDIATES[n]);
  return n === 31 ? p.canonical : i64(view.getBigInt64(0));
}

function loadImmediate(p: Precision): Instruction {
  const lookUp: IrFunction = define(`fli_${p.letter}`, ['i64'], p.canonical.type, (code, index) => {
    for (let n = 0; n < 31; n++) code.if(eq(index, n), () => code.return(immediateBits(p, n)));
    code.return(immediateBits(p, 31));
  });
  return insn(
    `fli.${p.letter}`,
    `11110${p.fmt} 00001 u[4:0] 000 ddddd 1010011`,
    (m, { i, d }) => {
      const bits = i.op === op.CONST_I64 ? immediateBits(p, Number(constant(i))) : m.call(lookUp, i);
      p.set(m, d, p.fromBits(bits));
    },
    WRITES,
  );
}

/** Rounding to an integer; `flags` are raised where the result differs. */
function roundToInteger(p: Precision, name: string, field: string, flags: number): Instruction {
  return insn(
    `${name}.${p.letter}`,
    `01000${p.fmt} ${field} aaaaa rrr ddddd 1010011`,
    (m, { a, d, r }) => {
      const x = p.get(m, a);
      const exact = () => {
        const rounding = roundingMode(m, r);
        return p.fromBits(m.call(p.soft.roundToInteger, p.bits(x), rounding, i32(flags)));
      };
      const host = hostRounding(p, r);
      if (host === undefined) {
        p.set(m, d, exact());
        return;
      }
      const value = m.let(apply(host, x));
      const same = apply(p.host.compare.eq, value, x);
      const unflagged = flags === 0 ? i32(1) : or32(and32(m.get('fflags'), NX), same);
      const allowed = r === 7 ? m.get('fpFast') : unflagged;
      p.set(m, d, orElse(m, value, and32(isBounded(value), allowed), exact));
    },
    ROUNDS,
  );
}

const rowsOf = (p: Precision): Instruction[] => [
  // Load-Immediate Instructions
  loadImmediate(p),
  // Minimum and Maximum Instructions
  extremum(p, 'fminm', '010', 'min', p.soft.minNan),
  extremum(p, 'fmaxm', '011', 'max', p.soft.maxNan),
  // Round-to-Integer Instructions
  roundToInteger(p, 'fround', '00100', 0),
  roundToInteger(p, 'froundnx', '00101', NX),
  // Comparison Instructions
  comparison(p, 'fleq', '100', 'le', p.soft.leQuiet),
  comparison(p, 'fltq', '101', 'lt', p.soft.ltQuiet),
];

export const zfa: readonly Instruction[] = extension('zfa', [
  ...rowsOf(single),
  ...rowsOf(double),
  // Modular Convert-to-Integer Instruction; rm must say towards zero.
  insn(
    'fcvtmod.w.d',
    '1100001 01000 aaaaa 001 ddddd 1010011',
    (m, { a, d }) => m.setX(d, m.call(soft.toInt32Modular, double.bits(double.get(m, a)))),
    WRITES,
  ),
]);
