/**
 * The encodings that one vector operation has (legacy, VEX.128, VEX.256, MMX),
 * and semantics of the usual shapes.
 *
 * Spec: SDM volume 2, 2.3 "Intel Advanced Vector Extensions (Intel AVX)":
 * VEX instructions have a further source operand (VEX.vvvv), take memory
 * operands at any address and clear what lies above their result.
 */
import type { Value } from '../../../ir/value.ts';
import type { X86Insn } from '../insn.ts';
import { insn, type Row, type Traits } from '../opcode.ts';
import type { MmxBinary } from '../simd/mmx.ts';
import type { Fault } from '../simd/mxcsr.ts';
import { simdFault, sse } from '../sse-unit.ts';
import { imm8, isVex, isWide, mmx, setMmx, setVector, setWide, vector, wide, withMmx } from '../vector-operand.ts';

export type Semantics = (m: X86Insn) => void;

/** Where the first source stands: it is the destination too without VEX. */
export const first = (m: X86Insn): number => (isVex(m) ? 1 : 0);

const traitsOf = (operands: string, traits: Traits): Traits =>
  /\bIb\b/.test(operands) ? { immediate: 'constant', ...traits } : traits;

/** Legacy rows: `operands` without what VEX.vvvv names (H). */
export function legacy(name: string, text: string, operands: string, semantics: Semantics, traits: Traits): Row {
  const codes = operands.split(' ').filter((code) => code[0] !== 'H');
  return insn(name, text, codes.join(' '), semantics, traitsOf(operands, { gate: 'sse', ...traits }));
}
/** A VEX row: `text` as of the legacy one, `field` as `VEX.128` or `VEX.256.W0`; the name with a v before it. */
export function vex(
  name: string,
  text: string,
  field: string,
  operands: string,
  semantics: Semantics,
  traits: Traits = {},
): Row {
  const [prefix, ...rest] = text.split(' ');
  const full = [prefix, field, ...rest].join(' ');
  return insn(`v${name}`, full, operands, semantics, traitsOf(operands, { gate: 'avx', feature: 'avx', ...traits }));
}

/** Packed: legacy, VEX.128, and VEX.256 where a feature brings that. Operands as of VEX, sizes x. */
export function packed(
  name: string,
  text: string,
  operands: string,
  semantics: Semantics,
  feature: string,
  wideFeature?: 'avx' | 'avx2',
  traits: Traits = {},
): Row[] {
  const rows = [
    legacy(name, text, operands, semantics, { ...traits, feature }),
    vex(name, text, 'VEX.128', operands, semantics, traits),
  ];
  if (wideFeature) rows.push(vex(name, text, 'VEX.256', operands, semantics, { ...traits, feature: wideFeature }));
  return rows;
}
/** Scalar: legacy, and VEX of any length. */
export function scalar(
  name: string,
  text: string,
  operands: string,
  semantics: Semantics,
  feature: string,
  traits: Traits = {},
): Row[] {
  return [
    legacy(name, text, operands, semantics, { ...traits, feature }),
    vex(name, text, 'VEX', operands, semantics, traits),
  ];
}
/** VEX only, of both lengths. */
export function both(
  name: string,
  text: string,
  operands: string,
  semantics: Semantics,
  feature = 'avx',
  w: '' | '.W0' | '.W1' = '',
): Row[] {
  return ['VEX.128', 'VEX.256'].map((field) => vex(name, text, field + w, operands, semantics, { feature }));
}

// Semantics of vectors. Those of 256 bits do the same in either half.

/** An operation on 128 bits, as those of the folder simd are; `upper`: it is the upper half's turn. */
export type One = (m: X86Insn, a: Value, upper: boolean) => Value;
export type Two = (m: X86Insn, a: Value, b: Value, upper: boolean) => Value;
type OneImm = (m: X86Insn, a: Value, imm: number) => Value;
type TwoImm = (m: X86Insn, a: Value, b: Value, imm: number) => Value;

/** Of the operand behind the destination. */
export const map1 =
  (operation: One): Semantics =>
  (m) => {
    if (isWide(m)) {
      const a = wide(m, 1);
      const low = m.let(operation(m, a.low, false));
      setWide(m, 0, { low, high: operation(m, a.high, true) });
    } else setVector(m, 0, operation(m, vector(m, 1), false));
  };
/** Of two sources. */
export const map2 =
  (operation: Two): Semantics =>
  (m) => {
    const n = first(m);
    if (isWide(m)) {
      const a = wide(m, n);
      const b = wide(m, n + 1);
      const low = m.let(operation(m, a.low, b.low, false));
      setWide(m, 0, { low, high: operation(m, a.high, b.high, true) });
    } else {
      const a = vector(m, n);
      setVector(m, 0, operation(m, a, vector(m, n + 1), false));
    }
  };
// Floating point, with exceptions: the two halves of 256 bits are one operation.

/** The same with what raises an exception. */
export type FloatOne = (m: X86Insn, a: Value, fault: Fault, upper: boolean) => Value;
export type FloatTwo = (m: X86Insn, a: Value, b: Value, fault: Fault, upper: boolean) => Value;

export const float1 =
  (operation: FloatOne): Semantics =>
  (m) => {
    const fault = simdFault(m);
    if (isWide(m)) {
      const a = wide(m, 1);
      const half = (note: Fault, upper: boolean) => operation(m, upper ? a.high : a.low, note, upper);
      setWide(m, 0, sse.control.halves(m, half, fault));
    } else setVector(m, 0, operation(m, vector(m, 1), fault, false));
  };
export const float2 =
  (operation: FloatTwo): Semantics =>
  (m) => {
    const fault = simdFault(m);
    const n = first(m);
    if (isWide(m)) {
      const a = wide(m, n);
      const b = wide(m, n + 1);
      const half = (note: Fault, upper: boolean) =>
        upper ? operation(m, a.high, b.high, note, upper) : operation(m, a.low, b.low, note, upper);
      setWide(m, 0, sse.control.halves(m, half, fault));
    } else {
      const a = vector(m, n);
      setVector(m, 0, operation(m, a, vector(m, n + 1), fault, false));
    }
  };
/** Of two sources, of which lane 0 counts: whatever length VEX says. */
export const scalarMap =
  (operation: FloatTwo): Semantics =>
  (m) => {
    const n = first(m);
    const a = vector(m, n);
    setVector(m, 0, operation(m, a, vector(m, n + 1), simdFault(m), false));
  };

/**
 * With an immediate behind the source or sources. `step`: the upper half takes the bits above these many; where it is 0
 * both halves take the same.
 */
export const map1Imm = (operation: OneImm, step = 0): Semantics =>
  map1((m, a, upper) => operation(m, a, imm8(m, 2) >> (upper ? step : 0)));
export const map2Imm = (operation: TwoImm, step = 0): Semantics =>
  map2((m, a, b, upper) => operation(m, a, b, imm8(m, first(m) + 2) >> (upper ? step : 0)));

// MMX.

/** `op mm, mm/m64`. */
export function mmxRow(name: string, text: string, operation: MmxBinary, feature: string, operands = 'Pq Qq'): Row {
  const semantics = withMmx((m) => {
    const a = mmx(m, 0);
    setMmx(m, 0, operation(m, a, mmx(m, 1)));
  });
  return insn(name, text, operands, semantics, { gate: 'mmx', feature });
}

export const hex = (n: number): string => n.toString(16).toUpperCase().padStart(2, '0');
