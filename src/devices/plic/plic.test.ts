import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Probe, TestBench, TestLine } from '../../hw/test-bench.ts';
import { Plic } from './plic.ts';

function setUp() {
  const bench = new TestBench();
  const outputs = [new TestLine(), new TestLine()];
  const plic = new Plic('plic', bench.log, { sources: 96, contexts: outputs, size: 0x60_0000 });
  return { bench, outputs, plic, ...bound(new Probe(plic.mmio)) };
}
const bound = (probe: Probe) => ({ r: (at: number) => probe.r(at), w: (at: number, v: number) => probe.w(at, v) });
const enable = (context: number) => 0x2000 + 0x80 * context;
const threshold = (context: number) => 0x20_0000 + 0x1000 * context;
const claim = (context: number) => threshold(context) + 4;

test('claim gives the highest priority, the lowest number first, and complete opens the gateway again', () => {
  const { outputs, plic, r, w } = setUp();
  for (const source of [3, 10, 11]) {
    plic.source(source).set(true);
    w(4 * source, source === 10 ? 2 : 1);
  }
  assert.equal(r(0x1000), (1 << 3) | (1 << 10) | (1 << 11));
  assert.equal(outputs[1].level, false);
  w(enable(1), (1 << 3) | (1 << 10) | (1 << 11));
  assert.deepEqual([outputs[0].level, outputs[1].level], [false, true]);
  assert.deepEqual([r(claim(1)), r(claim(1)), r(claim(1)), r(claim(1))], [10, 3, 11, 0]);
  assert.equal(outputs[1].level, false);
  plic.source(3).set(false);
  w(claim(1), 3);
  assert.equal(outputs[1].level, false);
  w(claim(1), 10); // its wire is still high
  assert.equal(outputs[1].level, true);
  assert.equal(r(claim(1)), 10);
});

test('the threshold masks the output but not a claim', () => {
  const { outputs, plic, r, w } = setUp();
  w(4 * 5, 3);
  w(enable(0), 1 << 5);
  w(threshold(0), 3);
  plic.source(5).set(true);
  assert.equal(outputs[0].level, false);
  w(threshold(0), 2);
  assert.equal(outputs[0].level, true);
  w(threshold(0), 7);
  assert.equal(r(claim(0)), 5);
});

test('priority 0 never interrupts, priorities keep three bits, source 0 cannot be enabled', () => {
  const { outputs, plic, r, w } = setUp();
  w(4 * 96, 0xff);
  assert.equal(r(4 * 96), 7);
  w(enable(0), 0xffff_ffff);
  assert.equal(r(enable(0)), 0xffff_fffe);
  w(enable(0) + 12, 0xffff_ffff);
  assert.equal(r(enable(0) + 12), 1);
  plic.source(7).set(true);
  assert.equal(outputs[0].level, false);
  plic.source(96).set(true);
  assert.equal(outputs[0].level, true);
});

test('completing what is not its own is a guest error and changes nothing', () => {
  const { bench, plic, r, w } = setUp();
  w(4 * 5, 1);
  w(enable(0), 1 << 5);
  plic.source(5).set(true);
  assert.equal(r(claim(0)), 5);
  for (const wrong of [0, 6, 97, 0xffff_ffff]) w(claim(0), wrong);
  w(claim(1), 5);
  assert.equal(bench.reports.length, 5);
  assert.equal(r(claim(0)), 0);
});

test('a reset keeps the wires', () => {
  const { outputs, plic, r } = setUp();
  plic.source(5).set(true);
  plic.reset();
  assert.equal(r(0x1000), 1 << 5);
  assert.equal(outputs[0].level, false);
});
