/**
 * Decoded pages: which physical pages have been decoded in which regime, and
 * the operations in them. Dropping code happens here.
 */
import type { Instruction } from '../../isa/riscv/insn.ts';
import { Decoder } from '../../isa/riscv/decode.ts';
import type { Space } from '../space.ts';
import type { HandlerTable } from './handler-table.ts';
import { encodeOperation, Fixed, HANDLER_LIMIT, handlerKey } from './handlers.ts';
import { DECODED_PAGE, DECODED_PAGES, type JitLayout, OPERATION, REGIMES, SIDE, SLOTS } from './layout.ts';

/** How many instructions are decoded ahead at most. */
const AHEAD = 64;

export class CodeCache {
  readonly decoder: Decoder;
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
    this.decoder = new Decoder(rows);
    this.single = this.allocate();
  }

  private allocate(): number {
    const page = this.free.pop() ?? this.layout.decoded + this.used++ * DECODED_PAGE;
    const { view } = this.space;
    for (let n = 0; n < 8; n++) view.setUint16(page + (SLOTS + n) * OPERATION, Fixed.pageEnd, true);
    return page;
  }

  private mapIndex(pa: number, regime: number): number {
    return ((pa - this.space.ram.base) / 4096) * REGIMES + regime;
  }

  /** The decoded page of RAM page `pa` (its first address) in `regime`, made when it is not there. */
  page(pa: number, regime: number): number {
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
    const { view } = this.space;
    const host = this.hostOf(page);
    for (let n = 0; n < AHEAD && offset < 4096; n++) {
      const at = page + (offset >> 1) * OPERATION;
      if (view.getUint16(at, true) !== Fixed.undecoded) break;
      const half = view.getUint16(host + offset, true);
      const length = Decoder.length(half);
      if (offset + length > 4096) {
        view.setUint16(at, Fixed.straddle, true);
        break;
      }
      const word = length === 4 ? view.getUint32(host + offset, true) : half;
      if (!this.operation(word, offset, at)) break;
      offset += length;
    }
    this.handlers.flush();
  }

  /** Writes one operation; false when nothing runs on behind it. */
  private operation(word: number, offset: number, at: number): boolean {
    const decoded = this.decoder.decode(word);
    if (!decoded) {
      this.space.view.setUint16(at, Fixed.illegal, true);
      return false;
    }
    encodeOperation(decoded, this.handlers.number(handlerKey(decoded, offset)), this.space.view, at);
    return !/^(c\.)?(j|jal|jr|jalr|mret|sret)$/.test(decoded.row.mnemonic);
  }

  /** Puts one instruction into the page for single ones, as if at `offset`; gives its handler. */
  decodeSingle(word: number, offset: number): number {
    const at = this.single + (offset >> 1) * OPERATION;
    this.operation(word, offset, at);
    const length = Decoder.length(word);
    this.space.view.setUint16(at + (length / 2) * OPERATION, Fixed.pageEnd, true);
    this.handlers.flush();
    return this.space.view.getUint16(at, true);
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

  /** Whether an instruction at `offset` has been decoded. */
  isDecoded(page: number, offset: number): boolean {
    const handler = this.space.view.getUint16(page + (offset >> 1) * OPERATION, true);
    return handler !== Fixed.undecoded && handler !== Fixed.straddle && handler !== Fixed.illegal;
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
  }

  dropAll(): void {
    for (const [page, index] of this.owner) {
      this.clear(page);
      this.space.view.setUint32(this.layout.pageMap + index * 4, 0, true);
      this.free.push(page);
    }
    this.owner.clear();
  }

  get pages(): number {
    return this.owner.size;
  }
}
