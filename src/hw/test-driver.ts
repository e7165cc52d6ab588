/** A minimal virtio driver for tests: one queue in the test bench's RAM, over a virtio-mmio window. */
import { alignUp, readU16, readU32, writeU16, writeU32, writeU64 } from '../bits/endian.ts';
import type { Mmio } from './device.ts';
import { Probe, type TestBench } from './test-bench.ts';

const PAGE = 4096;

export interface Part {
  readonly address: number;
  readonly length: number;
  readonly write?: boolean;
}

export class TestDriver {
  readonly probe: Probe;
  private readonly bench: TestBench;
  private readonly legacy: boolean;

  constructor(bench: TestBench, mmio: Mmio) {
    this.bench = bench;
    this.probe = new Probe(mmio);
    this.legacy = this.probe.r(0x004) === 1;
  }

  /** Negotiates what is offered and asked for; returns the status register. */
  start(features: bigint, queues: readonly TestQueue[]): number {
    const { probe } = this;
    probe.w(0x070, 0);
    probe.w(0x070, 1);
    probe.w(0x070, 3);
    for (const half of [0, 1]) {
      probe.w(0x024, half);
      probe.w(0x020, Number((features >> BigInt(32 * half)) & 0xffff_ffffn));
    }
    if (this.legacy) probe.w(0x028, PAGE);
    else probe.w(0x070, 0xb);
    for (const queue of queues) {
      probe.w(0x030, queue.index);
      probe.w(0x038, queue.size);
      if (this.legacy) {
        probe.w(0x03c, PAGE);
        probe.w(0x040, queue.base / PAGE);
      } else {
        for (const [at, address] of [
          [0x080, queue.base],
          [0x090, queue.avail],
          [0x0a0, queue.used],
        ]) {
          probe.w(at, address);
          probe.w(at + 4, 0);
        }
        probe.w(0x044, 1);
      }
    }
    probe.w(0x070, this.legacy ? 7 : 0xf);
    return probe.r(0x070);
  }

  notify(queue: TestQueue): void {
    this.probe.w(0x050, queue.index);
  }

  queue(index: number, base: number, size = 8): TestQueue {
    return new TestQueue(this.bench, index, base, size);
  }
}

/** A queue laid out as legacy drivers do, at a page boundary. */
export class TestQueue {
  readonly index: number;
  readonly base: number;
  readonly size: number;
  readonly avail: number;
  readonly used: number;
  private readonly bench: TestBench;
  private nextDescriptor = 0;
  private taken = 0;

  constructor(bench: TestBench, index: number, base: number, size: number) {
    this.bench = bench;
    this.index = index;
    this.base = base;
    this.size = size;
    this.avail = base + 16 * size;
    this.used = alignUp(this.avail + 4 + 2 * size, PAGE);
  }

  bytes(address: number, length: number): Uint8Array {
    const at = address - this.bench.ramBase;
    return this.bench.ram.subarray(at, at + length);
  }

  /** Writes one descriptor as it is. */
  describe(index: number, address: number, length: number, flags: number, next: number): void {
    const at = this.bytes(this.base + 16 * index, 16);
    writeU64(at, 0, address);
    writeU32(at, 8, length);
    writeU16(at, 12, flags);
    writeU16(at, 14, next);
  }

  /** Puts a chain of descriptors into the available ring and returns its head. */
  add(...parts: Part[]): number {
    const head = this.nextDescriptor;
    parts.forEach((part, i) => {
      const last = i === parts.length - 1;
      const index = this.nextDescriptor;
      this.nextDescriptor = (index + 1) % this.size;
      this.describe(
        index,
        part.address,
        part.length,
        (last ? 0 : 1) | (part.write ? 2 : 0),
        last ? 0 : this.nextDescriptor,
      );
    });
    this.offer(head);
    return head;
  }

  offer(head: number): void {
    const ring = this.bytes(this.avail, 4 + 2 * this.size);
    const index = readU16(ring, 2);
    writeU16(ring, 4 + 2 * (index % this.size), head);
    writeU16(ring, 2, index + 1);
  }

  /** Used entries since the last call. */
  take(): { id: number; length: number }[] {
    const ring = this.bytes(this.used, 4 + 8 * this.size);
    const entries: { id: number; length: number }[] = [];
    for (; this.taken !== readU16(ring, 2); this.taken = (this.taken + 1) & 0xffff) {
      const at = 4 + 8 * (this.taken % this.size);
      entries.push({ id: readU32(ring, at), length: readU32(ring, at + 4) });
    }
    return entries;
  }
}
