/**
 * The arithmetic flags, lazily: an instruction leaves what it did (`ccOp`) and
 * up to three operands (`ccA`, `ccB`, `ccC`); a flag is worked out when it is
 * asked for, from an expression that costs one comparison where `ccOp` is known
 * when code is translated.
 *
 * Spec: SDM volume 1, "EFLAGS Register", "Status Flags"; appendix "EFLAGS
 * Cross-Reference". Flags that the SDM leaves undefined have the values that
 * follow from the formulas below.
 */
import { type Code, define, type IrFunction, pure } from '../../ir/code.ts';
import {
  and,
  and32,
  eq,
  eq32,
  eqz,
  eqz32,
  extendU,
  i32,
  i64,
  isValue,
  leS,
  leS32,
  leU,
  leU32,
  ltS,
  ltS32,
  ltU,
  ltU32,
  mul,
  ne,
  ne32,
  or,
  or32,
  popcnt32,
  shl,
  shl32,
  shrS,
  shrU,
  shrU32,
  sub,
  sub32,
  type Value,
  wrap,
  xor,
  xor32,
} from '../../ir/value.ts';
import { mulHighS } from './multiply.ts';
import { Eflags } from './state.ts';

/** Operand size as rows use it, in bits. */
export type Size = 8 | 16 | 32 | 64;

/**
 * What the operands mean. R is the result, L and S what an operation had on its left and right.
 *
 *   flags     A: the arithmetic flags at their places
 *   add, adc  A: R, B: S, C: the carry that came in
 *   sub, sbb  A: L, B: S, C: the borrow that came in
 *   logic     A: R; CF = OF = 0
 *   inc, dec  A: R, B: CF as it was, 0 or 1
 *   shl       A: R, B: L shifted by one less: CF is its top bit
 *   sar       A: R, B: L shifted by one less: CF is its bit 0 (SHR as well)
 *   mul       A: R, B: not zero when CF = OF = 1
 *   imul      A: L, B: S, of 64 bits: CF = OF = 1 when the signed product needs more
 *   bit       A: R for ZF, SF, PF; B: CF, 0 or 1; OF = 0
 *
 * Only the bits of the operand size count, but for a `B` that is a flag.
 */
export const KINDS = [
  'flags',
  'add',
  'adc',
  'sub',
  'sbb',
  'logic',
  'inc',
  'dec',
  'shl',
  'sar',
  'mul',
  'bit',
  'imul',
] as const;
export type Kind = (typeof KINDS)[number];

const SIZES: readonly Size[] = [8, 16, 32, 64];
/** The number that stands in `ccOp`. */
export const ccOp = (kind: Kind, size: Size = 8): number => KINDS.indexOf(kind) * 4 + SIZES.indexOf(size);
export const kindOf = (op: number): Kind => KINDS[op >> 2];
export const sizeOf = (op: number): Size => SIZES[op & 3];

/** Values that are compared at the top of a word, where signed and unsigned order are the machine's. */
interface Width {
  /** Moves an operand to the top. */
  top(x: Value): Value;
  and(x: Value, y: Value): Value;
  xor(x: Value, y: Value): Value;
  sub(x: Value, y: Value): Value;
  eq(x: Value, y: Value): Value;
  ltU(x: Value, y: Value): Value;
  leU(x: Value, y: Value): Value;
  ltS(x: Value, y: Value): Value;
  leS(x: Value, y: Value): Value;
  readonly zero: Value;
  /** The least number, and the greatest. */
  readonly min: Value;
  readonly max: Value;
}

function narrow(size: 8 | 16 | 32): Width {
  const shift = 32 - size;
  return {
    top: (x) => shl32(wrap(x), shift),
    and: and32,
    xor: xor32,
    sub: sub32,
    eq: eq32,
    ltU: ltU32,
    leU: leU32,
    ltS: ltS32,
    leS: leS32,
    zero: i32(0),
    min: i32(-0x8000_0000),
    max: i32(0x7fff_ffff & (-1 << shift)),
  };
}

function wide(shift: Value): Width {
  return {
    top: (x) => shl(x, shift),
    and,
    xor,
    sub,
    eq,
    ltU,
    leU,
    ltS,
    leS,
    zero: i64(0),
    min: i64(-(1n << 63n)),
    max: shl(shrU(i64((1n << 63n) - 1n), shift), shift),
  };
}

/** The operands of the flags as they stand. */
export interface Operands {
  readonly a: Value;
  readonly b: Value;
  readonly c: Value;
}

/** The eight conditions without their negations, in the order of their codes. */
export const CONDITIONS = ['o', 'b', 'z', 'be', 's', 'p', 'l', 'le'] as const;
export type Condition = (typeof CONDITIONS)[number];
/** All that can be asked for: the conditions and AF. */
export type Question = Condition | 'af';

/** What `question` is after an operation of `kind`: i32, 0 or not 0 (1 unless it is a masked flag). */
function answer(code: Code, question: Question, kind: Kind, w: Width, { a, b, c }: Operands): Value {
  if (kind === 'flags') return flagsAnswer(question, a);
  const A = () => w.top(a);
  const B = () => w.top(b);
  const resultLow = (): Value =>
    kind === 'sub' ? sub(a, b) : kind === 'sbb' ? sub(sub(a, b), c) : kind === 'imul' ? mul(a, b) : a;
  const R = () => w.top(resultLow());
  const left = (): Value => (kind === 'add' ? sub(a, b) : kind === 'adc' ? sub(sub(a, b), c) : a);
  const negative = (x: Value) => w.ltS(x, w.zero);
  const ask = (other: Question) => answer(code, other, kind, w, { a, b, c });
  switch (question) {
    case 'b':
      switch (kind) {
        case 'add':
        case 'sub':
          return w.ltU(A(), B());
        case 'adc':
        case 'sbb':
          return or32(w.ltU(A(), B()), and32(wrap(c), w.eq(A(), B())));
        case 'logic':
          return i32(0);
        case 'shl':
          return negative(B());
        case 'sar':
          return wrap(and(b, 1));
        case 'mul':
          return ne(b, 0);
        case 'imul':
          return ne(code.call(mulHighS, a, b), shrS(mul(a, b), 63));
        default:
          return wrap(b);
      }
    case 'z':
      return kind === 'sub' ? w.eq(A(), B()) : w.eq(R(), w.zero);
    case 's':
      return negative(R());
    case 'p':
      return parity(resultLow());
    case 'o':
      switch (kind) {
        case 'add':
        case 'adc': {
          const l = w.top(left());
          return negative(w.and(w.xor(l, A()), w.xor(B(), A())));
        }
        case 'sub':
        case 'sbb':
          return negative(w.and(w.xor(A(), B()), w.xor(A(), R())));
        case 'inc':
          return w.eq(A(), w.min);
        case 'dec':
          return w.eq(A(), w.max);
        case 'shl':
        case 'sar':
          return negative(w.xor(A(), B()));
        case 'mul':
          return ne(b, 0);
        case 'imul':
          return ask('b');
        default:
          return i32(0);
      }
    case 'af':
      switch (kind) {
        case 'add':
        case 'adc':
        case 'sub':
        case 'sbb':
          return wrap(and(shrU(xor(xor(left(), b), resultLow()), 4), 1));
        case 'inc':
          return eqz(and(a, 15));
        case 'dec':
          return eq(and(a, 15), 15);
        default:
          return i32(0);
      }
    case 'be':
      if (kind === 'sub') return w.leU(A(), B());
      if (kind === 'logic') return ask('z');
      return or32(ask('b'), ask('z'));
    case 'l':
      if (kind === 'sub') return w.ltS(A(), B());
      if (kind === 'logic' || kind === 'bit') return negative(A());
      return xor32(ask('s'), ask('o'));
    case 'le':
      if (kind === 'sub') return w.leS(A(), B());
      if (kind === 'logic' || kind === 'bit') return w.leS(A(), w.zero);
      return or32(ask('z'), xor32(ask('s'), ask('o')));
  }
}

const bitOf = (image: Value, shift: number) => wrap(and(shrU(image, shift), 1));

function flagsAnswer(question: Question, image: Value): Value {
  const less = () => xor32(bitOf(image, 7), bitOf(image, 11));
  switch (question) {
    case 'o':
      return bitOf(image, 11);
    case 'b':
      return bitOf(image, 0);
    case 'z':
      return bitOf(image, 6);
    case 'be':
      return or32(bitOf(image, 0), bitOf(image, 6));
    case 's':
      return bitOf(image, 7);
    case 'p':
      return bitOf(image, 2);
    case 'af':
      return bitOf(image, 4);
    case 'l':
      return less();
    case 'le':
      return or32(bitOf(image, 6), less());
  }
}

/** PF: whether the low byte has an even number of ones. */
const parity = (x: Value): Value => xor32(and32(popcnt32(and32(wrap(x), 0xff)), 1), 1);

/** ask_…(op, a, b, c): the same where `ccOp` is known only when the guest runs. */
const ASK = new Map<Question, IrFunction>(
  ([...CONDITIONS, 'af'] as const).map((question) => [
    question,
    define(`ask_${question}`, ['i32', 'i64', 'i64', 'i64'], 'i32', (f, op, a, b, c) => {
      const kind = f.let(shrU32(op, 2));
      // With all sizes at the top of 64 bits only the kinds are left to be told apart.
      const shift = f.let(extendU(sub32(i32(64), shl32(i32(8), and32(op, 3)))));
      const w = wide(shift);
      for (const name of ORDER)
        f.if(eq32(kind, KINDS.indexOf(name)), () => f.return(answer(f, question, name, w, { a, b, c })));
      f.return(i32(0));
    }),
  ]),
);
/** By how often they are asked about. */
const ORDER: readonly Kind[] = [
  'sub',
  'logic',
  'add',
  'flags',
  'bit',
  'dec',
  'inc',
  'sar',
  'shl',
  'adc',
  'sbb',
  'imul',
  'mul',
];

/** A flag or condition, i32: 0 or 1. `op` is a number where it is known now. */
export function ask(code: Code, question: Question, op: number | Value, operands: Operands): Value {
  if (typeof op !== 'number') {
    const { a, b, c } = operands;
    const call = () => code.call(ASK.get(question) as IrFunction, op, a, b, c);
    if (question !== 'b') return call();
    // INC and DEC keep what a comparison said, again and again in many a loop.
    const flag = code.var(i32(0));
    code.if(
      eq32(op, ccOp('sub', 32)),
      () => flag.set(ltU32(wrap(a), wrap(b))),
      () => flag.set(call()),
    );
    return flag.value;
  }
  const size = sizeOf(op);
  return answer(code, question, kindOf(op), size === 64 ? wide(i64(0)) : narrow(size), operands);
}

/** The four bits of a condition code, i32: even codes are CONDITIONS, odd ones their opposites. */
export function condition(code: Code, cc: number, op: number | Value, operands: Operands): Value {
  const yes = ask(code, CONDITIONS[cc >> 1], op, operands);
  return cc & 1 ? eqz32(yes) : yes;
}

const PLACES: readonly (readonly [Question, number])[] = [
  ['b', 0],
  ['p', 2],
  ['af', 4],
  ['z', 6],
  ['s', 7],
  ['o', 11],
];

/** flags_image(op, a, b, c): the arithmetic flags at their places in EFLAGS. */
export const flagsImage = define('flags_image', ['i32', 'i64', 'i64', 'i64'], 'i64', (f, op, a, b, c) => {
  const kind = f.let(shrU32(op, 2));
  f.if(eq32(kind, KINDS.indexOf('flags')), () => f.return(and(a, Eflags.arithmetic)));
  const w = wide(f.let(extendU(sub32(i32(64), shl32(i32(8), and32(op, 3))))));
  for (const name of ORDER.filter((other) => other !== 'flags'))
    f.if(eq32(kind, KINDS.indexOf(name)), () => {
      let image: Value = i64(0);
      for (const [question, place] of PLACES)
        image = or(image, shl(extendU(answer(f, question, name, w, { a, b, c })), place));
      f.return(image);
    });
  f.return(i64(0));
});

/** The arithmetic flags at their places in EFLAGS, i64. `inLoops`: for an instruction that small loops are made of. */
export function image(code: Code, op: number | Value, operands: Operands, inLoops = false): Value {
  const { a, b, c } = operands;
  if (typeof op !== 'number') {
    if (!inLoops) return code.call(flagsImage, op, a, b, c);
    // What is not known where a loop begins was a comparison, mostly; a call here would cost all registers there.
    const flags = code.var(i64(0));
    const compared = ccOp('sub', 32);
    code.ifSeldom(
      ne32(op, compared),
      () => flags.set(code.call(flagsImage, op, a, b, c)),
      () => flags.set(image(code, compared, operands)),
    );
    return flags.value;
  }
  const kind = kindOf(op);
  if (kind === 'flags') return and(a, Eflags.arithmetic);
  if (kind === 'imul') return code.call(flagsImage, i32(op), a, b, c);
  // In line and without calls: where nobody asks, nothing is left of it in compiled code.
  let flags: Value = i64(0);
  for (const [question, place] of PLACES) {
    const bit = ask(code, question, op, operands);
    if (!isValue(bit, 0)) flags = or(flags, shl(extendU(bit), place));
  }
  return flags;
}

/** The result that ZF, SF and PF of an operation speak of; only its operand size counts. Undefined for `flags`. */
export function resultOf(op: number, { a, b, c }: Operands): Value | undefined {
  const kind = kindOf(op);
  if (kind === 'flags') return undefined;
  return kind === 'sub' ? sub(a, b) : kind === 'sbb' ? sub(sub(a, b), c) : kind === 'imul' ? mul(a, b) : a;
}

/** Moves a 0-or-1 flag (i32) to a bit of an image. */
export const flagAt = (flag: Value, mask: number): Value => shl(extendU(flag), 31 - Math.clz32(mask));

/** The functions that rows call where `ccOp` is not known when code is translated. */
export const flagFunctions: readonly IrFunction[] = [...ASK.values(), flagsImage].map(pure);
