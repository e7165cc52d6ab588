/** The x87 functions against the host's FPU, and compiled against evaluated. */
import assert from 'node:assert';
import { test } from 'node:test';
import { testSeed } from '../../src/bits/test-seed.ts';
import { CASE, nativeOracle, OPERATIONS, runEvaluator, webAssemblyRunner } from './x87-bench.ts';
import { differences, makeCases } from './x87-cases.ts';

/** Printed; TRAPFRAME_SEED repeats a run. */
const SEED = BigInt(testSeed(process.env));
const COUNT = Number(process.env['X87_COUNT'] ?? 6000);
const oracle = nativeOracle();
const FIELDS = ['result', 'second', 'status', 'eflags'] as const;

test(`x87 against the host's FPU, ${COUNT} cases each`, { skip: typeof oracle === 'string' && oracle }, async (t) => {
  assert.ok(typeof oracle !== 'string');
  t.diagnostic(`TRAPFRAME_SEED=${SEED}`);
  const run = webAssemblyRunner(COUNT);
  for (const operation of OPERATIONS) {
    await t.test(operation.name, () => {
      const cases = makeCases(operation, COUNT, SEED);
      const theirs = oracle(operation.name, cases);
      assert.strictEqual(theirs.length, COUNT * CASE.bytes);
      run(operation, cases);
      assert.deepStrictEqual(differences(cases, theirs, FIELDS, operation.ulps !== undefined), []);
    });
  }
});

test('compiled and evaluated x87 agree', async (t) => {
  t.diagnostic(`TRAPFRAME_SEED=${SEED}`);
  const count = 200;
  const run = webAssemblyRunner(count);
  for (const operation of OPERATIONS) {
    await t.test(operation.name, () => {
      const compiled = makeCases(operation, count, SEED);
      const evaluated = compiled.slice();
      run(operation, compiled);
      runEvaluator(operation, evaluated);
      assert.deepStrictEqual(differences(compiled, evaluated, FIELDS), []);
    });
  }
});
