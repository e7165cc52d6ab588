/** The code that looks into the TLB once for all accesses of a group; see groups.ts. */
import * as op from '../../ir/op.ts';
import { pushPage, pushTlbEntry } from './access.ts';
import type { Value } from '../../ir/value.ts';
import type { Emitter } from './emit.ts';
import type { Group } from './groups.ts';
import { dtlb } from './layout.ts';
import { REGION_CALLEES } from './region-callees.ts';

export class GroupPlaces {
  private readonly e: Emitter;
  private readonly regime: number;
  /** i64 and i32 locals for the address and the TLB entry. */
  private readonly va: number;
  private readonly entry: number;
  private readonly unaligned: boolean;
  private readonly locals = new Map<Group, number>();
  private readonly free: number[] = [];

  constructor(e: Emitter, regime: number, va: number, entry: number, unaligned: boolean) {
    this.e = e;
    this.regime = regime;
    this.va = va;
    this.entry = entry;
    this.unaligned = unaligned;
  }

  /** A block has ended, and its groups with it. */
  close(): void {
    this.free.push(...this.locals.values());
    this.locals.clear();
  }

  /** The local that holds the place of a group's first byte. */
  local(group: Group): number {
    let local = this.locals.get(group);
    if (local === undefined) {
      local = this.free.pop() ?? this.e.newLocal('i32');
      this.locals.set(group, local);
    }
    return local;
  }

  /**
   * Looks once for all of a group: its local gets the place of its first byte, or 0. `address` is that of the first
   * access, `offset` from the group's base.
   */
  open({ low, high, align, stores }: Group, local: number, address: Value, offset: number): void {
    const { e } = this;
    const table = dtlb(this.regime, stores) + (e.lowering.cpuAddress ?? 0);
    e.value(address);
    if (low !== offset) {
      e.i64Const(low - offset);
      e.op(op.i64Integer.add);
    }
    e.tee(this.va);
    pushTlbEntry(e);
    e.tee(this.entry);
    e.memory(op.I64_LOAD, table);
    // The last aligned piece, or the last byte: in the same page as the first byte, and aligned as it is.
    const step = this.unaligned ? 1 : align;
    const last = Math.ceil((high - low) / step) * step - step;
    pushPage(e, this.va, step, last);
    e.op(op.i64Compare.eq);
    e.if(false, 'i32');
    e.get(this.va);
    e.op(op.I32_WRAP);
    e.get(this.entry);
    e.memory(op.I32_LOAD, table + 8);
    e.op(op.i32Integer.add);
    e.else();
    // Not seen yet, perhaps: `slow_group` fills the TLB and gives the place when one page holds all.
    e.get(this.va);
    e.i32Const(step | (last << 8) | (stores ? 1 << 31 : 0));
    e.call(e.lowering.callee(REGION_CALLEES.slowGroup));
    e.end();
    e.set(local);
  }
}
