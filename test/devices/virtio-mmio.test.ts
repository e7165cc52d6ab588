import assert from 'node:assert/strict';
import { test } from 'node:test';
import { VirtioMmio } from '../../src/devices/virtio-mmio/virtio-mmio.ts';
import { VirtioRng } from '../../src/devices/virtio-rng/virtio-rng.ts';
import { TestBench, TestLine } from '../../src/hw/test-bench.ts';
import { TestDriver } from '../../src/hw/test-driver.ts';

function setUp(legacy: boolean) {
  const bench = new TestBench();
  const irq = new TestLine();
  const slot = new VirtioMmio('virtio-mmio.0', bench.log, irq, legacy);
  slot.plug(new VirtioRng('rng0', bench, (into) => into.fill(0x5a)));
  return { bench, irq, slot, driver: new TestDriver(bench, slot.mmio) };
}

test('an empty slot says so', () => {
  const bench = new TestBench();
  const { probe } = new TestDriver(bench, new VirtioMmio('s', bench.log, new TestLine(), true).mmio);
  assert.deepEqual([probe.r(0), probe.r(4), probe.r(8)], [0x7472_6976, 1, 0]);
  probe.w(0x070, 1);
  probe.w(0x050, 0);
  assert.equal(probe.r(0x034), 0);
});

test('entropy arrives through the legacy and the modern interface', () => {
  for (const legacy of [true, false]) {
    const { bench, irq, driver } = setUp(legacy);
    const queue = driver.queue(0, bench.ramBase);
    driver.start(legacy ? 0n : 1n << 32n, [queue]);
    queue.add({ address: bench.ramBase + 0x1_0000, length: 100, write: true });
    driver.notify(queue);
    assert.deepEqual(queue.take(), [{ id: 0, length: 100 }]);
    assert.equal(bench.ram[0x1_0000 + 99], 0x5a);
    assert.equal(irq.level, true);
    assert.equal(driver.probe.r(0x060), 1);
  }
});

test('modern: features that were not offered, or without VERSION_1, are refused', () => {
  for (const features of [0n, (1n << 32n) | (1n << 40n)]) {
    const { bench, driver } = setUp(false);
    driver.start(features, []);
    driver.probe.w(0x070, 0xb);
    assert.equal(driver.probe.r(0x070) & 8, 0);
    assert.match(bench.reports.join(), /refused/);
  }
});

test('sizes and addresses of a queue in use cannot be changed', () => {
  const { bench, driver, slot } = setUp(false);
  const queue = driver.queue(0, bench.ramBase);
  driver.start(1n << 32n, [queue]);
  const before = structuredClone(slot.device?.state);
  driver.probe.w(0x038, 4);
  driver.probe.w(0x080, 0);
  assert.deepEqual(slot.device?.state, before);
  driver.probe.w(0x044, 0);
  for (const wrong of [0, 3, 16, 0xffff_ffff]) driver.probe.w(0x038, wrong);
  assert.equal(slot.device?.state.queues[0].size, 8);
  assert.equal(bench.reports.length, 6);
});

test('legacy: the page number places the queue and reads back', () => {
  const { bench, driver } = setUp(true);
  const queue = driver.queue(0, bench.ramBase + 0x2000);
  driver.start(0n, [queue]);
  assert.equal(driver.probe.r(0x040), (bench.ramBase + 0x2000) / 4096);
  driver.probe.w(0x040, 0);
  assert.equal(driver.probe.r(0x040), 0);
});

test('legacy: the page size outlives a reset by the status register, as Linux expects', () => {
  const { bench, driver } = setUp(true);
  const { probe } = driver;
  probe.w(0x028, 4096);
  probe.w(0x070, 0);
  probe.w(0x038, 8);
  probe.w(0x03c, 4096);
  probe.w(0x040, bench.ramBase / 4096);
  assert.equal(probe.r(0x040), bench.ramBase / 4096);
});
