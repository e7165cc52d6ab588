import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testSeed } from '../../../src/bits/test-seed.ts';
import { Random } from '../random.ts';
import { MODES } from './environment.ts';
import { Pair, runPair } from './pair.ts';
import { program } from './programs.ts';

const seed = testSeed(process.env);

test(`random bare x86 programs on both accelerators, in each mode (TRAPFRAME_SEED=${seed})`, () => {
  let retired = 0;
  MODES.forEach((mode, n) => {
    const random = new Random(seed + n);
    const user = mode !== 'real' && random.chance(0.4);
    const pair = new Pair(mode, program(random, mode, user));
    const mismatch = runPair(pair, random, 6000);
    assert.equal(mismatch, undefined, `TRAPFRAME_SEED=${seed}: ${mode} ${JSON.stringify(mismatch, undefined, 1)}`);
    retired += pair.jit.vcpus[0].instructions;
  });
  // The handler alone takes less.
  assert.ok(retired > 2000, `${retired} instructions`);
});
