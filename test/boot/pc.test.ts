/** PCs: SeaBIOS, U-Boot instead of it, GNU Mach by Multiboot, and GRUB from floppy disk and CD. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import type { Disk } from '../../src/hw/disk.ts';
import { firmwareCatalogue } from '../../src/image/catalogue.ts';
import type { DriveConfig, MachineConfig } from '../../src/machine/config.ts';
import { GuestConsole, guestFiles } from './guest-console.ts';
import { pcGuests } from './pc-guests.ts';

const MIB = 2 ** 20;
const FLOPPY = 1440 * 1024;
const firmware = await guestFiles('pc-firmware', firmwareCatalogue);
const guests = await guestFiles('pc-test-guests', pcGuests);
const skip = firmware.skip ?? guests.skip;
const file = (name: string) => {
  assert.ok(guests.files);
  return guests.files.read(name);
};

async function boot(config: Partial<MachineConfig>): Promise<GuestConsole> {
  const roms: Record<string, Uint8Array> = {};
  assert.ok(firmware.files);
  for (const name of ['bios-256k.bin', 'bios.bin', 'vgabios-stdvga.bin', 'vgabios.bin'])
    roms[name] = await firmware.files.read(name);
  return GuestConsole.boot({
    machine: 'pc',
    cpu: { model: 'qemu64', features: {} },
    memory: 64 * MIB,
    roms,
    ...config,
  });
}

/** A drive with `image` in it, and nothing behind that up to `size`. */
function drive(type: 'floppy' | 'ide', image: Uint8Array, size = image.length): DriveConfig {
  const content = new Uint8Array(size);
  content.set(image);
  const disk: Disk = {
    size,
    readOnly: true,
    read: async (offset, into) => into.set(content.subarray(offset, offset + into.length)),
    write: async () => {},
    flush: async () => {},
    close: async () => {},
  };
  return { id: type, disk, interface: type, index: type === 'ide' ? 2 : 0, cdrom: type === 'ide' };
}

test('SeaBIOS finds nothing to boot and says so', { skip: firmware.skip }, async () => {
  await using guest = await boot({});
  await guest.screen(/SeaBIOS \(version 1\.16\.2/);
  await guest.screen(/No bootable device/);
});

test('U-Boot for x86-64 instead of a BIOS, from 16 bits to 64', { skip }, async () => {
  await using guest = await boot({ bios: await file('u-boot-x86_64'), memory: 512 * MIB });
  await guest.expect(/U-Boot SPL/);
  await guest.expect(/Hit any key|=> /);
  guest.type('\r');
  await guest.expect(/=> /);
  guest.type('pci\r');
  await guest.expect(/00\.00\.00\s+0x8086\s+0x1237/);
  guest.type('reset\r');
  assert.deepEqual(await guest.finished(), { cause: 'guest-reset', code: 0 });
});

test('U-Boot for 32 bits, which calls the video BIOS', { skip }, async () => {
  await using guest = await boot({
    bios: await file('u-boot-x86'),
    cpu: { model: 'qemu32', features: {} },
    memory: 512 * MIB,
  });
  await guest.expect(/U-Boot 2023/);
  await guest.expect(/Video: +1024x768/);
  await guest.expect(/Hit any key|=> /);
  guest.type('\r');
  await guest.expect(/=> /);
  guest.type('bdinfo\r');
  await guest.expect(/=> /);
});

test('GNU Mach by Multiboot on a Pentium II, until it misses its servers', { skip }, async () => {
  await using guest = await boot({
    kernel: new Uint8Array(gunzipSync(await file('gnumach.gz'))),
    append: 'console=com0',
    cpu: { model: 'pentium2', features: {} },
  });
  await guest.expect(/GNU Mach 1\.8/);
  await guest.expect(/PIIX3/);
  await guest.expect(/fd0 is/);
  await guest.expect(/No bootstrap code loaded/);
});

test('GRUB 0.97 from a floppy disk with nothing but itself', { skip }, async () => {
  const image = Buffer.concat([await file('stage1'), await file('stage2')]);
  await using guest = await boot({ memory: 16 * MIB, drives: [drive('floppy', image, FLOPPY)], boot: { order: 'a' } });
  await guest.screen(/GRUB {2}version 0\.97[\s\S]*grub>/);
  await guest.press('displaymem\n');
  await guest.screen(/Usable RAM[\s\S]*0xf/);
});

test('GRUB 2 from a floppy disk on a 486 without PCI', { skip }, async () => {
  await using guest = await boot({
    machine: 'isapc',
    cpu: { model: '486', features: {} },
    memory: 32 * MIB,
    drives: [drive('floppy', await file('grub-floppy'), FLOPPY)],
    boot: { order: 'a' },
  });
  await guest.screen(/GNU GRUB {2}version 2\.06/);
  await guest.press('c');
  await guest.screen(/grub>/);
  await guest.press('ls\n');
  await guest.screen(/\(fd0\)/);
});

test('GRUB 2 from a CD, which lists the PCI devices', { skip }, async () => {
  await using guest = await boot({ drives: [drive('ide', await file('grub-cdrom'))], boot: { order: 'd' } });
  await guest.screen(/GNU GRUB {2}version 2\.06/);
  await guest.press('c');
  await guest.screen(/grub>/);
  await guest.press('lspci\n');
  await guest.screen(/8086:1237/);
});
