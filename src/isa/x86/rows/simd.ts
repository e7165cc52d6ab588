/** All rows of vector units, and of what came with them. */
import type { Row } from '../opcode.ts';
import { avx } from './avx.ts';
import { avxMemory } from './avx-memory.ts';
import { bmi } from './bmi.ts';
import { fma } from './fma.ts';
import { saveRows } from './save.ts';
import { sse4 } from './sse4.ts';
import { sseConvert } from './sse-convert.ts';
import { sseFloat } from './sse-float.ts';
import { sseInteger } from './sse-integer.ts';
import { sseMoves } from './sse-move.ts';

export const simdRows = (): readonly Row[] => [
  ...sseMoves(),
  ...sseInteger(),
  ...sseFloat(),
  ...sseConvert(),
  ...sse4(),
  ...avx(),
  ...avxMemory(),
  ...fma(),
  ...bmi(),
  ...saveRows(),
];
