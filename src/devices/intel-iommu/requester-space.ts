/** Memory as one requester reaches it through the remapping unit. */
import type { Dma } from '../../hw/device.ts';
import { ACCESS, type Page } from './tables.ts';

/** Pages that are looked at in one go. */
const MOST_PAGES = 256;
/** What is put together from several places for who wants to read it in one: structures, never data. */
const MOST_COPIED = 0x10_0000;

export interface Translator {
  /** Nobody's addresses are translated. */
  readonly idle: boolean;
  /** The page of an address; undefined for a fault, which is recorded unless somebody only looks ahead. */
  find(requester: number, address: number, access: number, ahead: boolean): Page | undefined;
}

export class RequesterSpace implements Dma {
  private readonly unit: Translator;
  private readonly memory: Dma;
  private readonly requester: () => number;

  constructor(unit: Translator, memory: Dma, requester: () => number) {
    this.unit = unit;
    this.memory = memory;
    this.requester = requester;
  }

  readable(address: number, length: number): Uint8Array | undefined {
    if (this.unit.idle) return this.memory.readable(address, length);
    const at = this.whole(address, length, ACCESS.READ);
    if (at === undefined) return undefined;
    return at >= 0 ? this.memory.readable(at, length) : this.copy(address, length);
  }

  writable(address: number, length: number): Uint8Array | undefined {
    if (this.unit.idle) return this.memory.writable(address, length);
    const at = this.whole(address, length, ACCESS.WRITE);
    return at === undefined || at < 0 ? undefined : this.memory.writable(at, length);
  }

  stretch(address: number, length: number, write: boolean): number {
    if (this.unit.idle) return length;
    const access = write ? ACCESS.WRITE : ACCESS.READ;
    const requester = this.requester();
    let page = this.unit.find(requester, address, access, false);
    if (!page) return 0;
    let end = page.base + page.size;
    for (let n = 1; n < MOST_PAGES && end < address + length; n++) {
      const { base, host } = page;
      page = this.unit.find(requester, end, access, true);
      if (!page || page.host + (end - page.base) !== host + (end - base)) break;
      end = page.base + page.size;
    }
    return Math.min(length, end - address);
  }

  /** Where the range begins in memory; -1 when it lies in several places, undefined when its start is refused. */
  private whole(address: number, length: number, access: number): number | undefined {
    const page = this.unit.find(this.requester(), address, access, false);
    if (!page) return undefined;
    const inside = address + length <= page.base + page.size;
    if (!inside && this.stretch(address, length, access === ACCESS.WRITE) < length) return -1;
    return page.host + (address - page.base);
  }

  private copy(address: number, length: number): Uint8Array | undefined {
    if (length > MOST_COPIED) return undefined;
    const whole = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const piece = this.stretch(address + done, length - done, false);
      const bytes = piece > 0 ? this.readable(address + done, piece) : undefined;
      if (!bytes) return undefined;
      whole.set(bytes, done);
      done += piece;
    }
    return whole;
  }
}
