import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bus } from '../../hw/bus.ts';
import { silentLog } from '../../hw/device.ts';
import { PciFunction } from '../../hw/pci.ts';
import { PciBus } from '../../hw/pci-bus.ts';
import { PortBus } from '../../hw/ports.ts';
import { TestLine } from '../../hw/test-bench.ts';
import { PciHost } from '../pci-host/pci-host.ts';
import { Piix3 } from './piix3.ts';

function setUp() {
  const isa = Array.from({ length: 16 }, () => new TestLine());
  let resets = 0;
  const piix3 = new Piix3({ name: 'piix3', isa, reset: () => resets++ });
  const bus = new PciBus({
    memory: new Bus(),
    ports: new PortBus(),
    route: Piix3.route,
    lines: piix3.pirq,
    message: () => {},
  });
  bus.add(piix3, 1);
  const host = new PciHost('pci-host', silentLog, bus);
  bus.ports.add('pci-host', PciHost.ports.base, PciHost.ports.size, host.mmio);
  bus.ports.add('reset', Piix3.resetPort, 1, piix3.resetControl, 1);
  const nic = new PciFunction({ name: 'nic', vendor: 1, device: 2, class: 0x020000, interruptPin: 1 });
  bus.add(nic, 3);
  return { isa, piix3, ports: bus.ports, nic, resets: () => resets };
}

test('PCI interrupts go where the routing registers say', () => {
  const { isa, piix3, ports, nic } = setUp();
  const high = () => isa.flatMap(({ level }, irq) => (level ? [irq] : []));
  nic.irq.set(true);
  assert.deepEqual(high(), []);
  ports.write(0xcf8, 4, 0x8000_0860);
  assert.equal(ports.read(0xcfc, 4), 0x8080_8080);
  ports.write(0xcfc, 4, 0x0b0b_0a0a);
  assert.deepEqual(high(), [11]); // slot 3's INTA# is PIRQC#
  ports.write(0xcfe, 1, 5);
  assert.deepEqual(high(), [5]);
  assert.deepEqual(
    [0, 1, 2, 3].map((line) => piix3.irqOf(line)),
    [10, 10, 5, 11],
  );
  nic.irq.set(false);
  assert.deepEqual(high(), []);
  nic.irq.set(true);
  piix3.reset();
  assert.deepEqual(high(), []);
});

test('the ports of configuration cycles', () => {
  const { ports } = setUp();
  ports.write(0xcf8, 4, 0x0000_0800);
  assert.equal(ports.read(0xcfc, 4), 0xffff_ffff);
  ports.write(0xcf8, 4, 0x8000_0800);
  assert.deepEqual(
    [ports.read(0xcfc, 4), ports.read(0xcfe, 2), ports.read(0xcfd, 1), ports.read(0xcf8, 4), ports.read(0xcf8, 1)],
    [0x7000_8086, 0x7000, 0x80, 0x8000_0800, 0],
  );
  ports.write(0xcf8, 1, 0x12);
  ports.write(0xcf8, 2, 0x1234);
  assert.equal(ports.read(0xcf8, 4), 0x8000_0800);
});

test('the reset control register resets and keeps its kind', () => {
  const { ports, resets } = setUp();
  ports.write(0xcf9, 1, 2);
  assert.deepEqual([resets(), ports.read(0xcf9, 1)], [0, 2]);
  ports.write(0xcf9, 1, 6);
  assert.equal(resets(), 1);
});
