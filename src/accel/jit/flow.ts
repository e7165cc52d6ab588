/**
 * Which guest registers a region must load and store, and where.
 *
 * Registers live in WebAssembly locals. At every way out (an exit, a call, a
 * fault) the ones that may have changed are stored; so a way out reads those
 * that may be dirty there, and what is read before it is written must be
 * loaded at the region's entry, or again after a call.
 */
import type { Statement } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import type { Value } from '../../ir/value.ts';
import type { Block, Edge, Step } from './cfg.ts';

/** A set of guest registers: numbers below 64, as two words. */
export class RegisterSet {
  low = 0;
  high = 0;

  add(reg: number): void {
    if (reg < 32) this.low |= 1 << reg;
    else this.high |= 1 << (reg - 32);
  }
  has(reg: number): boolean {
    return reg < 32 ? (this.low & (1 << reg)) !== 0 : (this.high & (1 << (reg - 32))) !== 0;
  }
  /** Adds all of `other`; true when that changed anything. */
  addAll(other: RegisterSet): boolean {
    const { low, high } = this;
    this.low |= other.low;
    this.high |= other.high;
    return low !== this.low || high !== this.high;
  }
  without(other: RegisterSet): RegisterSet {
    const set = new RegisterSet();
    set.low = this.low & ~other.low;
    set.high = this.high & ~other.high;
    return set;
  }
  copy(): RegisterSet {
    return this.without(EMPTY);
  }
  *[Symbol.iterator](): Generator<number> {
    for (let n = 0; n < 32; n++) if (this.low & (1 << n)) yield n;
    for (let n = 0; n < 32; n++) if (this.high & (1 << n)) yield 32 + n;
  }
}
const EMPTY = new RegisterSet();

export interface BlockFlow {
  /** May be dirty when the block begins. */
  readonly dirtyIn: RegisterSet;
  readonly dirtyOut: RegisterSet;
  /** Must be in locals when the block begins. */
  readonly liveIn: RegisterSet;
}

/** Registers that a value reads, into `into`. */
export function readsOf(value: Value, into: RegisterSet): void {
  if (value.op === op.REG) into.add(value.imm);
  if (value.a) readsOf(value.a, into);
  if (value.b) readsOf(value.b, into);
  if (value.c) readsOf(value.c, into);
}

interface Local {
  readonly defs: RegisterSet;
  /** Read before written. */
  readonly uses: RegisterSet;
  /** Written before the first way out: what is dirty at the start and not among them is read by it. */
  readonly beforeExit: RegisterSet | undefined;
}

class Walk {
  readonly defs = new RegisterSet();
  readonly uses = new RegisterSet();
  beforeExit: RegisterSet | undefined;

  value(value: Value): void {
    const reads = new RegisterSet();
    readsOf(value, reads);
    this.uses.addAll(reads.without(this.defs));
  }
  wayOut(): void {
    this.beforeExit ??= this.defs.copy();
  }
  statements(list: readonly Statement[]): void {
    for (const s of list) this.statement(s);
  }
  private statement(s: Statement): void {
    switch (s.kind) {
      case 'set':
        this.value(s.value);
        return;
      case 'reg':
        this.value(s.value);
        this.defs.add(s.reg);
        return;
      case 'store':
        this.value(s.address);
        this.value(s.value);
        return;
      case 'if':
        this.value(s.condition);
        this.statements(s.then);
        this.statements(s.else);
        return;
      case 'loop':
      case 'block':
        this.statements(s.body);
        return;
      case 'br':
        if (s.condition) this.value(s.condition);
        return;
      case 'call':
        for (const arg of s.args) this.value(arg);
        return;
      case 'return':
        if (s.value) this.value(s.value);
        return;
      case 'copy':
      case 'fill':
        this.value(s.to);
        this.value(s.length);
        this.value(s.kind === 'copy' ? s.from : s.byte);
        return;
      case 'gload':
        this.value(s.address);
        this.wayOut();
        return;
      case 'gstore':
        this.value(s.address);
        this.value(s.value);
        this.wayOut();
        return;
      case 'raise':
        this.wayOut();
        return;
    }
  }
}

function step(walk: Walk, { insn, decoded }: Step): void {
  if (decoded.gates.length > 0) walk.wayOut();
  walk.statements(insn.statements);
}

function local(block: Block): Local {
  const walk = new Walk();
  for (const one of block.steps) step(walk, one);
  const { end } = block;
  if (end.kind === 'branch') walk.value(end.condition);
  if (end.kind === 'call' || end.kind === 'return' || end.kind === 'jump') walk.value(end.target);
  if (end.kind === 'check') walk.value(end.changed);
  if (leaves(block)) walk.wayOut();
  // A system instruction runs with everything stored.
  if (end.kind === 'system') {
    const after = new Walk();
    after.defs.addAll(walk.defs);
    after.statements(end.step.insn.statements);
    walk.uses.addAll(after.uses);
  }
  return { defs: walk.defs, uses: walk.uses, beforeExit: walk.beforeExit };
}

const isExit = (edge: Edge) => 'exit' in edge;
/** Whether the terminator has a way out of the region. */
function leaves({ end }: Block): boolean {
  if (end.kind === 'goto') return isExit(end.to);
  if (end.kind === 'branch') return isExit(end.taken) || isExit(end.fall);
  return true;
}

/** Blocks that an edge of `block` goes to; a call's continuation begins with nothing in locals. */
export function successors({ end }: Block): number[] {
  const edges: Edge[] =
    end.kind === 'goto'
      ? [end.to]
      : end.kind === 'branch'
        ? [end.taken, end.fall]
        : end.kind === 'call' || end.kind === 'check'
          ? [end.next]
          : [];
  return edges.flatMap((edge) => ('block' in edge ? [edge.block] : []));
}

/** `isLoop`: blocks that begin with a test of the budget, a way out. */
export function analyse(
  blocks: readonly Block[],
  sequence: readonly number[],
  isLoop: readonly boolean[],
): BlockFlow[] {
  const locals = blocks.map(local);
  const flows = blocks.map(() => ({
    dirtyIn: new RegisterSet(),
    dirtyOut: new RegisterSet(),
    liveIn: new RegisterSet(),
  }));
  for (let again = true; again; ) {
    again = false;
    for (const n of sequence) {
      const flow = flows[n];
      flow.dirtyOut.addAll(flow.dirtyIn);
      flow.dirtyOut.addAll(locals[n].defs);
      if (blocks[n].end.kind === 'call') continue;
      for (const to of successors(blocks[n])) if (flows[to].dirtyIn.addAll(flow.dirtyOut)) again = true;
    }
  }
  for (let again = true; again; ) {
    again = false;
    for (let at = sequence.length - 1; at >= 0; at--) {
      const n = sequence[at];
      const flow = flows[n];
      const { uses, defs, beforeExit } = locals[n];
      const live = uses.copy();
      if (isLoop[n]) live.addAll(flow.dirtyIn);
      else if (beforeExit) live.addAll(flow.dirtyIn.without(beforeExit));
      if (blocks[n].end.kind !== 'call') {
        for (const to of successors(blocks[n])) live.addAll(flows[to].liveIn.without(defs));
      }
      if (flow.liveIn.addAll(live)) again = true;
    }
  }
  return flows;
}
