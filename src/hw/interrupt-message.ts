/**
 * Interrupt messages between I/O APICs, devices with MSI and local APICs.
 *
 * Spec: Intel SDM volume 3, "Advanced Programmable Interrupt Controller";
 * "Message Signalled Interrupts" for the form that travels as a DMA write.
 */

/** Delivery modes by the number that registers and messages hold. */
export const DELIVERY = { FIXED: 0, LOWEST: 1, SMI: 2, NMI: 4, INIT: 5, STARTUP: 6, EXTINT: 7 } as const;

/** The destination of everybody: a physical one of 8 bits becomes this when it is 0xff. */
export const BROADCAST = 0xffff_ffff;

export interface InterruptMessage {
  /** An APIC id, or a set of logical ids; 8 bits, or 32 from an x2APIC. BROADCAST is everybody. */
  readonly destination: number;
  /** The destination is logical. */
  readonly logical: boolean;
  /** One of DELIVERY. */
  readonly mode: number;
  readonly vector: number;
  /** The sender waits for an EOI. */
  readonly levelTriggered: boolean;
}

/** What carries messages: the APIC bus. */
export interface InterruptBus {
  deliver(message: InterruptMessage): void;
}

/** What the write of `data` to 0xfeexxxxx says; a row of an I/O APIC's table has the same fields. */
export function messageFrom(address: number, data: number): InterruptMessage {
  const destination = (address >>> 12) & 0xff;
  const logical = (address & 4) !== 0;
  return {
    destination: destination === 0xff && !logical ? BROADCAST : destination,
    logical,
    mode: (data >>> 8) & 7,
    vector: data & 0xff,
    levelTriggered: (data & 0x8000) !== 0,
  };
}
