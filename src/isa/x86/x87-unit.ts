/**
 * The x87 FPU in a CPU's state: its arithmetic, the register stack, the
 * exceptions that wait, and what it remembers of the last instruction.
 *
 * Spec: SDM volume 1, "x87 FPU Data Registers", "x87 FPU Tag Word", "x87 FPU
 * Instruction and Operand (Data) Pointers", "Stack Overflow or Underflow
 * Exception"; volume 3, "Native Mode and MS-DOS Compatibility Mode".
 *
 * Tags are kept as empty (3) or not; FNSTENV works out the others. A register
 * is read and written as 8 and 2 bytes everywhere, so that a processor can
 * forward what it has just stored.
 *
 * Departure: where CR0.NE is clear the board hears of a waiting exception by
 * the next waiting instruction (HostCall.ferr), which then executes.
 */
import { type Code, define } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import {
  add,
  add32,
  and,
  and32,
  cpu,
  eq32,
  eqz,
  eqz32,
  i32,
  load,
  mul32,
  or32,
  select,
  shl32,
  shrU32,
  sub32,
  type Value,
  zext32,
} from '../../ir/value.ts';
import { hostCall } from '../isa.ts';
import type { MemoryOperand, RegisterOperand } from './instance.ts';
import { fault } from './fault.ts';
import { get, put } from './field.ts';
import type { X86Insn } from './insn.ts';
import { HostCall } from './msr.ts';
import { AT, Cr0, Seg, Vector } from './state.ts';
import { EXCEPTION, STATUS } from './x87/format.ts';
import { x87 } from './x87/x87.ts';

export const fpu = x87({ control: AT.fcw, status: AT.fsw, scratch: AT.x87Scratch });

/** Behind what the arithmetic uses: a register for an operand in memory, and the image of an environment. */
const OPERAND_AT = 96;
const IMAGE_AT = 112;
export const IMAGE_BYTES = 28;
export const operandRegister = (): Value => add32(cpu, AT.x87Scratch + OPERAND_AT);
export const image = (): Value => add32(cpu, AT.x87Scratch + IMAGE_AT);

const ALL_EXCEPTIONS = 0x3f;
const CONDITION_CODES = STATUS.C0 | STATUS.C2 | STATUS.C3;

// Registers.

/** Where physical register `n` is. */
export const physical = (n: Value): Value => add32(add32(cpu, AT.fpr), shl32(n, 4));
export const topNow = (): Value => get('ftop');
/** The number of the register `i` behind `top`. */
export const behind = (top: Value, i: number | Value): Value => (i === 0 ? top : and32(add32(top, i), 7));

const tagAt = (n: Value): Value => shl32(n, 1);
/** i32: whether physical register `n` is empty. */
export const isEmpty = (n: Value): Value => eq32(and32(shrU32(get('ftag'), tagAt(n)), 3), 3);
/** Physical register `n` holds something, or nothing. */
export const occupy = (code: Code, n: Value): void =>
  put(code, 'ftag', and32(get('ftag'), sub32(-1, shl32(i32(3), tagAt(n)))));
export const vacate = (code: Code, n: Value): void => put(code, 'ftag', or32(get('ftag'), shl32(i32(3), tagAt(n))));

/** The registers as an instruction finds them. */
export class Stack {
  readonly code: Code;
  readonly top: Value;
  private readonly pointers = new Map<number, Value>();

  constructor(code: Code) {
    this.code = code;
    this.top = code.let(topNow());
  }

  /** Where ST(i) is. */
  at(i: number): Value {
    let pointer = this.pointers.get(i);
    if (!pointer) {
      pointer = this.code.let(physical(behind(this.top, i)));
      this.pointers.set(i, pointer);
    }
    return pointer;
  }

  /** i32, not zero where ST(0) or ST(i) is empty. */
  empty(i = 0): Value {
    const tags = get('ftag');
    // Twice behind itself the tag word can be turned so that ST(0) comes first.
    const turned = this.code.let(shrU32(i === 0 ? tags : mul32(tags, 0x10001), shl32(this.top, 1)));
    return and32(and32(turned, shrU32(turned, 1)), 1 | (1 << (2 * i)));
  }

  /** ST(0) is gone where `delivered` (i32: 1, else 0). */
  pop(delivered: Value): void {
    const { code, top } = this;
    put(code, 'ftag', or32(get('ftag'), shl32(mul32(delivered, 3), shl32(top, 1))));
    put(code, 'ftop', and32(add32(top, delivered), 7));
  }
  popTwo(delivered: Value): void {
    const { code, top } = this;
    const done = code.let(delivered);
    this.pop(done);
    put(code, 'ftag', or32(get('ftag'), shl32(mul32(done, 3), shl32(behind(top, 1), 1))));
    put(code, 'ftop', and32(add32(top, shl32(done, 1)), 7));
  }
}

/** Copies a register, which must not change between. */
export function copyRegister(code: Code, to: Value, from: Value): void {
  code.store(op.I64_STORE, to, load(op.I64_LOAD, from));
  code.store(op.I32_STORE16, to, load(op.I32_LOAD16_U, from, 8), 8);
}
export const clearC1 = (code: Code): void => put(code, 'fsw', and32(get('fsw'), ~STATUS.C1));

/** Pushes what `make` writes to its destination; `make` gives whether it was delivered. */
export function push(code: Code, make: (dst: Value) => Value): void {
  const top = code.let(and32(add32(topNow(), 7), 7));
  const dst = code.let(physical(top));
  const delivered = code.var(i32(0));
  code.if(
    isEmpty(top),
    () => delivered.set(make(dst)),
    () => delivered.set(code.call(fpu.stackFault, dst, i32(1))),
  );
  code.if(delivered.value, () => {
    put(code, 'ftop', top);
    occupy(code, top);
  });
}

// Stack faults.

/** (i) -> delivered: an operand was in an empty register; ST(i) gets the indefinite NaN. */
export const underflow = define('x87_underflow', ['i32'], 'i32', (code, i) => {
  const n = code.let(and32(add32(topNow(), i), 7));
  const delivered = code.let(code.call(fpu.stackFault, physical(n), i32(0)));
  code.if(delivered, () => occupy(code, n));
  code.return(delivered);
});
/** () -> delivered: the same of an instruction that writes no register. */
export const underflowOnly = define('x87_underflow_only', [], 'i32', (code) => {
  code.return(eqz32(code.call(fpu.raise, i32(EXCEPTION.IE | STATUS.stackFault))));
});
/** () -> delivered: of a comparison, which finds nothing in order. */
export const underflowCompared = define('x87_underflow_compared', [], 'i32', (code) => {
  const delivered = code.let(code.call(underflowOnly));
  put(code, 'fsw', or32(get('fsw'), CONDITION_CODES));
  code.return(delivered);
});

// Exceptions that wait.

/** () -> fault or 0: somebody runs into one. */
const reportPending = define('x87_report', [], 'i32', (code) => {
  code.if(eqz(and(get('cr0'), Cr0.ne)), () => {
    code.call(hostCall, i32(HostCall.ferr), i32(0), i32(0));
    code.return(i32(0));
  });
  code.return(fault(Vector.mf));
});
/** What every instruction of x87 and MMX begins with, but for the control instructions that do not wait. */
export function pendingX87(m: X86Insn): void {
  m.if(and32(get('fsw'), 0x80), () => {
    const found = m.call(reportPending);
    m.if(found, () => m.raise(found, 0));
  });
}
/** Works out ES and B after the flags or masks were loaded. */
export const updateSummary = define('x87_update_summary', [], undefined, (code) => {
  const flags = code.let(get('fsw'));
  const waits = and32(and32(flags, sub32(-1, get('fcw'))), ALL_EXCEPTIONS);
  put(code, 'fsw', or32(and32(flags, ~STATUS.summary), select(waits, i32(STATUS.summary), i32(0))));
});

// Operands.

/** A memory operand, worked out once. */
export interface Operand {
  readonly seg: number;
  readonly offset: Value;
  readonly address: Value;
}
export function memoryOperand(m: X86Insn, bytes: number, write = false): Operand {
  const { seg } = m.operand(0) as MemoryOperand;
  const offset = m.let(m.offset(0));
  return { seg, offset, address: m.let(m.linear(seg, offset, bytes, write)) };
}
/** The linear address `bytes` behind the operand's start. */
export function part(m: X86Insn, { address }: Operand, bytes: number | Value): Value {
  const sum = add(address, bytes);
  return m.bits === 64 ? sum : zext32(sum);
}
/** The number of the stack register that operand `n` is. */
export const stackRegister = (m: X86Insn, n: number): number => (m.operand(n) as RegisterOperand).n;

/** Remembers the instruction, and its operand in memory. */
export function remember(m: X86Insn, operand?: Operand): void {
  const selector = (seg: number) => get('segSelector', seg * 4);
  m.setState('fip', m.ip());
  m.setState('fop', or32(m.leaves.modrm(), (m.decoded.row.opcode.byte & 7) << 8));
  m.setState('fcs', selector(Seg.cs));
  if (!operand) return;
  m.setState('fdp', operand.offset);
  m.setState('fds', selector(operand.seg));
}

/** The beginning of an instruction on registers alone. */
export function begin(m: X86Insn): Stack {
  pendingX87(m);
  remember(m);
  return new Stack(m);
}
/** The beginning of an instruction with `size` bits in memory: their value, zero-extended. */
export function fetch(m: X86Insn, size: 16 | 32 | 64): Value {
  pendingX87(m);
  const operand = memoryOperand(m, size / 8);
  const value = m.let(m.loadLinear(operand.address, size));
  remember(m, operand);
  return value;
}
