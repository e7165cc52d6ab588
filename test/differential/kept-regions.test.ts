/** Programs that run once more, with the regions of the time before: as on the reference accelerator again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CodeStore } from '../../src/accel/code-store.ts';
import { testSeed } from '../../src/bits/test-seed.ts';
import { runPair } from './pair.ts';
import { makeProgram } from './programs.ts';
import { Random } from './random.ts';
import { MODES } from './x86-system/environment.ts';
import { Pair as X86Pair, runPair as runX86Pair } from './x86-system/pair.ts';
import { program as x86Program } from './x86-system/programs.ts';

const seed = testSeed(process.env);

function memoryStore(): CodeStore {
  const files = new Map<string, Uint8Array>();
  return {
    read: (name) => files.get(name),
    write: (name, bytes) => void files.set(name, bytes),
  };
}

test(`RISC-V programs with regions of an earlier run (TRAPFRAME_SEED=${seed})`, () => {
  const codeStore = memoryStore();
  let taken = 0;
  // One store for all: places of one program look like those of another.
  for (const round of [0, 1]) {
    for (let n = 0; n < 5; n++) {
      const outcome = runPair(makeProgram(seed + n), { limit: 6000, codeStore });
      assert.deepEqual(outcome.mismatch?.lines ?? [], [], `program ${seed + n}, round ${round}`);
      if (round > 0) taken += outcome.taken ?? 0;
    }
  }
  assert.ok(taken > 0, `${taken} regions were taken`);
});

test(`bare x86 programs with regions of an earlier run, in each mode (TRAPFRAME_SEED=${seed})`, () => {
  const codeStore = memoryStore();
  let taken = 0;
  for (const round of [0, 1]) {
    MODES.forEach((mode, n) => {
      const random = new Random(seed + n);
      const user = mode !== 'real' && random.chance(0.4);
      const pair = new X86Pair(mode, x86Program(random, mode, user), codeStore);
      const mismatch = runX86Pair(pair, random, 6000);
      assert.equal(mismatch, undefined, `${mode}, round ${round}: ${JSON.stringify(mismatch, undefined, 1)}`);
      pair.jit.close();
      if (round > 0) taken += pair.jit.regions.taken;
      assert.match(pair.jit.describe()[0], new RegExp(`, ${pair.jit.regions.taken} of them from earlier processes`));
    });
  }
  assert.ok(taken > 0, 'regions were taken');
});
