/** Random programs on the reference accelerator and the JIT: a few seconds of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testSeed } from '../../src/bits/test-seed.ts';
import { runPair } from './pair.ts';
import { makeProgram } from './programs.ts';
import { explain } from './shrink.ts';

/** Instructions of one program, and how many programs. */
const LIMIT = 6000;
const COUNT = Number(process.env.TRAPFRAME_COUNT ?? 20);

/** Seeds that found something once, or that reach what is reached rarely. */
const OLD_SEEDS = [3, 12, 16, 39, 181];

function check(seed: number): number {
  const program = makeProgram(seed);
  const { retired, mismatch } = runPair(program, { limit: LIMIT });
  if (mismatch) assert.fail(explain(program, { limit: LIMIT }));
  return retired;
}

test('programs that once failed', () => {
  for (const seed of OLD_SEEDS) assert.ok(check(seed) > 300, `seed ${seed} ran`);
});

test('random programs', (t) => {
  const first = testSeed(process.env);
  t.diagnostic(`TRAPFRAME_SEED=${first}`);
  let instructions = 0;
  for (let n = 0; n < COUNT; n++) instructions += check((first + n) >>> 0);
  t.diagnostic(`${COUNT} programs, ${instructions} instructions`);
  assert.ok(instructions > COUNT * 300, 'the programs ran');
});
