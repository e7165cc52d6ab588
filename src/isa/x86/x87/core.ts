/**
 * What every operation of the x87 FPU ends in: exceptions, NaNs, rounding.
 *
 * Spec: Intel SDM volume 1, 4.8.4 "Rounding", 4.9.1 "Floating-Point Exception
 * Conditions" and 4.9.2 "Priority", 8.4 and 8.5 (x87 exceptions); table 4-7, "Rules for Handling NaNs".
 *
 * Functions that write a register return (i32) 1, or 0 where an unmasked
 * exception left everything but the status word as it was; then nothing may be
 * popped or pushed.
 */
import { type Code, define, type IrFunction } from '../../../ir/code.ts';
import * as op from '../../../ir/op.ts';
import {
  add,
  add32,
  and,
  and32,
  clz,
  cpu,
  eq,
  eq32,
  eqz,
  eqz32,
  extendU,
  geS32,
  geU,
  gtS32,
  gtU,
  i32,
  i64,
  leS32,
  load,
  ltU,
  ltU32,
  ne,
  ne32,
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
import { jam } from '../../softfloat/core.ts';
import {
  BIAS_ADJUST,
  EXCEPTION,
  either,
  INDEFINITE,
  INTEGER_BIT,
  isDenormal,
  isNan,
  isSignalling,
  isUnsupported,
  type Parts,
  PC,
  QUIET_BIT,
  RC,
  read,
  signOf,
  STATUS,
  TOP_EXPONENT,
  write,
} from './format.ts';

/** Where the FPU's state is: byte offsets in the CPU state. */
export interface X87Options {
  /** 32-bit field: the control word. */
  readonly control: number;
  /** 32-bit field: the status word. Its TOP is neither read nor changed. */
  readonly status: number;
  /** 96 bytes that may hold anything between calls. */
  readonly scratch: number;
}

export class Core {
  readonly options: X87Options;
  /** (flags) -> i32: clears C1, sets flags; not 0 where one of them is unmasked, which also sets ES and B. */
  readonly raiseFunction: IrFunction;
  /** (dst) -> delivered: raises invalid, gives the indefinite NaN. */
  readonly invalidFunction: IrFunction;
  /** (dst, a, b) -> 0 where neither is a NaN or unsupported; else the result is out: 1, or 2 where unmasked. */
  readonly special: IrFunction;
  /**
   * (dst, sign, exponent, high i64, low i64, precision) -> delivered. The number is
   * 0.high:low * 2^(exponent - bias + 1), bit 63 of `high` set unless all is 0; the lowest bit of `low`
   * stands for everything below too. Precision as in the control word.
   */
  readonly round: IrFunction;

  constructor(options: X87Options) {
    this.options = options;
    this.raiseFunction = define('x87_raise', ['i32'], 'i32', (code, flags) => this.makeRaise(code, flags));
    this.invalidFunction = define('x87_invalid', ['i32'], 'i32', (code, dst) => {
      code.if(this.raise(code, i32(EXCEPTION.IE)), () => code.return(i32(0)));
      write(code, dst, INDEFINITE.se, INDEFINITE.significand);
      code.return(i32(1));
    });
    this.special = define('x87_special', ['i32', 'i32', 'i32'], 'i32', (code, ...p) => this.makeSpecial(code, p));
    const params = ['i32', 'i32', 'i32', 'i64', 'i64', 'i32'] as const;
    this.round = define('x87_round', params, 'i32', (code, ...p) => this.makeRound(code, p));
  }

  get control(): Value {
    return load(op.I32_LOAD, cpu, this.options.control);
  }
  get status(): Value {
    return load(op.I32_LOAD, cpu, this.options.status);
  }
  setStatus(code: Code, value: Value): void {
    code.store(op.I32_STORE, cpu, value, this.options.status);
  }
  scratch(offset: number): Value {
    return add32(cpu, this.options.scratch + offset);
  }
  /** Precision control, as `round` takes it. */
  get precision(): Value {
    return and32(shrU32(this.control, 8), 3);
  }
  get rounding(): Value {
    return and32(shrU32(this.control, 10), 3);
  }
  raise(code: Code, flags: Value): Value {
    return code.call(this.raiseFunction, flags);
  }
  invalid(code: Code, dst: Value): void {
    code.return(code.call(this.invalidFunction, dst));
  }
  clearC1(code: Code): void {
    this.setStatus(code, and32(this.status, ~STATUS.C1));
  }
  /** Writes a result that is exact. */
  exact(code: Code, dst: Value, se: Value | number, significand: Value | bigint): void {
    this.clearC1(code);
    write(code, dst, se, significand);
    code.return(i32(1));
  }
  /** Returns where NaNs or unsupported encodings decide. */
  specials(code: Code, dst: Value, a: Value, b: Value): void {
    const done = code.call(this.special, dst, a, b);
    code.if(done, () => code.return(and32(done, 1)));
  }
  /** Raises denormal operand where `flags` has it or an operand is one; returns where unmasked. */
  denormals(code: Code, flags: Value, ...operands: Parts[]): void {
    const found = either(flags, ...operands.map(isDenormal));
    code.if(found, () => code.if(this.raise(code, i32(EXCEPTION.DE)), () => code.return(i32(0))));
  }
  /** The leading one of a finite number that is not zero brought to bit 63. */
  normalise(code: Code, x: Parts): { readonly significand: Value; readonly exponent: Value } {
    const significand = code.var(x.significand);
    const exponent = code.var(x.exponent);
    code.if(eqz32(x.exponent), () => {
      const shift = code.let(clz(x.significand));
      significand.set(shl(x.significand, shift));
      exponent.set(sub32(1, wrap(shift)));
    });
    return { significand: significand.value, exponent: exponent.value };
  }
  /** Whether rounding in the direction given goes up: parameters as in rounding a magnitude. */
  goesUp(rounding: Value, sign: Value, rest: Value, odd: Value): Value {
    const nearest = and32(geU(rest, INTEGER_BIT), or32(ne(rest, INTEGER_BIT), odd));
    const away = and32(ne(rest, 0), eq32(rounding, select(sign, i32(RC.down), i32(RC.up))));
    return select(rounding, away, nearest);
  }

  private makeRaise(code: Code, flags: Value): void {
    const unmasked = code.let(and32(and32(flags, sub32(-1, this.control)), 0x3f));
    const summary = select(unmasked, i32(STATUS.summary), i32(0));
    this.setStatus(code, either(and32(this.status, ~STATUS.C1), flags, summary));
    code.return(unmasked);
  }

  private makeSpecial(code: Code, [dst, pa, pb]: Value[]): void {
    const a = read(code, pa);
    const b = read(code, pb);
    const delivered = (result: Value): void => code.return(sub32(2, result));
    code.if(or32(isUnsupported(a), isUnsupported(b)), () => delivered(code.call(this.invalidFunction, dst)));
    const nanA = code.let(isNan(a));
    const nanB = code.let(isNan(b));
    code.if(eqz32(or32(nanA, nanB)), () => code.return(i32(0)));
    const signallingA = code.let(isSignalling(a));
    const signallingB = code.let(isSignalling(b));
    this.clearC1(code);
    code.if(or32(signallingA, signallingB), () => {
      code.if(this.raise(code, i32(EXCEPTION.IE)), () => code.return(i32(2)));
    });
    // Of two: the quiet one, else that with the larger significand, else the positive one.
    const larger = select(eq(a.significand, b.significand), eqz32(signOf(a)), gtU(a.significand, b.significand));
    const ofTwo = select(ne32(signallingA, signallingB), signallingB, larger);
    const first = code.let(and32(nanA, or32(eqz32(nanB), ofTwo)));
    write(code, dst, select(first, a.se, b.se), or(select(first, a.significand, b.significand), QUIET_BIT));
    code.return(i32(1));
  }

  private makeRound(code: Code, [dst, sign, given, high, low, precision]: Value[]): void {
    const control = code.let(this.control);
    const rounding = code.let(this.rounding);
    const drop = code.let(extendU(select(eq32(precision, PC.double), i32(11), select(precision, i32(0), i32(40)))));
    const unit = code.let(shl(i64(1), drop));
    const below = code.let(sub(unit, 1));
    const exponent = code.var(given);
    const head = code.var(high);
    const tail = code.var(low);
    const rest = code.var(i64(0));
    const kept = code.var(i64(0));
    const up = code.var(i32(0));
    const cut = (): void => {
      const fold = or(shl(head.value, sub(64, drop)), extendU(ne(tail.value, 0)));
      rest.set(select(eqz(drop), tail.value, fold));
      kept.set(and(head.value, sub(-1, below)));
      up.set(this.goesUp(rounding, sign, rest.value, ne(and(head.value, unit), 0)));
    };
    cut();
    code.if(eqz(high), () => this.exact(code, dst, shl32(sign, 15), i64(0)));
    const flags = code.var(i32(0));
    code.if(leS32(given, 0), () => {
      // Tiny, unless with an unbounded exponent it would round up to the smallest normal number.
      const carry = and32(up.value, eqz(add(kept.value, unit)));
      code.if(eqz32(and32(carry, eqz32(given))), () => {
        code.if(eqz32(and32(control, EXCEPTION.UE)), () => {
          // FSCALE reaches beyond the adjusted range; then the nearest is meant, whatever the rounding control.
          code.if(leS32(given, -BIAS_ADJUST), () => {
            code.call(this.raiseFunction, i32(EXCEPTION.UE | EXCEPTION.PE));
            write(code, dst, shl32(sign, 15), i64(0));
            code.return(i32(1));
          });
          flags.set(i32(EXCEPTION.UE));
          exponent.set(add32(given, BIAS_ADJUST));
        });
      });
      code.if(eqz32(flags.value), () => {
        // Denormal: shifted right, and rounded at the same bit.
        const by = code.let(sub32(1, given));
        const tiny = eqz32(and32(carry, eqz32(given)));
        const isTiny = code.let(tiny);
        code.if(
          gtS32(by, 63),
          () => {
            const gone = or(head.value, extendU(ne(tail.value, 0)));
            tail.set(jam(code, code.let(gone), sub32(by, 64)));
            head.set(i64(0));
          },
          () => {
            const count = code.let(extendU(by));
            const sticky = extendU(ne(shl(tail.value, sub(64, count)), 0));
            tail.set(or(or(shl(head.value, sub(64, count)), shrU(tail.value, count)), sticky));
            head.set(shrU(head.value, count));
          },
        );
        cut();
        code.if(and32(isTiny, ne(rest.value, 0)), () => flags.set(i32(EXCEPTION.UE)));
        exponent.set(i32(0));
        const rounded = code.let(add(kept.value, select(up.value, unit, i64(0))));
        const inexact = code.let(ne(rest.value, 0));
        const all = or32(flags.value, select(inexact, i32(EXCEPTION.PE), i32(0)));
        code.call(this.raiseFunction, all);
        this.setStatus(code, or32(this.status, shl32(up.value, 9)));
        write(code, dst, or32(shl32(sign, 15), wrap(shrU(rounded, 63))), rounded);
        code.return(i32(1));
      });
    });
    const rounded = code.var(add(kept.value, select(up.value, unit, i64(0))));
    code.if(and32(up.value, eqz(rounded.value)), () => {
      rounded.set(i64(INTEGER_BIT));
      exponent.set(add32(exponent.value, 1));
    });
    code.if(geS32(exponent.value, TOP_EXPONENT), () => {
      flags.set(i32(EXCEPTION.OE));
      code.if(
        or32(and32(control, EXCEPTION.OE), geS32(exponent.value, TOP_EXPONENT + BIAS_ADJUST)),
        () => {
          const unmasked = eqz32(and32(control, EXCEPTION.OE));
          const away = eq32(rounding, select(sign, i32(RC.down), i32(RC.up)));
          const toInfinity = code.let(either(eqz32(rounding), away, unmasked));
          code.call(this.raiseFunction, i32(EXCEPTION.OE | EXCEPTION.PE));
          this.setStatus(code, or32(this.status, shl32(toInfinity, 9)));
          const se = or32(shl32(sign, 15), sub32(TOP_EXPONENT, eqz32(toInfinity)));
          write(code, dst, se, select(toInfinity, i64(INTEGER_BIT), sub(-1, below)));
          code.return(i32(1));
        },
        () => exponent.set(sub32(exponent.value, BIAS_ADJUST)),
      );
    });
    code.call(this.raiseFunction, or32(flags.value, select(ne(rest.value, 0), i32(EXCEPTION.PE), i32(0))));
    this.setStatus(code, or32(this.status, shl32(up.value, 9)));
    write(code, dst, or32(shl32(sign, 15), and32(exponent.value, TOP_EXPONENT)), rounded.value);
    code.return(i32(1));
  }
}

/** xor of the signs of two registers, 0 or 1. */
export const signsOf = (a: Parts, b: Parts): Value => shrU32(xor32(a.se, b.se), 15);
export const within = (x: Value, low: number, high: number): Value => ltU32(sub32(x, low), high - low + 1);
export const lessU = ltU;
