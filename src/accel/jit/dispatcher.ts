/**
 * The loop that everything returns to: looks up the pc, goes to its region or its handler.
 */
import * as op from '../../ir/op.ts';
import { define } from '../../ir/code.ts';
import { add32, cpu, eq32, gtS32, i32, load, sub32 } from '../../ir/value.ts';
import type { Isa, IsaFunctions } from '../../isa/isa.ts';
import { pushCell, storeCell } from './access.ts';
import { compareItlb, pushCellAddress, pushSlot, storePage } from './code-lookup.ts';
import { Emitter, type Lowering } from './emit.ts';
import { CELL, ITLB, OPERATION, pageLayout } from './layout.ts';
import { isMarked, unmark } from './marks.ts';
import type { Body, Signature } from './module.ts';
import { HANDLER_BITS, HANDLER_LIMIT, Reason } from './reasons.ts';
import { DEPTH, type DispatchTypes, goAcross } from './resume.ts';
import { Fetch, type Runtime } from './runtime.ts';

export const RUN: Signature = { params: [], result: 'i32' };

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
    f.if(eq32(taken, 3), () => {
      // The next instruction belongs to the one before: the slice does not end between them.
      const missing = f.let(sub32(i32(1), load(op.I32_LOAD, cpu, CELL.budget)));
      f.if(gtS32(missing, 0), () => {
        for (const at of [CELL.budget, CELL.given])
          f.store(op.I32_STORE, cpu, add32(load(op.I32_LOAD, cpu, at), missing), at);
      });
    });
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
