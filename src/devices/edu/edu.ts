/**
 * QEMU's educational PCI device: factorials, DMA between memory and a buffer of 4 KiB, interrupts to order.
 *
 * Spec: QEMU, "EDU device" (docs/specs/edu). What it leaves open is QEMU's: a transfer takes 100 ms, a second one cannot
 * be started meanwhile. Departures: a multiplication takes 1 ns of the machine's time; a transfer outside the buffer
 * does not take place; a register that is not there reads as 0.
 */
import { bank, type Register } from '../../hw/bank.ts';
import type { Timer } from '../../hw/clock.ts';
import type { Device, DeviceLog, Dma, Wiring } from '../../hw/device.ts';
import { fetchBytes, storeBytes } from '../../hw/iommu.ts';
import { PciFunction } from '../../hw/pci.ts';
import { array, bytes, create, f64, layout, u32 } from '../../state/layout.ts';

const IDENTIFICATION = 0x0100_00ed;
const STATUS = { COMPUTING: 1, INTERRUPT: 0x80 } as const;
const CAUSE = { FACTORIAL: 1, DMA: 0x100 } as const;
const RUN = { START: 1, TO_MEMORY: 2, INTERRUPT: 4 } as const;
const BUFFER = { at: 0x4_0000, size: 0x1000 } as const;
const TRANSFER_NS = 100e6;
/** 28 bits of address, unless the device is told otherwise. */
export const EDU_MASK = 0xfff_ffff;

const STATE = layout('edu', 1, {
  check: u32,
  factorial: u32,
  status: u32,
  causes: u32,
  source: array(u32, 2),
  target: array(u32, 2),
  count: array(u32, 2),
  command: array(u32, 2),
  computedAt: f64, // ns, of what is under way
  movedAt: f64,
  buffer: bytes(BUFFER.size),
});

type Words = 'source' | 'target' | 'count';
/** A register of 64 bits. A write of the low half alone is one of all: the high half of a wider one comes after it. */
function words(at: number, field: Words): Register<Edu> {
  return {
    at,
    count: 2,
    read: ({ state }, half) => state[field][half],
    write: ({ state }, value, half) => {
      if (state.command[0] & RUN.START) return;
      state[field][half] = value;
      if (half === 0) state[field][1] = 0;
    },
  };
}

const REGISTERS = bank<Edu>(0x10_0000, {
  IDENTIFICATION: { at: 0x00, read: () => IDENTIFICATION },
  LIVENESS: { at: 0x04, read: ({ state }) => state.check, write: (edu, value) => edu.answer(value) },
  FACTORIAL: { at: 0x08, read: ({ state }) => state.factorial, write: (edu, value) => edu.compute(value) },
  STATUS: { at: 0x20, field: 'status', mask: STATUS.INTERRUPT },
  INTERRUPT_STATUS: { at: 0x24, read: ({ state }) => state.causes },
  INTERRUPT_RAISE: { at: 0x60, write: (edu, value) => edu.raise(value) },
  INTERRUPT_ACKNOWLEDGE: { at: 0x64, write: (edu, value) => edu.acknowledge(value) },
  DMA_SOURCE: words(0x80, 'source'),
  DMA_TARGET: words(0x88, 'target'),
  DMA_COUNT: words(0x90, 'count'),
  DMA_COMMAND: {
    at: 0x98,
    count: 2,
    read: ({ state }, half) => state.command[half],
    write: (edu, value, half) => {
      if (half === 0) edu.start(value);
    },
  },
});

export class Edu implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  readonly pci: PciFunction;
  private readonly dma: Dma;
  private readonly clock: Wiring['clock'];
  /** Bits that an address may have. */
  private readonly mask: bigint;
  private readonly computation: Timer;
  private readonly transfer: Timer;

  constructor(name: string, wiring: Wiring, mask: bigint = BigInt(EDU_MASK)) {
    this.name = name;
    this.log = wiring.log;
    this.clock = wiring.clock;
    this.mask = mask;
    this.pci = new PciFunction({
      name,
      vendor: 0x1234,
      device: 0x11e8,
      class: 0x00ff00,
      revision: 0x10,
      interruptPin: 1,
      bars: [{ index: 0, kind: 'mem32', size: REGISTERS.size, mmio: REGISTERS.on(this) }],
      msi: { offset: 0x40 },
    });
    this.pci.owner = this;
    this.dma = this.pci.master(wiring.dma);
    this.computation = wiring.clock.timer(() => this.computed());
    this.transfer = wiring.clock.timer(() => this.moved());
  }

  reset(): void {
    Object.assign(this.state, create(STATE));
    this.resumed();
  }

  resumed(): void {
    const { status, command, computedAt, movedAt, causes } = this.state;
    this.computation.cancel();
    this.transfer.cancel();
    if (status & STATUS.COMPUTING) this.computation.set(computedAt);
    if (command[0] & RUN.START) this.transfer.set(movedAt);
    this.pci.irq.set(causes !== 0 && !this.pci.messages);
  }

  /** The value comes back inverted. */
  answer(value: number): void {
    this.state.check = ~value >>> 0;
  }

  compute(value: number): void {
    const { state } = this;
    if (state.status & STATUS.COMPUTING) return;
    state.factorial = value;
    state.status |= STATUS.COMPUTING;
    state.computedAt = this.clock.now() + value;
    this.computation.set(state.computedAt);
  }

  private computed(): void {
    const { state } = this;
    let product = 1;
    // 34! and what follows are multiples of 2^32.
    if (state.factorial >= 34) product = 0;
    else for (let n = 2; n <= state.factorial; n++) product = Math.imul(product, n);
    state.factorial = product >>> 0;
    state.status &= ~STATUS.COMPUTING;
    if (state.status & STATUS.INTERRUPT) this.raise(CAUSE.FACTORIAL);
  }

  raise(causes: number): void {
    const { state, pci } = this;
    state.causes = (state.causes | causes) >>> 0;
    if (!state.causes) return;
    if (pci.messages) pci.notify(0);
    else pci.irq.set(true);
  }

  acknowledge(causes: number): void {
    const { state, pci } = this;
    state.causes = (state.causes & ~causes) >>> 0;
    if (!state.causes) pci.irq.set(false);
  }

  start(command: number): void {
    const { state } = this;
    if (!(command & RUN.START) || state.command[0] & RUN.START) return;
    state.command = [command, 0];
    state.movedAt = this.clock.now() + TRANSFER_NS;
    this.transfer.set(state.movedAt);
  }

  private moved(): void {
    const { state } = this;
    const [command] = state.command;
    const toMemory = (command & RUN.TO_MEMORY) !== 0;
    const inside = state[toMemory ? 'source' : 'target'];
    const outside = state[toMemory ? 'target' : 'source'];
    const [count, at] = [state.count, inside].map(([low, high]) => high * 2 ** 32 + low);
    if (at < BUFFER.at || at + count > BUFFER.at + BUFFER.size)
      this.log.guestError(this.name, `DMA of ${count} bytes at 0x${at.toString(16)}, outside the buffer`);
    else this.move(state.buffer.subarray(at - BUFFER.at, at - BUFFER.at + count), outside, toMemory);
    state.command[0] = (command & ~RUN.START) >>> 0;
    if (command & RUN.INTERRUPT) this.raise(CAUSE.DMA);
  }

  private move(bytes: Uint8Array, [low, high]: readonly number[], toMemory: boolean): void {
    const wide = (BigInt(high) << 32n) | BigInt(low);
    const address = Number(wide & this.mask);
    if (wide & ~this.mask) this.log.guestError(this.name, `DMA to 0x${wide.toString(16)}, which the mask cuts`);
    const done = (toMemory ? storeBytes : fetchBytes)(this.dma, address, bytes);
    if (done < bytes.length) this.log.guestError(this.name, `DMA to 0x${address.toString(16)}, which is not there`);
  }
}
