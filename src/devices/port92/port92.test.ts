import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Probe, TestBench, TestLine } from '../../hw/test-bench.ts';
import { Port92 } from './port92.ts';

test('A20 follows bit 1; bit 0 resets when it rises', () => {
  const a20 = new TestLine();
  let resets = 0;
  const port = new Probe(new Port92('port92', new TestBench(), { a20, reset: () => void resets++ }).mmio);
  port.w(0, 2, 1);
  assert.deepEqual([a20.level, port.r(0, 1), resets], [true, 2, 0]);
  port.w(0, 1, 1);
  port.w(0, 1, 1);
  assert.deepEqual([a20.level, resets], [false, 1]);
});
