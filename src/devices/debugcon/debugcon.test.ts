import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PortBus } from '../../hw/ports.ts';
import { TestBench } from '../../hw/test-bench.ts';
import { Debugcon } from './debugcon.ts';

test('bytes come out; a read finds the port', () => {
  const sent: number[] = [];
  const bus = new PortBus();
  bus.add(
    'debugcon',
    0xe9,
    1,
    new Debugcon('debugcon', new TestBench(), { write: (bytes) => sent.push(...bytes) }).mmio,
  );
  bus.write(0xe9, 1, 0x41);
  bus.write(0xe9, 2, 0x4342); // the second byte is another port's
  assert.deepEqual([sent, bus.read(0xe9, 1)], [[0x41, 0x42], 0xe9]);
  assert.equal(new Debugcon('debugcon', new TestBench(), undefined, 0x12).mmio.read(0, 1), 0x12);
});
