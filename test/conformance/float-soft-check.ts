/** The soft floating-point functions against real FPUs, and compiled against evaluated. */
import assert from 'node:assert';
import { test } from 'node:test';
import { testSeed } from '../../src/bits/test-seed.ts';
import { evaluatorRunner, nativeOracle, OPERATIONS, webAssemblyRunner } from './float-bench.ts';
import { differences, makeCases } from './float-cases.ts';

/** Seeds are printed; TRAPFRAME_SEED repeats a run. */
export const SEED = BigInt(testSeed(process.env));

/** Holds `count` cases of every operation against the FPUs. */
export function checkAgainstFpus(count: number): void {
  const runWasm = webAssemblyRunner(count);
  for (const kind of ['host', 'riscv'] as const) {
    const oracle = nativeOracle(kind);
    const skip = typeof oracle === 'string' ? oracle : false;
    test(`soft float against the ${kind} FPU, ${count} cases each`, { skip }, async (t) => {
      assert.ok(typeof oracle !== 'string');
      t.diagnostic(`TRAPFRAME_SEED=${SEED}`);
      for (const operation of OPERATIONS.filter(({ oracles }) => oracles.includes(kind))) {
        await t.test(operation.name, () => {
          // The host knows no rounding to nearest with ties away.
          const cases = makeCases(operation, count, kind === 'host' ? 4 : 5, SEED);
          const theirs = oracle(operation.name, cases);
          assert.strictEqual(theirs.length, cases.length);
          runWasm(operation, cases);
          // fcvt.wu gives its result sign-extended; the function leaves it as the number it is.
          const wants = operation.name.endsWith('_to_wu') ? (x: bigint) => x & 0xffffffffn : undefined;
          assert.deepStrictEqual(differences(cases, theirs, wants), []);
        });
      }
    });
  }
}

/** Holds the functions as WebAssembly against the IR evaluator. */
export function checkAgainstEvaluator(count: number): void {
  const runWasm = webAssemblyRunner(count);
  const runEvaluator = evaluatorRunner();
  test('compiled and evaluated soft float agree', async (t) => {
    t.diagnostic(`TRAPFRAME_SEED=${SEED}`);
    for (const operation of OPERATIONS) {
      await t.test(operation.name, () => {
        const compiled = makeCases(operation, count, 5, SEED);
        const evaluated = compiled.slice();
        runWasm(operation, compiled);
        runEvaluator(operation, evaluated);
        assert.deepStrictEqual(differences(compiled, evaluated), []);
      });
    }
  });
}
