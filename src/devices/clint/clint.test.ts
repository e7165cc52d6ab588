import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Probe, TestBench, TestLine } from '../../hw/test-bench.ts';
import { Clint } from './clint.ts';

function setUp() {
  const bench = new TestBench();
  const software = [new TestLine(), new TestLine()];
  const timer = [new TestLine(), new TestLine()];
  const clint = new Clint('clint', bench, software, timer);
  clint.reset();
  return { bench, software, timer, clint, probe: new Probe(clint.mmio) };
}

test('MSIP drives the software interrupt of its hart', () => {
  const { software, probe } = setUp();
  probe.w(4, 0xffff_ffff);
  assert.deepEqual([software[0].level, software[1].level], [false, true]);
  assert.equal(probe.r(4), 1);
  probe.w(4, 0);
  assert.equal(software[1].level, false);
});

test('MTIP rises when the time comes and falls when the comparator moves on', () => {
  const { bench, timer, clint, probe } = setUp();
  const told: number[] = [];
  clint.onTimer = (hart) => told.push(hart);
  bench.advance(5_000);
  probe.w(0x4008, 100);
  probe.w(0x400c, 0);
  assert.equal(clint.deadline(1), 10_000);
  assert.equal(clint.deadline(0), Infinity);
  bench.advance(4_999);
  assert.equal(timer[1].level, false);
  bench.advance(1);
  assert.deepEqual([timer[0].level, timer[1].level], [false, true]);
  probe.w(0x4008, 200);
  assert.equal(timer[1].level, false);
  probe.w(0x4008, 1); // past
  assert.equal(timer[1].level, true);
  assert.deepEqual(told, [1, 1, 1, 1]);
});

test('MTIME counts 100 ns ticks, and its halves fit each other', () => {
  const { bench, probe } = setUp();
  bench.advance(0xffff_ffff * 100);
  assert.equal(probe.r(0xbff8), 0xffff_ffff);
  bench.advance(200);
  assert.equal(probe.r(0xbffc), 0); // belongs to the low half read just before
  assert.equal(probe.r(0xbffc), 1);
  assert.equal(probe.r(0xbff8), 1);
});

test('a guest can set MTIME; comparators follow', () => {
  const { bench, timer, clint, probe } = setUp();
  bench.advance(1_000_000);
  probe.w(0xbff8, 50);
  probe.w(0xbffc, 2);
  assert.equal(clint.time(), (2n << 32n) + 50n);
  probe.w(0x4000, 60);
  probe.w(0x4004, 2);
  assert.equal(timer[0].level, false);
  bench.advance(1_000);
  assert.equal(timer[0].level, true);
  assert.equal(probe.r(0xbff8), 60);
  assert.equal(probe.r(0xbffc), 2);
});
