/**
 * Floating-point arithmetic, logic, comparisons and shuffles of SSE to SSE4.1
 * and their AVX forms.
 *
 * Spec: SDM volume 2, the pages of the mnemonics; volume 1, "Programming with
 * Intel Streaming SIMD Extensions", 12.3 "SSE3 Instructions", 12.10 "SSE4.1".
 *
 * Departure: of 256 bits the lower half is done first; where that raises an
 * exception that is not masked, the flags of the upper half are not set.
 */
import { extendU } from '../../../ir/value.ts';
import { shuffleLanes } from '../../../ir/vector.ts';
import type { X86Insn } from '../insn.ts';
import type { Row } from '../opcode.ts';
import * as arithmetic from '../simd/arithmetic.ts';
import type { FloatOperation } from '../simd/float.ts';
import { double, type Precision, single } from '../simd/format.ts';
import * as shuffle from '../simd/shuffle.ts';
import { simdFault, sse } from '../sse-unit.ts';
import { imm8, isVex, vector } from '../vector-operand.ts';
import {
  first,
  type FloatTwo,
  float1,
  float2,
  map1,
  map2,
  map2Imm,
  packed,
  scalar,
  scalarMap,
  type Semantics,
  type Two,
} from './vector-forms.ts';

/** The four kinds that an opcode has by its prefix. */
const PACKED = [
  { prefix: 'NP', p: single, suffix: 'ps', feature: 'sse' },
  { prefix: '66', p: double, suffix: 'pd', feature: 'sse2' },
] as const;
const SCALAR = [
  { prefix: 'F3', p: single, suffix: 'ss', feature: 'sse' },
  { prefix: 'F2', p: double, suffix: 'sd', feature: 'sse2' },
] as const;
const bits = (p: Precision): string => (p === single ? 'ss' : 'sd');

const inPacked = (name: string, code: string, operation: (p: Precision) => Semantics, operands = 'Vx Hx Wx'): Row[] =>
  PACKED.flatMap(({ prefix, p, suffix, feature }) =>
    packed(`${name}${suffix}`, `${prefix} 0F ${code} /r`, operands, operation(p), feature, 'avx'),
  );
const inScalar = (name: string, code: string, operation: (p: Precision) => Semantics): Row[] =>
  SCALAR.flatMap(({ prefix, p, suffix, feature }) =>
    scalar(`${name}${suffix}`, `${prefix} 0F ${code} /r`, `Vdq Hdq W${bits(p)}`, operation(p), feature),
  );

const arithmeticRows = (name: FloatOperation, code: string): Row[] => [
  ...inPacked(name, code, (p) => float2((m, a, b, fault) => sse.packed(m, p, name, a, b, fault))),
  ...inScalar(name, code, (p) => scalarMap((m, a, b, fault) => sse.scalar(m, p, name, a, b, fault))),
];

const approximateRows = (name: 'rcp' | 'rsqrt', code: string): Row[] => [
  ...packed(
    `${name}ps`,
    `NP 0F ${code} /r`,
    'Vx Wx',
    map1((m, a) => sse.approximate(m, name, a)),
    'sse',
    'avx',
  ),
  ...scalar(
    `${name}ss`,
    `F3 0F ${code} /r`,
    'Vdq Hdq Wss',
    scalarMap((m, a, b) => shuffleLanes(4, a, m.let(sse.approximate(m, name, b)), [4, 1, 2, 3])),
    'sse',
  ),
];

const logicRows = (name: string, code: string, operation: Two): Row[] => inPacked(name, code, () => map2(operation));

/** Eight predicates, 32 with VEX. */
const predicate = (m: X86Insn): number => imm8(m, first(m) + 2) & (isVex(m) ? 31 : 7);
const compareRows = (): Row[] => [
  ...PACKED.flatMap(({ prefix, p, suffix, feature }) =>
    packed(
      `cmp${suffix}`,
      `${prefix} 0F C2 /r`,
      'Vx Hx Wx Ib',
      float2((m, a, b, fault) => sse.compare(m, p, a, b, predicate(m), fault)),
      feature,
      'avx',
    ),
  ),
  ...SCALAR.flatMap(({ prefix, p, suffix, feature }) =>
    scalar(
      `cmp${suffix}`,
      `${prefix} 0F C2 /r`,
      `Vdq Hdq W${bits(p)} Ib`,
      scalarMap((m, a, b, fault) => sse.compareScalar(m, p, a, b, predicate(m), fault)),
      feature,
    ),
  ),
];
const order =
  (p: Precision, signals: boolean): Semantics =>
  (m) => {
    const a = vector(m, 0);
    m.setFlags(extendU(sse.order(m, p, a, vector(m, 1), signals, simdFault(m))));
  };
const orderRows = (): Row[] =>
  PACKED.flatMap(({ prefix, p, feature }) =>
    [false, true].flatMap((signals) =>
      scalar(
        `${signals ? '' : 'u'}comi${p === single ? 'ss' : 'sd'}`,
        `${prefix} 0F ${signals ? '2F' : '2E'} /r`,
        `Vdq W${bits(p)}`,
        order(p, signals),
        feature,
      ),
    ),
  );

/** Round to an integer, SSE4.1. */
const roundRows = (): Row[] => [
  ...[single, double].flatMap((p, n) =>
    packed(
      `round${p.name}`,
      `66 0F 3A 0${8 + n} /r`,
      'Vx Wx Ib',
      float1((m, a, fault) => sse.round(m, p, a, imm8(m, 2), fault)),
      'sse4.1',
      'avx',
    ),
  ),
  ...[single, double].flatMap((p, n) =>
    scalar(
      `round${bits(p)}`,
      `66 0F 3A 0${'AB'[n]} /r`,
      `Vdq Hdq W${bits(p)} Ib`,
      scalarMap((m, a, b, fault) => sse.roundScalar(m, p, a, b, imm8(m, first(m) + 2), fault)),
      'sse4.1',
    ),
  ),
];

/** SSE3: 66 for double precision, F2 for single. */
const sse3 = (name: string, code: string, operation: (p: Precision) => FloatTwo): Row[] =>
  [
    { prefix: 'F2', p: single },
    { prefix: '66', p: double },
  ].flatMap(({ prefix, p }) =>
    packed(`${name}${p.name}`, `${prefix} 0F ${code} /r`, 'Vx Hx Wx', float2(operation(p)), 'pni', 'avx'),
  );

const dotProduct = (p: Precision): Semantics =>
  float2((m, a, b, fault) => sse.dotProduct(m, p, a, b, imm8(m, first(m) + 2), fault));

export const sseFloat = (): readonly Row[] => [
  ...arithmeticRows('add', '58'),
  ...arithmeticRows('mul', '59'),
  ...arithmeticRows('sub', '5C'),
  ...arithmeticRows('min', '5D'),
  ...arithmeticRows('div', '5E'),
  ...arithmeticRows('max', '5F'),
  ...inPacked('sqrt', '51', (p) => float1((m, a, fault) => sse.packedSqrt(m, p, a, fault)), 'Vx Wx'),
  ...inScalar('sqrt', '51', (p) => scalarMap((m, a, b, fault) => sse.scalar(m, p, 'sqrt', a, b, fault))),
  ...approximateRows('rsqrt', '52'),
  ...approximateRows('rcp', '53'),
  ...logicRows('and', '54', arithmetic.pand),
  ...logicRows('andn', '55', arithmetic.pandn),
  ...logicRows('or', '56', arithmetic.por),
  ...logicRows('xor', '57', arithmetic.pxor),
  ...compareRows(),
  ...orderRows(),
  ...packed('unpcklps', 'NP 0F 14 /r', 'Vx Hx Wx', map2(shuffle.punpckldq), 'sse', 'avx'),
  ...packed('unpckhps', 'NP 0F 15 /r', 'Vx Hx Wx', map2(shuffle.punpckhdq), 'sse', 'avx'),
  ...packed('unpcklpd', '66 0F 14 /r', 'Vx Hx Wx', map2(shuffle.punpcklqdq), 'sse2', 'avx'),
  ...packed('unpckhpd', '66 0F 15 /r', 'Vx Hx Wx', map2(shuffle.punpckhqdq), 'sse2', 'avx'),
  ...packed('shufps', 'NP 0F C6 /r', 'Vx Hx Wx Ib', map2Imm(shuffle.shufps), 'sse', 'avx'),
  ...packed('shufpd', '66 0F C6 /r', 'Vx Hx Wx Ib', map2Imm(shuffle.shufpd, 2), 'sse2', 'avx'),
  ...sse3('hadd', '7C', (p) => (m, a, b, fault) => sse.horizontal(m, p, 'add', a, b, fault)),
  ...sse3('hsub', '7D', (p) => (m, a, b, fault) => sse.horizontal(m, p, 'sub', a, b, fault)),
  ...sse3('addsub', 'D0', (p) => (m, a, b, fault) => sse.addsub(m, p, a, b, fault)),
  ...roundRows(),
  ...packed('dpps', '66 0F 3A 40 /r', 'Vx Hx Wx Ib', dotProduct(single), 'sse4.1', 'avx'),
  ...packed('dppd', '66 0F 3A 41 /r', 'Vx Hx Wx Ib', dotProduct(double), 'sse4.1'),
];
