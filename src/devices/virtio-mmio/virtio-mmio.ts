/**
 * virtio over MMIO: the register window that carries one virtio device, or none.
 *
 * Spec: OASIS VIRTIO 1.2, "Virtio Over MMIO" with its "Legacy interface".
 * Version 1 (legacy) is the default, as QEMU's `force-legacy=true` is; there,
 * status, features and queues work as legacy drivers expect.
 */
import { alignUp } from '../../bits/endian.ts';
import { bank } from '../../hw/bank.ts';
import type { AccessSize, Device, DeviceLog, IrqLine, Mmio } from '../../hw/device.ts';
import type { VirtioDevice, VirtioTransport } from '../../hw/virtio.ts';
import type { QueueState } from '../../hw/virtqueue.ts';
import { create, initially, layout, u32 } from '../../state/layout.ts';

const MAGIC = 0x7472_6976; // "virt"
const VENDOR = 0x554d_4551; // "QEMU", which guests know
const CONFIG = 0x100;
const WINDOW = 0x1000;
const INTERRUPT = { QUEUE: 1, CONFIG: 2 };

const STATE = layout('virtio-mmio', 1, {
  deviceFeaturesSel: u32,
  driverFeaturesSel: u32,
  queueSel: u32,
  guestPageSize: u32, // legacy
  queueAlign: initially(u32, 4096), // legacy
  interrupts: u32,
});

const REGISTERS = bank<VirtioMmio>(CONFIG, {
  MagicValue: { at: 0x000, read: () => MAGIC },
  Version: { at: 0x004, read: (slot) => (slot.legacy ? 1 : 2) },
  DeviceID: { at: 0x008, read: (slot) => slot.device?.deviceId ?? 0 },
  VendorID: { at: 0x00c, read: () => VENDOR },
  DeviceFeatures: { at: 0x010, read: (slot) => slot.deviceFeatures() },
  DeviceFeaturesSel: { at: 0x014, field: 'deviceFeaturesSel' },
  DriverFeatures: { at: 0x020, write: (slot, bits) => slot.acceptFeatures(bits) },
  DriverFeaturesSel: { at: 0x024, field: 'driverFeaturesSel' },
  GuestPageSize: { at: 0x028, write: (slot, size) => slot.setPageSize(size) },
  QueueSel: { at: 0x030, field: 'queueSel' },
  QueueNumMax: { at: 0x034, read: (slot) => slot.maxSize() },
  QueueNum: { at: 0x038, write: (slot, size) => slot.setSize(size) },
  QueueAlign: { at: 0x03c, write: (slot, align) => slot.setAlign(align) },
  QueuePFN: { at: 0x040, read: (slot) => slot.pageNumber(), write: (slot, page) => slot.setPageNumber(page) },
  QueueReady: { at: 0x044, read: (slot) => slot.queueReady(), write: (slot, ready) => slot.setReady(ready) },
  QueueNotify: { at: 0x050, write: (slot, queue) => slot.device?.notify(queue) },
  InterruptStatus: { at: 0x060, read: (slot) => slot.state.interrupts },
  InterruptACK: { at: 0x064, write: (slot, bits) => slot.acknowledge(bits) },
  Status: { at: 0x070, read: (slot) => slot.status(), write: (slot, status) => slot.setStatus(status & 0xff) },
  QueueDesc: { at: 0x080, count: 2, write: (slot, word, half) => slot.setAddress('descriptors', word, half) },
  QueueDriver: { at: 0x090, count: 2, write: (slot, word, half) => slot.setAddress('avail', word, half) },
  QueueDevice: { at: 0x0a0, count: 2, write: (slot, word, half) => slot.setAddress('used', word, half) },
  SHMSel: { at: 0x0ac, write: () => {} },
  SHMLen: { at: 0x0b0, count: 2, read: () => -1 }, // no such region
  SHMBase: { at: 0x0b8, count: 2, read: () => -1 },
  ConfigGeneration: { at: 0x0fc, read: (slot) => slot.device?.state.generation ?? 0 },
});

export class VirtioMmio implements Device<typeof STATE>, VirtioTransport {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  readonly mmio: Mmio;
  readonly legacy: boolean;
  device: VirtioDevice | undefined;
  private readonly irq: IrqLine;

  constructor(name: string, log: DeviceLog, irq: IrqLine, legacy: boolean) {
    this.name = name;
    this.log = log;
    this.irq = irq;
    this.legacy = legacy;
    const registers = REGISTERS.on(this);
    this.mmio = {
      read: (offset, size) => (offset < CONFIG ? registers.read(offset, size) : this.readConfig(offset - CONFIG, size)),
      write: (offset, size, value) => {
        if (offset < CONFIG) registers.write(offset, size, value);
        else this.device?.configWrite(offset - CONFIG, size, value);
      },
    };
  }

  /** The window's size, bytes. */
  static readonly windowSize = WINDOW;

  /** Puts a device into the slot. */
  plug(device: VirtioDevice): void {
    this.device = device;
    device.connect(this);
  }

  reset(): void {
    Object.assign(this.state, create(STATE));
    this.device?.reset();
    this.output();
  }

  resumed(): void {
    this.output();
  }

  queueInterrupt(): void {
    this.state.interrupts |= INTERRUPT.QUEUE;
    this.output();
  }

  configInterrupt(): void {
    this.state.interrupts |= INTERRUPT.CONFIG;
    this.output();
  }

  acknowledge(bits: number): void {
    this.state.interrupts = (this.state.interrupts & ~bits) >>> 0;
    this.output();
  }

  deviceFeatures(): number {
    const half = this.state.deviceFeaturesSel;
    if (!this.device || half > 1 || (this.legacy && half === 1)) return 0;
    return Number((this.device.offered(this.legacy) >> BigInt(32 * half)) & 0xffff_ffffn);
  }

  acceptFeatures(bits: number): void {
    this.device?.acceptFeatures(this.state.driverFeaturesSel, bits, this.legacy);
  }

  status(): number {
    return this.device?.state.status ?? 0;
  }

  setStatus(status: number): void {
    const { device } = this;
    if (!device) return;
    if (status === 0) {
      // Linux writes the legacy page size once, before it resets the device: it stays.
      const { guestPageSize } = this.state;
      this.reset();
      this.state.guestPageSize = guestPageSize;
      return;
    }
    if (this.legacy) device.setStatus(status);
    else device.setModernStatus(status);
  }

  maxSize(): number {
    // Zero says that a queue is not there.
    return this.device?.queues[this.state.queueSel]?.maxSize ?? 0;
  }

  setSize(size: number): void {
    const queue = this.selected('QueueNum');
    if (!queue) return;
    if (size < 1 || size > this.maxSize() || size & (size - 1)) {
      this.log.guestError(this.name, `queue size ${size}`);
      return;
    }
    queue.size = size;
  }

  queueReady(): number {
    return this.device?.state.queues[this.state.queueSel]?.ready ? 1 : 0;
  }

  setReady(ready: number): void {
    const { device } = this;
    const queue = device?.state.queues[this.state.queueSel];
    if (!device || !queue || this.legacy) {
      this.log.guestError(this.name, 'QueueReady of no queue');
      return;
    }
    if (ready & 1) queue.ready = true;
    else Object.assign(queue, { ready: false, nextAvail: 0, nextUsed: 0, signalled: -1 });
  }

  setAddress(part: 'descriptors' | 'avail' | 'used', word: number, half: number): void {
    const queue = this.selected(part);
    if (!queue) return;
    const low = queue[part] % 0x1_0000_0000;
    // Above 2^53 a number is rounded, but no RAM is there either.
    queue[part] = half ? word * 0x1_0000_0000 + low : queue[part] - low + word;
  }

  setPageSize(size: number): void {
    if (!this.legacy || size === 0 || size & (size - 1)) this.log.guestError(this.name, `guest page size ${size}`);
    else this.state.guestPageSize = size;
  }

  setAlign(align: number): void {
    if (!this.legacy || align === 0 || align & (align - 1)) this.log.guestError(this.name, `queue alignment ${align}`);
    else this.state.queueAlign = align;
  }

  pageNumber(): number {
    const queue = this.device?.state.queues[this.state.queueSel];
    if (!queue?.ready || !this.legacy || !this.state.guestPageSize) return 0;
    return Math.floor(queue.descriptors / this.state.guestPageSize) >>> 0;
  }

  /** Legacy: one page number places all three parts of a queue; 0 takes it away. */
  setPageNumber(page: number): void {
    const queue = this.device?.state.queues[this.state.queueSel];
    const { guestPageSize, queueAlign } = this.state;
    if (!queue || !this.legacy || !guestPageSize) {
      this.log.guestError(this.name, 'QueuePFN without a queue or before GuestPageSize');
      return;
    }
    Object.assign(queue, { ready: page !== 0, nextAvail: 0, nextUsed: 0, signalled: -1 });
    queue.descriptors = page * guestPageSize;
    queue.avail = queue.descriptors + 16 * queue.size;
    queue.used = alignUp(queue.avail + 4 + 2 * queue.size, queueAlign);
  }

  /** The selected queue while it may be configured. */
  private selected(register: string): QueueState | undefined {
    const queue = this.device?.state.queues[this.state.queueSel];
    if (queue && !queue.ready) return queue;
    this.log.guestError(
      this.name,
      `${register} of queue ${this.state.queueSel}, which is ${queue ? 'in use' : 'absent'}`,
    );
    return undefined;
  }

  private readConfig(offset: number, size: AccessSize): number {
    return this.device?.readConfig(offset, size) ?? 0;
  }

  private output(): void {
    this.irq.set(this.state.interrupts !== 0);
  }
}
