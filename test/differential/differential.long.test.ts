/** Random programs on the reference accelerator and the JIT: TRAPFRAME_COUNT of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testSeed } from '../../src/bits/test-seed.ts';
import { runPair } from './pair.ts';
import { makeProgram } from './programs.ts';
import { explain } from './shrink.ts';

const COUNT = Number(process.env.TRAPFRAME_COUNT ?? 400);
const LIMIT = 30_000;

test('many random programs', (t) => {
  const first = testSeed(process.env);
  t.diagnostic(`TRAPFRAME_SEED=${first}`);
  const failures: string[] = [];
  let done = 0;
  for (let n = 0; n < COUNT && failures.length < 5; n++) {
    const program = makeProgram((first + n) >>> 0, 40);
    const outcome = runPair(program, { limit: LIMIT });
    if (outcome.done) done++;
    if (outcome.mismatch) failures.push(explain(program, { limit: LIMIT }));
  }
  t.diagnostic(`${COUNT} programs, ${done} of them to their end`);
  assert.deepEqual(failures.join('\n\n'), '');
  assert.ok(done > COUNT / 20, 'programs come to their end');
});
