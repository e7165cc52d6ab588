/** Debian's kernel and busybox under the built-in SBI: what `npm start` boots. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildInitrd } from '../../src/image/initrd.ts';
import { GuestConsole, guestFiles } from './guest-console.ts';

const { files, skip } = await guestFiles('riscv64');
/** A boot under the interpreter on a busy machine. */
const PATIENCE = 240;
const PROMPT = /:~# /;

async function boot(cpus: number): Promise<GuestConsole> {
  assert.ok(files);
  const initrd = buildInitrd({ busybox: await files.read('busybox') });
  return GuestConsole.boot({
    kernel: await files.read('kernel'),
    initrd,
    cpus,
    memory: 512 * 2 ** 20,
    append: 'console=ttyS0 panic=-1',
  });
}

test('Linux boots to a shell, runs commands and powers off', { skip }, async () => {
  await using guest = await boot(1);
  await guest.expect(/Linux version 6/, PATIENCE);
  await guest.expect(PROMPT, PATIENCE);
  guest.type('echo answer=$((6 * 7))\n');
  await guest.expect(/answer=42/);
  guest.type("awk 'BEGIN { print 22 / 7 }'\n");
  await guest.expect(/3\.14286/);
  guest.type('sleep 1; echo slept\n');
  await guest.expect(/\nslept/);
  guest.type('poweroff -f\n');
  assert.deepEqual(await guest.finished(), { cause: 'guest-shutdown', code: 0 });
});

test('Linux with two harts runs on both', { skip }, async () => {
  await using guest = await boot(2);
  await guest.expect(/Brought up 1 node, 2 CPUs/, PATIENCE);
  await guest.expect(PROMPT, PATIENCE);
  guest.type('for c in 1 2; do taskset $c sh -c "echo cpu-mask \\$(awk \'{print \\$39}\' /proc/self/stat)"; done\n');
  await guest.expect(/cpu-mask 0[\s\S]*cpu-mask 1/);
  guest.type('poweroff -f\n');
  assert.deepEqual(await guest.finished(), { cause: 'guest-shutdown', code: 0 });
});

test('pause stops time, resume goes on, and memory and registers can be read', { skip }, async () => {
  await using guest = await boot(1);
  await guest.expect(PROMPT, PATIENCE);
  const { machine } = guest;
  await machine.pause();
  assert.equal(machine.state, 'paused');
  const [vcpu] = machine.vcpus;
  const before = vcpu.instructions;
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.equal(vcpu.instructions, before);
  assert.ok(vcpu.readRegister('satp') >> 60n >= 8n);
  // The kernel's image, as its own page tables see it.
  const physical = vcpu.translate(vcpu.readRegister('stvec'));
  assert.ok(physical !== undefined && machine.readMemory(physical, 4));
  assert.equal(machine.readMemory(0x1000, 4), undefined);
  machine.resume();
  guest.type('echo back=$((1 + 1))\n');
  await guest.expect(/back=2/);
});
