import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { readU32, readU64, writeU32, writeU64 } from '../../src/bits/endian.ts';
import { latin1 } from '../../src/bits/text.ts';
import { VirtioBlk, type VirtioBlkOptions } from '../../src/devices/virtio-blk/virtio-blk.ts';
import { VirtioMmio } from '../../src/devices/virtio-mmio/virtio-mmio.ts';
import type { Disk } from '../../src/hw/disk.ts';
import { TestBench, TestLine } from '../../src/hw/test-bench.ts';
import { type Part, TestDriver } from '../../src/hw/test-driver.ts';
import type { VirtioDevice } from '../../src/hw/virtio.ts';
import { load, save } from '../../src/state/codec.ts';

const RAM = 0x8000_0000;
const HEADER = RAM + 0x1_0000;
const DATA = RAM + 0x2_0000;
const STATUS = RAM + 0x1_0100;

class SlowDisk implements Disk {
  readonly size = 64 * 512;
  readonly bytes = new Uint8Array(this.size);
  readOnly = false;
  broken = false;
  hold: Promise<void> | undefined;
  flushes = 0;
  async read(offset: number, into: Uint8Array) {
    await this.hold;
    if (this.broken) throw new Error('I/O error');
    into.set(this.bytes.subarray(offset, offset + into.length));
  }
  async write(offset: number, from: Uint8Array) {
    await this.hold;
    this.bytes.set(from, offset);
  }
  async flush() {
    this.flushes++;
  }
  async close() {}
}

function setUp(legacy: boolean, options?: VirtioBlkOptions, features = 0n) {
  const bench = new TestBench();
  const irq = new TestLine();
  const disk = new SlowDisk();
  const slot = new VirtioMmio('virtio-mmio.0', bench.log, irq, legacy);
  const blk = new VirtioBlk('disk0', bench, disk, options);
  slot.plug(blk);
  const driver = new TestDriver(bench, slot.mmio);
  const queue = driver.queue(0, RAM);
  driver.start((legacy ? 0n : 1n << 32n) | features, [queue]);
  const request = (type: number, sector: number, ...data: Part[]) => {
    const header = queue.bytes(HEADER, 16);
    writeU32(header, 0, type);
    writeU64(header, 8, sector);
    queue.bytes(STATUS, 1)[0] = 0xee;
    queue.add({ address: HEADER, length: 16 }, ...data, { address: STATUS, length: 1, write: true });
    driver.notify(queue);
  };
  const status = () => queue.bytes(STATUS, 1)[0];
  return { bench, irq, disk, slot, blk: blk as VirtioDevice & VirtioBlk, driver, queue, request, status };
}

for (const legacy of [true, false]) {
  const version = legacy ? 'legacy' : 'modern';

  test(`${version}: reads, writes, flushes and identifies itself`, async () => {
    const { irq, disk, driver, queue, request, status } = setUp(legacy, { serial: 'SERIAL' });
    assert.equal(driver.probe.r(0x008), 2);
    assert.equal(driver.probe.r(0x100), 64); // capacity in sectors
    for (let i = 0; i < disk.size; i++) disk.bytes[i] = i >> 9;
    request(0, 3, { address: DATA, length: 512, write: true }, { address: DATA + 0x1000, length: 512, write: true });
    await setImmediate();
    assert.deepEqual(queue.take(), [{ id: 0, length: 1025 }]);
    assert.deepEqual([status(), queue.bytes(DATA, 512)[511], queue.bytes(DATA + 0x1000, 1)[0]], [0, 3, 4]);
    assert.equal(irq.level, true);
    driver.probe.w(0x064, driver.probe.r(0x060));
    assert.equal(irq.level, false);

    queue.bytes(DATA, 512).fill(0xab);
    request(1, 63, { address: DATA, length: 512 });
    await setImmediate();
    assert.equal(disk.bytes[64 * 512 - 1], 0xab);
    request(4, 0);
    await setImmediate();
    assert.equal(disk.flushes, 1);
    request(8, 0, { address: DATA, length: 20, write: true });
    assert.equal(latin1(queue.bytes(DATA, 20)), `SERIAL${'\0'.repeat(14)}`);
    assert.deepEqual(queue.take().length, 3);
  });
}

test('what cannot be done is refused request by request', async () => {
  const { disk, queue, request, status } = setUp(false);
  const refused = async (code: number, ...args: Parameters<typeof request>) => {
    request(...args);
    await setImmediate();
    assert.equal(status(), code);
    assert.equal(queue.take().length, 1);
  };
  const sector = { address: DATA, length: 512, write: true };
  await refused(1, 0, 64, sector); // beyond the end
  await refused(1, 0, 0xffff_ffff_ffff, sector);
  await refused(1, 0, 0, { address: DATA, length: 500, write: true });
  await refused(2, 11, 0, { address: DATA, length: 16 }); // discard
  await refused(2, 13, 0, { address: DATA, length: 16 }); // write zeroes
  disk.readOnly = true;
  await refused(1, 1, 0, { address: DATA, length: 512 });
  disk.broken = true;
  await refused(1, 0, 0, sector);
});

test('a reset makes requests in flight void', async () => {
  const { disk, driver, queue, request, blk } = setUp(false);
  let go = () => {};
  disk.hold = new Promise((resolve) => {
    go = resolve;
  });
  disk.bytes.fill(0x77);
  request(0, 0, { address: DATA, length: 512, write: true });
  assert.equal(blk.state.inFlight.length, 1);
  driver.probe.w(0x070, 0);
  go();
  await setImmediate();
  assert.equal(queue.bytes(DATA, 1)[0], 0);
  assert.deepEqual([queue.take(), blk.state.inFlight], [[], []]);
});

test('a request in flight starts over after a snapshot was loaded', async () => {
  const { bench, disk, queue, request, blk, slot, status } = setUp(false);
  disk.hold = new Promise(() => {});
  disk.bytes.fill(0x77);
  request(0, 0, { address: DATA, length: 512, write: true });
  const [blkSaved, slotSaved] = [save(blk.layout, blk.state), save(slot.layout, slot.state)];
  const fresh = new SlowDisk();
  fresh.bytes.fill(0x66);
  const slot2 = new VirtioMmio('virtio-mmio.0', bench.log, new TestLine(), false);
  const blk2 = new VirtioBlk('disk0', bench, fresh);
  slot2.plug(blk2);
  load(blk2.layout, blk2.state, blkSaved);
  load(slot2.layout, slot2.state, slotSaved);
  slot2.resumed();
  blk2.resumed();
  await setImmediate();
  assert.deepEqual([status(), queue.bytes(DATA, 1)[0], queue.take().length], [0, 0x66, 1]);
  assert.equal(readU64(queue.bytes(HEADER, 16), 8), 0);
});

test('descriptors that lie put the device into NEEDS_RESET, and a reset heals it', () => {
  type Set = ReturnType<typeof setUp>;
  const cases: [string, (set: Set) => void][] = [
    ['form a loop', ({ queue }) => [0, 1].map((i) => queue.describe(i, HEADER, 16, 1, 1 - i))],
    ['outside RAM', ({ queue }) => queue.describe(0, 0x1000, 16, 0, 0)],
    ['outside RAM', ({ queue }) => queue.describe(0, HEADER, 0xffff_ffff, 0, 0)],
    ['in a table of 8', ({ queue }) => queue.describe(0, HEADER, 16, 1, 8)],
    ['without header', ({ queue }) => queue.describe(0, HEADER, 8, 0, 0)],
    ['indirect descriptor where none', ({ queue }) => queue.describe(0, HEADER, 16, 4, 0)],
  ];
  for (const [words, spoil] of cases) {
    const set = setUp(false);
    spoil(set);
    set.queue.offer(0);
    set.driver.notify(set.queue);
    assert.match(set.bench.reports.join('\n'), new RegExp(words));
    assert.equal(set.driver.probe.r(0x070) & 0x40, 0x40, words);
    assert.equal(set.driver.probe.r(0x060) & 2, 2);
    set.bench.ram.fill(0);
    assert.equal(set.driver.start(1n << 32n, [set.queue]), 0xf);
  }
});

test('indirect tables work when negotiated, but not inside each other', async () => {
  const { bench, driver, queue, disk, status } = setUp(false, {}, 1n << 28n);
  const table = RAM + 0x3_0000;
  const at = queue.bytes(table, 48);
  const put = (i: number, address: number, length: number, flags: number) => {
    writeU64(at, 16 * i, address);
    writeU32(at, 16 * i + 8, length);
    writeU32(at, 16 * i + 12, flags | ((i + 1) << 16));
  };
  put(0, HEADER, 16, 1);
  put(1, DATA, 512, 3);
  put(2, STATUS, 1, 2);
  disk.bytes.fill(0x55);
  queue.describe(0, table, 48, 4, 0);
  queue.offer(0);
  driver.notify(queue);
  await setImmediate();
  assert.deepEqual([status(), queue.bytes(DATA, 1)[0], readU32(at, 8)], [0, 0x55, 16]);
  put(0, table, 48, 4);
  queue.offer(0);
  driver.notify(queue);
  assert.match(bench.reports.join(), /indirect descriptor where none/);
});

test('with event indices the driver is interrupted only where it asked', async () => {
  const { irq, driver, queue, request } = setUp(false, {}, 1n << 29n);
  const usedEvent = queue.bytes(queue.avail + 4 + 2 * queue.size, 2);
  const sector = { address: DATA, length: 512, write: true };
  const once = async () => {
    request(0, 0, sector);
    await setImmediate();
    driver.probe.w(0x064, 3);
  };
  await once(); // the first always interrupts
  usedEvent[0] = 2;
  await once();
  assert.equal(irq.rises, 1);
  await once();
  assert.equal(irq.rises, 2);
});
