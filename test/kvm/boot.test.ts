/** Debian's kernel on q35 under KVM, whatever KVM this host has. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import { waitedTime } from '../../src/host/node/thread-times.ts';
import { bootPc, cloudLinux, PATIENCE, PROMPT, seabiosRoms, skip as noFiles } from '../boot/pc-guest.ts';
import { skip as noKvm } from './real-mode.ts';

const skip = noFiles ?? noKvm;
const ENDED = { cause: 'guest-shutdown', code: 0 };

test('-accel kvm boots Debian to a shell; where KVM is too slow the machine moves to the JIT and says so once', {
  skip,
}, async () => {
  const said: string[] = [];
  await using guest = await bootPc({
    ...(await cloudLinux()),
    roms: await seabiosRoms(),
    accel: 'kvm',
    log: { items: new Set(), write: (line) => said.push(line) },
  });
  const { machine } = guest;
  assert.equal(machine.accelerator, 'kvm');
  await guest.expect(PROMPT, PATIENCE);
  const moved = said.filter((line) => line.includes('goes on with the JIT'));
  assert.equal(moved.length, machine.accelerator === 'kvm' ? 0 : 1);
  assert.ok(machine.kvm?.[0].entries, 'KVM was never entered');
  guest.type('echo answer=$((6 * 7))\n');
  await guest.expect(/\nanswer=42/);
  if (waitedTime() !== undefined) {
    const stolen = async (): Promise<number> => {
      guest.type("echo stolen=$(sed -n 's/^cpu //p' /proc/stat | awk '{ print $8 }')=\n");
      return Number((await guest.expect(/\nstolen=(\d+)=/))[1]);
    };
    const before = await stolen();
    const busy = ['-e', 'for (const end = Date.now() + 60000; Date.now() < end; );'];
    const others = Array.from({ length: availableParallelism() + 1 }, () =>
      spawn(process.execPath, busy, { stdio: 'ignore' }),
    );
    try {
      guest.type('n=0; while [ $n -lt 5000 ]; do n=$((n + 1)); done; echo counted=$n\n');
      await guest.expect(/\ncounted=5000/, PATIENCE);
      assert.ok((await stolen()) > before, 'the guest was not told that the host was busy');
    } finally {
      for (const other of others) other.kill('SIGKILL');
    }
  }
  guest.type('poweroff -f\n');
  assert.deepEqual(await guest.finished(), ENDED);
});
