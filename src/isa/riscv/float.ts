/**
 * What the floating-point extensions share: the two precisions, rounding modes,
 * and the choice between the host's arithmetic and softfloat's.
 *
 * Spec: RISC-V Unprivileged ISA 20240411, "F Extension for Single-Precision
 * Floating-Point", "NaN Boxing of Narrower Values".
 */
import type { IrFunction } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import type { RegOperand } from '../../ir/insn.ts';
import {
  and32,
  apply,
  bitsF32,
  bitsF64,
  eq32,
  eqz32,
  extendU,
  fromBitsF32,
  fromBitsF64,
  gtU32,
  i32,
  i64,
  isConst,
  or,
  select,
  shrU,
  type Value,
  wrap,
} from '../../ir/value.ts';
import { makeHostFma } from '../softfloat/host.ts';
import { type FormatFunctions, softfloat } from '../softfloat/softfloat.ts';
import { get, put } from './field.ts';
import type { RiscvInsn, Traits } from './insn.ts';
import { AT } from './state.ts';

/** Bits of fflags. */
export const NX = 1;
const FLAGS = { inexact: NX, underflow: 2, overflow: 4, divideByZero: 8, invalid: 16 } as const;

/** The field `rm`: a mode, or 7 to take it from frm. */
export const DYNAMIC = 7;

export const soft = softfloat({
  flagsOffset: AT.fflags,
  flags: FLAGS,
  tininess: 'after',
  nan: 'canonical',
  noInteger: 'clamp-nan-high',
  after: (code) => put(code, 'fpFast', and32(and32(get('fflags'), NX), eq32(get('frm'), 0))),
});

/** The host's operations of one precision. */
interface HostOps {
  readonly unary: Readonly<Record<string, number>>;
  readonly binary: Readonly<Record<string, number>>;
  readonly compare: Readonly<Record<string, number>>;
}

/** One of the two precisions, as rows are written over it. Its values are f32 or f64; "bits" i32 or i64. */
export interface Precision {
  /** The letter in mnemonics. */
  readonly letter: 's' | 'd';
  /** The field `fmt` of encodings. */
  readonly fmt: string;
  readonly soft: FormatFunctions;
  readonly host: HostOps;
  readonly canonical: Value;
  /** Evaluates a register's value here. */
  get(m: RiscvInsn, r: RegOperand): Value;
  set(m: RiscvInsn, r: RegOperand, value: Value): void;
  bits(value: Value): Value;
  fromBits(bits: Value): Value;
}

const BOX = 0xffff_ffff_0000_0000n;
export const box = (bits: Value): Value => fromBitsF64(or(extendU(bits), BOX));

export const single: Precision = {
  letter: 's',
  fmt: '00',
  soft: soft.f32,
  host: { unary: op.f32Unary, binary: op.f32Binary, compare: op.f32Compare },
  canonical: i32(0x7fc0_0000),
  get(m, r) {
    const bits = m.let(bitsF64(m.f(r)));
    const boxed = eq32(wrap(shrU(bits, 32)), -1);
    return m.let(fromBitsF32(select(boxed, wrap(bits), this.canonical)));
  },
  set(m, r, value) {
    m.setF(r, box(bitsF32(value)));
  },
  bits: bitsF32,
  fromBits: fromBitsF32,
};

export const double: Precision = {
  letter: 'd',
  fmt: '01',
  soft: soft.f64,
  host: { unary: op.f64Unary, binary: op.f64Binary, compare: op.f64Compare },
  canonical: i64(0x7ff8_0000_0000_0000n),
  get: (m, r) => m.let(m.f(r)),
  set: (m, r, value) => m.setF(r, value),
  bits: bitsF64,
  fromBits: fromBitsF64,
};

/** Inexact is flagged and rounding is to nearest-even. */
export const fast = (): Value => get('fpFast');
/** (f64, f64, f64, rm) -> f64: multiply-add of doubles, rounding to nearest-even where `fast`. */
export const hostFma: IrFunction = makeHostFma(soft.f64.fma, fast);

/** Traits of rows with a field `rm`, of which 5 and 6 are reserved. */
export const ROUNDS: Traits = { fp: 'write', where: ({ r }) => r <= 4 || r === DYNAMIC };
export const WRITES: Traits = { fp: 'write' };
export const READS: Traits = { fp: 'read' };

/** The rounding mode as an i32; raises illegal instruction where frm holds none. */
export function roundingMode(m: RiscvInsn, r: number): Value {
  if (r !== DYNAMIC) return i32(r);
  const frm = m.let(m.get('frm'));
  m.if(gtU32(frm, 4), () => m.illegal());
  return frm;
}

/** `value` where `right`, else what `otherwise` gives. */
export function orElse(m: RiscvInsn, value: Value, right: Value, otherwise: () => Value): Value {
  const result = m.var(value);
  m.if(eqz32(right), () => result.set(otherwise()));
  return result.value;
}

/**
 * A rounded result: the host's `value` where that is `right` and the guest's state allows it,
 * else `exact` with the rounding mode.
 */
export function rounded(
  m: RiscvInsn,
  r: number,
  host: () => { readonly value: Value; readonly right: Value },
  exact: (rounding: Value) => Value,
): Value {
  if (r !== 0 && r !== DYNAMIC) return exact(roundingMode(m, r));
  const { value, right } = host();
  const allowed = isConst(right) ? m.get('fpFast') : and32(m.get('fpFast'), right);
  return orElse(m, value, allowed, () => exact(roundingMode(m, r)));
}

/** The value is no NaN. */
export const isNumber = (p: Precision, value: Value): Value => apply(p.host.compare.eq, value, value);
