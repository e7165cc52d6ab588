import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bus } from '../../hw/bus.ts';
import { PciFunction } from '../../hw/pci.ts';
import { PciBus } from '../../hw/pci-bus.ts';
import { enumerate } from '../../hw/pci-test-driver.ts';
import { PortBus } from '../../hw/ports.ts';
import { TestLine } from '../../hw/test-bench.ts';
import { pciBridge, pcieRootPort } from './pci-bridge.ts';

function nic(name: string): PciFunction {
  const mmio = { read: (at: number) => 0x100 + at, write: () => {} };
  return new PciFunction({
    name,
    vendor: 0x8086,
    device: 0x100e,
    class: 0x020000,
    interruptPin: 1,
    bars: [
      { index: 0, kind: 'mem32', size: 0x2_0000, mmio },
      { index: 1, kind: 'io', size: 0x40, mmio },
    ],
  });
}

function setUp() {
  const lines = [new TestLine(), new TestLine(), new TestLine(), new TestLine()];
  const messages: number[] = [];
  const root = new PciBus({
    memory: new Bus(),
    ports: new PortBus(),
    route: (slot, pin) => (slot + pin) & 3,
    lines,
    message: (_address, data) => messages.push(data),
  });
  const port = pcieRootPort('rp', root, 1);
  root.add(port, 4);
  const bridge = pciBridge('br', port.secondary);
  port.secondary.add(bridge, 0);
  const near = nic('near');
  const far = nic('far');
  root.add(near, 5);
  bridge.secondary.add(far, 3);
  return { root, port, bridge, near, far, lines, messages };
}

test('a BIOS numbers buses and opens windows: functions answer behind two bridges', () => {
  const { root, far, port, bridge } = setUp();
  const found = enumerate(root);
  assert.deepEqual(
    found.map(({ bus, devfn, id }) => `${bus}:${devfn >> 3} ${id.toString(16)}`),
    ['0:4 c1b36', '1:0 11b36', '2:3 100e8086', '0:5 100e8086'],
  );
  const bars = found[2].bars;
  const memory = bars.get(0)?.base ?? 0;
  const io = bars.get(1)?.base ?? 0;
  assert.deepEqual([root.memory.read(memory + 8, 4), root.ports.read(io + 4, 2)], [0x108, 0x104]);
  found[0].w(0x20, 0xfff0, 2); // the first bridge's window closes
  assert.deepEqual([root.memory.read(memory + 8, 4), root.ports.read(io + 4, 2)], [undefined, 0x104]);
  found[0].w(0x24, memory >>> 16, 2); // but its prefetchable one opens
  found[0].w(0x26, memory >>> 16, 2);
  assert.equal(root.memory.read(memory + 8, 4), 0x108);
  found[1].w(4, 6, 2);
  assert.equal(root.ports.read(io + 4, 2), 0xffff);
  found[1].w(4, 7, 2);
  found[1].w(0x3e, 0x40, 2); // the reset of the bus behind takes its BARs
  assert.deepEqual([far.barBase(0), found[2].r(0x10)], [undefined, 0]);
  assert.equal(root.readConfig(3, 0, 0, 4), 0xffff_ffff);
  root.remove(port);
  assert.equal(found[2].id, 0xffff_ffff);
  assert.equal(bridge.secondary.list().length, 1);
});

test('interrupts turn at each bridge; messages go straight up', () => {
  const { root, near, far, port, lines, messages } = setUp();
  far.irq.set(true); // bus 2 slot 3 INTA# is INTD# of the bridge, and of the port in slot 4
  assert.deepEqual(
    lines.map(({ level }) => level),
    [false, false, false, true],
  );
  near.irq.set(true);
  assert.deepEqual(
    lines.map(({ level }) => level),
    [false, true, false, true],
  );
  root.remove(port);
  assert.deepEqual(
    lines.map(({ level }) => level),
    [false, true, false, false],
  );
  root.add(port, 6);
  assert.equal(lines[1].level, true);
  far.writeConfig(4, 2, 4);
  far.send(0xfee0_0000, 77);
  assert.deepEqual(messages, [77]);
});

test('the root port is a PCI Express one with 4 KiB of configuration space', () => {
  const { root } = setUp();
  const [found] = enumerate(root);
  const [at] = found.capabilities(0x10);
  assert.deepEqual([at, found.r(at + 2, 2), found.r(at + 0x14) >>> 19, found.r(at + 0x12, 2)], [0x54, 0x142, 1, 0x11]);
  assert.deepEqual([found.r(0x100), found.capabilities(0x0d)], [0, [0x40]]);
});

test('bus numbers that lead in a circle end somewhere', () => {
  const { root } = setUp();
  const found = enumerate(root);
  for (const bridge of found.slice(0, 2)) bridge.w(0x18, 0x00ff_0100);
  assert.equal(root.readConfig(9, 0, 0, 4), 0xffff_ffff);
  assert.equal(root.readConfig(1, 0, 0, 4), 0x0001_1b36);
});
