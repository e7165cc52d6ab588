/** What a RISC-V row writes its semantics on, and what a row is. */
import { Insn, type RegisterFile, type RegOperand } from '../../ir/insn.ts';
import * as op from '../../ir/op.ts';
import { type I64, i64, type Value } from '../../ir/value.ts';
import { type Encoding, encoding } from '../encoding.ts';
import { AT, Cause, HART } from './state.ts';

export const X: RegisterFile = { first: 0, offset: AT.x, type: 'i64' };
export const F: RegisterFile = { first: 32, offset: AT.f, type: 'f64' };

/** Memory operands by width: the load and store operations on an i64. */
const LOADS = {
  i8: op.I64_LOAD8_S,
  u8: op.I64_LOAD8_U,
  i16: op.I64_LOAD16_S,
  u16: op.I64_LOAD16_U,
  i32: op.I64_LOAD32_S,
  u32: op.I64_LOAD32_U,
  i64: op.I64_LOAD,
} as const;
const STORES = { i8: op.I64_STORE8, i16: op.I64_STORE16, i32: op.I64_STORE32, i64: op.I64_STORE } as const;
export type LoadWidth = keyof typeof LOADS;
export type StoreWidth = keyof typeof STORES;

export class RiscvInsn extends Insn {
  x(r: RegOperand): Value {
    return r === 0 ? i64(0) : this.read(X, r);
  }
  setX(r: RegOperand, value: I64): void {
    const typed = i64(value);
    if (typed.type !== 'i64') throw new TypeError(`setX of ${typed.type}`);
    if (r !== 0) this.write(X, r, typed);
  }
  /** A floating-point register as the double it holds. */
  f(r: RegOperand): Value {
    return this.read(F, r);
  }
  setF(r: RegOperand, value: Value): void {
    this.write(F, r, value);
  }
  load(width: LoadWidth, address: Value): Value {
    return this.gload(LOADS[width], address);
  }
  /** A load that faults as the store that follows it would. */
  loadForStore(width: LoadWidth, address: Value): Value {
    return this.gload(LOADS[width], address, 'store');
  }
  storeTo(width: StoreWidth, address: Value, value: Value): void {
    this.gstore(STORES[width], address, value);
  }
  illegal(): void {
    this.raise(Cause.illegalInstruction, this.word);
  }
  get(field: keyof typeof AT): Value {
    return this.field(FIELD_32.has(field) ? op.I32_LOAD : op.I64_LOAD, AT[field]);
  }
  put(field: keyof typeof AT, value: I64): void {
    this.setField(FIELD_32.has(field) ? op.I32_STORE : op.I64_STORE, AT[field], value);
  }
}

/** The fields of 32 bits. */
export const FIELD_32: ReadonlySet<string> = new Set(
  Object.entries(HART.fields)
    .filter(([, field]) => field.kind === 'scalar' && field.size === 4)
    .map(([name]) => name),
);

/**
 * A row's operands: registers as `a` (rs1), `b` (rs2), `c` (rs3), `d` (rd);
 * `i` the immediate; the rest are numbers known when code is written.
 */
export interface Operands {
  readonly a: RegOperand;
  readonly b: RegOperand;
  readonly c: RegOperand;
  readonly d: RegOperand;
  readonly i: Value;
  /** CSR number. */
  readonly k: number;
  /** Rounding mode. */
  readonly r: number;
  /** The five-bit immediate of the CSR instructions. */
  readonly z: number;
}

/** What floating-point state a row needs: none, on, or dirty (it writes an f register or flags). */
export type FpUse = 'none' | 'read' | 'write';

export interface Instruction {
  readonly mnemonic: string;
  readonly encoding: Encoding;
  readonly semantics: (m: RiscvInsn, o: Operands) => void;
  /** Whether it may change the mode, the translation or what interrupts are taken. */
  readonly system: (o: Record<string, number>) => boolean;
  readonly fp: FpUse;
  /** Operand values that this encoding does not take; checked by the decoder. */
  readonly where: ((o: Record<string, number>) => boolean) | undefined;
  /** Which ISA extension brings it. */
  readonly extension: string;
}

export interface Traits {
  readonly system?: boolean | ((o: Record<string, number>) => boolean);
  readonly fp?: FpUse;
  readonly where?: (o: Record<string, number>) => boolean;
}

export function insn(
  mnemonic: string,
  bits: string,
  semantics: (m: RiscvInsn, o: Operands) => void,
  traits: Traits = {},
): Instruction {
  return {
    mnemonic,
    encoding: encoding(bits),
    semantics,
    system: typeof traits.system === 'function' ? traits.system : () => traits.system === true,
    fp: traits.fp ?? 'none',
    where: traits.where,
    extension: '',
  };
}

/** Names the extension of a file of rows. */
export function extension(name: string, rows: readonly Instruction[]): readonly Instruction[] {
  return rows.map((row) => ({ ...row, extension: name }));
}
