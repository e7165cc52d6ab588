import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { ConfigError } from '../../src/bits/errors.ts';
import { readU32, writeU32, writeU64 } from '../../src/bits/endian.ts';
import { VirtioBlk } from '../../src/devices/virtio-blk/virtio-blk.ts';
import { VirtioPci, type VirtioPciOptions } from '../../src/devices/virtio-pci/virtio-pci.ts';
import { VirtioRng } from '../../src/devices/virtio-rng/virtio-rng.ts';
import { Bus } from '../../src/hw/bus.ts';
import type { Disk } from '../../src/hw/disk.ts';
import { enumerate } from '../../src/hw/pci-test-driver.ts';
import { PciBus } from '../../src/hw/pci-bus.ts';
import { PortBus } from '../../src/hw/ports.ts';
import { TestBench, TestLine } from '../../src/hw/test-bench.ts';
import { TestQueue } from '../../src/hw/test-driver.ts';
import { VirtioPciDriver } from '../../src/hw/virtio-pci-test-driver.ts';
import { load, type SavedState, save } from '../../src/state/codec.ts';

const RAM = 0x8000_0000;
const VERSION_1 = 1n << 32n;

class MemoryDisk implements Disk {
  readonly size = 64 * 512;
  readonly readOnly = false;
  readonly bytes = Uint8Array.from({ length: this.size }, (_, i) => i);
  async read(offset: number, into: Uint8Array) {
    into.set(this.bytes.subarray(offset, offset + into.length));
  }
  async write(offset: number, from: Uint8Array) {
    this.bytes.set(from, offset);
  }
  async flush() {}
  async close() {}
}

function machine() {
  const bench = new TestBench();
  const lines = [new TestLine(), new TestLine(), new TestLine(), new TestLine()];
  const messages: string[] = [];
  const bus = new PciBus({
    memory: new Bus(),
    ports: new PortBus(),
    route: (slot, pin) => (slot + pin) & 3,
    lines,
    message: (address, data) => messages.push(`${address.toString(16)}=${data}`),
  });
  return { bench, lines, messages, bus };
}

function blk(options: Partial<VirtioPciOptions> = {}) {
  const { bench, lines, messages, bus } = machine();
  const disk = new VirtioBlk('disk0', bench, new MemoryDisk(), { serial: 'abc' });
  const pci = new VirtioPci({ name: 'virtio-blk-pci', ...options }, disk);
  bus.add(pci.pci, 4);
  const [found] = enumerate(bus);
  const queue = new TestQueue(bench, 0, RAM, 256);
  /** Reads sector 1 and gives its first word. */
  const readSector = async (driver: VirtioPciDriver): Promise<number> => {
    const header = queue.bytes(RAM + 0x1_0000, 16);
    writeU32(header, 0, 0);
    writeU64(header, 8, 1);
    queue.bytes(RAM + 0x2_0000, 4).fill(0xee);
    queue.add(
      { address: RAM + 0x1_0000, length: 16 },
      { address: RAM + 0x2_0000, length: 512, write: true },
      { address: RAM + 0x1_1000, length: 1, write: true },
    );
    driver.notify(queue);
    await setImmediate();
    return readU32(queue.bytes(RAM + 0x2_0000, 4), 0);
  };
  return { bench, lines, messages, bus, disk, pci, found, queue, readSector };
}

test('ids, BARs and capabilities are those of QEMU', () => {
  const { found } = blk();
  assert.deepEqual([found.id, found.r(8), found.r(0x2c), found.r(0x3d, 1)], [0x1001_1af4, 0x0100_0000, 0x0002_1af4, 1]);
  assert.deepEqual(
    [...found.bars].map(([index, { kind, size }]) => `${index} ${kind} ${size}`),
    ['0 io 64', '1 mem32 4096', '4 mem64 16384'],
  );
  const words = Array.from({ length: 25 }, (_, i) => found.r(0x40 + 4 * i));
  const link = 0xffff_00ff; // the order of the list is ours
  assert.deepEqual(
    words.map((word, i) => ([0, 4, 8, 12, 17, 22].includes(i) ? (word & link) >>> 0 : word)),
    [
      0x0110_0009, 4, 0, 0x1000, 0x0310_0009, 4, 0x1000, 0x1000, 0x0410_0009, 4, 0x2000, 0x1000, 0x0214_0009, 4, 0x3000,
      0x1000, 4, 0x0514_0009, 0, 0, 0, 0, 0x0001_0011, 1, 0x801,
    ],
  );
  assert.equal(found.capabilities(9).length, 5);
  assert.deepEqual(found.capabilities(0x11), [0x98]);
  const modern = blk({ disableLegacy: true }).found;
  assert.deepEqual([modern.id, modern.r(8), modern.r(0x2c)], [0x1042_1af4, 0x0100_0001, 0x1100_1af4]);
  assert.deepEqual([...modern.bars.keys()], [1, 4]);
  const legacy = blk({ disableModern: true, vectors: 0 }).found;
  assert.deepEqual([[...legacy.bars.keys()], legacy.r(6, 2) & 0x10], [[0], 0]);
  assert.throws(() => blk({ disableModern: true, disableLegacy: true }), ConfigError);
});

test('a modern driver reads a sector and gets its interrupt on the pin', async () => {
  const { lines, found, queue, readSector } = blk();
  const driver = new VirtioPciDriver(found, false);
  assert.deepEqual([driver.r(0x12, 2), driver.r(0x10, 2), driver.config(0), driver.config(20)], [1, 0xffff, 64, 512]);
  driver.w(0, 1);
  assert.equal(driver.r(4) & 1, 1);
  driver.w(0, 2);
  assert.equal(driver.r(4), 0);
  assert.equal(driver.start(VERSION_1, [queue]), 0xf);
  assert.equal(await readSector(driver), 0x0302_0100);
  assert.deepEqual([lines[0].level, driver.isr(), driver.isr(), lines[0].level], [true, 1, 0, false]);
  assert.equal(driver.start(VERSION_1 | (1n << 50n), [queue]) & 8, 0);
  driver.w(0x14, 0, 1);
  assert.deepEqual([driver.r(0x14, 1), driver.r(0x1c, 2), driver.r(0x18, 2)], [0, 0, 256]);
});

test('MSI-X: a vector for each queue', async () => {
  const { lines, messages, found, queue, bus, readSector } = blk();
  const driver = new VirtioPciDriver(found, false);
  const table = found.bars.get(1)?.base ?? 0;
  for (const vector of [0, 1]) {
    bus.memory.write(table + 16 * vector, 4, 0xfee0_0000);
    bus.memory.write(table + 16 * vector + 8, 4, 0x40 + vector);
    bus.memory.write(table + 16 * vector + 12, 4, 0);
  }
  found.w(0x9a, 0x8000, 2);
  driver.start(VERSION_1, [queue], [1]);
  driver.w(0x10, 0, 2);
  assert.deepEqual([driver.r(0x1a, 2), driver.r(0x10, 2)], [1, 0]);
  await readSector(driver);
  assert.deepEqual([messages, lines[0].level], [['fee00000=65'], false]);
  driver.w(0x1a, 2, 2);
  assert.equal(driver.r(0x1a, 2), 0xffff);
});

test('a legacy driver reads a sector; its configuration moves behind the vectors', async () => {
  const { lines, found, queue, readSector } = blk();
  const driver = new VirtioPciDriver(found, true);
  assert.deepEqual([driver.r(0xc, 2), driver.config(0), driver.r(0) & 0x0800_0000], [256, 64, 0x0800_0000]);
  assert.equal(driver.start(0n, [queue]), 7);
  assert.equal(driver.r(8), RAM / 4096);
  assert.equal(await readSector(driver), 0x0302_0100);
  assert.deepEqual([lines[0].level, driver.isr(), lines[0].level], [true, 1, false]);
  found.w(0x9a, 0x8000, 2);
  assert.deepEqual([driver.r(0x14), driver.r(0x16, 2), driver.r(0x18)], [0xffff, 0xffff, 64]);
  driver.w(0x16, 1, 2);
  assert.equal(driver.r(0x16, 2), 1);
});

test('without leave to be bus master a device does nothing, but old drivers get it', async () => {
  const { found, queue, readSector, bench } = blk();
  const modern = new VirtioPciDriver(found, false);
  modern.start(VERSION_1, [queue]);
  found.w(4, 3, 2);
  assert.equal(await readSector(modern), 0xeeee_eeee);
  assert.match(bench.reports.join(), /bus master/);
  const legacy = new VirtioPciDriver(found, true);
  queue.bytes(RAM, 0x4000).fill(0);
  legacy.start(0n, [queue]);
  assert.equal(found.r(4, 2) & 4, 4);
});

test('the window in configuration space reaches the modern structures', () => {
  const { found } = blk();
  const at = 0x84;
  const point = (offset: number, length: number) => {
    found.w(at + 4, 4, 1);
    found.w(at + 8, offset);
    found.w(at + 12, length);
  };
  point(0x12, 2);
  assert.equal(found.r(at + 16), 1);
  point(0x14, 1);
  found.w(at + 16, 3, 1);
  assert.equal(found.r(at + 16) & 0xff, 3);
  point(0x2000, 4);
  assert.equal(found.r(at + 16), 64);
  for (const [offset, length] of [
    [0x14, 3],
    [0x13, 2],
    [0x4000, 4],
    [0xffff_fffc, 4],
  ]) {
    point(offset, length);
    found.w(at + 16, 0x1234_5678);
    assert.equal(found.r(at + 16), 0x1234_5678);
  }
});

test('a device without queues of its own size, and a snapshot in the middle', () => {
  const { bench, bus } = machine();
  const build = () => new VirtioPci({ name: 'rng' }, new VirtioRng('rng0', bench, (into) => into.fill(7)));
  const one = build();
  bus.add(one.pci, 5);
  const [found] = enumerate(bus);
  assert.equal(found.id, 0x1005_1af4);
  const driver = new VirtioPciDriver(found, false);
  const queue = new TestQueue(bench, 0, RAM, 8);
  driver.start(VERSION_1, [queue]);
  const two = build();
  for (const [into, from] of [
    [two, one],
    [two.pci, one.pci],
    [two.device, one.device],
  ] as const)
    load(into.layout, into.state, save(from.layout, from.state) as SavedState);
  bus.remove(one.pci);
  bus.add(two.pci, 5);
  two.pci.resumed();
  queue.add({ address: RAM + 0x1_0000, length: 4, write: true });
  driver.notify(queue);
  assert.equal(readU32(queue.bytes(RAM + 0x1_0000, 4), 0), 0x0707_0707);
  assert.equal(driver.isr(), 1);
});
