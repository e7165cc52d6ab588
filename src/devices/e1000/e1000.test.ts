import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readU16be, writeU32 } from '../../bits/endian.ts';
import { Cable } from '../../hw/link.ts';
import { Bus } from '../../hw/bus.ts';
import { PciBus } from '../../hw/pci-bus.ts';
import { PortBus } from '../../hw/ports.ts';
import { Probe, TestBench, TestLine } from '../../hw/test-bench.ts';
import { E1000 } from './e1000.ts';

const BAR = 0xe000_0000;
const [TX, RX, DATA] = [0x1000, 0x2000, 0x1_0000];
const [ICR, ITR, ICS, IMS, STATUS] = [0xc0, 0xc4, 0xc8, 0xd0, 0x08];

function setUp() {
  const bench = new TestBench(0, 0x10_0000);
  const cable = new Cable();
  const [card, far] = cable.ends;
  const nic = new E1000('net0', bench, card, { mac: Uint8Array.of(2, 0, 0, 0, 0, 1) });
  const memory = new Bus();
  const line = new TestLine();
  new PciBus({ memory, ports: new PortBus(), route: () => 0, lines: [line], message: () => {} }).add(nic.pci, 1);
  nic.pci.writeConfig(0x10, 4, BAR);
  nic.pci.writeConfig(4, 2, 7);
  const probe = new Probe({
    read: (offset, size) => memory.read(BAR + offset, size) ?? 0,
    write: (offset, size, value) => void memory.write(BAR + offset, size, value),
  });
  const frames: Uint8Array[] = [];
  far.onReceive = (frame) => frames.push(frame);
  const set = (at: number, ...values: number[]) => {
    for (const [i, value] of values.entries()) writeU32(bench.ram, at + 4 * i, value);
  };
  const rings = (descriptors: number) => {
    for (const [base, at] of [
      [0x2800, RX],
      [0x3800, TX],
    ] as const) {
      probe.w(base, at);
      probe.w(base + 8, 16 * descriptors);
    }
    probe.w(0x100, 2 | 8);
    probe.w(0x400, 2);
  };
  return { bench, cable, far, nic, probe, line, frames, set, rings };
}

test('a large TCP message leaves in segments with headers of their own', () => {
  const { bench, probe, frames, set, rings } = setUp();
  rings(8);
  const payload = 2500;
  bench.ram.set([8, 0, 0x45, 0, 0, 0, 0, 7, 0, 0, 64, 6], DATA + 12);
  bench.ram.set([0, 0, 0, 9, 0, 0, 0, 0, 0x50, 0x19], DATA + 34 + 4); // sequence 9; FIN, PSH, ACK
  set(TX, 0x0021_180e | (0x21 << 16), 0x0000_3222, (payload | (1 << 29) | (7 << 24)) >>> 0, (1000 << 16) | (54 << 8));
  set(TX + 16, DATA, 0, ((54 + payload) | (1 << 20) | (1 << 29) | (0xd << 24)) >>> 0, 3 << 8);
  probe.w(0x3818, 2);
  assert.deepEqual(
    frames.map(({ length }) => length),
    [1054, 1054, 554],
  );
  assert.deepEqual(
    frames.map((frame) => readU16be(frame, 16)),
    [1040, 1040, 540],
  );
  assert.deepEqual(
    frames.map((frame) => readU16be(frame, 18)),
    [7, 8, 9],
  );
  assert.deepEqual(
    frames.map((frame) => readU16be(frame, 40)),
    [9, 1009, 2009],
  );
  assert.deepEqual(
    frames.map((frame) => frame[47] & 9),
    [0, 0, 9],
  );
  assert.equal(bench.ram[TX + 16 + 12] & 1, 1);
});

test('a network that takes nothing stops the ring, and sets it going again', () => {
  const { bench, far, probe, frames, set, rings } = setUp();
  rings(1024);
  let open = false;
  far.canReceive = () => open;
  bench.ram.set([0xff, 0xff, 0xff, 0xff, 0xff, 0xff], DATA);
  for (let i = 0; i < 1000; i++) set(TX + 0x8000 + 16 * i, DATA, 0, 60 | (9 << 24), 0);
  probe.w(0x3800, TX + 0x8000);
  probe.w(0x3818, 1000);
  assert.ok(probe.r(0x3810) < 1000);
  open = true;
  far.ready();
  assert.deepEqual([frames.length, probe.r(0x3810)], [1000, 1000]);
});

test('frames wait for descriptors', () => {
  const { bench, far, probe, set, rings } = setUp();
  far.send(new Uint8Array(100).fill(2));
  rings(8);
  assert.equal(probe.r(ICS) & 0x80, 0);
  set(RX, DATA, 0, 0, 0);
  probe.w(0x2818, 1);
  assert.equal(probe.r(ICR) & 0x80, 0x80);
  const descriptor = [104, 0, 0, 0, 7, 0, 0, 0];
  assert.deepEqual([...bench.ram.subarray(RX + 8, RX + 16)], descriptor);
  assert.equal(bench.ram[DATA + 99], 2);
});

test('interrupts keep the distance that ITR asks for; the link negotiates for half a second', () => {
  const { bench, cable, probe, line } = setUp();
  probe.w(ITR, 1000);
  probe.w(IMS, 0xff);
  probe.w(ICS, 1);
  assert.ok(line.level);
  probe.r(ICR);
  probe.w(ICS, 1);
  assert.ok(!line.level);
  bench.advance(255_999);
  assert.ok(!line.level);
  bench.advance(1);
  assert.ok(line.level);
  probe.r(ICR);
  probe.w(0x20, 0x0420_1340);
  assert.equal(probe.r(STATUS) & 2, 0);
  bench.advance(500e6);
  assert.deepEqual([probe.r(STATUS) & 2, probe.r(ICR)], [2, 4]);
  cable.setUp(false);
  assert.deepEqual([probe.r(STATUS) & 2, probe.r(ICR)], [0, 4]);
});

test('a ring of the smallest segments does not hold up the machine', () => {
  const { bench, probe, frames, set, rings, far } = setUp();
  rings(8);
  let count = 0;
  far.onReceive = () => count++;
  const ring = 0x8000;
  const descriptors = 1024;
  for (let i = 0; i < descriptors; i++)
    set(ring + 16 * i, DATA, 0, (0xffff | (1 << 20) | (1 << 29) | (4 << 24)) >>> 0, 0);
  set(ring, 0, 0, (1 << 29) | (4 << 24), (1 << 16) | (200 << 8));
  probe.w(0x3800, ring);
  probe.w(0x3808, 16 * descriptors);
  probe.w(0x3818, descriptors - 1);
  assert.ok(count > 1000 && probe.r(0x3810) < 10, `${count} frames, descriptor ${probe.r(0x3810)}`);
  const head = probe.r(0x3810);
  bench.advance(150e6);
  assert.ok(frames.length === 0 && probe.r(0x3810) > head && probe.r(0x3810) < 20);
});

test('a reset by software leaves the link', () => {
  const { probe } = setUp();
  probe.w(0x5400, 5);
  probe.w(0, 1 << 26);
  assert.deepEqual([probe.r(0x5400), probe.r(STATUS) & 2, probe.r(0) >>> 26], [2, 2, 0]);
});
