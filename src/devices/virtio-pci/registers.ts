/**
 * The registers of a virtio PCI device: the modern structures in a memory BAR,
 * and the legacy ones in an I/O BAR.
 *
 * Spec: OASIS VIRTIO 1.2, "PCI Device Layout" and "Legacy Interfaces: A Note
 * on PCI Device Layout". Queues are not reset one by one (RING_RESET).
 */
import { bank } from '../../hw/bank.ts';
import type { Mmio } from '../../hw/device.ts';
import type { VirtioPciTransport } from './transport.ts';

/** Where the modern structures lie in their BAR: 4 KiB each, as in QEMU. */
export const STRUCTURE = { COMMON: 0x0000, ISR: 0x1000, DEVICE: 0x2000, NOTIFY: 0x3000, SIZE: 0x1000 } as const;
export const MODERN_SIZE = 0x4000;
/** Bytes between the notification addresses of two queues. */
export const NOTIFY_MULTIPLIER = 4;
/** Offsets of the device's own configuration in the legacy BAR. */
const LEGACY_CONFIG = { PLAIN: 0x14, MSIX: 0x18 } as const;

const COMMON = bank<VirtioPciTransport>(
  0x40,
  {
    device_feature_select: { at: 0x00, field: 'deviceFeatureSelect' },
    device_feature: { at: 0x04, read: (t) => t.offered(t.state.deviceFeatureSelect, false) },
    driver_feature_select: { at: 0x08, field: 'driverFeatureSelect' },
    driver_feature: {
      at: 0x0c,
      read: (t) => t.accepted(t.state.driverFeatureSelect),
      write: (t, bits) => t.device.acceptFeatures(t.state.driverFeatureSelect, bits, false),
    },
    config_msix_vector: {
      at: 0x10,
      size: 2,
      read: (t) => t.state.configVector,
      write: (t, vector) => t.setConfigVector(vector),
    },
    num_queues: { at: 0x12, size: 2, read: (t) => t.device.queues.length },
    device_status: {
      at: 0x14,
      size: 1,
      read: (t) => t.device.state.status,
      write: (t, status) => t.setStatus(status, false),
    },
    config_generation: { at: 0x15, size: 1, read: (t) => t.device.state.generation },
    queue_select: { at: 0x16, size: 2, field: 'queueSelect' },
    queue_size: { at: 0x18, size: 2, read: (t) => t.queueSize, write: (t, size) => t.setQueueSize(size) },
    queue_msix_vector: {
      at: 0x1a,
      size: 2,
      read: (t) => t.queueVector,
      write: (t, vector) => t.setQueueVector(vector),
    },
    queue_enable: { at: 0x1c, size: 2, read: (t) => (t.queue?.ready ? 1 : 0), write: (t, on) => t.enableQueue(on) },
    queue_notify_off: { at: 0x1e, size: 2, read: (t) => t.state.queueSelect },
    queue_desc: {
      at: 0x20,
      count: 2,
      read: (t, half) => t.address('descriptors', half),
      write: (t, word, half) => t.setAddress('descriptors', word, half),
    },
    queue_driver: {
      at: 0x28,
      count: 2,
      read: (t, half) => t.address('avail', half),
      write: (t, word, half) => t.setAddress('avail', word, half),
    },
    queue_device: {
      at: 0x30,
      count: 2,
      read: (t, half) => t.address('used', half),
      write: (t, word, half) => t.setAddress('used', word, half),
    },
    queue_notify_data: { at: 0x38, size: 2, read: () => 0 }, // not offered
    queue_reset: { at: 0x3a, size: 2, read: () => 0 },
  },
  { access: [1, 2, 4] },
);

const LEGACY = bank<VirtioPciTransport>(
  LEGACY_CONFIG.MSIX,
  {
    device_features: { at: 0x00, read: (t) => t.offered(0, true) },
    driver_features: {
      at: 0x04,
      read: (t) => t.accepted(0),
      write: (t, bits) => t.device.acceptFeatures(0, bits, true),
    },
    queue_address: { at: 0x08, read: (t) => t.page, write: (t, page) => t.setPage(page) },
    queue_size: { at: 0x0c, size: 2, read: (t) => t.queueSize },
    queue_select: { at: 0x0e, size: 2, field: 'queueSelect' },
    queue_notify: { at: 0x10, size: 2, read: () => 0, write: (t, queue) => t.notify(queue) },
    device_status: {
      at: 0x12,
      size: 1,
      read: (t) => t.device.state.status,
      write: (t, status) => t.setStatus(status, true),
    },
    isr_status: { at: 0x13, size: 1, read: (t) => t.takeIsr() },
    config_msix_vector: {
      at: 0x14,
      size: 2,
      read: (t) => t.state.configVector,
      write: (t, vector) => t.setConfigVector(vector),
    },
    queue_msix_vector: {
      at: 0x16,
      size: 2,
      read: (t) => t.queueVector,
      write: (t, vector) => t.setQueueVector(vector),
    },
  },
  { access: [1, 2, 4] },
);

/** The BAR with the modern structures. */
export function modernWindow(transport: VirtioPciTransport): Mmio {
  const common = COMMON.on(transport);
  return {
    doorbells: transport.device.queues.map((_, queue) => STRUCTURE.NOTIFY + queue * NOTIFY_MULTIPLIER),
    read: (at, size) => {
      const offset = at & (STRUCTURE.SIZE - 1);
      switch (at - offset) {
        case STRUCTURE.COMMON:
          return offset < COMMON.size ? common.read(offset, size) : 0;
        case STRUCTURE.ISR:
          return offset === 0 ? transport.takeIsr() : 0;
        case STRUCTURE.DEVICE:
          return transport.readConfig(offset, size);
        default:
          return 0;
      }
    },
    write: (at, size, value) => {
      const offset = at & (STRUCTURE.SIZE - 1);
      switch (at - offset) {
        case STRUCTURE.COMMON:
          if (offset < COMMON.size) common.write(offset, size, value);
          return;
        case STRUCTURE.DEVICE:
          transport.writeConfig(offset, size, value);
          return;
        case STRUCTURE.NOTIFY:
          transport.notify(Math.floor(offset / NOTIFY_MULTIPLIER));
          return;
      }
    },
  };
}

/** Bytes of the legacy BAR. */
export function legacySize(transport: VirtioPciTransport): number {
  const config = transport.vectors ? LEGACY_CONFIG.MSIX : LEGACY_CONFIG.PLAIN;
  return 2 ** Math.ceil(Math.log2(config + transport.device.configLength()));
}

/** The legacy BAR: the vectors are there while MSI-X is enabled, and the device's configuration moves. */
export function legacyWindow(transport: VirtioPciTransport): Mmio {
  const registers = LEGACY.on(transport);
  const config = (): number => (transport.pci.msix?.enabled ? LEGACY_CONFIG.MSIX : LEGACY_CONFIG.PLAIN);
  return {
    read: (at, size) => {
      const start = config();
      return at < start ? registers.read(at, size) : transport.readConfig(at - start, size);
    },
    write: (at, size, value) => {
      const start = config();
      if (at < start) registers.write(at, size, value);
      else transport.writeConfig(at - start, size, value);
    },
  };
}
