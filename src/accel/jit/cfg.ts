/**
 * Control flow: the basic blocks that are reached from an entry without
 * going far from its page, each instruction already as IR.
 */
import { dropDeadWrites } from './dead-writes.ts';
import type { Statement } from '../../ir/code.ts';
import type { Insn } from '../../ir/insn.ts';
import { pcPlus, type Value } from '../../ir/value.ts';
import type { Decoded, Isa } from '../../isa/isa.ts';

export interface Step {
  readonly insn: Insn;
  readonly decoded: Decoded;
  /** Bytes from the start of the page. */
  readonly offset: number;
}

/** To a block of the region, or out of it: rarely, where nobody has been yet. */
export type Edge = { readonly block: number } | { readonly exit: Value; readonly rare: boolean };

export type Terminator =
  | { readonly kind: 'goto'; readonly to: Edge }
  | { readonly kind: 'branch'; readonly condition: Value; readonly taken: Edge; readonly fall: Edge }
  /** A call: `target` is where, `next` where it should come back to. */
  | { readonly kind: 'call'; readonly target: Value; readonly next: Edge; readonly returns: Value }
  /** A jump to a return address: goes back to who called. */
  | { readonly kind: 'return'; readonly target: Value }
  | { readonly kind: 'jump'; readonly target: Value }
  /** An instruction after which everything is looked at again. */
  | { readonly kind: 'system'; readonly step: Step }
  /** As a step, and out when it says that the world has changed. */
  | { readonly kind: 'check'; readonly changed: Value; readonly next: Edge; readonly returns: Value }
  /** The interpreter goes on at the terminator's instruction. */
  | { readonly kind: 'interpret' };

export interface Block {
  readonly offset: number;
  readonly steps: readonly Step[];
  readonly end: Terminator;
  /** Offset that `pc` values of the terminator are relative to. */
  readonly endOffset: number;
}

/** Bounds on one region. */
const MAX_INSTRUCTIONS = 200;

/** The code around a page: offsets from -4096 up to 8192 where the neighbours are known. */
export interface CodePage {
  readonly mode: number;
  /** Whether code is known there. */
  known(offset: number): boolean;
  /** Whether the instruction there has been executed, or was decoded with one that was. */
  executed(offset: number): boolean;
  /** Whether a region begins there that is better entered than written once more. */
  entered(offset: number): boolean;
  /** The instruction there; undefined when there is none, or not all of it is known. */
  decode(offset: number): Decoded | undefined;
}

class Discovery {
  readonly isa: Isa;
  private readonly page: CodePage;
  private readonly decodedAt = new Map<number, Decoded | undefined>();
  /** Instructions of the region, by offset. */
  readonly seen = new Set<number>();
  /** Instructions that something jumps to. */
  readonly leaders = new Set<number>();
  /** What is known of the state where blocks begin; see `Isa.after`. */
  private contexts: ReadonlyMap<number, unknown> = new Map();
  private readonly numbers = new Map<number, number>();
  readonly starts: number[] = [];

  constructor(isa: Isa, page: CodePage) {
    this.isa = isa;
    this.page = page;
  }

  /** Whether the place is known and nobody has been there. */
  isUntouched(offset: number): boolean {
    return this.page.known(offset) && !this.page.executed(offset);
  }

  decode(offset: number): Decoded | undefined {
    if (this.decodedAt.has(offset)) return this.decodedAt.get(offset);
    const decoded = this.page.known(offset) && this.page.executed(offset) ? this.page.decode(offset) : undefined;
    this.decodedAt.set(offset, decoded);
    return decoded;
  }

  /** Finds the instructions and the leaders; false when there is nothing at the entry. */
  walk(entry: number): boolean {
    const { seen, leaders } = this;
    leaders.add(entry);
    const work = [entry];
    let count = 0;
    while (work.length > 0) {
      let offset = work.pop() as number;
      while (!seen.has(offset) && count < MAX_INSTRUCTIONS) {
        if (offset !== entry && this.page.entered(offset)) break;
        const d = this.decode(offset);
        if (!d || stops(d)) {
          if (d && offset === entry) seen.add(offset);
          break;
        }
        seen.add(offset);
        count++;
        const { flow, target } = d;
        const next = offset + d.length;
        if (target !== undefined && flow !== 'call') {
          leaders.add(offset + target);
          work.push(offset + target);
        }
        if (flow === 'branch' || flow === 'call' || flow === 'check') {
          leaders.add(next);
          work.push(next);
          break;
        }
        if (flow !== 'next') break;
        offset = next;
      }
    }
    return seen.has(entry);
  }

  /** Works out what is known where blocks begin: what is the same on all ways there. */
  follow(entry: number): void {
    const { isa } = this;
    const { mode } = this.page;
    if (!isa.after) return;
    const contexts = new Map<number, unknown>([[entry, undefined]]);
    const work = [entry];
    const meet = (offset: number, context: unknown): void => {
      if (!this.seen.has(offset)) return;
      if (!contexts.has(offset)) contexts.set(offset, context);
      else {
        const before = contexts.get(offset);
        if (before === undefined || before === context) return;
        contexts.set(offset, undefined);
      }
      work.push(offset);
    };
    while (work.length > 0) {
      let offset = work.pop() as number;
      let context = contexts.get(offset);
      for (;;) {
        const d = this.decode(offset);
        if (!d || stops(d) || !this.seen.has(offset)) break;
        context = isa.after(d, mode, context);
        const next = offset + d.length;
        if (d.target !== undefined && d.flow !== 'call') meet(offset + d.target, context);
        if (d.flow === 'call') meet(next, undefined);
        else if (d.flow === 'branch' || d.flow === 'check') meet(next, context);
        if (d.flow !== 'next') break;
        if (this.leaders.has(next)) {
          meet(next, context);
          break;
        }
        offset = next;
      }
    }
    this.contexts = contexts;
  }

  contextAt(start: number): unknown {
    return this.contexts.get(start);
  }

  /** The number of the block that begins at an offset, in the order they are asked for. */
  number(offset: number): number {
    let n = this.numbers.get(offset);
    if (n === undefined) {
      n = this.starts.push(offset) - 1;
      this.numbers.set(offset, n);
    }
    return n;
  }

  makeBlock(start: number): Block {
    const { isa, seen, leaders } = this;
    const { mode } = this.page;
    const steps: Step[] = [];
    let offset = start;
    let context = this.contextAt(start);
    for (;;) {
      const d = this.decode(offset);
      const finish = (end: Terminator, endOffset = offset): Block => ({ offset: start, steps, end, endOffset });
      if (steps.length > 0 && leaders.has(offset) && seen.has(offset))
        return finish({ kind: 'goto', to: { block: this.number(offset) } });
      if (!d || stops(d) || !seen.has(offset)) {
        // Past the page, past the limit and where nobody has been yet the dispatcher decides; what is no plain
        // instruction is interpreted.
        if (!d || !stops(d)) return finish({ kind: 'goto', to: { exit: pcPlus(0), rare: this.isUntouched(offset) } });
        const insn = isa.build(d, mode, context);
        if (d.interpreted || d.gates.length > 0 || touchesMemory(insn.statements)) return finish({ kind: 'interpret' });
        return finish({ kind: 'system', step: { insn, decoded: d, offset } });
      }
      const insn = isa.build(d, mode, context);
      context = isa.after?.(d, mode, context);
      steps.push({ insn, decoded: d, offset });
      const next = offset + d.length;
      const edge = (to: number): Edge =>
        seen.has(to) ? { block: this.number(to) } : { exit: pcPlus(to - offset), rare: this.isUntouched(to) };
      const { end } = insn;
      if (end.kind === 'branch') {
        const target = d.target as number;
        return finish({ kind: 'branch', condition: end.condition, taken: edge(offset + target), fall: edge(next) });
      }
      if (end.kind === 'jump') {
        if (d.flow === 'call')
          return finish({ kind: 'call', target: end.target, next: edge(next), returns: pcPlus(d.length) });
        if (d.target !== undefined) return finish({ kind: 'goto', to: edge(offset + d.target) });
        return finish({ kind: d.flow === 'return' ? 'return' : 'jump', target: end.target });
      }
      if (end.kind === 'check')
        return finish({ kind: 'check', changed: end.changed, next: edge(next), returns: pcPlus(d.length) });
      offset = next;
    }
  }
}

/** Nothing of a region runs on behind it. */
const stops = (d: Decoded) => d.flow === 'system' || d.interpreted === true;

/** The blocks of a region, the entry first. */
export function discover(isa: Isa, page: CodePage, entry: number): Block[] {
  const found = new Discovery(isa, page);
  if (!found.walk(entry)) return [];
  found.follow(entry);
  // In order of discovery from the entry.
  found.number(entry);
  const blocks: Block[] = [];
  for (let n = 0; n < found.starts.length; n++) {
    const block = found.makeBlock(found.starts[n]);
    dropDeadWrites(block.steps.map(({ insn, decoded }) => ({ insn, gated: decoded.gates.length > 0 })));
    blocks.push(block);
  }
  return blocks;
}

/** Whether guest memory is accessed: a system instruction that does cannot fail to finish half-way in a region. */
function touchesMemory(statements: readonly Statement[]): boolean {
  return statements.some((s) => {
    if (s.kind === 'gload' || s.kind === 'gstore') return true;
    if (s.kind === 'if') return touchesMemory(s.then) || touchesMemory(s.else);
    return (s.kind === 'loop' || s.kind === 'block') && touchesMemory(s.body);
  });
}
