import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clockWarnings, geometricMean, median, parseSamples } from './results.ts';

test('median and geometric mean', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.ok(Math.abs(geometricMean([0.5, 2, 8]) - 2) < 1e-12);
  assert.throws(() => median([]), RangeError);
  assert.throws(() => geometricMean([]), RangeError);
});

test('samples are read from the suite between other lines', () => {
  const lines = [
    { text: '[    1.0] Run /suite as init process', at: 1, cpu: 1 },
    { text: 'begin integer', at: 2, cpu: 2 },
    { text: 'random: crng init done', at: 2.5, cpu: 2.5 },
    { text: 'result integer 100 0.900000 1.000000 00000000000000ff', at: 3, cpu: 3 },
    { text: 'begin calls', at: 3, cpu: 3 },
    { text: 'result branches 100 0.900000 1.000000 00000000000000ff', at: 4, cpu: 4 },
  ];
  assert.deepEqual(parseSamples(lines), [
    { name: 'integer', count: 100, cpu: 0.9, wall: 1, host: 1, hostCpu: 1, checksum: '00000000000000ff' },
  ]);
});

test('a guest clock that runs slow is reported', () => {
  const sample = { name: 'integer', count: 1, cpu: 1, wall: 1, host: 1.01, hostCpu: 1, checksum: '' };
  assert.deepEqual(clockWarnings('ours', [sample]), []);
  assert.match(clockWarnings('ours', [{ ...sample, host: 2 }])[0], /guest's clock/);
  assert.match(clockWarnings('ours', [{ ...sample, cpu: 2 }])[0], /CPU seconds/);
});
