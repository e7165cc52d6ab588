/** All rows, in the order in which the decoder asks them. */
import type { Row } from '../opcode.ts';
import { arithmetic } from './arithmetic.ts';
import { control } from './control.ts';
import { moves } from './move.ts';
import { shifts } from './shift.ts';
import { simdRows } from './simd.ts';
import { strings } from './string.ts';
import { systemRows } from './system.ts';
import { x87Rows } from './x87.ts';

let made: readonly Row[] | undefined;

/** Made when the first instruction is decoded: a guest that KVM runs may never have one decoded. */
export const rows = (): readonly Row[] =>
  (made ??= [
    ...arithmetic(),
    ...moves(),
    ...shifts(),
    ...control(),
    ...strings(),
    ...systemRows(),
    ...x87Rows(),
    ...simdRows(),
  ]);
