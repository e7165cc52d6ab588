/**
 * Addition, subtraction, multiplication, division and square root as nearly
 * every execution has them: normal operands, rounding to nearest, the precision exception
 * masked, a normal result. All else goes to the functions of arithmetic.ts.
 *
 * Operands are registers, or one of them is a number in memory given by its
 * bits: the same, without a round trip through a register.
 */
import { type Code, define, type IrFunction } from '../../../ir/code.ts';
import {
  add,
  add32,
  and,
  and32,
  clz,
  eq32,
  eqz,
  eqz32,
  extendU,
  i32,
  i64,
  ltS,
  ltS32,
  ltU,
  mul,
  ne,
  or,
  or32,
  select,
  shl,
  shl32,
  shrU,
  shrU32,
  sub,
  sub32,
  type Value,
  wrap,
  xor32,
} from '../../../ir/value.ts';
import { F32, F64, type Format } from '../../softfloat/format.ts';
import { makeDivSlow, makeMulSlow, makeSqrtSlow, makeSumSlow, quotientOf, rootOf } from './arithmetic.ts';
import { widen } from './convert.ts';
import { type Core, within } from './core.ts';
import { BIAS, INTEGER_BIT, isNormal, type Parts, PC, read, signOf, STATUS, TOP_EXPONENT, write } from './format.ts';
import { multiplyHigh } from './wide.ts';

const MIN = INTEGER_BIT;
/** Where a number from memory goes when it has to be a register. */
const WIDENED = 80;

/** The precision exception masked, to nearest: bits of the control word. */
const PLAIN_MASK = 0xc20;
const PLAIN = 0x20;
/** Room for a carry or a shift. */
const roomy = (exponent: Value): Value => within(exponent, 70, TOP_EXPONENT - 70);

class Plain {
  private readonly core: Core;
  /** (dst, sign in place, exponent, head i64, tail i64) -> 1: rounds to 53 or 24 bits. */
  private readonly narrow: IrFunction;
  private readonly slowSum: IrFunction;
  private readonly slowMul: IrFunction;
  private readonly slowDiv: IrFunction;

  constructor(core: Core) {
    this.core = core;
    this.slowSum = makeSumSlow(core);
    this.slowMul = makeMulSlow(core);
    this.slowDiv = makeDivSlow(core);
    const params = ['i32', 'i32', 'i32', 'i64', 'i64'] as const;
    this.narrow = define('x87_narrow', params, 'i32', (code, dst, sign, exponent, head, tail) => {
      const drop = code.let(select(eq32(core.precision, PC.double), i64(11), i64(40)));
      const rest = code.let(or(shl(head, sub(64, drop)), extendU(ne(tail, 0))));
      this.round(code, dst, sign, exponent, code.let(shrU(head, drop)), rest, drop);
    });
  }

  /** Rounds to nearest and writes; `head` lacks the bits below its last, `drop` (i64) of them. */
  private round(code: Code, dst: Value, sign: Value, exponent: Value, head: Value, tail: Value, drop: Value): void {
    const { core } = this;
    const up = code.let(and32(ltS(tail, 0), or32(ne(tail, MIN), wrap(and(head, 1)))));
    const sum = code.let(shl(add(head, extendU(up)), drop));
    const carry = code.let(eqz(sum));
    const status = and32(core.status, ~STATUS.C1);
    core.setStatus(code, or32(status, or32(shl32(ne(tail, 0), 5), shl32(up, 9))));
    write(code, dst, or32(sign, add32(exponent, carry)), or(sum, shl(extendU(carry), 63)));
    code.return(i32(1));
  }

  private finish(code: Code, dst: Value, sign: Value, exponent: Value, head: Value, tail: Value): void {
    // 1, which is reserved, is 64 bits too.
    code.if(eqz32(and32(this.core.control, 0x100)), () => {
      code.return(code.call(this.narrow, dst, sign, exponent, head, tail));
    });
    this.round(code, dst, sign, exponent, head, tail, i64(0));
  }

  private when(code: Code, flags: Value, normal: Value, body: () => void): void {
    const plain = eq32(or32(and32(this.core.control, PLAIN_MASK), flags), PLAIN);
    code.if(and32(plain, normal), body);
  }

  private sum(code: Code, dst: Value, a: Parts, b: Parts, negate: Value): void {
    const swap = code.let(
      or32(ltS32(a.exponent, b.exponent), and32(eq32(a.exponent, b.exponent), ltU(a.significand, b.significand))),
    );
    const large = code.let(select(swap, b.significand, a.significand));
    const small = code.let(select(swap, a.significand, b.significand));
    const exponent = code.let(select(swap, b.exponent, a.exponent));
    const by = code.let(sub32(exponent, select(swap, a.exponent, b.exponent)));
    const signB = xor32(b.se, negate);
    const sign = code.let(and32(select(swap, signB, a.se), 0x8000));
    code.if(and32(roomy(exponent), ltS32(by, 64)), () => {
      const count = code.let(extendU(by));
      const shifted = code.let(shrU(small, count));
      // Shift counts are modulo 64; in two steps, 64 leaves nothing.
      const rest = code.let(shl(shl(small, 1), sub(63, count)));
      code.if(
        and32(xor32(a.se, signB), 0x8000),
        () => {
          const head = code.let(sub(sub(large, shifted), extendU(ne(rest, 0))));
          const tail = code.let(sub(0, rest));
          code.if(ne(head, 0), () => {
            const shift = code.let(clz(head));
            const moved = code.let(or(shl(head, shift), shrU(shrU(tail, 1), sub(63, shift))));
            this.finish(code, dst, sign, sub32(exponent, wrap(shift)), moved, code.let(shl(tail, shift)));
          });
        },
        () => {
          const sum = code.let(add(large, shifted));
          const carry = code.let(ltU(sum, large));
          const one = code.let(extendU(carry));
          const head = code.let(or(shrU(sum, one), shl(one, 63)));
          const lost = and(and(rest, one), 1);
          const tail = code.let(or(or(shrU(rest, one), shl(and(sum, one), 63)), lost));
          this.finish(code, dst, sign, add32(exponent, carry), head, tail);
        },
      );
    });
  }

  private product(code: Code, dst: Value, a: Parts, b: Parts): void {
    const exponent = code.let(add32(add32(a.exponent, b.exponent), 1 - BIAS));
    code.if(roomy(exponent), () => {
      const high = multiplyHigh(code, a.significand, b.significand);
      const low = code.let(mul(a.significand, b.significand));
      const short = code.let(shrU(sub(-1, high), 63));
      const head = code.let(or(shl(high, short), and(shrU(low, 63), short)));
      const sign = and32(xor32(a.se, b.se), 0x8000);
      this.finish(code, dst, sign, sub32(exponent, wrap(short)), head, code.let(shl(low, short)));
    });
  }

  private quotient(code: Code, dst: Value, a: Parts, b: Parts): void {
    const exponent = code.let(add32(sub32(a.exponent, b.exponent), BIAS));
    code.if(roomy(exponent), () => {
      const { head, tail, less } = quotientOf(code, a.significand, b.significand);
      const sign = and32(xor32(a.se, b.se), 0x8000);
      this.finish(code, dst, sign, sub32(exponent, less), head, tail);
    });
  }

  private compute(kind: Kind, code: Code, dst: Value, a: Parts, b: Parts): void {
    if (kind === 'mul') this.product(code, dst, a, b);
    else if (kind === 'div') this.quotient(code, dst, a, b);
    else this.sum(code, dst, a, b, i32(kind === 'sub' ? 0x8000 : 0));
  }
  private otherwise(kind: Kind, code: Code, dst: Value, a: Value, b: Value, flags: Value): void {
    if (kind === 'mul') code.return(code.call(this.slowMul, dst, a, b, flags));
    else if (kind === 'div') code.return(code.call(this.slowDiv, dst, a, b, flags));
    else code.return(code.call(this.slowSum, dst, a, b, flags, i32(kind === 'sub' ? 0x8000 : 0)));
  }

  registers(kind: Kind): IrFunction {
    return define(`x87_${kind}`, ['i32', 'i32', 'i32', 'i32'], 'i32', (code, dst, pa, pb, flags) => {
      const a = read(code, pa);
      const b = read(code, pb);
      this.when(code, flags, and32(isNormal(a), isNormal(b)), () => this.compute(kind, code, dst, a, b));
      this.otherwise(kind, code, dst, pa, pb, flags);
    });
  }

  memory(kind: Kind, f: Format, order: 'forward' | 'reverse'): IrFunction {
    const name = `x87_${kind}${order === 'reverse' ? 'r' : ''}_${f.name}`;
    const forward = order === 'forward';
    return define(name, ['i32', 'i32', f.type], 'i32', (code, dst, pa, given) => {
      const a = read(code, pa);
      const bits = code.let(f.widen(given));
      const field = code.let(and32(wrap(shrU(bits, f.fraction)), f.top));
      const exponent = code.let(add32(field, BIAS - f.bias));
      const significand = code.let(or(shl(bits, 63 - f.fraction), MIN));
      const b = { significand, se: code.let(or32(shl32(f.signOf(bits), 15), exponent)), exponent };
      this.when(code, i32(0), and32(isNormal(a), within(field, 1, f.top - 1)), () =>
        this.compute(kind, code, dst, forward ? a : b, forward ? b : a),
      );
      const pb = code.let(this.core.scratch(WIDENED));
      const flags = code.call(f.bits === 64 ? widen.f64 : widen.f32, pb, given);
      this.otherwise(kind, code, dst, forward ? pa : pb, forward ? pb : pa, flags);
    });
  }

  sqrt(): IrFunction {
    const slow = makeSqrtSlow(this.core);
    return define('x87_sqrt', ['i32', 'i32'], 'i32', (code, dst, pa) => {
      const a = read(code, pa);
      this.when(code, signOf(a), isNormal(a), () => {
        const { head, tail } = rootOf(code, a.significand, code.let(and32(a.exponent, 1)));
        this.finish(code, dst, i32(0), shrU32(add32(a.exponent, BIAS), 1), head, tail);
      });
      code.return(code.call(slow, dst, pa));
    });
  }
}

type Kind = 'add' | 'sub' | 'mul' | 'div';

/** With a number in memory: (dst, a, bits) -> delivered. */
export interface MemoryArithmetic {
  readonly add: IrFunction;
  /** a - memory, a / memory */
  readonly sub: IrFunction;
  readonly mul: IrFunction;
  readonly div: IrFunction;
  /** memory - a, memory / a */
  readonly subr: IrFunction;
  readonly divr: IrFunction;
}

export interface Arithmetic {
  /** (dst, a, b, flags) -> delivered; flags are 0, or what reading an operand from memory gave */
  readonly add: IrFunction;
  /** a - b */
  readonly sub: IrFunction;
  readonly mul: IrFunction;
  /** a / b */
  readonly div: IrFunction;
  /** (dst, a) -> delivered */
  readonly sqrt: IrFunction;
  readonly f32: MemoryArithmetic;
  readonly f64: MemoryArithmetic;
}

export function makeArithmetic(core: Core): Arithmetic {
  const plain = new Plain(core);
  const memory = (f: Format): MemoryArithmetic => ({
    add: plain.memory('add', f, 'forward'),
    sub: plain.memory('sub', f, 'forward'),
    mul: plain.memory('mul', f, 'forward'),
    div: plain.memory('div', f, 'forward'),
    subr: plain.memory('sub', f, 'reverse'),
    divr: plain.memory('div', f, 'reverse'),
  });
  return {
    add: plain.registers('add'),
    sub: plain.registers('sub'),
    mul: plain.registers('mul'),
    div: plain.registers('div'),
    sqrt: plain.sqrt(),
    f32: memory(F32),
    f64: memory(F64),
  };
}
