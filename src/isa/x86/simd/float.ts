/**
 * Arithmetic of packed and scalar floating-point numbers: ADDx, SUBx, MULx,
 * DIVx, SQRTx, MINx, MAXx, and what is made of them.
 *
 * Spec: Intel SDM volume 2; volume 1, table 4-7 "Rules for Handling NaNs",
 * 11.5.2 "SIMD Floating-Point Exception Conditions".
 *
 * The host computes where MXCSR is as nearly always (`isFast`) and the numbers
 * can have raised nothing but the inexact exception; else softfloat does, lane
 * by lane.
 */
import { type Code, define, type IrFunction } from '../../../ir/code.ts';
import { and32, apply, eqz32, or32, select, type Value } from '../../../ir/value.ts';
import { constant128, shuffleLanes, v128, zero } from '../../../ir/vector.ts';
import {
  denormalLanes,
  isDenormalNumber,
  isPlainNumber,
  isSafeNumber,
  isZeroNumber,
  plainLanes,
  type Precision,
  safeLanes,
  single,
  zeroLanes,
} from './format.ts';
import { Control, type Fault, isDenormal, Mxcsr, type SseState, widened } from './mxcsr.ts';
import { range } from './operation.ts';

export type Arithmetic = 'add' | 'sub' | 'mul' | 'div';
export type Extremum = 'min' | 'max';
export type FloatOperation = Arithmetic | Extremum | 'sqrt';

export class SseFloat {
  readonly control: Control;
  private readonly functions = new Map<string, IrFunction>();

  constructor(state: SseState) {
    this.control = new Control(state);
  }

  /** A function that is made once. */
  protected once(name: string, make: () => IrFunction): IrFunction {
    const known = this.functions.get(name) ?? make();
    this.functions.set(name, known);
    return known;
  }

  /** One lane by softfloat: bits to bits. SQRT has one operand. */
  private lane(p: Precision, name: FloatOperation): IrFunction {
    return this.once(`sse_lane_${name}_${p.name}`, () => {
      const { control } = this;
      const { format: f } = p;
      const params = name === 'sqrt' ? [p.type] : [p.type, p.type];
      return define(`sse_lane_${name}_${p.name}`, params, p.type, (code, ...given) => {
        const x = given.map((bits) => control.flushed(code, f, widened(code, bits)));
        const some = (question: (x: Value) => Value): Value => code.let(x.map(question).reduce((a, b) => or32(a, b)));
        const denormal = some((bits) => isDenormal(f, bits));
        const nan = some((bits) => f.isNan(bits));
        const bits = x.map((value) => code.let(f.narrow(value)));
        if (name === 'min' || name === 'max') {
          // The second operand wins where there is no order.
          code.if(nan, () => {
            control.raise(code, Mxcsr.ie);
            code.return(bits[1]);
          });
          code.if(denormal, () => control.raise(code, Mxcsr.de));
          const [a, b] = bits.map(p.fromBits);
          code.return(select(apply(p.compare[name === 'min' ? 'lt' : 'gt'], a, b), bits[0], bits[1]));
          return;
        }
        const soft = control.soft[f.bits === 32 ? 'f32' : 'f64'][name];
        const rounding = code.let(control.rounding());
        code.return(control.lane(code, f, { denormal, nan }, () => code.call(soft, ...bits, rounding)));
      });
    });
  }

  /** All lanes by softfloat; `names` are the operations of the lanes by turns. */
  private exactPacked(p: Precision, ...names: FloatOperation[]): IrFunction {
    const name = `sse_${names.join('_')}_${p.name}`;
    return this.once(name, () => {
      const operands = names[0] === 'sqrt' ? 1 : 2;
      return this.control.instruction(name, new Array(operands).fill('v128'), 'v128', (code, ...x) =>
        range(p.lanes).reduce((result, n) => {
          const lane = this.lane(p, names[n % names.length]);
          return p.withBits(result, n, code.call(lane, ...x.map((vector) => p.bits(vector, n))));
        }, x[0]),
      );
    });
  }
  private exactScalar(p: Precision, name: FloatOperation): IrFunction {
    return this.once(`sse_${name}_scalar_${p.name}`, () => {
      const lane = this.lane(p, name);
      return this.control.instruction(`sse_${name}_scalar_${p.name}`, lane.params, p.type, (code, ...x) =>
        code.call(lane, ...x),
      );
    });
  }

  /** `value` where `right` (i32), else what `exact` gives, which may have raised exceptions. */
  protected orElse(code: Code, value: Value, right: Value, exact: () => Value, fault: Fault): Value {
    const result = code.var(value);
    code.if(eqz32(right), () => {
      result.set(exact());
      this.control.check(code, fault);
    });
    return result.value;
  }

  /** ADDPS, SUBPD and so on, 128 bits. */
  packed(code: Code, p: Precision, name: FloatOperation, a: Value, b: Value, fault: Fault): Value {
    const exact = () => code.call(this.exactPacked(p, name), a, b);
    if (name === 'min' || name === 'max') {
      // pmin and pmax take their first operand where there is no order.
      const value = name === 'min' ? p.shape.pmin(b, a) : p.shape.pmax(b, a);
      const right = p.allTrue(v128.and(plainLanes(p, a), plainLanes(p, b)));
      return this.orElse(code, value, right, exact, fault);
    }
    if (name === 'sqrt') throw new TypeError('a square root has one operand');
    const value = code.let(p.shape[name](a, b));
    return this.orElse(code, value, this.rightLanes(p, name, value, a, b), exact, fault);
  }
  private rightLanes(p: Precision, name: Arithmetic, value: Value, a: Value, b: Value): Value {
    const isZero = zeroLanes(p, value);
    // A product or quotient of 0 may have been lost to underflow.
    const exactZero = {
      add: () => isZero,
      sub: () => isZero,
      mul: () => v128.and(isZero, v128.or(zeroLanes(p, a), zeroLanes(p, b))),
      div: () => v128.and(isZero, zeroLanes(p, a)),
    }[name]();
    const denormal = v128.or(denormalLanes(p, a), denormalLanes(p, b));
    const right = v128.andnot(v128.or(safeLanes(p, value), exactZero), denormal);
    return and32(this.control.state.fast(), p.allTrue(right));
  }
  /** SQRTPS, SQRTPD. */
  packedSqrt(code: Code, p: Precision, a: Value, fault: Fault): Value {
    const value = code.let(p.shape.sqrt(a));
    const right = v128.andnot(v128.or(safeLanes(p, value), zeroLanes(p, a)), denormalLanes(p, a));
    const fast = and32(this.control.state.fast(), p.allTrue(right));
    return this.orElse(code, value, fast, () => code.call(this.exactPacked(p, 'sqrt'), a), fault);
  }
  /** ADDSS, SUBSD and so on: lane 0 of both; the other lanes are those of `a`. */
  scalar(code: Code, p: Precision, name: FloatOperation, a: Value, b: Value, fault: Fault): Value {
    const y = code.let(p.number(b));
    if (name === 'sqrt') {
      const value = code.let(apply(p.unary['sqrt'], y));
      const right = and32(
        or32(isSafeNumber(p, value), isZeroNumber(p, y)),
        and32(this.control.state.fast(), eqz32(isDenormalNumber(p, y))),
      );
      const exact = () => p.fromBits(code.call(this.exactScalar(p, name), p.toBits(y)));
      return p.withNumber(a, this.orElse(code, value, right, exact, fault));
    }
    const x = code.let(p.number(a));
    const exact = () => p.fromBits(code.call(this.exactScalar(p, name), p.toBits(x), p.toBits(y)));
    if (name === 'min' || name === 'max') {
      const value = select(apply(p.compare[name === 'min' ? 'lt' : 'gt'], x, y), x, y);
      const right = and32(isPlainNumber(p, x), isPlainNumber(p, y));
      return p.withNumber(a, this.orElse(code, value, right, exact, fault));
    }
    const value = code.let(apply(p.binary[name], x, y));
    const isZero = isZeroNumber(p, value);
    const exactZero = {
      add: () => isZero,
      sub: () => isZero,
      mul: () => and32(isZero, or32(isZeroNumber(p, x), isZeroNumber(p, y))),
      div: () => and32(isZero, isZeroNumber(p, x)),
    }[name]();
    const denormal = or32(isDenormalNumber(p, x), isDenormalNumber(p, y));
    const fast = and32(this.control.state.fast(), eqz32(denormal));
    const right = and32(fast, or32(isSafeNumber(p, value), exactZero));
    return p.withNumber(a, this.orElse(code, value, right, exact, fault));
  }

  /** ADDSUBPS, ADDSUBPD: even lanes are subtracted. */
  addsub(code: Code, p: Precision, a: Value, b: Value, fault: Fault): Value {
    const signs = v128.and(
      p.every(p.format.sign),
      lanesMask(p, (n) => n % 2 === 0),
    );
    const value = code.let(p.shape.add(a, v128.xor(b, signs)));
    const right = this.rightLanes(p, 'add', value, a, b);
    return this.orElse(code, value, right, () => code.call(this.exactPacked(p, 'sub', 'add'), a, b), fault);
  }
  /** HADDPS, HSUBPD and so on: neighbours of `a` below those of `b`. */
  horizontal(code: Code, p: Precision, name: 'add' | 'sub', a: Value, b: Value, fault: Fault): Value {
    const size = p === single ? 4 : 8;
    const lanes = (first: number): Value => code.let(shuffleLanes(size, a, b, range(p.lanes, first, 2)));
    return this.packed(code, p, name, lanes(0), lanes(1), fault);
  }
  /** DPPS, DPPD: products of the lanes in the upper half of `imm`, summed into those of the lower. */
  dotProduct(code: Code, p: Precision, a: Value, b: Value, imm: number, fault: Fault): Value {
    const mask = (bits: number): Value => lanesMask(p, (n) => ((bits >> n) & 1) !== 0);
    const chosen = mask(imm >> 4);
    const [x, y] = [a, b].map((v) => code.let(v128.and(v, chosen)));
    let sum = code.let(this.packed(code, p, 'mul', x, y, fault));
    const size = p === single ? 4 : 8;
    for (let width = p.lanes; width > 1; width /= 2) {
      // Lane n of the next sum: lanes 2n and 2n + 1; the lanes beyond are 0.
      const at = (first: number): Value =>
        code.let(
          shuffleLanes(
            size,
            sum,
            zero,
            range(p.lanes).map((n) => (n < width / 2 ? 2 * n + first : p.lanes)),
          ),
        );
      sum = code.let(this.packed(code, p, 'add', at(0), at(1), fault));
    }
    return v128.and(shuffleLanes(size, sum, sum, new Array<number>(p.lanes).fill(0)), mask(imm));
  }
}

/** A constant with all bits set of some lanes. */
export function lanesMask(p: Precision, isSet: (lane: number) => boolean): Value {
  const { bits } = p.format;
  const ones = (1n << BigInt(bits)) - 1n;
  return constant128(range(p.lanes).reduce((all, n) => (isSet(n) ? all | (ones << BigInt(n * bits)) : all), 0n));
}
