/** The x87 FPU: all of its rows. */
import type { Row } from '../opcode.ts';
import { x87Arithmetic } from './x87-arithmetic.ts';
import { x87Control } from './x87-control.ts';
import { x87Functions } from './x87-function.ts';
import { x87Transfers } from './x87-transfer.ts';

export const x87Rows = (): readonly Row[] => [
  ...x87Arithmetic(),
  ...x87Transfers(),
  ...x87Functions(),
  ...x87Control(),
];
