/** What a driver of the remapping unit does, for tests: builds tables by hand and fills the queue of invalidations. */
import { readU32, writeU32, writeU64 } from '../../bits/endian.ts';
import type { InterruptMessage } from '../../hw/interrupt-message.ts';
import { Probe, TestBench } from '../../hw/test-bench.ts';
import { IntelIommu } from './intel-iommu.ts';
import type { IntelIommuOptions } from './state.ts';

export const REG = {
  VER: 0x00,
  CAP: 0x08,
  ECAP: 0x10,
  GCMD: 0x18,
  GSTS: 0x1c,
  RTADDR: 0x20,
  CCMD: 0x28,
  FSTS: 0x34,
  FECTL: 0x38,
  FEDATA: 0x3c,
  FEADDR: 0x40,
  IQH: 0x80,
  IQT: 0x88,
  IQA: 0x90,
  ICS: 0x9c,
  IECTL: 0xa0,
  IEDATA: 0xa4,
  IEADDR: 0xa8,
  IRTA: 0xb8,
  IVA: 0xf0,
  IOTLB: 0xf8,
  FRCD: 0x220,
} as const;
export const GO = { TRANSLATE: 0x8000_0000, ROOT: 0x4000_0000, QUEUE: 0x400_0000 } as const;
export const INTERRUPTS = { ON: 0x200_0000, TABLE: 0x100_0000, COMPATIBLE: 0x80_0000 } as const;
export const READ = 1;
export const WRITE = 2;

/** RAM from 0 on: the first megabyte is for tables, taken page by page. */
export class UnitDriver {
  readonly bench = new TestBench(0, 0x100_0000);
  readonly sent: InterruptMessage[] = [];
  readonly passed: [number, number][] = [];
  changes = 0;
  readonly unit: IntelIommu;
  readonly probe: Probe;
  private next = 0x1000;
  readonly root = this.page();
  readonly queue = this.page();
  readonly table = this.page();

  constructor(options: Partial<IntelIommuOptions> = {}) {
    this.unit = new IntelIommu({
      name: 'unit',
      log: this.bench.log,
      memory: this.bench.dma,
      addressBits: 39,
      passThrough: true,
      snoopControl: false,
      interrupts: true,
      extendedInterrupts: false,
      dmaTranslation: true,
      cachingMode: false,
      drain: true,
      deliver: (message) => this.sent.push(message),
      pass: (address, data) => this.passed.push([address, data]),
      interruptsChanged: () => this.changes++,
      ...options,
    });
    this.probe = new Probe(this.unit.mmio);
  }

  page(): number {
    this.next += 0x1000;
    return this.next - 0x1000;
  }

  /** Translation goes on, with the queue of invalidations. */
  start(): void {
    const { probe } = this;
    probe.w(REG.IQA, this.queue);
    this.command(GO.QUEUE);
    probe.w(REG.RTADDR, this.root);
    this.command(GO.ROOT);
    this.command(GO.TRANSLATE);
  }

  /** Sets one bit of GCMD. */
  command(bit: number): void {
    const oneShot = GO.ROOT | INTERRUPTS.TABLE;
    this.probe.w(REG.GCMD, (this.probe.r(REG.GSTS) & ~oneShot) | bit);
  }

  entry(at: number, low: number, high: number): void {
    writeU32(this.bench.ram, at, low);
    writeU32(this.bench.ram, at + 4, high);
  }

  pointer(at: number): number {
    return readU32(this.bench.ram, at) & ~0xfff;
  }

  /** Gives a requester tables of its own, or the first one of another: returns the first. */
  context(source: number, { domain = 1, levels = 3, type = 0, table = this.page(), flags = 0 } = {}): number {
    const at = this.root + 16 * (source >> 8);
    if (!(readU32(this.bench.ram, at) & 1)) this.entry(at, this.page() | 1, 0);
    const context = this.pointer(at) + 16 * (source & 0xff);
    this.entry(context, table | (type << 2) | 1 | flags, 0);
    this.entry(context + 8, (levels - 2) | (domain << 8), 0);
    return table;
  }

  /** Maps one page of 4 KiB, or of 2 MiB (level 2) or 1 GiB (level 3). Returns where its entry is. */
  map(table: number, address: number, host: number, access = READ | WRITE, level = 1, levels = 3): number {
    let at = table;
    for (let depth = levels; depth > level; depth--) {
      const slot = at + 8 * (Math.floor(address / 2 ** (3 + 9 * depth)) % 512);
      if (!(readU32(this.bench.ram, slot) & 3)) this.entry(slot, this.page() | READ | WRITE, 0);
      at = this.pointer(slot);
    }
    const slot = at + 8 * (Math.floor(address / 2 ** (3 + 9 * level)) % 512);
    writeU64(this.bench.ram, slot, host + access + (level > 1 ? 0x80 : 0));
    return slot;
  }

  /** Queues a descriptor of four words and lets the unit take it. */
  invalidate(...words: number[]): void {
    const tail = this.probe.r(REG.IQT);
    for (let i = 0; i < 4; i++) writeU32(this.bench.ram, this.queue + tail + 4 * i, (words[i] ?? 0) >>> 0);
    this.probe.w(REG.IQT, (tail + 16) % 0x1000);
  }

  fault(): { address: number; source: number; reason: number; read: boolean } | undefined {
    const [low, high, source, last] = [0, 4, 8, 12].map((at) => this.probe.r(REG.FRCD + at));
    if (!(last & 0x8000_0000)) return undefined;
    return { address: high * 2 ** 32 + low, source, reason: last & 0xff, read: (last & 0x4000_0000) !== 0 };
  }

  /** Ends the fault that is recorded; returns its reason. */
  takeFault(): number | undefined {
    const fault = this.fault();
    this.probe.w(REG.FRCD + 12, 0x8000_0000);
    return fault?.reason;
  }

  /** An entry of the table of interrupts. */
  interrupt(index: number, flags: number, target: number, origin = 0): void {
    this.entry(this.table + 16 * index, flags, target);
    this.entry(this.table + 16 * index + 8, origin, 0);
  }

  startInterrupts(entries = 256, extended = false): void {
    this.probe.w(REG.IRTA, this.table | (Math.log2(entries) - 1) | (extended ? 0x800 : 0));
    this.command(INTERRUPTS.TABLE);
    this.command(INTERRUPTS.ON);
  }
}

/** The address of a message that names an entry. */
export const handle = (index: number, sub = false): number =>
  0xfee0_0010 + (index & 0x7fff) * 32 + (index & 0x8000 ? 4 : 0) + (sub ? 8 : 0);
