/**
 * SMART of a disk that never ages: enable, status, attributes, thresholds, logs.
 *
 * Spec: ATA/ATAPI-6, "SMART"; the attribute table's form is the vendors' common one.
 */
import { writeU16 } from '../../bits/endian.ts';
import { SECTOR } from './ata.ts';

const SMART = {
  READ_DATA: 0xd0,
  READ_THRESHOLDS: 0xd1,
  AUTOSAVE: 0xd2,
  EXECUTE_OFFLINE: 0xd4,
  READ_LOG: 0xd5,
  ENABLE: 0xd8,
  DISABLE: 0xd9,
  RETURN_STATUS: 0xda,
  /** What the cylinder registers must hold for any of these. */
  KEY_MID: 0x4f,
  KEY_HIGH: 0xc2,
} as const;

/** [id, flags, value, raw, threshold] */
const ATTRIBUTES: readonly (readonly [number, number, number, number, number])[] = [
  [0x01, 3, 100, 0, 6], // raw read error rate
  [0x03, 3, 100, 0, 0], // spin-up time
  [0x04, 2, 100, 1, 20], // start/stop count
  [0x05, 3, 100, 0, 36], // reallocated sectors
  [0x09, 3, 100, 1, 0], // power-on hours
  [0x0c, 3, 100, 1, 0], // power cycles
];

/** The last byte makes the sum of all 0. */
function checksum(data: Uint8Array): Uint8Array {
  let sum = 0;
  for (const byte of data) sum += byte;
  data[SECTOR - 1] = -sum;
  return data;
}

function smartData(autosave: boolean, tests: number): Uint8Array {
  const data = new Uint8Array(SECTOR);
  data[0] = 1; // revision
  ATTRIBUTES.forEach(([id, flags, value, raw], i) => {
    data.set([id, flags, 0, value, value, raw], 2 + 12 * i);
  });
  data[362] = (tests > 0 ? 2 : 0) | (autosave ? 0x80 : 0); // offline data collection: completed without error
  data[363] = 0; // self-test: completed without error
  writeU16(data, 364, 0x20); // seconds for offline collection
  data[367] = 0x08 | 0x10; // short self-tests
  writeU16(data, 368, 3); // attributes are saved
  data[370] = 1; // error logging
  data[372] = 2; // minutes for a short test
  return checksum(data);
}

function smartThresholds(): Uint8Array {
  const data = new Uint8Array(SECTOR);
  data[0] = 1;
  ATTRIBUTES.forEach(([id, , , , threshold], i) => {
    data.set([id, threshold], 2 + 12 * i);
  });
  return checksum(data);
}

/** A log's first sector; undefined when there is no such log. `tests` self-tests have run. */
function smartLog(log: number, tests: number): Uint8Array | undefined {
  const data = new Uint8Array(SECTOR);
  switch (log) {
    case 0: // directory: logs 1 and 6 have a sector each
      data[0] = 1;
      data[2 * 1] = 1;
      data[2 * 6] = 1;
      return data;
    case 1: // summary error log: no errors
      data[0] = 1;
      return checksum(data);
    case 6: // self-test log: 21 entries of 24 bytes, the newest at index 508
      data[0] = 1;
      for (let i = 0; i < Math.min(tests, 21); i++) data.set([1, 0, 1, 0], 2 + 24 * i);
      data[508] = tests === 0 ? 0 : ((tests - 1) % 21) + 1;
      return checksum(data);
    default:
      return undefined;
  }
}

/** What of a disk's state the commands read and change. */
export interface SmartState {
  readonly features: number;
  readonly count: number;
  readonly lbaLow: number;
  readonly lbaMid: number;
  readonly lbaHigh: number;
  smart: number;
  autosave: number;
  selfTests: number;
}

/** How a SMART command ends; bytes: they are offered to the host. */
export function smartCommand(state: SmartState): 'complete' | 'abort' | Uint8Array {
  const command = state.features & 0xff;
  if ((state.lbaMid & 0xff) !== SMART.KEY_MID || (state.lbaHigh & 0xff) !== SMART.KEY_HIGH) return 'abort';
  if (!state.smart && command !== SMART.ENABLE) return 'abort';
  switch (command) {
    case SMART.ENABLE:
    case SMART.DISABLE:
      state.smart = command === SMART.ENABLE ? 1 : 0;
      return 'complete';
    case SMART.AUTOSAVE:
      if ((state.count & 0xff) !== 0 && (state.count & 0xff) !== 0xf1) return 'abort';
      state.autosave = state.count & 0xff ? 1 : 0;
      return 'complete';
    case SMART.RETURN_STATUS:
      return 'complete'; // the key stays: no threshold is exceeded
    case SMART.READ_DATA:
      return smartData(state.autosave === 1, state.selfTests);
    case SMART.READ_THRESHOLDS:
      return smartThresholds();
    case SMART.READ_LOG:
      return smartLog(state.lbaLow & 0xff, state.selfTests) ?? 'abort';
    case SMART.EXECUTE_OFFLINE:
      if (![0, 1, 0x81].includes(state.lbaLow & 0xff)) return 'abort';
      if (state.lbaLow & 0x7f) state.selfTests = Math.min(0xffff, state.selfTests + 1);
      return 'complete';
    default:
      return 'abort';
  }
}
