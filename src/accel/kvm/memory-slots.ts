/**
 * Guest memory as KVM's memory slots: follows what the space maps where. A slot
 * is a range of guest-physical addresses that is contiguous in linear memory;
 * read-only memory is a read-only slot, whose writes are exits.
 *
 * Spec: "The Definitive KVM API Documentation", KVM_SET_USER_MEMORY_REGION.
 */
import { ConfigError } from '../../bits/errors.ts';
import type { Space } from '../space.ts';
import { MEM_LOG_DIRTY_PAGES, MEM_READONLY } from './abi.ts';
import type { KvmVmPort } from './port.ts';

const PAGE = 4096;

interface Slot {
  readonly number: number;
  readonly pa: number;
  readonly length: number;
  readonly host: number;
  readonly readOnly: boolean;
}

export class MemorySlots {
  private readonly space: Space;
  private readonly vm: KvmVmPort;
  private readonly limit: number;
  /** Of addresses, in their order. */
  private slots: Slot[] = [];
  private readonly free: number[] = [];
  private used = 0;
  /** What has changed since `update`: from, to. */
  private changed: { from: number; to: number } | undefined;
  private logging = false;
  /** A slot went while writes were noted. */
  private lost = false;

  constructor(space: Space, vm: KvmVmPort, limit: number) {
    this.space = space;
    this.vm = vm;
    this.limit = limit;
    this.changed = { from: 0, to: space.end };
    space.onMapped((pa, length) => {
      const from = Math.min(this.changed?.from ?? Infinity, pa);
      const to = Math.min(space.end, Math.max(this.changed?.to ?? 0, pa + length));
      this.changed = { from, to };
    });
  }

  get count(): number {
    return this.slots.length;
  }

  /** Whether `update` has something to do. */
  get stale(): boolean {
    return this.changed !== undefined;
  }

  /** Lets KVM know what has changed. No vCPU runs. */
  update(): void {
    const { changed } = this;
    if (!changed) return;
    this.changed = undefined;
    // With the slots that the change touches, and those that may have grown together with it.
    const touched = this.slots.filter(({ pa, length }) => pa <= changed.to && pa + length >= changed.from);
    const from = Math.min(changed.from, ...touched.map(({ pa }) => pa));
    const to = Math.max(changed.to, ...touched.map(({ pa, length }) => pa + length));
    const wanted = this.pieces(Math.max(0, from), Math.min(this.space.end, to));
    const kept = new Set<Slot>();
    const fresh: Omit<Slot, 'number'>[] = [];
    for (const piece of wanted) {
      const same = touched.find(
        ({ pa, length, host, readOnly }) =>
          pa === piece.pa && length === piece.length && host === piece.host && readOnly === piece.readOnly,
      );
      if (same) kept.add(same);
      else fresh.push(piece);
    }
    const gone = touched.filter((slot) => !kept.has(slot));
    // What was written there is not asked for: it would be in a range that may show something else now.
    if (this.logging && gone.some(({ readOnly }) => !readOnly)) this.lost = true;
    for (const slot of gone) {
      this.vm.setMemory(slot.number, 0, slot.pa, undefined);
      this.free.push(slot.number);
    }
    const made = fresh.map((piece) => this.add(piece));
    const dead = new Set(gone);
    this.slots = [...this.slots.filter((slot) => !dead.has(slot)), ...made].sort((a, b) => a.pa - b.pa);
  }

  /** Takes all memory away until the next update: what KVM has derived from it goes, too. */
  renew(): void {
    if (this.logging) this.lost = true;
    for (const { number, pa } of this.slots) {
      this.vm.setMemory(number, 0, pa, undefined);
      this.free.push(number);
    }
    this.slots = [];
    this.changed = { from: 0, to: this.space.end };
  }

  private pieces(from: number, to: number): Omit<Slot, 'number'>[] {
    const pieces: Omit<Slot, 'number'>[] = [];
    for (let pa = from; pa < to; ) {
      const { length, host, readOnly } = this.space.mappedFrom(pa, to);
      if (host !== undefined) pieces.push({ pa, length, host, readOnly });
      pa += length;
    }
    return pieces;
  }

  private add(piece: Omit<Slot, 'number'>): Slot {
    const number = this.free.pop() ?? this.used++;
    if (number >= this.limit)
      throw new ConfigError('kvm-slots', `KVM here has ${this.limit} memory slots, too few`, 'use -accel jit');
    const slot = { ...piece, number };
    this.put(slot);
    return slot;
  }

  private put({ number, pa, length, host, readOnly }: Slot): void {
    const flags = (readOnly ? MEM_READONLY : 0) | (this.logging && !readOnly ? MEM_LOG_DIRTY_PAGES : 0);
    this.vm.setMemory(number, flags, pa, this.space.bytes.subarray(host, host + length));
  }

  /** Lets KVM note which pages guests write from here on, or no more. */
  log(on: boolean): void {
    if (on) this.lost = false;
    if (on === this.logging) {
      if (on) this.dirty(() => {}); // what was written before does not count
      return;
    }
    this.logging = on;
    for (const slot of this.slots) if (!slot.readOnly) this.put(slot);
  }

  /**
   * Calls `written` with each page that guests have written since `log(true)` or the last call. False: it is not known
   * which, any may have been.
   */
  dirty(written: (pa: number, length: number) => void): boolean {
    if (!this.logging || this.lost) return false;
    for (const { number, pa, length, readOnly } of this.slots) {
      if (readOnly) continue;
      const pages = length / PAGE;
      const bitmap = this.bitmap(Math.ceil(pages / 64) * 8);
      this.vm.dirtyLog(number, bitmap);
      for (let n = 0; n < bitmap.length; n++) {
        let byte = bitmap[n];
        for (let page = n * 8; byte !== 0; byte >>= 1, page++)
          if (byte & 1 && page < pages) written(pa + page * PAGE, PAGE);
      }
    }
    return true;
  }

  private bits: Uint8Array = new Uint8Array(0);
  private bitmap(bytes: number): Uint8Array {
    if (this.bits.length < bytes) this.bits = new Uint8Array(Math.max(4096, bytes));
    return this.bits.subarray(0, bytes).fill(0);
  }

  /** Takes all memory away. */
  close(): void {
    for (const { number, pa } of this.slots) this.vm.setMemory(number, 0, pa, undefined);
    this.slots = [];
  }
}
