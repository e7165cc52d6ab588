/** What is worked out about a region before its code is written. */
import type { Statement } from '../../ir/code.ts';
import { pcPlus } from '../../ir/value.ts';
import type { Block, Edge, Step } from './cfg.ts';
import { analyse, type BlockFlow, successors } from './flow.ts';
import { type Shape, shape } from './structure.ts';

export interface RegionPlan {
  readonly blocks: readonly Block[];
  readonly shape: Shape;
  readonly flows: readonly BlockFlow[];
}

/** Cuts irreducible edges and works out control and data flow. */
export function plan(blocks: Block[]): RegionPlan {
  for (;;) {
    const form = shape(blocks.map(successors));
    let cut = false;
    blocks = blocks.map((block, n) => {
      if (form.order[n] < 0) return block;
      const edge = (e: Edge): Edge => {
        if (!('block' in e) || !form.irreducible(n, e.block)) return e;
        cut = true;
        return { exit: pcPlus(blocks[e.block].offset - block.endOffset), rare: false };
      };
      const { end } = block;
      if (end.kind === 'goto') return { ...block, end: { ...end, to: edge(end.to) } };
      if (end.kind === 'branch') return { ...block, end: { ...end, taken: edge(end.taken), fall: edge(end.fall) } };
      if (end.kind === 'call' || end.kind === 'check') return { ...block, end: { ...end, next: edge(end.next) } };
      return block;
    });
    if (!cut) return { blocks, shape: form, flows: analyse(blocks, form.sequence, form.isLoop) };
  }
}

/** How a rare way out leaves: the distance of the pc from the entry in the low 16 bits, and flags. */
export const WayOut = {
  interpretShift: 16,
  interpret: 1 << 16,
  /** The pc is returned marked: see marks.ts. */
  markedShift: 17,
  marked: 1 << 17,
  /** From here on: instructions of the block that were counted and not done. */
  undoneShift: 18,
} as const;

/** A page beside the entry's that the region reaches into. */
export interface Neighbour {
  /** Bytes from the entry's page: -4096 or 4096. */
  readonly distance: number;
  /** Its decoded page. */
  readonly page: number;
}

export const isRare = (edge: Edge): boolean => 'exit' in edge && edge.rare;

/** How many places of a block's chain its terminator takes. */
export function rareEdges({ end }: Block): number {
  switch (end.kind) {
    case 'goto':
      return isRare(end.to) ? 1 : 0;
    case 'branch':
      return (isRare(end.taken) ? 1 : 0) + (isRare(end.fall) ? 1 : 0);
    case 'check':
    case 'interpret':
      return 1;
    default:
      return 0;
  }
}

/** In how many places an instruction may not finish. */
export function countPlaces({ insn, decoded }: Step): number {
  let count = decoded.gates.length > 0 ? 1 : 0;
  const visit = (list: readonly Statement[]): void => {
    for (const s of list) {
      if (s.kind === 'gload' || s.kind === 'gstore' || s.kind === 'raise') count++;
      else if (s.kind === 'if') {
        visit(s.then);
        visit(s.else);
      } else if (s.kind === 'loop' || s.kind === 'block') visit(s.body);
    }
  };
  visit(insn.statements);
  return count;
}
