/**
 * Decoded pages: which pages of guest memory have been decoded in which mode,
 * and the operations in them. Dropping code happens here.
 *
 * Pages are known by their place in linear memory, so that it does not matter
 * at which guest-physical addresses they appear.
 */
import type { Isa, OperationDecoder } from '../../isa/isa.ts';
import { NOWHERE } from '../../isa/isa.ts';
import type { Space } from '../space.ts';
import type { HandlerTable } from './handler-table.ts';
import {
  CPU_BLOCK,
  ITLB,
  ITLB_ENTRIES,
  type JitLayout,
  keepsStraddling,
  OPERATION,
  type PageLayout,
} from './layout.ts';
import type { CodeRange } from './kept-regions.ts';
import { type KnownStarts, startKey } from './known-starts.ts';
import { PlainOperations } from './plain-operations.ts';
import { DECLINED, Fixed, HANDLER_LIMIT, HOT } from './reasons.ts';

/** How many instructions are decoded ahead at most. */
const AHEAD = 64;
const PAGE = 4096;

/** A decoded page, and those beside it in virtual addresses; 0 where there is none. */
export interface Around {
  readonly entry: number;
  readonly before: number;
  readonly behind: number;
}

export class CodeCache {
  private readonly isa: Isa;
  private readonly operations: OperationDecoder;
  private readonly space: Space;
  private readonly layout: JitLayout;
  private readonly shape: PageLayout;
  private readonly handlers: HandlerTable;
  private readonly free: number[] = [];
  /** For each decoded page in use: the index of its entry in the page map. */
  private readonly owner = new Map<number, number>();
  private used = 0;
  /** Later parts of instructions are marked, so that a store is known to hit one. */
  private readonly marksParts: boolean;
  /** Called when all handlers lose their numbers. */
  onRenumber: () => void = () => {};
  /** Called before compiled code of a page goes away. */
  onDrop: (page: number) => void = () => {};
  /** Called before code is decoded from a page of guest memory that had none: stores to it must be noticed. */
  onCode: (host: number) => void = () => {};
  /** Where regions are known to begin: such places get hot at once. */
  starts: KnownStarts | undefined;
  /** What a place's count is before it gets hot. */
  almostHot = HOT - 1;
  /** The page for single instructions. */
  private readonly single: number;

  constructor(space: Space, layout: JitLayout, handlers: HandlerTable, isa: Isa) {
    this.isa = isa;
    this.space = space;
    this.layout = layout;
    this.shape = layout.page;
    this.handlers = handlers;
    this.operations = isa.operations?.(handlers) ?? new PlainOperations(isa, handlers);
    handlers.flush();
    this.marksParts = !keepsStraddling(isa) && isa.maxLength > isa.granule;
    this.single = this.allocate();
    if (this.single !== layout.single) throw new Error('the page for single instructions is not the first');
  }

  private allocate(): number {
    let page = this.free.pop();
    if (page === undefined) {
      page = this.layout.decoded + this.used++ * this.shape.size;
      // All of it will be read before it is written: the host would give it a page of zeros first, and then another.
      this.space.bytes.fill(0, page, page + this.shape.size);
    }
    this.endMarks(page);
    return page;
  }

  /** What is run into behind the last operation of a page. */
  private endMarks(page: number): void {
    const { view } = this.space;
    const { slots, side } = this.shape;
    for (let at = slots * OPERATION; at < side; at += OPERATION) view.setUint16(page + at, Fixed.pageEnd, true);
  }

  /** Number of a page of guest memory. */
  private pageNumber(host: number): number {
    return Math.floor((host - this.space.ram.host) / PAGE);
  }
  /** Address of an operation of a page. */
  private operationAt(page: number, offset: number): number {
    return page + (offset >> this.shape.shift) * OPERATION;
  }
  private sideAt(page: number, offset: number): number {
    return page + this.shape.side + (offset >> this.shape.shift) * 4;
  }

  /** The decoded page of the page of guest memory at `host` in `mode`, made when it is not there. */
  page(host: number, mode: number): number {
    if (this.handlers.full) this.startOver();
    const index = this.pageNumber(host) * this.layout.modes + mode;
    const at = this.layout.pageMap + index * 4;
    let page = this.space.view.getUint32(at, true);
    if (page === 0) {
      if (this.used >= this.layout.decodedPages && this.free.length === 0) this.dropAll();
      page = this.allocate();
      this.space.view.setUint32(at, page, true);
      this.owner.set(page, index);
    }
    return page;
  }

  /** The decoded page of an address of guest memory in `mode`, or 0. */
  known(host: number, mode: number): number {
    return this.space.view.getUint32(
      this.layout.pageMap + (this.pageNumber(host) * this.layout.modes + mode) * 4,
      true,
    );
  }

  /** Host address of the first byte of the page of guest memory that a decoded page shows. */
  hostOf(page: number): number {
    return this.space.ram.host + Math.floor(this.indexOf(page) / this.layout.modes) * PAGE;
  }
  private modeOf(page: number): number {
    return this.indexOf(page) % this.layout.modes;
  }
  private indexOf(page: number): number {
    const index = this.owner.get(page);
    if (index === undefined) throw new Error('a decoded page without owner');
    return index;
  }

  /** A page of guest memory gets decoded code. */
  private mark(host: number): void {
    const at = this.layout.codeMarks + this.pageNumber(host);
    if (this.space.bytes[at] !== 0) return;
    this.space.bytes[at] = 1;
    this.onCode(host);
  }

  /** Decodes from byte `offset` of a page until a jump, a known operation or the page's end. */
  decodeAt(page: number, offset: number): void {
    const { operations } = this;
    const { view } = this.space;
    const host = this.hostOf(page);
    const mode = this.modeOf(page);
    this.mark(host);
    for (let n = 0; n < AHEAD && offset < PAGE; n++) {
      const at = this.operationAt(page, offset);
      const now = view.getUint16(at, true);
      if (now !== Fixed.undecoded && now !== Fixed.tail) break;
      const length = operations.decode(view, host + offset, PAGE - offset, mode);
      if (length <= 0) {
        view.setUint16(at, length < 0 ? Fixed.straddle : Fixed.illegal, true);
        if (length < 0 && this.marksParts)
          for (let part = offset + this.shape.granule; part < PAGE; part += this.shape.granule)
            this.markTail(page, part);
        break;
      }
      operations.write(offset, view, at);
      if (this.starts?.has(startKey(mode, offset, view, host + offset))) this.warm(page, offset);
      if (this.marksParts) this.markParts(page, offset, length);
      if (operations.ends) break;
      offset += length;
    }
    this.handlers.flush();
  }

  /** Marks the places behind an instruction's first that belong to it; writes its second word. */
  private markParts(page: number, offset: number, length: number): void {
    const { view } = this.space;
    const { granule } = this.shape;
    const { spill } = this.operations;
    const end = Math.min(offset + length, PAGE);
    let at = offset + granule;
    if (spill !== undefined) {
      const word = this.operationAt(page, at);
      const side = this.sideAt(page, at);
      const cell = view.getInt32(side, true);
      // An instruction that begins here goes on as a region, or is the host's to execute: its operands are gone.
      if (cell >= HANDLER_LIMIT) view.setUint32(side, (cell & -HANDLER_LIMIT) | Fixed.inside, true);
      else view.setUint16(word, Fixed.inside, true);
      view.setInt32(word + 4, spill, true);
      at += granule;
    }
    for (; at < end; at += granule) this.markTail(page, at);
  }

  private markTail(page: number, offset: number): void {
    const { view } = this.space;
    const at = this.operationAt(page, offset);
    if (view.getUint16(at, true) === Fixed.undecoded) view.setUint16(at, Fixed.tail, true);
  }

  /** The length of the instruction that `bytes` begin with, as `Isa.decode` would say it; valid until the next call. */
  measure(bytes: DataView, left: number, mode: number): { readonly length: number } | 'beyond' | undefined {
    const length = this.operations.decode(bytes, 0, left, mode);
    if (length < 0) return 'beyond';
    this.measured.length = length;
    return length === 0 ? undefined : this.measured;
  }
  private readonly measured = { length: 0 };

  /**
   * Puts the instruction that has just been measured into the page for single ones, as if at `offset`; gives its
   * handler. It begins at `bytes`.
   */
  writeSingle(bytes: DataView, length: number, mode: number, offset: number): number {
    const { operations } = this;
    const { view } = this.space;
    if (this.handlers.full) {
      this.startOver();
      operations.decode(bytes, 0, length, mode);
    }
    const at = this.operationAt(this.single, offset);
    operations.write(NOWHERE, view, at);
    const { spill } = operations;
    if (spill !== undefined) view.setInt32(at + OPERATION + 4, spill, true);
    this.endSingle(at, length);
    this.handlers.flush();
    return view.getUint16(at, true);
  }

  private endSingle(at: number, length: number): void {
    this.space.view.setUint16(at + (length / this.shape.granule) * OPERATION, Fixed.pageEnd, true);
  }

  /**
   * Keeps the instruction that begins in the last slot of a page and ends in the next page, where the Isa's can be
   * kept: given the granule that follows; false when it is no such instruction.
   */
  keepStraddling(page: number, high: number): boolean {
    if (this.handlers.full) return false;
    const { operations } = this;
    const { view } = this.space;
    const { granule, slots, straddleSlot, straddleHalf } = this.shape;
    const bytes = new DataView(new ArrayBuffer(4));
    bytes.setUint16(0, view.getUint16(this.hostOf(page) + PAGE - granule, true), true);
    bytes.setUint16(2, high, true);
    if (operations.decode(bytes, 0, 4, this.modeOf(page)) !== 4) return false;
    operations.write(NOWHERE, view, page + straddleSlot * OPERATION);
    view.setUint32(page + straddleHalf, high, true);
    view.setUint16(page + (slots - 1) * OPERATION, Fixed.straddleKnown, true);
    this.handlers.flush();
    return true;
  }

  /** The instruction at `offset`, which reaches into the next page, has been executed by the host. */
  seenStraddling(page: number, offset: number): void {
    const at = this.operationAt(page, offset);
    if (this.space.view.getUint16(at, true) === Fixed.straddle) this.space.view.setUint16(at, Fixed.straddleSeen, true);
  }

  /** Instructions that reach from `page` into `behind` may be compiled: a store over their ends must be noticed. */
  watchStraddling(page: number, behind: number): void {
    const { view, bytes } = this.space;
    const { granule } = this.shape;
    const { maxLength } = this.isa;
    const window = new Uint8Array(2 * maxLength);
    for (let offset = PAGE - maxLength + granule; offset < PAGE; offset += granule) {
      const now = view.getUint16(this.operationAt(page, offset), true);
      const cell = view.getInt32(this.sideAt(page, offset), true);
      const own = cell >= HANDLER_LIMIT ? cell & (HANDLER_LIMIT - 1) : now;
      if (own !== Fixed.straddleKnown && own !== Fixed.straddleSeen) continue;
      const here = PAGE - offset;
      const first = this.hostOf(page) + offset;
      const second = this.hostOf(behind);
      window.set(bytes.subarray(first, first + here));
      window.set(bytes.subarray(second, second + maxLength), here);
      const decoded = this.isa.decode(new DataView(window.buffer), 0, maxLength, this.modeOf(page));
      if (!decoded || decoded === 'beyond') continue;
      this.mark(second);
      for (let at = 0; at < decoded.length - here; at += granule) this.markTail(behind, at);
    }
  }

  /**
   * Whether this code stands in memory; a region is to be made of it then, whether it has been decoded or not: a store to
   * it will drop the page.
   */
  cover(around: Around, code: readonly CodeRange[]): boolean {
    const places = code.map(({ start, bytes }) => {
      const page = start < 0 ? around.before : start < PAGE ? around.entry : around.behind;
      return { page, offset: start & (PAGE - 1), bytes };
    });
    const { bytes: memory } = this.space;
    for (const { page, offset, bytes } of places) {
      if (page === 0) return false;
      const at = this.hostOf(page) + offset;
      for (let n = 0; n < bytes.length; n++) if (memory[at + n] !== bytes[n]) return false;
    }
    for (const { page, offset, bytes } of places) {
      this.mark(this.hostOf(page));
      for (let at = offset; at < offset + bytes.length; at += this.shape.granule) this.markTail(page, at);
    }
    return true;
  }

  /** Marks a place as the entry of a compiled region. */
  setRegion(page: number, offset: number, region: number): void {
    const { view } = this.space;
    const at = this.operationAt(page, offset);
    const side = this.sideAt(page, offset);
    const cell = view.getInt32(side, true);
    const own = cell >= HANDLER_LIMIT ? cell & (HANDLER_LIMIT - 1) : view.getUint16(at, true);
    view.setUint32(side, region * HANDLER_LIMIT + own, true);
    view.setUint16(at, Fixed.pageEnd, true);
  }

  /** Gives a place back to its own handler. */
  unsetRegion(page: number, offset: number): void {
    const { view } = this.space;
    const side = this.sideAt(page, offset);
    const cell = view.getInt32(side, true);
    if (cell < HANDLER_LIMIT) return;
    view.setUint16(this.operationAt(page, offset), cell & (HANDLER_LIMIT - 1), true);
    view.setUint32(side, 0, true);
  }

  /** Takes a place out of the running for compilation. */
  decline(page: number, offset: number): void {
    this.space.view.setInt32(this.sideAt(page, offset), DECLINED, true);
  }

  /** Makes a place get hot when it is next executed. */
  private warm(page: number, offset: number): void {
    const at = this.sideAt(page, offset);
    if (this.space.view.getUint32(at, true) < this.almostHot) this.space.view.setUint32(at, this.almostHot, true);
  }

  /** Whether a region seems to be known that begins at a place. */
  isKnownStart(page: number, offset: number): boolean {
    const { starts, space } = this;
    return starts?.has(startKey(this.modeOf(page), offset, space.view, this.hostOf(page) + offset)) === true;
  }

  /** Starts counting a place anew. */
  cool(page: number, offset: number): void {
    this.space.view.setUint32(this.sideAt(page, offset), 0, true);
  }

  /** Bytes of guest memory at `host` changed: drops what was decoded from the pages they lie in. */
  drop(host: number, length: number): void {
    const { view, bytes } = this.space;
    const { codeMarks, pageMap, modes } = this.layout;
    const last = this.pageNumber(host + length - 1);
    for (let number = this.pageNumber(host); number <= last; number++) {
      if (bytes[codeMarks + number] === 0) continue;
      bytes[codeMarks + number] = 0;
      for (let mode = 0; mode < modes; mode++) {
        const page = view.getUint32(pageMap + (number * modes + mode) * 4, true);
        if (page !== 0) this.clear(page);
      }
    }
  }

  /**
   * Empties a decoded page; it stays the page of its owner. Operands stay where they are:
   * the store that changed the code is running from them.
   */
  private clear(page: number): void {
    this.onDrop(page);
    const { side, size } = this.shape;
    this.forget(page);
    this.space.bytes.fill(0, page + side, page + size);
    this.endMarks(page);
  }
  private forget(page: number): void {
    const { view } = this.space;
    const end = page + this.shape.slots * OPERATION;
    for (let at = page; at < end; at += OPERATION) view.setUint16(at, Fixed.undecoded, true);
  }

  /** Forgets all code, and what makes the numbers of handlers. */
  private startOver(): void {
    this.dropAll();
    this.onRenumber();
    this.operations.clear();
    this.handlers.flush();
  }

  dropAll(): void {
    const { layout, space } = this;
    for (const [page, index] of this.owner) {
      this.clear(page);
      space.view.setUint32(layout.pageMap + index * 4, 0, true);
      space.bytes[layout.codeMarks + Math.floor(index / layout.modes)] = 0;
      this.free.push(page);
    }
    this.owner.clear();
    // No instruction TLB may lead to a page that has changed its owner.
    for (let cpu = layout.cpu(0); cpu < layout.cpusEnd; cpu += CPU_BLOCK)
      space.bytes.fill(0, cpu + ITLB, cpu + ITLB + ITLB_ENTRIES * 16);
  }

  get pages(): number {
    return this.owner.size;
  }
}
