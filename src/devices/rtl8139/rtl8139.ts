/**
 * Realtek RTL8139C+ Fast Ethernet controller (QEMU's `rtl8139`).
 *
 * Spec: Realtek RTL8139D(L) and RTL8139C+ data sheets, "Register Descriptions".
 * Departures, QEMU's: no wake-up, no high-priority ring, no early interrupts.
 * Unlike QEMU 7.2 registers can be reached in any width, as on the chip.
 */
import { readU32, writeU32, writeU64 } from '../../bits/endian.ts';
import { type Banked, bank, type Register } from '../../hw/bank.ts';
import type { Timer } from '../../hw/clock.ts';
import type { AccessSize, Device, DeviceLog, Dma, Wiring } from '../../hw/device.ts';
import { tagged, VLAN_TYPE } from '../../hw/ethernet.ts';
import { type Link, MAX_FRAME } from '../../hw/link.ts';
import { PCI, PciFunction } from '../../hw/pci.ts';
import { create, reset } from '../../state/layout.ts';
import { eepromWords, setWires } from './eeprom.ts';
import { offload } from './offload.ts';
import { anyWidth } from './any-width.ts';
import { isEmpty, mustWait, receive } from './receive.ts';
import { CPCR, CR, ISR, STATE, TALLY, TALLY_SIZES, TCR_LOOPBACK, TSD } from './rtl8139-state.ts';

const WINDOW = 0x100;
/** The most descriptors that the C+ transmit ring has. */
const PLUS_RING = 64;
const BMSR_LINK = 4;
const TIMER_HZ = 33e6;
/** Bits of IMR and ISR that cannot be written. */
const INTERRUPTS = 0xe1ff;
/** First word of a C+ transmit descriptor; the tag's flag in the second. */
const TX = { OWN: 0x8000_0000, END: 0x4000_0000, FIRST: 0x2000_0000, LAST: 0x1000_0000, ERRORS: 0x02f0_0000 } as const;
const TX_TAG = 0x2_0000;

const idle = (at: number, size: AccessSize): Register<Rtl8139> => ({ at, size, read: () => 0, write: () => {} });
/** CONFIG registers, which CR9346 unlocks; `mask` says which bits can be written. */
const config = (at: number, number: number, mask: number): Register<Rtl8139> => ({
  at,
  size: 1,
  read: ({ state }) => state.config[number],
  write: ({ state }, value) => {
    if ((state.cr9346 & 0xc0) !== 0xc0 && number !== 5) return;
    state.config[number] = (state.config[number] & ~mask) | (value & mask);
  },
});

const REGISTERS: Readonly<Record<string, Register<Rtl8139>>> = {
  IDR: {
    at: 0x00,
    size: 1,
    count: 6,
    read: ({ state }, i) => state.idr[i],
    write: ({ state }, v, i) => {
      state.idr[i] = v;
    },
  },
  MAR: {
    at: 0x08,
    size: 1,
    count: 8,
    read: ({ state }, i) => state.mar[i],
    write: ({ state }, v, i) => {
      state.mar[i] = v;
    },
  },
  TSD: { at: 0x10, count: 4, read: ({ state }, i) => state.tsd[i], write: (nic, value, i) => nic.writeTsd(i, value) },
  TSAD: { at: 0x20, count: 4, field: 'tsad' },
  RBSTART: { at: 0x30, field: 'rbstart' },
  CR: {
    at: 0x37,
    size: 1,
    read: ({ state }) => state.cr | (isEmpty(state) ? CR.EMPTY : 0),
    write: (nic, value) => nic.command(value),
  },
  CAPR: {
    at: 0x38,
    size: 2,
    read: ({ state }) => (state.capr - 16) & 0xffff,
    write: (nic, value) => nic.readUpTo(value),
  },
  CBR: { at: 0x3a, size: 2, read: ({ state }) => state.cbr, write: () => {} },
  IMR: { at: 0x3c, size: 2, read: ({ state }) => state.imr, write: (nic, value) => nic.setMask(value) },
  ISR: { at: 0x3e, size: 2, read: (nic) => nic.causes(), write: (nic, ones) => nic.acknowledge(ones) },
  TCR: {
    at: 0x40,
    read: ({ state }) => state.tcr,
    write: ({ state }, value) => {
      const fixed = 0x7cc0_0000 | 0x8070_f80f;
      if (state.cr & CR.TX) state.tcr = ((state.tcr & fixed) | (value & ~fixed)) >>> 0;
    },
  },
  RCR: { at: 0x44, read: ({ state }) => state.rcr, write: (nic, value) => nic.configureReceive(value) },
  TCTR: { at: 0x48, read: (nic) => nic.ticks(), write: (nic) => nic.restartTimer() },
  MPC: {
    at: 0x4c,
    read: ({ state }) => state.missed,
    write: ({ state }) => {
      state.missed = 0;
    },
  },
  CR9346: {
    at: 0x50,
    size: 1,
    read: ({ state }) =>
      state.cr9346 | ((state.cr9346 & 0xc0) === 0x80 && state.eepromSelect & state.eepromOut ? 1 : 0),
    write: (nic, value) => nic.program(value),
  },
  CONFIG0: config(0x51, 0, 0x07),
  CONFIG1: config(0x52, 1, 0xf3),
  TIMERINT: { at: 0x54, read: ({ state }) => state.timerInt, write: (nic, value) => nic.setTimer(value) },
  MSR: { at: 0x58, size: 1, read: ({ state }) => 0xd0 | (~state.bmsr & BMSR_LINK), write: () => {} },
  CONFIG3: config(0x59, 3, 0x70),
  CONFIG4: config(0x5a, 4, 0xf5),
  HLTCLK: { at: 0x5b, size: 1, read: ({ state }) => 1 - state.halted, write: (nic, value) => nic.halt(value) },
  MULINT: { at: 0x5c, size: 2, field: 'mulint', mask: 0x0fff },
  RERID: { at: 0x5e, size: 1, read: () => 0x10, write: () => {} },
  TSAD_STATUS: { at: 0x60, size: 2, read: (nic) => nic.summary(), write: () => {} },
  BMCR: { at: 0x62, size: 2, field: 'bmcr', mask: 0x8200, after: (nic) => nic.manage() },
  BMSR: { at: 0x64, size: 2, field: 'bmsr', mask: 0x00c0 },
  ANAR: { at: 0x66, size: 2, field: 'anar' },
  ANLPAR: { at: 0x68, size: 2, read: ({ state }) => state.anlpar, write: () => {} },
  ANER: { at: 0x6a, size: 2, field: 'aner' },
  CSCR: { at: 0x74, size: 2, read: ({ state }) => state.cscr, write: () => {} },
  CONFIG5: config(0xd8, 5, 0x7f),
  TPPOLL: {
    at: 0xd9,
    size: 1,
    read: () => 0,
    write: (nic, value) => {
      if (value & 0x40) nic.transmitPlus();
    },
  },
  CPCR: {
    at: 0xe0,
    size: 2,
    field: 'cpcr',
    mask: 0x007b,
    after: ({ state }) => {
      state.plus = 1;
    },
  },
  INTRMITIGATE: idle(0xe2, 2),
  RDSAR: { at: 0xe4, count: 2, field: 'ring' },
  MTPS: { at: 0xec, size: 1, field: 'threshold' },
};
const BANK = bank<Rtl8139>(WINDOW, REGISTERS, { access: [1, 2, 4] });
export interface Rtl8139Options {
  /** Six bytes. */
  readonly mac: Uint8Array;
  readonly rom?: Uint8Array;
}

export class Rtl8139 implements Device<typeof STATE>, Banked {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  readonly pci: PciFunction;
  readonly dma: Dma;
  readonly link: Link;
  private readonly mac: Uint8Array;
  private readonly words: Uint16Array;
  private readonly clock: Wiring['clock'];
  private readonly timer: Timer;

  constructor(name: string, wiring: Wiring, link: Link, options: Rtl8139Options) {
    this.name = name;
    this.log = wiring.log;
    this.clock = wiring.clock;
    this.link = link;
    this.mac = options.mac;
    this.words = eepromWords(options.mac);
    const mmio = anyWidth(BANK, REGISTERS, this);
    this.pci = new PciFunction({
      name,
      vendor: 0x10ec,
      device: 0x8139,
      class: 0x02_0000,
      revision: 0x20,
      interruptPin: 1,
      rom: options.rom,
      bars: [
        { index: 0, kind: 'io', size: WINDOW, mmio },
        { index: 1, kind: 'mem32', size: WINDOW, mmio },
      ],
    });
    this.pci.constant(PCI.CAPABILITIES, 1, 0xdc); // there, and not said to be in the status
    this.pci.owner = this;
    this.dma = this.pci.master(wiring.dma);
    this.timer = wiring.clock.timer(() => this.armTimer());
    link.canReceive = () => !mustWait(this.state);
    link.onReceive = (frame) => this.raise(receive(this, frame));
    link.onWritable = () => (this.state.plus ? this.transmitPlus() : this.transmit());
    link.onChange = (up) => {
      this.state.bmsr = up ? this.state.bmsr | BMSR_LINK : this.state.bmsr & ~BMSR_LINK;
    };
    this.powerOn();
  }

  reset(): void {
    reset(STATE, this.state);
    this.powerOn();
    this.resumed();
  }

  resumed(): void {
    this.armTimer();
    this.output();
  }

  private powerOn(): void {
    const { state } = this;
    state.idr.set(this.mac);
    state.config[1] = 0x0c; // ports and memory are there
    state.config[3] = 0x01;
    if (!this.link.up) state.bmsr &= ~BMSR_LINK;
  }

  /** What software resets: all but filters, EEPROM and the addresses of buffers. */
  private softReset(): void {
    const { mar, tsad, rcr, missed, cr9346, mulint, threshold, config: kept, halted: _, ...rest } = this.state;
    const { eepromSelect, eepromClock, eepromOut, eepromMode, eepromTicks, eepromShift } = rest;
    this.reset();
    Object.assign(this.state, { mar, tsad, rcr, missed, cr9346, mulint, threshold });
    this.state.config[4] = kept[4];
    Object.assign(this.state, { eepromSelect, eepromClock, eepromOut, eepromMode, eepromTicks, eepromShift });
  }

  command(value: number): void {
    if (value & CR.RESET) this.softReset();
    const { state } = this;
    if (value & CR.RX) state.nextPlusReceive = 0;
    if (value & CR.TX) state.nextPlusTransmit = 0;
    state.cr = value & (CR.RX | CR.TX);
    this.link.ready();
  }

  program(value: number): void {
    const { state } = this;
    if ((value & 0xc0) === 0x40) {
      this.softReset();
      state.cr9346 = 0;
      return;
    }
    state.cr9346 = value & 0xce;
    if ((value & 0xc0) === 0x80) setWires(state, this.words, value);
  }

  /** BMCR was written: its top bit resets the transceiver. */
  manage(): void {
    const { state } = this;
    if (!(state.bmcr & 0x8000)) return;
    const { bmsr, anar, anlpar, aner } = create(STATE);
    state.bmcr &= ~0x8000;
    Object.assign(state, { bmsr: this.link.up ? bmsr : bmsr & ~BMSR_LINK, anar, anlpar, aner });
  }

  halt(value: number): void {
    if (value === 0x52)
      this.state.halted = 0; // 'R'
    else if (value === 0x48) this.state.halted = 1; // 'H'
  }

  // Interrupts and the timer.

  private output(): void {
    this.pci.irq.set((this.state.isr & this.state.imr) !== 0);
  }

  private raise(causes: number): void {
    this.state.isr |= causes;
    this.output();
  }

  causes(): number {
    this.armTimer();
    return this.state.isr;
  }

  setMask(mask: number): void {
    this.state.imr = mask & INTERRUPTS;
    this.armTimer();
    this.output();
    this.link.ready();
  }

  acknowledge(ones: number): void {
    this.state.isr &= ~(ones & INTERRUPTS);
    this.armTimer();
    this.output();
  }

  ticks(): number {
    return Math.floor(((this.clock.now() - this.state.timerFrom) * TIMER_HZ) / 1e9) >>> 0;
  }

  restartTimer(): void {
    this.state.timerFrom = this.clock.now();
    this.armTimer();
  }

  setTimer(value: number): void {
    if (this.state.timerInt === value) return;
    this.state.timerInt = value;
    this.armTimer();
  }

  /** Tells of the time that has come, and waits for the next. */
  private armTimer(): void {
    const { state } = this;
    const now = this.clock.now();
    if (state.timerDue && now >= state.timerDue) this.raise(ISR.TIMEOUT);
    state.timerDue = 0;
    this.timer.cancel();
    if (!state.timerInt) return;
    const ticks = Math.floor(((now - state.timerFrom) * TIMER_HZ) / 1e9);
    let due = ticks - (ticks % 2 ** 32) + state.timerInt;
    if (due <= ticks) due += 2 ** 32;
    state.timerDue = state.timerFrom + Math.ceil((due * 1e9) / TIMER_HZ);
    if (state.imr & ISR.TIMEOUT && !(state.isr & ISR.TIMEOUT)) this.timer.set(state.timerDue);
  }

  // Frames.

  configureReceive(value: number): void {
    const { state } = this;
    state.rcr = (state.rcr & 0xf0fc_0040) | (value & 0x0f03_ffbf);
    state.rcr >>>= 0;
    state.ringSize = 8192 << ((state.rcr >> 11) & 3);
    state.capr = 0;
    state.cbr = 0;
    this.link.ready();
  }

  readUpTo(value: number): void {
    this.state.capr = (value + 16) % this.state.ringSize;
    this.link.ready();
  }

  private emit(frame: Uint8Array): void {
    if ((this.state.tcr & TCR_LOOPBACK) !== TCR_LOOPBACK) this.link.send(frame);
    else this.raise(receive(this, frame));
  }

  writeTsd(index: number, value: number): void {
    const { state } = this;
    if (state.plus) {
      state.tsd[index] = value;
      if (index === 0 && value & 8) this.dumpTally();
      return;
    }
    state.tsd[index] = ((state.tsd[index] & 0x00c0_0000) | (value & 0x003f_3fff)) >>> 0;
    this.transmit();
  }

  /** Sends the next of the four descriptors if the guest has given it, and those behind it. */
  private transmit(): void {
    const { state } = this;
    for (let left = 4; left > 0 && state.cr & CR.TX && this.link.writable; left--) {
      const index = state.nextTransmit;
      if (state.tsd[index] & TSD.OWN) return;
      const length = state.tsd[index] & TSD.SIZE;
      const bytes = this.dma.readable(state.tsad[index], length);
      if (!bytes)
        this.log.guestError(this.name, `a transmit buffer outside RAM, at 0x${state.tsad[index].toString(16)}`);
      state.tsd[index] = (state.tsd[index] | TSD.OWN | TSD.OK) >>> 0;
      state.nextTransmit = (index + 1) & 3;
      if (length) this.emit(bytes?.slice() ?? new Uint8Array(length));
      this.raise(ISR.TOK);
    }
  }

  /** TSAD: what became of the four descriptors, a nibble for each kind. */
  summary(): number {
    const bits = [TSD.OWN, TSD.ABORTED, TSD.UNDERRUN, TSD.OK];
    let value = 0;
    this.state.tsd.forEach((status, i) => {
      bits.forEach((bit, kind) => {
        if (status & bit) value |= 1 << (4 * kind + i);
      });
    });
    return value;
  }

  /** Sends what the C+ ring holds: at most the whole ring. */
  transmitPlus(): void {
    const { state } = this;
    let count = 0;
    for (; count < PLUS_RING && state.cr & CR.TX && state.cpcr & CPCR.TX && this.link.writable; count++) {
      const at = state.tsad[0] + state.tsad[1] * 2 ** 32 + 16 * state.nextPlusTransmit;
      const descriptor = this.dma.writable(at, 16);
      const word = descriptor ? readU32(descriptor, 0) : 0;
      if (!descriptor || !(word & TX.OWN)) break;
      this.gather(word, readU32(descriptor, 8) + readU32(descriptor, 12) * 2 ** 32);
      state.nextPlusTransmit = word & TX.END ? 0 : (state.nextPlusTransmit + 1) % PLUS_RING;
      writeU32(descriptor, 0, (word & ~(TX.OWN | TX.ERRORS)) >>> 0);
      if (word & TX.LAST) this.sendPlus(word, readU32(descriptor, 4));
    }
    if (count) this.raise(ISR.TOK);
  }

  /** Adds a descriptor's buffer to the frame. */
  private gather(word: number, address: number): void {
    const { state } = this;
    const before = word & TX.FIRST ? new Uint8Array(0) : state.partial;
    const length = Math.min(word & 0xffff, MAX_FRAME - before.length);
    const bytes = this.dma.readable(address, length);
    if (!bytes) this.log.guestError(this.name, `a transmit buffer outside RAM, at 0x${address.toString(16)}`);
    const whole = new Uint8Array(before.length + length);
    whole.set(before);
    if (bytes) whole.set(bytes, before.length);
    state.partial = whole;
  }

  private sendPlus(word: number, second: number): void {
    const { state } = this;
    const frame = state.partial;
    state.partial = new Uint8Array(0);
    state.tally[TALLY.TxOk]++;
    // The tag is in network order.
    const tag = ((second & 0xff) << 8) | ((second >> 8) & 0xff);
    for (const each of offload(frame, word)) {
      if (each.length) this.emit(second & TX_TAG && each.length >= 12 ? tagged(each, VLAN_TYPE, tag) : each);
    }
  }

  private dumpTally(): void {
    const { state } = this;
    state.tsd[0] = (state.tsd[0] & ~8) >>> 0;
    const to = this.dma.writable(((state.tsd[0] & ~63) >>> 0) + state.tsd[1] * 2 ** 32, 64);
    if (!to) {
      this.log.guestError(this.name, 'tally counters to outside RAM');
      return;
    }
    const value = new Uint8Array(8);
    let at = 0;
    TALLY_SIZES.forEach((size, i) => {
      writeU64(value, 0, state.tally[i]);
      to.set(value.subarray(0, size), at);
      at += size;
    });
  }
}
