/**
 * All floating-point operations of SSE and AVX of one CPU state: approximations,
 * half precision and multiply-add beside what the other files have.
 *
 * Spec: Intel SDM volume 2, RCPPS, RSQRTPS, VCVTPH2PS, VCVTPS2PH, VFMADDxxx.
 *
 * Departure: RCPx and RSQRTx give full precision where processors give 12 bits,
 * each model others (they promise a relative error of 1.5 * 2^-12 at most).
 */
import { type Code, define, type IrFunction } from '../../../ir/code.ts';
import {
  add32,
  i64,
  and32,
  clz32,
  eq32,
  eqz32,
  geS32,
  gtS32,
  gtU32,
  i32,
  ltS32,
  ltU32,
  ne32,
  or32,
  select,
  shl32,
  shrU32,
  sub32,
  type Value,
  wrap,
  xor,
} from '../../../ir/value.ts';
import { every, f32x4, i16x8, i32x4, v128, zero } from '../../../ir/vector.ts';
import { Rounding } from '../../softfloat/format.ts';
import { SseConvert } from './float-convert.ts';
import { denormalLanes, type Precision, single } from './format.ts';
import { type Fault, isDenormal, Mxcsr, widened } from './mxcsr.ts';
import { range } from './operation.ts';

const MODES = [Rounding.RNE, Rounding.RDN, Rounding.RUP, Rounding.RTZ] as const;
/** What a multiply-add does with signs: of the product, of the addend. */
export interface FmaSigns {
  readonly product: boolean;
  readonly addend: boolean;
}

export class Sse extends SseConvert {
  /** RCPPS, RSQRTPS. No flags; denormal numbers are zeros both ways. */
  approximate(code: Code, name: 'rcp' | 'rsqrt', a: Value): Value {
    return code.call(name === 'rcp' ? reciprocal : reciprocalRoot, a);
  }

  /** VCVTPH2PS: the four low words. */
  fromHalf(code: Code, a: Value, fault: Fault): Value {
    const name = 'sse_from_half';
    const f = this.once(name, () =>
      this.control.instruction(name, ['v128'], 'v128', (inner, x) =>
        range(4).reduce(
          (all, n) => i32x4.replaceLane(all, n, inner.call(this.halfLane(), i16x8.extractLaneU(x, n))),
          zero,
        ),
      ),
    );
    const result = code.let(code.call(f, a));
    this.control.check(code, fault);
    return result;
  }
  private halfLane(): IrFunction {
    const name = 'sse_lane_from_half';
    return this.once(name, () =>
      define(name, ['i32'], 'i32', (code, half) => {
        const sign = code.let(shl32(and32(half, 0x8000), 16));
        const magnitude = code.let(and32(half, 0x7fff));
        code.if(geS32(magnitude, 0x7c00), () => {
          const signalling = and32(gtS32(magnitude, 0x7c00), eqz32(and32(magnitude, 0x200)));
          code.if(signalling, () => this.control.raise(code, Mxcsr.ie));
          const quiet = select(gtS32(magnitude, 0x7c00), i32(0x7fc0_0000), i32(0x7f80_0000));
          code.return(or32(or32(sign, quiet), shl32(and32(magnitude, 0x3ff), 13)));
        });
        code.if(and32(ltS32(magnitude, 0x400), ne32(magnitude, 0)), () => {
          // The leading one at bit k stands for 2^(k - 24).
          const k = code.let(sub32(31, clz32(magnitude)));
          const fraction = and32(shl32(magnitude, sub32(23, k)), 0x7f_ffff);
          code.return(or32(or32(sign, shl32(add32(k, 127 - 24), 23)), fraction));
        });
        const moved = shl32(magnitude, 13);
        code.return(or32(sign, select(magnitude, add32(moved, (127 - 15) << 23), i32(0))));
      }),
    );
  }

  /** VCVTPS2PH: into the four low words, the others 0. Rounding by `imm`: bit 2 for MXCSR's mode. */
  toHalf(code: Code, a: Value, imm: number, fault: Fault): Value {
    const name = `sse_to_half_${imm & 7}`;
    const f = this.once(name, () =>
      this.control.instruction(name, ['v128'], 'v128', (inner, x) => {
        const rounding = inner.let(imm & 4 ? this.control.rounding() : i32(MODES[imm & 3]));
        return range(4).reduce(
          (all, n) => i16x8.replaceLane(all, n, inner.call(this.toHalfLane(), i32x4.extractLane(x, n), rounding)),
          zero,
        );
      }),
    );
    const result = code.let(code.call(f, a));
    this.control.check(code, fault);
    return result;
  }
  /** (binary32 bits, rounding mode) -> binary16 bits. FTZ does not count here, DAZ does. */
  private toHalfLane(): IrFunction {
    const name = 'sse_lane_to_half';
    return this.once(name, () =>
      define(name, ['i32', 'i32'], 'i32', (code, bits, rounding) => {
        const { control } = this;
        const x = code.let(wrap(control.flushed(code, single.format, widened(code, bits))));
        const sign = code.let(shrU32(and32(x, 0x8000_0000), 16));
        const magnitude = code.let(and32(x, 0x7fff_ffff));
        code.if(gtU32(magnitude, 0x7f80_0000), () => {
          code.if(eqz32(and32(magnitude, 0x40_0000)), () => control.raise(code, Mxcsr.ie));
          code.return(or32(or32(sign, 0x7e00), and32(shrU32(magnitude, 13), 0x3ff)));
        });
        code.if(eq32(magnitude, 0x7f80_0000), () => code.return(or32(sign, 0x7c00)));
        code.if(eqz32(magnitude), () => code.return(sign));
        code.if(ltU32(magnitude, 0x80_0000), () => control.raise(code, Mxcsr.de));
        const exponent = code.let(select(shrU32(magnitude, 23), shrU32(magnitude, 23), i32(1)));
        const significand = code.let(
          or32(and32(magnitude, 0x7f_ffff), select(shrU32(magnitude, 23), i32(0x80_0000), i32(0))),
        );
        // How many bits go: 13 of a normal result, more of a denormal one; beyond 25 all are below the half.
        const wanted = code.let(sub32(113 + 13, exponent));
        const less = select(gtS32(wanted, 13), wanted, i32(13));
        const drop = code.let(select(gtS32(less, 25), i32(25), less));
        const up = (count: Value, value: Value): Value => {
          const half = shl32(i32(1), sub32(count, 1));
          const mask = sub32(shl32(i32(1), count), 1);
          const odd = and32(shrU32(value, count), 1);
          const nearest = add32(sub32(half, 1), odd);
          const directed = select(eq32(rounding, sub32(Rounding.RUP, shrU32(sign, 15))), mask, i32(0));
          return add32(value, select(eqz32(rounding), nearest, directed));
        };
        const rounded = code.let(shrU32(up(drop, significand), drop));
        const lost = code.let(ne32(and32(significand, sub32(shl32(i32(1), drop), 1)), 0));
        // A leading one, and a carry, count on the exponent.
        const normal = code.let(gtS32(exponent, 112));
        const result = code.let(select(normal, add32(shl32(sub32(exponent, 113), 10), rounded), rounded));
        code.if(geS32(result, 0x7c00), () => {
          // Unmasked, the result is inexact only where more than its exponent is lost.
          code.if(or32(lost, and32(control.get(), Mxcsr.om)), () => control.raise(code, Mxcsr.pe));
          control.raise(code, Mxcsr.oe);
          const away = or32(eqz32(rounding), eq32(rounding, sub32(Rounding.RUP, shrU32(sign, 15))));
          code.return(or32(sign, select(away, i32(0x7c00), i32(0x7bff))));
        });
        // Tiny, if it would be with as many bits as a normal number has.
        const tiny = and32(eqz32(normal), or32(ne32(exponent, 112), ltU32(up(i32(13), significand), 0x100_0000)));
        const unmasked = eqz32(and32(control.get(), Mxcsr.um));
        const trapped = code.let(and32(tiny, unmasked));
        code.if(and32(tiny, or32(lost, unmasked)), () => control.raise(code, Mxcsr.ue));
        const whole = shl32(significand, sub32(clz32(significand), 8));
        const beyond = ne32(and32(whole, 0x1fff), 0);
        code.if(select(trapped, beyond, lost), () => control.raise(code, Mxcsr.pe));
        code.return(or32(sign, result));
      }),
    );
  }

  /** A lane of a multiply-add: (bits, bits, bits) -> bits of x * y + z with their signs. */
  private fmaLane(p: Precision, signs: FmaSigns): IrFunction {
    const name = `sse_lane_fma_${p.name}_${signs.product ? 'n' : 'p'}${signs.addend ? 'n' : 'p'}`;
    return this.once(name, () =>
      define(name, [p.type, p.type, p.type], p.type, (code, ...given) => {
        const { control } = this;
        const f = p.format;
        const x = given.map((bits) => control.flushed(code, f, widened(code, bits)));
        const some = (question: (bits: Value) => Value): Value =>
          code.let(x.map(question).reduce((a, b) => or32(a, b)));
        const denormal = some((bits) => isDenormal(f, bits));
        const nan = some((bits) => f.isNan(bits));
        // A NaN keeps its sign.
        const turned = (bits: Value, turn: boolean): Value =>
          turn ? code.let(xor(bits, select(f.isNan(bits), i64(0), i64(f.sign)))) : bits;
        const operands = [turned(x[0], signs.product), x[1], turned(x[2], signs.addend)].map((bits) => f.narrow(bits));
        const { fma } = control.soft[p === single ? 'f32' : 'f64'];
        const rounding = code.let(control.rounding());
        code.return(control.lane(code, f, { denormal, nan }, () => code.call(fma, ...operands, rounding)));
      }),
    );
  }
  /** VFMADDxxx and its kin: x * y + z in each lane; `signs` by lanes in turn (VFMADDSUB). */
  fma(code: Code, p: Precision, x: Value, y: Value, z: Value, signs: readonly FmaSigns[], fault: Fault): Value {
    const key = signs.map(({ product, addend }) => (product ? 2 : 0) + (addend ? 1 : 0)).join('');
    const name = `sse_fma_${p.name}_${key}`;
    const f = this.once(name, () =>
      this.control.instruction(name, ['v128', 'v128', 'v128'], 'v128', (inner, ...v) =>
        range(p.lanes).reduce(
          (all, n) =>
            p.withBits(
              all,
              n,
              inner.call(this.fmaLane(p, signs[n % signs.length]), ...v.map((vector) => p.bits(vector, n))),
            ),
          v[0],
        ),
      ),
    );
    const result = code.let(code.call(f, x, y, z));
    this.control.check(code, fault);
    return result;
  }
  /** The scalar forms: lane 0, into lane 0 of `into`. */
  fmaScalar(
    code: Code,
    p: Precision,
    into: Value,
    [x, y, z]: readonly [Value, Value, Value],
    signs: FmaSigns,
    fault: Fault,
  ): Value {
    const name = `sse_fma_scalar_${p.name}_${signs.product}${signs.addend}`;
    const f = this.once(name, () =>
      this.control.instruction(name, [p.type, p.type, p.type], p.type, (inner, ...v) =>
        inner.call(this.fmaLane(p, signs), ...v),
      ),
    );
    const result = code.let(code.call(f, p.bits(x, 0), p.bits(y, 0), p.bits(z, 0)));
    this.control.check(code, fault);
    return p.withBits(into, 0, result);
  }
}

const ONE = every(32, 0x3f80_0000);
const SIGN = every(32, 0x8000_0000);
/** Denormal numbers become zeros of their sign. */
const withoutDenormals = (code: Code, x: Value): Value =>
  code.let(v128.andnot(x, v128.andnot(denormalLanes(single, x), SIGN)));
/** NaN operands stay, made quiet. */
const withNans = (x: Value, result: Value): Value =>
  v128.bitselect(result, v128.or(x, every(32, 0x40_0000)), f32x4.eq(x, x));
const reciprocal: IrFunction = define('rcpps', ['v128'], 'v128', (code, given) => {
  const x = withoutDenormals(code, given);
  code.return(withNans(x, withoutDenormals(code, code.let(f32x4.div(ONE, x)))));
});
const reciprocalRoot: IrFunction = define('rsqrtps', ['v128'], 'v128', (code, given) => {
  const x = withoutDenormals(code, given);
  const root = f32x4.div(ONE, f32x4.sqrt(x));
  const negative = f32x4.lt(x, zero);
  code.return(withNans(x, v128.bitselect(every(32, 0xffc0_0000), root, negative)));
});
