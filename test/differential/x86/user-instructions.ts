/**
 * Every user-mode row against this machine's own processor: random encodings
 * from random states, and short sequences that hand flags on. Evaluated in
 * both ways, and on accelerators.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { testSeed } from '../../../src/bits/test-seed.ts';
import { runCampaign } from './campaign.ts';
import { hostFeatures, nativeRunner } from './native.ts';
import { OnAccelerator } from './on-accelerator.ts';
import { chooser, subjects } from './subjects.ts';

export interface Amount {
  /** Cases of each kind. */
  readonly count: number;
  /** Of these so many on the JIT accelerator as well, and so often that they are compiled. */
  readonly jit: number;
  readonly hot: number;
  /** Of these so many on the reference accelerator. */
  readonly reference: number;
}

/** What the JIT runs more often than this it compiles. */
const OFTEN = 1100;

const MODES = [
  { bits: 64, segments: 'flat' },
  { bits: 32, segments: 'flat' },
  { bits: 32, segments: 'based' },
  { bits: 16, segments: 'based' },
] as const;
const KINDS = [
  { name: 'single instructions', wide: false, sequences: 0 },
  { name: 'flags handed on', wide: false, sequences: 1 },
  { name: 'x87 and vector instructions', wide: true, sequences: 0 },
] as const;

/** Defines the tests. TRAPFRAME_SEED chooses other cases. */
export function userInstructionTests({ count, jit, hot, reference }: Amount): void {
  for (const { bits, segments } of MODES) {
    const runner = nativeRunner(bits === 64 ? 64 : 32);
    if (typeof runner === 'string') {
      test(`${bits}-bit instructions`, { skip: runner });
      continue;
    }
    after(() => runner.close());
    const features = hostFeatures();
    for (const { name, wide, sequences } of KINDS) {
      const list = subjects(bits, wide, features);
      const campaign = { bits, segments, runner, wide, next: chooser(list, sequences) };
      const on = (kind: 'jit' | 'reference', times: number) => ({
        ...campaign,
        instead: (pattern: Uint8Array) => ({ [kind]: new OnAccelerator(kind, pattern, times) }),
      });
      const runs = [
        ['', campaign, count],
        [', JIT', on('jit', 1), jit],
        [', JIT, compiled', on('jit', OFTEN), hot],
        [', reference', on('reference', 1), reference],
      ] as const;
      for (const [what, run, cases] of runs) {
        if (cases === 0) continue;
        test(`${bits}-bit code, segments ${segments}: ${name}${what}`, (t) => {
          const seed = testSeed(process.env);
          t.diagnostic(`TRAPFRAME_SEED=${seed}`);
          const { compared, failure } = runCampaign(run, seed, cases);
          if (failure) assert.fail(failure);
          assert.ok(compared >= cases, `${compared} cases`);
          t.diagnostic(`${compared} cases, ${list.length} rows`);
        });
      }
    }
  }
}
