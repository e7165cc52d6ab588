/** Random programs on the reference accelerator and the JIT: a few seconds of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runPair } from './pair.ts';
import { makeProgram } from './programs.ts';
import { runSeed } from './random.ts';
import { explain } from './shrink.ts';

/** Instructions of one program, and CPU time of all of them in milliseconds. */
const LIMIT = 6000;
const TIME = Number(process.env.TRAPFRAME_DIFFERENTIAL_MS ?? 10_000);

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
  const first = runSeed();
  t.diagnostic(`TRAPFRAME_SEED=${first}`);
  const { user } = process.cpuUsage();
  let programs = 0;
  let instructions = 0;
  do instructions += check((first + programs++) >>> 0);
  while (process.cpuUsage().user - user < TIME * 1000);
  t.diagnostic(`${programs} programs, ${instructions} instructions`);
  assert.ok(instructions > programs * 300, 'the programs ran');
});
