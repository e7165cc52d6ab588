/**
 * Work in a guest whose accelerator changes all the time: checksums, compression, processes, arithmetic; what it prints
 * is what it prints when nothing changes.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MachineConfig } from '../../src/machine/config.ts';
import { bootPc, cloudLinux, PATIENCE, PROMPT, seabiosRoms, skip as noFiles } from '../boot/pc-guest.ts';
import { skip as noKvm } from './real-mode.ts';

const skip = noFiles ?? noKvm;

/** Prints one line for each piece of work; none of them depends on time. */
const WORK = [
  'for n in 1 2 3; do cat /bin/busybox | sha256sum; done',
  'gzip -c /bin/busybox > /tmp/b.gz && gunzip -c /tmp/b.gz | md5sum && rm /tmp/b.gz',
  "n=0; for i in $(seq 60); do n=$((n + $(sh -c 'echo $(($0 * $0))' $i))); done; echo sum $n",
  `awk 'BEGIN { for (i = 1; i < 40000; i++) s += sin(i) * sqrt(i); printf "%.9f\\n", s }'`,
].join('; ');
const COMMAND = `mkdir -p /tmp; (${WORK}) 2>&1 | sed 's/^/work: /'; echo 'work is' 'done'\n`;
/** Longest turn of each, ms of the host. The interpreter is a thousand times slower than the JIT. */
const TURNS = [
  ['kvm', 150],
  ['jit', 500],
  ['reference', 60],
  ['jit', 500],
] as const;
/** The work takes seconds under the JIT; most of the time is the JIT's. Seconds. */
const LONGEST = 150;

async function work(
  switching: boolean,
  kind: Partial<MachineConfig> = {},
): Promise<{ lines: string[]; turns: number }> {
  await using guest = await bootPc({
    ...(await cloudLinux()),
    roms: await seabiosRoms(),
    accel: ['jit', 'kvm'],
    accelStay: true,
    cpus: 1,
    ...kind,
  });
  const { machine } = guest;
  await guest.expect(PROMPT, PATIENCE);
  guest.type(COMMAND);
  let done = false;
  let turns = 0;
  const changes = (async () => {
    while (switching && !done && machine.state === 'running') {
      for (const [name, ms] of TURNS) {
        if (done) break;
        await machine.switchAccelerator(name);
        await new Promise((resolve) => setTimeout(resolve, ms));
      }
      turns++;
    }
  })();
  try {
    await guest.expect(/work is done/, LONGEST);
  } finally {
    done = true;
    await changes;
  }
  const lines = guest.output.split(/\r?\n/).filter((line) => line.startsWith('work: '));
  return { lines, turns };
}

test('work goes on as if nothing changed while the accelerator does', { skip }, async (t) => {
  const quiet = await work(false);
  assert.equal(quiet.lines.length, 6, quiet.lines.join('\n'));
  for (const kind of [
    { cpus: 1 },
    { cpus: 2, kernelIrqchip: 'off' },
    { cpus: 2, kernelIrqchip: 'split' },
    { cpus: 2, kernelIrqchip: 'on' },
  ] satisfies Partial<MachineConfig>[]) {
    const start = Date.now();
    const changing = await work(true, kind);
    const what = Object.entries(kind).flat().join(' ');
    t.diagnostic(
      `${what}: ${changing.turns} rounds of ${TURNS.length} changes, ${Date.now() - start} ms with the boot`,
    );
    assert.deepEqual(changing.lines, quiet.lines, what);
    assert.ok(changing.turns >= 3, `${changing.turns} rounds, ${what}`);
  }
});
