/** A disk in memory: for tests, RAM disks and whole images fetched into a browser. */
import type { Disk } from '../hw/disk.ts';

export class MemoryDisk implements Disk {
  readonly size: number;
  readonly readOnly: boolean;
  readonly bytes: Uint8Array;
  /** How often `flush` was called. */
  flushes = 0;

  /** `bytes` is used as it is, not copied; its length must be a multiple of 512. */
  constructor(bytes: Uint8Array, options: { readonly readOnly?: boolean } = {}) {
    if (bytes.length % 512) throw new RangeError('a disk is a whole number of sectors of 512 bytes');
    this.bytes = bytes;
    this.size = bytes.length;
    this.readOnly = options.readOnly ?? false;
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    this.check(offset, into.length);
    into.set(this.bytes.subarray(offset, offset + into.length));
  }

  async write(offset: number, from: Uint8Array): Promise<void> {
    this.check(offset, from.length);
    if (this.readOnly) throw new RangeError('the disk is read-only');
    this.bytes.set(from, offset);
  }

  async flush(): Promise<void> {
    this.flushes++;
  }

  async close(): Promise<void> {}

  private check(offset: number, length: number): void {
    if (!(offset >= 0 && offset + length <= this.size)) throw new RangeError('beyond the end of the disk');
  }
}
