/**
 * Accesses through one unchanged base register, checked together.
 *
 * Stack frames and structures are touched at several offsets of one register.
 * When all of a group's bytes lie in one page and are aligned, where that is
 * asked for, one look into the TLB at the first access serves the rest: they find the place of the
 * first in a local, or 0 when each must look for itself.
 */
import type { Statement } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import type { Value } from '../../ir/value.ts';
import type { Step } from './cfg.ts';

export interface Group {
  readonly reg: number;
  /** Offset from the register of the group's first byte, aligned as `align` says with the base. */
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
  /** Offset from the register. */
  readonly offset: number;
  readonly first: boolean;
}

/** A group spans no more than this, so that it seldom lies across two pages. */
const MAX_SPAN = 256;

/** The members of groups of two and more in a block, by their statement. */
export function findGroups(steps: readonly Step[], unaligned: boolean): ReadonlyMap<Statement, Member> {
  const members = new Map<Statement, Member>();
  const open = new Map<number, Group>();
  for (const { insn } of steps) {
    const addresses = addressesOf(insn.statements);
    for (const s of insn.statements) {
      if (s.kind === 'reg') open.delete(s.reg);
      if (s.kind !== 'gload' && s.kind !== 'gstore') continue;
      const base = baseOf(s.address.op === op.LOCAL_GET ? addresses.get(s.address.imm) : s.address);
      if (!base) continue;
      const size = op.accessSize(s.op);
      const stores = s.kind === 'gstore' || s.intent === 'store';
      const current = open.get(base.reg);
      if (current && (unaligned ? joinAny : join)(current, base.offset, size, stores)) {
        members.set(s, { group: current, offset: base.offset, first: false });
      } else {
        const group = { reg: base.reg, low: base.offset, high: base.offset + size, align: size, stores, members: 1 };
        open.set(base.reg, group);
        members.set(s, { group, offset: base.offset, first: true });
      }
    }
  }
  for (const [s, { group }] of members) if (group.members < 2) members.delete(s);
  return members;
}

/** The values of locals that are set once, before anything else may set them. */
function addressesOf(statements: readonly Statement[]): ReadonlyMap<number, Value> {
  const values = new Map<number, Value>();
  const again = new Set<number>();
  const visit = (list: readonly Statement[], nested: boolean): void => {
    for (const s of list) {
      if (s.kind === 'set') {
        if (nested || values.has(s.local)) again.add(s.local);
        values.set(s.local, s.value);
      } else if (s.kind === 'if') {
        visit(s.then, true);
        visit(s.else, true);
      } else if (s.kind === 'loop' || s.kind === 'block') visit(s.body, true);
    }
  };
  visit(statements, false);
  for (const local of again) values.delete(local);
  return values;
}

function baseOf(address: Value | undefined): { readonly reg: number; readonly offset: number } | undefined {
  if (!address) return undefined;
  if (address.op === op.REG) return { reg: address.imm, offset: 0 };
  if (address.op !== op.i64Integer.add || address.a?.op !== op.REG) return undefined;
  const { b } = address;
  return b?.op === op.CONST_I64 && b.big === undefined ? { reg: address.a.imm, offset: b.imm } : undefined;
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
