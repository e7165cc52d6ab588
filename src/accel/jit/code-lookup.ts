/** Finding the code of a pc, in functions written by hand: the instruction TLB, decoded pages and their cells. */
import * as op from '../../ir/op.ts';
import { pushCell, storeCell } from './access.ts';
import type { Emitter, Lowering } from './emit.ts';
import { CELL, ITLB, ITLB_ENTRIES, type PageLayout } from './layout.ts';

/** Pushes the ITLB entry of the pc in local `pc`, and compares: leaves i32 "missed". */
export function compareItlb(e: Emitter, mode: number, pc: number, entry: number): void {
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
export function pushCodePage(
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
export function pushCellAddress(e: Emitter, page: PageLayout, base: number, pc: number): void {
  e.get(base);
  pushSlot(e, page, pc, 4);
  e.op(op.i32Integer.add);
}

/** Pushes the number of the pc's slot in its page, times `bytes`. */
export function pushSlot(e: Emitter, { granule, shift }: PageLayout, pc: number, bytes: 4 | 8): void {
  e.get(pc);
  e.op(op.I32_WRAP);
  e.i32Const(4096 - granule);
  e.op(op.i32Integer.and);
  const left = Math.log2(bytes) - shift;
  if (left === 0) return;
  e.i32Const(left);
  e.op(op.i32Integer.shl);
}

/** Tells the interpreter which page it is in. */
export function storePage(e: Emitter, pc: number, base: number): void {
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
