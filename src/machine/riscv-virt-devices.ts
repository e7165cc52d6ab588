/**
 * From `-device` and `-drive` to the virtio devices in the board's slots.
 *
 * Slots fill from the last to the first, as QEMU's do, so that Linux finds
 * devices in the same order under both.
 */
import { ConfigError } from '../bits/errors.ts';
import type { VirtioMmio } from '../devices/virtio-mmio/virtio-mmio.ts';
import type { VirtioDevice } from '../hw/virtio.ts';
import {
  type ModelContext,
  VIRTIO_MODELS,
  VIRTIO_PORTS,
  type VirtioModel,
  virtioDrive,
  virtioKind,
} from './virtio-models.ts';

/** Puts the configuration's virtio devices into `slots`. Throws ConfigError. */
export function plugDevices(
  context: Omit<ModelContext, 'name'>,
  slots: readonly VirtioMmio[],
  more: Readonly<Record<string, VirtioModel>> = {},
): VirtioDevice[] {
  const { config, wiring } = context;
  const models = { ...onMmio(VIRTIO_MODELS), ...more };
  const plugged: VirtioDevice[] = [];
  const plug = (device: VirtioDevice, bus?: string) => {
    freeSlot(slots, device.name, bus).plug(device);
    plugged.push(device);
  };
  for (const drive of config.drives) {
    if (drive.interface === 'virtio') plug(virtioDrive(wiring, drive));
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
    const driver = device.driver === virtioKind(device.driver) ? `${device.driver}-device` : device.driver;
    const number = count.get(driver) ?? 0;
    count.set(driver, number + 1);
    const name = device.id ?? `${driver.replace(/-device$/, '')}${number}`;
    if (VIRTIO_PORTS.includes(driver)) continue; // taken up by their virtio-serial-device
    const model = models[driver];
    if (!model) throw unknownDriver(device.driver, Object.keys(models));
    plug(model(device, { ...context, name }), device.properties.bus);
  }
  if (config.devices.some(({ driver }) => VIRTIO_PORTS.includes(driver)) && !count.has('virtio-serial-device'))
    throw new ConfigError(
      'bus-missing',
      'a virtconsole needs a virtio-serial bus',
      'put -device virtio-serial-device before it',
    );
  return plugged;
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

/** The models under the names that they have on this transport. */
function onMmio(models: Readonly<Record<string, VirtioModel>>): Record<string, VirtioModel> {
  return Object.fromEntries(Object.entries(models).map(([kind, model]) => [`${kind}-device`, model]));
}
