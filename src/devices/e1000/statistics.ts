/**
 * Statistics registers: 32 bits that stop at all ones, or pairs of 64.
 *
 * Spec: Intel 8254x Software Developer's Manual, "Statistics Registers".
 */

/** Offsets of the counters, bytes. */
export const STATISTIC = {
  BASE: 0x4000,
  MPC: 0x4010,
  FCRUC: 0x4058,
  PRC64: 0x405c,
  GPRC: 0x4074,
  BPRC: 0x4078,
  MPRC: 0x407c,
  GPTC: 0x4080,
  GORCL: 0x4088,
  GOTCL: 0x4090,
  RNBC: 0x40a0,
  ROC: 0x40ac,
  TORL: 0x40c0,
  TOTL: 0x40c8,
  TPR: 0x40d0,
  TPT: 0x40d4,
  PTC64: 0x40d8,
  MPTC: 0x40f0,
  BPTC: 0x40f4,
  TSCTC: 0x40f8,
} as const;
const PAIRS: readonly number[] = [STATISTIC.GORCL, STATISTIC.GOTCL, STATISTIC.TORL, STATISTIC.TOTL];
/** A frame of as many bytes counts in the register of that index behind PRC64 or PTC64. */
const SIZES = [64, 127, 255, 511, 1023];

const index = (register: number): number => (register - STATISTIC.BASE) >> 2;

export function count(statistics: number[], register: number): void {
  const at = index(register);
  if (statistics[at] !== 0xffff_ffff) statistics[at]++;
}

/** Adds to a pair. */
export function countBytes(statistics: number[], register: number, bytes: number): void {
  const at = index(register);
  const sum = statistics[at] + bytes;
  const high = statistics[at + 1] + (sum > 0xffff_ffff ? 1 : 0);
  statistics[at] = high > 0xffff_ffff ? 0xffff_ffff : sum >>> 0;
  statistics[at + 1] = Math.min(high, 0xffff_ffff);
}

/** Counts a frame by its size with check sequence, from `register` on; shorter than 64 counts nowhere. */
export function countSize(statistics: number[], register: number, size: number): void {
  if (size < SIZES[0]) return;
  const larger = SIZES.findIndex((most) => size <= most);
  count(statistics, register + 4 * (larger < 0 ? SIZES.length : larger));
}

/** Reading clears a counter; the high word of a pair clears both, the low word nothing. */
export function readStatistic(statistics: number[], at: number): number {
  const value = statistics[at];
  const low = PAIRS.includes(STATISTIC.BASE + 4 * at);
  if (!low) statistics[at] = 0;
  if (PAIRS.includes(STATISTIC.BASE + 4 * (at - 1))) statistics[at - 1] = 0;
  return value;
}
