/**
 * What the legacy and the modern registers of a virtio PCI device have in
 * common: the state of the transport, queues, interrupts.
 *
 * Spec: OASIS VIRTIO 1.2, "Virtio Over PCI Bus".
 */
import { alignUp } from '../../bits/endian.ts';
import type { AccessSize, Device, DeviceLog } from '../../hw/device.ts';
import { COMMAND, PCI, type PciFunction } from '../../hw/pci.ts';
import { STATUS, type VirtioDevice, type VirtioTransport } from '../../hw/virtio.ts';
import type { QueueState } from '../../hw/virtqueue.ts';
import { create, initially, json, layout, u8, u16, u32 } from '../../state/layout.ts';

export const NO_VECTOR = 0xffff;
const ISR = { QUEUE: 1, CONFIG: 2 } as const;
/** Legacy: queues lie at pages, and their used rings at the next one. */
const PAGE = 4096;

const STATE = layout('virtio-pci', 1, {
  deviceFeatureSelect: u32,
  driverFeatureSelect: u32,
  queueSelect: u16,
  configVector: initially(u16, NO_VECTOR),
  queueVectors: json<number[]>(() => []),
  isr: u8,
});

export abstract class VirtioPciTransport implements Device<typeof STATE>, VirtioTransport {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  readonly device: VirtioDevice;
  abstract readonly pci: PciFunction;
  /** MSI-X vectors. */
  readonly vectors: number;

  constructor(name: string, device: VirtioDevice, vectors: number) {
    this.name = name;
    this.log = device.log;
    this.device = device;
    this.vectors = vectors;
    this.state.queueVectors = device.queues.map(() => NO_VECTOR);
    device.connect(this);
  }

  reset(): void {
    Object.assign(this.state, create(STATE));
    this.state.queueVectors = this.device.queues.map(() => NO_VECTOR);
    this.device.reset();
    this.pci.irq.set(false);
  }

  queueInterrupt(queue: number): void {
    this.state.isr |= ISR.QUEUE;
    this.interrupt(this.state.queueVectors[queue]);
  }

  configInterrupt(): void {
    this.state.isr |= ISR.QUEUE | ISR.CONFIG;
    this.interrupt(this.state.configVector);
  }

  /** Reading the interrupt status acknowledges it. */
  takeIsr(): number {
    const { isr } = this.state;
    this.state.isr = 0;
    this.pci.irq.set(false);
    return isr;
  }

  /** 32 of the bits that a driver may accept. */
  offered(half: number, legacy: boolean): number {
    return half > 1 ? 0 : Number((this.device.offered(legacy) >> BigInt(32 * half)) & 0xffff_ffffn);
  }

  accepted(half: number): number {
    return half > 1 ? 0 : Number((this.device.state.features >> BigInt(32 * half)) & 0xffff_ffffn);
  }

  setStatus(status: number, legacy: boolean): void {
    if (status === 0) {
      this.reset();
      return;
    }
    if (!legacy) {
      this.device.setModernStatus(status);
      return;
    }
    // Linux before 2.6.34 forgot to ask for the bus.
    if (status === (STATUS.ACKNOWLEDGE | STATUS.DRIVER))
      this.pci.writeConfig(PCI.COMMAND, 2, this.pci.command | COMMAND.MASTER);
    this.device.setStatus(status);
  }

  notify(queue: number): void {
    // Without leave to reach memory a device cannot look what was notified.
    if (this.pci.busMaster) this.device.notify(queue);
    else this.log.guestError(this.name, `notified of queue ${queue} while it may not be a bus master`);
  }

  get queue(): QueueState | undefined {
    return this.device.state.queues[this.state.queueSelect];
  }

  /** Entries: as many as the driver chose, at most and at first the queue's; 0 for a queue that is not there. */
  get queueSize(): number {
    return this.queue?.size ?? 0;
  }

  setQueueSize(size: number): void {
    const queue = this.configurable('size');
    if (!queue) return;
    const most = this.device.queues[this.state.queueSelect].maxSize;
    if (size < 1 || size > most || size & (size - 1)) this.log.guestError(this.name, `queue size ${size}`);
    else queue.size = size;
  }

  enableQueue(on: number): void {
    const queue = this.configurable('enable');
    // A queue stops with a reset only.
    if (queue && on === 1) Object.assign(queue, { ready: true, nextAvail: 0, nextUsed: 0, signalled: -1 });
  }

  address(part: 'descriptors' | 'avail' | 'used', half: number): number {
    const address = this.queue?.[part] ?? 0;
    return half ? Math.floor(address / 2 ** 32) >>> 0 : address % 2 ** 32;
  }

  setAddress(part: 'descriptors' | 'avail' | 'used', word: number, half: number): void {
    const queue = this.configurable(part);
    if (!queue) return;
    const low = queue[part] % 2 ** 32;
    // Above 2^53 a number is rounded, but no RAM is there either.
    queue[part] = half ? word * 2 ** 32 + low : queue[part] - low + word;
  }

  /** Legacy: the page that the selected queue starts at; 0 for none. */
  get page(): number {
    const { queue } = this;
    return queue?.ready ? Math.floor(queue.descriptors / PAGE) >>> 0 : 0;
  }

  setPage(page: number): void {
    const { queue } = this;
    if (!queue) {
      this.log.guestError(this.name, `address of queue ${this.state.queueSelect}, which is absent`);
      return;
    }
    const descriptors = page * PAGE;
    const avail = descriptors + 16 * queue.size;
    const used = alignUp(avail + 4 + 2 * queue.size, PAGE);
    Object.assign(queue, { ready: page !== 0, nextAvail: 0, nextUsed: 0, signalled: -1, descriptors, avail, used });
  }

  get queueVector(): number {
    return this.state.queueVectors[this.state.queueSelect] ?? NO_VECTOR;
  }

  /** A vector that is not there reads back as none: so the driver learns it. */
  setConfigVector(vector: number): void {
    this.state.configVector = vector < this.vectors ? vector : NO_VECTOR;
  }

  setQueueVector(vector: number): void {
    if (this.queue) this.state.queueVectors[this.state.queueSelect] = vector < this.vectors ? vector : NO_VECTOR;
  }

  readConfig(at: number, size: AccessSize): number {
    return this.device.readConfig(at, size);
  }

  writeConfig(at: number, size: AccessSize, value: number): void {
    this.device.configWrite(at, size, value);
  }

  private interrupt(vector: number): void {
    if (!this.pci.msix?.enabled) this.pci.irq.set(true);
    else if (vector !== NO_VECTOR) this.pci.msix.notify(vector);
  }

  /** The selected queue while it may be configured. */
  private configurable(what: string): QueueState | undefined {
    const { queue } = this;
    if (queue && !queue.ready) return queue;
    const { queueSelect } = this.state;
    this.log.guestError(this.name, `${what} of queue ${queueSelect}, which is ${queue ? 'in use' : 'absent'}`);
    return undefined;
  }
}
