/** A running Linux goes from one accelerator to the other and back, wherever it happens to be. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testSeed } from '../../src/bits/test-seed.ts';
import { buildInitrd } from '../../src/image/initrd.ts';
import { GuestConsole, guestFiles } from './guest-console.ts';

const { files, skip } = await guestFiles('riscv64');
const accel = process.env['TRAPFRAME_TEST_ACCEL'] === 'reference' ? 'there is only one accelerator' : undefined;
/** ms */
const REFERENCE_TURN = 60;
const TURNS = 12;

test('Linux boots though it changes accelerators again and again', { skip: skip ?? accel }, async (t) => {
  assert.ok(files);
  const seed = testSeed(process.env);
  t.diagnostic(`TRAPFRAME_SEED=${seed}`);
  const random = generator(seed);
  await using guest = await GuestConsole.boot({
    kernel: await files.read('kernel'),
    initrd: buildInitrd({ busybox: await files.read('busybox') }),
    cpus: 2,
    memory: 512 * 2 ** 20,
    append: 'console=ttyS0 panic=-1',
    // Time follows the instructions: a slow accelerator does not drown in timer interrupts.
    icount: { shift: 4, sleep: false },
  });
  const { machine } = guest;
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  const executedNow = () => machine.vcpus[0].instructions + machine.vcpus[1].instructions;
  let executed = 0;
  for (let turn = 0; turn < TURNS; turn++) {
    await pause(random() * 500);
    await machine.switchAccelerator('reference');
    assert.equal(machine.accelerator, 'reference');
    const before = executedNow();
    await pause(random() * REFERENCE_TURN);
    while (executedNow() < before + 1000) await pause(1);
    await machine.switchAccelerator('jit');
    assert.equal(machine.accelerator, 'jit');
    executed += executedNow() - before;
  }
  assert.ok(executed > 10_000, `the reference executed ${executed} instructions only`);
  await guest.expect(/:~# /, 300);
  guest.type('echo answer=$((6 * 7))\n');
  await guest.expect(/answer=42/);
  guest.type('poweroff -f\n');
  assert.deepEqual(await guest.finished(), { cause: 'guest-shutdown', code: 0 });
});

/** Numbers from 0 to 1 that follow from the seed (mulberry32). */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
