/**
 * The interrupt command register: what a write of its low half sends, to whom.
 *
 * Spec: Intel SDM volume 3, "Interrupt Command Register (ICR)", "Error Status
 * Register".
 */
import { BROADCAST, DELIVERY, type InterruptMessage } from '../../hw/interrupt-message.ts';

/** Bits of the low half; bit 12, the delivery status, always reads idle. */
const ICR = { LOGICAL: 0x800, LEVEL: 0x4000, TRIGGER: 0x8000 };
export const ICR_WRITABLE = 0xc_cfff;
const SHORTHANDS = ['destination', 'self', 'all', 'others'] as const;

/** Vectors below are the processor's own. */
export const FIRST_VECTOR = 16;

export const ESR = { SENT_VECTOR: 0x20, RECEIVED_VECTOR: 0x40, ILLEGAL_REGISTER: 0x80 };

export interface Command {
  /** Whom the message is for, or why there is none. */
  readonly what: (typeof SHORTHANDS)[number] | 'nothing' | 'reserved' | 'bad-vector';
  readonly message: InterruptMessage;
}

/** `high` holds 8 bits of destination at its top, or 32 of an x2APIC. */
export function decodeIcr(low: number, high: number, x2apic: boolean): Command {
  const mode = (low >> 8) & 7;
  const vector = low & 0xff;
  const logical = (low & ICR.LOGICAL) !== 0;
  let destination = x2apic ? high : high >>> 24;
  if (!x2apic && !logical && destination === 0xff) destination = BROADCAST;
  return { what: addressee(), message: { destination, logical, mode, vector, levelTriggered: false } };

  function addressee(): Command['what'] {
    // INIT level de-assert synchronised the arbitration ids of older buses.
    if (mode === DELIVERY.INIT && low & ICR.TRIGGER && !(low & ICR.LEVEL)) return 'nothing';
    if (mode === 3 || mode === DELIVERY.EXTINT) return 'reserved';
    if (mode <= DELIVERY.LOWEST && vector < FIRST_VECTOR) return 'bad-vector';
    return SHORTHANDS[(low >> 18) & 3];
  }
}
