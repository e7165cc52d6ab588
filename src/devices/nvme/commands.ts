/**
 * The words of NVM Express: opcodes, status codes, and the fields of a command.
 *
 * Spec: NVM Express Base Specification 1.4, "Submission Queue Entry",
 * "Completion Queue Entry", "Admin Command Set", "NVM Command Set".
 */
import { readU16, readU32, readU64 } from '../../bits/endian.ts';

export const COMMAND_SIZE = 64;
export const COMPLETION_SIZE = 16;

export const ADMIN = {
  DELETE_SQ: 0x00,
  CREATE_SQ: 0x01,
  GET_LOG_PAGE: 0x02,
  DELETE_CQ: 0x04,
  CREATE_CQ: 0x05,
  IDENTIFY: 0x06,
  ABORT: 0x08,
  SET_FEATURES: 0x09,
  GET_FEATURES: 0x0a,
  ASYNC_EVENT: 0x0c,
} as const;

export const NVM = {
  FLUSH: 0x00,
  WRITE: 0x01,
  READ: 0x02,
  COMPARE: 0x05,
  WRITE_ZEROES: 0x08,
  DATASET_MANAGEMENT: 0x09,
} as const;

const DNR = 0x4000;
/** Status field: code, code type in bits 8 to 10, "do not retry". */
export const STATUS = {
  OK: 0,
  INVALID_OPCODE: 0x001 | DNR,
  INVALID_FIELD: 0x002 | DNR,
  DATA_TRANSFER: 0x004,
  INTERNAL: 0x006,
  INVALID_NAMESPACE: 0x00b | DNR,
  PRP_OFFSET: 0x013 | DNR,
  LBA_RANGE: 0x080 | DNR,
  READ_ONLY: 0x182 | DNR,
  CQ_INVALID: 0x100 | DNR,
  QUEUE_ID: 0x101 | DNR,
  QUEUE_SIZE: 0x102 | DNR,
  EVENT_LIMIT: 0x105 | DNR,
  INTERRUPT_VECTOR: 0x108 | DNR,
  LOG_PAGE: 0x109 | DNR,
  QUEUE_DELETION: 0x10c | DNR,
  NOT_CHANGEABLE: 0x10e | DNR,
  COMPARE_FAILURE: 0x285,
  WRITE_FAULT: 0x280,
  READ_ERROR: 0x281,
} as const;

/** A submission queue entry, 64 bytes that were copied from the guest. */
export class Command {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }

  get opcode(): number {
    return this.bytes[0];
  }
  get id(): number {
    return readU16(this.bytes, 2);
  }
  /** Data by SGL, or fused with another command: neither is offered. */
  get unsupported(): boolean {
    return (this.bytes[1] & 0xc3) !== 0;
  }
  get namespace(): number {
    return readU32(this.bytes, 4);
  }
  get prp1(): number {
    return readU64(this.bytes, 24);
  }
  get prp2(): number {
    return readU64(this.bytes, 32);
  }
  /** Dword 10 to 15. */
  dword(n: number): number {
    return readU32(this.bytes, 4 * n);
  }
  /** Starting LBA of the NVM commands. */
  get lba(): number {
    return readU64(this.bytes, 40);
  }
  /** Number of logical blocks of the NVM commands. */
  get blocks(): number {
    return readU16(this.bytes, 48) + 1;
  }
  get forceUnitAccess(): boolean {
    return (this.bytes[51] & 0x40) !== 0;
  }
}
