/**
 * Runs the official RISC-V tests (riscv-tests' isa, built for the p and v
 * environments by whoever has them) on an accelerator and prints a table.
 *
 *   node test/conformance/official.ts DIRECTORY [reference|jit] [NAME-FILTER]
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bareMachine } from './bare.ts';

const [directory, accel = 'jit', filter = ''] = process.argv.slice(2);
if (!directory) {
  console.error('usage: official.ts DIRECTORY [reference|jit] [NAME-FILTER]');
  process.exit(2);
}
const failed: string[] = [];
let passed = 0;
for (const name of readdirSync(directory).sort()) {
  if (!name.includes(filter) || name.includes('.')) continue;
  const machine = bareMachine(readFileSync(join(directory, name)), accel as 'reference' | 'jit');
  const limit = accel === 'reference' ? 2e6 : 5e7;
  let result = 'no answer';
  let ran = 0;
  try {
    for (; ran < limit; ran += 10000) {
      const exit = machine.vcpu.run(10000);
      const code = machine.tohost();
      if (code !== 0) {
        result = code === 1 ? 'pass' : `test ${code >> 1}`;
        break;
      }
      if (exit.kind === 'halt') machine.wake();
    }
  } catch (error) {
    result = String(error instanceof Error ? error.stack : error);
  }
  if (result === 'pass') passed++;
  else failed.push(`${name}: ${result}`);
}
console.log(`${accel}: ${passed} passed, ${failed.length} failed`);
for (const line of failed) console.log(`  ${line}`);
process.exit(failed.length > 0 ? 1 : 0);
