/** OVMF as Debian ships it, in flash: to its shell, and Linux through its EFI stub. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { firmwareCatalogue } from '../../src/image/catalogue.ts';
import type { DriveConfig } from '../../src/machine/config.ts';
import { MemoryDisk } from '../../src/storage/memory.ts';
import { guestFiles } from './guest-console.ts';
import { bootPc, cloudLinux, PATIENCE, PROMPT, seabiosRoms, skip as linuxSkip } from './pc-guest.ts';

const { files, skip: uefiSkip } = await guestFiles('pc-uefi', firmwareCatalogue);
const skip = uefiSkip ?? linuxSkip;

/** Code that cannot be written, and variables. */
async function flash(name = 'OVMF_CODE_4M.fd'): Promise<DriveConfig[]> {
  assert.ok(files);
  const code = new MemoryDisk(await files.read(name), { readOnly: true });
  const variables = new MemoryDisk(await files.read('OVMF_VARS_4M.fd'));
  return [
    { id: 'code', disk: code, interface: 'pflash' },
    { id: 'variables', disk: variables, interface: 'pflash' },
  ];
}

test('OVMF reaches its shell, takes commands and powers off', { skip }, async () => {
  await using guest = await bootPc({ drives: await flash(), memory: 256 * 2 ** 20, roms: await seabiosRoms() });
  await guest.expect(/UEFI Interactive Shell/, PATIENCE);
  await guest.expect(/Shell> /, PATIENCE);
  guest.type('ver\r');
  await guest.expect(/UEFI v2\.\d+ \(EDK II/);
  await guest.expect(/Shell> /);
  guest.type('reset -s\r');
  assert.deepEqual(await guest.finished(), { cause: 'guest-shutdown', code: 0 });
});

test('OVMF with system management mode, two processors and flash of the mode alone reaches its shell', {
  skip,
}, async () => {
  await using guest = await bootPc({
    drives: await flash('OVMF_CODE_4M.secboot.fd'),
    memory: 256 * 2 ** 20,
    cpus: 2,
    roms: await seabiosRoms(),
    machineProperties: { smm: 'on', 'pflash-secure': 'on' },
  });
  await guest.expect(/Shell> /, PATIENCE);
  guest.type('reset -s\r');
  assert.deepEqual(await guest.finished(), { cause: 'guest-shutdown', code: 0 });
});

test('OVMF starts Linux, which knows its runtime services', { skip }, async () => {
  await using guest = await bootPc({ ...(await cloudLinux()), drives: await flash(), roms: await seabiosRoms() });
  await guest.expect(/efi: EFI v2\.\d+ by /, PATIENCE);
  await guest.expect(PROMPT, PATIENCE);
  guest.type('ls -d /sys/firmware/efi/runtime; poweroff -f\n');
  await guest.expect(/\n\/sys\/firmware\/efi\/runtime/);
  assert.deepEqual(await guest.finished(), { cause: 'guest-shutdown', code: 0 });
});
