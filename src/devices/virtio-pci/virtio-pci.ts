/**
 * virtio over PCI: the function that carries one virtio device, for modern
 * drivers, legacy ones, or both (transitional).
 *
 * Spec: OASIS VIRTIO 1.2, "Virtio Over PCI Bus". BARs and offsets are QEMU's:
 * legacy ports in BAR 0, MSI-X in BAR 1, the modern structures in BAR 4.
 */
import { readU32, writeU32 } from '../../bits/endian.ts';
import { ConfigError } from '../../bits/errors.ts';
import type { AccessSize, Mmio } from '../../hw/device.ts';
import { type BarOptions, PciFunction, QEMU_SUBSYSTEM } from '../../hw/pci.ts';
import { addExpress } from '../../hw/pci-express.ts';
import type { VirtioDevice } from '../../hw/virtio.ts';
import { legacySize, legacyWindow, MODERN_SIZE, modernWindow, NOTIFY_MULTIPLIER, STRUCTURE } from './registers.ts';
import { VirtioPciTransport } from './transport.ts';

const VENDOR = 0x1af4;
/** A modern device's id is its type plus this. */
const MODERN_ID = 0x1040;
const BAR = { LEGACY: 0, MSIX: 1, MODERN: 4 } as const;

/** By virtio device type: the id that legacy drivers know, and the PCI class. */
const TYPES: Readonly<Record<number, { readonly legacyId?: number; readonly class: number }>> = {
  1: { legacyId: 0x1000, class: 0x020000 }, // network
  2: { legacyId: 0x1001, class: 0x010000 }, // block
  3: { legacyId: 0x1003, class: 0x078000 }, // console
  4: { legacyId: 0x1005, class: 0x00ff00 }, // entropy
  5: { legacyId: 0x1002, class: 0x00ff00 }, // balloon
  8: { legacyId: 0x1004, class: 0x010000 }, // SCSI
  9: { legacyId: 0x1009, class: 0x000200 }, // 9P
  16: { class: 0x038000 }, // GPU
  18: { class: 0x098000 }, // input
  19: { legacyId: 0x1012, class: 0x078000 }, // socket
  26: { class: 0x018000 }, // file system
};

/** Capabilities' places, and the kinds of structure that they point to. */
const CAPABILITY = { VENDOR: 0x09, COMMON: 1, NOTIFY: 2, ISR: 3, DEVICE: 4, PCI_CFG: 5 } as const;
const AT = { COMMON: 0x40, ISR: 0x50, DEVICE: 0x60, NOTIFY: 0x70, PCI_CFG: 0x84, MSIX: 0x98, EXPRESS: 0xa4 } as const;
/** Offsets in a capability. */
const FIELD = { LENGTH: 2, TYPE: 3, BAR: 4, OFFSET: 8, SIZE: 12, EXTRA: 16 } as const;

export interface VirtioPciOptions {
  /** The transport's name; the function's is that with `.pci`. */
  readonly name: string;
  /** QEMU's `disable-legacy` and `disable-modern`. */
  readonly disableLegacy?: boolean;
  readonly disableModern?: boolean;
  /** MSI-X vectors; one for each queue and one for the configuration when absent, 0 for no MSI-X. */
  readonly vectors?: number;
  /** Sits behind a PCI Express port: has the capability of an endpoint. QEMU disables the legacy interface there. */
  readonly express?: boolean;
  /** QEMU's `iommu_platform`: the device reaches memory as its function does, and drivers have to know. */
  readonly accessPlatform?: boolean;
  /** PCI class code, where the type alone does not tell it. */
  readonly class?: number;
}

/** Three devices to be reset, saved and loaded: this one, which resets `device` too, `pci` and `device`. */
export class VirtioPci extends VirtioPciTransport {
  override readonly pci: PciFunction;
  private readonly modern: Mmio;

  /** Throws ConfigError when nothing is left that a driver could use. */
  constructor(options: VirtioPciOptions, device: VirtioDevice) {
    super(options.name, device, options.vectors ?? device.queues.length + 1);
    const type = TYPES[device.deviceId] ?? { class: 0x00ff00 };
    const legacy = !options.disableLegacy && type.legacyId !== undefined;
    const modern = !options.disableModern;
    if (!legacy && !modern) {
      throw new ConfigError(
        'virtio-no-mode',
        `${options.name}: neither the legacy nor the modern interface is left`,
        'set disable-legacy or disable-modern to off',
      );
    }
    if (options.accessPlatform && (legacy || !modern)) {
      throw new ConfigError(
        'virtio-platform',
        `${options.name}: VIRTIO_F_IOMMU_PLATFORM was supported by neither legacy nor transitional device`,
        'add disable-legacy=on to iommu_platform=on',
      );
    }
    device.accessPlatform = options.accessPlatform === true;
    this.modern = modernWindow(this);
    const bars: BarOptions[] = [];
    if (legacy) bars.push({ index: BAR.LEGACY, kind: 'io', size: legacySize(this), mmio: legacyWindow(this) });
    if (modern)
      bars.push({ index: BAR.MODERN, kind: 'mem64', size: MODERN_SIZE, prefetchable: true, mmio: this.modern });
    this.pci = new PciFunction({
      name: options.name,
      vendor: VENDOR,
      device: legacy && type.legacyId ? type.legacyId : MODERN_ID + device.deviceId,
      class: options.class ?? type.class,
      revision: legacy ? 0 : 1,
      subsystem: legacy ? { vendor: VENDOR, device: device.deviceId } : QEMU_SUBSYSTEM,
      interruptPin: 1,
      express: options.express,
      bars,
      declares: (pci) => {
        if (options.express) addExpress(pci, { type: 'endpoint', offset: AT.EXPRESS });
        if (modern) describe(pci);
      },
      msix: this.vectors ? { vectors: this.vectors, bar: BAR.MSIX, offset: modern ? AT.MSIX : 0x40 } : undefined,
      reading: (offset, size) => this.configAccess(offset, size, false),
      written: (offset, size) => this.configAccess(offset, size, true),
    });
    this.pci.owner = this;
  }

  /** The window in configuration space: its data register reads and writes the modern BAR where the others point. */
  private configAccess(from: number, size: number, write: boolean): void {
    const data = AT.PCI_CFG + FIELD.EXTRA;
    const { config } = this.pci.state;
    if (size > 4 || from >= data + 4 || from + size <= data || config[AT.PCI_CFG] !== CAPABILITY.VENDOR) return;
    const offset = readU32(config, AT.PCI_CFG + FIELD.OFFSET);
    const length = readU32(config, AT.PCI_CFG + FIELD.SIZE);
    if (config[AT.PCI_CFG + FIELD.BAR] !== BAR.MODERN || ![1, 2, 4].includes(length)) return;
    if (offset % length || offset + length > MODERN_SIZE) return;
    if (write) {
      const bits = (readU32(config, data) & (-1 >>> (32 - 8 * length))) >>> 0;
      this.modern.write(offset, length as AccessSize, bits);
    } else writeU32(config, data, this.modern.read(offset, length as AccessSize));
  }
}

/** Points to the modern structures. */
function describe(pci: PciFunction): void {
  const capability = (at: number, type: number, offset: number, length = 16): void => {
    pci.addCapability(CAPABILITY.VENDOR, length, at);
    pci.constant(at + FIELD.LENGTH, 1, length);
    pci.constant(at + FIELD.TYPE, 1, type);
    if (type === CAPABILITY.PCI_CFG) return;
    pci.constant(at + FIELD.BAR, 1, BAR.MODERN);
    pci.constant(at + FIELD.OFFSET, 4, offset);
    pci.constant(at + FIELD.SIZE, 4, STRUCTURE.SIZE);
  };
  capability(AT.COMMON, CAPABILITY.COMMON, STRUCTURE.COMMON);
  capability(AT.ISR, CAPABILITY.ISR, STRUCTURE.ISR);
  capability(AT.DEVICE, CAPABILITY.DEVICE, STRUCTURE.DEVICE);
  capability(AT.NOTIFY, CAPABILITY.NOTIFY, STRUCTURE.NOTIFY, 20);
  pci.constant(AT.NOTIFY + FIELD.EXTRA, 4, NOTIFY_MULTIPLIER);
  capability(AT.PCI_CFG, CAPABILITY.PCI_CFG, 0, 20);
  pci.writable(AT.PCI_CFG + FIELD.BAR, 1, 0xff);
  for (const field of [FIELD.OFFSET, FIELD.SIZE, FIELD.EXTRA]) pci.writable(AT.PCI_CFG + field, 4, -1);
}
