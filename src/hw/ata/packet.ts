/**
 * Packet commands and sense: the words of ATAPI.
 *
 * Spec: SPC-3, "Sense data"; MMC-6, "Command descriptions".
 */
export const PACKET = {
  TEST_UNIT_READY: 0x00,
  REQUEST_SENSE: 0x03,
  INQUIRY: 0x12,
  START_STOP_UNIT: 0x1b,
  PREVENT_ALLOW: 0x1e,
  READ_CAPACITY: 0x25,
  READ_10: 0x28,
  SEEK_10: 0x2b,
  READ_TOC: 0x43,
  GET_CONFIGURATION: 0x46,
  GET_EVENT_STATUS: 0x4a,
  READ_DISC_INFORMATION: 0x51,
  MODE_SENSE_10: 0x5a,
  READ_12: 0xa8,
  READ_DVD_STRUCTURE: 0xad,
  SET_CD_SPEED: 0xbb,
  MECHANISM_STATUS: 0xbd,
  READ_CD: 0xbe,
} as const;

/** Sense key in the high byte, additional sense code in the low one. */
export const SENSE = {
  NONE: 0x000,
  MEDIUM_NOT_PRESENT: 0x23a,
  MEDIUM_REMOVAL_PREVENTED: 0x253,
  READ_ERROR: 0x311,
  BAD_OPCODE: 0x520,
  OUT_OF_RANGE: 0x521,
  BAD_FIELD: 0x524,
  NOT_SAVED: 0x539,
  REMOVAL_PREVENTED_EMPTY: 0x553,
  MEDIUM_CHANGED: 0x628,
} as const;

export function senseData(sense: number): Uint8Array {
  const data = new Uint8Array(18);
  data[0] = 0xf0; // current error, valid
  data[2] = sense >> 8;
  data[7] = 10;
  data[12] = sense & 0xff;
  return data;
}

/** ASCII padded with blanks. */
export function putAscii(data: Uint8Array, at: number, length: number, text: string): void {
  for (let i = 0; i < length; i++) data[at + i] = i < text.length ? text.charCodeAt(i) & 0x7f : 0x20;
}
