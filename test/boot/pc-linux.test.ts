/** Debian's amd64 kernel on the PC boards: through SeaBIOS, and without firmware. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bootPc, cloudLinux, PATIENCE, PROMPT, seabiosRoms, skip } from './pc-guest.ts';

const ENDED = { cause: 'guest-shutdown', code: 0 };

test('q35: SeaBIOS starts Linux, which gives a shell and powers off through ACPI', { skip }, async () => {
  await using guest = await bootPc({ ...(await cloudLinux()), roms: await seabiosRoms() });
  await guest.expect(/Linux version 6/, PATIENCE);
  await guest.expect(/SMBIOS .* present/);
  await guest.expect(/DMI: .*Q35.*BIOS/);
  await guest.expect(PROMPT, PATIENCE);
  guest.type('echo answer=$((6 * 7))\n');
  await guest.expect(/\nanswer=42/);
  guest.type("awk 'BEGIN { print 22 / 7 }'\n");
  await guest.expect(/\n3\.14286/);
  guest.type('ls -1 /sys/firmware/acpi/tables; sleep 1; echo slept\n');
  await guest.expect(/APIC\s+DSDT\s+FACP\s+FACS\s+HPET\s+MCFG\s[\s\S]*\nslept/);
  guest.type('poweroff -f\n');
  assert.deepEqual(await guest.finished(), ENDED);
});

test('pc with two processors: the second is started by INIT and SIPI, and both take interrupts', { skip }, async () => {
  await using guest = await bootPc({ machine: 'pc', cpus: 2, ...(await cloudLinux()), roms: await seabiosRoms() });
  await guest.expect(/smp: Brought up 1 node, 2 CPUs/, PATIENCE);
  await guest.expect(PROMPT, PATIENCE);
  guest.type('for c in 1 2; do taskset $c sh -c "echo cpu-mask \\$(awk \'{print \\$39}\' /proc/self/stat)"; done\n');
  await guest.expect(/cpu-mask 0[\s\S]*cpu-mask 1/);
  guest.type("awk '/^ *(LOC|CAL|RES)/ { print $1, ($2 > 0), ($3 > 0) }' /proc/interrupts; echo shown\n");
  const [lines] = await guest.expect(/LOC: [\s\S]*\nshown/);
  assert.match(lines, /LOC: 1 1/);
  assert.match(lines, /(RES|CAL): . 1/);
  guest.type('poweroff -f\n');
  assert.deepEqual(await guest.finished(), ENDED);
});

test('microvm: Linux without firmware and PCI has its virtio devices', { skip }, async () => {
  await using guest = await bootPc({
    ...(await cloudLinux()),
    machine: 'microvm',
    memory: 256 * 2 ** 20,
    append: 'console=ttyS0 reboot=t panic=-1',
    devices: [{ driver: 'virtio-rng-device', properties: {} }],
  });
  await guest.expect(PROMPT, PATIENCE);
  // The tables tell of eight slots; the last one has the device. The kernel's driver for them is a module.
  guest.type('ls /sys/bus/platform/devices | grep -c LNRO0005; ls /sys/bus/pci/devices | wc -l\n');
  await guest.expect(/\n8\r\n0\r/);
  guest.type('devmem 0xfeb00e00 32; devmem 0xfeb00e08 32; devmem 0xfeb00c08 32\n');
  await guest.expect(/\n0x74726976\r\n0x00000004\r\n0x00000000\r/);
  guest.type('reboot -f\n');
  assert.deepEqual(await guest.finished(), { cause: 'guest-reset', code: 0 });
});
