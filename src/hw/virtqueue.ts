/**
 * Split virtqueues, the device's side.
 *
 * Spec: OASIS VIRTIO 1.2, "Split Virtqueues"; the legacy layout differs in how
 * the addresses are found, which is the transport's business.
 *
 * Everything in the rings is the guest's and may be hostile. Invariant: a walk
 * ends after at most as many descriptors as its table holds, and every address
 * is checked by Dma. A queue that cannot be trusted any more is broken: `pop`
 * says so once, and the device then needs a reset.
 */
import { readU16, readU32, readU64, writeU16, writeU32 } from '../bits/endian.ts';
import type { Dma } from './device.ts';
import { fetchBytes, reaches, storeBytes } from './iommu.ts';

const DESCRIPTOR = { NEXT: 1, WRITE: 2, INDIRECT: 4 };
const AVAIL_NO_INTERRUPT = 1;
/** The most descriptors a chain may have, over all its tables. */
const MAX_CHAIN = 1024;

/** What a snapshot holds of one queue. Addresses are guest-physical. */
export type QueueState = {
  size: number;
  ready: boolean;
  descriptors: number;
  avail: number;
  used: number;
  /** Free-running 16-bit indices: the next entry to take, the next to return. */
  nextAvail: number;
  nextUsed: number;
  /** The used index at which the driver was last interrupted, -1 for never. */
  signalled: number;
};

/** One buffer of a chain: guest-physical address and length in bytes, all in RAM when it was popped. */
export type Segment = { address: number; length: number };

/** A request: what the device may read comes first, then what it may write. */
export type Chain = { head: number; readable: Segment[]; writable: Segment[] };

export function newQueue(maxSize: number): QueueState {
  return {
    size: maxSize,
    ready: false,
    descriptors: 0,
    avail: 0,
    used: 0,
    nextAvail: 0,
    nextUsed: 0,
    signalled: -1,
  };
}

/** What was negotiated, for all queues of a device. */
export interface QueueFeatures {
  readonly indirect: boolean;
  readonly eventIndex: boolean;
}

export class Virtqueue {
  /** The most entries the driver may choose. */
  readonly maxSize: number;
  private readonly dma: Dma;
  private readonly stateOf: () => QueueState;
  private readonly features: QueueFeatures;

  /** `stateOf` finds the queue's state, which a loaded snapshot replaces. */
  constructor(maxSize: number, dma: Dma, features: QueueFeatures, stateOf: () => QueueState) {
    this.maxSize = maxSize;
    this.dma = dma;
    this.features = features;
    this.stateOf = stateOf;
  }

  get ready(): boolean {
    return this.stateOf().ready;
  }

  /** The next chain, undefined when there is none, or in words what the driver did wrong. */
  pop(): Chain | string | undefined {
    const queue = this.stateOf();
    if (!queue.ready) return undefined;
    const ring = this.dma.readable(queue.avail, 6 + 2 * queue.size);
    if (!ring) return 'the available ring is not in RAM';
    let waiting = (readU16(ring, 2) - queue.nextAvail) & 0xffff;
    if (waiting === 0 && this.features.eventIndex) {
      // Ask to be notified of the next entry, and look again: it may have come in between.
      const event = this.dma.writable(queue.used + 4 + 8 * queue.size, 2);
      if (!event) return 'the used ring is not in RAM';
      writeU16(event, 0, queue.nextAvail);
      const again = this.dma.stretch ? this.dma.readable(queue.avail + 2, 2) : ring.subarray(2);
      waiting = again ? (readU16(again, 0) - queue.nextAvail) & 0xffff : 0;
    }
    if (waiting === 0) return undefined;
    if (waiting > queue.size) return `the available index is ${waiting} ahead in a queue of ${queue.size}`;
    const head = readU16(ring, 4 + 2 * (queue.nextAvail % queue.size));
    const chain = this.walk(queue, head);
    if (typeof chain !== 'string') queue.nextAvail = (queue.nextAvail + 1) & 0xffff;
    return chain;
  }

  /** How many chains wait; 0 when the ring cannot be read. */
  waiting(): number {
    const queue = this.stateOf();
    const index = queue.ready ? this.dma.readable(queue.avail + 2, 2) : undefined;
    return index ? Math.min((readU16(index, 0) - queue.nextAvail) & 0xffff, queue.size) : 0;
  }

  /** Takes back the last `count` chains that were popped: they come again. */
  unpop(count: number): void {
    const queue = this.stateOf();
    queue.nextAvail = (queue.nextAvail - count) & 0xffff;
  }

  /** Returns a chain with the number of bytes written into it; false when the used ring is not in RAM. */
  push(head: number, written: number): boolean {
    return this.pushAll([{ head, written }]);
  }

  /** The same for several, which the driver sees at once. */
  pushAll(chains: readonly { readonly head: number; readonly written: number }[]): boolean {
    const queue = this.stateOf();
    if (!queue.ready) return true;
    const index = this.dma.writable(queue.used + 2, 2);
    for (const { head, written } of chains) {
      const at = queue.used + 4 + 8 * (queue.nextUsed % queue.size);
      if (!index) return false;
      if (this.dma.stretch) {
        // An entry may lie across two pages, and these apart.
        const bytes = new Uint8Array(8);
        writeU32(bytes, 0, head);
        writeU32(bytes, 4, written);
        if (storeBytes(this.dma, at, bytes) < 8) return false;
      } else {
        const entry = this.dma.writable(at, 8);
        if (!entry) return false;
        writeU32(entry, 0, head);
        writeU32(entry, 4, written);
      }
      queue.nextUsed = (queue.nextUsed + 1) & 0xffff;
    }
    if (index) writeU16(index, 0, queue.nextUsed);
    return true;
  }

  /** Whether the driver wants an interrupt for what was pushed since the last call that said so. */
  shouldInterrupt(): boolean {
    const queue = this.stateOf();
    if (!queue.ready) return false;
    const ring = this.dma.readable(queue.avail, 6 + 2 * queue.size);
    if (!ring) return false;
    if (!this.features.eventIndex) return !(readU16(ring, 0) & AVAIL_NO_INTERRUPT);
    const last = queue.signalled;
    queue.signalled = queue.nextUsed;
    if (last < 0) return true;
    const event = readU16(ring, 4 + 2 * queue.size);
    return ((queue.nextUsed - event - 1) & 0xffff) < ((queue.nextUsed - last) & 0xffff);
  }

  private walk(queue: QueueState, head: number): Chain | string {
    let count = queue.size;
    let table = this.dma.readable(queue.descriptors, 16 * count);
    if (!table) return 'the descriptor table is not in RAM';
    const chain: Chain = { head, readable: [], writable: [] };
    let index = head;
    let indirect = false;
    let left = count;
    for (let total = 0; total < MAX_CHAIN; total++) {
      if (index >= count) return `descriptor ${index} in a table of ${count}`;
      if (left-- === 0) return 'the descriptors form a loop';
      const at = 16 * index;
      const address = readU64(table, at);
      const length = readU32(table, at + 8);
      const flags = readU16(table, at + 12);
      if (flags & DESCRIPTOR.INDIRECT) {
        if (!this.features.indirect || indirect) return 'an indirect descriptor where none is allowed';
        if (length === 0 || length % 16 || length > 16 * 0x8000) return `an indirect table of ${length} bytes`;
        if (flags & DESCRIPTOR.NEXT) return 'an indirect descriptor with a successor';
        table = this.dma.readable(address, length);
        if (!table) return 'an indirect table outside RAM';
        indirect = true;
        count = length / 16;
        left = count;
        index = 0;
        continue;
      }
      if (length > 0) {
        const there = this.dma.stretch
          ? reaches(this.dma, address, length, (flags & DESCRIPTOR.WRITE) !== 0)
          : this.dma.readable(address, length);
        if (!there) return `a buffer outside RAM at 0x${address.toString(16)}`;
        if (flags & DESCRIPTOR.WRITE) chain.writable.push({ address, length });
        else if (chain.writable.length) return 'a readable buffer after a writable one';
        else chain.readable.push({ address, length });
      }
      if (!(flags & DESCRIPTOR.NEXT)) return chain;
      index = readU16(table, at + 14);
    }
    return `a chain of more than ${MAX_CHAIN} descriptors`;
  }
}

/** The bytes in a list of segments; at most 1024 times 4 GiB, so exact. */
export function lengthOf(segments: readonly Segment[]): number {
  let length = 0;
  for (const segment of segments) length += segment.length;
  return length;
}

/** Copies guest memory from `offset` of the segments on into `into`; returns how many bytes there were. */
export function gather(dma: Dma, segments: readonly Segment[], offset: number, into: Uint8Array): number {
  if (dma.stretch) return moveStretches(fetchBytes, dma, segments, offset, into);
  return each(segments, offset, into.length, (address, length, done) => {
    const bytes = dma.readable(address, length);
    if (bytes) into.set(bytes, done);
    return bytes !== undefined;
  });
}

/** Copies `from` into guest memory from `offset` of the segments on; returns how many bytes fitted. */
export function scatter(dma: Dma, segments: readonly Segment[], offset: number, from: Uint8Array): number {
  if (dma.stretch) return moveStretches(storeBytes, dma, segments, offset, from);
  return each(segments, offset, from.length, (address, length, done) => {
    const bytes = dma.writable(address, length);
    if (bytes) bytes.set(from.subarray(done, done + length));
    return bytes !== undefined;
  });
}

/** The same behind an IOMMU, which may end a transfer anywhere: with `fetchBytes` or `storeBytes`. */
function moveStretches(
  move: typeof fetchBytes,
  dma: Dma,
  segments: readonly Segment[],
  offset: number,
  bytes: Uint8Array,
): number {
  let moved = 0;
  each(segments, offset, bytes.length, (address, length, done) => {
    const count = move(dma, address, bytes.subarray(done, done + length));
    moved = done + count;
    return count === length;
  });
  return moved;
}

function each(
  segments: readonly Segment[],
  offset: number,
  length: number,
  visit: (address: number, length: number, done: number) => boolean,
): number {
  let skip = offset;
  let done = 0;
  for (const segment of segments) {
    if (done === length) break;
    if (skip >= segment.length) {
      skip -= segment.length;
      continue;
    }
    const piece = Math.min(segment.length - skip, length - done);
    if (!visit(segment.address + skip, piece, done)) break;
    done += piece;
    skip = 0;
  }
  return done;
}
