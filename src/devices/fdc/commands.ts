/**
 * The command set of the 82078: opcodes, and how many parameters follow.
 *
 * Spec: Intel 82078 data sheet (1995), "Command set/descriptions".
 */
export const OP = {
  READ_TRACK: 0x02,
  SPECIFY: 0x03,
  SENSE_DRIVE: 0x04,
  WRITE: 0x05,
  READ: 0x06,
  RECALIBRATE: 0x07,
  SENSE_INTERRUPT: 0x08,
  WRITE_DELETED: 0x09,
  READ_ID: 0x0a,
  READ_DELETED: 0x0c,
  FORMAT: 0x0d,
  DUMP_REGISTERS: 0x0e,
  SEEK: 0x0f,
  VERSION: 0x10,
  PERPENDICULAR: 0x12,
  CONFIGURE: 0x13,
  LOCK: 0x14,
  VERIFY: 0x16,
  POWERDOWN: 0x17,
  PART_ID: 0x18,
  OPTION: 0x33,
  RELATIVE_SEEK_OUT: 0x8f,
  RELATIVE_SEEK_IN: 0xcf,
} as const;

/** Modifier bits of READ and WRITE: both heads, MFM, skip. */
export const MT = 0x80;

interface Entry {
  readonly op: number;
  /** The bits of the first byte that tell the command. */
  readonly mask: number;
  readonly parameters: number;
}

/** The first that fits. */
const COMMANDS: readonly Entry[] = [
  { op: OP.READ, mask: 0x1f, parameters: 8 },
  { op: OP.READ_DELETED, mask: 0x1f, parameters: 8 },
  { op: OP.WRITE, mask: 0x3f, parameters: 8 },
  { op: OP.WRITE_DELETED, mask: 0x3f, parameters: 8 },
  { op: OP.READ_TRACK, mask: 0xbf, parameters: 8 },
  { op: OP.VERIFY, mask: 0x1f, parameters: 8 },
  { op: OP.READ_ID, mask: 0xbf, parameters: 1 },
  { op: OP.FORMAT, mask: 0xbf, parameters: 5 },
  { op: OP.SPECIFY, mask: 0xff, parameters: 2 },
  { op: OP.SENSE_DRIVE, mask: 0xff, parameters: 1 },
  { op: OP.RECALIBRATE, mask: 0xff, parameters: 1 },
  { op: OP.SENSE_INTERRUPT, mask: 0xff, parameters: 0 },
  { op: OP.SEEK, mask: 0xff, parameters: 2 },
  { op: OP.RELATIVE_SEEK_OUT, mask: 0xff, parameters: 2 },
  { op: OP.RELATIVE_SEEK_IN, mask: 0xff, parameters: 2 },
  { op: OP.DUMP_REGISTERS, mask: 0xff, parameters: 0 },
  { op: OP.VERSION, mask: 0xff, parameters: 0 },
  { op: OP.PERPENDICULAR, mask: 0xff, parameters: 1 },
  { op: OP.CONFIGURE, mask: 0xff, parameters: 3 },
  { op: OP.LOCK, mask: 0x7f, parameters: 0 },
  { op: OP.POWERDOWN, mask: 0xff, parameters: 1 },
  { op: OP.PART_ID, mask: 0xff, parameters: 0 },
  { op: OP.OPTION, mask: 0xff, parameters: 1 },
];

/** Which command a first byte is; undefined for an invalid one. */
export function commandOf(byte: number): Entry | undefined {
  return COMMANDS.find(({ op, mask }) => (byte & mask) === op);
}

/** Status register 0 to 3. */
export const ST0 = { HEAD: 4, EQUIPMENT: 0x10, SEEK_END: 0x20, ABNORMAL: 0x40, INVALID: 0x80, POLLING: 0xc0 } as const;
export const ST1 = { MISSING_MARK: 1, NOT_WRITABLE: 2, NO_DATA: 4, DATA_ERROR: 0x20, END: 0x80 } as const;
export const ST2 = { WRONG_CYLINDER: 0x10 } as const;
export const ST3 = { ALWAYS: 0x28, TRACK_0: 0x10, PROTECTED: 0x40 } as const;
