/**
 * From `-device` and `-drive` to the virtio devices in the board's slots.
 *
 * Slots fill from the last to the first, as QEMU's do, so that Linux finds
 * devices in the same order under both.
 */
import { ConfigError } from '../bits/errors.ts';
import { VirtioBlk } from '../devices/virtio-blk/virtio-blk.ts';
import { type ConsolePort, VirtioConsole } from '../devices/virtio-console/virtio-console.ts';
import type { VirtioMmio } from '../devices/virtio-mmio/virtio-mmio.ts';
import { VirtioRng } from '../devices/virtio-rng/virtio-rng.ts';
import type { Wiring } from '../hw/device.ts';
import type { Disk } from '../hw/disk.ts';
import type { VirtioDevice } from '../hw/virtio.ts';
import type { DeviceConfig, MachineConfig } from './config.ts';

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

/** Properties that mean nothing to this board but are harmless. */
const IGNORED = ['bus', 'id', 'bootindex', 'share-rw', 'write-cache', 'rng', 'max-bytes', 'period', 'nr', 'romfile'];
const ALIASES: Readonly<Record<string, string>> = {
  'virtio-blk': 'virtio-blk-device',
  'virtio-rng': 'virtio-rng-device',
  'virtio-serial': 'virtio-serial-device',
  'virtio-net': 'virtio-net-device',
};
const PORTS = ['virtconsole', 'virtserialport'];

const MODELS: Readonly<Record<string, VirtioModel>> = {
  'virtio-blk-device': (device, { config, wiring, name }) => {
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
  'virtio-rng-device': (device, { wiring, name, random }) => {
    allow(device, []);
    return new VirtioRng(name, wiring, random);
  },
};

/** Puts the configuration's virtio devices into `slots`. Throws ConfigError. */
export function plugDevices(
  context: Omit<ModelContext, 'name'>,
  slots: readonly VirtioMmio[],
  more: Readonly<Record<string, VirtioModel>> = {},
): VirtioDevice[] {
  const { config, wiring } = context;
  const models = { ...MODELS, ...more };
  const plugged: VirtioDevice[] = [];
  const plug = (device: VirtioDevice, bus?: string) => {
    freeSlot(slots, device.name, bus).plug(device);
    plugged.push(device);
  };
  for (const drive of config.drives) {
    if (drive.interface === 'virtio') plug(blk(drive.id, wiring, drive.disk, drive.serial));
    else if (drive.interface !== 'none' && drive.interface !== 'pflash') {
      throw new ConfigError(
        'drive-interface',
        `the board has no ${drive.interface} controller for drive ${drive.id}`,
        'use if=virtio',
      );
    }
  }
  const count = new Map<string, number>();
  for (const device of config.devices) {
    const driver = ALIASES[device.driver] ?? device.driver;
    const number = count.get(driver) ?? 0;
    count.set(driver, number + 1);
    const name = device.id ?? `${driver.replace(/-device$/, '')}${number}`;
    if (PORTS.includes(driver)) continue; // taken up by their virtio-serial-device
    const model = driver === 'virtio-serial-device' ? serial : models[driver];
    if (!model) throw unknownDriver(device.driver, Object.keys(models));
    plug(model(device, { ...context, name }), device.properties.bus);
  }
  if (config.devices.some(({ driver }) => PORTS.includes(driver)) && !count.has('virtio-serial-device'))
    throw new ConfigError(
      'bus-missing',
      'a virtconsole needs a virtio-serial bus',
      'put -device virtio-serial-device before it',
    );
  return plugged;
}

/** All ports go to the first virtio-serial-device unless their `bus` names another. */
function serial(device: DeviceConfig, { config, wiring, name }: ModelContext): VirtioDevice {
  allow(device, ['max_ports']);
  const buses = config.devices.filter(({ driver }) => (ALIASES[driver] ?? driver) === 'virtio-serial-device');
  const ports: ConsolePort[] = [];
  for (const port of config.devices.filter(({ driver }) => PORTS.includes(driver))) {
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

function freeSlot(slots: readonly VirtioMmio[], name: string, bus?: string): VirtioMmio {
  const wanted = bus === undefined ? undefined : /^virtio-mmio-bus\.(\d+)$/.exec(bus);
  if (bus !== undefined && (!wanted || !slots[Number(wanted[1])]))
    throw new ConfigError(
      'bus-unknown',
      `${name}: there is no bus ${bus}`,
      `use virtio-mmio-bus.0 to .${slots.length - 1}`,
    );
  const slot = wanted ? slots[Number(wanted[1])] : slots.findLast(({ device }) => !device);
  if (!slot || slot.device)
    throw new ConfigError('bus-full', `there is no free virtio slot for ${name}`, 'take a device away');
  return slot;
}

function unknownDriver(driver: string, known: readonly string[]): ConfigError {
  const near = driver.replace(/-(pci|pci-transitional|pci-non-transitional|ccw)$/, '-device');
  const mend = known.includes(near) ? `use ${near}` : `known are ${known.join(', ')}`;
  return new ConfigError('device-unknown', `the board has no device ${driver}`, mend);
}
