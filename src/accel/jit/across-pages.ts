/**
 * Operations of instructions that lie across two pages, where the Isa's cannot
 * be kept in decoded pages (layout.ts, `keepsStraddling`): the host executes
 * them, and need not decode one again whose bytes are what they were.
 */
import type { Space } from '../space.ts';
import { OPERATION } from './layout.ts';

const PAGE = 4096;
/** How many are kept; when they are used up all are dropped. */
const MOST = 4096;

export interface Across {
  /** Where the part in the second page begins in linear memory. */
  readonly second: number;
  readonly bytes: Uint8Array;
  readonly handler: number;
  /** The operation and its second word, as they stood for an instruction at this offset of its page. */
  readonly operation: Uint8Array;
}

export class AcrossPages {
  private readonly space: Space;
  /** By place and mode. */
  private readonly kept = new Map<number, Across>();

  constructor(space: Space) {
    this.space = space;
  }

  /** The one that began at `host` and still does: what is there is not all of an instruction. */
  begun(host: number, mode: number): Across | undefined {
    const known = this.kept.get(host * 16 + mode);
    return known && this.same(host, known.bytes, 0, PAGE - (host % PAGE)) ? known : undefined;
  }

  /** Whether it goes on at `second` as it did. */
  goesOn({ bytes, second }: Across, host: number, now: number): boolean {
    const here = PAGE - (host % PAGE);
    return now === second && this.same(second - here, bytes, here, bytes.length);
  }

  private same(host: number, bytes: Uint8Array, from: number, to: number): boolean {
    for (let n = from; n < to; n++) if (this.space.bytes[host + n] !== bytes[n]) return false;
    return true;
  }

  /** Keeps the operation at `at` of the instruction with these bytes. */
  keep(host: number, second: number, mode: number, bytes: Uint8Array, handler: number, at: number): void {
    if (this.kept.size >= MOST) this.kept.clear();
    const operation = this.space.bytes.slice(at, at + 2 * OPERATION);
    this.kept.set(host * 16 + mode, { second, bytes: bytes.slice(), handler, operation });
  }

  /** Handlers get new numbers. */
  clear(): void {
    this.kept.clear();
  }
}
