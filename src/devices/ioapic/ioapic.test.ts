import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testSeed } from '../../bits/test-seed.ts';
import { BROADCAST, DELIVERY, type InterruptMessage } from '../../hw/interrupt-message.ts';
import { Probe, TestBench } from '../../hw/test-bench.ts';
import { hammer } from '../../hw/test-fuzz.ts';
import { IoApic } from './ioapic.ts';

function setUp() {
  const bench = new TestBench();
  const sent: InterruptMessage[] = [];
  const ioapic = new IoApic('ioapic', bench.log, { deliver: (message) => sent.push(message) });
  ioapic.reset();
  const probe = new Probe(ioapic.mmio);
  const read = (register: number) => {
    probe.w(0, register);
    return probe.r(0x10);
  };
  const write = (register: number, value: number) => {
    probe.w(0, register);
    probe.w(0x10, value);
  };
  return { bench, sent, ioapic, probe, read, write };
}

test('identification and power-on values', () => {
  const { bench, read, write } = setUp();
  assert.equal(read(1), 0x0017_0020);
  write(0, 0xff00_0000);
  assert.equal(read(0), 0x0f00_0000);
  assert.equal(read(2), 0x0f00_0000);
  assert.equal(read(0x10), 0x1_0000);
  assert.equal(read(0x3f), 0);
  assert.equal(bench.reports.length, 0);
  assert.equal(read(0x40), 0);
  write(1, 5);
  assert.equal(bench.reports.length, 2);
});

test('an edge is one message; masked edges are lost', () => {
  const { sent, ioapic, write } = setUp();
  ioapic.pin(4).set(true);
  write(0x10 + 8, 0x0000_0034);
  assert.deepEqual(sent, []);
  ioapic.pin(4).set(false);
  write(0x11 + 8, 0xff00_0000);
  ioapic.pin(4).set(true);
  ioapic.pin(4).set(true);
  const message = { destination: BROADCAST, logical: false, mode: DELIVERY.FIXED, vector: 0x34, levelTriggered: false };
  assert.deepEqual(sent, [message]);
});

test('a level is sent again after each end of interrupt while it stands', () => {
  const { sent, ioapic, probe, read, write } = setUp();
  write(0x10 + 20, 0x1_a951); // masked, level, active low, logical, lowest priority
  write(0x11 + 20, 0x0300_0000);
  ioapic.pin(10).set(true);
  assert.equal(sent.length, 0);
  write(0x10 + 20, 0xa951);
  const message = { destination: 3, logical: true, mode: DELIVERY.LOWEST, vector: 0x51, levelTriggered: true };
  assert.deepEqual(sent, [message]);
  assert.equal(read(0x10 + 20), 0xe951); // remote IRR
  write(0x10 + 20, 0xa951);
  assert.equal(sent.length, 1);
  ioapic.endOfInterrupt(0x50);
  assert.equal(sent.length, 1);
  ioapic.endOfInterrupt(0x51);
  assert.equal(sent.length, 2);
  ioapic.pin(10).set(false);
  probe.w(0x40, 0x51);
  assert.equal(sent.length, 2);
  assert.equal(read(0x10 + 20), 0xa951);
});

test('switching to edge-triggered and back clears the remote IRR', () => {
  const { sent, ioapic, read, write } = setUp();
  write(0x10, 0x8060);
  ioapic.pin(0).set(true);
  write(0x10, 0x1_0060);
  assert.equal(read(0x10), 0x1_0060);
  write(0x10, 0x8060);
  assert.equal(sent.length, 2);
});

test('read-only bits and narrow writes', () => {
  const { bench, probe, read, write } = setUp();
  write(0x12, 0xffff_ffff);
  assert.equal(read(0x12), 0x1_afff);
  probe.w(0, 0x12, 1);
  probe.w(0x10, 0, 2);
  assert.equal(probe.r(0x10), 0x1_afff);
  assert.equal(bench.reports.length, 1);
});

const seed = testSeed(process.env);
test(`random accesses (TRAPFRAME_SEED=${seed})`, () => {
  const { bench, sent, ioapic, write } = setUp();
  hammer({
    seed,
    bench,
    device: ioapic,
    windows: [{ mmio: ioapic.mmio, size: 0x48 }],
    also: (random) => {
      ioapic.wire(random.below(24), random.below(2) === 1);
      write(0x10 + random.below(48), random.value());
      ioapic.endOfInterrupt(random.below(256));
      sent.length = 0;
    },
  });
});
