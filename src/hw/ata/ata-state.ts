/** The state that every ATA device has, and the phases of its commands. */
import { f64, json, type Layout, layout, u1, u8, u16 } from '../../state/layout.ts';

export const PHASE = {
  IDLE: 0,
  /** The disk fills `buffer` for PIO. */
  LOAD: 1,
  /** The host takes [position, blockEnd) of `buffer`. */
  DATA_IN: 2,
  /** The host fills [position, blockEnd) of `buffer`. */
  DATA_OUT: 3,
  /** The disk takes `buffer`. */
  STORE: 4,
  /** The drive waits for the host to begin its DMA. */
  DMA: 5,
  /** DMA runs. */
  TRANSFER: 6,
  /** Work without data: flush, verify. */
  WORK: 7,
} as const;

export const ATA_FIELDS = {
  error: u8,
  // Registers of 16 bits are FIFOs of two bytes: the last written one in the low half, the one before in the high half.
  features: u16,
  count: u16,
  lbaLow: u16,
  lbaMid: u16,
  lbaHigh: u16,
  device: u8,
  status: u8,
  command: u8,
  interrupt: u1, // INTRQ, before nIEN
  phase: u8,
  writes: u1, // the command moves data to the drive
  offset: f64, // of the next byte on the disk; what was stored or loaded already lies below
  left: f64, // bytes of the medium that are still to be loaded, stored or transferred
  buffer: json<Uint8Array>(() => new Uint8Array(0)),
  position: f64,
  blockEnd: f64,
  block: f64, // bytes of a DRQ block
};
export type AtaLayout = Layout<typeof ATA_FIELDS>;

/** The layout of a drive: the common fields and its own. */
export function ataLayout<F extends Layout['fields']>(name: string, own: F) {
  return layout(name, 1, { ...ATA_FIELDS, ...own });
}
