/**
 * A region: guest code from one entry, as one WebAssembly function.
 *
 * Guest registers live in locals; control flow is structured; a way out stores
 * what is dirty. A place where an instruction may fail to finish (a fault, a
 * device, an exception) leaves to the interpreter, which does it again: see
 * ways-out.ts.
 */
import { type Callable, type GuestLoad, type GuestStore, Label, type Statement } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import type { Type } from '../../ir/op.ts';
import type { Value } from '../../ir/value.ts';
import type { Gate, Isa } from '../../isa/isa.ts';
import { type AccessTemps, pushCell, pushHostAddress, storeCell } from './access.ts';
import type { Block, Edge, Step } from './cfg.ts';
import { REGION } from './goto.ts';
import { Emitter, type Lowering } from './emit.ts';
import { RegisterSet } from './flow.ts';
import { GroupPlaces } from './group-places.ts';
import { Flag } from './access-flags.ts';
import { BIAS, findGroups, type Member } from './groups.ts';
import { CELL } from './layout.ts';
import { mark } from './marks.ts';
import type { Body } from './module.ts';
import { REGION_CALLEES } from './region-callees.ts';
import { countPlaces, isRare, type Neighbour, type RegionPlan, rareEdges, WayOut } from './region-plan.ts';
import { RegisterLocals } from './register-locals.ts';
import { WaysOut } from './ways-out.ts';

const PC = 0;
const DEPTH_LEFT = 1;

export class RegionEmitter implements Lowering {
  readonly cpuAddress: number | undefined;
  private readonly isa: Isa;
  private readonly plan: RegionPlan;
  private readonly regime: number;
  private readonly neighbours: readonly Neighbour[];
  private readonly calleeOf: (target: Callable) => number;
  private readonly e: Emitter;
  private readonly registers: RegisterLocals;
  private readonly labels: Label[];
  private readonly loops: Label[];
  private readonly pools: Record<Type, number[]> = { i32: [], i64: [], f32: [], f64: [], v128: [] };
  private readonly budget: number;
  private readonly ways: WaysOut;
  private readonly va: number;
  private readonly host: number;
  private readonly access: AccessTemps;
  /** Offset that `pc` values are relative to now. */
  private at = 0;
  private dirty = new RegisterSet();
  private step: { readonly offset: number; readonly undone: number } = { offset: 0, undone: 0 };
  /** Writing a system instruction: registers are stored, exceptions are taken here. */
  private inSystem = false;
  private readonly groups: ReadonlyMap<Statement, Member>;
  private readonly places: GroupPlaces;

  constructor(
    isa: Isa,
    plan: RegionPlan,
    mode: number,
    cpuAddress: number | undefined,
    neighbours: readonly Neighbour[],
    calleeOf: (target: Callable) => number,
  ) {
    this.isa = isa;
    this.plan = plan;
    this.neighbours = neighbours;
    this.regime = isa.regimeOf(mode);
    this.cpuAddress = cpuAddress;
    this.calleeOf = calleeOf;
    this.e = new Emitter(this, REGION.params, 2);
    this.registers = new RegisterLocals(this.e, isa.registers);
    this.labels = plan.blocks.map(() => new Label());
    this.loops = plan.blocks.map(() => new Label());
    this.budget = this.e.newLocal('i32');
    this.ways = new WaysOut(this.e, this.registers, plan.blocks[0].offset);
    const entry = this.e.newLocal('i32');
    this.host = this.e.newLocal('i32');
    this.va = this.e.newLocal('i64');
    this.access = { va: this.va, entry, tag: this.e.newLocal('i64'), unaligned: isa.unaligned };
    this.groups = findGroups(plan, isa.unaligned);
    this.places = new GroupPlaces(this.e, this.regime, this.access);
  }

  /** The function's body. */
  emit(): Body {
    const { e } = this;
    for (const { distance, page } of this.neighbours) {
      // The code next door must be what was compiled.
      e.get(PC);
      e.i64Const(distance);
      e.op(op.i64Integer.add);
      e.pageConst(page);
      e.call(this.callee(REGION_CALLEES.isPage));
      e.op(op.I32_EQZ);
      e.if(true);
      storeCell(e, CELL.interpret, () => e.i32Const(1));
      e.get(PC);
      this.returnMarked();
      e.end();
    }
    this.loadState(this.plan.flows[0].liveIn);
    e.block(this.ways.tail);
    this.tree(0);
    e.unreachable();
    e.end();
    this.ways.leaveRegion(PC, this.budget, this.isa.granule);
    return e.finish();
  }

  // Control flow.

  private tree(n: number): void {
    const { e } = this;
    const { shape: form } = this.plan;
    if (form.isLoop[n]) e.loop(this.loops[n]);
    this.within(n, form.merges[n], 0);
    if (form.isLoop[n]) e.end();
  }

  private within(n: number, merges: readonly number[], from: number): void {
    if (from === merges.length) {
      this.block(n);
      return;
    }
    this.e.block(this.labels[merges[from]]);
    this.within(n, merges, from + 1);
    this.e.end();
    this.tree(merges[from]);
  }

  private block(n: number): void {
    const { e } = this;
    const block = this.plan.blocks[n];
    const flow = this.plan.flows[n];
    const count = block.steps.length;
    const isLoop = this.plan.shape.isLoop[n];
    this.dirty = flow.dirtyIn.copy();
    const last = block.steps[count - 1];
    const rare = rareEdges(block);
    const places = block.steps.reduce((sum, step) => sum + countPlaces(step), 0) + rare + (isLoop ? 1 : 0);
    this.ways.open(places);
    if (isLoop) {
      // The budget is looked at once a round.
      e.get(this.budget);
      e.i32Const(0);
      e.op(op.i32Compare.le_s);
      e.if(true);
      this.ways.leave(this.site(), block.offset, 0);
      e.end();
    }
    if (count > 0) {
      e.get(this.budget);
      e.i32Const(count);
      e.op(op.i32Integer.sub);
      e.set(this.budget);
      this.straight(block, count);
    }
    this.at = block.endOffset;
    e.places = last && block.end.kind !== 'goto' && block.end.kind !== 'interpret' ? this.placesFor(last) : undefined;
    const goesOn = rare === 0 || this.rare(block);
    this.ways.close(goesOn);
    if (goesOn) this.terminator(n, block, flow.dirtyOut);
    else e.unreachable();
  }

  /** The terminator's ways out that are seldom or never taken; false when nothing is left of it. */
  private rare({ end, endOffset }: Block): boolean {
    const { e } = this;
    const out = (edge: Edge) => this.ways.leave(this.site(), endOffset + (edge as { exit: Value }).exit.imm, 0);
    switch (end.kind) {
      case 'goto':
        out(end.to);
        return false;
      case 'branch':
        if (isRare(end.taken)) {
          e.value(end.condition);
          e.if(true);
          out(end.taken);
          e.end();
          if (!isRare(end.fall)) return true;
          out(end.fall);
          return false;
        }
        e.value(end.condition);
        e.op(op.I32_EQZ);
        e.if(true);
        out(end.fall);
        e.end();
        return true;
      case 'check':
        e.value(end.changed);
        e.if(true);
        this.ways.leave(this.site(), endOffset + end.returns.imm, WayOut.marked);
        e.end();
        return true;
      case 'interpret':
        this.ways.leave(this.site(), endOffset, WayOut.marked | WayOut.interpret);
        return false;
      default:
        return true;
    }
  }

  private straight(block: Block, count: number): void {
    const { e } = this;
    const open = new Set<Gate>();
    block.steps.forEach((step, index) => {
      this.at = step.offset;
      this.step = { offset: step.offset, undone: count - index };
      const { gates } = step.decoded;
      if (gates.length > 0) {
        // One look a block: a gate does not close within it.
        const site = this.site();
        for (const gate of gates) {
          if (open.has(gate)) continue;
          open.add(gate);
          for (const other of gate.implies ?? []) open.add(other);
          pushCell(e, gate.field);
          e.op(op.I32_EQZ);
          e.if(true);
          this.fail(site);
          e.end();
        }
      }
      e.places = this.placesFor(step);
      e.statements(step.insn.statements);
    });
  }

  /** The wasm locals of an instruction's own locals. */
  private placesFor({ insn }: Step): number[] {
    const used: Record<Type, number> = { i32: 0, i64: 0, f32: 0, f64: 0, v128: 0 };
    return insn.locals.map((type) => {
      const pool = this.pools[type];
      const n = used[type]++;
      if (n === pool.length) pool.push(this.e.newLocal(type));
      return pool[n];
    });
  }

  private terminator(n: number, { end }: Block, dirtyOut: RegisterSet): void {
    const { e } = this;
    switch (end.kind) {
      case 'goto':
        this.edge(n, end.to, dirtyOut);
        return;
      case 'branch':
        if (isRare(end.taken) || isRare(end.fall)) {
          this.edge(n, isRare(end.taken) ? end.fall : end.taken, dirtyOut);
          return;
        }
        e.value(end.condition);
        if (this.isPlain(end.taken, n)) {
          e.brIf(this.target(end.taken, n));
          this.edge(n, end.fall, dirtyOut);
          return;
        }
        e.if();
        this.edge(n, end.taken, dirtyOut);
        e.end();
        this.at = this.plan.blocks[n].endOffset;
        this.edge(n, end.fall, dirtyOut);
        return;
      case 'call':
        this.spill(dirtyOut);
        e.value(end.target);
        e.get(DEPTH_LEFT);
        e.i32Const(1);
        e.op(op.i32Integer.sub);
        e.call(this.callee(REGION_CALLEES.goto));
        e.tee(this.va);
        e.value(end.returns);
        e.op(op.i64Compare.ne);
        e.if(true);
        e.get(this.va);
        e.get(DEPTH_LEFT);
        e.value(end.returns);
        e.call(this.callee(REGION_CALLEES.resume));
        e.tee(this.va);
        e.value(end.returns);
        e.op(op.i64Compare.ne);
        e.if(true);
        e.get(this.va);
        e.return();
        e.end();
        e.end();
        if ('block' in end.next) {
          this.loadState(this.plan.flows[end.next.block].liveIn);
          this.edge(n, end.next, dirtyOut);
        } else this.leave(end.next.exit);
        return;
      case 'return':
        this.spill(dirtyOut);
        e.value(end.target);
        e.return();
        return;
      case 'jump':
        this.spill(dirtyOut);
        this.leave(end.target);
        return;
      case 'check':
        this.edge(n, end.next, dirtyOut);
        return;
      case 'system':
        this.system(end.step, dirtyOut);
        return;
    }
  }

  /**
   * Returns a marked pc: the dispatcher looks at the world, or lets the
   * interpreter go on. No caller takes it for the address it waits for.
   */
  private returnMarked(): void {
    mark(this.e, this.isa.granule);
    this.e.return();
  }

  /** An instruction that may change the world: done with everything stored, then out. */
  private system(step: Step, dirtyOut: RegisterSet): void {
    const { e } = this;
    e.get(this.budget);
    e.i32Const(1);
    e.op(op.i32Integer.sub);
    e.set(this.budget);
    this.spill(dirtyOut);
    this.inSystem = true;
    this.dirty = new RegisterSet();
    e.places = this.placesFor(step);
    e.statements(step.insn.statements);
    this.inSystem = false;
    for (const reg of this.dirty) this.registers.store(reg);
    const { end } = step.insn;
    e.value(end.kind === 'system' ? end.target : step.insn.nextPc);
    this.returnMarked();
  }

  /** Whether following the edge is one branch instruction. */
  private isPlain(edge: Edge, from: number): boolean {
    if (!('block' in edge)) return false;
    const { shape: form } = this.plan;
    return form.isMerge[edge.block] || form.order[edge.block] <= form.order[from];
  }
  private target(edge: Edge, from: number): Label {
    const to = (edge as { block: number }).block;
    return this.plan.shape.order[to] <= this.plan.shape.order[from] ? this.loops[to] : this.labels[to];
  }

  private edge(from: number, edge: Edge, dirty: RegisterSet): void {
    if (!('block' in edge)) {
      this.spill(dirty);
      this.leave(edge.exit);
      return;
    }
    if (this.isPlain(edge, from)) this.e.br(this.target(edge, from));
    else this.tree(edge.block);
  }

  /** Goes to the region at `target`; everything has been stored. */
  private leave(target: Value): void {
    this.e.value(target);
    this.e.get(DEPTH_LEFT);
    this.e.returnCall(this.callee(REGION_CALLEES.goto));
  }

  // Registers.

  private loadState(set: RegisterSet): void {
    const { e } = this;
    pushCell(e, CELL.budget);
    e.set(this.budget);
    for (const reg of set) this.registers.load(reg);
  }

  private spill(set: RegisterSet): void {
    for (const reg of set) this.registers.store(reg);
    storeCell(this.e, CELL.budget, () => this.e.get(this.budget));
  }

  // Places where an instruction may not finish.

  private site(): Label {
    return this.ways.site(this.dirty);
  }

  /** Leaves with the instruction being written not done: the interpreter does it. */
  private fail(label: Label): void {
    this.ways.leave(
      label,
      this.step.offset,
      WayOut.marked | WayOut.interpret | (this.step.undone << WayOut.undoneShift),
    );
  }

  /** Pushes the place of an access; returns the offset that the memory instruction adds to it. */
  private place(s: GuestLoad | GuestStore, store: boolean): number {
    const { e } = this;
    const size = op.accessSize(s.op);
    const site = this.site();
    const slow = (flags: number) => {
      e.get(this.va);
      e.i32Const(size | flags);
      e.call(this.callee(store ? REGION_CALLEES.slowStore : REGION_CALLEES.slowLoad));
      e.tee(this.host);
      e.op(op.I32_EQZ);
      e.if(true);
      this.fail(site);
      e.end();
      e.get(this.host);
    };
    const member = this.groups.get(s);
    if (!member) {
      pushHostAddress(e, this.access, s.address, size, store, this.regime, () => slow(0));
      return 0;
    }
    const { group, offset, first } = member;
    const local = this.places.local(group);
    if (first) this.places.open(group, local, s.address, offset);
    const distance = offset - group.low + BIAS;
    e.get(local);
    e.op(op.I32_EQZ);
    e.if(true, 'i32');
    e.value(s.address);
    e.set(this.va);
    slow(Flag.look);
    e.i32Const(distance);
    e.op(op.i32Integer.sub);
    e.else();
    e.get(local);
    e.end();
    return distance;
  }

  // Lowering.

  callee(target: Callable): number {
    return this.calleeOf(target);
  }
  reg(_e: Emitter, reg: number): void {
    this.registers.push(reg);
  }
  setReg(e: Emitter, reg: number, value: Value): void {
    e.value(value);
    this.registers.pop(reg);
    this.dirty.add(reg);
  }
  pc(e: Emitter, offset: number): void {
    e.get(PC);
    const distance = this.at - this.plan.blocks[0].offset + offset;
    if (distance !== 0) {
      e.i64Const(distance);
      e.op(op.i64Integer.add);
    }
  }
  gload(e: Emitter, s: GuestLoad, into: number): void {
    const offset = this.place(s, s.intent === 'store');
    e.memory(s.op, offset);
    e.set(into);
  }
  gstore(e: Emitter, s: GuestStore): void {
    const offset = this.place(s, true);
    e.value(s.value);
    e.memory(s.op, offset);
  }
  raise(e: Emitter, cause: Value, tval: Value): void {
    if (!this.inSystem) {
      this.fail(this.site());
      return;
    }
    // Not done, so not counted.
    storeCell(e, CELL.budget, () => {
      e.get(this.budget);
      e.i32Const(1);
      e.op(op.i32Integer.add);
    });
    e.value(cause);
    e.value(tval);
    this.pc(e, 0);
    e.call(this.callee(REGION_CALLEES.raise));
    pushCell(e, this.isa.fields.pc, op.I64_LOAD);
    this.returnMarked();
  }
}
