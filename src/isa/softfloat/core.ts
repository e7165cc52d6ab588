/**
 * What every operation ends in: raising flags, NaN results, and rounding.
 *
 * Spec: IEEE 754-2019, "Rounding-direction attributes", "Operations with NaNs",
 * "Exceptions and default exception handling".
 */
import { type Code, define, type IrFunction } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
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
  extendS,
  extendU,
  geS,
  geS32,
  gtS32,
  i32,
  i64,
  leS32,
  load,
  ltS,
  ltS32,
  ne,
  or,
  or32,
  select,
  shl,
  shrU,
  sub,
  sub32,
  type Value,
  wrap,
} from '../../ir/value.ts';
import { type FloatOptions, type Format, Rounding } from './format.ts';

/** `x >> n`, with the lowest bit set if anything was lost. `x` and `n` (i32, not negative) are locals or constants. */
const jamRight: IrFunction = define('jam', ['i64', 'i32'], 'i64', (code, x, n) => {
  code.if(gtS32(n, 62), () => code.return(extendU(ne(x, 0))));
  const count = code.let(extendU(n));
  // Shift counts are modulo 64, so -n is 64 - n; with n = 0 the mask below takes nothing away.
  const lost = and(x, sub(shl(i64(1), count), 1));
  code.return(or(shrU(x, count), extendU(ne(lost, 0))));
});
export function jam(code: Code, x: Value, n: Value): Value {
  return code.call(jamRight, x, n);
}

/** Sets flags (i32, a mask). */
export function makeRaiseFlags({ flagsOffset, after }: FloatOptions): IrFunction {
  return define('raise_flags', ['i32'], undefined, (code, bits) => {
    code.store(op.I32_STORE, cpu, or32(load(op.I32_LOAD, cpu, flagsOffset), bits), flagsOffset);
    after?.(code);
  });
}

/** The parts that the functions of one ISA and one format share. */
export class Core {
  readonly format: Format;
  readonly options: FloatOptions;
  readonly name: string;
  /** The NaN (i64) that comes of two operands (i64) of which at least one is a NaN; raises invalid. */
  readonly nanOf: IrFunction;
  /**
   * The bits (i64) nearest to (-1)^sign * significand * 2^exponent.
   * Parameters: sign i32, exponent i32, significand i64 unsigned, whose lowest
   * bit also stands for everything below it, rounding mode i32.
   */
  readonly round: IrFunction;
  /** The sum (i64) of two such numbers, significands below 2^62: sign, exponent, significand, twice; rounding mode. */
  readonly sum: IrFunction;
  private readonly raiseFlags: IrFunction;

  constructor(format: Format, options: FloatOptions, raiseFlags: IrFunction) {
    this.format = format;
    this.options = options;
    this.name = format.name;
    this.raiseFlags = raiseFlags;
    this.nanOf = define(`${this.name}_nan`, ['i64', 'i64'], 'i64', (code, a, b) => this.makeNan(code, a, b));
    this.round = define(`${this.name}_round`, ['i32', 'i32', 'i64', 'i32'], 'i64', (code, ...p) =>
      this.makeRound(code, p[0], p[1], p[2], p[3]),
    );
    this.sum = define(`${this.name}_sum`, ['i32', 'i32', 'i64', 'i32', 'i32', 'i64', 'i32'], 'i64', (code, ...p) =>
      this.makeSum(code, p),
    );
  }

  get defaultNan(): bigint {
    return this.format.infinity | this.format.quiet | (this.options.negativeNan ? this.format.sign : 0n);
  }

  raise(code: Code, bits: Value): void {
    code.call(this.raiseFlags, bits);
  }
  /** Raises invalid; gives the default NaN. */
  invalid(code: Code): Value {
    this.raise(code, i32(this.options.flags.invalid));
    return i64(this.defaultNan);
  }
  /** Declares a function over numbers of this format; parameters and result are i64 inside and bits outside. */
  operation(name: string, operands: number, make: (code: Code, rounding: Value, ...x: Value[]) => void): IrFunction {
    const { format } = this;
    const params = [...new Array<op.Type>(operands).fill(format.type), 'i32' as const];
    return define(`${this.name}_${name}`, params, format.type, (code, ...p) => {
      const rounding = p[operands];
      make(code, rounding, ...p.slice(0, operands).map((x) => code.let(format.widen(x))));
    });
  }
  return(code: Code, bits: Value): void {
    code.return(this.format.narrow(bits));
  }

  private makeNan(code: Code, a: Value, b: Value): void {
    const { format: f, options } = this;
    const signalling = or32(f.isSignalling(a), f.isSignalling(b));
    code.if(signalling, () => this.raise(code, i32(options.flags.invalid)));
    if (options.nan === 'canonical') {
      code.return(i64(this.defaultNan));
      return;
    }
    const first = select(f.isNan(a), a, b);
    if (options.nan === 'first') code.return(or(first, f.quiet));
    else code.return(or(select(f.isSignalling(a), a, select(f.isSignalling(b), b, first)), f.quiet));
  }

  private makeRound(code: Code, sign: Value, exponent: Value, given: Value, rounding: Value): void {
    const { format: f, options } = this;
    const { flags } = options;
    code.if(eqz(given), () => code.return(f.signed(sign, 0n)));
    // The leading one goes to bit 62, which leaves bit 63 for a carry.
    const significand = code.var(given);
    const biased = code.var(exponent);
    const shift = code.let(sub32(wrap(clz(given)), 1));
    code.if(
      ltS32(shift, 0),
      () => significand.set(or(shrU(given, 1), and(given, 1))),
      () => significand.set(shl(given, extendU(shift))),
    );
    biased.set(add32(sub32(exponent, shift), f.bias + 62));
    const drop = 62 - f.fraction;
    const half = 1n << BigInt(drop - 1);
    const mask = (1n << BigInt(drop)) - 1n;
    const directed = select(eq32(rounding, sub32(Rounding.RUP, sign)), i64(mask), i64(0));
    const nearest = eqz32(and32(rounding, 3)); // RNE or RMM
    const increment = code.let(select(nearest, i64(half), directed));
    const tiny = code.var(i32(0));
    const { exactScaled = 0 } = flags;
    const lossless = exactScaled === 0 ? i32(0) : select(eqz(and(significand.value, mask)), i32(exactScaled), i32(0));
    const scaled = code.let(lossless);
    code.if(leS32(biased.value, 0), () => {
      if (options.tininess === 'before') tiny.set(flags.underflow);
      else {
        // With an unbounded exponent it would round up to the smallest normal number.
        const up = ltS(add(significand.value, increment), 0);
        const normal = and32(eqz32(biased.value), up);
        tiny.set(select(normal, i32(0), i32(flags.underflow)));
      }
      significand.set(jam(code, significand.value, sub32(1, biased.value)));
      biased.set(i32(1));
    });
    const rest = code.let(and(significand.value, mask));
    const carry = ltS(add(significand.value, increment), 0);
    code.if(geS32(add32(biased.value, carry), f.top), () => {
      this.raise(code, or32(scaled, flags.overflow | flags.inexact));
      // Where rounding goes towards zero, the largest finite number.
      code.return(sub(f.signed(sign, f.infinity), extendU(eqz(increment))));
    });
    const rounded = code.var(shrU(add(significand.value, increment), drop));
    const tie = and32(eq(rest, half), eqz32(rounding));
    code.if(tie, () => rounded.set(and(rounded.value, -2)));
    code.if(ne(rest, 0), () => this.raise(code, or32(or32(tiny.value, scaled), flags.inexact)));
    // The leading one of a normal number, and a carry, count on the exponent field.
    const field = shl(extendS(sub32(biased.value, 1)), f.fraction);
    code.return(f.signed(sign, add(field, rounded.value)));
  }

  private makeSum(code: Code, [sa, ea, ma, sb, eb, mb, rounding]: Value[]): void {
    const left = code.var(ma);
    const right = code.var(mb);
    const distance = code.let(sub32(ea, eb));
    code.if(
      ltS32(distance, 0),
      () => left.set(jam(code, ma, sub32(0, distance))),
      () => right.set(jam(code, mb, distance)),
    );
    const exponent = select(ltS32(distance, 0), eb, ea);
    code.if(eq32(sa, sb), () => {
      code.return(code.call(this.round, sa, exponent, add(left.value, right.value), rounding));
    });
    const difference = code.let(sub(left.value, right.value));
    const zero = eqz(difference);
    // An exact zero is positive except when rounding down.
    code.if(zero, () => code.return(this.format.signed(eq32(rounding, Rounding.RDN), 0n)));
    code.if(
      geS(difference, 0),
      () => code.return(code.call(this.round, sa, exponent, difference, rounding)),
      () => code.return(code.call(this.round, sb, exponent, sub(0, difference), rounding)),
    );
  }
}
