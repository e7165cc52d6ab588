/** What a region does whose call came back from where it did not expect it: going on until the callee is done. */
import * as op from '../../ir/op.ts';
import type { Isa } from '../../isa/isa.ts';
import { pushCell, storeCell } from './access.ts';
import { pushCellAddress, pushCodePage, pushSlot, storePage } from './code-lookup.ts';
import { Emitter, type Lowering } from './emit.ts';
import { CELL, OPERATION, pageLayout } from './layout.ts';
import { isMarked, mark } from './marks.ts';
import type { Body, Signature } from './module.ts';
import { HANDLER_BITS, HANDLER_LIMIT, Reason } from './reasons.ts';

/** resume(pc, depth, expected): see `emitResume`. */
export const RESUME: Signature = { params: ['i64', 'i32', 'i64'], result: 'i64' };

/** How deep compiled calls nest before they return to the dispatcher. */
export const DEPTH = 120;

/** The numbers of these types in the run-time module. */
export interface DispatchTypes {
  readonly region: number;
  readonly handler: number;
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
  pushCodePage(e, lowering, fields.mode, PC, ENTRY, knownPage);
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
export function goAcross(
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
