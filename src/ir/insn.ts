/**
 * Insn: the builder that an instruction's row writes its semantics on.
 *
 * The operands decide what comes out: constants (the JIT), or parameters read
 * from a decoded operation (the interpreter tier). Register writes take effect
 * at the end of the instruction, so a row may read after it has written.
 */
import { Code } from './code.ts';
import * as op from './op.ts';
import type { Type } from './op.ts';
import {
  add32,
  and,
  cpu,
  type I32,
  type I64,
  i32,
  i64,
  load,
  local,
  or,
  pcPlus,
  reg,
  shl,
  type Value,
} from './value.ts';

/** A register operand: its number now, or the byte offset of its slot in the CPU state at run time. */
export type RegOperand = number | Value;

/** How an instruction ends. */
export type End =
  | { readonly kind: 'next' }
  | { readonly kind: 'jump'; readonly target: Value; readonly link: boolean }
  | { readonly kind: 'branch'; readonly condition: Value; readonly target: Value }
  /** Everything may have changed: mode, translation, interrupts. `target` is the next pc. */
  | { readonly kind: 'system'; readonly target: Value }
  /** As `next`, or as `system` where `changed` (i32) is not zero. */
  | { readonly kind: 'check'; readonly changed: Value };

/** How a file of registers lies in the CPU state: register n at `offset + n * stride`. */
export interface RegisterFile {
  /** Number of its first register in the ISA's list. */
  readonly first: number;
  readonly offset: number;
  readonly type: 'i32' | 'i64' | 'f64' | 'v128';
  /** Bytes from one register to the next; 8 where it is not said. */
  readonly stride?: number;
}

const LOAD = { i32: op.I32_LOAD, i64: op.I64_LOAD, f64: op.F64_LOAD, v128: op.V128_LOAD } as const;
const STORE = { i32: op.I32_STORE, i64: op.I64_STORE, f64: op.F64_STORE, v128: op.V128_STORE } as const;

/** A part of a register of 64 bits: `size` bits from bit `at`. */
export interface Part {
  readonly size: 8 | 16;
  readonly at: 0 | 8;
}

interface Write {
  readonly file: RegisterFile;
  readonly to: RegOperand;
  readonly value: Value;
  /** The other bits stay. */
  readonly part?: Part;
}

export class Insn extends Code {
  /** Bytes of this instruction. */
  readonly length: number;
  /** The instruction word, where a row must report it. */
  readonly word: Value;
  end: End = { kind: 'next' };
  private pending: Write[] = [];

  constructor(length: number, word: Value, locals: Type[] = []) {
    super();
    this.locals.push(...locals);
    this.length = length;
    this.word = word;
  }

  /** The address of this instruction. */
  get pc(): Value {
    return pcPlus(0);
  }
  /** The address of the instruction that follows in memory. */
  get nextPc(): Value {
    return pcPlus(this.length);
  }

  read(file: RegisterFile, from: RegOperand): Value {
    if (typeof from === 'number') return reg(file.first + from, file.type);
    return load(LOAD[file.type], add32(cpu, from), file.offset);
  }

  write(file: RegisterFile, to: RegOperand, value: Value): void {
    if (value.type !== file.type) throw new TypeError(`register of type ${file.type} set to ${value.type}`);
    this.pending.push({ file, to, value });
  }

  /** Writes a part of an i64 register; several parts of one register may be written. */
  writePart(file: RegisterFile, to: RegOperand, value: Value, part: Part): void {
    if (file.type !== 'i64' || value.type !== 'i64') throw new TypeError('a part of a register that is no i64');
    this.pending.push({ file, to, value, part });
  }

  jump(target: I64, link = false): void {
    this.end = { kind: 'jump', target: i64(target), link };
  }
  branch(condition: Value, target: Value): void {
    this.end = { kind: 'branch', condition, target };
  }
  /** Ends the instruction with everything to be looked at again. */
  system(target: I64 = this.nextPc): void {
    this.end = { kind: 'system', target: i64(target) };
  }

  /** Ends the instruction with everything to be looked at again if `changed` is not zero. */
  check(changed: Value): void {
    this.end = { kind: 'check', changed };
  }

  /** A field of the CPU state. */
  field(code: number, offset: number): Value {
    return load(code, cpu, offset);
  }
  setField(code: number, offset: number, value: I64): void {
    this.store(code, cpu, value, offset);
  }

  /** Lets the register writes happen. Called once by the accelerator after the row. */
  finish(): void {
    const end = this.end;
    const writes = this.pending;
    this.pending = [];
    if (writes.length === 0) return;
    // What is still to be evaluated must not see the new values.
    if (end.kind === 'jump' || end.kind === 'system') {
      if (readsRegisters(end.target)) this.end = { ...end, target: this.let(end.target) };
    } else if (end.kind === 'branch') {
      this.end = { ...end, condition: this.let(end.condition) };
    } else if (end.kind === 'check') {
      this.end = { ...end, changed: this.let(end.changed) };
    }
    const values = writes.length === 1 ? [writes[0].value] : writes.map(({ value }) => this.let(value));
    writes.forEach(({ file, to, part }, n) => {
      const value = values[n];
      if (typeof to === 'number') {
        const whole = part ? merge(reg(file.first + to, 'i64'), value, part) : value;
        this.emit({ kind: 'reg', reg: file.first + to, value: whole });
      } else if (part) {
        const store = part.size === 8 ? op.I64_STORE8 : op.I64_STORE16;
        this.store(store, add32(cpu, to), value, file.offset + part.at / 8);
      } else this.store(STORE[file.type], add32(cpu, to), value, file.offset);
    });
  }
}

/** `old` with the bits of `part` from the low bits of `value`. */
function merge(old: Value, value: Value, { size, at }: Part): Value {
  const mask = 2 ** size - 1;
  return or(and(old, i64(~(BigInt(mask) << BigInt(at)))), shl(and(value, mask), at));
}

function readsRegisters(value: Value): boolean {
  if (value.op === op.REG || op.isLoad(value.op)) return true;
  return (
    (value.a !== undefined && readsRegisters(value.a)) ||
    (value.b !== undefined && readsRegisters(value.b)) ||
    (value.c !== undefined && readsRegisters(value.c))
  );
}

export { i32, i64, local, type I32, type I64 };
