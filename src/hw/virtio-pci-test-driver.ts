/** A minimal virtio driver for tests over PCI: modern, or legacy as drivers were before virtio 1.0. */
import type { AccessSize } from './device.ts';
import type { Found } from './pci-test-driver.ts';
import type { TestQueue } from './test-driver.ts';

const PAGE = 4096;
const STRUCTURE = { COMMON: 1, NOTIFY: 2, ISR: 3, DEVICE: 4 } as const;

/** An address of a structure: memory for the modern interface, ports for the legacy one. */
interface Place {
  readonly space: 'memory' | 'ports';
  readonly base: number;
}

export class VirtioPciDriver {
  readonly fn: Found;
  readonly legacy: boolean;
  private readonly places = new Map<number, Place>();
  private multiplier = 0;

  constructor(fn: Found, legacy: boolean) {
    this.fn = fn;
    this.legacy = legacy;
    if (legacy) {
      this.places.set(STRUCTURE.COMMON, { space: 'ports', base: fn.bars.get(0)?.base ?? -1 });
      return;
    }
    for (const at of fn.capabilities(9)) {
      const bar = fn.bars.get(fn.r(at + 4, 1));
      if (bar) this.places.set(fn.r(at + 3, 1), { space: 'memory', base: bar.base + fn.r(at + 8) });
      if (fn.r(at + 3, 1) === STRUCTURE.NOTIFY) this.multiplier = fn.r(at + 16);
    }
  }

  /** Reads the common structure, or the legacy registers. */
  r(at: number, size: AccessSize = 4): number {
    return this.read(STRUCTURE.COMMON, at, size);
  }

  w(at: number, value: number, size: AccessSize = 4): void {
    this.write(STRUCTURE.COMMON, at, size, value >>> 0);
  }

  isr(): number {
    return this.legacy ? this.r(0x13, 1) : this.read(STRUCTURE.ISR, 0, 1);
  }

  config(at: number, size: AccessSize = 4): number {
    return this.legacy ? this.r(0x14 + at, size) : this.read(STRUCTURE.DEVICE, at, size);
  }

  /** Negotiates what is asked for; `vectors` go to the queues in order. Returns the status. */
  start(features: bigint, queues: readonly TestQueue[], vectors: readonly number[] = []): number {
    return this.legacy ? this.startLegacy(features, queues) : this.startModern(features, queues, vectors);
  }

  notify(queue: TestQueue): void {
    if (this.legacy) this.w(0x10, queue.index, 2);
    else this.write(STRUCTURE.NOTIFY, this.multiplier * queue.index, 2, queue.index);
  }

  private startModern(features: bigint, queues: readonly TestQueue[], vectors: readonly number[]): number {
    for (const status of [0, 1, 3]) this.w(0x14, status, 1);
    for (const half of [0, 1]) {
      this.w(0x08, half);
      this.w(0x0c, Number((features >> BigInt(32 * half)) & 0xffff_ffffn));
    }
    this.w(0x14, 0xb, 1);
    queues.forEach((queue, i) => {
      this.w(0x16, queue.index, 2);
      this.w(0x18, queue.size, 2);
      if (vectors[i] !== undefined) this.w(0x1a, vectors[i], 2);
      [queue.base, queue.avail, queue.used].forEach((address, part) => {
        this.w(0x20 + 8 * part, address);
        this.w(0x24 + 8 * part, 0);
      });
      this.w(0x1c, 1, 2);
    });
    this.w(0x14, 0xf, 1);
    return this.r(0x14, 1);
  }

  private startLegacy(features: bigint, queues: readonly TestQueue[]): number {
    for (const status of [0, 1, 3]) this.w(0x12, status, 1);
    this.w(0x04, Number(features & 0xffff_ffffn));
    for (const queue of queues) {
      this.w(0x0e, queue.index, 2);
      this.w(0x08, queue.base / PAGE);
    }
    this.w(0x12, 7, 1);
    return this.r(0x12, 1);
  }

  private read(structure: number, at: number, size: AccessSize): number {
    const { space, base } = this.place(structure);
    const { memory, ports } = this.fn.root;
    return space === 'ports' ? ports.read(base + at, size) : (memory.read(base + at, size) ?? 0xffff_ffff);
  }

  private write(structure: number, at: number, size: AccessSize, value: number): void {
    const { space, base } = this.place(structure);
    const { memory, ports } = this.fn.root;
    if (space === 'ports') ports.write(base + at, size, value);
    else memory.write(base + at, size, value);
  }

  private place(structure: number): Place {
    const place = this.places.get(structure);
    if (!place) throw new RangeError(`no structure ${structure}`);
    return place;
  }
}
