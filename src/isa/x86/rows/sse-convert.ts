/**
 * Conversions between integers, single, double and half precision.
 *
 * Spec: SDM volume 2, CVTxx2yy, CVTTxx2yy, VCVTPH2PS, VCVTPS2PH; volume 1, 14.4
 * "Half-Precision Floating-Point Conversion".
 */
import { extendU, type Value, wrap } from '../../../ir/value.ts';
import { shuffleLanes } from '../../../ir/vector.ts';
import type { Row } from '../opcode.ts';
import { double, type Precision, single } from '../simd/format.ts';
import { low, widen } from '../simd/mmx.ts';
import type { Fault } from '../simd/mxcsr.ts';
import { simdFault, sse } from '../sse-unit.ts';
import {
  enterMmx,
  imm8,
  isWide,
  mmx,
  setMmx,
  setVector,
  setWide,
  storable,
  vector,
  wide,
  withMmx,
} from '../vector-operand.ts';
import { pendingX87 } from '../x87-unit.ts';
import {
  type FloatOne,
  first,
  float1,
  legacy,
  packed,
  scalar,
  scalarMap,
  type Semantics,
  vex,
} from './vector-forms.ts';

const SCALAR = [
  { prefix: 'F3', p: single, suffix: 'ss', feature: 'sse' },
  { prefix: 'F2', p: double, suffix: 'sd', feature: 'sse2' },
] as const;

const toInteger =
  (p: Precision, cut: boolean): Semantics =>
  (m) => {
    const size = m.size(0) === 64 ? 64 : 32;
    const result = sse.toInteger(m, p, vector(m, 1), size, cut, simdFault(m));
    m.set(0, size === 64 ? result : extendU(result));
  };
const fromInteger =
  (p: Precision): Semantics =>
  (m) => {
    const n = first(m);
    const a = vector(m, n);
    const integer = m.size(n + 1) === 64 ? m.get(n + 1) : wrap(m.get(n + 1));
    setVector(m, 0, sse.fromInteger(m, p, a, m.let(integer), simdFault(m)));
  };

const upperQuadword = (x: Value): Value => shuffleLanes(8, x, x, [1, 1]);
const joined = (low: Value, high: Value): Value => shuffleLanes(8, low, high, [0, 2]);
/** From the lower half of the source to a whole vector: 64 bits to 128, 128 to 256. */
const widening =
  (operation: FloatOne): Semantics =>
  (m) => {
    const a = vector(m, 1);
    const fault = simdFault(m);
    if (!isWide(m)) setVector(m, 0, operation(m, a, fault, false));
    else {
      const above = m.let(upperQuadword(a));
      const half = (note: Fault, upper: boolean) => operation(m, upper ? above : a, note, upper);
      setWide(m, 0, sse.control.halves(m, half, fault));
    }
  };
/** From a whole vector to half a one: 128 bits to 64, 256 to 128. */
const narrowing =
  (operation: FloatOne): Semantics =>
  (m) => {
    const fault = simdFault(m);
    // A store that faults has raised no exception.
    if (m.isMemory(0)) storable(m, 0);
    if (!isWide(m)) setVector(m, 0, operation(m, vector(m, 1), fault, false));
    else {
      const a = wide(m, 1);
      const half = (note: Fault, upper: boolean) => operation(m, upper ? a.high : a.low, note, upper);
      const { low, high } = sse.control.halves(m, half, fault);
      setVector(m, 0, joined(low, high));
    }
  };
const wideningRows = (name: string, text: string, operation: FloatOne): Row[] => [
  legacy(name, text, 'Vdq Wq', widening(operation), { feature: 'sse2' }),
  vex(name, text, 'VEX.128', 'Vdq Wq', widening(operation)),
  vex(name, text, 'VEX.256', 'Vqq Wdq', widening(operation)),
];
const narrowingRows = (name: string, text: string, operation: FloatOne): Row[] =>
  packed(name, text, 'Vdq Wx', narrowing(operation), 'sse2', 'avx');

const conversionRows = (): Row[] => [
  ...SCALAR.flatMap(({ prefix, p, suffix, feature }) => [
    ...scalar(`cvtsi2${suffix}`, `${prefix} 0F 2A /r`, 'Vdq Hdq Ey', fromInteger(p), feature),
    ...scalar(`cvtt${suffix}2si`, `${prefix} 0F 2C /r`, `Gy W${suffix}`, toInteger(p, true), feature),
    ...scalar(`cvt${suffix}2si`, `${prefix} 0F 2D /r`, `Gy W${suffix}`, toInteger(p, false), feature),
    ...scalar(
      p === single ? 'cvtss2sd' : 'cvtsd2ss',
      `${prefix} 0F 5A /r`,
      `Vdq Hdq W${suffix}`,
      scalarMap((m, a, b, fault) => sse.toOtherScalar(m, p, a, b, fault)),
      'sse2',
    ),
  ]),
  ...wideningRows('cvtps2pd', 'NP 0F 5A /r', (m, a, fault) => sse.toOther(m, single, a, fault)),
  ...narrowingRows('cvtpd2ps', '66 0F 5A /r', (m, a, fault) => sse.toOther(m, double, a, fault)),
  ...wideningRows('cvtdq2pd', 'F3 0F E6 /r', (_, a) => sse.fromIntegersToDouble(a)),
  ...narrowingRows('cvtpd2dq', 'F2 0F E6 /r', (m, a, fault) => sse.toIntegers(m, double, a, false, fault)),
  ...narrowingRows('cvttpd2dq', '66 0F E6 /r', (m, a, fault) => sse.toIntegers(m, double, a, true, fault)),
  ...packed(
    'cvtdq2ps',
    'NP 0F 5B /r',
    'Vx Wx',
    float1((m, a, fault) => sse.fromIntegers(m, a, fault)),
    'sse2',
    'avx',
  ),
  ...[
    { name: 'cvtps2dq', prefix: '66', cut: false },
    { name: 'cvttps2dq', prefix: 'F3', cut: true },
  ].flatMap(({ name, prefix, cut }) =>
    packed(
      name,
      `${prefix} 0F 5B /r`,
      'Vx Wx',
      float1((m, a, fault) => sse.toIntegers(m, single, a, cut, fault)),
      'sse2',
      'avx',
    ),
  ),
];

// Conversions from and to MMX registers.

const fromMmx =
  (p: Precision): Semantics =>
  (m) => {
    // A memory operand leaves the x87 alone.
    const convert: Semantics = () => {
      const integers = m.let(widen(mmx(m, 1)));
      if (p === double) setVector(m, 0, sse.fromIntegersToDouble(integers));
      else {
        const numbers = m.let(sse.fromIntegers(m, integers, simdFault(m)));
        setVector(m, 0, shuffleLanes(8, vector(m, 0), numbers, [2, 1]));
      }
    };
    if (!m.isMemory(1)) {
      pendingX87(m);
      enterMmx(m);
    }
    convert(m);
  };
const toMmx = (p: Precision, cut: boolean): Semantics =>
  withMmx((m) => {
    const a = vector(m, 1);
    // Of four lanes the lower two count.
    const numbers = p === double ? a : m.let(widen(low(a)));
    // The x87's state has changed when an exception is raised.
    enterMmx(m);
    setMmx(m, 0, m.let(low(m.let(sse.toIntegers(m, p, numbers, cut, simdFault(m))))));
  });
const mmxRows = (): Row[] =>
  [
    { prefix: 'NP', p: single, suffix: 'ps', size: 'q', feature: 'sse' },
    { prefix: '66', p: double, suffix: 'pd', size: 'dq', feature: 'sse2' },
  ].flatMap(({ prefix, p, suffix, size, feature }) => [
    legacy(`cvtpi2${suffix}`, `${prefix} 0F 2A /r`, 'Vdq Qq', fromMmx(p), { feature }),
    legacy(`cvtt${suffix}2pi`, `${prefix} 0F 2C /r`, `Pq W${size}`, toMmx(p, true), { feature }),
    legacy(`cvt${suffix}2pi`, `${prefix} 0F 2D /r`, `Pq W${size}`, toMmx(p, false), { feature }),
  ]);

const toHalf = narrowing((m, a, fault) => sse.toHalf(m, a, imm8(m, 2), fault));
const fromHalf = widening((m, a, fault) => sse.fromHalf(m, a, fault));
const f16c = { feature: 'f16c' };
const halfPrecision = (): Row[] => [
  vex('cvtph2ps', '66 0F 38 13 /r', 'VEX.128.W0', 'Vdq Wq', fromHalf, f16c),
  vex('cvtph2ps', '66 0F 38 13 /r', 'VEX.256.W0', 'Vqq Wdq', fromHalf, f16c),
  vex('cvtps2ph', '66 0F 3A 1D /r', 'VEX.128.W0', 'Wq Vdq Ib', toHalf, f16c),
  vex('cvtps2ph', '66 0F 3A 1D /r', 'VEX.256.W0', 'Wdq Vqq Ib', toHalf, f16c),
];

export const sseConvert = (): readonly Row[] => [...conversionRows(), ...mmxRows(), ...halfPrecision()];
