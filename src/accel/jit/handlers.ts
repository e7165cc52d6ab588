/**
 * The interpreter tier: one small WebAssembly function per instruction row,
 * reached from one another by tail calls.
 *
 * A handler takes the address of a decoded operation and the instructions left
 * of the budget. A decoded operation is 8 bytes: the handler's number (u16),
 * then either two registers (u8, number * 8) and an immediate (i32), or up to
 * four registers. Operands that a row wants constant (CSR numbers, rounding
 * modes, x0 as destination) make a handler of their own.
 */
import type { Callable, GuestLoad, GuestStore } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import type { RegOperand } from '../../ir/insn.ts';
import { apply, i64, isConst, load, local, type Value } from '../../ir/value.ts';
import { F, type Instruction, type Operands, RiscvInsn, X } from '../../isa/riscv/insn.ts';
import { AT, Cause } from '../../isa/riscv/state.ts';
import { trap } from '../../isa/riscv/trap.ts';
import { pushCell, pushHostAddress, storeCell } from './access.ts';
import { Emitter, type Lowering } from './emit.ts';
import { CELL, OPERATION, SIDE, SLOTS, STRADDLE_HALF, STRADDLE_SLOT } from './layout.ts';
import type { Body, Signature } from './module.ts';
import { Flag, type Runtime } from './runtime.ts';

export const HANDLER: Signature = { params: ['i32', 'i32'], result: 'i32' };

/** Why a handler came back to the dispatcher; those from `budget` on go to the host. */
export const Reason = {
  /** Look up the pc and go on. */
  next: 0,
  /** The same, but mode, translation or interrupts may have changed. */
  changed: 1,
  budget: 2,
  /** The operation at pc is not decoded. */
  decode: 3,
  /** The pc is worth compiling. */
  hot: 4,
  /** The page at pc has no decoded page. */
  page: 5,
  /** The pc is in a device's memory. */
  device: 6,
  /** The instruction at pc reaches into the next page. */
  straddle: 7,
  illegal: 8,
  halt: 9,
} as const;

/** Handlers that belong to no row, by their fixed numbers in the table. */
export const Fixed = {
  undecoded: 0,
  pageEnd: 1,
  straddle: 2,
  illegal: 3,
  straddleKnown: 4,
  /** As `undecoded`, and the second half of an instruction that a region holds: a store here must drop it. */
  tail: 5,
  first: 6,
} as const;
/** Numbers of handlers are below this; compiled regions come after. */
export const HANDLER_LIMIT = 4096;
/** Executions of a place before it is compiled. */
export const HOT = 1000;

const IP = 0;
const N = 1;
const VA = 2;
const ENTRY = 3;
const HOST = 4;
const PENDING = 5;
const RESYNC = 6;
const TARGET = 7;
const COUNT = 8;
const TEMPS = ['i64', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32'] as const;

/** How a direct jump's target lies to the jump, known when it is decoded. */
export type Reach = 'forward' | 'backward' | 'far' | 'none';

/** What makes a handler: the row, its constant operands, its reach. */
export interface HandlerKey {
  readonly row: number;
  readonly constants: Readonly<Record<string, number>>;
  readonly reach: Reach;
}

export const REGISTER_LETTERS = ['d', 'a', 'b', 'c'] as const;
/** Operands that are always constants of a handler. */
export const CONSTANT_LETTERS = ['k', 'r', 'z'] as const;

export class HandlerLowering implements Lowering {
  readonly cpuAddress: number | undefined;
  private readonly runtime: Runtime;
  private readonly calleeOf: (target: Callable) => number;
  /** Set while emitting: what the row needs at its end. */
  stores = false;

  constructor(cpuAddress: number | undefined, runtime: Runtime, calleeOf: (target: Callable) => number) {
    this.cpuAddress = cpuAddress;
    this.runtime = runtime;
    this.calleeOf = calleeOf;
  }

  callee(target: Callable): number {
    return this.calleeOf(target);
  }
  reg(e: Emitter, reg: number): void {
    const file = reg < 32 ? X : F;
    pushCell(e, file.offset + (reg - file.first) * 8, reg < 32 ? op.I64_LOAD : op.F64_LOAD);
  }
  setReg(e: Emitter, reg: number, value: Value): void {
    const file = reg < 32 ? X : F;
    storeCell(e, file.offset + (reg - file.first) * 8, () => e.value(value), reg < 32 ? op.I64_STORE : op.F64_STORE);
  }
  pc(e: Emitter, offset: number): void {
    pushCell(e, CELL.pageVa, op.I64_LOAD);
    e.get(IP);
    pushCell(e, CELL.page);
    e.op(op.i32Integer.sub);
    e.i32Const(2);
    e.op(op.i32Integer.shr_u);
    e.op(op.I64_EXTEND_U);
    e.op(op.i64Integer.add);
    if (offset !== 0) {
      e.i64Const(offset);
      e.op(op.i64Integer.add);
    }
  }

  /** Pushes the place of an access, or raises its fault. */
  private place(e: Emitter, address: Value, size: op.AccessSize, store: boolean, flags: number): void {
    pushHostAddress(e, { va: VA, entry: ENTRY }, address, size, store, undefined, () => {
      e.get(VA);
      e.i32Const(size | Flag.interpreter | flags);
      e.call(this.callee(store ? this.runtime.slowStore : this.runtime.slowLoad));
      e.tee(HOST);
      e.op(op.I32_EQZ);
      e.if(true);
      this.faulted(e);
      e.end();
      if (store && flags === 0) {
        pushCell(e, CELL.pendingSize);
        e.set(PENDING);
      }
      e.get(HOST);
    });
  }

  /** Raises the fault that a slow path noted. */
  private faulted(e: Emitter): void {
    pushCell(e, CELL.faultCause);
    e.op(op.I64_EXTEND_U);
    pushCell(e, CELL.faultTval, op.I64_LOAD);
    this.pc(e, 0);
    e.call(this.callee(trap));
    this.leave(e, Reason.changed, 0);
  }

  /** Returns to the dispatcher with `spent` instructions of this one counted. */
  leave(e: Emitter, reason: number, spent: number): void {
    storeCell(e, CELL.budget, () => {
      e.get(N);
      if (spent > 0) {
        e.i32Const(spent);
        e.op(op.i32Integer.sub);
      }
    });
    e.i32Const(reason);
    e.return();
  }

  gload(e: Emitter, { op: code, address, intent }: GuestLoad, into: number): void {
    const store = intent === 'store';
    this.place(e, address, op.accessSize(code), store, store ? Flag.atomic : 0);
    e.memory(code, 0);
    e.set(into);
  }

  gstore(e: Emitter, { op: code, address, value }: GuestStore): void {
    this.stores = true;
    e.i32Const(0);
    e.set(PENDING);
    this.place(e, address, op.accessSize(code), true, 0);
    e.value(value);
    e.memory(code, 0);
    e.get(PENDING);
    e.if(true);
    e.call(this.callee(this.runtime.commitStore));
    e.op(op.I32_EQZ);
    e.if(true);
    this.faulted(e);
    e.end();
    e.i32Const(1);
    e.set(RESYNC);
    e.end();
  }

  raise(e: Emitter, cause: Value, tval: Value): void {
    if (isConst(cause) && cause.imm === Cause.illegalInstruction) {
      this.leaveAt(e, Reason.illegal);
      return;
    }
    e.value(apply(op.I64_EXTEND_U, cause));
    e.value(tval);
    this.pc(e, 0);
    e.call(this.callee(trap));
    this.leave(e, Reason.changed, 0);
  }

  /** Leaves with the pc of this operation, nothing of it done. */
  leaveAt(e: Emitter, reason: number): void {
    storeCell(e, AT.pc, () => this.pc(e, 0), op.I64_STORE);
    this.leave(e, reason, 0);
  }

  setPc(e: Emitter, push: () => void): void {
    storeCell(e, AT.pc, push, op.I64_STORE);
  }

  /** Goes to the operation at the address in the local `target`. */
  tailCall(e: Emitter, handlerType: number, pushIp: () => void): void {
    pushIp();
    e.tee(TARGET);
    e.get(N);
    e.i32Const(1);
    e.op(op.i32Integer.sub);
    e.get(TARGET);
    e.memory(op.I32_LOAD16_U, 0);
    e.returnCallIndirect(handlerType);
  }
}

/** Writes the handler of a row. */
export function emitHandler(
  lowering: HandlerLowering,
  runtime: Runtime,
  row: Instruction,
  key: HandlerKey,
  handlerType: number,
): Body {
  const length = row.encoding.bits === 32 ? 4 : 2;
  const insn = new RiscvInsn(length, i64(0));
  insn.locals.push(...HANDLER.params, ...TEMPS);
  row.semantics(insn, operandsFor(row, key));
  insn.finish();
  const e = new Emitter(lowering, insn.locals, HANDLER.params.length);
  lowering.stores = false;
  if (row.extension === 'zicsr') countInstructions(e);
  if (row.fp !== 'none') checkFloat(e, lowering, runtime, row.fp);
  e.statements(insn.statements);
  const fallThrough = () => {
    if (lowering.stores) {
      e.get(RESYNC);
      e.if(true);
      lowering.setPc(e, () => lowering.pc(e, length));
      lowering.leave(e, Reason.changed, 1);
      e.end();
    }
    lowering.tailCall(e, handlerType, () => {
      e.get(IP);
      e.i32Const(length * 4);
      e.op(op.i32Integer.add);
    });
  };
  const { end } = insn;
  switch (end.kind) {
    case 'next':
      fallThrough();
      break;
    case 'system':
      lowering.setPc(e, () => e.value(end.target));
      lowering.leave(e, Reason.changed, 1);
      break;
    case 'check':
      e.value(end.changed);
      e.if(true);
      lowering.setPc(e, () => lowering.pc(e, length));
      lowering.leave(e, Reason.changed, 1);
      e.end();
      fallThrough();
      break;
    case 'jump':
      jump(e, lowering, end.target, key.reach, handlerType);
      break;
    case 'branch':
      e.value(end.condition);
      e.if();
      jump(e, lowering, end.target, key.reach, handlerType);
      e.end();
      fallThrough();
      break;
  }
  return e.finish();
}

function jump(e: Emitter, lowering: HandlerLowering, target: Value, reach: Reach, handlerType: number): void {
  if (reach === 'none' || reach === 'far') {
    lowering.setPc(e, () => e.value(target));
    lowering.leave(e, Reason.next, 1);
    return;
  }
  const pushIp = () => {
    e.get(IP);
    e.get(IP);
    e.memory(op.I32_LOAD, 4);
    e.i32Const(2);
    e.op(op.i32Integer.shl);
    e.op(op.i32Integer.add);
  };
  if (reach === 'backward') {
    // Count the target; a region there, or the end of the budget, goes to the dispatcher.
    pushIp();
    pushCell(e, CELL.page);
    e.op(op.i32Integer.sub);
    e.i32Const(1);
    e.op(op.i32Integer.shr_u);
    pushCell(e, CELL.page);
    e.op(op.i32Integer.add);
    e.tee(TARGET);
    e.memory(op.I32_LOAD, SIDE);
    e.i32Const(1);
    e.op(op.i32Integer.add);
    e.tee(COUNT);
    e.i32Const(HOT);
    e.op(op.i32Compare.ge_u);
    e.get(N);
    e.i32Const(0);
    e.op(op.i32Compare.le_s);
    e.op(op.i32Integer.or);
    e.if(true);
    lowering.setPc(e, () => e.value(target));
    lowering.leave(e, Reason.next, 1);
    e.end();
    e.get(TARGET);
    e.get(COUNT);
    e.memory(op.I32_STORE, SIDE);
  }
  lowering.tailCall(e, handlerType, pushIp);
}

/** Brings `instret` up to date for a row that may read it. */
function countInstructions(e: Emitter): void {
  storeCell(
    e,
    AT.instret,
    () => {
      pushCell(e, AT.instret, op.I64_LOAD);
      pushCell(e, CELL.given);
      e.get(N);
      e.op(op.i32Integer.sub);
      e.op(op.I64_EXTEND_S);
      e.op(op.i64Integer.add);
    },
    op.I64_STORE,
  );
  storeCell(e, CELL.given, () => e.get(N));
}

function checkFloat(e: Emitter, lowering: HandlerLowering, runtime: Runtime, use: 'read' | 'write'): void {
  pushCell(e, use === 'write' ? AT.fpDirty : AT.fpOn);
  e.op(op.I32_EQZ);
  e.if(true);
  if (use === 'write') {
    pushCell(e, AT.fpOn);
    e.op(op.I32_EQZ);
    e.if();
  }
  lowering.leaveAt(e, Reason.illegal);
  if (use === 'write') {
    e.end();
    e.call(lowering.callee(runtime.dirtyFloat));
  }
  e.end();
}

/** Operands as parameters: bytes and words of the decoded operation. */
export function operandsFor(row: Instruction, key: HandlerKey): Operands {
  const operands: Record<string, RegOperand | Value> = {};
  const ip = local(IP, 'i32');
  let place = 2;
  for (const letter of REGISTER_LETTERS) {
    if (!row.encoding.fields.some((field) => field.letter === letter)) continue;
    operands[letter] = key.constants[letter] ?? load(op.I32_LOAD8_U, ip, place);
    place++;
  }
  for (const [letter, value] of Object.entries(key.constants)) operands[letter] ??= value;
  const immediate = row.encoding.fields.some(({ letter }) => letter === 'i');
  if (immediate && place > 4) throw new RangeError(`${row.mnemonic}: an immediate and ${place - 2} registers`);
  operands.i = immediate ? apply(op.I64_EXTEND_S, load(op.I32_LOAD, ip, 4)) : i64(0);
  return operands as unknown as Operands;
}

/** The handlers of no row. */
export function emitFixed(lowering: HandlerLowering, reason: number): Body {
  const e = new Emitter(lowering, [...HANDLER.params, ...TEMPS], HANDLER.params.length);
  lowering.leaveAt(e, reason);
  e.unreachable();
  return e.finish();
}

/**
 * The handler of the last halfword of a page, where a long instruction begins
 * that has been decoded into the page's tail: looks whether its other half is
 * still what it was.
 */
export function emitStraddleKnown(lowering: HandlerLowering, runtime: Runtime, handlerType: number): Body {
  const e = new Emitter(lowering, [...HANDLER.params, ...TEMPS], HANDLER.params.length);
  const toTail = (STRADDLE_SLOT - (SLOTS - 1)) * OPERATION;
  lowering.pc(e, 2);
  e.call(lowering.callee(runtime.fetchHalf));
  e.get(IP);
  e.memory(op.I32_LOAD, STRADDLE_HALF - (SLOTS - 1) * OPERATION);
  e.op(op.i32Compare.ne);
  e.if(true);
  lowering.leaveAt(e, Reason.straddle);
  e.end();
  // As if the page began so much later: then the pc of the operation in the tail is right.
  storeCell(e, CELL.page, () => {
    e.get(IP);
    e.i32Const(toTail - (SLOTS - 1) * OPERATION);
    e.op(op.i32Integer.add);
  });
  e.get(IP);
  e.i32Const(toTail);
  e.op(op.i32Integer.add);
  e.get(N);
  e.get(IP);
  e.memory(op.I32_LOAD16_U, toTail);
  e.returnCallIndirect(handlerType);
  return e.finish();
}
