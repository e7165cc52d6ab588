/**
 * What every virtio device has in common, whatever bus carries it: status,
 * features, queues, configuration space.
 *
 * Spec: OASIS VIRTIO 1.2, "Basic Facilities of a Virtio Device". A transport
 * (virtio-mmio, virtio-pci) drives it and carries its interrupts.
 */

import { initially, json, type Layout, reset, type StateOf, u8, u64 } from '../state/layout.ts';
import type { AccessSize, Device, DeviceLog, Wiring } from './device.ts';
import { type Chain, newQueue, type QueueState, Virtqueue } from './virtqueue.ts';

export const STATUS = { ACKNOWLEDGE: 1, DRIVER: 2, DRIVER_OK: 4, FEATURES_OK: 8, NEEDS_RESET: 0x40, FAILED: 0x80 };
export const FEATURE = {
  INDIRECT_DESC: 1n << 28n,
  EVENT_IDX: 1n << 29n,
  VERSION_1: 1n << 32n,
  /** Addresses are the platform's, which an IOMMU may translate, not memory's own. */
  ACCESS_PLATFORM: 1n << 33n,
  /** Legacy only: descriptors may frame a request in any way. */
  ANY_LAYOUT: 1n << 27n,
};

/** Every virtio device's layout starts with these fields. */
export function virtioFields(queueSizes: readonly number[]) {
  return {
    status: u8,
    features: initially(u64, 0n), // as the driver accepted them
    generation: u8, // of the configuration space
    queues: json<QueueState[]>(() => queueSizes.map(newQueue)),
  };
}
export type VirtioState = StateOf<Layout<ReturnType<typeof virtioFields>>>;

export interface VirtioTransport {
  /** Used buffers wait in a queue. */
  queueInterrupt(queue: number): void;
  /** The configuration space or the status changed. */
  configInterrupt(): void;
}

export abstract class VirtioDevice implements Device {
  readonly name: string;
  abstract readonly layout: Layout;
  abstract readonly state: VirtioState;
  /** The number of the device type, e.g. 2 for a block device. */
  abstract readonly deviceId: number;
  /** The device's own feature bits; the queues' are added by `offered`. */
  protected abstract readonly ownFeatures: bigint;
  readonly log: DeviceLog;
  readonly queues: readonly Virtqueue[];
  protected readonly wiring: Wiring;
  /** Drivers have to give addresses that the platform translates. */
  accessPlatform = false;
  /** Counts resets: what an asynchronous operation of an earlier life finishes is void. */
  protected life = 0;
  private transport: VirtioTransport | undefined;

  constructor(name: string, wiring: Wiring, queueSizes: readonly number[]) {
    this.name = name;
    this.wiring = wiring;
    this.log = wiring.log;
    const device = this;
    const features = {
      get indirect() {
        return (device.state.features & FEATURE.INDIRECT_DESC) !== 0n;
      },
      get eventIndex() {
        return (device.state.features & FEATURE.EVENT_IDX) !== 0n;
      },
    };
    this.queues = queueSizes.map((size, i) => new Virtqueue(size, wiring.dma, features, () => this.state.queues[i]));
  }

  /** Every feature bit that a driver may accept. */
  offered(legacy: boolean): bigint {
    const platform = this.accessPlatform ? FEATURE.ACCESS_PLATFORM : 0n;
    const common = this.ownFeatures | FEATURE.INDIRECT_DESC | FEATURE.EVENT_IDX | platform;
    return common | (legacy ? FEATURE.ANY_LAYOUT : FEATURE.VERSION_1);
  }

  /** The configuration space as bytes, as long as it is. */
  protected abstract config(): Uint8Array;
  /** The driver notified a queue that is ready. */
  protected abstract notified(queue: number): void;
  protected writeConfig?(offset: number, size: AccessSize, value: number): void;
  /** The driver set DRIVER_OK. */
  protected started?(): void;
  /** Drop what is under way; the state is at its defaults already. */
  protected stopped?(): void;

  connect(transport: VirtioTransport): void {
    this.transport = transport;
  }

  reset(): void {
    this.life++;
    reset(this.layout, this.state as StateOf<Layout>);
    this.stopped?.();
  }

  /** The driver wrote the status register; 0 resets. The transport has checked the features. */
  setStatus(status: number): void {
    if (status === 0) {
      this.reset();
      return;
    }
    const before = this.state.status;
    this.state.status = status | (before & STATUS.NEEDS_RESET);
    if (status & ~before & STATUS.DRIVER_OK) {
      this.started?.();
      // A driver may have filled queues before it said that it is ready.
      for (let queue = 0; queue < this.queues.length; queue++) this.notify(queue);
    }
  }

  /** The driver accepts 32 feature bits: the low half (0) or the high one (1). */
  acceptFeatures(half: number, bits: number, legacy: boolean): void {
    if (half > 1) return;
    if (this.state.status & STATUS.FEATURES_OK) {
      this.log.guestError(this.name, 'features written after FEATURES_OK');
      return;
    }
    const shift = BigInt(32 * half);
    const others = this.state.features & ~(0xffff_ffffn << shift);
    const accepted = BigInt(bits) << shift;
    // A legacy driver cannot be told no: what was not offered just stays off.
    this.state.features = others | (legacy ? accepted & this.offered(true) : accepted);
  }

  /** A modern driver wrote a status other than 0: FEATURES_OK stays off when it accepted what was not offered. */
  setModernStatus(status: number): void {
    const { features } = this.state;
    const deciding = status & STATUS.FEATURES_OK && !(this.state.status & STATUS.FEATURES_OK);
    const needed = FEATURE.VERSION_1 | (this.accessPlatform ? FEATURE.ACCESS_PLATFORM : 0n);
    if (deciding && (features & ~this.offered(false) || (features & needed) !== needed)) {
      this.log.guestError(this.name, `features 0x${features.toString(16)} refused`);
      this.setStatus(status & ~STATUS.FEATURES_OK);
    } else this.setStatus(status);
  }

  /** Bytes of the configuration space. */
  configLength(): number {
    return this.config().length;
  }

  /** The driver notified a queue. */
  notify(queue: number): void {
    if (queue >= this.queues.length) {
      this.log.guestError(this.name, `notified of queue ${queue}, which it does not have`);
      return;
    }
    const { status, features } = this.state;
    // Legacy drivers use queues before they set DRIVER_OK.
    const running = status & STATUS.DRIVER_OK || !(features & FEATURE.VERSION_1);
    if (status & STATUS.NEEDS_RESET || !running || !this.queues[queue].ready) return;
    this.notified(queue);
  }

  readConfig(offset: number, size: AccessSize): number {
    const bytes = this.config();
    let value = 0;
    for (let i = 0; i < size; i++) value |= (bytes[offset + i] ?? 0) << (8 * i);
    return value >>> 0;
  }

  configWrite(offset: number, size: AccessSize, value: number): void {
    if (this.writeConfig) this.writeConfig(offset, size, value);
    else this.log.guestError(this.name, `write of ${size} bytes to the read-only configuration at ${offset}`);
  }

  /** The next chain of a queue; a queue that misbehaves stops the device and counts as empty. */
  protected pop(queue: number): Chain | undefined {
    if (this.state.status & STATUS.NEEDS_RESET) return undefined;
    const chain = this.queues[queue].pop();
    if (typeof chain !== 'string') return chain;
    this.broken(`queue ${queue}: ${chain}`);
    return undefined;
  }

  /** Returns a chain and interrupts the driver if it wants that. */
  protected push(queue: number, head: number, written: number): void {
    this.pushAll(queue, [{ head, written }]);
  }

  /** Returns several chains, which the driver sees at once. */
  protected pushAll(queue: number, chains: readonly { readonly head: number; readonly written: number }[]): void {
    if (this.state.status & STATUS.NEEDS_RESET) return;
    if (!this.queues[queue].pushAll(chains)) this.broken(`queue ${queue}: the used ring is not in RAM`);
    else if (this.queues[queue].shouldInterrupt()) this.transport?.queueInterrupt(queue);
  }

  /** Takes back the last `count` chains that were popped. */
  protected unpop(queue: number, count: number): void {
    this.queues[queue].unpop(count);
  }

  /** The configuration space changed by itself. */
  protected configChanged(): void {
    this.state.generation = (this.state.generation + 1) & 0xff;
    if (this.state.status & STATUS.DRIVER_OK) this.transport?.configInterrupt();
  }

  /** The driver broke a rule that the device cannot work around: it needs a reset. */
  protected broken(why: string): void {
    this.log.guestError(this.name, `${why}; the device needs a reset`);
    this.state.status |= STATUS.NEEDS_RESET;
    if (this.state.features & FEATURE.VERSION_1) this.transport?.configInterrupt();
  }
}
