/** The 82540EM's registers as state, by the manual's names, and their bits. */
import { array, bytes, f64, initially, json, layout, type StateOf, u1, u8, u16, u32 } from '../../state/layout.ts';
import { NO_OFFLOAD, type Offload } from './offload.ts';

/** Device control: reset, VLAN mode. */
export const CTRL = { RST: 1 << 26, VME: 1 << 30 } as const;
/** Device status. */
export const STATUS_LU = 2;
/** Interrupt causes. */
export const CAUSE = { TXDW: 1, TXQE: 2, LSC: 4, RXDMT0: 0x10, RXO: 0x40, RXT0: 0x80, MDAC: 0x200 } as const;
/** Receive control. */
export const RCTL = {
  EN: 2,
  SBP: 4,
  UPE: 8,
  MPE: 0x10,
  LPE: 0x20,
  BAM: 0x8000,
  VFE: 0x4_0000,
  BSEX: 0x200_0000,
  SECRC: 0x400_0000,
} as const;
export const TCTL_EN = 2;

export const STATE = layout('e1000', 1, {
  ctrl: initially(u32, 0x0014_0240), // 1000 Mbit/s, link up set
  status: initially(u32, 0x8008_0783), // link up, full duplex, 1000 Mbit/s
  eerd: u32,
  mdic: u32,
  vet: initially(u32, 0x8100),
  icr: u32,
  ims: u32,
  itr: u32,
  rctl: u32,
  tctl: u32,
  ledctl: initially(u32, 0x602),
  pba: initially(u32, 0x10_0030),
  manc: initially(u32, 0x22_2300),
  rdbal: u32,
  rdbah: u32,
  rdlen: u32,
  rdh: u32,
  rdt: u32,
  rdtr: u32,
  radv: u32,
  tdbal: u32,
  tdbah: u32,
  tdlen: u32,
  tdh: u32,
  tdt: u32,
  txdctl: u32,
  tadv: u32,
  ait: u32,
  wuc: u32,
  wufc: u32,
  wus: u32,
  ipav: u32,
  swsm: u32,
  receiveFifo: array(u32, 5), // RDFH, RDFT, RDFHS, RDFTS, RDFPC: remembered, the FIFO is never filled
  transmitFifo: array(u32, 5),
  ip4at: array(u32, 7),
  ip6at: array(u32, 4),
  wupm: array(u32, 32),
  fflt: array(u32, 7),
  ffmt: array(u32, 255),
  ffvt: array(u32, 255),
  ra: array(u32, 32), // receive addresses: low and high words
  mta: array(u32, 128), // multicast table
  vfta: array(u32, 128), // VLAN filter table
  statistics: array(u32, 64),
  phy: array(u16, 32),

  eecd: u32, // the EEPROM's wires
  eepromIn: u32, // bits shifted in
  eepromInBits: u8,
  eepromOutBit: u16, // of the whole contents
  eepromReading: u1,

  moderated: f64, // until when no interrupt is raised, ns; 0 for never
  delayed: u1, // a descriptor asked for its interrupt to be delayed
  asserted: u1, // the interrupt
  negotiated: f64, // when auto-negotiation ends, ns; 0 when it has

  // The frame being put together.
  packet: bytes(0x1_0000),
  packetSize: u32,
  packetOptions: u8, // POPTS of its first descriptor
  packetTag: initially(u32, 0), // VLAN tag in the low 16 bits, with bit 16
  segment: u1, // to be cut (TSE)
  header: bytes(256),
  frames: u32, // cut off so far
  checksums: json<Offload>(() => ({ ...NO_OFFLOAD })), // context for frames that are sent whole
  segmentation: json<Offload>(() => ({ ...NO_OFFLOAD })),
  turns: u32, // descriptors that may still be processed since TDT was written
});
export type E1000State = StateOf<typeof STATE>;
