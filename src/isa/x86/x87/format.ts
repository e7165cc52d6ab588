/**
 * Registers of the x87 FPU as IR code takes them apart, and the bits of its
 * control and status words.
 *
 * Spec: Intel SDM (December 2023) volume 1, 4.2.2 "Floating-Point Data Types", 8.1.3 "x87 FPU
 * Status Word", 8.1.5 "x87 FPU Control Word", 8.2.2 "Unsupported Double Extended-Precision
 * Floating-Point Encodings and Pseudo-Denormals".
 *
 * A register lies in linear memory: the significand (u64) at +0, sign and
 * exponent (u16) at +8. Pointers to registers are i32.
 */
import type { Code } from '../../../ir/code.ts';
import * as op from '../../../ir/op.ts';
import {
  and,
  and32,
  eq,
  eq32,
  eqz,
  eqz32,
  geS,
  i64,
  ltS,
  ltU32,
  ne,
  or32,
  type Value,
  shl,
  load,
  shrU32,
  sub32,
} from '../../../ir/value.ts';

/** Bytes of a register. */
export const REGISTER_BYTES = 16;

/** Exceptions: the same bits in the status word and, as masks, in the control word. */
export const EXCEPTION = { IE: 1, DE: 2, ZE: 4, OE: 8, UE: 16, PE: 32 } as const;
/** The other bits of the status word; TOP (bits 11 to 13) is the caller's. */
export const STATUS = {
  stackFault: 0x40,
  /** An unmasked exception waits: ES, and B, which mirrors it. */
  summary: 0x8080,
  C0: 0x100,
  C1: 0x200,
  C2: 0x400,
  C3: 0x4000,
} as const;
export const CONDITIONS = STATUS.C0 | STATUS.C1 | STATUS.C2 | STATUS.C3;

/** Rounding control: bits 10 and 11 of the control word. */
export const RC = { nearest: 0, down: 1, up: 2, chop: 3 } as const;
/** Precision control: bits 8 and 9; 1 is reserved and acts as 64 bits. */
export const PC = { single: 0, double: 2, extended: 3 } as const;

export const BIAS = 0x3fff;
export const TOP_EXPONENT = 0x7fff;
/** What the exponent of an unmasked overflow or underflow is adjusted by. */
export const BIAS_ADJUST = 0x6000;
/** The explicit integer bit of a significand. */
export const INTEGER_BIT = 1n << 63n;
/** The bit of a NaN's significand that makes it quiet. */
export const QUIET_BIT = 1n << 62n;
/** Real indefinite: the quiet NaN of a masked invalid operation. */
export const INDEFINITE = { se: 0xffff, significand: INTEGER_BIT | QUIET_BIT } as const;

/** A register's parts, evaluated. */
export interface Parts {
  readonly significand: Value;
  /** Sign and exponent as they stand. */
  readonly se: Value;
  readonly exponent: Value;
}

export function read(code: Code, at: Value): Parts {
  const significand = code.let(load(op.I64_LOAD, at));
  const se = code.let(load(op.I32_LOAD16_U, at, 8));
  return { significand, se, exponent: code.let(and32(se, TOP_EXPONENT)) };
}

export function write(code: Code, at: Value, se: Value | number, significand: Value | bigint): void {
  code.store(op.I64_STORE, at, significand);
  code.store(op.I32_STORE16, at, se as Value, 8);
}

export const signOf = (x: Parts): Value => shrU32(x.se, 15);
/** A number with the leading one in its place: neither zero nor denormal, infinity, NaN or unsupported. */
export const isNormal = (x: Parts): Value =>
  and32(ltU32(sub32(x.exponent, 1), TOP_EXPONENT - 1), ltS(x.significand, 0));
/** Unnormals, pseudo-infinities and pseudo-NaNs: no operand for any instruction that computes. */
export const isUnsupported = (x: Parts): Value => and32(geS(x.significand, 0), ne32Zero(x.exponent));
const ne32Zero = (x: Value): Value => eqz32(eqz32(x));
const hasTop = (x: Parts): Value => eq32(x.exponent, TOP_EXPONENT);
export const isNan = (x: Parts): Value => and32(hasTop(x), ne(shl(x.significand, 1), 0));
export const isInfinite = (x: Parts): Value => and32(hasTop(x), eqz(shl(x.significand, 1)));
/** A NaN, given that it is one, that is not quiet. */
export const isSignalling = (x: Parts): Value => and32(isNan(x), eqz(and(x.significand, QUIET_BIT)));
export const isZero = (x: Parts): Value => and32(eqz32(x.exponent), eqz(x.significand));
/** Denormals and pseudo-denormals. */
export const isDenormal = (x: Parts): Value => and32(eqz32(x.exponent), ne(x.significand, 0));
export const isInfinity64 = (significand: Value): Value => eq(significand, i64(INTEGER_BIT));
export const either = (...conditions: Value[]): Value => conditions.reduce((x, y) => or32(x, y));
