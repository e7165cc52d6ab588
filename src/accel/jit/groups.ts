/**
 * Accesses at constant distances from one another, checked together.
 *
 * Stack frames and structures are touched at several offsets of one register,
 * which may move by constants between them. When all of a group's bytes lie in one page and are aligned, where that is
 * asked for, one look into the TLB at the first access serves the rest: they find the place of the
 * first in a local, or 0 when each must look for itself.
 */
import type { GuestLoad, GuestStore, Statement } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import type { Block } from './cfg.ts';
import { successors } from './flow.ts';
import { Places, type Known as PlacesKnown } from './places.ts';
import type { RegionPlan } from './region-plan.ts';
import type { Shape } from './structure.ts';

export interface Group {
  /** The block that its first member is in. */
  readonly block: number;
  /** Offset from its base of the group's first byte, aligned as `align` says with the base. */
  low: number;
  /** Offset of one past its last byte. */
  high: number;
  /** The widest access, bytes. */
  align: op.AccessSize;
  /** Whether some access is a store: then all need a page that may be written. */
  stores: boolean;
  members: number;
}

export interface Member {
  readonly group: Group;
  /** Offset from the group's base. */
  readonly offset: number;
  readonly first: boolean;
}

/**
 * Places of groups are kept less this: what a member finds by itself is brought to the same form by a subtraction, which
 * V8 knows to fill a register; it extends the result of a call by an instruction of its own wherever that is used.
 */
export const BIAS = 16;
/** A group spans no more than this, so that it seldom lies across two pages. */
const MAX_SPAN = 256;
/** The same of one that grows in other blocks, which may be seldom reached. */
const MAX_SPAN_OF_BLOCKS = 128;
/** How many groups of one base are kept. */
const MOST_OPEN = 3;

/** What is known where a block begins: the groups that have been opened on every way there, too. */
interface Known {
  readonly places: PlacesKnown;
  readonly open: ReadonlyMap<number, readonly Group[]>;
}

/** The members of groups of two and more in a region, by their statement. */
export function findGroups({ blocks, shape }: RegionPlan, unaligned: boolean): ReadonlyMap<Statement, Member> {
  const finder = new Finder(blocks, shape, unaligned);
  for (const n of shape.sequence) finder.block(n);
  for (const [s, { group }] of finder.members) if (group.members < 2) finder.members.delete(s);
  return finder.members;
}

class Finder {
  readonly members = new Map<Statement, Member>();
  private readonly blocks: readonly Block[];
  private readonly shape: Shape;
  private readonly join: (group: Group, offset: number, size: op.AccessSize, most: number) => boolean;
  private readonly places = new Places();
  private open = new Map<number, readonly Group[]>();
  /** What is known where blocks end; undefined: nothing. */
  private readonly ends: (Known | undefined)[] = [];
  private readonly predecessors: number[][];

  constructor(blocks: readonly Block[], shape: Shape, unaligned: boolean) {
    this.blocks = blocks;
    this.shape = shape;
    this.join = unaligned ? joinAny : joinAligned;
    this.predecessors = blocks.map(() => []);
    for (const n of shape.sequence) for (const to of successors(blocks[n])) this.predecessors[to].push(n);
  }

  block(n: number): void {
    this.enter(n);
    const { steps, end } = this.blocks[n];
    for (const { insn, offset } of steps) {
      this.places.begin(offset);
      for (const s of insn.statements) {
        if (s.kind === 'gload' || s.kind === 'gstore') this.access(s, n);
        this.places.after(s);
      }
    }
    // What is called, and what waits for a change of the world, may do anything.
    const goesOn = end.kind === 'goto' || end.kind === 'branch';
    this.ends[n] = goesOn ? { places: this.places.known(), open: this.open } : undefined;
  }

  private access(s: GuestLoad | GuestStore, block: number): void {
    const at = this.places.of(s.address);
    if (!at) return;
    const size = op.accessSize(s.op);
    const stores = s.kind === 'gstore' || s.intent === 'store';
    const open = this.open.get(at.base) ?? [];
    for (const group of open) {
      const here = group.block === block;
      // A look for stores would fail for what is only read unless some other block is reached.
      if (!here && stores && !group.stores) continue;
      if (!this.join(group, at.offset, size, here ? MAX_SPAN : MAX_SPAN_OF_BLOCKS)) continue;
      group.stores ||= stores;
      group.members++;
      this.members.set(s, { group, offset: at.offset, first: false });
      return;
    }
    const group = { block, low: at.offset, high: at.offset + size, align: size, stores, members: 1 };
    this.open = new Map(this.open).set(at.base, [group, ...open.slice(0, MOST_OPEN - 1)]);
    this.members.set(s, { group, offset: at.offset, first: true });
  }

  /** What is known on all ways to a block. */
  private enter(n: number): void {
    const { order, isLoop } = this.shape;
    const before = this.predecessors[n].filter((from) => order[from] < order[n]).map((from) => this.ends[from]);
    const body = isLoop[n] ? this.loop(n) : [];
    const known = before.flatMap((end) => end ?? []);
    const loses = body.some((inner) => !isStraight(this.blocks[inner]));
    if (known.length < before.length || known.length === 0 || loses) {
      this.places.forgetAll();
      this.open = new Map();
      return;
    }
    this.places.enter(known.map(({ places }) => places));
    this.open = known.length === 1 ? new Map(known[0].open) : onAll(known.map(({ open }) => open));
    for (const inner of body) for (const { insn } of this.blocks[inner].steps) this.changed(insn.statements);
  }

  /** A loop may have done these before. */
  private changed(statements: readonly Statement[]): void {
    for (const s of statements) {
      if (s.kind === 'reg') this.places.change(s.reg);
      else if (s.kind === 'if') {
        this.changed(s.then);
        this.changed(s.else);
      } else if (s.kind === 'loop' || s.kind === 'block') this.changed(s.body);
      else if (s.kind !== 'set' && s.kind !== 'gload' && s.kind !== 'gstore') this.places.changeState();
    }
  }

  /** The blocks of the loop that begins at `head`. */
  private loop(head: number): number[] {
    const { order } = this.shape;
    const body = new Set([head]);
    const work = this.predecessors[head].filter((from) => order[from] >= order[head]);
    for (let n = work.pop(); n !== undefined; n = work.pop()) {
      if (body.has(n)) continue;
      body.add(n);
      work.push(...this.predecessors[n]);
    }
    return [...body];
  }
}

const isStraight = ({ end }: Block): boolean => end.kind !== 'call' && end.kind !== 'check';

/** The groups that are open on all ways. */
function onAll(ways: readonly ReadonlyMap<number, readonly Group[]>[]): Map<number, readonly Group[]> {
  const [first, ...others] = ways;
  const open = new Map<number, readonly Group[]>();
  for (const [base, groups] of first) {
    const common = groups.filter((group) => others.every((other) => other.get(base)?.includes(group)));
    if (common.length > 0) open.set(base, common);
  }
  return open;
}

/** Takes an access into a group if it fits in span and alignment. */
function joinAligned(group: Group, offset: number, size: op.AccessSize, most: number): boolean {
  const align = Math.max(group.align, size) as Group['align'];
  // What is aligned at the widest access's offset fixes where the group begins.
  const reference = size >= group.align ? offset : group.low;
  const bottom = Math.min(group.low, offset);
  const low = reference - Math.ceil((reference - bottom) / align) * align;
  const high = Math.max(group.high, offset + size);
  if (high - low > most && (low < group.low || high > group.high)) return false;
  if ((offset - low) % size !== 0 || (group.low - low) % group.align !== 0) return false;
  group.low = low;
  group.high = high;
  group.align = align;
  return true;
}

/** Takes an access into a group if it fits in its span; alignment does not matter. */
function joinAny(group: Group, offset: number, size: op.AccessSize, most: number): boolean {
  const low = Math.min(group.low, offset);
  const high = Math.max(group.high, offset + size);
  if (high - low > most && (low < group.low || high > group.high)) return false;
  group.low = low;
  group.high = high;
  group.align = 1;
  return true;
}
