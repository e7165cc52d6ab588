import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Probe, TestBench, TestLine } from '../../hw/test-bench.ts';
import { AcpiGed } from './acpi-ged.ts';

test('the power button is an edge and an event that reading takes; sleep and reset registers act', () => {
  const bench = new TestBench();
  const line = new TestLine();
  const seen: string[] = [];
  const ged = new AcpiGed('ged', bench.log, line, {
    poweroff: () => seen.push('off'),
    reset: () => seen.push('reset'),
  });
  const probe = new Probe(ged.mmio);
  ged.powerButton();
  assert.deepEqual([line.rises, line.level], [1, false]);
  assert.deepEqual([probe.r(0), probe.r(0)], [2, 0]);
  probe.w(0x200, 5 << 2, 1);
  probe.w(0x200, 0x20 | (3 << 2), 1);
  probe.w(0x202, 1, 1);
  assert.deepEqual(seen, []);
  probe.w(0x200, 0x20 | (5 << 2), 1);
  probe.w(0x202, 0x42, 1);
  assert.deepEqual(seen, ['off', 'reset']);
  assert.equal(bench.reports.length, 1);
});
