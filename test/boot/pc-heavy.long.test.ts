/** A hypervisor with its first domain inside, and Debian's installer at the serial line. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { guestFiles } from './guest-console.ts';
import { bootPc, cloudLinux, PATIENCE, PROMPT, seabiosRoms, skip as noLinux } from './pc-guest.ts';
import { pcHeavyGuests } from './pc-heavy-guests.ts';

const GIB = 2 ** 30;
const xen = await guestFiles('pc-xen', pcHeavyGuests);
const installer = await guestFiles('pc-installer', pcHeavyGuests);

test('Xen by Multiboot, with Debian as its first domain', { skip: xen.skip ?? noLinux }, async () => {
  assert.ok(xen.files);
  const { initrd } = await cloudLinux();
  assert.ok(initrd);
  await using guest = await bootPc({
    roms: await seabiosRoms(),
    memory: GIB,
    kernel: gunzipSync(await xen.files.read('xen.gz')),
    append: 'com1=115200,8n1 console=com1 dom0_mem=512M loglvl=info',
    modules: [
      { data: await xen.files.read('kernel'), commandLine: 'vmlinuz console=hvc0 earlyprintk=xen' },
      { data: initrd, commandLine: 'initrd' },
    ],
  });
  await guest.expect(/Xen version 4\.17/, PATIENCE);
  await guest.expect(/Dom0 has maximum/, PATIENCE);
  await guest.expect(/Linux version 6/, PATIENCE);
  await guest.expect(PROMPT, PATIENCE);
  guest.type('cat /sys/hypervisor/type /sys/hypervisor/version/minor\r');
  await guest.expect(/\nxen\r+\n17\r/);
  guest.type('poweroff -f\r');
  await guest.expect(/\(XEN\) Entering ACPI S5 state/);
  assert.deepEqual(await guest.finished(), { cause: 'guest-shutdown', code: 0 });
});

test('Debian’s installer on the serial line: two questions answered', { skip: installer.skip ?? noLinux }, async () => {
  assert.ok(installer.files);
  await using guest = await bootPc({
    roms: await seabiosRoms(),
    memory: GIB,
    kernel: await installer.files.read('kernel'),
    initrd: await installer.files.read('initrd.gz'),
    append: 'console=ttyS0',
  });
  await guest.expect(/Select a language/, PATIENCE);
  await guest.expect(/English/, PATIENCE);
  guest.type('\r');
  await guest.expect(/Select your location/, PATIENCE);
  guest.type('\r');
  await guest.expect(/Configure the keyboard/, PATIENCE);
});
