import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ARCHITECTURES } from './architectures.ts';
import { FIRST_RUNS, kernelsOf } from './kernels.ts';
import { clockWarnings, formatTable, geometricMean, median, parseSamples, type Results } from './results.ts';

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

test('each architecture has a count for every kernel, and first runs are less than that or all of it', () => {
  for (const { name } of ARCHITECTURES) {
    const kernels = new Map(kernelsOf(name).map((kernel) => [kernel.name, kernel.count]));
    for (const { name, count } of FIRST_RUNS) assert.ok(count <= (kernels.get(name) ?? 0), name);
    // The suite touches whole mappings of 64 pages.
    assert.equal((kernels.get('fault') ?? 1) % 64, 0);
  }
  assert.throws(() => kernelsOf('sparc'), RangeError);
});

test('first runs stand under the table and in no mean', () => {
  const results: Results = {
    ...{ architecture: 'i386', date: '2026-01-02T00:00:00Z', host: 'a cpu', versions: {}, rounds: 1, time: 'wall' },
    kernels: [{ name: 'fault', title: 'page faults', count: 64, qemu: 1, ours: 0.5, ratio: 2 }],
    firstRuns: [{ name: 'fault', title: 'page faults, first 6,400', count: 6400, qemu: 0.1, ours: 0.2, ratio: 0.5 }],
    ...{ mean: 2, warnings: [] },
  };
  const lines = formatTable(results).split('\n');
  assert.match(lines.at(-2) ?? '', /^geometric mean +2\.00$/);
  assert.equal(lines.at(-1), 'page faults, first 6,400: QEMU 0.100 s, ours 0.200 s, ratio 0.50; not in the mean');
});
