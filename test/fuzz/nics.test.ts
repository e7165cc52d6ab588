/** Network cards under a hostile guest: registers, descriptors and frames at random. TRAPFRAME_SEED repeats a run. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writeU32 } from '../../src/bits/endian.ts';
import { testSeed } from '../../src/bits/test-seed.ts';
import { E1000 } from '../../src/devices/e1000/e1000.ts';
import { Ne2000, PORTS } from '../../src/devices/ne2000/ne2000.ts';
import { Rtl8139 } from '../../src/devices/rtl8139/rtl8139.ts';
import { Bus } from '../../src/hw/bus.ts';
import type { AccessSize, Mmio } from '../../src/hw/device.ts';
import { Cable } from '../../src/hw/link.ts';
import type { PciFunction } from '../../src/hw/pci.ts';
import { PciBus } from '../../src/hw/pci-bus.ts';
import { PortBus } from '../../src/hw/ports.ts';
import { TestBench, TestLine } from '../../src/hw/test-bench.ts';
import { type FuzzRandom, hammer } from '../../src/hw/test-fuzz.ts';

const seed = testSeed(process.env);
const MAC = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);
const BAR = 0xe000_0000;
const RAM_SIZE = 0x2_0000;

/** A bench with RAM at 0, a cable, and a PCI bus on which a card's memory BAR is a window. */
function setUp() {
  const bench = new TestBench(0, RAM_SIZE);
  const [card, far] = new Cable().ends;
  let sent = 0;
  far.onReceive = () => sent++;
  const plug = (pci: PciFunction, bar: number): Mmio => {
    const memory = new Bus();
    const lines = [new TestLine()];
    new PciBus({ memory, ports: new PortBus(), route: () => 0, lines, message: () => {} }).add(pci, 1);
    pci.writeConfig(0x10 + 4 * bar, 4, BAR);
    pci.writeConfig(4, 2, 7);
    return {
      read: (offset, size) => memory.read(BAR + offset, size) ?? 0,
      write: (offset, size, value) => void memory.write(BAR + offset, size, value),
    };
  };
  const frame = (random: FuzzRandom) => {
    const bytes = new Uint8Array(random.below(random.below(9) ? 1600 : 20_000)).fill(random.below(256));
    if (random.below(2)) bytes.set(MAC.subarray(0, bytes.length));
    far.send(bytes);
  };
  return { bench, card, plug, frame, sent: () => sent };
}

test(`e1000 (TRAPFRAME_SEED=${seed})`, () => {
  const { bench, card, plug, frame, sent } = setUp();
  const nic = new E1000('net0', bench, card, { mac: MAC });
  const mmio = plug(nic.pci, 0);
  const set = (at: number, value: number) => mmio.write(at, 4, value >>> 0);
  const also = (random: FuzzRandom) => {
    if (random.below(4) === 0) frame(random);
    if (random.below(8)) return;
    set(0x400, 2);
    set(0x100, 2 | (random.below(0x1_0000) << 2));
    for (const ring of [0x2800, 0x3800]) {
      set(ring, random.below(20) ? 16 * random.below(0x800) : random.next());
      set(ring + 4, random.below(20) ? 0 : random.value());
      set(ring + 8, random.below(20) ? 128 * random.below(20) : random.next());
      set(ring + 0x10, random.below(30));
    }
    for (let i = 0; i < 100; i++) {
      const at = 16 * random.below(0x800);
      writeU32(bench.ram, at, random.below(20) ? random.below(RAM_SIZE) : random.next());
      writeU32(bench.ram, at + 4, random.below(20) ? 0 : random.next());
      writeU32(bench.ram, at + 8, (random.next() & ~0xe000) | (random.below(2) << 29));
      writeU32(bench.ram, at + 12, random.next());
    }
    for (const tail of [0x2818, 0x3818]) set(tail, random.below(20) ? random.below(160) : random.next());
  };
  const windows = [
    { mmio, size: 0x40 },
    { mmio, size: 0x6000 },
  ];
  hammer({ seed, bench, device: nic, windows, steps: 6000, also });
  assert.ok(sent() > 20, `${sent()} frames got out`);
});

test(`rtl8139 (TRAPFRAME_SEED=${seed})`, () => {
  const { bench, card, plug, frame, sent } = setUp();
  const nic = new Rtl8139('net0', bench, card, { mac: MAC });
  const mmio = plug(nic.pci, 1);
  const set = (at: number, size: AccessSize, value: number) => mmio.write(at, size, value >>> 0);
  const also = (random: FuzzRandom) => {
    if (random.below(3) === 0) frame(random);
    if (random.below(4)) return;
    set(0x5b, 1, 0x52);
    set(0x37, 1, 0x0c);
    if (random.below(3) === 0) set(0x44, 4, random.below(0x2000) | 9);
    if (random.below(2)) set(0xe0, 2, random.below(0x80) | 3);
    for (const at of [0x20, 0x24, 0x28, 0x2c, 0x30, 0xe4])
      set(at, 4, random.below(30) ? random.below(RAM_SIZE) : random.next());
    if (random.below(9)) for (const at of [0x24, 0xe8]) set(at, 4, 0);
    for (let i = 0; i < 100; i++) {
      const at = 16 * random.below(RAM_SIZE / 16);
      writeU32(bench.ram, at, (random.next() | 0x8000_0000) & ~(random.below(2) << 30));
      writeU32(bench.ram, at + 4, random.next());
      writeU32(bench.ram, at + 8, random.below(20) ? random.below(RAM_SIZE) : random.next());
      writeU32(bench.ram, at + 12, random.below(20) ? 0 : random.next());
    }
    for (const at of [0x10, 0x14, 0x18, 0x1c]) set(at, 4, random.below(0x2000));
    set(0xd9, 1, 0x40);
  };
  hammer({ seed, bench, device: nic, windows: [{ mmio, size: 0x100 }], steps: 6000, also });
  assert.ok(sent() > 20, `${sent()} frames got out`);
});

test(`ne2000 (TRAPFRAME_SEED=${seed})`, () => {
  const { bench, card, frame, sent } = setUp();
  const nic = new Ne2000('net0', bench, new TestLine(), card, MAC);
  let received = 0;
  const also = (random: FuzzRandom) => {
    if (random.below(4) === 0) nic.mmio.write(0, 1, random.pick([0x22, 0x26, 0x62, 0x12]));
    if (random.below(4) === 0)
      Object.assign(nic.state, { pstart: random.below(0xc1), pstop: random.below(0xc1), rcr: 0x1c });
    frame(random);
    if (nic.state.isr & 1) received++;
  };
  hammer({ seed, bench, device: nic, windows: [{ mmio: nic.mmio, size: PORTS }], also });
  assert.ok(sent() > 20 && received > 20, `${sent()} frames got out, ${received} in`);
});
