/**
 * Random programs on both accelerators, for as long as one likes.
 *
 *   node test/differential/x86-system/run.ts [PROGRAMS] [MODE]       TRAPFRAME_SEED=n or random
 */
import { testSeed } from '../../../src/bits/test-seed.ts';
import { Random } from '../random.ts';
import { MODES, type ModeName } from './environment.ts';
import { Pair, runPair } from './pair.ts';
import { program } from './programs.ts';

const [count = '16', only] = process.argv.slice(2);
const seed = testSeed(process.env);
let failed = 0;
let retired = 0;
for (let n = 0; n < Number(count); n++) {
  const mode = (only ?? MODES[n % MODES.length]) as ModeName;
  const random = new Random(seed + n);
  const user = mode !== 'real' && random.chance(0.4);
  const pair = new Pair(mode, program(random, mode, user));
  const step = process.env['TRAPFRAME_STEP'];
  const mismatch = runPair(pair, random, 40_000, step ? () => Number(step) : undefined);
  retired += pair.jit.vcpus[0].instructions;
  if (!mismatch) continue;
  failed++;
  console.log(`seed ${seed + n} ${mode}${user ? ' user' : ''}: after ${mismatch.agreed} at ${mismatch.pc}`);
  for (const line of mismatch.lines.slice(0, 6)) console.log(`  ${line}`);
}
console.log(`seed ${seed}: ${count} programs, ${retired} instructions, ${failed} differ`);
process.exit(failed > 0 ? 1 : 0);
