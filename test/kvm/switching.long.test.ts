/** A boot of Debian that changes its accelerator all the time. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { MachineConfig } from '../../src/machine/config.ts';
import { testSeed } from '../../src/bits/test-seed.ts';
import { bootPc, cloudLinux, PATIENCE, PROMPT, seabiosRoms, skip as noFiles } from '../boot/pc-guest.ts';
import { skip as noKvm } from './real-mode.ts';

const skip = noFiles ?? noKvm;
const ENDED = { cause: 'guest-shutdown', code: 0 };

for (const kernelIrqchip of ['off', 'split', 'on'] as const)
  test(
    `a boot that changes between kvm (kernel-irqchip=${kernelIrqchip}), jit and reference all the time notices nothing`,
    {
      skip,
    },
    (t) => boot(kernelIrqchip, t),
  );

async function boot(kernelIrqchip: MachineConfig['kernelIrqchip'], t: TestContext): Promise<void> {
  const seed = testSeed(process.env);
  t.diagnostic(`TRAPFRAME_SEED=${seed}`);
  const random = generator(seed);
  await using guest = await bootPc({
    ...(await cloudLinux()),
    roms: await seabiosRoms(),
    accel: ['jit', 'kvm'],
    accelStay: true,
    cpus: 2,
    kernelIrqchip,
  });
  const { machine } = guest;
  const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
  let booted = false;
  let turns = 0;
  const changes = (async () => {
    while (!booted && machine.state === 'running') {
      for (const [name, ms] of [
        ['kvm', 40],
        ['jit', 400],
        ['reference', 20],
        ['jit', 400],
      ] as const) {
        await machine.switchAccelerator(name);
        assert.equal(machine.accelerator, name);
        await pause(random() * ms);
        if (random() < 0.2) {
          await machine.pause();
          await pause(random() * 300);
          machine.resume();
        }
      }
      turns++;
    }
  })();
  try {
    await guest.expect(PROMPT, PATIENCE);
  } finally {
    booted = true;
    await changes;
  }
  assert.ok(turns > 5, `${turns} turns`);
  assert.doesNotMatch(guest.output, /segfault|Oops|BUG:|warp|stall|soft lockup|clocksource.*unstable|panic - /);
  for (const { entries } of machine.kvm ?? []) assert.ok(entries > 0, 'a processor never entered KVM');
  guest.type("awk 'BEGIN { print 22 / 7 }'\n");
  await guest.expect(/\n3\.14286/);
  guest.type('poweroff -f\n');
  assert.deepEqual(await guest.finished(), ENDED);
}

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
