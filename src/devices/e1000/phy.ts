/**
 * The transceiver: a Marvell 88E1011 at address 1 of the management interface.
 *
 * Spec: Intel 8254x Software Developer's Manual, "PHY Registers"; IEEE 802.3
 * clause 22.
 */
import { type E1000State, STATUS_LU } from './e1000-state.ts';

export const BMCR = { LOOPBACK: 0x4000, AUTOEN: 0x1000, RESTART: 0x200, RESET: 0x8000, RESERVED: 0x3f } as const;
const BMSR = { LINK: 4, AN_COMPLETE: 0x20 } as const;
const ANLPAR_ACK = 0x4000;
const REG = { BMCR: 0, BMSR: 1, ANLPAR: 5 } as const;
const READABLE = [0, 1, 2, 3, 4, 5, 6, 9, 10, 16, 17, 20, 21];
const WRITABLE = [0, 4, 9, 16, 20];
/** MDIC: operation, ready, interrupt, error. */
const MDIC = { WRITE: 1 << 26, READ: 1 << 27, READY: 1 << 28, INT_EN: 1 << 29, ERROR: 1 << 30 } as const;

const INITIAL: Readonly<Record<number, number>> = {
  0: 0x1140, // 1000 Mbit/s, full duplex, auto-negotiation
  1: 0x794d, // link up, not negotiated
  2: 0x0141,
  3: 0x0c20,
  4: 0x0de1,
  5: 0x01e0,
  9: 0x0e00,
  10: 0x3c00,
  16: 0x0360,
  17: 0xac00,
  20: 0x0d60,
};

export function resetPhy({ phy }: E1000State): void {
  for (let i = 0; i < phy.length; i++) phy[i] = INITIAL[i] ?? 0;
}

export function linkDown(state: E1000State): void {
  state.status = (state.status & ~STATUS_LU) >>> 0;
  state.phy[REG.BMSR] &= ~(BMSR.LINK | BMSR.AN_COMPLETE);
  state.phy[REG.ANLPAR] &= ~ANLPAR_ACK;
}

export function linkUp(state: E1000State): void {
  state.status |= STATUS_LU;
  state.status >>>= 0;
  state.phy[REG.BMSR] |= BMSR.LINK;
}

/** Auto-negotiation is done. */
export function negotiated(state: E1000State): void {
  linkUp(state);
  state.phy[REG.ANLPAR] |= ANLPAR_ACK;
  state.phy[REG.BMSR] |= BMSR.AN_COMPLETE;
}

/** Whether the link must be negotiated before it is there. */
export function mustNegotiate({ phy }: E1000State): boolean {
  return (phy[REG.BMCR] & BMCR.AUTOEN) !== 0 && !(phy[REG.BMSR] & BMSR.AN_COMPLETE);
}

/** A write of MDIC; returns whether auto-negotiation starts over and whether software wants an interrupt. */
export function writeMdic(state: E1000State, value: number): { restart: boolean; interrupt: boolean } {
  const register = (value >> 16) & 31;
  const data = value & 0xffff;
  let [result, restart] = [value, false];
  if (((value >> 21) & 31) !== 1) result = state.mdic | MDIC.ERROR;
  else if (value & MDIC.READ) {
    if (READABLE.includes(register)) result = (value & ~0xffff) | state.phy[register];
    else result |= MDIC.ERROR;
  } else if (value & MDIC.WRITE) {
    if (!WRITABLE.includes(register)) result |= MDIC.ERROR;
    else if (register === REG.BMCR) {
      state.phy[REG.BMCR] = data & ~(BMCR.RESET | BMCR.RESTART | BMCR.RESERVED);
      restart = (data & BMCR.RESTART) !== 0 && (data & BMCR.AUTOEN) !== 0;
    } else state.phy[register] = data;
  }
  state.mdic = (result | MDIC.READY) >>> 0;
  return { restart, interrupt: (result & MDIC.INT_EN) !== 0 };
}

/** Frames come back from the transceiver. */
export function loopsBack({ phy }: E1000State): boolean {
  return (phy[REG.BMCR] & BMCR.LOOPBACK) !== 0;
}
