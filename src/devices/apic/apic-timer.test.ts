import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setUp } from './test-apics.ts';

const LVT_TIMER = 0x320;
const INITIAL = 0x380;
const CURRENT = 0x390;
const DIVIDE = 0x3e0;

test('one-shot: counts down at 1 GHz by the divider and rings once', () => {
  const { bench, cpus, apics, probes } = setUp();
  const [probe] = probes;
  probe.w(LVT_TIMER, 0x40);
  probe.w(DIVIDE, 0xb); // by 1
  probe.w(INITIAL, 50_000);
  bench.advance(20_000);
  assert.equal(probe.r(CURRENT), 30_000);
  bench.advance(29_999);
  assert.equal(cpus[0].intr.level, false);
  bench.advance(1);
  assert.equal(apics[0].acknowledge(), 0x40);
  assert.equal(probe.r(CURRENT), 0);
  probe.w(0xb0, 0);
  bench.advance(1e9);
  assert.equal(cpus[0].intr.level, false);
  for (const [divide, by] of [
    [0, 2],
    [1, 4],
    [2, 8],
    [3, 16],
    [8, 32],
    [9, 64],
    [0xa, 128],
  ]) {
    probe.w(DIVIDE, divide);
    probe.w(INITIAL, 1000);
    bench.advance(by * 100);
    assert.equal(probe.r(CURRENT), 900, `divided by ${by}`);
  }
});

test('periodic: rings until the initial count is 0', () => {
  const { bench, cpus, apics, probes } = setUp();
  const [probe] = probes;
  probe.w(LVT_TIMER, 0x2_0040);
  probe.w(DIVIDE, 0xb);
  probe.w(INITIAL, 100_000);
  let rings = 0;
  for (let i = 0; i < 100; i++) {
    bench.advance(10_000);
    if (apics[0].acknowledge() === 0x40) {
      rings++;
      probe.w(0xb0, 0);
    }
  }
  assert.equal(rings, 10);
  bench.advance(30_000);
  assert.equal(probe.r(CURRENT), 70_000);
  probe.w(INITIAL, 0);
  bench.advance(1e9);
  assert.deepEqual([cpus[0].intr.level, probe.r(CURRENT)], [false, 0]);
});

test('a masked timer counts and does not ring; a change of mode lets it count on', () => {
  const { bench, cpus, probes } = setUp();
  const [probe] = probes;
  probe.w(LVT_TIMER, 0x3_0040);
  probe.w(DIVIDE, 0xb);
  probe.w(INITIAL, 100_000);
  bench.advance(160_000);
  assert.equal(cpus[0].intr.level, false);
  assert.equal(probe.r(CURRENT), 40_000);
  probe.w(LVT_TIMER, 0x1_0040);
  assert.equal(probe.r(CURRENT), 40_000);
  bench.advance(40_000);
  assert.equal(probe.r(CURRENT), 0);
  probe.w(LVT_TIMER, 0x3_0040);
  assert.equal(probe.r(CURRENT), 0);
});

test('a period that is too short for the host costs it no more than 10 microseconds do', () => {
  const { bench, probes, apics } = setUp();
  probes[0].w(LVT_TIMER, 0x2_0040);
  probes[0].w(DIVIDE, 0xb);
  probes[0].w(INITIAL, 1);
  let rings = 0;
  for (let i = 0; i < 1000; i++) {
    bench.advance(1_000);
    if (apics[0].acknowledge() === 0x40) {
      rings++;
      probes[0].w(0xb0, 0);
    }
  }
  assert.ok(rings >= 99 && rings <= 101, `${rings}`);
});

test('TSC deadline', () => {
  const { bench, cpus, apics, probes, tsc } = setUp();
  const [apic] = apics;
  apic.setTscDeadline(1000, 0);
  assert.deepEqual(apic.tscDeadline, [0, 0]); // not in that mode
  probes[0].w(LVT_TIMER, 0x4_0041);
  probes[0].w(INITIAL, 5);
  assert.equal(probes[0].r(INITIAL), 0);
  apic.setTscDeadline(200_000, 0);
  bench.advance(99_999);
  assert.equal(cpus[0].intr.level, false);
  bench.advance(1);
  assert.equal(apic.acknowledge(), 0x41);
  assert.deepEqual(apic.tscDeadline, [0, 0]);
  probes[0].w(0xb0, 0);
  apic.setTscDeadline(0, 1);
  tsc.offset = 0x1_0000_0000;
  apic.tscChanged();
  bench.advance(0);
  assert.equal(apic.acknowledge(), 0x41); // the past rings at once
  probes[0].w(0xb0, 0);
  apic.setTscDeadline(0, 1);
  assert.equal(cpus[0].intr.level, true); // before the next instruction
  assert.equal(apic.acknowledge(), 0x41);
  apic.setTscDeadline(0, 2);
  probes[0].w(LVT_TIMER, 0x0041);
  assert.deepEqual(apic.tscDeadline, [0, 0]);
});

test('a saved timer goes on', () => {
  const { bench, cpus, apics, probes } = setUp();
  const [apic] = apics;
  probes[0].w(LVT_TIMER, 0x40);
  probes[0].w(DIVIDE, 0xb);
  probes[0].w(INITIAL, 50_000);
  const saved = structuredClone(apic.state);
  apic.reset();
  bench.advance(20_000);
  Object.assign(apic.state, saved);
  apic.resumed();
  bench.advance(30_000);
  assert.equal(cpus[0].intr.level, true);
});
