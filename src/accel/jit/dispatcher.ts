/**
 * The loop that everything returns to, and the jump that regions make to one
 * another: look up the pc, go to its region or its handler.
 */
import * as op from '../../ir/op.ts';
import { define } from '../../ir/code.ts';
import { cpu, eq32, i32, load, sub32 } from '../../ir/value.ts';
import type { Isa, IsaFunctions } from '../../isa/isa.ts';
import { pushCell, storeCell } from './access.ts';
import { Emitter, type Lowering } from './emit.ts';
import { CELL, ITLB, ITLB_ENTRIES, OPERATION, type PageLayout, pageLayout } from './layout.ts';
import { isMarked, mark, unmark } from './marks.ts';
import type { Body, Signature } from './module.ts';
import { HANDLER_BITS, HANDLER_LIMIT, Reason } from './reasons.ts';
import { Fetch, type Runtime } from './runtime.ts';

/** A region takes the pc it is entered at and how deep calls may still nest; it returns the next pc. */
export const REGION: Signature = { params: ['i64', 'i32'], result: 'i64' };
/** resume(pc, depth, expected): see `emitResume`. */
export const RESUME: Signature = { params: ['i64', 'i32', 'i64'], result: 'i64' };
export const RUN: Signature = { params: [], result: 'i32' };
/** How deep compiled calls nest before they return to the dispatcher. */
export const DEPTH = 120;

/** The numbers of these types in the run-time module. */
export interface DispatchTypes {
  readonly region: number;
  readonly handler: number;
}

/** changed(): takes a pending interrupt; 0, or the `Reason` to leave with: the CPU sleeps or has stopped. */
export function changed({ fields }: Isa, { takeInterrupt, wakes }: IsaFunctions, runtime: Runtime) {
  return define('changed', [], 'i32', (f) => {
    // A trap retires nothing, but a guest whose handler traps again and again must come to the end of its slice.
    for (const at of [CELL.budget, CELL.given]) f.store(op.I32_STORE, cpu, sub32(load(op.I32_LOAD, cpu, at), 1), at);
    const taken = f.call(takeInterrupt);
    f.call(runtime.enterRegime);
    // An exception that could not be delivered may have stopped the CPU.
    f.if(load(op.I32_LOAD, cpu, fields.stopped), () => f.return(i32(Reason.halt)));
    f.if(load(op.I32_LOAD, cpu, fields.waiting), () => {
      f.if(
        f.call(wakes),
        () => f.store(op.I32_STORE, cpu, i32(0), fields.waiting),
        () => f.return(i32(Reason.halt)),
      );
    });
    f.if(eq32(taken, 2), () => f.return(i32(Reason.single)));
    f.return(i32(0));
  });
}

/** Takes one off the budget, unretired, as `changed` does: the host will execute something or raise a trap. */
function spend(e: Emitter): void {
  for (const at of [CELL.budget, CELL.given]) {
    storeCell(e, at, () => {
      pushCell(e, at);
      e.i32Const(1);
      e.op(op.i32Integer.sub);
    });
  }
}

/** Pushes the ITLB entry of the pc in local `pc`, and compares: leaves i32 "missed". */
function compareItlb(e: Emitter, mode: number, pc: number, entry: number): void {
  e.get(pc);
  e.i64Const(8);
  e.op(op.i64Integer.shr_u);
  e.op(op.I32_WRAP);
  e.i32Const((ITLB_ENTRIES - 1) << 4);
  e.op(op.i32Integer.and);
  const known = e.lowering.cpuAddress;
  if (known === undefined) {
    e.pushCpu();
    e.op(op.i32Integer.add);
  }
  e.tee(entry);
  e.memory(op.I64_LOAD, ITLB + (known ?? 0));
  e.get(pc);
  e.i64Const(-4096);
  e.op(op.i64Integer.and);
  pushCell(e, mode);
  e.i32Const(1);
  e.op(op.i32Integer.add);
  e.op(op.I64_EXTEND_U);
  e.op(op.i64Integer.add);
  e.op(op.i64Compare.ne);
}

/** Pushes the decoded page of the pc in local `pc`, or 0 where the dispatcher has to see to it. */
function pushPage(
  e: Emitter,
  { cpuAddress }: Lowering,
  mode: number,
  pc: number,
  entry: number,
  knownPage: number,
): void {
  compareItlb(e, mode, pc, entry);
  e.if(true, 'i32');
  e.get(pc);
  e.call(knownPage);
  e.else();
  e.get(entry);
  e.memory(op.I32_LOAD, ITLB + 8 + (cpuAddress ?? 0));
  e.end();
}

/** Pushes the side cell's address (less SIDE) of the pc in a decoded page. */
function pushCellAddress(e: Emitter, page: PageLayout, base: number, pc: number): void {
  e.get(base);
  pushSlot(e, page, pc, 4);
  e.op(op.i32Integer.add);
}

/** Pushes the number of the pc's slot in its page, times `bytes`. */
function pushSlot(e: Emitter, { granule, shift }: PageLayout, pc: number, bytes: 4 | 8): void {
  e.get(pc);
  e.op(op.I32_WRAP);
  e.i32Const(4096 - granule);
  e.op(op.i32Integer.and);
  const left = Math.log2(bytes) - shift;
  if (left === 0) return;
  e.i32Const(left);
  e.op(op.i32Integer.shl);
}

/** Pushes whether the budget or the depth is used up. The host's stack is bounded, a guest's recursion is not. */
function pushSpent(e: Emitter, depth: number): void {
  pushCell(e, CELL.budget);
  e.i32Const(0);
  e.op(op.i32Compare.le_s);
  e.get(depth);
  e.i32Const(0);
  e.op(op.i32Compare.le_s);
  e.op(op.i32Integer.or);
}

/** goto(pc, depth): enters the region at pc, or returns pc where there is none. */
export function emitGoto({ granule, fields }: Isa, lowering: Lowering, regionType: number, knownPage: number): Body {
  const page = pageLayout(granule);
  const [PC, DEPTH_LEFT, ENTRY, SLOT] = [0, 1, 2, 3];
  const e = new Emitter(lowering, [...REGION.params, 'i32', 'i32'], 2);
  pushSpent(e, DEPTH_LEFT);
  e.if(true);
  e.get(PC);
  e.return();
  e.end();
  pushPage(e, lowering, fields.mode, PC, ENTRY, knownPage);
  e.tee(SLOT);
  e.op(op.I32_EQZ);
  e.if(true);
  e.get(PC);
  e.return();
  e.end();
  pushCellAddress(e, page, SLOT, PC);
  e.memory(op.I32_LOAD, page.side);
  e.tee(SLOT);
  e.i32Const(HANDLER_LIMIT);
  e.op(op.i32Compare.lt_s);
  e.if(true);
  e.get(PC);
  e.return();
  e.end();
  e.get(PC);
  e.get(DEPTH_LEFT);
  e.get(SLOT);
  e.i32Const(HANDLER_BITS);
  e.op(op.i32Integer.shr_u);
  e.returnCallIndirect(regionType);
  return e.finish();
}

/**
 * resume(pc, depth, expected): for a region whose call came back with another pc than the address it waits for. Goes on
 * at pc, region by region and instruction by instruction, until `expected` is reached; any other pc it gives is for the
 * dispatcher. So a callee that is not compiled leaves its callers where they are.
 */
export function emitResume(
  isa: Isa,
  lowering: Lowering,
  types: DispatchTypes,
  knownPage: number,
  across: number | undefined,
): Body {
  const { granule, fields } = isa;
  const page = pageLayout(granule);
  const [PC, DEPTH_LEFT, EXPECTED, ENTRY, BASE, IP, SLOT] = [0, 1, 2, 3, 4, 5, 6];
  const e = new Emitter(lowering, [...RESUME.params, 'i32', 'i32', 'i32', 'i32'], 3);
  const top = {};
  /** The dispatcher looks at the world; no caller takes the pc for the one it waits for. */
  const giveUp = () => {
    storeCell(e, CELL.interpret, () => e.i32Const(0));
    e.get(PC);
    mark(e, granule);
    e.return();
  };
  /** PC is on the stack. */
  const goOn = () => {
    e.tee(PC);
    e.get(EXPECTED);
    e.op(op.i64Compare.ne);
    e.brIf(top);
    e.get(PC);
    e.return();
  };
  e.loop(top);
  e.get(PC);
  isMarked(e, granule, PC);
  pushSpent(e, DEPTH_LEFT);
  e.op(op.i32Integer.or);
  e.if(true);
  e.get(PC);
  e.return();
  e.end();
  pushPage(e, lowering, fields.mode, PC, ENTRY, knownPage);
  e.tee(BASE);
  e.op(op.I32_EQZ);
  e.if(true);
  giveUp();
  e.end();
  pushCellAddress(e, page, BASE, PC);
  e.tee(ENTRY);
  e.memory(op.I32_LOAD, page.side);
  e.tee(SLOT);
  e.i32Const(HANDLER_LIMIT);
  e.op(op.i32Compare.ge_s);
  e.if();
  e.get(PC);
  e.get(DEPTH_LEFT);
  e.i32Const(1);
  e.op(op.i32Integer.sub);
  e.get(SLOT);
  e.i32Const(HANDLER_BITS);
  e.op(op.i32Integer.shr_u);
  e.callIndirect(types.region);
  goOn();
  e.end();
  // Not compiled: counted, and executed as the dispatcher would.
  e.get(SLOT);
  pushCell(e, CELL.hot);
  e.op(op.i32Compare.lt_s);
  e.if();
  e.get(SLOT);
  e.i32Const(1);
  e.op(op.i32Integer.add);
  e.tee(SLOT);
  pushCell(e, CELL.hot);
  e.op(op.i32Compare.eq);
  e.if(true);
  giveUp();
  e.end();
  e.get(ENTRY);
  e.get(SLOT);
  e.memory(op.I32_STORE, page.side);
  e.end();
  storePage(e, PC, BASE);
  e.get(BASE);
  pushSlot(e, page, PC, OPERATION);
  e.op(op.i32Integer.add);
  e.tee(IP);
  pushCell(e, CELL.budget);
  e.get(IP);
  e.memory(op.I32_LOAD16_U, 0);
  e.callIndirect(types.handler);
  e.set(SLOT);
  goAcross(e, isa, types.handler, across, SLOT, IP);
  pushCell(e, fields.pc, op.I64_LOAD);
  e.set(PC);
  e.get(SLOT);
  e.if(true);
  giveUp();
  e.end();
  e.get(PC);
  goOn();
  e.end();
  e.unreachable();
  return e.finish();
}

/**
 * When the handler that left `reason` was stopped by an instruction across pages: goes on with that where it is known,
 * which leaves another reason.
 */
function goAcross(
  e: Emitter,
  { fields }: Isa,
  handlerType: number,
  across: number | undefined,
  reason: number,
  ip: number,
) {
  if (across === undefined) return;
  e.get(reason);
  e.i32Const(Reason.straddle);
  e.op(op.i32Compare.eq);
  e.if();
  pushCell(e, fields.pc, op.I64_LOAD);
  e.call(across);
  e.tee(ip);
  e.if();
  e.get(ip);
  pushCell(e, CELL.budget);
  e.get(ip);
  e.memory(op.I32_LOAD16_U, 0);
  e.callIndirect(handlerType);
  e.set(reason);
  e.end();
  e.end();
}

/** Tells the interpreter which page it is in. */
function storePage(e: Emitter, pc: number, base: number): void {
  storeCell(
    e,
    CELL.pageVa,
    () => {
      e.get(pc);
      e.i64Const(-4096);
      e.op(op.i64Integer.and);
    },
    op.I64_STORE,
  );
  storeCell(e, CELL.page, () => e.get(base));
}

/** run(): dispatches until the host is needed; returns a `Reason`. */
export function emitRun(
  isa: Isa,
  lowering: Lowering,
  types: DispatchTypes,
  fetchPage: number,
  changedFunction: number,
  across: number | undefined,
): Body {
  const { granule, fields } = isa;
  const page = pageLayout(granule);
  const [PC, BASE, IP, SLOT, R, ENTRY] = [0, 1, 2, 3, 4, 5];
  const e = new Emitter(lowering, ['i64', 'i32', 'i32', 'i32', 'i32', 'i32'], 0);
  const top = {};
  const reasonChanged = () => {
    e.call(changedFunction);
    e.tee(R);
    e.if();
    e.get(R);
    e.return();
    e.end();
  };
  e.loop(top);
  pushCell(e, CELL.budget);
  e.i32Const(0);
  e.op(op.i32Compare.le_s);
  e.if(true);
  e.i32Const(Reason.budget);
  e.return();
  e.end();
  pushCell(e, fields.pc, op.I64_LOAD);
  e.set(PC);
  compareItlb(e, fields.mode, PC, ENTRY);
  e.if();
  e.get(PC);
  e.call(fetchPage);
  e.tee(BASE);
  e.i32Const(2);
  e.op(op.i32Compare.le_u);
  e.if();
  e.get(BASE);
  e.op(op.I32_EQZ);
  e.if();
  reasonChanged();
  e.br(top);
  e.end();
  e.get(BASE);
  e.i32Const(Fetch.device);
  e.op(op.i32Compare.eq);
  e.if();
  spend(e);
  e.end();
  e.get(BASE);
  e.i32Const(Reason.page - 1);
  e.op(op.i32Integer.add);
  e.return();
  e.end();
  e.else();
  e.get(ENTRY);
  e.memory(op.I32_LOAD, ITLB + 8 + (lowering.cpuAddress ?? 0));
  e.set(BASE);
  e.end();
  // The operation and its side cell.
  e.get(BASE);
  pushSlot(e, page, PC, OPERATION);
  e.op(op.i32Integer.add);
  e.set(IP);
  pushCellAddress(e, page, BASE, PC);
  e.tee(ENTRY);
  e.memory(op.I32_LOAD, page.side);
  e.set(SLOT);
  e.get(IP);
  e.memory(op.I32_LOAD16_U, 0);
  e.set(R);
  pushCell(e, CELL.interpret);
  e.op(op.I32_EQZ);
  e.if();
  e.get(SLOT);
  e.i32Const(HANDLER_LIMIT);
  e.op(op.i32Compare.ge_s);
  e.if();
  e.get(PC);
  e.i32Const(DEPTH);
  e.get(SLOT);
  e.i32Const(HANDLER_BITS);
  e.op(op.i32Integer.shr_u);
  e.callIndirect(types.region);
  e.tee(PC);
  isMarked(e, granule, PC);
  e.if();
  // Marked: the interpreter has to go on, or the world has changed.
  e.get(PC);
  unmark(e, granule);
  e.set(PC);
  storeCell(e, fields.pc, () => e.get(PC), op.I64_STORE);
  pushCell(e, CELL.interpret);
  e.brIf(top);
  reasonChanged();
  e.br(top);
  e.end();
  storeCell(e, fields.pc, () => e.get(PC), op.I64_STORE);
  e.br(top);
  e.end();
  e.get(SLOT);
  pushCell(e, CELL.hot);
  e.op(op.i32Compare.lt_s);
  e.if();
  e.get(ENTRY);
  e.get(SLOT);
  e.i32Const(1);
  e.op(op.i32Integer.add);
  e.tee(SLOT);
  e.memory(op.I32_STORE, page.side);
  e.get(SLOT);
  pushCell(e, CELL.hot);
  e.op(op.i32Compare.eq);
  e.if();
  e.i32Const(Reason.hot);
  e.return();
  e.end();
  e.end();
  e.else();
  // Where a region begins, the operation's own handler stands in the cell.
  storeCell(e, CELL.interpret, () => e.i32Const(0));
  e.get(SLOT);
  e.i32Const(HANDLER_LIMIT);
  e.op(op.i32Compare.ge_s);
  e.if();
  e.get(SLOT);
  e.i32Const(HANDLER_LIMIT - 1);
  e.op(op.i32Integer.and);
  e.set(R);
  e.end();
  e.end();
  storePage(e, PC, BASE);
  e.get(IP);
  pushCell(e, CELL.budget);
  e.get(R);
  e.callIndirect(types.handler);
  e.set(R);
  goAcross(e, isa, types.handler, across, R, IP);
  e.get(R);
  e.op(op.I32_EQZ);
  e.brIf(top);
  e.get(R);
  e.i32Const(Reason.changed);
  e.op(op.i32Compare.eq);
  e.if();
  reasonChanged();
  e.br(top);
  e.end();
  e.get(R);
  e.i32Const(Reason.straddle);
  e.op(op.i32Compare.ge_u);
  e.if();
  spend(e);
  e.end();
  e.get(R);
  e.return();
  e.end();
  e.unreachable();
  return e.finish();
}
