import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Wiring } from '../../hw/device.ts';
import { PortBus } from '../../hw/ports.ts';
import { PcTestdev, TESTDEV } from './pc-testdev.ts';

const wiring = { log: { guestError: () => {}, unimplemented: () => {} } } as unknown as Wiring;

function testdev() {
  const levels: boolean[] = [];
  const irqs = Array.from({ length: 16 }, (_, n) => ({ set: (level: boolean) => void (levels[n] = level) }));
  const device = new PcTestdev('test', wiring, irqs);
  const bus = new PortBus();
  for (const name of ['data', 'flush', 'bytes', 'lines'] as const)
    bus.add(name, TESTDEV[name].base, TESTDEV[name].size, device[name]);
  return { device, bus, levels };
}

test('ports hold what is written, at any width and offset', () => {
  const { bus } = testdev();
  bus.write(0xe0, 4, 0x89abcdef);
  assert.equal(bus.read(0xe0, 4), 0x89abcdef);
  assert.equal(bus.read(0xe2, 2), 0x89ab);
  bus.write(0xe1, 1, 0x55);
  assert.equal(bus.read(0xe8, 4), 0x89ab55ef);
  bus.write(0xe4, 4, 0x1234);
  assert.equal(bus.read(0xe4, 4), 0);
});

test('interrupt lines follow their ports, are restored after a load and cleared by a reset', () => {
  const { device, bus, levels } = testdev();
  bus.write(0x200b, 4, 1);
  assert.equal(levels[11], true);
  bus.write(0x2017, 1, 1); // no such ISA interrupt
  levels[11] = false;
  device.resumed();
  assert.equal(levels[11], true);
  device.reset();
  assert.equal(levels[11], false);
});

test('memory is bytes', () => {
  const { device } = testdev();
  device.memory.write(8, 4, 0xfedcba98);
  assert.equal(device.memory.read(8, 4), 0xfedcba98);
  assert.equal(device.memory.read(10, 1), 0xdc);
  device.memory.write(0xffff, 4, 0xff);
  assert.equal(device.memory.read(0xffff, 4), 0xff);
});
