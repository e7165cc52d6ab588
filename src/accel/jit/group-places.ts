/** The code that looks into the TLB once for all accesses of a group; see groups.ts. */
import * as op from '../../ir/op.ts';
import { type AccessTemps, keepTag, pushPage, pushTlbEntry } from './access.ts';
import type { Value } from '../../ir/value.ts';
import type { Emitter } from './emit.ts';
import { BIAS, type Group } from './groups.ts';
import { dtlb } from './layout.ts';
import { REGION_CALLEES } from './region-callees.ts';

export class GroupPlaces {
  private readonly e: Emitter;
  private readonly regime: number;
  private readonly temps: AccessTemps;
  private readonly locals = new Map<Group, number>();

  constructor(e: Emitter, regime: number, temps: AccessTemps) {
    this.e = e;
    this.regime = regime;
    this.temps = temps;
  }

  /** The local that holds the place of a group's first byte less `BIAS`. */
  local(group: Group): number {
    let local = this.locals.get(group);
    if (local === undefined) {
      local = this.e.newLocal('i32');
      this.locals.set(group, local);
    }
    return local;
  }

  /**
   * Looks once for all of a group: its local gets the place of its first byte less `BIAS`, or 0. `address` is that of
   * the first access, `offset` from the group's base.
   */
  open({ low, high, align, stores }: Group, local: number, address: Value, offset: number): void {
    const { e } = this;
    const { va, entry, tag, unaligned } = this.temps;
    const table = dtlb(this.regime, stores) + (e.lowering.cpuAddress ?? 0);
    e.value(address);
    if (low !== offset) {
      e.i64Const(low - offset);
      e.op(op.i64Integer.add);
    }
    e.tee(va);
    pushTlbEntry(e);
    e.tee(entry);
    e.memory(op.I64_LOAD, table);
    e.tee(tag);
    // The last aligned piece, or the last byte: in the same page as the first byte, and aligned as it is.
    const step = unaligned ? 1 : align;
    const last = Math.ceil((high - low) / step) * step - step;
    pushPage(e, va, step, last);
    e.op(op.i64Compare.ne);
    e.if(true, 'i32');
    // Not seen yet, perhaps: `slow_group` fills the TLB and gives the place when one page holds all.
    keepTag(e, tag);
    e.get(va);
    e.i32Const(step | (last << 8) | (stores ? 1 << 31 : 0));
    e.call(e.lowering.callee(REGION_CALLEES.slowGroup));
    e.i32Const(-1);
    e.op(op.i32Integer.xor);
    e.else();
    e.get(va);
    e.op(op.I32_WRAP);
    e.get(entry);
    e.memory(op.I32_LOAD, table + 8);
    e.op(op.i32Integer.add);
    e.i32Const(BIAS);
    e.op(op.i32Integer.sub);
    e.end();
    e.set(local);
  }
}
