/**
 * The one shared WebAssembly memory: CPU states, the accelerator's tables and
 * guest memory. Every accelerator of a machine runs on the same space.
 *
 * Guest memory is the *backing*: RAM, then the areas, each page of which may
 * appear at any guest-physical addresses. Where RAM is one region that stays
 * where it is there is no table of pages.
 *
 * Invariant: the backing is the last thing in the memory, and no table of ours
 * is reachable through an address that was checked to be guest memory.
 */
import { ConfigError } from '../bits/errors.ts';
import type { MemoryArea } from '../hw/memory-area.ts';
import type { PhysicalMemory } from '../isa/isa.ts';
import { oneRegion, pageTable, WRITABLE } from './physical-memory.ts';
import { makeSharedMemory, releaseSharedMemory } from './shared-memory.ts';

const WASM_PAGE = 65536;
const PAGE = 4096;
/** Pages of a block: what was never mapped is passed over by blocks. */
const BLOCK_BITS = 10;

/** What guest memory there is. All sizes and addresses are bytes, multiples of 4096. */
export interface MemoryShape {
  /** Guest-physical address of RAM, where it is one region. */
  readonly ramBase: number;
  readonly ramSize: number;
  /** Memory that is not RAM: frame buffers, flash. It appears where it is mapped. */
  readonly areas?: readonly { readonly name: string; readonly size: number }[];
  /**
   * Guest-physical memory is a table of pages, with addresses below this; all of it is mapped by `map`, RAM too.
   * Undefined: RAM stands at `ramBase` and nothing can be mapped.
   */
  readonly mapped?: number;
}

/** Bytes of the backing. */
export function backingSize({ ramSize, areas = [] }: MemoryShape): number {
  return areas.reduce((sum, { size }) => sum + size, ramSize);
}

/** A part of guest-physical memory that is contiguous in linear memory. */
export interface MemoryPiece {
  readonly address: number;
  readonly bytes: Uint8Array;
}

/**
 * Guest-physical base and size of RAM, and its place in linear memory. A class of its own: as a literal it shares V8's
 * hidden class with others of these names, and a literal whose numbers are small there and large here makes V8 give up
 * all code that reads this one, again and again (a deprecated map).
 */
class RamPlace {
  readonly base: number;
  readonly size: number;
  readonly host: number;
  constructor(base: number, size: number, host: number) {
    this.base = base;
    this.size = size;
    this.host = host;
  }
}

export class Space {
  readonly memory: WebAssembly.Memory;
  readonly view: DataView;
  readonly bytes: Uint8Array;
  /** Guest-physical base and size of RAM, and its place in linear memory: where the backing begins. */
  readonly ram: RamPlace;
  /** Bytes of the backing. */
  readonly backing: number;
  readonly physical: PhysicalMemory;
  private readonly areas = new Map<string, { readonly host: number; readonly size: number }>();
  /** Place of the table of pages, and the addresses it is for: 0 when there is none. */
  private readonly table: number;
  private readonly limit: number;
  /** By block of the table: 1 where something has ever been mapped. */
  private readonly touched: Uint8Array;
  private readonly listeners: ((pa: number, length: number) => void)[] = [];

  /** `below` is how many bytes the tables below guest memory take. */
  constructor(below: number, shape: MemoryShape) {
    const { ramBase, ramSize, areas = [], mapped = 0 } = shape;
    this.table = Math.ceil(below / 64) * 64;
    this.limit = mapped;
    this.touched = new Uint8Array(Math.ceil(mapped / (PAGE << BLOCK_BITS)));
    const tableSize = mapped === 0 ? 0 : (mapped / PAGE + 1) * 4;
    const host = Math.ceil((this.table + tableSize) / WASM_PAGE) * WASM_PAGE;
    this.backing = backingSize(shape);
    const pages = Math.ceil((host + this.backing) / WASM_PAGE);
    // The last 64 KiB of the address space stay unused, so that no end of a range overflows 32 bits.
    if (pages > 65535) throw new RangeError(`RAM of ${ramSize} bytes does not fit a 32-bit WebAssembly memory`);
    this.memory = makeSharedMemory(pages);
    this.view = new DataView(this.memory.buffer);
    this.bytes = new Uint8Array(this.memory.buffer);
    this.ram = new RamPlace(ramBase, ramSize, host);
    let at = host + ramSize;
    for (const { name, size } of areas) {
      this.areas.set(name, { host: at, size });
      at += size;
    }
    this.physical = mapped === 0 ? oneRegion(ramBase, ramSize, host) : pageTable(this.table, mapped);
  }

  get pages(): number {
    return this.memory.buffer.byteLength / WASM_PAGE;
  }

  /** The machine was closed: memory goes as soon as nobody holds it. `tables`: those below guest memory were used. */
  release(tables: boolean): void {
    releaseSharedMemory(this.memory, tables ? this.memory.buffer.byteLength : this.backing);
  }

  /** The bytes of guest RAM. */
  ramBytes(): Uint8Array {
    return this.bytes.subarray(this.ram.host, this.ram.host + this.ram.size);
  }

  /** Where an area lies in linear memory. */
  area(name: string): { readonly host: number; readonly size: number } {
    const area = this.areas.get(name);
    if (!area) throw new ConfigError('memory-area', `there is no memory area ${name}`, 'name it when memory is made');
    return area;
  }

  /** An area as devices know it. While it is placed nobody else maps its addresses. */
  memoryArea(name: string): MemoryArea {
    const { host, size } = this.area(name);
    const bytes = this.bytes.subarray(host, host + size);
    let now: number | undefined;
    let readOnly = false;
    const show = () => {
      if (now !== undefined) this.map(now, size, host, readOnly);
    };
    return {
      bytes,
      place: (at) => {
        if (at === now) return;
        if (now !== undefined) this.unmap(now, size);
        now = at;
        show();
      },
      get readOnly() {
        return readOnly;
      },
      set readOnly(value) {
        if (value === readOnly) return;
        readOnly = value;
        show();
      },
    };
  }

  /** Calls `changed` whenever what is mapped at some guest-physical addresses has changed. */
  onMapped(changed: (pa: number, length: number) => void): void {
    this.listeners.push(changed);
  }

  /** Lets the backing from `host` on appear at guest-physical `pa`. What lies beyond the table's addresses stays out. */
  map(pa: number, length: number, host: number, readOnly: boolean): void {
    const end = this.ram.host + this.backing;
    if (host < this.ram.host || host + length > end) throw new RangeError('mapping of what is not guest memory');
    this.fill(pa, length, host + (readOnly ? 0 : WRITABLE), PAGE);
  }

  unmap(pa: number, length: number): void {
    this.fill(pa, length, 0, 0);
  }

  /** The first page's entry is `entry`, and each one after it `step` more. Processors may see this thousands of times a second. */
  private fill(pa: number, length: number, entry: number, step: number): void {
    if (this.limit === 0) throw new RangeError('guest memory of this machine does not move');
    if (pa % PAGE !== 0 || length % PAGE !== 0) throw new RangeError('mapping of parts of pages');
    const pages = Math.min(length, this.limit - pa) / PAGE;
    // A view of its own, little-endian as WebAssembly's memory.
    const entries = new Uint32Array(this.memory.buffer, this.table, this.limit / PAGE);
    const first = pa / PAGE;
    for (let n = 0; n < pages; n++) entries[first + n] = entry + n * step;
    if (pages > 0) this.touched.fill(1, first >> BLOCK_BITS, ((first + pages - 1) >> BLOCK_BITS) + 1);
    for (const changed of this.listeners) changed(pa, length);
  }

  /** Addresses that the map is for: all of guest-physical memory lies below. */
  get end(): number {
    return this.limit === 0 ? this.ram.base + this.ram.size : this.limit;
  }

  /**
   * What is mapped from `pa` on in one piece, before `end`; all whole pages. Where nothing is, `host` is undefined and
   * the piece the hole.
   */
  mappedFrom(pa: number, end: number): { length: number; host: number | undefined; readOnly: boolean } {
    if (this.limit === 0) {
      const { base, size, host } = this.ram;
      const inside = pa >= base && pa < base + size;
      const to = inside ? Math.min(end, base + size) : pa < base ? Math.min(end, base) : end;
      return { length: to - pa, host: inside ? pa - base + host : undefined, readOnly: false };
    }
    // A view of its own, little-endian as WebAssembly's memory: there may be a million pages to look at.
    const entries = new Uint32Array(this.memory.buffer, this.table, this.limit / PAGE);
    const from = pa / PAGE;
    const to = end / PAGE;
    const first = entries[from];
    if (first === 0) return { length: this.holeFrom(entries, from, to) * PAGE, host: undefined, readOnly: true };
    let at = from + 1;
    for (let want = first + PAGE; at < to && entries[at] === want; want += PAGE) at++;
    return { length: (at - from) * PAGE, host: first - (first % PAGE), readOnly: !(first & WRITABLE) };
  }

  /** Pages from `from` on, before `to`, where nothing is mapped. */
  private holeFrom(entries: Uint32Array, from: number, to: number): number {
    let at = from;
    while (at < to) {
      const block = at >> BLOCK_BITS;
      // Not looked at: a page of the table that nobody has touched would have to be made for it.
      if (!this.touched[block]) at = (block + 1) << BLOCK_BITS;
      else if (entries[at] === 0) at++;
      else break;
    }
    return Math.min(at, to) - from;
  }

  /** Address in linear memory of a guest-physical byte; undefined where no memory is, or none to be written. */
  hostAt(pa: number, write = false): number | undefined {
    if (this.limit === 0) {
      const { base, size, host } = this.ram;
      return pa >= base && pa < base + size ? pa - base + host : undefined;
    }
    if (!(pa >= 0 && pa < this.limit)) return undefined;
    const entry = this.view.getUint32(this.table + Math.floor(pa / PAGE) * 4, true);
    if (entry === 0 || (write && !(entry & WRITABLE))) return undefined;
    return entry - (entry % PAGE) + (pa % PAGE);
  }

  /** The bytes at guest-physical `pa`; undefined when they are not all memory or not contiguous in linear memory. */
  range(pa: number, length: number, write = false): Uint8Array | undefined {
    if (!(length >= 0)) return undefined;
    const { base, size, host } = this.ram;
    if (this.limit === 0) {
      const at = pa - base;
      return at >= 0 && at + length <= size ? this.bytes.subarray(host + at, host + at + length) : undefined;
    }
    const first = this.hostAt(pa, write);
    if (first === undefined || pa + length > this.limit) return undefined;
    for (let at = PAGE - (pa % PAGE); at < length; at += PAGE)
      if (this.hostAt(pa + at, write) !== first + at) return undefined;
    return this.bytes.subarray(first, first + length);
  }

  /** The same in contiguous pieces; undefined when not all of it is memory. */
  pieces(pa: number, length: number, write = false): MemoryPiece[] | undefined {
    const whole = this.range(pa, length, write);
    if (whole) return [{ address: pa, bytes: whole }];
    if (this.limit === 0 || !(length >= 0) || pa + length > this.limit) return undefined;
    const pieces: MemoryPiece[] = [];
    for (let at = 0; at < length; ) {
      const host = this.hostAt(pa + at, write);
      if (host === undefined) return undefined;
      let end = Math.min(length, at + PAGE - ((pa + at) % PAGE));
      while (end < length && this.hostAt(pa + end, write) === host + end - at) end = Math.min(length, end + PAGE);
      pieces.push({ address: pa + at, bytes: this.bytes.subarray(host, host + end - at) });
      at = end;
    }
    return pieces;
  }
}
