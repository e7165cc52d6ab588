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
import type { Value } from '../../ir/value.ts';
import type { Step } from './cfg.ts';

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
/** A register that has moved further is a new base. */
const MOST_DISTANCE = 2 ** 20;

/** The members of groups of two and more in a block, by their statement. */
export function findGroups(steps: readonly Step[], unaligned: boolean): ReadonlyMap<Statement, Member> {
  const members = new Map<Statement, Member>();
  const open = new Map<number, Group>();
  const places = new Places();
  for (const { insn } of steps) {
    places.begin();
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

/** Where a value points: bytes from what a register or a local held at some time, which has a number. */
interface Place {
  readonly base: number;
  readonly offset: number;
}

/** What registers and locals hold, as far as it is a distance from what one held before: stacks move by constants. */
class Places {
  private next = 0;
  private readonly registers = new Map<number, Place>();
  private locals = new Map<number, Place>();

  /** An instruction begins: locals are its own. */
  begin(): void {
    this.locals.clear();
  }

  of(value: Value): Place | undefined {
    if (value.op === op.REG) return this.held(this.registers, value.imm);
    if (value.op === op.LOCAL_GET) return value.type === 'i64' ? this.held(this.locals, value.imm) : undefined;
    const sign = value.op === op.i64Integer.add ? 1 : value.op === op.i64Integer.sub ? -1 : 0;
    const { a, b } = value;
    if (sign === 0 || !a || b?.op !== op.CONST_I64 || b.big !== undefined) return undefined;
    const from = this.of(a);
    return from && { base: from.base, offset: from.offset + sign * b.imm };
  }

  private held(places: Map<number, Place>, index: number): Place {
    let place = places.get(index);
    if (!place) {
      place = { base: this.next++, offset: 0 };
      places.set(index, place);
    }
    return place;
  }

  /** Follows what a statement changes. */
  after(s: Statement): void {
    if (s.kind === 'set') keep(this.locals, s.local, this.of(s.value));
    else if (s.kind === 'reg') keep(this.registers, s.reg, this.of(s.value));
    else if (s.kind === 'gload') this.locals.delete(s.local);
    else if (s.kind === 'call') this.locals.delete(s.result);
    else if (s.kind === 'if') this.forget([...s.then, ...s.else]);
    else if (s.kind === 'loop' || s.kind === 'block') this.forget(s.body);
  }

  /** What is done perhaps, or more than once. */
  private forget(list: readonly Statement[]): void {
    for (const s of list) {
      if (s.kind === 'set' || s.kind === 'gload') this.locals.delete(s.local);
      else if (s.kind === 'call') this.locals.delete(s.result);
      else if (s.kind === 'reg') this.registers.delete(s.reg);
      else if (s.kind === 'if') this.forget([...s.then, ...s.else]);
      else if (s.kind === 'loop' || s.kind === 'block') this.forget(s.body);
    }
  }
}

function keep(places: Map<number, Place>, index: number, place: Place | undefined): void {
  if (place && Math.abs(place.offset) < MOST_DISTANCE) places.set(index, place);
  else places.delete(index);
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
