/**
 * Fused multiply-add.
 *
 * Spec: SDM volume 1, 14.5 "Fused-Multiply-ADD (FMA) Extensions", with 14.5.1
 * "FMA Instruction Operand Order and Arithmetic Behavior"; volume 2, VFMADDxxx,
 * VFMADDSUBxxx, VFMSUBADDxxx, VFMSUBxxx, VFNMADDxxx, VFNMSUBxxx.
 */
import type { Value } from '../../../ir/value.ts';
import type { Row } from '../opcode.ts';
import { double, type Precision, single } from '../simd/format.ts';
import type { Fault } from '../simd/mxcsr.ts';
import type { FmaSigns } from '../simd/sse.ts';
import { simdFault, sse } from '../sse-unit.ts';
import { isWide, setVector, setWide, vector, wide } from '../vector-operand.ts';
import { hex, type Semantics, vex } from './vector-forms.ts';

const plus: FmaSigns = { product: false, addend: false };
const minus: FmaSigns = { product: false, addend: true };
const negated: FmaSigns = { product: true, addend: false };
const both: FmaSigns = { product: true, addend: true };

/** Low nibble of the opcode, and the signs of the lanes by turns. */
const PACKED = [
  { name: 'fmaddsub', code: 6, signs: [minus, plus] },
  { name: 'fmsubadd', code: 7, signs: [plus, minus] },
  { name: 'fmadd', code: 8, signs: [plus] },
  { name: 'fmsub', code: 10, signs: [minus] },
  { name: 'fnmadd', code: 12, signs: [negated] },
  { name: 'fnmsub', code: 14, signs: [both] },
] as const;
const SCALAR = PACKED.filter(({ code }) => code >= 8);

/** High nibble of the opcode; which operands are multiplied and which is added. */
const ORDERS = [
  { name: '132', code: 0x90, order: [0, 2, 1] },
  { name: '213', code: 0xa0, order: [1, 0, 2] },
  { name: '231', code: 0xb0, order: [1, 2, 0] },
] as const;

type Order = (typeof ORDERS)[number]['order'];
const arranged = (order: Order, operands: readonly Value[]): [Value, Value, Value] => [
  operands[order[0]],
  operands[order[1]],
  operands[order[2]],
];

const packed =
  (p: Precision, order: Order, signs: readonly FmaSigns[]): Semantics =>
  (m) => {
    const compute = (operands: readonly Value[], fault: Fault): Value =>
      m.let(sse.fma(m, p, ...arranged(order, operands), signs, fault));
    const fault = simdFault(m);
    if (!isWide(m)) {
      setVector(m, 0, compute([vector(m, 0), vector(m, 1), vector(m, 2)], fault));
      return;
    }
    const all = [wide(m, 0), wide(m, 1), wide(m, 2)];
    const half = (note: Fault, upper: boolean) =>
      compute(
        all.map((operand) => (upper ? operand.high : operand.low)),
        note,
      );
    setWide(m, 0, sse.control.halves(m, half, fault));
  };
const scalar =
  (p: Precision, order: Order, signs: FmaSigns): Semantics =>
  (m) => {
    const into = vector(m, 0);
    const operands = arranged(order, [into, vector(m, 1), vector(m, 2)]);
    setVector(m, 0, sse.fmaScalar(m, p, into, operands, signs, simdFault(m)));
  };

const PRECISIONS = [
  { p: single, w: 'W0', packed: 'ps', scalar: 'ss' },
  { p: double, w: 'W1', packed: 'pd', scalar: 'sd' },
] as const;
const feature = { feature: 'fma' };

export const fma = (): readonly Row[] =>
  ORDERS.flatMap((form) =>
    PRECISIONS.flatMap((kind) => [
      ...PACKED.flatMap(({ name, code, signs }) =>
        ['128', '256'].map((length) =>
          vex(
            `${name}${form.name}${kind.packed}`,
            `66 0F 38 ${hex(form.code + code)} /r`,
            `VEX.${length}.${kind.w}`,
            'Vx Hx Wx',
            packed(kind.p, form.order, signs),
            feature,
          ),
        ),
      ),
      ...SCALAR.map(({ name, code, signs }) =>
        vex(
          `${name}${form.name}${kind.scalar}`,
          `66 0F 38 ${hex(form.code + code + 1)} /r`,
          `VEX.${kind.w}`,
          `Vdq Hdq W${kind.scalar}`,
          scalar(kind.p, form.order, signs[0]),
          feature,
        ),
      ),
    ]),
  );
