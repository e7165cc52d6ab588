/**
 * Intel 82540EM Gigabit Ethernet controller (QEMU's `e1000`).
 *
 * Spec: Intel PCI/PCI-X Family of Gigabit Ethernet Controllers Software
 * Developer's Manual (8254x), "Register Descriptions".
 * Departures, QEMU's: no flow control, no wake-up, no TBI; of the interrupt
 * timers TADV, RADV (where RDTR is set) and ITR delay, the relative ones do
 * not; the window of ports reads 0. The packet buffer cannot be looked into.
 */
import { bank, type Registers } from '../../hw/bank.ts';
import type { Device, DeviceLog, Dma, Mmio, Wiring } from '../../hw/device.ts';
import type { Timer } from '../../hw/clock.ts';
import type { Link } from '../../hw/link.ts';
import { PCI, PciFunction } from '../../hw/pci.ts';
import { create, reset } from '../../state/layout.ts';
import { CAUSE, CTRL, RCTL, STATE, STATUS_LU, TCTL_EN } from './e1000-state.ts';
import { eepromWords, readEecd, readEerd, writeEecd } from './eeprom.ts';
import { linkDown, linkUp, loopsBack, mustNegotiate, negotiated, resetPhy, writeMdic } from './phy.ts';
import { hasRoom, mustWait, receive } from './receive.ts';
import { readStatistic, STATISTIC } from './statistics.ts';
import { DESCRIPTOR, type TransmitSide, transmit } from './transmit.ts';

const WINDOW = 0x2_0000;
const NEGOTIATION_NS = 500e6;
/** At 1000 Mbit/s. */
const BYTE_NS = 8;
const LEAST_PAUSE_NS = 100_000;
/** The unit of ITR; the others count four of it. No two interrupts come closer than LEAST_DELAY of them. */
const DELAY_NS = 256;
const LEAST_DELAY = 500;
const DELAYED_CAUSES = CAUSE.TXDW | CAUSE.TXQE;

/** A register that is there in the manual, and of which QEMU remembers nothing. */
const idle = (at: number, count = 1): Registers<E1000>[string] => ({ at, count, read: () => 0, write: () => {} });

const REGISTERS = bank<E1000>(
  WINDOW,
  {
    CTRL: { at: 0x0000, field: 'ctrl', after: (nic) => nic.controlled() },
    STATUS: { at: 0x0008, read: ({ state }) => state.status, write: () => {} },
    EECD: {
      at: 0x0010,
      read: ({ state, eeprom }) => readEecd(state, eeprom),
      write: ({ state }, value) => writeEecd(state, value),
    },
    EERD: {
      at: 0x0014,
      read: ({ state, eeprom }) => readEerd(state, eeprom),
      write: ({ state }, value) => {
        state.eerd = value;
      },
    },
    CTRL_EXT: idle(0x0018),
    MDIC: { at: 0x0020, read: ({ state }) => state.mdic, write: (nic, value) => nic.manage(value) },
    FCAL: idle(0x0028),
    FCAH: idle(0x002c),
    FCT: idle(0x0030),
    VET: { at: 0x0038, field: 'vet' },
    ICR: {
      at: 0x00c0,
      read: (nic) => nic.takeCauses(),
      write: (nic, ones) => nic.setCauses(nic.state.icr & ~ones),
    },
    ITR: { at: 0x00c4, field: 'itr', mask: 0xffff },
    ICS: { at: 0x00c8, read: ({ state }) => state.icr, write: (nic, ones) => nic.cause(ones) },
    IMS: { at: 0x00d0, read: ({ state }) => state.ims, write: (nic, ones) => nic.setMask(nic.state.ims | ones) },
    IMC: { at: 0x00d8, read: () => 0, write: (nic, ones) => nic.setMask(nic.state.ims & ~ones) },
    RCTL: { at: 0x0100, field: 'rctl', after: (nic) => nic.link.ready() },
    FCTTV: idle(0x0170),
    TXCW: idle(0x0178),
    RXCW: idle(0x0180),
    TCTL: { at: 0x0400, field: 'tctl', after: (nic) => nic.startTransmit() },
    TIPG: idle(0x0410),
    AIT: { at: 0x0458, field: 'ait', mask: 0xffff },
    LEDCTL: { at: 0x0e00, field: 'ledctl' },
    PBA: { at: 0x1000, field: 'pba' },
    FCRTL: idle(0x2160),
    FCRTH: idle(0x2168),
    RDF: { at: 0x2410, count: 5, stride: 8, field: 'receiveFifo', mask: 0x1fff },
    RDBAL: { at: 0x2800, field: 'rdbal' },
    RDBAH: { at: 0x2804, field: 'rdbah' },
    RDLEN: { at: 0x2808, field: 'rdlen', mask: 0xf_ff80 },
    RDH: { at: 0x2810, field: 'rdh', mask: 0xffff },
    RDT: { at: 0x2818, field: 'rdt', mask: 0xffff, after: (nic) => nic.link.ready() },
    RDTR: { at: 0x2820, field: 'rdtr', mask: 0xffff },
    RXDCTL: idle(0x2828),
    RADV: { at: 0x282c, field: 'radv', mask: 0xffff },
    RSRPD: idle(0x2c00),
    TDF: {
      at: 0x3410,
      count: 5,
      stride: 8,
      read: ({ state }, index) => state.transmitFifo[index],
      write: ({ state }, value, index) => {
        state.transmitFifo[index] = value & (index < 2 ? 0x7ff : 0x1fff);
      },
    },
    TDBAL: { at: 0x3800, field: 'tdbal' },
    TDBAH: { at: 0x3804, field: 'tdbah' },
    TDLEN: { at: 0x3808, field: 'tdlen', mask: 0xf_ff80 },
    TDH: { at: 0x3810, field: 'tdh', mask: 0xffff },
    TDT: { at: 0x3818, field: 'tdt', mask: 0xffff, after: (nic) => nic.startTransmit() },
    TIDV: idle(0x3820),
    TXDCTL: { at: 0x3828, field: 'txdctl' },
    TADV: { at: 0x382c, field: 'tadv', mask: 0xffff },
    TSPMT: idle(0x3830),
    STATISTICS: {
      at: STATISTIC.BASE,
      count: 64,
      read: ({ state }, index) => readStatistic(state.statistics, index),
      write: ({ state }, value, index) => {
        if (STATISTIC.BASE + 4 * index === STATISTIC.FCRUC) state.statistics[index] = value;
      },
    },
    RXCSUM: idle(0x5000),
    MTA: { at: 0x5200, count: 128, field: 'mta' },
    RA: { at: 0x5400, count: 32, field: 'ra' },
    VFTA: { at: 0x5600, count: 128, field: 'vfta' },
    WUC: { at: 0x5800, field: 'wuc' },
    WUFC: { at: 0x5808, field: 'wufc' },
    WUS: { at: 0x5810, field: 'wus' },
    MANC: { at: 0x5820, read: ({ state }) => state.manc, write: () => {} },
    IPAV: { at: 0x5838, field: 'ipav' },
    IP4AT: { at: 0x5840, count: 7, field: 'ip4at' },
    IP6AT: { at: 0x5880, count: 4, field: 'ip6at' },
    WUPL: idle(0x5900),
    WUPM: { at: 0x5a00, count: 32, field: 'wupm' },
    SWSM: { at: 0x5b50, field: 'swsm' },
    FFLT: { at: 0x5f00, count: 7, field: 'fflt', mask: 0x7ff },
    FFMT: { at: 0x9000, count: 255, field: 'ffmt', mask: 15 },
    FFVT: { at: 0x9800, count: 255, field: 'ffvt' },
  },
  { access: [4] },
);
const PORTS: Mmio = { read: () => 0, write: () => {} };

export interface E1000Options {
  /** Six bytes. */
  readonly mac: Uint8Array;
  readonly rom?: Uint8Array;
}

export class E1000 implements Device<typeof STATE>, TransmitSide {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  readonly pci: PciFunction;
  readonly dma: Dma;
  readonly link: Link;
  readonly eeprom: Uint16Array;
  private readonly mac: Uint8Array;
  private readonly clock: Wiring['clock'];
  /** Ends the time in which no interrupt is raised, auto-negotiation, and a pause of a long transmission. */
  private readonly moderation: Timer;
  private readonly negotiation: Timer;
  private readonly pause: Timer;
  emitted = 0;
  private transmitting = false;

  constructor(name: string, wiring: Wiring, link: Link, options: E1000Options) {
    this.name = name;
    this.log = wiring.log;
    this.clock = wiring.clock;
    this.link = link;
    this.mac = options.mac;
    this.eeprom = eepromWords(options.mac);
    this.pci = new PciFunction({
      name,
      vendor: 0x8086,
      device: 0x100e,
      class: 0x02_0000,
      revision: 3,
      interruptPin: 1,
      rom: options.rom,
      bars: [
        { index: 0, kind: 'mem32', size: WINDOW, mmio: REGISTERS.on(this) },
        { index: 1, kind: 'io', size: 0x40, mmio: PORTS },
      ],
      written: (offset, size) => {
        if (offset < PCI.COMMAND + 2 && offset + size > PCI.COMMAND) this.link.ready();
      },
    });
    this.pci.owner = this;
    this.dma = this.pci.master(wiring.dma);
    this.moderation = wiring.clock.timer(() => this.moderated());
    this.negotiation = wiring.clock.timer(() => this.negotiationDone());
    this.pause = wiring.clock.timer(() => this.continueTransmit());
    link.canReceive = (length) => this.receives && !mustWait(this.state, length);
    link.onReceive = (frame) => this.cause(receive(this, frame));
    link.onWritable = () => this.continueTransmit();
    link.onChange = () => this.linkChanged();
    this.powerOn();
  }

  reset(): void {
    for (const timer of [this.moderation, this.negotiation, this.pause]) timer.cancel();
    reset(STATE, this.state);
    this.powerOn();
    this.pci.irq.set(false);
  }

  resumed(): void {
    const { state } = this;
    this.pci.irq.set(state.asserted === 1);
    const arm = (timer: Timer, deadline: number) => (deadline ? timer.set(deadline) : timer.cancel());
    arm(this.moderation, state.moderated);
    arm(this.negotiation, state.negotiated);
    arm(this.pause, state.turns ? this.clock.now() + LEAST_PAUSE_NS : 0);
  }

  private powerOn(): void {
    const { state, mac } = this;
    resetPhy(state);
    state.ra[0] = (mac[0] | (mac[1] << 8) | (mac[2] << 16) | (mac[3] << 24)) >>> 0;
    state.ra[1] = (0x8000_0000 | mac[4] | (mac[5] << 8)) >>> 0;
    if (!this.link.up) linkDown(state);
  }

  /** CTRL was written: RST resets all but the transceiver. */
  controlled(): void {
    const { state } = this;
    if (!(state.ctrl & CTRL.RST)) return;
    const { phy, status, negotiated: deadline } = state;
    this.reset();
    Object.assign(state, { phy, status, negotiated: deadline });
    this.resumed();
  }

  // Interrupts.

  takeCauses(): number {
    const { icr } = this.state;
    this.setCauses(0);
    return icr;
  }

  cause(ones: number): void {
    this.setCauses(this.state.icr | ones);
  }

  setMask(mask: number): void {
    this.state.ims = mask >>> 0;
    this.cause(0);
  }

  setCauses(causes: number): void {
    const { state } = this;
    state.icr = causes >>> 0;
    const pending = state.icr & state.ims;
    if (pending && !state.asserted) {
      if (state.moderated) return;
      state.moderated = this.clock.now() + DELAY_NS * this.delay(pending);
      this.moderation.set(state.moderated);
      state.delayed = 0;
    }
    state.asserted = pending ? 1 : 0;
    this.pci.irq.set(pending !== 0);
  }

  /** Until the next interrupt may come: the least of what the guest asked for, in units of ITR. */
  private delay(pending: number): number {
    const { itr, tadv, radv, rdtr, delayed } = this.state;
    const asked = [itr];
    if (delayed && pending & DELAYED_CAUSES) asked.push(4 * tadv);
    if (rdtr && pending & CAUSE.RXT0) asked.push(4 * radv);
    const least = Math.min(...asked.filter((value) => value > 0));
    return Number.isFinite(least) ? Math.max(LEAST_DELAY, least) : LEAST_DELAY;
  }

  private moderated(): void {
    this.state.moderated = 0;
    this.cause(0);
  }

  // The link.

  manage(value: number): void {
    const { restart, interrupt } = writeMdic(this.state, value);
    if (restart) this.negotiate();
    if (interrupt) this.cause(CAUSE.MDAC);
  }

  private negotiate(): void {
    const { state } = this;
    linkDown(state);
    state.negotiated = this.clock.now() + NEGOTIATION_NS;
    this.negotiation.set(state.negotiated);
  }

  private negotiationDone(): void {
    this.state.negotiated = 0;
    if (!this.link.up) return;
    negotiated(this.state);
    this.link.ready();
    this.cause(CAUSE.LSC);
  }

  private linkChanged(): void {
    const { state, link } = this;
    const { status } = state;
    if (!link.up) linkDown(state);
    else if (mustNegotiate(state)) this.negotiate();
    else {
      linkUp(state);
      link.ready();
    }
    if (state.status !== status) this.cause(CAUSE.LSC);
  }

  // Frames.

  get writable(): boolean {
    return this.link.writable;
  }

  emit(frame: Uint8Array): void {
    this.emitted += frame.length;
    if (!loopsBack(this.state)) this.link.send(frame);
    else if (this.receives && hasRoom(this.state, 1)) this.cause(receive(this, frame));
  }

  private get receives(): boolean {
    const { status, rctl } = this.state;
    return (status & STATUS_LU) !== 0 && (rctl & RCTL.EN) !== 0 && this.pci.busMaster;
  }

  /** TDT or TCTL was written. */
  startTransmit(): void {
    const { state } = this;
    if (this.transmitting || !(state.tctl & TCTL_EN)) return;
    state.turns = Math.max(1, Math.floor(state.tdlen / DESCRIPTOR));
    this.continueTransmit();
  }

  private continueTransmit(): void {
    const { state } = this;
    if (this.transmitting || !state.turns) return;
    this.transmitting = true;
    const before = this.emitted;
    const { causes, more } = transmit(this);
    this.transmitting = false;
    // As long as the wire would take.
    if (more) this.pause.set(this.clock.now() + Math.max(LEAST_PAUSE_NS, BYTE_NS * (this.emitted - before)));
    else if (causes & CAUSE.TXQE) state.turns = 0;
    this.cause(causes);
  }
}
