/**
 * The jump that regions make to one another, and the cache of where it leads.
 *
 * Looking a pc up takes the instruction TLB, the decoded page's side cell and
 * the table; the side cells that a kernel's functions begin at lie in as many
 * lines of the host's cache. So where a jump led is kept in a small table by
 * pc. An entry holds as long as its key is in force: the key has the mode, a
 * generation that ends when translations are flushed or compiled code goes
 * away, and whether the translation is global, as those outlive most flushes.
 * A page's entries lie together, so that the page can be flushed by itself.
 */
import { type Code, define } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import {
  add32,
  and32,
  cpu,
  i32,
  load,
  local,
  ltU32,
  or32,
  shl32,
  shrU32,
  type Value,
  wrap,
  xor32,
} from '../../ir/value.ts';
import type { Isa } from '../../isa/isa.ts';
import { keepTag, pushCell } from './access.ts';
import { pushCellAddress, pushCodePage } from './code-lookup.ts';
import { Emitter, type Lowering } from './emit.ts';
import { CELL, ITLB, JUMP_ENTRIES, JUMPS, pageLayout } from './layout.ts';
import type { Body, Signature } from './module.ts';
import { HANDLER_BITS, HANDLER_LIMIT } from './reasons.ts';

/** A region takes the pc it is entered at and how deep calls may still nest; it returns the next pc. */
export const REGION: Signature = { params: ['i64', 'i32'], result: 'i64' };

/** Keys: the mode, whether the translation is global, the generation. */
const MODE = 15;
const GLOBAL = 16;
const GENERATION = 32;
/** The keys that CPUs begin with: entries of zeros have none. */
export const FIRST_KEY = GENERATION;
export const FIRST_KEY_GLOBAL = GENERATION | GLOBAL;

/** Entries of a page: its number is hashed to a group of so many. */
const GROUP = 64;
/** Byte offsets of entries: the group's, and within it. */
const GROUPS_MASK = (JUMP_ENTRIES - GROUP) * 16;
const WITHIN_MASK = (GROUP - 1) * 16;

/** The bits of a pc mixed: bits 0 to 5 within a group, 12 to 17 of the group. */
const mixed = (pc: Value): Value => xor32(wrap(pc), shrU32(wrap(pc), 6));
/** Byte offsets of the group, and of the entry, of what is mixed. */
const groupOf = (bits: Value): Value => and32(shrU32(bits, 2), GROUPS_MASK);
const entryOf = (bits: Value): Value => or32(groupOf(bits), and32(shl32(bits, 4), WITHIN_MASK));

const end = (f: Code, key: number): void => {
  const next = f.var(add32(load(op.I32_LOAD, cpu, key), GENERATION));
  f.if(ltU32(next.value, GENERATION), () => {
    // All generations have been used.
    f.fill(add32(cpu, JUMPS), i32(0), i32(JUMP_ENTRIES * 16));
    next.set(or32(next.value, GENERATION));
  });
  f.store(op.I32_STORE, cpu, next.value, key);
};

/** forget_jumps(not global): no entry holds any longer, or no entry that is not global. */
export const forgetJumps = define('forget_jumps', ['i32'], undefined, (f, notGlobal) => {
  end(f, CELL.jumpKey);
  f.if(notGlobal, () => f.return());
  end(f, CELL.jumpKeyGlobal);
});

/** Forgets the entries of the page that `va` lies in. */
export function forgetPage(f: Code, va: Value): void {
  f.fill(add32(add32(cpu, groupOf(mixed(va))), JUMPS), i32(0), i32(GROUP * 16));
}

/** Puts the mode into the keys. */
export function enterMode(f: Code, mode: Value): void {
  for (const key of [CELL.jumpKey, CELL.jumpKeyGlobal])
    f.store(op.I32_STORE, cpu, or32(and32(load(op.I32_LOAD, cpu, key), ~MODE), mode), key);
}

/** goto(pc, depth): enters the region at pc, or returns pc where there is none. */
export function emitGoto({ granule, fields }: Isa, lowering: Lowering, regionType: number, knownPage: number): Body {
  const page = pageLayout(granule);
  const [PC, DEPTH_LEFT, ENTRY, SLOT, MIXED, TAG, KEY] = [0, 1, 2, 3, 4, 5, 6];
  const e = new Emitter(lowering, [...REGION.params, 'i32', 'i32', 'i32', 'i64', 'i32'], 2);
  const jumps = JUMPS + (lowering.cpuAddress ?? 0);
  const returnIf = () => {
    e.if(true);
    e.get(PC);
    e.return();
    e.end();
  };
  // The budget or the depth is used up. The host's stack is bounded, a guest's recursion is not.
  pushCell(e, CELL.budget);
  e.i32Const(0);
  e.op(op.i32Compare.le_s);
  returnIf();
  e.get(DEPTH_LEFT);
  e.i32Const(0);
  e.op(op.i32Compare.le_s);
  returnIf();
  e.value(mixed(local(PC, 'i64')));
  e.set(MIXED);
  e.value(entryOf(local(MIXED, 'i32')));
  if (lowering.cpuAddress === undefined) {
    e.pushCpu();
    e.op(op.i32Integer.add);
  }
  e.set(MIXED);
  const known = {};
  const unknown = {};
  e.block(known);
  e.block(unknown);
  e.get(MIXED);
  e.memory(op.I64_LOAD, jumps);
  e.tee(TAG);
  e.get(PC);
  e.op(op.i64Compare.ne);
  e.brIf(unknown, true);
  e.get(MIXED);
  e.memory(op.I32_LOAD, jumps + 8);
  e.tee(KEY);
  pushCell(e, CELL.jumpKeyGlobal);
  e.op(op.i32Compare.eq);
  e.brIf(known);
  e.get(KEY);
  pushCell(e, CELL.jumpKey);
  e.op(op.i32Compare.eq);
  e.brIf(known);
  e.end();
  // Looked up, and kept.
  keepTag(e, TAG);
  pushCodePage(e, lowering, fields.mode, PC, ENTRY, knownPage);
  e.tee(SLOT);
  e.op(op.I32_EQZ);
  returnIf();
  pushCellAddress(e, page, SLOT, PC);
  e.memory(op.I32_LOAD, page.side);
  e.tee(SLOT);
  e.i32Const(HANDLER_LIMIT);
  e.op(op.i32Compare.lt_s);
  returnIf();
  e.get(MIXED);
  e.get(PC);
  e.memory(op.I64_STORE, jumps);
  e.get(MIXED);
  pushCell(e, CELL.jumpKeyGlobal);
  pushCell(e, CELL.jumpKey);
  e.get(ENTRY);
  e.memory(op.I32_LOAD, ITLB + 12 + (lowering.cpuAddress ?? 0));
  e.select();
  e.memory(op.I32_STORE, jumps + 8);
  e.get(MIXED);
  e.get(SLOT);
  e.i32Const(HANDLER_BITS);
  e.op(op.i32Integer.shr_u);
  e.memory(op.I32_STORE, jumps + 12);
  e.end();
  e.get(PC);
  e.get(DEPTH_LEFT);
  e.get(MIXED);
  e.memory(op.I32_LOAD, jumps + 12);
  e.returnCallIndirect(regionType);
  return e.finish();
}
