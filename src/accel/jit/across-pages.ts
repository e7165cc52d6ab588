/**
 * Operations of instructions that lie across two pages, where the Isa's cannot
 * be kept in decoded pages (layout.ts, `keepsStraddling`): the host decodes one
 * when it is first met and puts it into a table in linear memory, from where the
 * dispatcher runs it as long as both pages and the bytes there are what they
 * were. What is in the way of that is left to the host, as the first time.
 */
import { define, type IrFunction } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import {
  add,
  add32,
  and,
  and32,
  cpu,
  eqz32,
  extendU,
  i32,
  load,
  ltS,
  ne,
  ne32,
  or,
  or32,
  shl,
  shl32,
  shrU32,
  type Value,
  wrap,
} from '../../ir/value.ts';
import { Access, type Isa } from '../../isa/isa.ts';
import type { Space } from '../space.ts';
import { ACROSS_ENTRIES, ACROSS_ENTRY, CELL, type JitLayout, OPERATION } from './layout.ts';
import { Fixed } from './reasons.ts';
import { cell } from './tlb.ts';

const PAGE = 4096;
/** How much of each page's edge is compared: no instruction is longer. */
const EDGE = 16;

/** An entry: bytes from its start. */
const ENTRY = {
  /** i64: host address of its first byte, and its mode + 1 from bit 32 on. */
  key: 0,
  /** i32: host address of the second page. */
  second: 8,
  /** i32: the slots that it takes. */
  slots: 12,
  /** The operation and its second word. */
  operation: 16,
  /** The last bytes of the first page. */
  before: 32,
  /** The first bytes of the second page. */
  behind: 48,
} as const;

/**
 * across_pages(pc): makes the operation of the instruction at `pc` ready in the page for single ones; its address, or 0
 * where the host has to see to it. Raises nothing.
 */
export function acrossPages(isa: Isa, space: Space, layout: JitLayout): IrFunction {
  const { isMemory, hostOf } = space.physical;
  const { translate } = isa.bind(space.physical);
  const { shift } = layout.page;
  return define('across_pages', ['i64'], 'i32', (f, pc) => {
    /** The host address of code at `va`, or leaves. */
    const hostAt = (va: Value): Value => {
      const pa = f.let(f.call(translate, va, i32(Access.fetch)));
      f.if(ltS(pa, 0), () => f.return(i32(0)));
      f.if(eqz32(isMemory(pa)), () => f.return(i32(0)));
      return f.let(hostOf(pa));
    };
    const first = hostAt(pc);
    const entry = f.let(add32(i32(layout.across), shl32(and32(shrU32(first, 12), ACROSS_ENTRIES - 1), 6)));
    const key = or(extendU(first), shl(extendU(add32(cell(isa.fields.mode), 1)), 32));
    f.if(ne(load(op.I64_LOAD, entry, ENTRY.key), key), () => f.return(i32(0)));
    const second = hostAt(add(or(pc, PAGE - 1), 1));
    f.if(ne32(load(op.I32_LOAD, entry, ENTRY.second), second), () => f.return(i32(0)));
    const end = f.let(and32(first, -PAGE));
    const differs = (at: Value, offset: number, kept: number): Value =>
      ne(load(op.I64_LOAD, at, offset), load(op.I64_LOAD, entry, kept));
    f.if(
      or32(
        or32(differs(end, PAGE - EDGE, ENTRY.before), differs(end, PAGE - EDGE + 8, ENTRY.before + 8)),
        or32(differs(second, 0, ENTRY.behind), differs(second, 8, ENTRY.behind + 8)),
      ),
      () => f.return(i32(0)),
    );
    const slot = f.let(shrU32(and32(wrap(pc), PAGE - 1), shift));
    const at = f.let(add32(i32(layout.single), shl32(slot, 3)));
    for (const word of [0, OPERATION])
      f.store(op.I64_STORE, at, load(op.I64_LOAD, entry, ENTRY.operation + word), word);
    f.store(op.I32_STORE16, add32(at, shl32(load(op.I32_LOAD, entry, ENTRY.slots), 3)), i32(Fixed.pageEnd));
    f.store(op.I64_STORE, cpu, and(pc, -PAGE), CELL.pageVa);
    f.store(op.I32_STORE, cpu, i32(layout.single), CELL.page);
    f.return(at);
  });
}

/** The host's side. */
export class AcrossPages {
  private readonly space: Space;
  private readonly layout: JitLayout;

  constructor(space: Space, layout: JitLayout) {
    this.space = space;
    this.layout = layout;
  }

  /**
   * Keeps the instruction of `length` bytes at host address `host`, whose page goes on at `second`; its operation stands
   * at `operation`.
   */
  keep(host: number, second: number, mode: number, length: number, operation: number): void {
    const { bytes, view } = this.space;
    const { across, page } = this.layout;
    const at = across + (Math.floor(host / PAGE) % ACROSS_ENTRIES) * ACROSS_ENTRY;
    const edge = host - (host % PAGE) + PAGE;
    view.setUint32(at + ENTRY.key, host, true);
    view.setUint32(at + ENTRY.key + 4, mode + 1, true);
    view.setUint32(at + ENTRY.second, second, true);
    view.setUint32(at + ENTRY.slots, length / page.granule, true);
    bytes.copyWithin(at + ENTRY.operation, operation, operation + 2 * OPERATION);
    bytes.copyWithin(at + ENTRY.before, edge - EDGE, edge);
    bytes.copyWithin(at + ENTRY.behind, second, second + EDGE);
  }

  /** Handlers get new numbers. */
  clear(): void {
    const { across } = this.layout;
    this.space.bytes.fill(0, across, across + ACROSS_ENTRIES * ACROSS_ENTRY);
  }
}
