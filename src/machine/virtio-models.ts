/**
 * The virtio devices that `-device` and `-drive if=virtio` name, whatever
 * transport they sit behind: `virtio-blk-device`, `virtio-blk-pci`, ...
 */
import { ConfigError } from '../bits/errors.ts';
import { VirtioBlk } from '../devices/virtio-blk/virtio-blk.ts';
import { type ConsolePort, VirtioConsole } from '../devices/virtio-console/virtio-console.ts';
import { VirtioNet } from '../devices/virtio-net/virtio-net.ts';
import { VirtioRng } from '../devices/virtio-rng/virtio-rng.ts';
import type { Wiring } from '../hw/device.ts';
import type { Disk } from '../hw/disk.ts';
import type { VirtioDevice } from '../hw/virtio.ts';
import type { DeviceConfig, DriveConfig, MachineConfig } from './config.ts';
import { nicOf } from './nics.ts';

/** What a device model is built from. */
export interface ModelContext {
  readonly config: MachineConfig;
  readonly wiring: Wiring;
  /** Unique in the machine: its id, or the driver with a number. */
  readonly name: string;
  readonly random: (into: Uint8Array) => void;
}
/** Makes a virtio device from one `-device`. Throws ConfigError. */
export type VirtioModel = (device: DeviceConfig, context: ModelContext) => VirtioDevice;

/** Properties that mean nothing here but are harmless, and those of transports. */
const IGNORED = [
  ...['bus', 'addr', 'multifunction', 'id', 'bootindex', 'share-rw', 'write-cache', 'rng', 'max-bytes', 'period', 'nr'],
  ...['romfile', 'rombar', 'disable-legacy', 'disable-modern', 'vectors', 'iommu_platform', 'ats', 'page-per-vq'],
];
/** Devices on a virtio-serial bus. */
export const VIRTIO_PORTS: readonly string[] = ['virtconsole', 'virtserialport'];

/** The kind of a driver's name without its transport: `virtio-blk`; undefined for what is not virtio. */
export function virtioKind(driver: string): string | undefined {
  return /^(virtio-[a-z0-9]+)(-device|-pci(-(non-)?transitional)?)?$/.exec(driver)?.[1];
}

/** Models by kind. */
export const VIRTIO_MODELS: Readonly<Record<string, VirtioModel>> = {
  'virtio-blk': (device, { config, wiring, name }) => {
    allow(device, ['drive', 'serial', 'queue-size', 'num-queues', 'logical_block_size', 'physical_block_size']);
    const drive = config.drives.find(({ id }) => id === device.properties.drive);
    if (!drive) {
      const what =
        device.properties.drive === undefined
          ? 'names no drive'
          : `names the drive ${device.properties.drive}, which is not there`;
      throw new ConfigError('drive-missing', `${device.driver} ${what}`, 'add -drive if=none,id=…,file=… and drive=…');
    }
    return blk(name, wiring, drive.disk, device.properties.serial ?? drive.serial, device);
  },
  'virtio-rng': (device, { wiring, name, random }) => {
    allow(device, []);
    return new VirtioRng(name, wiring, random);
  },
  'virtio-net': (device, { config, wiring, name }) => {
    allow(device, ['mac', 'netdev']);
    const { link, mac } = nicOf(device, config);
    return new VirtioNet(name, wiring, link, mac);
  },
  'virtio-serial': serial,
};

/** The disk of a `-drive if=virtio`. */
export function virtioDrive(wiring: Wiring, drive: DriveConfig): VirtioDevice {
  return blk(drive.id, wiring, drive.disk, drive.serial);
}

/** All ports go to the first virtio-serial device unless their `bus` names another. */
function serial(device: DeviceConfig, { config, wiring, name }: ModelContext): VirtioDevice {
  allow(device, ['max_ports']);
  const buses = config.devices.filter(({ driver }) => virtioKind(driver) === 'virtio-serial');
  const ports: ConsolePort[] = [];
  for (const port of config.devices.filter(({ driver }) => VIRTIO_PORTS.includes(driver))) {
    allow(port, ['chardev', 'name']);
    const bus = port.properties.bus?.replace(/\.0$/, '');
    if ((buses.find(({ id }) => id !== undefined && id === bus) ?? buses[0]) !== device) continue;
    const chardev = config.chardevs.find(({ id }) => id === port.properties.chardev);
    if (!chardev) {
      const what = `${port.driver} names the chardev ${port.properties.chardev}, which is not there`;
      throw new ConfigError('chardev-missing', what, 'add -chardev …,id=… and chardev=…');
    }
    ports.push({ backend: chardev.backend, name: port.properties.name, console: port.driver === 'virtconsole' });
  }
  return new VirtioConsole(name, wiring, ports);
}

function blk(name: string, wiring: Wiring, disk: Disk, serialNumber?: string, device?: DeviceConfig): VirtioBlk {
  return new VirtioBlk(name, wiring, disk, {
    serial: serialNumber,
    queueSize: device && number(device, 'queue-size', 256, 2, 1024, true),
    queues: device && number(device, 'num-queues', 1, 1, 64),
    logicalBlockSize: device && number(device, 'logical_block_size', 512, 512, 32768, true),
  });
}

function number(
  device: DeviceConfig,
  name: string,
  fallback: number,
  least: number,
  most: number,
  power = false,
): number {
  const text = device.properties[name];
  if (text === undefined) return fallback;
  const value = Number(text);
  if (Number.isInteger(value) && value >= least && value <= most && !(power && value & (value - 1))) return value;
  const range = `${power ? 'a power of two' : 'a number'} from ${least} to ${most}`;
  throw new ConfigError('property-value', `${device.driver}: ${name}=${text} is not ${range}`, 'mend the value');
}

function allow(device: DeviceConfig, known: readonly string[]): void {
  for (const name of Object.keys(device.properties)) {
    if (known.includes(name) || IGNORED.includes(name)) continue;
    throw new ConfigError(
      'property-unknown',
      `${device.driver} has no property ${name} here`,
      `known are ${known.join(', ') || 'none'}`,
    );
  }
}
