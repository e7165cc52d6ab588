/** `-device` on a PC's PCI bus: drivers by name, slots by `addr`. */
import { ConfigError } from '../bits/errors.ts';
import { Edu } from '../devices/edu/edu.ts';
import { Nvme } from '../devices/nvme/nvme.ts';
import { Vga } from '../devices/vga/vga.ts';
import { vgaPci } from '../devices/vga/vga-pci.ts';
import { VirtioPci } from '../devices/virtio-pci/virtio-pci.ts';
import type { Dma } from '../hw/device.ts';
import type { PciFunction } from '../hw/pci.ts';
import type { PciBus } from '../hw/pci-bus.ts';
import type { VirtioDevice } from '../hw/virtio.ts';
import type { DeviceConfig } from './config.ts';
import type { PcChipset } from './pc-chipset.ts';
import { IDE_DRIVERS } from './pc-drives.ts';
import { AREA } from './pc-firmware.ts';
import { IOMMU_DRIVER } from './pc-iommu.ts';
import { nicOf, nicRom, PCI_NICS } from './nics.ts';
import { VIRTIO_MODELS, VIRTIO_PORTS, virtioDrive, virtioKind } from './virtio-models.ts';

const VGA_ROM = 'vgabios-stdvga.bin';

export interface PluggedPci {
  /** OpenFirmware paths of what has a `bootindex`, with it. */
  readonly boot: { readonly index: number; readonly path: string }[];
}

/** Plugs in what `-device` and `-drive if=virtio` name, in order. Throws ConfigError. */
export function plugPciDevices(chipset: PcChipset, bus: PciBus): PluggedPci {
  const { config, wiring, parts } = chipset;
  const count = new Map<string, number>();
  const plugged: PluggedPci = { boot: [] };
  const numbered = (driver: string) => {
    const number = count.get(driver) ?? 0;
    count.set(driver, number + 1);
    return `${driver}${number}`;
  };
  const on = (properties: DeviceConfig['properties'], name: string) =>
    ['on', 'true', 'yes'].includes(properties[name] ?? '');
  const virtio = (
    device: VirtioDevice,
    properties: DeviceConfig['properties'],
    driver: string,
    platform?: LateMemory,
  ) => {
    const isOn = (name: string) => on(properties, name);
    const disabled = driver.endsWith('-non-transitional') || isOn('disable-legacy');
    const vectors = properties['vectors'] === undefined ? undefined : Number(properties['vectors']);
    const options = {
      name: `${device.name}.bus`,
      disableLegacy: disabled,
      disableModern: isOn('disable-modern'),
      vectors,
      accessPlatform: platform !== undefined,
    };
    const transport = new VirtioPci(options, device);
    platform?.lead(transport.pci.master(wiring.dma));
    chipset.devices.push(transport, transport.pci, device);
    plugFunction(bus, transport.pci, properties['addr'], driver);
    bootable(transport.pci, properties['bootindex'], 'scsi', plugged);
  };
  for (const device of config.devices) {
    const { driver, properties } = device;
    if (VIRTIO_PORTS.includes(driver) || IDE_DRIVERS.includes(driver) || ISA_DRIVERS.includes(driver)) continue;
    if (driver === IOMMU_DRIVER) continue; // the chip set's
    const kind = virtioKind(driver);
    const model = kind === undefined ? undefined : VIRTIO_MODELS[kind];
    if (driver === 'VGA') {
      const pci = addVga(chipset, device.id ?? numbered('vga'), numbered('card'), false);
      plugFunction(bus, pci, properties['addr'], driver);
    } else if (driver === 'nvme') {
      const drive = config.drives.find(({ id }) => id === properties['drive']);
      if (!drive)
        throw new ConfigError('drive-missing', 'nvme names no drive', 'add -drive if=none,id=…,file=… and drive=…');
      const serial = properties['serial'] ?? drive.serial ?? '';
      const nvme = new Nvme(device.id ?? numbered('nvme'), wiring, drive.disk, { serial });
      chipset.devices.push(nvme, nvme.pci);
      plugFunction(bus, nvme.pci, properties['addr'], driver);
      bootable(nvme.pci, properties['bootindex'], 'nvme', plugged);
    } else if (PCI_NICS[driver]) {
      const name = device.id ?? numbered(driver);
      const { pci, card } = PCI_NICS[driver](name, wiring, nicOf(device, config), nicRom(device, config));
      chipset.devices.push(card, pci);
      plugFunction(bus, pci, properties['addr'], driver);
    } else if (kind !== undefined && model && !driver.endsWith('-device')) {
      const name = device.id ?? numbered(kind);
      const platform = on(properties, 'iommu_platform') ? new LateMemory() : undefined;
      const own = platform ? { ...wiring, dma: platform } : wiring;
      const context = { config, wiring: own, name, random: (into: Uint8Array) => parts.random(into) };
      virtio(model(device, context), properties, driver, platform);
    } else if (driver === 'edu') {
      const edu = new Edu(device.id ?? numbered('edu'), wiring, eduMask(properties['dma_mask']));
      chipset.devices.push(edu, edu.pci);
      plugFunction(bus, edu.pci, properties['addr'], driver);
    } else throw unknownDriver(driver);
  }
  for (const drive of config.drives)
    if (drive.interface === 'virtio') virtio(virtioDrive(wiring, drive), {}, 'virtio-blk-pci');
  return plugged;
}

/** A board without PCI has no place for other devices than those of ISA and IDE. */
export function refusePciDevices({ config }: PcChipset): void {
  for (const { driver } of config.devices) {
    if (IDE_DRIVERS.includes(driver) || ISA_DRIVERS.includes(driver) || driver === IOMMU_DRIVER) continue;
    const bus = VIRTIO_PORTS.includes(driver) ? 'virtio-serial-bus' : 'PCI';
    throw new ConfigError('no-bus', `No '${bus}' bus found for device '${driver}'`, 'use -M pc or q35');
  }
}

/** Memory as a function reaches it that is made later. */
class LateMemory implements Dma {
  private target: Dma | undefined;

  lead(target: Dma): void {
    this.target = target;
  }

  readable(address: number, length: number): Uint8Array | undefined {
    return this.target?.readable(address, length);
  }

  writable(address: number, length: number): Uint8Array | undefined {
    return this.target?.writable(address, length);
  }

  get stretch(): Dma['stretch'] {
    return this.target?.stretch;
  }
}

function eduMask(text: string | undefined): bigint | undefined {
  if (text === undefined) return undefined;
  if (/^(0x[0-9a-f]{1,16}|\d{1,19})$/i.test(text)) return BigInt(text);
  throw new ConfigError('property-value', `edu: dma_mask=${text} is no number of 64 bits`, 'as in dma_mask=0xfffffff');
}

/** Drivers that sit on ports, and are the board's to place. */
export const ISA_DRIVERS: readonly string[] = [
  'isa-debug-exit',
  'isa-debugcon',
  'pvpanic',
  'pc-testdev',
  'isa-serial',
  'ne2k_isa',
];

/** Slot and function of `addr=05.1`; the first free slot without. */
function plugFunction(bus: PciBus, pci: PciFunction, addr: string | undefined, driver: string): void {
  const match = addr === undefined ? undefined : /^(?:0x)?([0-9a-f]{1,2})(?:\.([0-7]))?$/i.exec(addr);
  if (match === null)
    throw new ConfigError('pci-address', `${driver}: addr=${addr} is no PCI address`, 'as in addr=05.0');
  try {
    bus.add(pci, match && Number.parseInt(match[1], 16), Number(match?.[2] ?? 0));
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new ConfigError('pci-slot', `${driver}: ${cause.message}`, 'use another addr', cause);
  }
}

function bootable(pci: PciFunction, index: string | undefined, type: string, plugged: PluggedPci): void {
  if (index === undefined) return;
  const slot = (pci.devfn >> 3).toString(16);
  const number = pci.devfn & 7;
  const disk = type === 'nvme' ? 'namespace@1,0' : 'disk@0,0';
  const path = `/pci@i0cf8/${type}@${slot}${number ? `,${number}` : ''}/${disk}`;
  plugged.boot.push({ index: Number(index), path });
}

/** A standard VGA; the first one has the ports and the window at 0xa0000. */
export function addVga(chipset: PcChipset, name: string, card: string, first: boolean): PciFunction {
  const { config, parts, wiring } = chipset;
  const number = first ? 0 : Number(/\d+$/.exec(card)?.[0] ?? 0) + (firstCard(chipset) ? 1 : 0);
  const vga = new Vga(name, wiring, parts.memory.area(`${AREA.vram}${number}`));
  const pci = vgaPci(vga, { rom: config.roms?.[VGA_ROM] });
  chipset.devices.push(vga, pci);
  if (first || !firstCard(chipset)) placeVga(chipset, vga);
  return pci;
}

const firstCard = (chipset: PcChipset): boolean => chipset.devices.some(({ name }) => name === 'vga');

/** The legacy ports and window. */
export function placeVga(chipset: PcChipset, vga: Vga): void {
  for (const { name, base, size, mmio, priority } of vga.ports) chipset.ports.add(name, base, size, mmio, priority);
  chipset.bus.add('vga-lowmem', 0xa_0000, 0x2_0000, vga.window);
}

function unknownDriver(driver: string): ConfigError {
  const known = [
    ...Object.keys(VIRTIO_MODELS).map((kind) => `${kind}-pci`),
    ...Object.keys(PCI_NICS),
    'VGA',
    'nvme',
    ...IDE_DRIVERS,
  ].join(', ');
  return new ConfigError('device-unknown', `the board has no device ${driver}`, `known are ${known}`);
}
