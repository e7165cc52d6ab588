/**
 * NE2000: a DP8390 with 32 KiB of packet memory behind a data port (QEMU's
 * `ne2k_isa`; `ne2k_pci` is the same chip as Realtek made it for PCI).
 *
 * Spec: National Semiconductor DP8390D/NS32490D, "Internal Registers"; Realtek
 * RTL8029AS, "Register Descriptions".
 * Departures, QEMU's: no loopback modes, no collision or error counters; send
 * packet and a FIFO that could be read are not there.
 */
import { readU16, readU32, writeU16, writeU32 } from '../../bits/endian.ts';
import type { AccessSize, Device, DeviceLog, IrqLine, Mmio, Wiring } from '../../hw/device.ts';
import { isBroadcast, isFor, isGroup, multicastBit, padded } from '../../hw/ethernet.ts';
import type { Link } from '../../hw/link.ts';
import { bytes, create, layout, reset, u8, u16 } from '../../state/layout.ts';

/** The address PROM, every byte twice, and packet memory. */
const PROM_SIZE = 32;
const MEMORY = { START: 0x4000, END: 0xc000, SIZE: 0x8000 } as const;
const PAGE = 256;
/** Ring registers do not take pages beyond the memory, as QEMU's. */
const PAGES = MEMORY.END / PAGE;
const MAX_FRAME = 1514;
const CR = { STOP: 1, TRANSMIT: 4, READ: 8, WRITE: 0x10 } as const;
const ISR = { RX: 1, TX: 2, RDC: 0x40, RESET: 0x80 } as const;
const RCR = { BROADCAST: 4, MULTICAST: 8, PROMISCUOUS: 0x10 } as const;
const RSR = { OK: 1, GROUP: 0x20 } as const;
const TSR_OK = 1;
const DCR_WORDS = 1;
/** Ports of the card beside the chip's sixteen. */
const PORT = { DATA: 0x10, RESET: 0x1f } as const;
export const PORTS = 0x20;

const STATE = layout('ne2000', 1, {
  cr: u8,
  pstart: u8, // pages
  pstop: u8,
  bnry: u8,
  tsr: u8,
  tpsr: u8,
  tbcr: u16,
  rbcr: u16, // remote DMA: bytes left, and where
  rsar: u16,
  rcr: u8,
  rsr: u8,
  isr: u8,
  dcr: u8,
  imr: u8,
  par: bytes(6),
  curr: u8,
  mar: bytes(8),
  memory: bytes(MEMORY.END),
});

export class Ne2000 implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  readonly link: Link;
  /** The card's 32 ports. */
  readonly mmio: Mmio;
  private readonly irq: IrqLine;
  private readonly mac: Uint8Array;

  constructor(name: string, wiring: Pick<Wiring, 'log'>, irq: IrqLine, link: Link, mac: Uint8Array) {
    this.name = name;
    this.log = wiring.log;
    this.irq = irq;
    this.link = link;
    this.mac = mac;
    this.mmio = {
      read: (offset, size) => this.read(offset, size),
      write: (offset, size, value) => this.write(offset, size, value),
    };
    link.canReceive = () => (this.state.cr & CR.STOP) !== 0 || this.room() >= MAX_FRAME + 4;
    link.onReceive = (frame) => this.receive(frame);
    this.writeProm();
    this.state.isr = ISR.RESET;
  }

  reset(): void {
    reset(STATE, this.state);
    this.resetChip();
    this.output();
  }

  resumed(): void {
    this.output();
  }

  /** What a read of the reset port does: the chip stops, memory and most registers stay. */
  private resetChip(): void {
    this.state.isr = ISR.RESET;
    this.writeProm();
  }

  private writeProm(): void {
    const { memory } = this.state;
    const prom = [...this.mac, ...memory.slice(6, 14), 0x57, 0x57];
    for (let i = 0; i < PROM_SIZE; i++) memory[i] = prom[i >> 1];
  }

  private output(): void {
    this.irq.set((this.state.isr & this.state.imr & 0x7f) !== 0);
  }

  private raise(causes: number): void {
    this.state.isr |= causes;
    this.output();
  }

  private read(offset: number, size: AccessSize): number {
    if (offset < PORT.DATA && size === 1) return this.readRegister(offset);
    if (offset === PORT.DATA) return this.readData(size);
    if (offset === PORT.RESET && size === 1) {
      this.resetChip();
      return 0;
    }
    this.log.guestError(this.name, `read of ${size} bytes at ${offset}`);
    return size === 4 ? 0xffff_ffff : (1 << (8 * size)) - 1;
  }

  private write(offset: number, size: AccessSize, value: number): void {
    if (offset < PORT.DATA && size === 1) this.writeRegister(offset, value);
    else if (offset === PORT.DATA) this.writeData(size, value);
    else if (offset !== PORT.RESET) this.log.guestError(this.name, `write of ${size} bytes at ${offset}`);
  }

  // Registers: sixteen in each of the pages that CR selects.

  private readRegister(offset: number): number {
    const { state } = this;
    if (offset === 0) return state.cr;
    switch (((state.cr >> 6) << 4) | offset) {
      case 0x03:
        return state.bnry;
      case 0x04:
        return state.tsr;
      case 0x07:
        return state.isr;
      case 0x08:
        return state.rsar & 0xff;
      case 0x09:
        return state.rsar >> 8;
      case 0x0a:
        return 0x50; // RTL8029: "PC"
      case 0x0b:
        return 0x43;
      case 0x0c:
        return state.rsr;
      case 0x17:
        return state.curr;
      case 0x21:
        return state.pstart;
      case 0x22:
        return state.pstop;
      case 0x35:
      case 0x36:
        return 0x40; // CONFIG2 and 3: 10BASE-T, full duplex
    }
    if (state.cr >> 6 === 1) return offset < 7 ? state.par[offset - 1] : state.mar[offset - 8];
    return 0;
  }

  private writeRegister(offset: number, value: number): void {
    const { state } = this;
    if (offset === 0) {
      this.command(value);
      return;
    }
    const page = state.cr >> 6;
    if (page === 1) {
      if (offset < 7) state.par[offset - 1] = value;
      else if (offset > 7) state.mar[offset - 8] = value;
      else if (value < PAGES) state.curr = value;
      if (offset === 7) this.link.ready();
      return;
    }
    if (page !== 0) return;
    const low = (word: number) => (word & 0xff00) | value;
    const high = (word: number) => (word & 0xff) | (value << 8);
    switch (offset) {
      case 0x01:
        if (value <= PAGES) state.pstart = value;
        break;
      case 0x02:
        if (value <= PAGES) state.pstop = value;
        break;
      case 0x03:
        if (value < PAGES) state.bnry = value;
        this.link.ready();
        break;
      case 0x04:
        state.tpsr = value;
        break;
      case 0x05:
        state.tbcr = low(state.tbcr);
        break;
      case 0x06:
        state.tbcr = high(state.tbcr);
        break;
      case 0x07:
        state.isr &= ~(value & 0x7f);
        this.output();
        break;
      case 0x08:
        state.rsar = low(state.rsar);
        break;
      case 0x09:
        state.rsar = high(state.rsar);
        break;
      case 0x0a:
        state.rbcr = low(state.rbcr);
        break;
      case 0x0b:
        state.rbcr = high(state.rbcr);
        break;
      case 0x0c:
        state.rcr = value;
        break;
      case 0x0e:
        state.dcr = value;
        break;
      case 0x0f:
        state.imr = value;
        this.output();
        break;
    }
  }

  private command(value: number): void {
    const { state } = this;
    state.cr = value;
    if (value & CR.STOP) return;
    state.isr &= ~ISR.RESET;
    if (value & (CR.READ | CR.WRITE) && state.rbcr === 0) this.raise(ISR.RDC);
    if (value & CR.TRANSMIT) this.transmit();
    this.link.ready();
  }

  // Remote DMA: the data port and packet memory.

  private readData(size: AccessSize): number {
    const width = size === 4 ? 4 : this.state.dcr & DCR_WORDS ? 2 : 1;
    const at = this.place(width);
    const { memory } = this.state;
    let value = width === 4 ? 0xffff_ffff : (1 << (8 * width)) - 1;
    if (at !== undefined) value = width === 4 ? readU32(memory, at) : width === 2 ? readU16(memory, at) : memory[at];
    this.advance(width);
    return size === 1 ? value & 0xff : value;
  }

  private writeData(size: AccessSize, value: number): void {
    if (this.state.rbcr === 0) return;
    const width = size === 4 ? 4 : this.state.dcr & DCR_WORDS ? 2 : 1;
    const at = this.place(width);
    const { memory } = this.state;
    if (at !== undefined) {
      if (width === 4) writeU32(memory, at, value);
      else if (width === 2) writeU16(memory, at, value);
      else memory[at] = value;
    }
    this.advance(width);
  }

  /** Where in memory the next `width` bytes are; undefined where there is none. */
  private place(width: number): number | undefined {
    const at = width === 1 ? this.state.rsar : this.state.rsar & ~1;
    const there = at < PROM_SIZE || (at >= MEMORY.START && at < MEMORY.END);
    return there && at + width <= MEMORY.END ? at : undefined;
  }

  private advance(width: number): void {
    const { state } = this;
    state.rsar = (state.rsar + width) & 0xffff;
    if (state.rsar === state.pstop * PAGE) state.rsar = state.pstart * PAGE;
    state.rbcr = Math.max(0, state.rbcr - width);
    if (state.rbcr === 0) this.raise(ISR.RDC);
  }

  // Frames.

  private transmit(): void {
    const { state } = this;
    const page = state.tpsr * PAGE;
    const from = page >= MEMORY.END ? page - MEMORY.SIZE : page;
    if (from + state.tbcr <= MEMORY.END) this.link.send(state.memory.subarray(from, from + state.tbcr));
    else this.log.guestError(this.name, `transmission of ${state.tbcr} bytes at page ${state.tpsr}`);
    state.tsr = TSR_OK;
    state.cr &= ~CR.TRANSMIT;
    this.raise(ISR.TX);
  }

  /** Bytes from CURR to BNRY in the ring. */
  private room(): number {
    const { curr, bnry, pstart, pstop } = this.state;
    return (curr < bnry ? bnry - curr : pstop - pstart - (curr - bnry)) * PAGE;
  }

  private receive(received: Uint8Array): void {
    const { state } = this;
    if (state.cr & CR.STOP || this.room() < MAX_FRAME + 4 || !this.accepts(received)) return;
    const frame = padded(received);
    const length = frame.length + 4;
    const [start, stop] = [state.pstart * PAGE, Math.min(state.pstop * PAGE, MEMORY.END)];
    let next = state.curr + Math.ceil((length + 4) / PAGE); // the check sequence takes room too
    if (next >= state.pstop) next -= state.pstop - state.pstart;
    state.rsr = RSR.OK | (isGroup(frame) ? RSR.GROUP : 0);
    let at = state.curr * PAGE;
    // The guest chose the pages: what would lie outside of memory is lost.
    const put = (bytes: ArrayLike<number>) => {
      for (let i = 0; i < bytes.length; i++) {
        if (at < MEMORY.END) state.memory[at] = bytes[i];
        if (++at === stop) at = start;
      }
    };
    put([state.rsr, next & 0xff, length & 0xff, length >> 8]);
    put(frame);
    state.curr = next & 0xff;
    this.raise(ISR.RX);
  }

  private accepts(frame: Uint8Array): boolean {
    const { rcr, mar, memory } = this.state;
    if (rcr & RCR.PROMISCUOUS) return true;
    if (isBroadcast(frame)) return (rcr & RCR.BROADCAST) !== 0;
    if (isGroup(frame)) {
      const bit = multicastBit(frame);
      return (rcr & RCR.MULTICAST) !== 0 && ((mar[bit >> 3] >> (bit & 7)) & 1) === 1;
    }
    // As QEMU: the address in the PROM, whatever PAR says.
    return isFor(
      frame,
      [0, 2, 4, 6, 8, 10].map((at) => memory[at]),
    );
  }
}
