/** What the x86 targets take where the RISC-V one takes something else: boards, processors, devices. */
import type { CpuConfig } from '../machine/config.ts';
import { IOMMU_DRIVER, IOMMU_PROPERTIES } from '../machine/pc-iommu.ts';
import { PC_NAMES } from '../machine/pc-names.ts';
import type { BoardChoice } from './options-board.ts';
import { DEVICES, type DeviceTable, NIC_PROPERTIES } from './options-device.ts';
import type { OptionRow } from './options-table.ts';
import { OptionError, Params, refuse, splitCommas } from './options-values.ts';

/** Properties of boards and what they do; those of `microvm` are refused by the others, as in QEMU. */
export const X86_MACHINE_PROPERTIES: Readonly<Record<string, string>> = {
  acpi: 'on|off|auto: ACPI tables (default on)',
  hpet: 'on|off: the high precision event timer (default on; pc and q35)',
  pic: 'on|off|auto: the 8259 pair (default on; microvm)',
  pit: 'on|off|auto: the 8254 (default on; microvm)',
  rtc: 'on|off|auto: the MC146818 (default on; microvm)',
  'isa-serial': 'on|off: the serial port (default on; microvm)',
  smm: 'on|off|auto: system management mode (default: on but under KVM)',
};
/** Known to QEMU, and the same thing as leaving them out. */
const WITHOUT_EFFECT = [
  ...['dump-guest-core', 'mem-merge', 'usb', 'graphics', 'suppress-vmdesc', 'nvdimm', 'hmat', 'vmport', 'i8042'],
  ...['sata', 'smbus', 'max-ram-below-4g', 'max-fw-size', 'smbios-entry-point-type'],
  ...['x-oem-id', 'x-oem-table-id', 'default-bus-bypass-iommu', 'bus-lock-ratelimit', 'auto-kernel-cmdline', 'pcie'],
  ...['ioapic2', 'x-option-roms', 'option-roms', 'phandle-start'],
];

/** The board that a `-machine` names; other boards of QEMU are refused by name. */
export function parseX86Machine(where: string, text: string, into: BoardChoice): void {
  const params = Params.parse(where, text, 'type');
  const type = params.text('type');
  if (type !== undefined) {
    if (type === 'none' || type === 'xenfv' || type === 'xenpv' || /^xenfv-/.test(type))
      refuse(where, `the board '${type}' is not there`, 'use -M pc, q35, microvm or isapc');
    const known = Object.hasOwn(PC_NAMES, type) ? type : /^pc-(i440fx|q35)-\d+\.\d+$/.exec(type)?.[1];
    if (known === undefined) throw new OptionError(where, 'unsupported machine type', '-machine help lists them');
    into.machine = known === 'i440fx' ? 'pc' : known;
  }
  into.accel = params.text('accel') ?? into.accel;
  for (const key of ['kernel-irqchip', 'kernel_irqchip'])
    into.kernelIrqchip = params.word(key, 'on', 'split', 'off') ?? into.kernelIrqchip;
  for (const key of ['kernel', 'initrd', 'append', 'dtb', 'firmware']) {
    const value = params.text(key);
    if (value !== undefined) into.boot[key] = value;
  }
  for (const key of ['pflash0', 'pflash1', 'memory-backend', 'confidential-guest-support'])
    if (params.has(key)) refuse(where, `${key} is not there yet`, 'leave it out');
  for (const key of Object.keys(X86_MACHINE_PROPERTIES)) {
    const value = params.word(key, 'on', 'off', 'auto', 'true', 'false', 'yes', 'no');
    if (value !== undefined)
      into.properties[key] = value === 'auto' ? 'auto' : /^(on|true|yes)$/.test(value) ? 'on' : 'off';
  }
  params.ignore(...WITHOUT_EFFECT);
  const [unknown] = params.rest();
  if (unknown)
    throw new OptionError(
      where,
      `Property '${into.machine}-machine.${unknown[0]}' not found`,
      '-machine help lists them',
    );
}

/** `-cpu model,+feature,-feature,feature=value`: which there are is the processor's to say. */
export function parseX86Cpu(where: string, text: string): CpuConfig {
  const [model, ...flags] = splitCommas(text);
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(model))
    throw new OptionError(where, `unable to find CPU model '${model}'`, '-cpu help lists them');
  const features: Record<string, boolean | string> = {};
  for (const flag of flags) {
    if (flag === '') continue;
    const equals = flag.indexOf('=');
    const name = (equals < 0 ? flag.replace(/^[+-]/, '') : flag.slice(0, equals)).replaceAll('_', '-').toLowerCase();
    const value = equals < 0 ? (flag.startsWith('-') ? 'off' : 'on') : flag.slice(equals + 1);
    features[name] = /^(on|yes|true)$/.test(value) ? true : /^(off|no|false)$/.test(value) ? false : value;
  }
  return { model, features };
}

/** Options that the x86 targets take beside or instead of those of all targets. */
export const X86_OPTIONS: Readonly<Record<string, OptionRow>> = {
  ...Object.fromEntries(
    ['fda', 'fdb', 'hda', 'hdb', 'hdc', 'hdd', 'cdrom', 'debugcon', 'option-rom', 'smbios'].map((name) => [
      name,
      { argument: true },
    ]),
  ),
  ...Object.fromEntries(
    ['no-acpi', 'no-hpet', 'no-fd-bootchk', 'win2k-hack'].map((name) => [name, { argument: false }]),
  ),
};

const TRANSPORT = ['addr', 'multifunction', 'romfile', 'rombar', 'disable-legacy', 'disable-modern', 'vectors', 'ats'];
const DISK = ['drive', 'serial', 'bootindex', 'logical_block_size', 'physical_block_size', 'share-rw', 'write-cache'];
const onPci = (about: string, properties: readonly string[]) => ({
  about,
  properties: [...TRANSPORT, 'page-per-vq', 'iommu_platform', ...properties],
});
const blk = onPci('block device (drive=ID of a -drive)', [
  ...DISK,
  ...['queue-size', 'num-queues', 'config-wce', 'seg-max-adjust', 'seg-max', 'discard', 'write-zeroes'],
  'request-merging',
]);
const rng = onPci('random numbers from the host', ['rng', 'max-bytes', 'period']);
const net = onPci('network card', NIC_PROPERTIES);
const serial = onPci('bus of virtio consoles and ports', ['max_ports', 'emergency-write']);
const ways = (name: string, device: DeviceTable[string]): DeviceTable =>
  Object.fromEntries(['-pci', '-pci-transitional', '-pci-non-transitional'].map((way) => [name + way, device]));

export const X86_DEVICES: DeviceTable = {
  ...ways('virtio-blk', blk),
  ...ways('virtio-rng', rng),
  ...ways('virtio-net', net),
  ...ways('virtio-serial', serial),
  e1000: { about: 'network card, Intel 82540EM', properties: [...TRANSPORT, ...NIC_PROPERTIES] },
  rtl8139: { about: 'network card, Realtek RTL8139C+', properties: [...TRANSPORT, ...NIC_PROPERTIES] },
  ne2k_pci: { about: 'network card, NE2000 on PCI', properties: [...TRANSPORT, ...NIC_PROPERTIES] },
  ne2k_isa: { about: 'network card, NE2000 on ISA', properties: ['iobase', 'irq', ...NIC_PROPERTIES] },
  virtconsole: DEVICES['virtconsole'],
  virtserialport: DEVICES['virtserialport'],
  'ide-hd': {
    about: 'hard disk on the IDE or AHCI controller (drive=ID)',
    properties: [...DISK, 'unit', 'model', 'ver', 'wwn'],
  },
  'ide-cd': {
    about: 'CD-ROM on the IDE or AHCI controller (drive=ID)',
    properties: [...DISK, 'unit', 'model', 'ver', 'wwn'],
  },
  'isa-debug-exit': {
    about: 'ends the emulator with the code that the guest writes',
    properties: ['iobase', 'iosize'],
  },
  'isa-debugcon': {
    about: 'what the guest writes to a port goes to a chardev',
    properties: ['iobase', 'readback', 'chardev'],
  },
  'pc-testdev': { about: 'ports, memory and interrupt lines for test programs', properties: [] },
  pvpanic: { about: 'the guest tells of its panics', properties: ['ioport', 'events'] },
  nvme: { about: 'NVMe disk (drive=ID,serial=TEXT)', properties: [...TRANSPORT, ...DISK] },
  edu: { about: 'educational device: factorials, DMA, interrupts', properties: ['addr', 'dma_mask', 'multifunction'] },
  [IOMMU_DRIVER]: { about: 'IOMMU of q35 (VT-d): DMA and interrupt remapping', properties: IOMMU_PROPERTIES },
  VGA: { about: 'standard VGA', properties: [...TRANSPORT, 'vgamem_mb', 'edid', 'xres', 'yres', 'xmax', 'ymax'] },
};
export const X86_ALIASES: Readonly<Record<string, string>> = {
  'virtio-blk': 'virtio-blk-pci',
  'virtio-rng': 'virtio-rng-pci',
  'virtio-net': 'virtio-net-pci',
  'virtio-serial': 'virtio-serial-pci',
  'ide-drive': 'ide-hd',
};

/** What a `-boot` says. */
export function parseBoot(where: string, text: string) {
  const params = Params.parse(where, text, 'order');
  const order = params.text('once') ?? params.text('order');
  params.ignore('order');
  if (order !== undefined && !/^[a-p]*$/.test(order))
    throw new OptionError(where, `Invalid boot device for '${order}'`);
  const menu = params.onOff('menu');
  const splashTime = params.number('splash-time', 0, 0xffff);
  const timeout = params.text('reboot-timeout');
  const rebootTimeout = timeout === undefined ? undefined : Number(timeout);
  if (
    rebootTimeout !== undefined &&
    !(Number.isInteger(rebootTimeout) && rebootTimeout >= -1 && rebootTimeout <= 0xffff)
  )
    throw new OptionError(where, 'reboot timeout is invalid', 'it should be a value between -1 and 65535');
  params.ignore('splash', 'strict');
  const [unknown] = params.rest();
  if (unknown) throw new OptionError(where, `Parameter 'boot.${unknown[0]}' is unexpected`);
  return { order, menu, splashTime, rebootTimeout };
}
