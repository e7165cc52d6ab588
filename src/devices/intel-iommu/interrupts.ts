/**
 * Interrupt remapping: a message names an entry of a table, and the entry says who gets what.
 *
 * Spec: Intel Virtualization Technology for Directed I/O (D51397), "Interrupt Remapping", "Interrupt Remapping Table
 * Entry (IRTE) for Remapped Interrupts". Interrupts are not posted.
 */
import { readU32 } from '../../bits/endian.ts';
import type { Dma } from '../../hw/device.ts';
import { BROADCAST, type InterruptMessage, messageFrom } from '../../hw/interrupt-message.ts';
import { FAULT } from './faults.ts';

export interface InterruptTable {
  readonly address: number;
  readonly entries: number;
  /** Destinations have 32 bits, and messages of the old form are stopped. */
  readonly extended: boolean;
  /** Messages of the old form go through. */
  readonly compatibility: boolean;
}

export interface InterruptRefusal {
  readonly fault: number;
  readonly index: number;
  readonly quiet: boolean;
}

const ENTRY = 16;
const MESSAGE = { INDEX_15: 4, SUBHANDLE: 8, REMAPPABLE: 0x10 } as const;
const IRTE = { PRESENT: 1, QUIET: 2, LOGICAL: 4, LEVEL: 0x10, RESERVED: 0xff00_f000 } as const;
const VERIFY = { NONE: 0, SOURCE: 1, BUS: 2 } as const;
/** Bits of the source that its qualifier says not to look at. */
const QUALIFIERS = [0, 4, 6, 7];

/** What becomes of a message. `source`: who sends it; undefined for the I/O APIC, which is taken at its word, as in QEMU. */
export function remap(
  memory: Dma,
  table: InterruptTable,
  address: number,
  data: number,
  source: number | undefined,
): InterruptMessage | InterruptRefusal {
  const low = address % 2 ** 32;
  if (!(low & MESSAGE.REMAPPABLE)) {
    if (table.compatibility && !table.extended) return messageFrom(low, data);
    return { fault: FAULT.COMPATIBILITY, index: 0, quiet: false };
  }
  const handle = ((low >>> 5) & 0x7fff) | (low & MESSAGE.INDEX_15 ? 0x8000 : 0);
  const index = handle + (low & MESSAGE.SUBHANDLE ? data & 0xffff : 0);
  const refuse = (fault: number, quiet = false) => ({ fault, index: index & 0xffff, quiet });
  if (address >= 2 ** 32 || data >>> 16) return refuse(FAULT.MESSAGE_RESERVED);
  if (index >= table.entries) return refuse(FAULT.INDEX);
  const entry = memory.readable(table.address + ENTRY * index, ENTRY);
  if (!entry) return refuse(FAULT.ENTRY_ACCESS);
  const [flags, target, origin, rest] = [0, 4, 8, 12].map((at) => readU32(entry, at));
  const quiet = (flags & IRTE.QUIET) !== 0;
  if (!(flags & IRTE.PRESENT)) return refuse(FAULT.ENTRY_PRESENT, quiet);
  const verify = (origin >>> 18) & 3;
  if (flags & IRTE.RESERVED || origin >>> 20 || rest || verify > VERIFY.BUS) return refuse(FAULT.ENTRY_RESERVED, quiet);
  if (source !== undefined && !isFrom(source, origin, verify)) return refuse(FAULT.SOURCE, quiet);
  const logical = (flags & IRTE.LOGICAL) !== 0;
  const destination = table.extended ? target : (target >>> 8) & 0xff;
  return {
    destination: !table.extended && destination === 0xff && !logical ? BROADCAST : destination,
    logical,
    mode: (flags >>> 5) & 7,
    vector: (flags >>> 16) & 0xff,
    levelTriggered: (flags & IRTE.LEVEL) !== 0,
  };
}

function isFrom(source: number, origin: number, verify: number): boolean {
  if (verify === VERIFY.NONE) return true;
  if (verify === VERIFY.SOURCE) return ((source ^ origin) & 0xffff & ~QUALIFIERS[(origin >>> 16) & 3]) === 0;
  const bus = source >>> 8;
  return bus >= ((origin >>> 8) & 0xff) && bus <= (origin & 0xff);
}
