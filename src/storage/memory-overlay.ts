/**
 * `snapshot=on`: reads come from a disk that is never written, writes stay in
 * memory and are forgotten at the end.
 */
import type { Disk } from '../hw/disk.ts';

const CLUSTER = 1 << 16;

export class MemoryOverlay implements Disk {
  readonly size: number;
  readonly readOnly = false;
  private readonly base: Disk;
  /** Written clusters by number. Bounded by the disk's size. */
  private readonly written = new Map<number, Uint8Array>();

  constructor(base: Disk) {
    this.base = base;
    this.size = base.size;
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    for (const { cluster, from, at, length } of this.pieces(offset, into.length)) {
      const own = this.written.get(cluster);
      const part = into.subarray(at, at + length);
      if (own) part.set(own.subarray(from, from + length));
      else await this.base.read(cluster * CLUSTER + from, part);
    }
  }

  async write(offset: number, from: Uint8Array): Promise<void> {
    for (const piece of this.pieces(offset, from.length)) {
      const own = this.written.get(piece.cluster) ?? (await this.copy(piece.cluster));
      own.set(from.subarray(piece.at, piece.at + piece.length), piece.from);
    }
  }

  async flush(): Promise<void> {}

  close(): Promise<void> {
    this.written.clear();
    return this.base.close();
  }

  private async copy(cluster: number): Promise<Uint8Array> {
    const start = cluster * CLUSTER;
    const fresh = new Uint8Array(CLUSTER);
    await this.base.read(start, fresh.subarray(0, Math.min(CLUSTER, this.size - start)));
    // Another write may have copied it while we were reading.
    const own = this.written.get(cluster) ?? fresh;
    this.written.set(cluster, own);
    return own;
  }

  private *pieces(offset: number, length: number) {
    if (!(offset >= 0 && offset + length <= this.size)) throw new RangeError('beyond the end of the disk');
    for (let at = 0; at < length; ) {
      const cluster = Math.floor((offset + at) / CLUSTER);
      const from = offset + at - cluster * CLUSTER;
      const count = Math.min(length - at, CLUSTER - from);
      yield { cluster, from, at, length: count };
      at += count;
    }
  }
}
