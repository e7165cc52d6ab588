import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SystemPlan } from './options-plan.ts';
import { OptionError } from './options-values.ts';
import { answer } from './qemu-help.ts';
import { firmwareNames } from './qemu-firmware.ts';
import { parseSystem } from './qemu-system.ts';

const context = { target: 'x86_64', readText: () => '' };
/** Words, split at spaces; `~` stands for a space inside a word. */
const words = (line: string) => (line === '' ? [] : line.split(' ').map((word) => word.replaceAll('~', ' ')));

function plan(line: string, target = 'x86_64'): SystemPlan {
  const parsed = parseSystem(words(line), { ...context, target });
  assert.ok('plan' in parsed, 'a plan, not a request');
  return parsed.plan;
}

const SER = '-display none -serial stdio -monitor none';
/** Command lines that real guests are started with, and what they decide. */
const PLANS: [line: string, part: object][] = [
  ['', { machine: 'pc', cpu: { model: 'qemu64', features: {} }, memory: 2 ** 27, defaults: true, bios: 'default' }],
  [
    `-M q35 -m 512 ${SER} -no-reboot -kernel vmlinuz -initrd rd -append console=ttyS0~panic=-1`,
    { machine: 'q35', kernel: 'vmlinuz', noReboot: true },
  ],
  ['-M pc -vga std -m 1536 -display none -serial null -monitor none', { vga: 'std', machine: 'pc' }],
  [
    '-M pc -m 128 -display none -serial null -monitor none -cdrom x.iso -boot d',
    { boot: { order: 'd', menu: undefined, splashTime: undefined, rebootTimeout: undefined } },
  ],
  [
    `-M microvm,pit=on,pic=on,rtc=on -m 256 ${SER} -nodefaults -no-reboot -kernel k -device virtio-rng-device`,
    { machine: 'microvm', machineProperties: { pit: 'on', pic: 'on', rtc: 'on' }, defaults: false },
  ],
  [`-M pc -m 512 ${SER} -no-reboot -bios u-boot.rom`, { bios: { file: 'u-boot.rom' } }],
  [
    '-M pc-i440fx-7.2 -cpu qemu64,+avx,-nx,level=7,sse4_2',
    {
      machine: 'pc-i440fx-7.2',
      cpu: { model: 'qemu64', features: { avx: true, nx: false, level: '7', 'sse4-2': true } },
    },
  ],
  ['-M pc-i440fx-6.0', { machine: 'pc' }],
  [
    '-M q35,smm=on -global driver=cfi.pflash01,property=secure,value=on -global ICH9-LPC.disable_s3=1',
    { machineProperties: { smm: 'on', 'pflash-secure': 'on', 'disable-s3': 'on' } },
  ],
  ['-M q35 -no-acpi -no-hpet -smp 4', { machineProperties: { acpi: 'off', hpet: 'off' }, cpus: 4 }],
  ['-parallel null -debugcon file:x', { parallels: ['parallel0'], debugcon: 'debugcon' }],
  ['-option-rom a.rom -nographic', { optionRoms: ['a.rom'], graphic: false }],
  [
    '-boot order=cd,menu=on,splash-time=100,reboot-timeout=-1',
    { boot: { order: 'cd', menu: true, splashTime: 100, rebootTimeout: -1 } },
  ],
];

for (const [line, part] of PLANS)
  test(`x86 plan of ${JSON.stringify(line)}`, () => {
    const made = plan(line) as unknown as Record<string, unknown>;
    for (const [key, value] of Object.entries(part)) assert.deepEqual(made[key], value, key);
  });

test('i386 has a processor of its own', () => {
  assert.equal(plan('', 'i386').cpu.model, 'qemu32');
  assert.equal(plan('-M isapc -cpu 486 -m 32 -net none', 'i386').cpu.model, '486');
});

test('drives go to the bays that QEMU gives them', () => {
  const of = (line: string) =>
    plan(line).drives.map(({ id, interface: type, index, cdrom }) => [id, type, index, cdrom ?? false]);
  assert.deepEqual(of('-hda a -hdb b -cdrom c -fda f'), [
    ['ide0-hd0', 'ide', 0, false],
    ['ide0-hd1', 'ide', 1, false],
    ['ide1-cd0', 'ide', 2, true],
    ['floppy0', 'floppy', 0, false],
  ]);
  assert.deepEqual(of('disk.img'), [['ide0-hd0', 'ide', 0, false]]);
  assert.deepEqual(of('-drive file=x,format=raw'), [['ide0', 'ide', undefined, false]]);
  assert.deepEqual(of('-drive if=floppy,format=raw,file=f -drive if=virtio,file=v,media=cdrom'), [
    ['floppy0', 'floppy', undefined, false],
    ['virtio0', 'virtio', undefined, true],
  ]);
  assert.deepEqual(of('-M microvm -drive file=x'), [['virtio0', 'virtio', undefined, false]]);
  assert.throws(() => plan('-hda a -drive file=b,index=0'), /index=0\) exists/);
  assert.throws(() => plan('-M microvm -cdrom x'), OptionError);
  assert.throws(() => plan('-drive if=scsi,file=x'), /no 'scsi' drives/);
});

test('devices by transport', () => {
  const of = (line: string) => plan(line).devices.map(({ driver }) => driver);
  assert.deepEqual(
    of('-device virtio-rng-pci -device virtio-serial -chardev null,id=c -device virtconsole,chardev=c'),
    ['virtio-rng-pci', 'virtio-serial-pci', 'virtconsole'],
  );
  assert.deepEqual(of('-drive if=none,id=d,file=x -device ide-hd,drive=d,bus=ide.0,unit=1,bootindex=1'), ['ide-hd']);
  assert.deepEqual(of('-nic none -net none -device e1000,mac=52:54:00:1:2:3 -device virtio-net -device ne2k_isa'), [
    'e1000',
    'virtio-net-pci',
    'ne2k_isa',
  ]);
  assert.deepEqual(of('-M q35'), []);
  assert.throws(() => plan('-device rtl8139,netdev=n'), /networking is not there yet/);
  assert.throws(() => plan('-device virtio-blk-pci'), /drive property not set/);
  assert.throws(() => plan('-M microvm -device VGA'), OptionError);
});

test('what is not there is said', () => {
  for (const line of [
    '-M xenfv',
    '-M nonesuch',
    '-vga cirrus',
    '-netdev user,id=n',
    '-M pc,foo=on',
    '-boot foo=1',
    '-smp 256',
  ])
    assert.throws(() => plan(line), OptionError, line);
});

test('lists and firmware by board', () => {
  const text = (topic: 'machine' | 'device' | 'cpu') => answer({ kind: 'list', topic }, 'p', '0', 'x86_64');
  assert.match(text('machine'), /^q35 +Standard PC \(Q35 \+ ICH9, 2009\)/m);
  assert.match(text('device'), /virtio-blk-pci/);
  const processors = text('cpu');
  assert.match(processors, /^x86 qemu64 {16}\(alias configured by machine type\)$/m);
  assert.match(processors, /^x86 Broadwell-noTSX {7}\(alias of Broadwell-v2\)$/m);
  assert.match(processors, /^x86 Penryn-v1 {13}Intel Core 2 Duo P9xxx \(Penryn Class Core 2\)$/m);
  assert.match(processors, /^x86 max {19}Enables all features/m);
  assert.match(processors, /\n\nRecognized CPUID flags:\n(?: .{1,74}\n)*.* avx512f\s/);
  assert.deepEqual(firmwareNames(plan('')), ['bios-256k.bin', 'vgabios-stdvga.bin']);
  assert.deepEqual(firmwareNames(plan('-M isapc')), ['bios.bin', 'vgabios.bin']);
  assert.deepEqual(firmwareNames(plan('-M q35 -vga none -drive if=pflash,file=x')), []);
  assert.deepEqual(firmwareNames(plan('-M microvm -kernel k')), []);
});
