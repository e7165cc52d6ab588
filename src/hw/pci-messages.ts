/**
 * Message signalled interrupts of a PCI function: MSI and MSI-X.
 *
 * Spec: PCI Local Bus 3.0, "Message Signaled Interrupts". A message that is
 * masked stays pending and goes out when the mask goes.
 */
import { readU16, readU32 } from '../bits/endian.ts';
import type { AccessSize, Mmio } from './device.ts';

/** What they need of their function; PciFunction is one. */
export interface MessageSource {
  readonly state: { readonly config: Uint8Array; readonly msixTable: Uint8Array; readonly msixPending: Uint8Array };
  addCapability(id: number, size: number, offset?: number): number;
  constant(offset: number, size: AccessSize, value: number): void;
  writable(offset: number, size: AccessSize, mask: number): void;
  send(address: number, data: number): void;
}

export interface MsiOptions {
  /** Of the capability; the next free place when absent. */
  readonly offset?: number;
  /** A power of two up to 32; 1 when absent. */
  readonly vectors?: number;
  /** 64-bit addresses; true when absent. */
  readonly wide?: boolean;
  readonly maskable?: boolean;
}

export class Msi {
  readonly offset: number;
  private readonly source: MessageSource;
  private readonly wide: boolean;
  private readonly maskable: boolean;
  private readonly vectors: number;

  constructor(source: MessageSource, { offset, vectors = 1, wide = true, maskable = false }: MsiOptions) {
    this.source = source;
    this.wide = wide;
    this.maskable = maskable;
    this.vectors = vectors;
    const at = source.addCapability(0x05, (wide ? 14 : 10) + (maskable ? 10 : 0), offset);
    this.offset = at;
    source.constant(at + 2, 2, (Math.log2(vectors) << 1) | (wide ? 0x80 : 0) | (maskable ? 0x100 : 0));
    source.writable(at + 2, 2, 0x71);
    source.writable(at + 4, 4, ~3);
    if (wide) source.writable(at + 8, 4, -1);
    source.writable(this.data, 2, 0xffff);
    if (maskable) source.writable(this.mask, 4, vectors === 32 ? -1 : (1 << vectors) - 1);
  }

  get enabled(): boolean {
    return (this.source.state.config[this.offset + 2] & 1) !== 0;
  }

  notify(vector: number): void {
    const { config } = this.source.state;
    const enabled = Math.min(this.vectors, 1 << ((config[this.offset + 2] >> 4) & 7));
    if (!this.enabled) return;
    // More vectors than the guest granted share the first ones.
    const which = vector & (enabled - 1);
    if (this.maskable && readU32(config, this.mask) & (1 << which)) {
      config[this.mask + 4 + (which >> 3)] |= 1 << (which & 7);
      return;
    }
    const high = this.wide ? readU32(config, this.offset + 8) : 0;
    const data = (readU16(config, this.data) & ~(enabled - 1)) | which;
    this.source.send(high * 2 ** 32 + readU32(config, this.offset + 4), data);
  }

  /** Configuration space was written: what is pending and no longer masked goes out. */
  written(offset: number, size: number): void {
    const end = this.offset + (this.wide ? 0x18 : 0x14);
    if (!this.maskable || !this.enabled || offset >= end || offset + size <= this.offset) return;
    const { config } = this.source.state;
    const ready = readU32(config, this.mask + 4) & ~readU32(config, this.mask);
    for (let vector = 0; vector < this.vectors; vector++) {
      if (!(ready & (1 << vector))) continue;
      config[this.mask + 4 + (vector >> 3)] &= ~(1 << (vector & 7));
      this.notify(vector);
    }
  }

  private get data(): number {
    return this.offset + (this.wide ? 12 : 8);
  }

  /** Of the mask bits; the pending bits follow. */
  private get mask(): number {
    return this.offset + (this.wide ? 16 : 12);
  }
}

export interface MsixOptions {
  /** 1..2048. */
  readonly vectors: number;
  /** The BAR that holds table and pending bits: one of the function's, or one that is made for them. */
  readonly bar: number;
  /** Offsets in that BAR: 0, and behind the table at 2 KiB or later, when absent. */
  readonly table?: number;
  readonly pending?: number;
  /** Of the capability; the next free place when absent. */
  readonly offset?: number;
}

export class Msix {
  readonly offset: number;
  /** Bytes of a BAR that holds nothing else. */
  readonly windowSize: number;
  private readonly source: MessageSource;
  private readonly vectors: number;
  private readonly tableAt: number;
  private readonly pendingAt: number;

  constructor(source: MessageSource, { vectors, bar, table = 0, pending, offset }: MsixOptions) {
    if (vectors < 1 || vectors > 2048) throw new RangeError(`MSI-X with ${vectors} vectors`);
    this.source = source;
    this.vectors = vectors;
    this.tableAt = table;
    this.pendingAt = pending ?? Math.max(0x800, 2 ** Math.ceil(Math.log2(table + 16 * vectors)));
    this.windowSize = Math.max(0x1000, 2 ** Math.ceil(Math.log2(this.pendingAt + 8 * Math.ceil(vectors / 64))));
    this.offset = source.addCapability(0x11, 12, offset);
    source.constant(this.offset + 2, 2, vectors - 1);
    source.writable(this.offset + 2, 2, 0xc000);
    source.constant(this.offset + 4, 4, (this.tableAt | bar) >>> 0);
    source.constant(this.offset + 8, 4, (this.pendingAt | bar) >>> 0);
  }

  get enabled(): boolean {
    return (this.source.state.config[this.offset + 3] & 0x80) !== 0;
  }

  /** Power-on: every vector is masked. */
  reset(): void {
    const { msixTable, msixPending } = this.source.state;
    msixTable.fill(0);
    msixPending.fill(0);
    for (let vector = 0; vector < this.vectors; vector++) msixTable[16 * vector + 12] = 1;
  }

  notify(vector: number): void {
    if (!this.enabled || vector >= this.vectors || vector < 0) return;
    const { msixTable, msixPending } = this.source.state;
    if (this.masked(vector)) {
      msixPending[vector >> 3] |= 1 << (vector & 7);
      return;
    }
    const at = 16 * vector;
    const address = readU32(msixTable, at + 4) * 2 ** 32 + ((readU32(msixTable, at) & ~3) >>> 0);
    this.source.send(address, readU32(msixTable, at + 8));
  }

  /** The function stops using a vector: what it had pending is void. */
  forget(vector: number): void {
    this.source.state.msixPending[vector >> 3] &= ~(1 << (vector & 7));
  }

  written(offset: number, size: number): void {
    if (offset >= this.offset + 4 || offset + size <= this.offset + 2) return;
    for (let vector = 0; vector < this.vectors; vector++) this.retry(vector);
  }

  /** The BAR: table and pending bits lie over `rest`. */
  within(rest: Mmio): Mmio {
    const tableEnd = this.tableAt + 16 * this.vectors;
    const pendingEnd = this.pendingAt + 8 * Math.ceil(this.vectors / 64);
    return {
      read: (offset, size) => {
        const { msixTable, msixPending } = this.source.state;
        if (offset >= this.tableAt && offset < tableEnd) return lanes(msixTable, offset - this.tableAt, size);
        if (offset >= this.pendingAt && offset < pendingEnd) return lanes(msixPending, offset - this.pendingAt, size);
        return rest.read(offset, size);
      },
      write: (offset, size, value) => {
        if (offset >= this.tableAt && offset < tableEnd) this.writeTable(offset - this.tableAt, size, value);
        else if (offset < this.pendingAt || offset >= pendingEnd) rest.write(offset, size, value);
      },
      widths: rest.widths,
    };
  }

  private writeTable(offset: number, size: AccessSize, value: number): void {
    const { msixTable } = this.source.state;
    const last = Math.min(offset + size, msixTable.length);
    for (let at = offset; at < last; at++) msixTable[at] = value >>> (8 * (at - offset));
    for (let at = (offset & ~15) + 13; at < (offset & ~15) + 16; at++) msixTable[at] = 0; // reserved
    this.retry(offset >> 4);
  }

  private masked(vector: number): boolean {
    const { config, msixTable } = this.source.state;
    return (config[this.offset + 3] & 0x40) !== 0 || (msixTable[16 * vector + 12] & 1) !== 0;
  }

  private retry(vector: number): void {
    const { msixPending } = this.source.state;
    const bit = 1 << (vector & 7);
    if (!(msixPending[vector >> 3] & bit) || !this.enabled || this.masked(vector)) return;
    msixPending[vector >> 3] &= ~bit;
    this.notify(vector);
  }
}

function lanes(bytes: Uint8Array, at: number, size: AccessSize): number {
  let value = 0;
  for (let i = 0; i < size; i++) value |= (bytes[at + i] ?? 0) << (8 * i);
  return value >>> 0;
}
