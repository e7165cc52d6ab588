/**
 * Control flow: the basic blocks that are reached from an entry without
 * leaving its page, each instruction already as IR.
 */
import { i64, pcPlus, type Value } from '../../ir/value.ts';
import { csrs } from '../../isa/riscv/csr.ts';
import { type Decoded, Decoder } from '../../isa/riscv/decode.ts';
import { type FpUse, type Operands, RiscvInsn } from '../../isa/riscv/insn.ts';

export interface Step {
  readonly insn: RiscvInsn;
  readonly decoded: Decoded;
  /** Bytes from the start of the page. */
  readonly offset: number;
  readonly fp: FpUse;
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
const MAX_INSTRUCTIONS = 700;

/** The code around a page: offsets from -4096 up to 8192 where the neighbours are known. */
export interface CodePage {
  /** 16 bits at an offset, or undefined where nothing is known. */
  half(offset: number): number | undefined;
  /** Whether the instruction there has been executed, or was decoded with one that was. */
  executed(offset: number): boolean;
}

class Discovery {
  private readonly decoder: Decoder;
  private readonly page: CodePage;
  private readonly decodedAt = new Map<number, Decoded | undefined>();

  constructor(decoder: Decoder, page: CodePage) {
    this.decoder = decoder;
    this.page = page;
  }

  /** Whether the place is known and nobody has been there. */
  isUntouched(offset: number): boolean {
    return this.page.half(offset) !== undefined && !this.page.executed(offset);
  }

  decode(offset: number): Decoded | undefined {
    if (this.decodedAt.has(offset)) return this.decodedAt.get(offset);
    let decoded: Decoded | undefined;
    const low = this.page.half(offset);
    if (low !== undefined && this.page.executed(offset)) {
      if (Decoder.length(low) === 2) decoded = this.decoder.decode(low);
      else {
        const high = this.page.half(offset + 2);
        if (high !== undefined) decoded = this.decoder.decode((low | (high << 16)) >>> 0);
      }
    }
    this.decodedAt.set(offset, decoded);
    return decoded;
  }
}

/** The blocks of a region, the entry first. */
export function discover(decoder: Decoder, page: CodePage, entry: number): Block[] {
  const found = new Discovery(decoder, page);
  // First the leaders: instructions that something jumps to.
  const leaders = new Set<number>([entry]);
  const seen = new Set<number>();
  const work = [entry];
  let count = 0;
  while (work.length > 0) {
    let offset = work.pop() as number;
    while (!seen.has(offset) && count < MAX_INSTRUCTIONS) {
      const d = found.decode(offset);
      if (!d || d.flow === 'system') {
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
      if (flow === 'branch' || flow === 'call' || mayCheck(d)) {
        leaders.add(next);
        work.push(next);
        break;
      }
      if (flow !== 'next') break;
      offset = next;
    }
  }
  if (!seen.has(entry)) return [];
  // Then the blocks between them, in order of discovery from the entry.
  const numbers = new Map<number, number>();
  const starts: number[] = [];
  const number = (offset: number): number => {
    let n = numbers.get(offset);
    if (n === undefined) {
      n = starts.push(offset) - 1;
      numbers.set(offset, n);
    }
    return n;
  };
  number(entry);
  const blocks: Block[] = [];
  for (let n = 0; n < starts.length; n++) blocks.push(makeBlock(found, starts[n], seen, leaders, number));
  return blocks;
}

function makeBlock(
  found: Discovery,
  start: number,
  seen: ReadonlySet<number>,
  leaders: ReadonlySet<number>,
  number: (offset: number) => number,
): Block {
  const steps: Step[] = [];
  let offset = start;
  for (;;) {
    const d = found.decode(offset);
    const finish = (end: Terminator, endOffset = offset): Block => ({ offset: start, steps, end, endOffset });
    if (steps.length > 0 && leaders.has(offset) && seen.has(offset))
      return finish({ kind: 'goto', to: { block: number(offset) } });
    if (!d || d.flow === 'system' || !seen.has(offset)) {
      // Past the page, past the limit and where nobody has been yet the dispatcher decides; what is no plain
      // instruction is interpreted.
      if (d?.flow !== 'system')
        return finish({ kind: 'goto', to: { exit: pcPlus(0), rare: found.isUntouched(offset) } });
      // The counters are kept by the interpreter.
      if (d.row.extension === 'zicsr' && csrs.get(d.operands.k)?.counts) return finish({ kind: 'interpret' });
      return finish({ kind: 'system', step: { insn: build(d), decoded: d, offset, fp: d.row.fp } });
    }
    const insn = build(d);
    steps.push({ insn, decoded: d, offset, fp: d.row.fp });
    const next = offset + d.length;
    const edge = (to: number): Edge =>
      seen.has(to) ? { block: number(to) } : { exit: pcPlus(to - offset), rare: found.isUntouched(to) };
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
    if (end.kind === 'check') {
      return finish({ kind: 'check', changed: end.changed, next: edge(next), returns: pcPlus(d.length) });
    }
    offset = next;
  }
}

/** Instructions whose IR may end in a check: writes of status registers. */
const mayCheck = ({ row, operands }: Decoded) => row.extension === 'zicsr' && csrs.get(operands.k)?.tells === true;

function build(d: Decoded): RiscvInsn {
  const insn = new RiscvInsn(d.length, i64(d.word));
  d.row.semantics(insn, { ...d.operands, i: i64(d.operands.i ?? 0) } as unknown as Operands);
  insn.finish();
  return insn;
}
