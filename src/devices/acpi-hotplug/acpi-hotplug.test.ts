import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLog } from '../../hw/device.ts';
import { Probe } from '../../hw/test-bench.ts';
import { CpuHotplug } from './cpu-hotplug.ts';
import { PciHotplug } from './pci-hotplug.ts';

function cpus() {
  const calls: string[] = [];
  const block = new CpuHotplug({
    name: 'cpuhp',
    log: silentLog,
    ids: [0, 1, 4, 9],
    present: 3,
    event: (number) => calls.push(`event ${number}`),
    eject: (index) => calls.push(`eject ${index}`),
    ost: (...report) => calls.push(`ost ${report}`),
  });
  return { block, calls, probe: new Probe(block.mmio) };
}

test('CPUs: a bitmap until the guest knows better', () => {
  const { probe } = cpus();
  assert.deepEqual([probe.r(0, 1), probe.r(1, 1), probe.r(0)], [0b1_0011, 0, 0b1_0011]);
  probe.w(0, 1);
  assert.equal(probe.r(4, 1), 0);
  probe.w(0, 0);
  assert.deepEqual([probe.r(4, 1), probe.r(0)], [1, 0]);
});

test('CPUs: plug, unplug, reports', () => {
  const { block, calls, probe } = cpus();
  probe.w(0, 0);
  block.plug(3);
  block.requestUnplug(1);
  block.requestUnplug(0);
  assert.deepEqual(calls.splice(0), ['event 2', 'event 2']);
  probe.w(5, 0, 1); // the next one with an event
  assert.deepEqual([probe.r(8), probe.r(4, 1)], [1, 5]);
  probe.w(4, 4, 1);
  probe.w(5, 0, 1);
  assert.deepEqual([probe.r(8), probe.r(4, 1)], [3, 3]);
  probe.w(5, 3, 1);
  assert.equal(probe.r(8), 9);
  probe.w(4, 2, 1);
  assert.equal(probe.r(4, 1), 1);
  probe.w(0, 1);
  probe.w(4, 8, 1);
  probe.w(5, 1, 1);
  probe.w(8, 3);
  probe.w(5, 2, 1);
  probe.w(8, 0x80);
  assert.deepEqual(calls, ['eject 1', 'ost 1,3,128']);
  assert.equal(probe.r(4, 1), 0);
  probe.w(0, 0);
  probe.w(4, 8, 1); // the first one stays
  probe.w(0, 77);
  assert.equal(probe.r(4, 1), 0);
  assert.equal(calls.length, 2);
});

test('PCI: slots that come, go and stay', () => {
  const calls: string[] = [];
  const block = new PciHotplug({
    name: 'pcihp',
    log: silentLog,
    event: (number) => calls.push(`event ${number}`),
    removable: (_bus, slot) => slot > 2,
    eject: (bus, slot) => calls.push(`eject ${bus}.${slot}`),
  });
  const probe = new Probe(block.mmio);
  assert.equal(probe.r(0xc), 0xffff_fff8);
  block.plug(0, 31);
  block.requestUnplug(0, 4);
  block.requestUnplug(0, 5);
  assert.deepEqual([probe.r(0), probe.r(0), probe.r(4)], [0x8000_0000, 0, 0x30]);
  probe.w(8, 0x10);
  probe.w(8, 2);
  probe.w(8, 0);
  assert.equal(probe.r(4), 0x20);
  probe.w(0x10, 9);
  assert.deepEqual([probe.r(0), probe.r(0x10)], [0, 9]);
  probe.w(8, 0x20);
  block.reset();
  assert.deepEqual(calls, ['event 1', 'event 1', 'event 1', 'eject 0.4', 'eject 0.5']);
});
