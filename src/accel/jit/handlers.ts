/**
 * The interpreter tier: one small WebAssembly function for each kind of
 * instruction, reached from one another by tail calls.
 *
 * A handler takes the address of a decoded operation and the instructions left
 * of the budget. A decoded operation is 8 bytes: the handler's number (u16),
 * then 6 bytes of operands, which only the Isa packs and unpacks.
 */
import { type Callable, type GuestLoad, type GuestStore, hostFunction } from '../../ir/code.ts';
import type { Insn } from '../../ir/insn.ts';
import * as op from '../../ir/op.ts';
import { isConst, type Value } from '../../ir/value.ts';
import { type HandlerKey, type Isa, passGates, type Reach } from '../../isa/isa.ts';
import { pushCell, pushHostAddress, pushRegister, storeCell, storeRegister } from './access.ts';
import { Emitter, type Lowering } from './emit.ts';
import { CELL, OPERATION, type PageLayout, pageLayout } from './layout.ts';
import type { Body } from './module.ts';
import { HANDLER, Reason } from './reasons.ts';
import { Flag } from './access-flags.ts';

const IP = 0;
const N = 1;
const VA = 2;
const ENTRY = 3;
const HOST = 4;
const PENDING = 5;
const RESYNC = 6;
const TARGET = 7;
const COUNT = 8;
const TAG = 9;
const TEMPS = ['i64', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i64'] as const;

/** The run-time functions that handlers call. */
export type HandlerRuntime = Readonly<Record<'slowLoad' | 'slowStore' | 'commitStore' | 'raise', Callable>>;

export class HandlerLowering implements Lowering {
  readonly cpuAddress: number | undefined;
  readonly isa: Isa;
  readonly page: PageLayout;
  private readonly runtime: HandlerRuntime;
  private readonly calleeOf: (target: Callable) => number;
  /** Set while emitting: what the instruction needs at its end. */
  stores = false;

  constructor(
    isa: Isa,
    cpuAddress: number | undefined,
    runtime: HandlerRuntime,
    calleeOf: (target: Callable) => number,
  ) {
    this.isa = isa;
    this.page = pageLayout(isa.granule);
    this.cpuAddress = cpuAddress;
    this.runtime = runtime;
    this.calleeOf = calleeOf;
  }

  callee(target: Callable): number {
    return this.calleeOf(target);
  }
  reg(e: Emitter, reg: number): void {
    pushRegister(e, this.isa.registers[reg]);
  }
  setReg(e: Emitter, reg: number, value: Value): void {
    storeRegister(e, this.isa.registers[reg], () => e.value(value));
  }
  pc(e: Emitter, offset: number): void {
    pushCell(e, CELL.pageVa, op.I64_LOAD);
    e.get(IP);
    pushCell(e, CELL.page);
    e.op(op.i32Integer.sub);
    e.i32Const(3 - this.page.shift);
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
    const temps = { va: VA, entry: ENTRY, tag: TAG, unaligned: this.isa.unaligned };
    pushHostAddress(e, temps, address, size, store, undefined, () => {
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
    pushCell(e, CELL.faultTval, op.I64_LOAD);
    this.pc(e, 0);
    e.call(this.callee(this.runtime.raise));
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
    if (isConst(cause) && cause.imm === this.isa.illegalCause) {
      this.leaveAt(e, Reason.illegal);
      return;
    }
    e.value(cause);
    e.value(tval);
    this.pc(e, 0);
    e.call(this.callee(this.runtime.raise));
    this.leave(e, Reason.changed, 0);
  }

  /** Leaves with the pc of this operation, nothing of it done. */
  leaveAt(e: Emitter, reason: number): void {
    this.setPc(e, () => this.pc(e, 0));
    this.leave(e, reason, 0);
  }

  setPc(e: Emitter, push: () => void): void {
    storeCell(e, this.isa.fields.pc, push, op.I64_STORE);
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

/** The instruction of a handler as IR. */
export function handlerInsn(isa: Isa, key: HandlerKey): Insn {
  return isa.handler(key, [...HANDLER.params, ...TEMPS], (m) => passGates(m, key.gates));
}

/** Writes a handler; `insn` is its instruction from `handlerInsn`. */
export function emitHandler(
  lowering: HandlerLowering,
  key: HandlerKey,
  reach: Reach,
  insn: Insn,
  handlerType: number,
): Body {
  const { length } = key;
  const e = new Emitter(lowering, insn.locals, HANDLER.params.length);
  lowering.stores = false;
  if (key.counts) countInstructions(e, lowering.isa.fields.instructions);
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
      e.i32Const(length << (3 - lowering.page.shift));
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
      jump(e, lowering, end.target, reach, handlerType);
      break;
    case 'branch':
      e.value(end.condition);
      e.if();
      jump(e, lowering, end.target, reach, handlerType);
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
    e.i32Const(3 - lowering.page.shift);
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
    e.memory(op.I32_LOAD, lowering.page.side);
    e.i32Const(1);
    e.op(op.i32Integer.add);
    e.tee(COUNT);
    pushCell(e, CELL.hot);
    e.op(op.i32Compare.ge_s);
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
    e.memory(op.I32_STORE, lowering.page.side);
  }
  lowering.tailCall(e, handlerType, pushIp);
}

/** Brings the count of instructions up to date for an instruction that may read it. */
function countInstructions(e: Emitter, instructions: number): void {
  storeCell(
    e,
    instructions,
    () => {
      pushCell(e, instructions, op.I64_LOAD);
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

/** The handlers of no instruction. */
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
export function emitStraddleKnown(lowering: HandlerLowering, fetchHalf: Callable, handlerType: number): Body {
  const { page } = lowering;
  const e = new Emitter(lowering, [...HANDLER.params, ...TEMPS], HANDLER.params.length);
  const toTail = (page.straddleSlot - (page.slots - 1)) * OPERATION;
  lowering.pc(e, 2);
  e.call(lowering.callee(fetchHalf));
  e.get(IP);
  e.memory(op.I32_LOAD, page.straddleHalf - (page.slots - 1) * OPERATION);
  e.op(op.i32Compare.ne);
  e.if(true);
  lowering.leaveAt(e, Reason.straddle);
  e.end();
  // As if the page began so much later: then the pc of the operation in the tail is right.
  storeCell(e, CELL.page, () => {
    e.get(IP);
    e.i32Const(toTail - (page.slots - 1) * OPERATION);
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

/** What every handler calls, where the run-time functions themselves are not. */
export const HANDLER_RUNTIME: HandlerRuntime = {
  slowLoad: hostFunction('slow_load', ['i64', 'i32'], 'i32'),
  slowStore: hostFunction('slow_store', ['i64', 'i32'], 'i32'),
  commitStore: hostFunction('commit_store', [], 'i32'),
  raise: hostFunction('raise', ['i32', 'i64', 'i64']),
};
export const HANDLER_CALLEES: readonly Callable[] = Object.values(HANDLER_RUNTIME);
