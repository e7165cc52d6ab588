/**
 * Decoded pages: which physical pages have been decoded in which regime, and
 * the operations in them. Dropping code happens here.
 */
import type { Instruction } from '../../isa/riscv/insn.ts';
import { Decoder } from '../../isa/riscv/decode.ts';
import type { Space } from '../space.ts';
import type { HandlerTable } from './handler-table.ts';
import { Fixed, HANDLER_LIMIT } from './handlers.ts';
import {
  DECODED_PAGE,
  DECODED_PAGES,
  HART_BLOCK,
  ITLB,
  ITLB_ENTRIES,
  type JitLayout,
  OPERATION,
  REGIMES,
  SIDE,
  SLOTS,
  STRADDLE_HALF,
  STRADDLE_SLOT,
} from './layout.ts';
import { Operations } from './operations.ts';

/** How many instructions are decoded ahead at most. */
const AHEAD = 64;

export class CodeCache {
  private readonly operations: Operations;
  private readonly space: Space;
  private readonly layout: JitLayout;
  private readonly handlers: HandlerTable;
  private readonly free: number[] = [];
  /** For each decoded page in use: the index of its entry in the page map. */
  private readonly owner = new Map<number, number>();
  private used = 0;
  /** Called before compiled code of a page goes away. */
  onDrop: (page: number) => void = () => {};
  /** A page of its own for single instructions that have none. */
  readonly single: number;

  constructor(space: Space, layout: JitLayout, handlers: HandlerTable, rows: readonly Instruction[]) {
    this.space = space;
    this.layout = layout;
    this.handlers = handlers;
    this.operations = new Operations(rows, handlers);
    this.single = this.allocate();
  }

  private allocate(): number {
    const page = this.free.pop() ?? this.layout.decoded + this.used++ * DECODED_PAGE;
    this.endMarks(page);
    return page;
  }

  /** What is run into behind the last operation of a page. */
  private endMarks(page: number): void {
    const { view } = this.space;
    for (let slot = SLOTS; slot * OPERATION < SIDE; slot++)
      view.setUint16(page + slot * OPERATION, Fixed.pageEnd, true);
  }

  private mapIndex(pa: number, regime: number): number {
    return ((pa - this.space.ram.base) / 4096) * REGIMES + regime;
  }

  /** The decoded page of RAM page `pa` (its first address) in `regime`, made when it is not there. */
  page(pa: number, regime: number): number {
    if (this.handlers.full) this.startOver();
    const index = this.mapIndex(pa, regime);
    const at = this.layout.pageMap + index * 4;
    let page = this.space.view.getUint32(at, true);
    if (page === 0) {
      if (this.used >= DECODED_PAGES && this.free.length === 0) this.dropAll();
      page = this.allocate();
      this.space.view.setUint32(at, page, true);
      this.owner.set(page, index);
    }
    return page;
  }

  /** The decoded page of a physical address in `regime`, or 0. */
  known(pa: number, regime: number): number {
    const { base, size } = this.space.ram;
    if (pa < base || pa >= base + size) return 0;
    return this.space.view.getUint32(this.layout.pageMap + this.mapIndex(pa - (pa % 4096), regime) * 4, true);
  }

  /** Host address of the first byte of the RAM page that a decoded page shows. */
  hostOf(page: number): number {
    const index = this.owner.get(page);
    if (index === undefined) throw new Error('a decoded page without owner');
    return this.space.ram.host + Math.floor(index / REGIMES) * 4096;
  }

  /** Decodes from byte `offset` of a page until a jump, a known operation or the page's end. */
  decodeAt(page: number, offset: number): void {
    const { operations } = this;
    const { view } = this.space;
    const host = this.hostOf(page);
    for (let n = 0; n < AHEAD && offset < 4096; n++) {
      const at = page + (offset >> 1) * OPERATION;
      const now = view.getUint16(at, true);
      if (now !== Fixed.undecoded && now !== Fixed.tail) break;
      const half = view.getUint16(host + offset, true);
      const length = Decoder.length(half);
      if (offset + length > 4096) {
        view.setUint16(at, Fixed.straddle, true);
        break;
      }
      const word = length === 4 ? view.getUint32(host + offset, true) : half;
      const line = operations.line(word);
      if (line < 0) {
        view.setUint16(at, Fixed.illegal, true);
        break;
      }
      operations.write(line, offset, view, at);
      if (operations.ends(line)) break;
      offset += length;
    }
    this.handlers.flush();
  }

  /** Puts one instruction into the page for single ones, as if at `offset`; gives its handler. */
  decodeSingle(word: number, offset: number): number {
    if (this.handlers.full) this.startOver();
    const { view } = this.space;
    const line = this.operations.line(word);
    if (line < 0) return Fixed.illegal;
    const at = this.single + (offset >> 1) * OPERATION;
    const handler = this.operations.writeFar(line, view, at);
    view.setUint16(at + (Decoder.length(word) / 2) * OPERATION, Fixed.pageEnd, true);
    this.handlers.flush();
    return handler;
  }

  /**
   * Decodes the instruction that begins in the last halfword of a page, given
   * the halfword that follows; false when it is none, or not a long one.
   */
  decodeStraddling(page: number, high: number): boolean {
    if (this.handlers.full) return false;
    const { view } = this.space;
    const low = view.getUint16(this.hostOf(page) + 4094, true);
    const line = Decoder.length(low) === 4 ? this.operations.line(low | (high << 16)) : -1;
    if (line < 0) return false;
    this.operations.writeFar(line, view, page + STRADDLE_SLOT * OPERATION);
    view.setUint32(page + STRADDLE_HALF, high, true);
    view.setUint16(page + (SLOTS - 1) * OPERATION, Fixed.straddleKnown, true);
    this.handlers.flush();
    return true;
  }

  /** The instruction that reaches from `page` into `behind` may be compiled: a store over its end must be noticed. */
  watchStraddling(page: number, behind: number): void {
    const { view } = this.space;
    if (view.getUint16(page + (SLOTS - 1) * OPERATION, true) !== Fixed.straddleKnown) return;
    if (view.getUint16(behind, true) === Fixed.undecoded) view.setUint16(behind, Fixed.tail, true);
  }

  /** Marks a place as the entry of a compiled region. */
  setRegion(page: number, offset: number, region: number): void {
    const { view } = this.space;
    const at = page + (offset >> 1) * OPERATION;
    const side = page + SIDE + (offset >> 1) * 4;
    const cell = view.getUint32(side, true);
    const own = cell >= HANDLER_LIMIT ? cell & (HANDLER_LIMIT - 1) : view.getUint16(at, true);
    view.setUint32(side, region * HANDLER_LIMIT + own, true);
    view.setUint16(at, Fixed.pageEnd, true);
  }

  /** Gives a place back to its own handler. */
  unsetRegion(page: number, offset: number): void {
    const { view } = this.space;
    const side = page + SIDE + (offset >> 1) * 4;
    const cell = view.getUint32(side, true);
    if (cell < HANDLER_LIMIT) return;
    view.setUint16(page + (offset >> 1) * OPERATION, cell & (HANDLER_LIMIT - 1), true);
    view.setUint32(side, 0, true);
  }

  /** Takes a place out of the running for compilation. */
  decline(page: number, offset: number): void {
    this.space.view.setUint32(page + SIDE + (offset >> 1) * 4, HANDLER_LIMIT - 1, true);
  }

  /** Starts counting a place anew. */
  cool(page: number, offset: number): void {
    this.space.view.setUint32(page + SIDE + (offset >> 1) * 4, 0, true);
  }

  /** Bytes of RAM changed: drops what was decoded from the pages they lie in. */
  drop(pa: number, length: number): boolean {
    const { base, size } = this.space.ram;
    let dropped = false;
    const first = Math.max(Math.floor((pa - base) / 4096), 0);
    const last = Math.min(Math.floor((pa + length - 1 - base) / 4096), size / 4096 - 1);
    for (let ppn = first; ppn <= last; ppn++) {
      for (let regime = 0; regime < REGIMES; regime++) {
        const page = this.space.view.getUint32(this.layout.pageMap + (ppn * REGIMES + regime) * 4, true);
        if (page === 0) continue;
        this.clear(page);
        dropped = true;
      }
    }
    return dropped;
  }

  /**
   * Empties a decoded page; it stays the page of its owner. Operands stay where they are:
   * the store that changed the code is running from them.
   */
  private clear(page: number): void {
    this.onDrop(page);
    const { view } = this.space;
    for (let n = 0; n < SLOTS; n++) view.setUint16(page + n * OPERATION, Fixed.undecoded, true);
    this.space.bytes.fill(0, page + SIDE, page + DECODED_PAGE);
    this.endMarks(page);
  }

  /** Forgets all code, and what makes the numbers of handlers. */
  private startOver(): void {
    this.dropAll();
    this.operations.clear();
  }

  dropAll(): void {
    for (const [page, index] of this.owner) {
      this.clear(page);
      this.space.view.setUint32(this.layout.pageMap + index * 4, 0, true);
      this.free.push(page);
    }
    this.owner.clear();
    // No instruction TLB may lead to a page that has changed its owner.
    const { layout, space } = this;
    for (let hart = layout.hart(0); hart < layout.pageMap; hart += HART_BLOCK)
      space.bytes.fill(0, hart + ITLB, hart + ITLB + ITLB_ENTRIES * 16);
  }

  get pages(): number {
    return this.owner.size;
  }
}
