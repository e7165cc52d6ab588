import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Probe, TestBench, TestLine } from '../../hw/test-bench.ts';
import { GoldfishRtc } from './goldfish-rtc.ts';

function setUp() {
  const bench = new TestBench();
  const irq = new TestLine();
  const rtc = new GoldfishRtc('rtc', bench, irq);
  const probe = new Probe(rtc.mmio);
  const time = () => BigInt(probe.r(0)) | (BigInt(probe.r(4)) << 32n);
  const write64 = (low: number, value: bigint) => {
    probe.w(low + 4, Number(value >> 32n));
    probe.w(low, Number(value & 0xffff_ffffn));
  };
  return { bench, irq, rtc, probe, time, write64 };
}

test('the time is the wall clock in nanoseconds, and can be set', () => {
  const { bench, time, write64, rtc } = setUp();
  assert.equal(time(), 1_700_000_000_000_000_000n);
  bench.advance(5_000_000);
  assert.equal(time(), 1_700_000_000_005_000_000n);
  write64(0, 123_000_000_000n);
  bench.advance(1_000_000);
  rtc.reset();
  assert.equal(time(), 123_001_000_000n);
});

test('the alarm rings once, when it is enabled', () => {
  const { bench, irq, probe, time, write64 } = setUp();
  write64(8, time() + 2_000_000n);
  probe.w(0x10, 1);
  assert.equal(probe.r(0x18), 1);
  bench.advance(1_999_000);
  assert.equal(irq.level, false);
  bench.advance(1_000);
  assert.equal(irq.level, true);
  assert.equal(probe.r(0x18), 0);
  probe.w(0x10, 0);
  assert.equal(irq.level, false);
  probe.w(0x10, 1);
  probe.w(0x1c, 1);
  assert.equal(irq.level, false);
  write64(8, 1n); // past: at once
  assert.equal(irq.level, true);
  probe.w(0x1c, 1);
  write64(8, time() + 1_000_000n);
  probe.w(0x14, 1);
  bench.advance(5_000_000);
  assert.equal(irq.level, false);
});
