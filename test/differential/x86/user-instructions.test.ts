/**
 * Every user-mode row against this machine's own processor: random encodings
 * from random states, and short sequences that hand flags on. A few seconds of
 * it; TRAPFRAME_SEED and TRAPFRAME_COUNT (cases of each kind) choose others.
 */
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { runSeed } from '../random.ts';
import { runCampaign } from './campaign.ts';
import { hostFeatures, nativeRunner } from './native.ts';
import { chooser, subjects } from './subjects.ts';

const COUNT = Number(process.env.TRAPFRAME_COUNT ?? 2500);

for (const bits of [64, 32] as const) {
  const runner = nativeRunner(bits);
  if (typeof runner === 'string') {
    test(`${bits}-bit instructions`, { skip: runner });
    continue;
  }
  after(() => runner.close());
  const features = hostFeatures();
  const kinds = [
    ['single instructions', false, 0],
    ['flags handed on', false, 1],
    ['x87 and vector instructions', true, 0],
  ] as const;
  for (const [name, wide, sequences] of kinds) {
    const list = subjects(bits, wide, features);
    if (list.length === 0) continue;
    test(`${bits}-bit code: ${name}`, (t) => {
      const seed = runSeed();
      t.diagnostic(`TRAPFRAME_SEED=${seed}`);
      const campaign = { bits, runner, wide, next: chooser(list, sequences) };
      const { compared, failure } = runCampaign(campaign, seed, COUNT);
      if (failure) assert.fail(failure);
      t.diagnostic(`${compared} cases of ${list.length} rows`);
    });
  }
}
