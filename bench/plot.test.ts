import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plot } from './plot.ts';
import type { Results } from './results.ts';

const results = (ratios: readonly number[]): Results => ({
  architecture: 'riscv64',
  date: '2026-01-02T00:00:00Z',
  host: 'a <cpu>',
  versions: {},
  rounds: 1,
  time: 'wall',
  kernels: ratios.map((ratio, index) => ({ name: `k${index}`, title: `k${index}`, count: 1, ratio })),
  mean: 1.5,
  warnings: [],
});

test('slower kernels grow to the left of 1, faster ones to the right', () => {
  const svg = plot(results([0.5, 4]));
  const bars = [...svg.matchAll(/<rect class="(\w+)" x="([\d.]+)" y="\d+" width="([\d.]+)"/g)];
  assert.deepEqual(
    bars.map((bar) => bar[1]),
    ['slower', 'faster', 'mean'],
  );
  const [slower, faster] = bars.map((bar) => ({ x: Number(bar[2]), width: Number(bar[3]) }));
  assert.ok(Math.abs(slower.x + slower.width - faster.x) < 0.2); // both touch the line at 1
  assert.ok(Math.abs(faster.width - 2 * slower.width) < 0.2); // logarithmic
  assert.ok(svg.includes('a &#60;cpu&#62;'));
});

test('nothing to draw is an error', () => {
  assert.throws(() => plot(results([])), /no ratios/);
});
