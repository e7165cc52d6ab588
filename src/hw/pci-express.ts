/**
 * What makes a PCI function one of PCI Express, as software sees it.
 *
 * Spec: PCI Express Base 4.0, "PCI Express Capability Structure". The link is
 * one lane at 2.5 GT/s and always up; there are no errors to report.
 */
import type { PciFunction } from './pci.ts';

const CAPABILITY = 0x10;
const SIZE = 0x3c;
const VERSION = 2;
const TYPES = { endpoint: 0, 'root-port': 4, integrated: 9 } as const;
const AT = {
  FLAGS: 2,
  DEVICE: 4,
  DEVICE_CONTROL: 8,
  LINK: 0xc,
  LINK_CONTROL: 0x10,
  LINK_STATUS: 0x12,
  SLOT: 0x14,
} as const;
const SLOT = { CONTROL: 0x18, STATUS: 0x1a, PRESENT: 0x40 } as const;
const ROOT_CONTROL = 0x1c;
const SLOT_IMPLEMENTED = 0x100;
const ROLE_BASED_ERRORS = 0x8000;
/** 2.5 GT/s, one lane. */
const LINK = 0x11;

export interface ExpressOptions {
  readonly type: keyof typeof TYPES;
  /** Of the capability; the next free place when absent. */
  readonly offset?: number;
  /** A root port: the number of the slot behind it. */
  readonly slot?: number;
}

/** Adds the capability to a function made with `express`; returns where it is. */
export function addExpress(pci: PciFunction, options: ExpressOptions): number {
  const at = pci.addCapability(CAPABILITY, SIZE, options.offset);
  const port = options.type === 'root-port';
  pci.constant(at + AT.FLAGS, 2, VERSION | (TYPES[options.type] << 4) | (port ? SLOT_IMPLEMENTED : 0));
  pci.constant(at + AT.DEVICE, 4, ROLE_BASED_ERRORS);
  pci.writable(at + AT.DEVICE_CONTROL, 2, 0xf); // error reporting
  // A function inside the root complex has no link.
  if (options.type !== 'integrated') {
    pci.constant(at + AT.LINK, 4, LINK | 0x400);
    pci.constant(at + AT.LINK_STATUS, 2, LINK);
    pci.writable(at + AT.LINK_CONTROL, 2, 0xc3);
  }
  if (port) {
    pci.constant(at + AT.SLOT, 4, ((options.slot ?? 0) << 19) >>> 0);
    pci.constant(at + SLOT.STATUS, 2, SLOT.PRESENT);
    pci.writable(at + SLOT.CONTROL, 2, 0x1f);
    pci.writable(at + ROOT_CONTROL, 2, 0xf);
  }
  return at;
}
