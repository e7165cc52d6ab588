/**
 * MXCSR and what every SSE floating-point instruction does with it.
 *
 * Spec: Intel SDM volume 1, 10.2.3 "MXCSR Control and Status Register", 11.5
 * "SSE, SSE2, and SSE3 Exceptions", 4.9.2 "Floating-Point Exception Priority".
 */
import { type Code, define, type IrFunction } from '../../../ir/code.ts';
import * as op from '../../../ir/op.ts';
import {
  and,
  and32,
  cpu,
  eq32,
  extendU,
  i32,
  load,
  ltS32,
  ltU,
  ne32,
  or32,
  select,
  shl32,
  shrU32,
  sub,
  type Value,
  xor32,
} from '../../../ir/value.ts';
import type { Format } from '../../softfloat/format.ts';
import { type FloatFunctions, softfloat } from '../../softfloat/softfloat.ts';

export const Mxcsr = {
  ie: 1,
  de: 2,
  ze: 4,
  oe: 8,
  ue: 0x10,
  pe: 0x20,
  /** All six flags. */
  flags: 0x3f,
  /** Denormal operands are zeros. */
  daz: 0x40,
  /** A flag's mask stands this many bits above it. */
  masks: 7,
  om: 0x400,
  um: 0x800,
  rounding: 13,
  /** Tiny results are zeros. */
  ftz: 0x8000,
} as const;
/** Ours, within an instruction only: an exception was raised that is not masked, before anything was computed. */
const UNMASKED = 0x8000_0000;
const EARLY = 0x4000_0000;
/** Ours, within a lane only: only the exponent did not fit. */
const EXACT = 0x2000_0000;
/** What is found before a lane is computed. */
const EARLY_FLAGS = Mxcsr.ie | Mxcsr.de | Mxcsr.ze;

/**
 * Whether host arithmetic may be used: rounding to nearest, all exceptions masked, the
 * inexact one flagged already, denormals as they are.
 */
export const isFast = (mxcsr: Value): Value => eq32(and32(mxcsr, 0xffe0), 0x1fa0);

/** Where an instruction finds its MXCSR. */
export interface SseState {
  /** Byte offset of MXCSR (32 bits) in the CPU state. */
  readonly mxcsr: number;
  /** `isFast` (i32), kept up to date. */
  readonly fast: () => Value;
  /** Writes what has to follow a change of MXCSR. */
  readonly after?: (code: Code) => void;
}

/** Writes the raising of #XM: the instruction is abandoned. `early` (i32): it was found before anything was computed. */
export type Fault = (early: Value) => void;

export class Control {
  readonly state: SseState;
  readonly soft: FloatFunctions;

  constructor(state: SseState) {
    this.state = state;
    this.soft = softfloat({
      flagsOffset: state.mxcsr,
      flags: {
        invalid: Mxcsr.ie,
        divideByZero: Mxcsr.ze,
        overflow: Mxcsr.oe,
        underflow: Mxcsr.ue,
        inexact: Mxcsr.pe,
        exactScaled: EXACT,
      },
      tininess: 'after',
      nan: 'first',
      negativeNan: true,
      noInteger: 'lowest',
    });
  }

  get(): Value {
    return load(op.I32_LOAD, cpu, this.state.mxcsr);
  }
  set(code: Code, value: Value): void {
    code.store(op.I32_STORE, cpu, value, this.state.mxcsr);
  }
  raise(code: Code, flags: Value | number): void {
    this.set(code, or32(this.get(), flags));
  }
  /** The rounding mode that MXCSR asks for, by softfloat's numbers: RC is nearest, down, up, zero. */
  rounding(): Value {
    const rc = and32(shrU32(this.get(), Mxcsr.rounding), 3);
    return and32(shrU32(i32(0x1320), shl32(rc, 2)), 7);
  }

  /**
   * A function of an instruction's every lane: `make` returns the result; its flags go to
   * MXCSR all at once. What is found before a lane is computed (invalid, denormal, divide)
   * and not masked keeps what is found after from being flagged.
   */
  instruction(
    name: string,
    params: readonly op.Type[],
    result: op.Type,
    make: (code: Code, ...x: Value[]) => Value,
  ): IrFunction {
    return define(name, params, result, (code, ...x) => {
      const before = code.let(this.get());
      this.set(code, and32(before, ~Mxcsr.flags));
      const value = code.let(make(code, ...x));
      const all = code.let(and32(this.get(), Mxcsr.flags));
      const unmasked = (flags: Value): Value => and32(flags, xor32(shrU32(before, Mxcsr.masks), -1));
      const early = code.let(and32(all, EARLY_FLAGS));
      const isEarly = code.let(unmasked(early));
      const raised = code.let(select(isEarly, early, all));
      const late = select(unmasked(raised), i32(UNMASKED), i32(0));
      const mark = select(isEarly, i32(UNMASKED | EARLY), late);
      this.set(code, or32(or32(before, raised), mark));
      this.state.after?.(code);
      code.return(value);
    });
  }

  /** After such a function: raises #XM if an exception was not masked. */
  check(code: Code, fault: Fault): void {
    code.if(ltS32(this.get(), 0), () => {
      const early = code.let(and32(this.get(), EARLY));
      this.set(code, and32(this.get(), ~(UNMASKED | EARLY)));
      fault(early);
    });
  }

  /**
   * An instruction in two halves, as of one: `make` writes each with its own fault, which has not happened yet when the
   * second is computed. `before`: MXCSR at the start.
   */
  halves(code: Code, make: (fault: Fault, upper: boolean) => Value, fault: () => void): { low: Value; high: Value } {
    const before = code.let(this.get());
    const found = code.var(i32(0));
    const note: Fault = (early) => found.set(or32(or32(found.value, early), 1));
    const low = code.let(make(note, false));
    const high = code.let(make(note, true));
    code.if(found.value, () => {
      // What either half found after computing does not count if something was found before in one of them.
      const late = Mxcsr.flags & ~EARLY_FLAGS;
      code.if(and32(found.value, EARLY), () => this.set(code, or32(and32(this.get(), ~late), and32(before, late))));
      this.state.after?.(code);
      fault();
    });
    return { low, high };
  }

  // Within a lane's function. Bits are i64 here, of a binary32 in the low half.

  /** The operand, or the zero that it stands for. */
  flushed(code: Code, f: Format, x: Value): Value {
    const zero = and32(isDenormal(f, x), ne32(and32(this.get(), Mxcsr.daz), 0));
    return code.let(select(zero, and(x, f.sign), x));
  }
  /** Flags denormal operands unless something graver was found in this lane (flags as i32). */
  noteDenormal(code: Code, some: Value, raised: Value): void {
    const note = and32(some, eq32(and32(raised, Mxcsr.ie | Mxcsr.ze), 0));
    code.if(note, () => this.raise(code, Mxcsr.de));
  }
  /**
   * Runs `compute` with the flags clear, and gives its result flushed if MXCSR says so.
   * `denormal`: whether some operand is one; `nan`: whether some is one of those.
   */
  lane(code: Code, f: Format, operands: { denormal: Value; nan: Value }, compute: () => Value): Value {
    const before = code.let(this.get());
    this.set(code, and32(before, ~Mxcsr.flags));
    const result = code.var(code.let(f.widen(compute())));
    const raised = code.let(and32(this.get(), Mxcsr.flags));
    this.noteDenormal(code, and32(operands.denormal, xor32(operands.nan, 1)), raised);
    const tiny = or32(ne32(and32(raised, Mxcsr.ue), 0), isDenormal(f, result.value));
    code.if(tiny, () => {
      // Unmasked, underflow needs no loss; masked, with FTZ the number itself is lost.
      code.if(
        eq32(and32(before, Mxcsr.um), 0),
        () => this.raise(code, Mxcsr.ue),
        () =>
          code.if(and32(before, Mxcsr.ftz), () => {
            this.raise(code, Mxcsr.ue | Mxcsr.pe);
            result.set(and(result.value, f.sign));
          }),
      );
    });
    code.if(and32(this.get(), EXACT), () => {
      // What an unmasked overflow or underflow hands to its handler has been rounded to an unbounded exponent.
      const unmasked = and32(and32(raised, xor32(shrU32(before, Mxcsr.masks), -1)), Mxcsr.oe | Mxcsr.ue);
      this.set(code, and32(this.get(), select(unmasked, i32(~(EXACT | Mxcsr.pe)), i32(~EXACT))));
    });
    this.raise(code, before);
    return f.narrow(result.value);
  }
}

/** A number below the normal ones, and no zero (i64 bits, i32 result). */
export function isDenormal(f: Format, x: Value): Value {
  return ltU(sub(f.magnitude(x), 1), (1n << BigInt(f.fraction)) - 1n);
}
export const widened = (code: Code, bits: Value): Value => code.let(bits.type === 'i32' ? extendU(bits) : bits);
