/**
 * Accesses at constant distances from one another, checked together.
 *
 * Stack frames and structures are touched at several offsets of one register,
 * which may move by constants between them. When all of a group's bytes lie in one page and are aligned, where that is
 * asked for, one look into the TLB at the first access serves the rest: they find the place of the
 * first in a local, or 0 when each must look for itself.
 */
import type { Statement } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import type { Step } from './cfg.ts';
import { Places } from './places.ts';

export interface Group {
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

/** The members of groups of two and more in a block, by their statement. */
export function findGroups(steps: readonly Step[], unaligned: boolean): ReadonlyMap<Statement, Member> {
  const members = new Map<Statement, Member>();
  const open = new Map<number, Group>();
  const places = new Places();
  for (const { insn, offset } of steps) {
    places.begin(offset);
    for (const s of insn.statements) {
      if (s.kind === 'gload' || s.kind === 'gstore') {
        const at = places.of(s.address);
        if (at) {
          const size = op.accessSize(s.op);
          const stores = s.kind === 'gstore' || s.intent === 'store';
          const current = open.get(at.base);
          if (current && (unaligned ? joinAny : join)(current, at.offset, size, stores)) {
            members.set(s, { group: current, offset: at.offset, first: false });
          } else {
            const group = { low: at.offset, high: at.offset + size, align: size, stores, members: 1 };
            open.set(at.base, group);
            members.set(s, { group, offset: at.offset, first: true });
          }
        }
      }
      places.after(s);
    }
  }
  for (const [s, { group }] of members) if (group.members < 2) members.delete(s);
  return members;
}

/** Takes an access into a group if it fits in span and alignment. */
function join(group: Group, offset: number, size: op.AccessSize, stores: boolean): boolean {
  const align = Math.max(group.align, size) as Group['align'];
  // What is aligned at the widest access's offset fixes where the group begins.
  const reference = size >= group.align ? offset : group.low;
  const bottom = Math.min(group.low, offset);
  const low = reference - Math.ceil((reference - bottom) / align) * align;
  const high = Math.max(group.high, offset + size);
  if (high - low > MAX_SPAN) return false;
  if ((offset - low) % size !== 0 || (group.low - low) % group.align !== 0) return false;
  group.low = low;
  group.high = high;
  group.align = align;
  group.stores ||= stores;
  group.members++;
  return true;
}

/** Takes an access into a group if it fits in its span; alignment does not matter. */
function joinAny(group: Group, offset: number, size: op.AccessSize, stores: boolean): boolean {
  const low = Math.min(group.low, offset);
  const high = Math.max(group.high, offset + size);
  if (high - low > MAX_SPAN) return false;
  group.low = low;
  group.high = high;
  group.align = 1;
  group.stores ||= stores;
  group.members++;
  return true;
}
