/**
 * SSE4.2's comparisons of strings.
 *
 * Spec: Intel SDM volume 1, "SSE4.2 String and Text Instructions"; volume 2,
 * 4.1 "Imm8 Control Byte Operation", PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM.
 */
import { type Code, define, type IrFunction } from '../../../ir/code.ts';
import {
  and32,
  clz32,
  ctz32,
  eqz32,
  extendS,
  gtU,
  i32,
  i64,
  ltS,
  ltS32,
  ne32,
  or32,
  select,
  sub,
  sub32,
  type Value,
  wrap,
} from '../../../ir/value.ts';
import { bytes, i8x16, i16x8, i32x4, ones, shuffleLanes, v128, zero } from '../../../ir/vector.ts';
import { range } from './operation.ts';

/** Fields of the immediate. */
const isWords = (imm: number): boolean => (imm & 1) !== 0;
const isSigned = (imm: number): boolean => (imm & 2) !== 0;
const Aggregation = { equalAny: 0, ranges: 1, equalEach: 2, equalOrdered: 3 } as const;

const countOf = (imm: number): number => (isWords(imm) ? 8 : 16);
const shapeOf = (imm: number) => (isWords(imm) ? i16x8 : i8x16);
/** A constant of lanes. */
const lanesOf = (imm: number, list: readonly number[]): Value =>
  isWords(imm) ? bytes(...list.flatMap((x) => [x & 0xff, (x >> 8) & 0xff])) : bytes(...list);

/** The result after polarity as lanes of ones or zeros: (a, b, length of a, length of b) -> v128. */
function makeCompare(imm: number): IrFunction {
  const shape = shapeOf(imm);
  const count = countOf(imm);
  const size = isWords(imm) ? 2 : 1;
  return define(`string_compare_${imm & 0x3f}`, ['v128', 'v128', 'i32', 'i32'], 'v128', (code, a, b, la, lb) => {
    const numbers = lanesOf(imm, range(count));
    const validA = code.let(shape.ltU(numbers, shape.splat(la)));
    const validB = code.let(shape.ltU(numbers, shape.splat(lb)));
    const all = (x: Value, lane: number): Value => shuffleLanes(size, x, x, new Array<number>(count).fill(lane));
    const aggregate = (): Value => {
      switch ((imm >> 2) & 3) {
        case Aggregation.equalAny: {
          const terms = range(count).map((n) => v128.and(shape.eq(all(a, n), b), all(validA, n)));
          return v128.and(terms.reduce(v128.or), validB);
        }
        case Aggregation.ranges: {
          const atMost = isSigned(imm) ? shape.leS : shape.leU;
          const terms = range(count / 2, 0, 2).map((n) => {
            const within = v128.and(atMost(all(a, n), b), atMost(b, all(a, n + 1)));
            return v128.and(within, all(validA, n + 1));
          });
          return v128.and(terms.reduce(v128.or), validB);
        }
        case Aggregation.equalEach: {
          const same = v128.and(shape.eq(a, b), v128.and(validA, validB));
          return v128.or(same, v128.not(v128.or(validA, validB)));
        }
        default: {
          // Lane j: every valid a[i] equals a valid b[i + j], as far as there are lanes.
          const terms = range(count).map((n) => {
            const from = (x: Value): Value => shuffleLanes(size, x, zero, range(count, n));
            const same = v128.and(shape.eq(all(a, n), from(b)), from(validB));
            const beyond = lanesOf(
              imm,
              range(count).map((lane) => (lane + n < count ? 0 : 0xffff)),
            );
            return v128.or(v128.or(same, beyond), v128.not(all(validA, n)));
          });
          return terms.reduce(v128.and);
        }
      }
    };
    const result = aggregate();
    const polarity = (imm >> 4) & 3;
    code.return(polarity === 1 ? v128.xor(result, ones) : polarity === 3 ? v128.xor(result, validB) : result);
  });
}

const made = new Map<number, IrFunction>();
function compare(imm: number): IrFunction {
  const key = imm & 0x3f;
  const known = made.get(key) ?? makeCompare(key);
  made.set(key, known);
  return known;
}

/** The length of a string that ends at its first 0 lane (i32). */
export function implicitLength(imm: number, x: Value): Value {
  const shape = shapeOf(imm);
  return ctz32(or32(shape.bitmask(shape.eq(x, zero)), 1 << countOf(imm)));
}
/** An explicit length from EAX or EDX (i32), or RAX or RDX (i64): its magnitude, at most the count of lanes. */
export function explicitLength(code: Code, imm: number, register: Value): Value {
  const count = countOf(imm);
  const x = code.let(register.type === 'i32' ? extendS(register) : register);
  const magnitude = code.let(select(ltS(x, 0), sub(0, x), x));
  return wrap(select(gtU(magnitude, count), i64(count), magnitude));
}

/** What the four instructions have in common. */
export interface StringResult {
  /** The result as lanes of ones or zeros. */
  readonly lanes: Value;
  /** The same as bits (i32). */
  readonly bits: Value;
  /** i32, 0 or 1; AF and PF are 0. */
  readonly carry: Value;
  readonly zero: Value;
  readonly sign: Value;
  readonly overflow: Value;
}

/** Compares `a` with `b` of lengths (i32, locals) that `implicitLength` or `explicitLength` gave. */
export function compareStrings(code: Code, imm: number, a: Value, b: Value, la: Value, lb: Value): StringResult {
  const lanes = code.call(compare(imm), a, b, la, lb);
  const bits = code.let(shapeOf(imm).bitmask(lanes));
  const count = countOf(imm);
  return {
    lanes,
    bits,
    carry: ne32(bits, 0),
    zero: ltS32(lb, count),
    sign: ltS32(la, count),
    overflow: and32(bits, 1),
  };
}
/** ECX of PCMPxSTRI: the lowest or the highest set bit; the count of lanes where there is none. */
export function stringIndex(imm: number, { bits }: StringResult): Value {
  const count = countOf(imm);
  if ((imm & 0x40) === 0) return ctz32(or32(bits, 1 << count));
  return select(eqz32(bits), i32(count), sub32(31, clz32(bits)));
}
/** XMM0 of PCMPxSTRM: the lanes, or the bits. */
export function stringMask(imm: number, { lanes, bits }: StringResult): Value {
  return (imm & 0x40) !== 0 ? lanes : i32x4.replaceLane(zero, 0, bits);
}
