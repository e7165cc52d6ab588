/**
 * Conversions between integers and the two precisions, and rounding to integers.
 *
 * Spec: Intel SDM volume 2, CVTxx2yy, CVTTxx2yy, ROUNDxx; volume 1, 4.8.3.7 "QNaN Floating-Point
 * Indefinite", 4.2.2 (integer indefinite: the lowest integer, for what has none).
 */
import { type Code, define, type IrFunction } from '../../../ir/code.ts';
import * as op from '../../../ir/op.ts';
import { and32, apply, extendS, f32, f64, i32, i64, or32, type Value, wrap } from '../../../ir/value.ts';
import { every, f32x4, f64x2, i32x4, i64x2, shuffleLanes, v128, zero } from '../../../ir/vector.ts';
import { Rounding } from '../../softfloat/format.ts';
import { SseCompare } from './float-compare.ts';
import { double, isPlainNumber, isZeroNumber, plainLanes, type Precision, single, zeroLanes } from './format.ts';
import { type Fault, isDenormal, Mxcsr, widened } from './mxcsr.ts';
import { range } from './operation.ts';

/** A rounding mode of ROUNDxx: of its immediate, or `current` for MXCSR's. */
const MODES = [Rounding.RNE, Rounding.RDN, Rounding.RUP, Rounding.RTZ] as const;
const HOST_ROUNDING = ['nearest', 'floor', 'ceil', 'trunc'] as const;

export class SseConvert extends SseCompare {
  /** To an integer of 32 or 64 bits: (bits, rounding mode) -> i64. */
  private toIntegerLane(p: Precision, bits: 32 | 64): IrFunction {
    const name = `sse_lane_${p.name}_to_i${bits}`;
    return this.once(name, () =>
      define(name, [p.type, 'i32'], 'i64', (code, x, rounding) => {
        const flushed = this.control.flushed(code, p.format, widened(code, x));
        const { toInteger } = this.control.soft[p.type === 'i32' ? 'f32' : 'f64'];
        const half = 1n << BigInt(bits - 1);
        code.return(code.call(toInteger, p.format.narrow(flushed), rounding, i64(half - 1n), i64(half)));
      }),
    );
  }
  private roundingOf(cut: boolean): Value {
    return cut ? i32(Rounding.RTZ) : this.control.rounding();
  }

  /** CVTSS2SI, CVTTSD2SI and so on (`cut`: towards zero): i32 or i64 of lane 0. */
  toInteger(code: Code, p: Precision, a: Value, bits: 32 | 64, cut: boolean, fault: Fault): Value {
    const x = code.let(p.number(a));
    const whole = apply(p.unary[cut ? 'trunc' : 'nearest'], x);
    const limit = 2 ** (bits - 1) - (bits === 32 && p === double ? 1 : 0);
    const within = apply(p.compare['lt'], apply(p.unary['abs'], x), p === single ? f32(limit) : f64(limit));
    const convert =
      bits === 32
        ? p === single
          ? op.I32_TRUNC_SAT_F32_S
          : op.I32_TRUNC_SAT_F64_S
        : p === single
          ? op.I64_TRUNC_SAT_F32_S
          : op.I64_TRUNC_SAT_F64_S;
    const name = `sse_${p.name}_to_i${bits}${cut ? '_cut' : ''}`;
    const slow = this.once(name, () =>
      this.control.instruction(name, [p.type], bits === 32 ? 'i32' : 'i64', (inner, y) => {
        const result = inner.call(this.toIntegerLane(p, bits), y, this.roundingOf(cut));
        return bits === 32 ? wrap(result) : result;
      }),
    );
    const right = and32(this.control.state.fast(), within);
    return this.orElse(code, apply(convert, whole), right, () => code.call(slow, p.toBits(x)), fault);
  }

  /** CVTPS2DQ, CVTTPS2DQ; CVTPD2DQ, CVTTPD2DQ, whose two results stand below zeros. */
  toIntegers(code: Code, p: Precision, a: Value, cut: boolean, fault: Fault): Value {
    const whole = cut ? p.shape.trunc(a) : p.shape.nearest(a);
    const value = p === single ? i32x4.truncSatF32x4S(whole) : i32x4.truncSatF64x2SZero(whole);
    const limit = p === single ? every(32, 0x4f00_0000) : every(64, 0x41df_ffff_ffc0_0000n);
    const right = and32(this.control.state.fast(), p.allTrue(p.shape.lt(p.shape.abs(a), limit)));
    const name = `sse_${p.name}_to_integers${cut ? '_cut' : ''}`;
    const slow = this.once(name, () =>
      this.control.instruction(name, ['v128'], 'v128', (inner, x) =>
        range(p.lanes).reduce(
          (result, n) =>
            i32x4.replaceLane(
              result,
              n,
              wrap(inner.call(this.toIntegerLane(p, 32), p.bits(x, n), this.roundingOf(cut))),
            ),
          zero,
        ),
      ),
    );
    return this.orElse(code, value, right, () => code.call(slow, a), fault);
  }

  /** CVTDQ2PS. */
  fromIntegers(code: Code, a: Value, fault: Fault): Value {
    const slow = this.once('sse_integers_to_ps', () =>
      this.control.instruction('sse_integers_to_ps', ['v128'], 'v128', (inner, x) =>
        range(4).reduce((result, n) => {
          const lane = extendS(i32x4.extractLane(x, n));
          return i32x4.replaceLane(
            result,
            n,
            inner.call(this.control.soft.f32.fromSigned, lane, this.control.rounding()),
          );
        }, zero),
      ),
    );
    const exact = () => code.call(slow, a);
    return this.orElse(code, f32x4.convertI32x4S(a), this.control.state.fast(), exact, fault);
  }
  /** CVTDQ2PD: exact. */
  fromIntegersToDouble(a: Value): Value {
    return f64x2.convertLowI32x4S(a);
  }
  /** CVTSI2SS, CVTSI2SD: an i32 or i64 into lane 0 of `a`. */
  fromInteger(code: Code, p: Precision, a: Value, integer: Value, fault: Fault): Value {
    const wide = integer.type === 'i64';
    if (p === double && !wide) return p.withNumber(a, apply(op.F64_CONVERT_I32_S, integer));
    const host = wide ? [op.F32_CONVERT_I64_S, op.F64_CONVERT_I64_S] : [op.F32_CONVERT_I32_S, op.F64_CONVERT_I32_S];
    const name = `sse_integer_to_${p.name}`;
    const slow = this.once(name, () =>
      this.control.instruction(name, ['i64'], p.type, (inner, x) =>
        inner.call(this.control.soft[p === single ? 'f32' : 'f64'].fromSigned, x, this.control.rounding()),
      ),
    );
    const value = apply(host[p === single ? 0 : 1], integer);
    const exact = () => p.fromBits(code.call(slow, wide ? integer : extendS(integer)));
    return p.withNumber(a, this.orElse(code, value, this.control.state.fast(), exact, fault));
  }

  /** One number to the other precision: bits to bits. */
  private otherLane(from: Precision): IrFunction {
    const name = `sse_lane_from_${from.name}`;
    const to = from === single ? double : single;
    return this.once(name, () =>
      define(name, [from.type], to.type, (code, bits) => {
        const { control } = this;
        const f = from.format;
        const x = control.flushed(code, f, widened(code, bits));
        const denormal = code.let(isDenormal(f, x));
        if (from === single) {
          code.if(denormal, () => control.raise(code, Mxcsr.de));
          code.return(code.call(control.soft.widen, f.narrow(x)));
          return;
        }
        const rounding = code.let(control.rounding());
        const operands = { denormal, nan: f.isNan(x) };
        code.return(control.lane(code, to.format, operands, () => code.call(control.soft.narrow, x, rounding)));
      }),
    );
  }
  /** CVTPS2PD: the two low lanes. CVTPD2PS: the results stand below zeros. */
  toOther(code: Code, from: Precision, a: Value, fault: Fault): Value {
    const to = from === single ? double : single;
    const name = `sse_from_${from.name}`;
    const slow = this.once(name, () =>
      this.control.instruction(name, ['v128'], 'v128', (inner, x) =>
        range(2).reduce((result, n) => to.withBits(result, n, inner.call(this.otherLane(from), from.bits(x, n))), zero),
      ),
    );
    const exact = () => code.call(slow, a);
    if (from === single) {
      const low = code.let(shuffleLanes(8, a, a, [0, 0]));
      return this.orElse(code, f64x2.promoteLowF32x4(a), single.allTrue(plainLanes(single, low)), exact, fault);
    }
    const right = and32(this.control.state.fast(), i64x2.allTrue(v128.or(this.fitsSingle(a), zeroLanes(double, a))));
    return this.orElse(code, f32x4.demoteF64x2Zero(a), right, exact, fault);
  }
  /** Well within the normal numbers of binary32. */
  private fitsSingle(a: Value): Value {
    const magnitude = f64x2.abs(a);
    // 2^-125 and 2^127
    const above = f64x2.gt(magnitude, every(64, 0x3820_0000_0000_0000n));
    return v128.and(above, f64x2.lt(magnitude, every(64, 0x47e0_0000_0000_0000n)));
  }
  /** CVTSS2SD, CVTSD2SS: lane 0 of `b` into lane 0 of `a`. */
  toOtherScalar(code: Code, from: Precision, a: Value, b: Value, fault: Fault): Value {
    const to = from === single ? double : single;
    const name = `sse_scalar_from_${from.name}`;
    const slow = this.once(name, () =>
      this.control.instruction(name, [from.type], to.type, (inner, x) => inner.call(this.otherLane(from), x)),
    );
    const x = code.let(from.number(b));
    const exact = () => to.fromBits(code.call(slow, from.toBits(x)));
    if (from === single) {
      const value = apply(op.F64_PROMOTE, x);
      return to.withNumber(a, this.orElse(code, value, isPlainNumber(single, x), exact, fault));
    }
    const magnitude = code.let(apply(op.f64Unary['abs'], x));
    const compare = (how: string, limit: number): Value => apply(op.f64Compare[how], magnitude, f64(limit));
    const fits = or32(and32(compare('gt', 2 ** -125), compare('lt', 2 ** 127)), isZeroNumber(double, x));
    const right = and32(this.control.state.fast(), fits);
    return to.withNumber(a, this.orElse(code, apply(op.F32_DEMOTE, x), right, exact, fault));
  }

  /** A lane of ROUNDxx: bits to bits. No denormal is flagged. */
  private roundLane(p: Precision, imm: number): IrFunction {
    const name = `sse_lane_round_${p.name}_${imm & 15}`;
    return this.once(name, () =>
      define(name, [p.type], p.type, (code, bits) => {
        const { control } = this;
        const x = control.flushed(code, p.format, widened(code, bits));
        const rounding = imm & 4 ? control.rounding() : i32(MODES[imm & 3]);
        const { roundToInteger } = control.soft[p.type === 'i32' ? 'f32' : 'f64'];
        code.return(code.call(roundToInteger, p.format.narrow(x), rounding, i32(imm & 8 ? 0 : Mxcsr.pe)));
      }),
    );
  }
  private exactRound(p: Precision, imm: number, lanes: number): IrFunction {
    const name = `sse_round_${p.name}_${lanes}_${imm & 15}`;
    return this.once(name, () =>
      this.control.instruction(name, ['v128'], 'v128', (code, x) =>
        range(lanes).reduce((all, n) => p.withBits(all, n, code.call(this.roundLane(p, imm), p.bits(x, n))), x),
      ),
    );
  }
  /** ROUNDPS, ROUNDPD. */
  round(code: Code, p: Precision, a: Value, imm: number, fault: Fault): Value {
    const value = p.shape[HOST_ROUNDING[imm & 4 ? 0 : imm & 3]](a);
    const right = and32(this.control.state.fast(), p.allTrue(p.shape.eq(a, a)));
    return this.orElse(code, value, right, () => code.call(this.exactRound(p, imm, p.lanes), a), fault);
  }
  /** ROUNDSS, ROUNDSD: lane 0 of `b` into lane 0 of `a`. */
  roundScalar(code: Code, p: Precision, a: Value, b: Value, imm: number, fault: Fault): Value {
    const x = code.let(p.number(b));
    const value = apply(p.unary[HOST_ROUNDING[imm & 4 ? 0 : imm & 3]], x);
    const right = and32(this.control.state.fast(), apply(p.compare['eq'], x, x));
    const exact = () => p.number(code.call(this.exactRound(p, imm, 1), b));
    return p.withNumber(a, this.orElse(code, value, right, exact, fault));
  }
}
