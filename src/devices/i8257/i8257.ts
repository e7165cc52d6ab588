/**
 * One of the PC's two DMA controllers (8237A, as QEMU's `i8257`), with its
 * page registers. The second one moves words: its addresses and counts are
 * those of words.
 *
 * Spec: Intel 8237A data sheet (1993), "Register description"; IBM PC AT
 * Technical Reference, "DMA page register addresses".
 * Departures: no memory-to-memory transfers; the modes demand, single, block
 * and cascade differ in nothing, because a device moves its bytes at once.
 */
import type { Device, DeviceLog, Dma, Mmio, Wiring } from '../../hw/device.ts';
import type { IsaDmaChannel } from '../../hw/isa-dma.ts';
import { array, create, initially, layout, u1, u8, u16 } from '../../state/layout.ts';

const MODE = { KIND: 0x0c, TO_MEMORY: 4, FROM_MEMORY: 8, AUTO: 0x10, DOWN: 0x20 };
const DISABLED = 4;
/** Which channel a page register of eight belongs to; the others only remember. */
const PAGES: Readonly<Record<number, number>> = { 7: 0, 3: 1, 1: 2, 2: 3 };

const STATE = layout('i8257', 1, {
  address: array(u16, 4),
  count: array(u16, 4),
  baseAddress: array(u16, 4),
  baseCount: array(u16, 4),
  mode: array(u8, 4),
  page: array(u8, 8),
  pageHigh: array(u8, 8),
  flipFlop: u1,
  command: u8,
  mask: initially(u8, 15),
  requests: u8, // by software, and DREQ in the high half
  reached: u8, // channels that reached terminal count
});

export class I8257 implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  /** 16 registers; the second controller's are 2 ports apart. */
  readonly registers: Mmio;
  /** 8 page registers: from 0x80, or 0x88 for the second controller. */
  readonly pages: Mmio;
  /** Bits 24 to 31 of the addresses, 0x400 ports further up. */
  readonly highPages: Mmio;
  readonly channels: readonly IsaDmaChannel[];
  private readonly dma: Dma;
  /** Bytes of a unit: 1, or 2 for the controller of channels 4 to 7. */
  private readonly unit: 1 | 2;

  constructor(name: string, wiring: Wiring, unit: 1 | 2 = 1) {
    this.name = name;
    this.log = wiring.log;
    this.dma = wiring.dma;
    this.unit = unit;
    this.registers = {
      widths: [1],
      read: (offset) => this.read(Math.floor(offset / unit) & 15),
      write: (offset, _, value) => this.write(Math.floor(offset / unit) & 15, value & 0xff),
    };
    const bank = (name: 'page' | 'pageHigh'): Mmio => ({
      widths: [1],
      read: (offset) => this.state[name][offset & 7],
      write: (offset, _, value) => {
        this.state[name][offset & 7] = value & 0xff;
      },
    });
    this.pages = bank('page');
    this.highPages = bank('pageHigh');
    this.channels = [0, 1, 2, 3].map((channel) => new Channel(this, channel));
  }

  /** The page registers outlive nothing, as power-on leaves them 0. */
  reset(): void {
    Object.assign(this.state, create(STATE));
  }

  request(channel: number, level: boolean): void {
    const bit = 0x10 << channel;
    this.state.requests = level ? this.state.requests | bit : this.state.requests & ~bit;
  }

  /**
   * Moves up to `bytes.length` bytes and counts them; whether terminal count was reached. Where no memory is, reads give
   * ones and writes are lost.
   */
  move(channel: number, kind: number, bytes: Uint8Array): { moved: number; terminal: boolean } {
    const { state, unit } = this;
    const mode = state.mode[channel];
    const verifies = (mode & MODE.KIND) === 0;
    if (state.mask & (1 << channel) || state.command & DISABLED || (!verifies && (mode & MODE.KIND) !== kind))
      return { moved: 0, terminal: false };
    const units = Math.min(Math.floor(bytes.length / unit), state.count[channel] + 1);
    if (!verifies) this.copy(channel, kind, bytes.subarray(0, units * unit));
    const step = mode & MODE.DOWN ? -units : units;
    state.address[channel] = (state.address[channel] + step) & 0xffff;
    const terminal = units === state.count[channel] + 1;
    state.count[channel] = (state.count[channel] - units) & 0xffff;
    if (terminal) this.reached(channel, mode);
    return { moved: units * unit, terminal };
  }

  private reached(channel: number, mode: number): void {
    const { state } = this;
    state.reached |= 1 << channel;
    if (mode & MODE.AUTO) {
      state.address[channel] = state.baseAddress[channel];
      state.count[channel] = state.baseCount[channel];
    } else state.mask |= 1 << channel;
  }

  private copy(channel: number, kind: number, bytes: Uint8Array): void {
    const { state, unit, dma } = this;
    const down = (state.mode[channel] & MODE.DOWN) !== 0;
    const register = Number(Object.keys(PAGES).find((at) => PAGES[Number(at)] === channel));
    const high = (state.pageHigh[register] * 0x100 + (state.page[register] & -unit)) * 0x1_0000;
    for (let done = 0; done < bytes.length; ) {
      // The 16 bits of the address wrap within their page.
      const at = down
        ? (state.address[channel] - done / unit) & 0xffff
        : (state.address[channel] + done / unit) & 0xffff;
      const length = down ? unit : Math.min(bytes.length - done, (0x1_0000 - at) * unit);
      const part = bytes.subarray(done, done + length);
      const address = high + at * unit;
      if (kind === MODE.TO_MEMORY) dma.writable(address, length)?.set(part);
      else {
        const source = dma.readable(address, length);
        if (source) part.set(source);
        else part.fill(0xff);
      }
      done += length;
    }
  }

  private read(register: number): number {
    const { state } = this;
    if (register < 8) {
      const value = (register & 1 ? state.count : state.address)[register >> 1];
      const byte = state.flipFlop ? value >> 8 : value & 0xff;
      state.flipFlop ^= 1;
      return byte;
    }
    switch (register) {
      case 8: {
        const status = (state.requests & 0xf0) | state.reached;
        state.reached = 0;
        return status;
      }
      case 15:
        return state.mask | 0xf0;
      default:
        return 0; // the temporary register serves memory-to-memory transfers only
    }
  }

  private write(register: number, value: number): void {
    const { state } = this;
    const channel = value & 3;
    if (register < 8) {
      const index = register >> 1;
      const [now, base] = register & 1 ? [state.count, state.baseCount] : [state.address, state.baseAddress];
      const shift = state.flipFlop ? 8 : 0;
      base[index] = (base[index] & ~(0xff << shift) & 0xffff) | (value << shift);
      now[index] = base[index];
      state.flipFlop ^= 1;
      return;
    }
    switch (register) {
      case 8:
        state.command = value;
        break;
      case 9:
        state.requests = value & 4 ? state.requests | (1 << channel) : state.requests & ~(1 << channel);
        break;
      case 10:
        state.mask = value & 4 ? state.mask | (1 << channel) : state.mask & ~(1 << channel);
        break;
      case 11:
        state.mode[channel] = value;
        break;
      case 12:
        state.flipFlop = 0;
        break;
      case 13:
        Object.assign(state, { flipFlop: 0, command: 0, mask: 15, reached: 0, requests: state.requests & 0xf0 });
        break;
      case 14:
        state.mask = 0;
        break;
      default:
        state.mask = value & 15;
    }
    this.offer();
  }

  /** Devices that wait with DREQ may move now. */
  private offer(): void {
    const { state } = this;
    if (state.command & DISABLED) return;
    this.channels.forEach((channel, index) => {
      if (state.requests & (0x10 << index) && !(state.mask & (1 << index))) channel.ready?.();
    });
  }
}

class Channel implements IsaDmaChannel {
  terminal = false;
  ready?: () => void;
  private readonly controller: I8257;
  private readonly index: number;

  constructor(controller: I8257, index: number) {
    this.controller = controller;
    this.index = index;
  }

  request(level: boolean): void {
    this.controller.request(this.index, level);
  }

  toMemory(from: Uint8Array): number {
    return this.move(MODE.TO_MEMORY, from);
  }

  fromMemory(into: Uint8Array): number {
    return this.move(MODE.FROM_MEMORY, into);
  }

  private move(kind: number, bytes: Uint8Array): number {
    if (bytes.length === 0) return 0;
    const { moved, terminal } = this.controller.move(this.index, kind, bytes);
    this.terminal = terminal;
    return moved;
  }
}
