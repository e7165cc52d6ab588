/** One instruction's bytes wherever they lie: across pages, in devices. */
import type { Decoded, Isa } from '../isa/isa.ts';
import type { Board } from './accelerator.ts';
import type { Space } from './space.ts';

const M64 = (1n << 64n) - 1n;

export type Fetched<D> =
  /** Not all of its bytes can be fetched: the code of `raise`, and the address that cannot. */
  | { readonly fault: number; readonly address: bigint }
  /** Undefined where the bytes are no instruction. */
  | { readonly fault: undefined; readonly decoded: D | undefined };

/** `D` is a decoded instruction, or what of it is of interest. */
export class Fetcher<D extends Pick<Decoded, 'length'>> {
  private readonly isa: Isa;
  private readonly space: Space;
  private readonly board: Board;
  /** Guest-physical address for a fetch at an address, or -1 - fault. */
  private readonly translate: (va: bigint) => bigint;
  /** Says what the bytes are. */
  private readonly decode: (view: DataView, left: number, mode: number) => D | 'beyond' | undefined;
  /** The bytes fetched last, and how many of them count. */
  readonly buffer = new Uint8Array(16);
  readonly view = new DataView(this.buffer.buffer);
  length = 0;

  constructor(
    isa: Isa,
    space: Space,
    board: Board,
    translate: (va: bigint) => bigint,
    decode: (view: DataView, left: number, mode: number) => D | 'beyond' | undefined,
  ) {
    this.decode = decode;
    this.isa = isa;
    this.space = space;
    this.board = board;
    this.translate = translate;
  }

  get bytes(): Uint8Array {
    return this.buffer.subarray(0, this.length);
  }

  fetch(pc: bigint, mode: number): Fetched<D> {
    const { isa, view } = this;
    this.length = 0;
    for (;;) {
      const address = (pc + BigInt(this.length)) & M64;
      const pa = BigInt.asIntN(64, this.translate(address));
      if (pa < 0n) return { fault: Number(-1n - pa), address };
      if (!this.take(Number(pa))) return { fault: isa.faults.fetch, address };
      const decoded = this.decode(view, this.length, mode);
      if (decoded !== 'beyond') {
        if (decoded) this.length = decoded.length;
        return { fault: undefined, decoded };
      }
      if (this.length >= isa.maxLength) return { fault: undefined, decoded: undefined };
    }
  }

  /** Takes what memory has up to the end of the page, or a granule of a device; false where nothing answers. */
  private take(pa: number): boolean {
    const { isa, space, buffer, view, length } = this;
    const host = space.hostAt(pa);
    if (host !== undefined) {
      const count = Math.min(isa.maxLength - length, 4096 - (pa % 4096));
      buffer.set(space.bytes.subarray(host, host + count), length);
      this.length += count;
      return true;
    }
    const { granule } = isa;
    const value = this.board.mmioRead(pa, granule) ?? (isa.openBus ? 0xffffffff : undefined);
    if (value === undefined) return false;
    if (granule === 1) view.setUint8(length, value);
    else if (granule === 2) view.setUint16(length, value, true);
    else view.setUint32(length, value, true);
    this.length += granule;
    return true;
  }
}
