import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Probe, TestBench } from '../../hw/test-bench.ts';
import { SifiveTest } from './sifive-test.ts';

test('the finisher powers off, fails with a code and resets', () => {
  const bench = new TestBench();
  const heard: unknown[] = [];
  const finisher = new SifiveTest('test', bench.log, {
    poweroff: (code) => heard.push(code),
    reset: () => heard.push('reset'),
  });
  const probe = new Probe(finisher.mmio);
  probe.w(0, 0x5555);
  probe.w(0, 0x2a_3333);
  probe.w(0, 0x7777, 2);
  assert.deepEqual(heard, [0, 0x2a, 'reset']);
  probe.w(0, 0x1234);
  probe.w(0, 0x55, 1);
  assert.equal(heard.length, 3);
  assert.equal(bench.reports.length, 2);
});
