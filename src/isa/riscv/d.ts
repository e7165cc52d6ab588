/**
 * D, double-precision floating point, on RV64.
 *
 * Spec: RISC-V Unprivileged ISA 20240411, "D Extension for Double-Precision
 * Floating-Point". What F has alike is in float-rows.ts.
 */
import * as op from '../../ir/op.ts';
import { add, apply, bitsF64, fromBitsF64 } from '../../ir/value.ts';
import { isSafe } from '../softfloat/host.ts';
import { double, isNumber, orElse, READS, ROUNDS, rounded, roundingMode, single, soft, WRITES } from './float.ts';
import { commonRows } from './float-rows.ts';
import { extension, type Instruction, insn } from './insn.ts';

export const rv64d: readonly Instruction[] = extension('d', [
  // Double-Precision Load and Store Instructions
  insn(
    'fld',
    '[11:0] aaaaa 011 ddddd 0000111',
    (m, { a, i, d }) => m.setF(d, fromBitsF64(m.load('i64', add(m.x(a), i)))),
    WRITES,
  ),
  insn(
    'fsd',
    '[11:5] bbbbb aaaaa 011 [4:0] 0100111',
    (m, { a, b, i }) => m.storeTo('i64', add(m.x(a), i), bitsF64(m.f(b))),
    READS,
  ),
  ...commonRows(double),
  // Double-Precision Floating-Point Conversion and Move Instructions
  insn(
    'fcvt.s.d',
    '0100000 00001 aaaaa rrr ddddd 1010011',
    (m, { a, d, r }) => {
      const x = double.get(m, a);
      const host = () => {
        const value = m.let(apply(op.F32_DEMOTE, x));
        return { value, right: isSafe(value) };
      };
      const exact = (rounding: typeof x) => single.fromBits(m.call(soft.narrow, bitsF64(x), rounding));
      single.set(m, d, rounded(m, r, host, exact));
    },
    ROUNDS,
  ),
  insn(
    'fcvt.d.s',
    '0100001 00000 aaaaa rrr ddddd 1010011',
    (m, { a, d, r }) => {
      roundingMode(m, r); // must be a mode, though the result is exact
      const x = single.get(m, a);
      const exact = () => fromBitsF64(m.call(soft.widen, single.bits(x)));
      double.set(m, d, orElse(m, apply(op.F64_PROMOTE, x), isNumber(single, x), exact));
    },
    ROUNDS,
  ),
  insn('fmv.x.d', '1110001 00000 aaaaa 000 ddddd 1010011', (m, { a, d }) => m.setX(d, bitsF64(m.f(a))), READS),
  insn('fmv.d.x', '1111001 00000 aaaaa 000 ddddd 1010011', (m, { a, d }) => m.setF(d, fromBitsF64(m.x(a))), WRITES),
]);
