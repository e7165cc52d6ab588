import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testSeed } from '../../bits/test-seed.ts';
import { Probe, TestBench, TestLine } from '../../hw/test-bench.ts';
import { hammer } from '../../hw/test-fuzz.ts';
import { Parallel } from './parallel.ts';

test('a strobe sends the byte and its end interrupts', () => {
  const sent: number[] = [];
  const irq = new TestLine();
  const backend = { congested: false, write: (bytes: Uint8Array) => void sent.push(...bytes) };
  const port = new Probe(new Parallel('parallel0', new TestBench(), irq, backend).mmio);
  assert.equal(port.r(1, 1), 0xd8);
  port.w(0, 0x41, 1);
  for (const control of [0x0c, 0x0d, 0x0d, 0x0c]) port.w(2, control, 1);
  assert.deepEqual([sent, irq.level, port.r(0, 1), port.r(2, 1)], [[0x41], false, 0x41, 0xcc]);
  for (const control of [0x1c, 0x1d, 0x1c]) port.w(2, control, 1);
  assert.equal(irq.level, true);
  port.r(1, 1);
  assert.equal(irq.level, false);
  port.w(2, 0x01, 1); // not selected
  assert.deepEqual(sent, [0x41, 0x41]);
  port.w(2, 0x2c, 1);
  assert.equal(port.r(0, 1), 0xff);
  backend.congested = true;
  assert.equal(port.r(1, 1) & 0x80, 0);
});

const seed = testSeed(process.env);
test(`random accesses (TRAPFRAME_SEED=${seed})`, () => {
  const bench = new TestBench();
  const device = new Parallel('parallel0', bench, new TestLine(), { write() {} });
  hammer({ seed, bench, device, windows: [{ mmio: device.mmio, size: 8 }], steps: 5000 });
});
