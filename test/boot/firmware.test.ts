/** Debian's OpenSBI and U-Boot as `-bios`: M-mode from the reset vector on. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firmwareCatalogue } from '../../src/image/catalogue.ts';
import { GuestConsole, guestFiles } from './guest-console.ts';

const { files, skip } = await guestFiles('riscv64-firmware', firmwareCatalogue);
const file = (name: string) => {
  assert.ok(files);
  return files.read(name);
};

test('OpenSBI prints what it found', { skip }, async () => {
  await using guest = await GuestConsole.boot({ bios: await file('opensbi-jump'), cpus: 2 });
  await guest.expect(/OpenSBI v1\.6/);
  assert.match((await guest.expect(/Platform Name +: (.*)\r/))[1], /riscv-virtio/);
  assert.match((await guest.expect(/Platform HART Count +: (\d+)\s/))[1], /^2$/);
  assert.match((await guest.expect(/Boot HART ISA Extensions +: (.*)\r/))[1], /sstc/);
  await guest.expect(/Boot HART MEDELEG +: 0x/);
});

test('U-Boot in M-mode reaches its prompt and takes commands, and starts over after a reset', {
  skip,
}, async () => {
  await using guest = await GuestConsole.boot({ bios: await file('u-boot'), noReboot: false });
  let resets = 0;
  guest.machine.on('reset', () => resets++);
  await guest.expect(/U-Boot 2025/);
  await guest.expect(/Hit any key/);
  guest.type('\r');
  await guest.expect(/=> /);
  guest.type('mw.l 84000000 12345678 4; md.l 84000000 4\r');
  await guest.expect(/12345678 12345678 12345678 12345678/);
  guest.type('reset\r');
  await guest.expect(/U-Boot 2025/);
  assert.equal(resets, 1);
});

test('OpenSBI starts U-Boot in S-mode, which powers the machine off through the SBI', { skip }, async () => {
  await using guest = await GuestConsole.boot({ bios: await file('opensbi-dynamic'), kernel: await file('u-boot-s') });
  await guest.expect(/OpenSBI v1\.6/);
  await guest.expect(/Hit any key/);
  guest.type('\r');
  await guest.expect(/=> /);
  guest.type('sbi\r');
  await guest.expect(/OpenSBI 1\.6/);
  guest.type('poweroff\r');
  assert.deepEqual(await guest.finished(), { cause: 'guest-shutdown', code: 0 });
});

test('U-Boot in S-mode under the built-in SBI', { skip }, async () => {
  await using guest = await GuestConsole.boot({ kernel: await file('u-boot-s') });
  await guest.expect(/Hit any key/);
  guest.type('\r');
  await guest.expect(/=> /);
  guest.type('sbi\r');
  await guest.expect(/SBI 2\.0/);
  guest.type('reset\r');
  assert.deepEqual(await guest.finished(), { cause: 'guest-reset', code: 0 });
});
