/** Functions of a PCI bus behind a remapping unit: under which names they go, and virtio with VIRTIO_F_ACCESS_PLATFORM. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { writeU32, writeU64 } from '../../src/bits/endian.ts';
import { FAULT } from '../../src/devices/intel-iommu/faults.ts';
import { GO, handle, REG, UnitDriver } from '../../src/devices/intel-iommu/test-driver.ts';
import { pciBridge, pcieRootPort } from '../../src/devices/pci-bridge/pci-bridge.ts';
import { VirtioBlk } from '../../src/devices/virtio-blk/virtio-blk.ts';
import { VirtioPci } from '../../src/devices/virtio-pci/virtio-pci.ts';
import { Bus } from '../../src/hw/bus.ts';
import type { Dma } from '../../src/hw/device.ts';
import { PciFunction } from '../../src/hw/pci.ts';
import { PciBus } from '../../src/hw/pci-bus.ts';
import { enumerate } from '../../src/hw/pci-test-driver.ts';
import { PortBus } from '../../src/hw/ports.ts';
import { TestLine } from '../../src/hw/test-bench.ts';
import { TestQueue } from '../../src/hw/test-driver.ts';
import { VirtioPciDriver } from '../../src/hw/virtio-pci-test-driver.ts';
import { MemoryDisk } from '../../src/storage/memory.ts';

const FEATURES = { VERSION_1: 1n << 32n, ACCESS_PLATFORM: 1n << 33n } as const;

function setUp() {
  const driver = new UnitDriver();
  const lines = [new TestLine(), new TestLine(), new TestLine(), new TestLine()];
  const bus = new PciBus({
    memory: new Bus(),
    ports: new PortBus(),
    route: (slot, pin) => (slot + pin) & 3,
    lines,
    message: () => assert.fail('a message went past the remapping unit'),
    iommu: driver.unit,
  });
  return { driver, bus };
}

const plain = (name: string) =>
  new PciFunction({ name, vendor: 1, device: 2, class: 0, interruptPin: 1, msi: { offset: 0x40 } });

test('a function goes under its own name, behind a port, too; behind a conventional bridge under the bridge’s', () => {
  const { driver, bus } = setUp();
  const functions = [plain('a'), plain('b'), plain('c')];
  const [port, bridge] = [pcieRootPort('port', bus, 1), pciBridge('bridge', bus)];
  bus.add(functions[0], 2, 1);
  bus.add(plain('first'), 2, 0);
  bus.add(port, 3);
  bus.add(bridge, 4);
  port.secondary.add(functions[1], 0);
  bridge.secondary.add(functions[2], 5);
  const all = functions.map((fn) => fn.master(driver.bench.dma));
  driver.start();
  assert.equal(all[0].readable(0x80_0000, 4), undefined); // no bus master
  assert.equal(driver.fault(), undefined);
  bus.at(2)?.writeConfig(0x0e, 1, 0x80);
  for (const fn of [functions[0], port, bridge]) fn.writeConfig(4, 2, 7);
  for (const [fn, number] of [
    [port, 7],
    [bridge, 9],
  ] as const) {
    fn.writeConfig(0x19, 1, number);
    fn.writeConfig(0x1a, 1, number);
  }
  for (const fn of functions) fn.writeConfig(4, 2, 7);
  const names = all.map((dma) => {
    assert.equal(dma.readable(0, 4), undefined);
    const source = driver.fault()?.source;
    driver.takeFault();
    return source;
  });
  assert.deepEqual(names, [0x0011, 0x0700, 0x0020]);
  // Their messages, too.
  driver.startInterrupts();
  const message = (fn: PciFunction, index: number) => {
    fn.writeConfig(0x44, 4, handle(index));
    fn.writeConfig(0x42, 2, 1);
    fn.notify(0);
  };
  for (const [index, name] of names.entries()) driver.interrupt(index, 0x41_0001, 0, 0x4_0000 | (name ?? 0));
  for (const [index, fn] of functions.entries()) message(fn, index);
  assert.equal(driver.sent.length, 3);
  message(functions[0], 1);
  assert.deepEqual([driver.sent.length, driver.takeFault()], [3, FAULT.SOURCE]);
  // What was unplugged is nobody's any more.
  bus.remove(functions[0]);
  assert.equal(all[0].stretch, undefined);
});

/** A disk whose sectors say their number, as `-device virtio-blk-pci,iommu_platform=on`. */
function disk(accessPlatform: boolean) {
  const { driver, bus } = setUp();
  let pci: VirtioPci | undefined;
  const dma: Dma = {
    readable: (address, length) => pci?.pci.master(driver.bench.dma).readable(address, length),
    writable: (address, length) => pci?.pci.master(driver.bench.dma).writable(address, length),
    get stretch() {
      return pci?.pci.master(driver.bench.dma).stretch;
    },
  };
  const data = new Uint8Array(256 * 512).map((_, i) => i >> 9);
  const wiring = { ...driver.bench, clock: driver.bench.clock, dma: accessPlatform ? dma : driver.bench.dma };
  const blk = new VirtioBlk('disk', wiring, new MemoryDisk(data), { serial: 'x' });
  pci = new VirtioPci({ name: 'disk.bus', disableLegacy: true, accessPlatform }, blk);
  bus.add(pci.pci, 3);
  const [found] = enumerate(bus);
  const guest = new VirtioPciDriver(found, false);
  const queue = new TestQueue(driver.bench, 0, 0x80_0000, 256);
  const table = driver.context(3 << 3);
  driver.start();
  const read = async (sector: number, address: number, length: number, status = 0x80_7000): Promise<number> => {
    const { ram } = driver.bench;
    writeU32(ram, 0x80_6000, 0);
    writeU64(ram, 0x80_6008, sector);
    ram[0x80_7000] = 0xff;
    queue.add(
      { address: 0x80_6000, length: 16 },
      { address, length, write: true },
      { address: status, length: 1, write: true },
    );
    guest.notify(queue);
    await setImmediate();
    return ram[0x80_7000];
  };
  return { driver, guest, queue, table, blk, read };
}

test('virtio behind the unit: pages that only the device writes, and in any order', async () => {
  const { driver, guest, queue, table, read } = disk(true);
  for (let page = 0; page < 8; page++)
    driver.map(table, 0x80_0000 + 0x1000 * page, 0x80_0000 + 0x1000 * page, page === 6 ? 1 : page === 7 ? 2 : 3);
  for (const [page, host] of [0x95_0000, 0x91_0000, 0x93_0000].entries())
    driver.map(table, 0x4000_0000 + 0x1000 * page, host, 2);
  assert.equal(guest.start(FEATURES.VERSION_1, [queue]) & 8, 0); // a driver that has not understood
  assert.equal(guest.start(FEATURES.VERSION_1 | FEATURES.ACCESS_PLATFORM, [queue]), 0xf);
  assert.equal(await read(16, 0x4000_0800, 0x2000), 0);
  const { ram } = driver.bench;
  assert.deepEqual(
    [0x95_07ff, 0x95_0800, 0x95_0fff, 0x91_0000, 0x91_0fff, 0x93_0000, 0x93_07ff, 0x93_0800].map((at) => ram[at]),
    [0, 16, 19, 20, 27, 28, 31, 0],
  );
  assert.equal(driver.fault(), undefined);
  // A buffer that is not there breaks the queue, and is a fault.
  await read(0, 0x4000_3000, 512);
  assert.deepEqual(driver.fault(), { address: 0x4000_3000, source: 0x18, reason: FAULT.WRITE, read: false });
  assert.notEqual(guest.r(0x14, 1) & 0x40, 0);
});

test('a buffer that goes away while the disk reads is an error of that request', async () => {
  const { driver, guest, queue, table, blk } = disk(true);
  for (let page = 0; page < 8; page++) driver.map(table, 0x80_0000 + 0x1000 * page, 0x80_0000 + 0x1000 * page);
  const slot = driver.map(table, 0x4000_0000, 0x95_0000);
  guest.start(FEATURES.VERSION_1 | FEATURES.ACCESS_PLATFORM, [queue]);
  writeU32(driver.bench.ram, 0x80_6000, 0);
  writeU64(driver.bench.ram, 0x80_6008, 1);
  queue.add(
    { address: 0x80_6000, length: 16 },
    { address: 0x4000_0000, length: 512, write: true },
    { address: 0x80_7000, length: 1, write: true },
  );
  driver.bench.ram[0x80_7000] = 0xff;
  guest.notify(queue);
  driver.entry(slot, 0, 0);
  driver.invalidate(0x12);
  await setImmediate();
  assert.equal(driver.bench.ram[0x80_7000], 1);
  assert.equal(driver.takeFault(), FAULT.WRITE);
  assert.deepEqual(blk.state.inFlight, []);
});

test('virtio without iommu_platform goes past the unit; with it there is no legacy interface', async () => {
  const { driver, guest, queue, read } = disk(false);
  assert.equal(guest.start(FEATURES.VERSION_1 | FEATURES.ACCESS_PLATFORM, [queue]) & 8, 0);
  assert.equal(guest.start(FEATURES.VERSION_1, [queue]), 0xf);
  assert.equal(await read(5, 0x95_0000, 512), 0);
  assert.equal(driver.bench.ram[0x95_0000], 5);
  assert.notEqual(driver.probe.r(REG.GSTS) & GO.TRANSLATE, 0);
  const blk = new VirtioBlk('disk', driver.bench, new MemoryDisk(new Uint8Array(512)));
  assert.throws(() => new VirtioPci({ name: 'x', accessPlatform: true }, blk), { code: 'virtio-platform' });
});
