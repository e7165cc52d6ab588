/**
 * The fast gate, under a minute: format and lint, types in each environment,
 * layers and, unless `--static` is given, the unit tests beside their subjects.
 *
 * Every step runs even when one before it failed; the exit code tells.
 */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { checkLayers } from './layers.ts';

const root = resolve(import.meta.dirname, '..');
const script = (...path: string[]): string => join(root, 'node_modules', ...path);

interface Step {
  readonly name: string;
  run(): boolean;
}

/** A step that runs a Node script and passes when it exits with 0. */
function nodeStep(name: string, ...args: string[]): Step {
  return { name, run: () => spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' }).status === 0 };
}

const types = (environment: string, config: string): Step =>
  nodeStep(`types: ${environment}`, script('typescript', 'bin', 'tsc'), '--pretty', 'false', '-p', config);

export const STATIC_STEPS: readonly Step[] = [
  nodeStep('format and lint', script('@biomejs', 'biome', 'bin', 'biome'), 'check', '--colors=off', '.'),
  {
    name: 'layers',
    run: () => {
      const { violations } = checkLayers(join(root, 'src'));
      for (const violation of violations) console.error(violation);
      return violations.length === 0;
    },
  },
  types('pure', 'tsconfig.pure.json'),
  types('Node', 'tsconfig.json'),
  types('browser', 'tsconfig.browser.json'),
];

/** The files of the project that the patterns name, sorted, relative to its root. */
export function filesMatching(...patterns: string[]): string[] {
  return globSync(patterns, { cwd: root }).sort();
}

export const UNIT_TESTS = ['src/**/*.test.ts', 'tools/**/*.test.ts', 'bench/**/*.test.ts'];

/** Runs the steps; true when all passed. */
export function runSteps(steps: readonly Step[]): boolean {
  let passed = true;
  for (const step of steps) {
    const start = performance.now();
    let ok = false;
    try {
      ok = step.run();
    } catch (error) {
      console.error(error);
    }
    console.log(`${ok ? 'ok  ' : 'FAIL'} ${step.name} (${((performance.now() - start) / 1000).toFixed(1)} s)`);
    passed &&= ok;
  }
  return passed;
}

if (import.meta.main) {
  const steps = [...STATIC_STEPS];
  if (!process.argv.includes('--static')) {
    steps.push(nodeStep('unit tests', '--test', '--test-reporter=dot', ...filesMatching(...UNIT_TESTS)));
  }
  process.exitCode = runSteps(steps) ? 0 : 1;
}
