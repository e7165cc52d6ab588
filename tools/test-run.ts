/**
 * `npm test`: the static checks, then every unit test and the heavier ones of test/
 * (conformance, differential, boots) in one run of Node's test runner, whose
 * closing lines end the output. `--all` adds the long ones (`*.long.test.ts`),
 * and lets the randomised ones begin at a new seed; `npm test` finds the same thing each time.
 *
 * What is not run is said with its reason: by each test itself, and here for long ones.
 */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { testSeed } from '../src/bits/test-seed.ts';
import { filesMatching, runSteps, STATIC_STEPS, UNIT_TESTS } from './check.ts';

const root = resolve(import.meta.dirname, '..');
const all = process.argv.includes('--all');

/** Some tests compare with QEMU and cross compilers; without them they are skipped, so a failure here is no end. */
function installSystemPackages(): void {
  const [installer] = filesMatching('tools/install-system-packages.{ts,mjs,sh}');
  if (installer === undefined) return;
  const command = installer.endsWith('.sh') ? 'sh' : process.execPath;
  const { status } = spawnSync(command, [installer], { cwd: root, stdio: 'inherit' });
  if (status !== 0) console.warn('system packages were not installed; tests that need them say that they are skipped');
}

function runTests(): boolean {
  const heavy = filesMatching('test/**/*.test.ts').filter((file) => !file.endsWith('.long.test.ts'));
  const long = filesMatching('test/**/*.long.test.ts');
  const files = [...filesMatching(...UNIT_TESTS), ...heavy, ...(all ? long : [])];
  if (!all && long.length > 0) console.log(`not run here (npm run test:all does): ${long.join(', ')}`);
  if (files.length === 0) throw new Error('no test file was found');
  const args = ['--test', '--test-timeout=900000', ...files];
  const seed = testSeed(all ? { TRAPFRAME_SEED: 'random', ...process.env } : process.env);
  console.log(`randomised tests begin at TRAPFRAME_SEED=${seed}`);
  const env = { ...process.env, TRAPFRAME_SEED: `${seed}` };
  const passed = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit', env }).status === 0;
  if (!passed) console.error(`TRAPFRAME_SEED=${seed} repeats this run`);
  return passed;
}

installSystemPackages();
const checked = runSteps(STATIC_STEPS);
const tested = runTests();
if (!checked) console.error('the static checks failed, see above');
process.exitCode = checked && tested ? 0 : 1;
