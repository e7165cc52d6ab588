/**
 * The registers of an RTL8139C+ in their window.
 *
 * Spec: Realtek RTL8139D(L) and RTL8139C+ data sheets, "Register Descriptions".
 */
import { type Banked, bank, type Register } from '../../hw/bank.ts';
import type { AccessSize } from '../../hw/device.ts';
import { isEmpty } from './receive.ts';
import { BMSR_LINK, CR, type Rtl8139State } from './rtl8139-state.ts';

export const WINDOW = 0x100;

/** A card as its registers see it. */
export interface Rtl8139Registers extends Banked {
  readonly state: Rtl8139State;
  command(value: number): void;
  /** CAPR was written: the ring has been read so far. */
  readUpTo(value: number): void;
  writeTsd(index: number, value: number): void;
  /** What became of the four transmit descriptors. */
  summary(): number;
  transmitPlus(): void;
  causes(): number;
  setMask(mask: number): void;
  acknowledge(ones: number): void;
  configureReceive(value: number): void;
  ticks(): number;
  restartTimer(): void;
  setTimer(value: number): void;
  /** CR9346 was written: the EEPROM, locks, or a reset. */
  program(value: number): void;
  halt(value: number): void;
  /** BMCR was written. */
  manage(): void;
}

const idle = (at: number, size: AccessSize): Register<Rtl8139Registers> => ({
  at,
  size,
  read: () => 0,
  write: () => {},
});
/** CONFIG registers, which CR9346 unlocks; `mask` says which bits can be written. */
const config = (at: number, number: number, mask: number): Register<Rtl8139Registers> => ({
  at,
  size: 1,
  read: ({ state }) => state.config[number],
  write: ({ state }, value) => {
    if ((state.cr9346 & 0xc0) !== 0xc0 && number !== 5) return;
    state.config[number] = (state.config[number] & ~mask) | (value & mask);
  },
});

export const REGISTERS: Readonly<Record<string, Register<Rtl8139Registers>>> = {
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
export const BANK = bank<Rtl8139Registers>(WINDOW, REGISTERS, { access: [1, 2, 4] });
