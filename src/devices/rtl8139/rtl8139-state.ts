/** The RTL8139C+'s registers as state, by the data sheet's names, and their bits. */
import { array, bytes, f64, initially, json, layout, type StateOf, u1, u8, u16, u32 } from '../../state/layout.ts';

export const CR = { EMPTY: 1, TX: 4, RX: 8, RESET: 0x10 } as const;
export const ISR = { ROK: 1, TOK: 4, OVERFLOW: 0x10, TIMEOUT: 0x4000 } as const;
export const RCR = { ALL: 1, PHYSICAL: 2, MULTICAST: 4, BROADCAST: 8, WRAP: 0x80 } as const;
export const TCR_LOOPBACK = 0x6_0000;
export const CPCR = { TX: 1, RX: 2, VLAN: 0x40 } as const;
/** Status of the four transmit descriptors. */
export const TSD = { SIZE: 0x1fff, OWN: 0x2000, UNDERRUN: 0x4000, OK: 0x8000, ABORTED: 0x4000_0000 } as const;

export const STATE = layout('rtl8139', 1, {
  idr: bytes(6),
  mar: bytes(8),
  tsd: array(initially(u32, TSD.OWN), 4), // in C+ mode the first two are the tally counters' address
  tsad: array(u32, 4), // in C+ mode the first two are the transmit ring
  rbstart: u32,
  cr: initially(u8, CR.RESET),
  capr: u16, // where the guest reads the ring, and where we write it
  cbr: u16,
  ringSize: initially(u32, 8192),
  imr: u16,
  isr: u16,
  tcr: initially(u32, 0x7480_0000), // RTL8139C+
  rcr: u32,
  missed: u32,
  cr9346: u8,
  config: array(u8, 6), // CONFIG0, 1, 3, 4, 5 by their numbers
  halted: u1,
  mulint: u16,
  bmcr: initially(u16, 0x1000),
  bmsr: initially(u16, 0x782d),
  anar: initially(u16, 0x05e1),
  anlpar: initially(u16, 0x05e1),
  aner: initially(u16, 1),
  cscr: initially(u16, 0x0340),
  cpcr: u16,
  plus: u1, // CPCR was written: the registers have their C+ meaning
  threshold: u8,
  ring: array(u32, 2), // the C+ receive ring
  nextTransmit: u8, // descriptors: of the four, and of the C+ rings
  nextPlusTransmit: u8,
  nextPlusReceive: u32,
  partial: json<Uint8Array>(() => new Uint8Array(0)), // a C+ frame of several descriptors
  timerFrom: f64, // ns
  timerInt: u32,
  timerDue: f64, // ns; 0 for never
  tally: array(f64, 13), // the counters in the order in which they are dumped

  eepromSelect: u1, // the EEPROM's wires
  eepromClock: u1,
  eepromOut: u1,
  eepromMode: u8, // 0 idle, 1 waits for a start bit, 2 takes a command, 3 gives a word
  eepromTicks: u8,
  eepromShift: u16,
});
export type Rtl8139State = StateOf<typeof STATE>;

/** Tally counters by place, and their bytes in memory. */
export const TALLY = {
  TxOk: 0,
  RxOk: 1,
  TxErr: 2,
  RxErr: 3,
  Missed: 4,
  Physical: 8,
  Broadcast: 9,
  Multicast: 10,
} as const;
export const TALLY_SIZES = [8, 8, 8, 4, 2, 2, 4, 4, 8, 8, 4, 2, 2] as const;

/** In BMSR: the link is up. */
export const BMSR_LINK = 4;
