/**
 * What AVX and AVX2 brought beside wider forms: broadcasts, permutations,
 * halves, variable shifts, tests of signs.
 *
 * Spec: SDM volume 2, the pages of the mnemonics; volume 1, 14.2 "Functional
 * Overview" of AVX, 14.6 "Overview of AVX2".
 */
import type { Row } from '../opcode.ts';
import * as A from '../simd/arithmetic.ts';
import type { Wide } from '../simd/operation.ts';
import * as P from '../simd/permute.ts';
import * as shift from '../simd/shift.ts';
import * as S from '../simd/shuffle.ts';
import { imm8, isWide, setVector, setWide, vector, wide } from '../vector-operand.ts';
import { testRows } from './sse4.ts';
import { both, map1Imm, map2, map2Imm, type Semantics, vex } from './vector-forms.ts';

/** The lowest lane of a register or memory to all. */
const broadcast =
  (size: 1 | 2 | 4 | 8): Semantics =>
  (m) => {
    const all = m.let(S.broadcast(size)(m, vector(m, 1)));
    if (isWide(m)) setWide(m, 0, { low: all, high: all });
    else setVector(m, 0, all);
  };
const broadcastHalf: Semantics = (m) => {
  const both = vector(m, 1);
  setWide(m, 0, { low: both, high: both });
};

const across = (operation: (a: Wide, b: Wide, m: Parameters<Semantics>[0]) => Wide): Semantics => {
  return (m) => {
    const a = wide(m, 1);
    setWide(m, 0, operation(a, wide(m, 2), m));
  };
};
const permuteHalves = across((a, b, m) => P.vperm2x128(m, a, b, imm8(m, 3)));
/** Operand 1 chooses lanes of operand 2. */
const permuteLanes = across((control, x, m) => P.vpermd(m, control, x));
const permuteQuadwords: Semantics = (m) => setWide(m, 0, P.vpermq(m, wide(m, 1), imm8(m, 2)));
const insertHalf: Semantics = (m) => {
  const a = wide(m, 1);
  setWide(m, 0, P.vinsertx128(a, vector(m, 2), imm8(m, 3)));
};
const extractHalf: Semantics = (m) => setVector(m, 0, P.vextractx128(wide(m, 1), imm8(m, 2)));

/** One of 256 bits only. */
const wideRow = (name: string, text: string, operands: string, semantics: Semantics, w: 'W0' | 'W1', feature = 'avx') =>
  vex(name, `66 ${text}`, `VEX.256.${w}`, operands, semantics, { feature });

export const avx = (): readonly Row[] => [
  ...both('broadcastss', '66 0F 38 18 /r mem', 'Vx Md', broadcast(4), 'avx', '.W0'),
  ...both('broadcastss', '66 0F 38 18 /r reg', 'Vx Ud', broadcast(4), 'avx2', '.W0'),
  wideRow('broadcastsd', '0F 38 19 /r mem', 'Vqq Mq', broadcast(8), 'W0'),
  wideRow('broadcastsd', '0F 38 19 /r reg', 'Vqq Uq', broadcast(8), 'W0', 'avx2'),
  wideRow('broadcastf128', '0F 38 1A /r mem', 'Vqq Mdq', broadcastHalf, 'W0'),
  wideRow('broadcasti128', '0F 38 5A /r mem', 'Vqq Mdq', broadcastHalf, 'W0', 'avx2'),
  ...both('pbroadcastb', '66 0F 38 78 /r', 'Vx Wb', broadcast(1), 'avx2', '.W0'),
  ...both('pbroadcastw', '66 0F 38 79 /r', 'Vx Ww', broadcast(2), 'avx2', '.W0'),
  ...both('pbroadcastd', '66 0F 38 58 /r', 'Vx Wd', broadcast(4), 'avx2', '.W0'),
  ...both('pbroadcastq', '66 0F 38 59 /r', 'Vx Wq', broadcast(8), 'avx2', '.W0'),
  wideRow('perm2f128', '0F 3A 06 /r', 'Vqq Hqq Wqq Ib', permuteHalves, 'W0'),
  wideRow('perm2i128', '0F 3A 46 /r', 'Vqq Hqq Wqq Ib', permuteHalves, 'W0', 'avx2'),
  wideRow('insertf128', '0F 3A 18 /r', 'Vqq Hqq Wdq Ib', insertHalf, 'W0'),
  wideRow('inserti128', '0F 3A 38 /r', 'Vqq Hqq Wdq Ib', insertHalf, 'W0', 'avx2'),
  wideRow('extractf128', '0F 3A 19 /r', 'Wdq Vqq Ib', extractHalf, 'W0'),
  wideRow('extracti128', '0F 3A 39 /r', 'Wdq Vqq Ib', extractHalf, 'W0', 'avx2'),
  wideRow('permps', '0F 38 16 /r', 'Vqq Hqq Wqq', permuteLanes, 'W0', 'avx2'),
  wideRow('permd', '0F 38 36 /r', 'Vqq Hqq Wqq', permuteLanes, 'W0', 'avx2'),
  wideRow('permq', '0F 3A 00 /r', 'Vqq Wqq Ib', permuteQuadwords, 'W1', 'avx2'),
  wideRow('permpd', '0F 3A 01 /r', 'Vqq Wqq Ib', permuteQuadwords, 'W1', 'avx2'),
  ...both('permilps', '66 0F 38 0C /r', 'Vx Hx Wx', map2(P.vpermilps), 'avx', '.W0'),
  ...both('permilpd', '66 0F 38 0D /r', 'Vx Hx Wx', map2(P.vpermilpd), 'avx', '.W0'),
  ...both('permilps', '66 0F 3A 04 /r', 'Vx Wx Ib', map1Imm(P.vpermilpsImm), 'avx', '.W0'),
  ...both('permilpd', '66 0F 3A 05 /r', 'Vx Wx Ib', map1Imm(P.vpermilpdImm, 2), 'avx', '.W0'),
  ...both('testps', '66 0F 38 0E /r', 'Vx Wx', testRows(A.vtestpsZero, A.vtestpsCarry), 'avx', '.W0'),
  ...both('testpd', '66 0F 38 0F /r', 'Vx Wx', testRows(A.vtestpdZero, A.vtestpdCarry), 'avx', '.W0'),
  ...both('pblendd', '66 0F 3A 02 /r', 'Vx Hx Wx Ib', map2Imm(S.blendps, 4), 'avx2', '.W0'),
  ...both('psrlvd', '66 0F 38 45 /r', 'Vx Hx Wx', map2(shift.vpsrlvd), 'avx2', '.W0'),
  ...both('psrlvq', '66 0F 38 45 /r', 'Vx Hx Wx', map2(shift.vpsrlvq), 'avx2', '.W1'),
  ...both('psravd', '66 0F 38 46 /r', 'Vx Hx Wx', map2(shift.vpsravd), 'avx2', '.W0'),
  ...both('psllvd', '66 0F 38 47 /r', 'Vx Hx Wx', map2(shift.vpsllvd), 'avx2', '.W0'),
  ...both('psllvq', '66 0F 38 47 /r', 'Vx Hx Wx', map2(shift.vpsllvq), 'avx2', '.W1'),
];
