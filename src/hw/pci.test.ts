import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load, type SavedState, save } from '../state/codec.ts';
import { Bus } from './bus.ts';
import type { AccessSize, Mmio } from './device.ts';
import { COMMAND, PciFunction, type PciOptions } from './pci.ts';
import { PciBus } from './pci-bus.ts';
import { PortBus } from './ports.ts';
import { TestLine } from './test-bench.ts';

const WINDOW: Mmio = { read: (offset) => 0x100 + offset, write: () => {} };

function setUp(options: Partial<PciOptions> = {}) {
  const lines = [new TestLine(), new TestLine(), new TestLine(), new TestLine()];
  const messages: [number, number][] = [];
  const bus = new PciBus({
    memory: new Bus(),
    ports: new PortBus(),
    route: (slot, pin) => (slot + pin - 1) & 3,
    lines,
    message: (address, data) => messages.push([address, data]),
  });
  const fn = new PciFunction({
    name: 'nic',
    vendor: 0x8086,
    device: 0x100e,
    class: 0x020000,
    interruptPin: 1,
    ...options,
  });
  bus.add(fn, 3);
  const r = (offset: number, size: AccessSize = 4) => bus.readConfig(0, 3 << 3, offset, size);
  const w = (offset: number, value: number, size: AccessSize = 4) => bus.writeConfig(0, 3 << 3, offset, size, value);
  return { bus, fn, lines, messages, r, w };
}

test('a header says who it is; nothing answers elsewhere', () => {
  const { bus, r, w } = setUp({ revision: 3 });
  assert.deepEqual([r(0), r(8), r(0x2c), r(0x3d, 1)], [0x100e_8086, 0x0200_0003, 0x1100_1af4, 1]);
  w(0, 0xffff_ffff);
  w(8, 0);
  assert.deepEqual([r(0), r(8)], [0x100e_8086, 0x0200_0003]);
  assert.equal(bus.readConfig(0, 4 << 3, 0, 4), 0xffff_ffff);
  assert.equal(bus.readConfig(0, 4 << 3, 0, 2), 0xffff);
  assert.equal(bus.readConfig(0, (3 << 3) | 1, 0, 1), 0xff);
  assert.equal(bus.readConfig(7, 3 << 3, 0, 4), 0xffff_ffff);
  w(0x3c, 0xab, 1);
  assert.equal(r(0x3c, 2), 0x01ab);
});

test('a BIOS sizes BARs and places them', () => {
  const area: { at: number | undefined; place(at: number | undefined): void } = {
    at: undefined,
    place(at) {
      this.at = at;
    },
  };
  const { bus, fn, r, w } = setUp({
    bars: [
      { index: 0, kind: 'mem32', size: 0x2_0000, mmio: WINDOW },
      { index: 1, kind: 'io', size: 0x40, mmio: WINDOW },
      { index: 2, kind: 'mem64', size: 0x100_0000, prefetchable: true, area },
    ],
    rom: Uint8Array.of(0x55, 0xaa, 2),
  });
  for (let at = 0x10; at < 0x28; at += 4) w(at, 0xffff_ffff);
  w(0x30, 0xffff_f800);
  assert.deepEqual(
    [0x10, 0x14, 0x18, 0x1c, 0x20, 0x24, 0x30].map((at) => r(at)),
    [0xfffe_0000, 0xffff_ffc1, 0xff00_000c, 0xffff_ffff, 0, 0, 0xffff_f800],
  );
  w(0x10, 0xfeb0_0000);
  w(0x14, 0xc001);
  w(0x18, 0x0000_0000);
  w(0x1c, 0x8);
  w(0x30, 0xfeb4_0001);
  assert.deepEqual([bus.memory.read(0xfeb0_0010, 4), bus.ports.read(0xc004, 1), area.at], [undefined, 0xff, undefined]);
  w(4, COMMAND.IO, 2);
  assert.deepEqual([bus.memory.read(0xfeb0_0010, 4), bus.ports.read(0xc004, 2)], [undefined, 0x104]);
  w(4, COMMAND.MEMORY, 2);
  assert.deepEqual([bus.memory.read(0xfeb0_0010, 4), bus.ports.read(0xc004, 1)], [0x110, 0xff]);
  assert.deepEqual([area.at, fn.barBase(2), fn.barBase(1)], [0x8_0000_0000, 0x8_0000_0000, undefined]);
  assert.equal(bus.memory.read(0xfeb4_0000, 4), 0x2aa55);
  w(0x30, 0xfeb4_0000);
  assert.equal(bus.memory.read(0xfeb4_0000, 4), undefined);
  w(0x10, 0xfec0_0000);
  assert.deepEqual([bus.memory.read(0xfeb0_0010, 4), bus.memory.read(0xfec0_0010, 4)], [undefined, 0x110]);
  bus.remove(fn);
  assert.deepEqual([bus.memory.read(0xfec0_0010, 4), area.at, r(0)], [undefined, undefined, 0xffff_ffff]);
  bus.add(fn, 3);
  assert.equal(bus.memory.read(0xfec0_0010, 4), 0x110);
  fn.reset();
  assert.deepEqual([bus.memory.list().length, r(0x10), r(0x18)], [0, 0, 0xc]);
});

test('INTx: disabled by the command register, shared by functions, shown in the status', () => {
  const { bus, fn, lines, r, w } = setUp();
  const other = new PciFunction({ name: 'other', vendor: 1, device: 1, class: 0, interruptPin: 1 });
  bus.add(other, 7);
  fn.irq.set(true);
  other.irq.set(true);
  assert.deepEqual(
    lines.map(({ level }) => level),
    [false, false, true, false],
  );
  assert.equal(r(6, 2) & 8, 8);
  fn.irq.set(false);
  assert.equal(lines[2].level, true);
  other.irq.set(false);
  assert.equal(lines[2].level, false);
  fn.irq.set(true);
  w(4, COMMAND.INTX_DISABLE, 2);
  assert.deepEqual([lines[2].level, r(6, 2) & 8], [false, 8]);
  w(4, 0, 2);
  assert.equal(lines[2].level, true);
  bus.remove(fn);
  assert.equal(lines[2].level, false);
});

test('MSI: one message at each rise, several vectors, masked ones wait', () => {
  const { fn, lines, messages, r, w } = setUp({ msi: { vectors: 4, maskable: true } });
  assert.deepEqual([r(0x34, 1), r(6, 2) & 0x10, r(0x40)], [0x40, 0x10, 0x0184_0005]);
  w(0x44, 0xfee0_1003);
  w(0x48, 0);
  w(0x4c, 0x4143, 2);
  fn.irq.set(true);
  assert.equal(lines[2].level, true);
  w(0x42, 0x21, 2); // enabled, four vectors: the pin falls silent
  assert.equal(lines[2].level, false);
  fn.notify(2);
  assert.deepEqual(messages, []); // no bus master
  w(4, COMMAND.MASTER, 2);
  fn.notify(2);
  fn.notify(5);
  fn.irq.set(true);
  fn.irq.set(false);
  fn.irq.set(true);
  assert.deepEqual(messages.splice(0), [
    [0xfee0_1000, 0x4142],
    [0xfee0_1000, 0x4141],
    [0xfee0_1000, 0x4140],
  ]);
  w(0x50, 0b1000);
  fn.notify(3);
  assert.deepEqual([messages.length, r(0x54)], [0, 0b1000]);
  w(0x50, 0);
  assert.deepEqual([messages, r(0x54)], [[[0xfee0_1000, 0x4143]], 0]);
});

test('MSI-X: table and pending bits in a BAR, masks of vectors and of the function', () => {
  const { bus, fn, messages, r, w } = setUp({ msix: { vectors: 3, bar: 1 } });
  assert.deepEqual([r(0x40), r(0x44), r(0x48)], [0x0002_0011, 1, 0x801]);
  w(0x14, 0xfeb0_0000);
  w(4, COMMAND.MEMORY | COMMAND.MASTER, 2);
  const memory = bus.memory;
  assert.equal(memory.read(0xfeb0_000c, 4), 1);
  memory.write(0xfeb0_0010, 4, 0xfee0_2000);
  memory.write(0xfeb0_0018, 4, 0x55);
  fn.notify(1);
  w(0x42, 0x8000, 2);
  fn.notify(1);
  fn.notify(77);
  assert.deepEqual([messages.length, memory.read(0xfeb0_0800, 4)], [0, 2]);
  w(0x42, 0xc000, 2);
  memory.write(0xfeb0_001c, 4, 0);
  assert.equal(messages.length, 0);
  w(0x42, 0x8000, 2);
  assert.deepEqual([messages, memory.read(0xfeb0_0800, 4)], [[[0xfee0_2000, 0x55]], 0]);
  memory.write(0xfeb0_0800, 4, 0xffff_ffff);
  assert.equal(memory.read(0xfeb0_0800, 4), 0);
});

test('a function is saved with its BARs and interrupt', () => {
  const options: Partial<PciOptions> = {
    bars: [{ index: 0, kind: 'mem32', size: 0x1000, mmio: WINDOW }],
    msix: { vectors: 2, bar: 1 },
  };
  const one = setUp(options);
  one.w(0x10, 0xfeb0_0000);
  one.w(4, COMMAND.MEMORY, 2);
  one.fn.irq.set(true);
  const two = setUp(options);
  load(two.fn.layout, two.fn.state, save(one.fn.layout, one.fn.state) as SavedState);
  two.fn.resumed();
  assert.equal(two.bus.memory.read(0xfeb0_0004, 4), 0x104);
  assert.equal(two.lines[2].level, true);
});

test('a bus master only with leave', () => {
  const { fn, w } = setUp();
  const page = new Uint8Array(4096);
  const dma = fn.master({ readable: () => page, writable: () => page });
  assert.equal(dma.readable(0, 16), undefined);
  w(4, COMMAND.MASTER, 2);
  assert.equal(dma.writable(0, 16), page);
});

test('what a model declares wrongly is refused', () => {
  assert.throws(() => setUp({ bars: [{ index: 0, kind: 'mem32', size: 0x1001 }] }), RangeError);
  assert.throws(() => setUp({ bars: [{ index: 5, kind: 'mem64', size: 0x1000 }] }), RangeError);
  const { bus } = setUp();
  const fn = new PciFunction({ name: 'x', vendor: 1, device: 1, class: 0 });
  assert.throws(() => bus.add(fn, 3), RangeError);
  bus.add(fn);
  assert.equal(fn.devfn, 0);
});
