import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Probe, TestBench, TestLine } from '../../hw/test-bench.ts';
import { AclintSswi } from './aclint-sswi.ts';

function setUp() {
  const bench = new TestBench();
  const lines = [new TestLine(), new TestLine()];
  const sswi = new AclintSswi('sswi', bench.log, lines);
  sswi.reset();
  return { bench, lines, probe: new Probe(sswi.mmio) };
}

test('writing 1 gives that hart an edge, and the register still reads as 0', () => {
  const { lines, probe } = setUp();
  probe.w(4, 1);
  assert.deepEqual([lines[0].rises, lines[1].rises], [0, 1]);
  assert.equal(lines[1].level, false);
  assert.equal(probe.r(4), 0);
  probe.w(4, 0xffff_ffff);
  assert.equal(lines[1].rises, 2);
});

test('other bits do nothing', () => {
  const { lines, probe } = setUp();
  probe.w(0, 0xffff_fffe);
  assert.equal(lines[0].rises, 0);
});

test('a hart that is not there, and other widths, are guest errors', () => {
  const { bench, lines, probe } = setUp();
  probe.w(8, 1);
  probe.w(0, 1, 1);
  assert.equal(probe.r(0x3ffc), 0);
  assert.equal(bench.reports.length, 3);
  assert.deepEqual([lines[0].rises, lines[1].rises], [0, 0]);
});
