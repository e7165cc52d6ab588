import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestBench } from '../../hw/test-bench.ts';
import { Pvpanic } from './pvpanic.ts';

test('events are announced and reported; unknown ones are the guest’s mistake', () => {
  const bench = new TestBench();
  const events: string[] = [];
  const { mmio } = new Pvpanic('pvpanic', bench, (event) => events.push(event));
  assert.equal(mmio.read(0, 1), 3);
  mmio.write(0, 1, 2);
  mmio.write(0, 1, 1);
  assert.deepEqual([events, bench.reports], [['crashloaded', 'panicked'], []]);
  mmio.write(0, 1, 0x80);
  assert.equal(bench.reports.length, 1);
  assert.equal(events.length, 2);
});
