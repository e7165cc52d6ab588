/** `-device`, `-object`, `-netdev` and `-global`: what is there, what is known to QEMU, and what is neither. */
import type { DeviceConfig } from '../machine/config.ts';
import { OptionError, Params, refuse } from './options-values.ts';

export type DeviceTable = Readonly<Record<string, { readonly about: string; readonly properties: readonly string[] }>>;

/** Of every network card. */
export const NIC_PROPERTIES: readonly string[] = ['mac', 'netdev', 'bootindex'];

/** The devices that can be added where the only bus is virtio-mmio, with the properties they take (beside `id` and `bus`). */
export const DEVICES: DeviceTable = {
  'virtio-blk-device': {
    about: 'block device (drive=ID of a -drive)',
    properties: [
      'drive',
      'serial',
      'bootindex',
      'queue-size',
      'num-queues',
      'config-wce',
      'write-cache',
      'seg-max-adjust',
      'seg-max',
      'discard',
      'write-zeroes',
      'share-rw',
      'logical_block_size',
      'physical_block_size',
      'request-merging',
    ],
  },
  'virtio-rng-device': { about: 'random numbers from the host', properties: ['rng', 'max-bytes', 'period'] },
  'virtio-net-device': { about: 'network card', properties: NIC_PROPERTIES },
  'virtio-serial-device': { about: 'bus of virtio consoles and ports', properties: ['max_ports', 'emergency-write'] },
  virtconsole: { about: 'console on a virtio-serial-device (chardev=ID)', properties: ['chardev', 'name', 'nr'] },
  virtserialport: {
    about: 'named port on a virtio-serial-device (chardev=ID,name=NAME)',
    properties: ['chardev', 'name', 'nr'],
  },
};

/** Names without a bus; the only bus is virtio-mmio. */
export const VIRTIO_MMIO_ALIASES: Readonly<Record<string, string>> = {
  'virtio-blk': 'virtio-blk-device',
  'virtio-net': 'virtio-net-device',
  'virtio-rng': 'virtio-rng-device',
  'virtio-serial': 'virtio-serial-device',
};

/** Properties of every virtio device that name a default of ours or a way we always go. */
const VIRTIO_COMMON = [
  'indirect_desc',
  'event_idx',
  'notify_on_empty',
  'any_layout',
  'iommu_platform',
  'packed',
  'use-started',
  'use-disabled-flag',
  'x-disable-legacy-check',
];

/** Drivers that QEMU has: a pattern, why it is not here, and the nearest thing. */
const KNOWN: readonly (readonly [RegExp, string, string])[] = [
  [
    /^(e1000|rtl8139|igb|vmxnet3|ne2k_|pcnet|tulip|i8255|i8259|usb-net)/,
    'this network card is not there',
    '-device help lists those that are',
  ],
  [
    /^virtio-(blk|rng|net|serial)-pci(-(non-)?transitional)?$/,
    'PCI is not there yet',
    'use virtio-KIND-device, on virtio-mmio',
  ],
  [
    /^(virtio-scsi|scsi-|ide-|ahci|ich9-ahci|nvme|sdhci|sd-card|floppy|megasas|mptsas|lsi|am53c974|vhost-user-blk|usb-storage)/,
    'only virtio disks are there',
    'use virtio-blk-device,drive=ID',
  ],
  [
    /^(virtio-gpu|virtio-vga|VGA|bochs-display|ramfb|cirrus|qxl|secondary-vga|ati-vga|vmware-svga)/,
    'there are no displays yet',
    'use -nographic',
  ],
  [
    /^(virtio-(keyboard|mouse|tablet|input|multitouch)|usb-(kbd|mouse|tablet|wacom))/,
    'there are no displays yet',
    'use -nographic',
  ],
  [/^(usb-|qemu-xhci|nec-usb|piix[34]-usb|ich9-usb|pci-ohci)/, 'there is no USB controller yet', 'use virtio devices'],
  [
    /^(AC97|ES1370|intel-hda|ich9-intel-hda|hda-|sb16|cs4231a|gus|adlib|virtio-snd)/,
    'there are no sound cards',
    'leave it out',
  ],
  [
    /^(pcie-|pci-|ioh3420|x3130|xio3130|i82801b11|pxb|vfio-|ivshmem|edu$|pvpanic|watchdog|i6300esb|ib700)/,
    'PCI is not there yet',
    'use the devices on virtio-mmio (-device help)',
  ],
  [
    /^(virtio-(balloon|9p|crypto|iommu|mem|pmem|vsock)|vhost-)/,
    'this virtio device is not there yet',
    '-device help lists those that are',
  ],
  [/^(loader|generic-loader|guest-loader)$/, 'is not there yet', 'use -bios, -kernel or -initrd'],
  [
    /^(tpm-|ipmi-|isa-|ccid-|u2f-|pc-dimm|nvdimm|amd-iommu|intel-iommu|rocker|tpci200|vmcoreinfo|vmgenid)/,
    'there is no bus for it on this board',
    'leave it out',
  ],
  [/-riscv-cpu$/, 'processors cannot be plugged in', 'use -smp N'],
];

export interface DeviceChoice {
  readonly table: DeviceTable;
  readonly aliases: Readonly<Record<string, string>>;
}

/** One `-device`; `ids` holds those already taken. */
export function parseDevice(where: string, text: string, ids: Set<string>, choice: DeviceChoice): DeviceConfig {
  const params = Params.parse(where, text, 'driver');
  const named = params.text('driver') ?? '';
  const { table, aliases } = choice;
  const driver = Object.hasOwn(aliases, named) ? aliases[named] : named;
  const device = Object.hasOwn(table, driver) ? table[driver] : undefined;
  if (!device) {
    for (const [pattern, what, mend] of KNOWN)
      if (pattern.test(driver)) refuse(where, what, mend.replace('KIND', driver.split('-')[1]));
    throw new OptionError(where, `'${driver}' is not a valid device model name`, '-device help lists them');
  }
  const id = params.text('id');
  if (id !== undefined) {
    if (ids.has(id)) throw new OptionError(where, `Duplicate device ID '${id}'`);
    ids.add(id);
  }
  const properties: Record<string, string> = {};
  const virtio = driver.startsWith('virtio-');
  for (const [key, value] of params.rest()) {
    if (key === 'bus' || device.properties.includes(key) || (virtio && VIRTIO_COMMON.includes(key)))
      properties[key] = value;
    else throw new OptionError(where, `Property '${driver}.${key}' not found`, `-device ${driver},help lists them`);
  }
  if (properties.netdev !== undefined && device.properties.includes('netdev'))
    refuse(where, `Property '${driver}.netdev': networking is not there yet`, 'leave netdev out');
  if (/^(virtio-blk-|ide-hd|nvme)/.test(driver) && !properties.drive)
    throw new OptionError(where, 'drive property not set');
  if (driver === 'virtserialport' && !properties.name && !properties.chardev) properties.name = '';
  return { driver, id, properties };
}

/** One `-object`: host entropy is the only kind that has a use here. */
export function parseObject(where: string, text: string): { readonly id: string } {
  const params = Params.parse(where, text, 'qom-type');
  const type = params.text('qom-type') ?? '';
  const id = params.text('id');
  if (type === 'rng-random') {
    const file = params.text('filename') ?? '/dev/urandom';
    if (!['/dev/urandom', '/dev/random', '/dev/hwrng'].includes(file))
      refuse(where, `random numbers do not come from '${file}'`, 'use /dev/urandom');
  } else if (type.startsWith('memory-backend-'))
    refuse(where, 'guest memory has no back ends yet', 'use -m SIZE alone');
  else if (type === 'iothread' || type === 'throttle-group')
    refuse(where, `'${type}' is not there yet`, 'leave it out');
  else if (
    /^(secret|tls-|authz-|cryptodev-|filter-|can-|colo-|dbus-|input-|pr-manager|qtest|rng-egd|sev|x-|main-loop)/.test(
      type,
    )
  )
    refuse(where, `'${type}' objects are not there`, 'leave it out');
  else if (type !== 'rng-builtin')
    throw new OptionError(where, `invalid object type: ${type}`, '-object help lists them');
  if (!id) throw new OptionError(where, "Parameter 'id' is missing");
  params.finish();
  return { id };
}

const NETDEVS = [
  'user',
  'tap',
  'bridge',
  'l2tpv3',
  'socket',
  'stream',
  'dgram',
  'vde',
  'vhost-user',
  'vhost-vdpa',
  'hubport',
  'netmap',
  'af-xdp',
  'passt',
];

/** -netdev, -nic and -net: only their `none` is there. */
export function parseNetwork(where: string, name: string, text: string): void {
  const params = Params.parse(where, text, 'type');
  const type = params.text('type') ?? '';
  if (type === 'none' && name !== 'netdev') return;
  if (!NETDEVS.includes(type) && !(name === 'net' && type === 'nic') && !(name === 'nic' && params.has('model')))
    throw new OptionError(where, `Parameter 'type' does not accept value '${type}'`);
  if (name === 'netdev' && !params.text('id')) throw new OptionError(where, "Parameter 'id' is missing");
  refuse(where, 'networking is not there yet', 'leave it out; the guest then has no network');
}

export interface GlobalProperty {
  readonly driver: string;
  readonly property: string;
  readonly value: string;
}

/** One `-global driver.property=value`. */
export function parseGlobal(where: string, text: string): GlobalProperty {
  const match = /^([^.=,]+)\.([^=]+)=(.*)$/s.exec(text);
  if (match) return { driver: match[1], property: match[2], value: match[3] };
  const params = Params.parse(where, text);
  const [driver, property, value] = ['driver', 'property', 'value'].map((key) => params.text(key));
  if (!driver || !property || value === undefined) throw new OptionError(where, 'is not driver.property=value');
  params.finish();
  return { driver, property, value };
}

/** Properties of what is part of the board, as properties of the board. */
const BOARD_PROPERTIES: Readonly<Record<string, string>> = {
  'virtio-mmio.force-legacy': 'force-legacy',
  'cfi.pflash01.secure': 'pflash-secure',
  'ICH9-LPC.disable_s3': 'disable-s3',
  'ICH9-LPC.disable_s4': 'disable-s4',
  'PIIX4_PM.disable_s3': 'disable-s3',
  'PIIX4_PM.disable_s4': 'disable-s4',
};
export const boardProperty = (global: string): string | undefined =>
  Object.hasOwn(BOARD_PROPERTIES, global) ? BOARD_PROPERTIES[global] : undefined;

/** Gives the devices the properties that `-global` asks for and they do not name themselves; returns those without a taker. */
export function applyGlobals(
  devices: readonly DeviceConfig[],
  globals: readonly GlobalProperty[],
): { devices: DeviceConfig[]; unused: GlobalProperty[] } {
  const used = new Set<GlobalProperty>();
  const applied = devices.map((device) => {
    const properties: Record<string, string> = { ...device.properties };
    for (const global of globals) {
      if (global.driver !== device.driver) continue;
      used.add(global);
      if (!(global.property in device.properties)) properties[global.property] = global.value;
    }
    return { ...device, properties };
  });
  return { devices: applied, unused: globals.filter((global) => !used.has(global)) };
}
