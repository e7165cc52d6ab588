/**
 * Realtek RTL8139C+ Fast Ethernet controller (QEMU's `rtl8139`).
 *
 * Spec: Realtek RTL8139D(L) and RTL8139C+ data sheets, "Register Descriptions".
 * Departures, QEMU's: no wake-up, no high-priority ring, no early interrupts.
 * Unlike QEMU 7.2 registers can be reached in any width, as on the chip.
 */
import { readU32, writeU32, writeU64 } from '../../bits/endian.ts';
import type { Timer } from '../../hw/clock.ts';
import type { Device, DeviceLog, Dma, Wiring } from '../../hw/device.ts';
import { tagged, VLAN_TYPE } from '../../hw/ethernet.ts';
import { type Link, MAX_FRAME } from '../../hw/link.ts';
import { PCI, PciFunction } from '../../hw/pci.ts';
import { create, reset } from '../../state/layout.ts';
import { eepromWords, setWires } from './eeprom.ts';
import { offload } from './offload.ts';
import { anyWidth } from './any-width.ts';
import { mustWait, receive } from './receive.ts';
import { BANK, REGISTERS, type Rtl8139Registers, WINDOW } from './registers.ts';
import { BMSR_LINK, CPCR, CR, ISR, STATE, TALLY, TALLY_SIZES, TCR_LOOPBACK, TSD } from './rtl8139-state.ts';

/** The most descriptors that the C+ transmit ring has. */
const PLUS_RING = 64;
const TIMER_HZ = 33e6;
/** Bits of IMR and ISR that cannot be written. */
const INTERRUPTS = 0xe1ff;
/** First word of a C+ transmit descriptor; the tag's flag in the second. */
const TX = { OWN: 0x8000_0000, END: 0x4000_0000, FIRST: 0x2000_0000, LAST: 0x1000_0000, ERRORS: 0x02f0_0000 } as const;
const TX_TAG = 0x2_0000;

export interface Rtl8139Options {
  /** Six bytes. */
  readonly mac: Uint8Array;
  readonly rom?: Uint8Array;
}

export class Rtl8139 implements Device<typeof STATE>, Rtl8139Registers {
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
