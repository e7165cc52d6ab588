import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { testSeed } from '../../bits/test-seed.ts';
import type { Disk } from '../../hw/disk.ts';
import type { IsaDmaChannel } from '../../hw/isa-dma.ts';
import { TestBench, TestLine } from '../../hw/test-bench.ts';
import { FuzzRandom } from '../../hw/test-fuzz.ts';
import { load, save } from '../../state/codec.ts';
import { MemoryDisk } from '../../storage/memory.ts';
import { Fdc } from './fdc.ts';
import { FloppyDrive, formatOf } from './floppy-drive.ts';

/** A DMA channel over an array, with a count. */
class TestChannel implements IsaDmaChannel {
  memory = new Uint8Array(0x8000);
  at = 0;
  left = 0;
  terminal = false;
  dreq = false;
  ready?: () => void;
  program(count: number): void {
    this.at = 0;
    this.left = count;
    if (this.dreq) this.ready?.();
  }
  request(level: boolean): void {
    this.dreq = level;
  }
  toMemory(from: Uint8Array): number {
    return this.move(from.length, (n) => this.memory.set(from.subarray(0, n), this.at));
  }
  fromMemory(into: Uint8Array): number {
    return this.move(into.length, (n) => into.set(this.memory.subarray(this.at, this.at + n)));
  }
  private move(wanted: number, copy: (n: number) => void): number {
    const n = Math.min(wanted, this.left);
    copy(n);
    this.at += n;
    this.left -= n;
    this.terminal = n > 0 && this.left === 0;
    return n;
  }
}

function setUp(medium: Disk = new MemoryDisk(new Uint8Array(1474560).map((_, i) => (i >> 9) + i))) {
  const bench = new TestBench();
  const irq = new TestLine();
  const dma = new TestChannel();
  const drive = FloppyDrive.fitting(medium);
  const fdc = new Fdc('fdc', { log: bench.log, irq, dma }, [drive]);
  const w = (register: number, value: number) => fdc.mmio.write(register, 1, value);
  const r = (register: number) => fdc.mmio.read(register, 1);
  const send = (...bytes: number[]) => {
    for (const byte of bytes) w(5, byte);
  };
  const results = () => {
    const bytes: number[] = [];
    while ((r(4) & 0xf0) === 0xd0) bytes.push(r(5));
    return bytes;
  };
  const settle = async () => {
    for (let i = 0; i < 10; i++) await setImmediate();
  };
  fdc.rateMmio.write(0, 1, drive.format.rate);
  return { bench, irq, dma, drive, fdc, w, r, send, results, settle, medium };
}

test('formats are told by size, drives by formats', () => {
  const sizes = [1474560, 2949120, 1228800, 737280, 368640, 163840];
  assert.deepEqual(
    sizes.map((size) => [formatOf(size).sectors, formatOf(size).tracks, formatOf(size).heads]),
    [
      [18, 80, 2],
      [36, 80, 2],
      [15, 80, 2],
      [9, 80, 2],
      [9, 40, 2],
      [8, 40, 1],
    ],
  );
  const type = (size: number) => FloppyDrive.fitting(new MemoryDisk(new Uint8Array(size))).cmosType;
  assert.deepEqual([type(1474560), type(2949120), type(1228800)], [4, 5, 2]);
});

test('a reset by DOR interrupts and polls four drives', () => {
  const { irq, w, r, send, results } = setUp();
  assert.deepEqual([r(2), r(4)], [0x0c, 0x80]);
  w(2, 0);
  assert.equal(r(4), 0);
  w(2, 0x0c);
  assert.equal(irq.level, true);
  for (let drive = 0; drive < 4; drive++) {
    send(8);
    assert.deepEqual(results(), [0xc0 | drive, 0]);
    assert.equal(irq.level, false);
  }
  send(8);
  assert.deepEqual(results(), [0x80]);
  send(0x55);
  assert.deepEqual(results(), [0x80]);
});

test('what QEMU 7.2 answers to VERSION, PART ID and DUMPREG', () => {
  const { send, results } = setUp();
  send(0x10);
  assert.deepEqual(results(), [0x90]);
  send(0x18);
  assert.deepEqual(results(), [0x41]);
  send(0x0e);
  assert.deepEqual(results(), [0, 0, 0, 0, 0, 1, 0x12, 0, 0x60, 0]);
});

test('seeks end with an interrupt and the disk change signal', () => {
  const { fdc, irq, send, results } = setUp();
  assert.equal(fdc.rateMmio.read(0, 1), 0x80);
  send(7, 0);
  assert.equal(irq.level, true);
  send(8);
  assert.deepEqual(results(), [0x20, 0]);
  assert.equal(fdc.rateMmio.read(0, 1), 0x80);
  send(0x0f, 0, 5);
  send(8);
  assert.deepEqual(results(), [0x20, 5]);
  assert.equal(fdc.rateMmio.read(0, 1), 0);
  send(4, 4);
  assert.deepEqual(results(), [0x2c]);
  send(7, 1); // no such drive
  send(8);
  assert.deepEqual(results(), [0x71, 0]);
});

test('READ by DMA ends at TC; the result names the next sector', async () => {
  const { irq, dma, send, results, settle, medium } = setUp();
  const { bytes } = medium as MemoryDisk;
  send(0x0f, 0, 3);
  send(8);
  results();
  send(0xe6, 0, 3, 0, 17, 2, 18, 0x1b, 0xff);
  assert.equal(irq.level, false);
  dma.program(3 * 512); // both heads
  await settle();
  assert.equal(irq.level, true);
  assert.deepEqual(results(), [0, 0, 0, 3, 1, 2, 2]);
  const at = (3 * 36 + 16) * 512;
  assert.deepEqual(dma.memory.slice(0, 1536), bytes.slice(at, at + 1536));
  dma.program(4096); // more than the track has
  send(0x66, 0, 3, 0, 18, 2, 18, 0x1b, 0xff);
  await settle();
  assert.deepEqual(results(), [0x40, 0x80, 0, 4, 0, 1, 2]);
});

test('WRITE by DMA and FORMAT reach the disk; DMA may be programmed late', async () => {
  const { dma, send, results, settle, medium } = setUp();
  const { bytes } = medium as MemoryDisk;
  dma.memory.fill(0xab, 0, 1024);
  send(0xc5, 4, 0, 1, 2, 2, 18, 0x1b, 0xff);
  await settle();
  assert.equal(dma.dreq, true);
  dma.program(1024);
  await settle();
  assert.deepEqual(results(), [4, 0, 0, 0, 1, 4, 2]);
  assert.ok(bytes.subarray(19 * 512, 21 * 512).every((byte) => byte === 0xab));
  dma.memory.set([0, 0, 1, 2, 0, 0, 99, 2, 0, 0, 3, 2]);
  dma.program(12);
  send(0x4d, 0, 2, 3, 0x50, 0xf6);
  await settle();
  assert.equal(results()[0], 0);
  assert.ok(bytes.subarray(0, 512).every((byte) => byte === 0xf6));
  assert.notEqual(bytes[600], 0xf6);
  assert.ok(bytes.subarray(1024, 1536).every((byte) => byte === 0xf6));
});

test('without DMA bytes pass through the data register', async () => {
  const { irq, r, send, results, settle, medium } = setUp();
  send(3, 0xaf, 3);
  send(0x46, 0, 0, 0, 1, 2, 1, 0x1b, 0xff);
  await settle();
  assert.deepEqual([r(4), irq.level], [0xf0, true]);
  const got = Array.from({ length: 512 }, () => r(5));
  assert.deepEqual(got, [...(medium as MemoryDisk).bytes.subarray(0, 512)]);
  assert.deepEqual(results(), [0, 0, 0, 1, 0, 1, 2]);
});

test('wrong rate, no medium, write protection, missing sectors', async () => {
  const { fdc, dma, drive, send, results, settle } = setUp(new MemoryDisk(new Uint8Array(1474560), { readOnly: true }));
  send(0x45, 0, 0, 0, 1, 2, 1, 0x1b, 0xff);
  assert.deepEqual(results().slice(0, 3), [0x40, 2, 0]);
  send(0x46, 0, 0, 0, 19, 2, 19, 0x1b, 0xff);
  assert.deepEqual(results().slice(0, 3), [0x40, 4, 0]);
  send(0x13, 0, 0x20, 0); // no implied seek
  send(0x46, 0, 5, 0, 1, 2, 1, 0x1b, 0xff);
  assert.deepEqual(results().slice(0, 3), [0x40, 4, 0x10]);
  send(0x4a, 4);
  assert.deepEqual(results(), [4, 0, 0, 0, 1, 1, 2]);
  fdc.rateMmio.write(0, 1, 2);
  send(0x4a, 0);
  assert.deepEqual(results().slice(0, 3), [0x40, 1, 0]);
  fdc.rateMmio.write(0, 1, 0);
  send(0x46, 0, 0, 0, 1, 2, 1, 0x1b, 0xff);
  drive.change(undefined); // while it is read
  await settle();
  dma.program(512);
  assert.equal(results()[0], 0);
  send(0x4a, 0);
  assert.deepEqual(results().slice(0, 2), [0x40, 1]);
});

test('a read in flight starts over after a load', async () => {
  const from = setUp();
  from.send(0x46, 0, 0, 0, 2, 2, 2, 0x1b, 0xff);
  const to = setUp();
  load(to.fdc.layout, to.fdc.state, save(from.fdc.layout, from.fdc.state));
  to.fdc.resumed();
  to.dma.program(512);
  await to.settle();
  assert.deepEqual(to.results(), [0, 0, 0, 1, 0, 1, 2]);
  assert.deepEqual(to.dma.memory.slice(0, 512), (to.medium as MemoryDisk).bytes.slice(512, 1024));
});

test('random commands never throw, and leave a state that loads', async () => {
  const seed = testSeed(process.env);
  const random = new FuzzRandom(seed);
  const next = (below: number) => random.below(below);
  const { fdc, dma, drive, w, r } = setUp();
  const first = [0xe6, 0x46, 0xc5, 0x45, 0x4d, 0x4a, 0x07, 0x0f, 0x08, 0x42, 0x56, 0x8f, 0xcf, 0x03, 0x13];
  let commands = 0;
  for (let step = 0; step < 40_000; step++) {
    if ((r(4) & 0xd0) === 0xd0) r(5);
    else if (r(4) === 0x80 && ++commands) w(5, next(10) ? first[next(first.length)] : next(256));
    else w(5, next(4) ? next(20) : next(256));
    if (next(100) === 0) w(1 + next(5), next(256));
    if (next(200) === 0) w(2, 0x1c);
    if (next(50) === 0) dma.program(next(4000));
    if (next(300) === 0) fdc.rateMmio.write(0, 1, next(2) && next(4));
    if (next(100) === 0) await setImmediate();
    if (next(4000) === 0) drive.change(next(2) ? undefined : new MemoryDisk(new Uint8Array(737280)));
    if (next(1000) === 0) {
      load(fdc.layout, fdc.state, save(fdc.layout, fdc.state));
      fdc.resumed();
    }
  }
  assert.ok(commands > 200, `TRAPFRAME_SEED=${seed}: ${commands}`);
});
