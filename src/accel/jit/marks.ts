/**
 * Marked pcs: a region that returns one wants the dispatcher to look at the
 * world, or to let the interpreter go on. No caller takes it for the address
 * it waits for.
 *
 * Where instructions are aligned the mark is bit 0. Elsewhere it is a bit 62
 * that differs from bit 63: such an address is canonical nowhere, and an Isa
 * raises its exception before a pc is one.
 */
import * as op from '../../ir/op.ts';
import type { Emitter } from './emit.ts';

const BIT_62 = 1n << 62n;

/** Marks the pc on the stack. */
export function mark(e: Emitter, granule: number): void {
  e.i64Const(granule > 1 ? 1 : BIT_62);
  e.op(granule > 1 ? op.i64Integer.or : op.i64Integer.xor);
}

/** Marks the pc on the stack if the i64 that `push` pushes is 1, and not if it is 0. */
export function markIf(e: Emitter, granule: number, push: () => void): void {
  push();
  if (granule === 1) {
    e.i64Const(62);
    e.op(op.i64Integer.shl);
  }
  e.op(granule > 1 ? op.i64Integer.or : op.i64Integer.xor);
}

/** Takes the mark from the pc on the stack. */
export function unmark(e: Emitter, granule: number): void {
  e.i64Const(granule > 1 ? -2 : BIT_62);
  e.op(granule > 1 ? op.i64Integer.and : op.i64Integer.xor);
}

/** Replaces the pc on the stack, which is in `local` too, by whether it is marked (i32). */
export function isMarked(e: Emitter, granule: number, local: number): void {
  if (granule > 1) {
    e.op(op.I32_WRAP);
    e.i32Const(1);
    e.op(op.i32Integer.and);
  } else {
    e.get(local);
    e.i64Const(1);
    e.op(op.i64Integer.shl);
    e.op(op.i64Integer.xor);
    e.i64Const(0);
    e.op(op.i64Compare.lt_s);
  }
}
