/**
 * The seldom ways out of a region: sites, where an instruction may not finish,
 * the budget may be used up, or code begins that was never executed.
 *
 * Those of one block share code: leaving at the n-th jumps into a chain whose
 * k-th link stores the registers written between sites k - 1 and k. All chains
 * end at one tail, which a local tells how to leave: see `WayOut`.
 */
import { Label } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import { storeCell } from './access.ts';
import type { Emitter } from './emit.ts';
import { RegisterSet } from './flow.ts';
import { CELL } from './layout.ts';
import { markIf } from './marks.ts';
import { WayOut } from './region-plan.ts';
import type { RegisterLocals } from './register-locals.ts';

export class WaysOut {
  private readonly e: Emitter;
  private readonly registers: RegisterLocals;
  /** Offset of the region's first instruction. */
  private readonly entry: number;
  /** i32: how to leave. */
  private readonly way: number;
  /** Where the tail begins; the region's code is the block that it ends. */
  readonly tail = new Label();
  /** The chain of the block being written. */
  private sites: { readonly label: Label; dirty: RegisterSet }[] = [];
  private next = 0;
  private done = new Label();

  constructor(e: Emitter, registers: RegisterLocals, entry: number) {
    this.e = e;
    this.registers = registers;
    this.entry = entry;
    this.way = e.newLocal('i32');
  }

  /** Begins a block with so many sites. */
  open(count: number): void {
    const { e } = this;
    this.done = new Label();
    this.sites = Array.from({ length: count }, () => ({ label: new Label(), dirty: new RegisterSet() }));
    this.next = 0;
    if (count === 0) return;
    e.block(this.done);
    for (const { label } of this.sites) e.block(label);
  }

  /** The block's next site; `dirty` are the registers written so far. */
  site(dirty: RegisterSet): Label {
    const site = this.sites[this.next++];
    site.dirty = dirty.copy();
    return site.label;
  }

  /** Goes to the chain at `site`, to leave for the instruction at `offset`. */
  leave(site: Label, offset: number, flags: number): void {
    this.e.i32Const(((offset - this.entry) & 0xffff) | flags);
    this.e.set(this.way);
    this.e.br(site);
  }

  /** Writes the chain behind the block's code, of which the end is reached if it `goesOn`. */
  close(goesOn: boolean): void {
    const { e, sites } = this;
    if (sites.length === 0) return;
    if (goesOn) e.br(this.done);
    for (let n = sites.length - 1; n >= 0; n--) {
      e.end();
      const before = n > 0 ? sites[n - 1].dirty : new RegisterSet();
      for (const reg of sites[n].dirty.without(before)) this.registers.store(reg);
    }
    e.br(this.tail);
    e.end();
  }

  /** Writes the tail, where registers have been stored. `pc` and `budget` are locals. */
  leaveRegion(pc: number, budget: number, granule: number): void {
    const { e, way } = this;
    storeCell(e, CELL.budget, () => {
      e.get(budget);
      e.get(way);
      e.i32Const(WayOut.undoneShift);
      e.op(op.i32Integer.shr_u);
      e.op(op.i32Integer.add);
    });
    const flag = (shift: number) => {
      e.get(way);
      e.i32Const(shift);
      e.op(op.i32Integer.shr_u);
      e.i32Const(1);
      e.op(op.i32Integer.and);
    };
    storeCell(e, CELL.interpret, () => flag(WayOut.interpretShift));
    e.get(pc);
    e.get(way);
    e.op(op.I64_EXTEND_U);
    e.op(op.I64_EXTEND16_S);
    e.op(op.i64Integer.add);
    markIf(e, granule, () => {
      flag(WayOut.markedShift);
      e.op(op.I64_EXTEND_U);
    });
    e.return();
  }
}
