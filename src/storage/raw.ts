/**
 * Raw images: byte n of the file is byte n of the disk. A size that is no
 * multiple of 512 is rounded up; the last sector's rest reads as zeros.
 */
import { alignUp } from '../bits/endian.ts';
import { ConfigError, HostError } from '../bits/errors.ts';
import type { Disk } from '../hw/disk.ts';
import type { RandomAccessFile } from './file.ts';

export class RawDisk implements Disk {
  readonly size: number;
  readonly readOnly: boolean;
  private readonly file: RandomAccessFile;

  private constructor(file: RandomAccessFile, size: number, readOnly: boolean) {
    this.file = file;
    this.size = alignUp(size, 512);
    this.readOnly = readOnly;
  }

  /** Throws ConfigError when a writable disk is asked of a file that cannot be written. */
  static async open(file: RandomAccessFile, options: { readonly readOnly?: boolean } = {}): Promise<RawDisk> {
    const readOnly = options.readOnly ?? false;
    if (!readOnly && !file.writable) {
      throw new ConfigError('disk-read-only', `${file.name} cannot be written`, 'make it writable or add readonly=on');
    }
    return new RawDisk(file, await file.size(), readOnly);
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    this.check(offset, into.length);
    const count = await this.file.read(offset, into);
    into.fill(0, count);
  }

  async write(offset: number, from: Uint8Array): Promise<void> {
    this.check(offset, from.length);
    if (this.readOnly) throw new HostError('disk-read-only', `${this.file.name} is read-only`, 'open it for writing');
    await this.file.write(offset, from);
  }

  async flush(): Promise<void> {
    if (!this.readOnly) await this.file.sync();
  }

  close(): Promise<void> {
    return this.file.close();
  }

  private check(offset: number, length: number): void {
    if (!(offset >= 0 && offset + length <= this.size))
      throw new RangeError(`${this.file.name}: beyond the disk's end`);
  }
}
