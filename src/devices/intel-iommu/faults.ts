/**
 * What a remapping unit says is wrong with a request.
 *
 * Spec: Intel Virtualization Technology for Directed I/O (D51397), "Fault Reason Encodings".
 */
export const FAULT = {
  ROOT_PRESENT: 0x01,
  CONTEXT_PRESENT: 0x02,
  CONTEXT_INVALID: 0x03,
  ADDRESS_WIDTH: 0x04,
  WRITE: 0x05,
  READ: 0x06,
  PAGE_ACCESS: 0x07,
  ROOT_ACCESS: 0x08,
  CONTEXT_ACCESS: 0x09,
  ROOT_RESERVED: 0x0a,
  CONTEXT_RESERVED: 0x0b,
  PAGE_RESERVED: 0x0c,
  MESSAGE_RESERVED: 0x20,
  INDEX: 0x21,
  ENTRY_PRESENT: 0x22,
  ENTRY_ACCESS: 0x23,
  ENTRY_RESERVED: 0x24,
  COMPATIBILITY: 0x25,
  SOURCE: 0x26,
} as const;

/** A request that is refused; `quiet` where its tables say that nobody is to hear of it. */
export interface Refusal {
  readonly fault: number;
  readonly quiet: boolean;
}

/** The fault status register. */
export const FSTS = { OVERFLOW: 1, PENDING: 2, QUEUE_ERROR: 0x10 } as const;

/** Of an event's control register: it is masked; it is due and was not sent. */
export const EVENT = { MASKED: 0x8000_0000, PENDING: 0x4000_0000 } as const;

/** The fourth word of a fault record. */
const RECORD = { FAULT: 0x8000_0000, READ: 0x4000_0000 } as const;

/** The registers that it keeps, of which there is one record. */
export interface FaultRegisters {
  fsts: number;
  fectl: number;
  frcd: number[];
}

export interface FaultEntry {
  /** The requester's id. */
  readonly source: number;
  /** The words that tell the address, or the index of the interrupt. */
  readonly low: number;
  readonly high: number;
  readonly reason: number;
  readonly read: boolean;
}

/** Records a fault where there is room; true when software is to be told. */
export function record(registers: FaultRegisters, { source, low, high, reason, read }: FaultEntry): boolean {
  const { frcd, fsts } = registers;
  if (fsts & FSTS.OVERFLOW) return false;
  if (frcd[3] & RECORD.FAULT) {
    // Faults of one requester may be told as one.
    if ((frcd[2] & 0xffff) === source) return false;
    registers.fsts |= FSTS.OVERFLOW;
    return false; // the fault before has been told
  }
  registers.frcd = [(low & ~0xfff) >>> 0, high, source, (RECORD.FAULT | (read ? RECORD.READ : 0) | reason) >>> 0];
  registers.fsts |= FSTS.PENDING;
  return (fsts & (FSTS.PENDING | FSTS.QUEUE_ERROR)) === 0;
}

/** Software writes the fourth word: a one ends the fault. */
export function release(registers: FaultRegisters, value: number): void {
  if (!(value & RECORD.FAULT)) return;
  registers.frcd[3] = (registers.frcd[3] & ~RECORD.FAULT) >>> 0;
  registers.fsts &= ~FSTS.PENDING;
}
