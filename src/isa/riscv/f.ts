/**
 * F, single-precision floating point, on RV64.
 *
 * Spec: RISC-V Unprivileged ISA 20240411, "F Extension for Single-Precision
 * Floating-Point". What D has alike is in float-rows.ts.
 */
import { add, bitsF64, sext32, wrap } from '../../ir/value.ts';
import { box, READS, single, WRITES } from './float.ts';
import { commonRows } from './float-rows.ts';
import { extension, type Instruction, insn } from './insn.ts';

export const rv64f: readonly Instruction[] = extension('f', [
  // Single-Precision Load and Store Instructions
  insn(
    'flw',
    '[11:0] aaaaa 010 ddddd 0000111',
    (m, { a, i, d }) => m.setF(d, box(wrap(m.load('u32', add(m.x(a), i))))),
    WRITES,
  ),
  insn(
    'fsw',
    '[11:5] bbbbb aaaaa 010 [4:0] 0100111',
    (m, { a, b, i }) => m.storeTo('i32', add(m.x(a), i), bitsF64(m.f(b))),
    READS,
  ),
  ...commonRows(single),
  // Moves take the low half as it is.
  insn('fmv.x.w', '1110000 00000 aaaaa 000 ddddd 1010011', (m, { a, d }) => m.setX(d, sext32(bitsF64(m.f(a)))), READS),
  insn('fmv.w.x', '1111000 00000 aaaaa 000 ddddd 1010011', (m, { a, d }) => m.setF(d, box(wrap(m.x(a)))), WRITES),
]);
