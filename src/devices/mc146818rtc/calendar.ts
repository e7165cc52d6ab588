/**
 * The clock's ten bytes: seconds to century, in BCD or binary, 12 or 24 hours.
 *
 * Spec: Motorola MC146818A, "Time, Calendar, and Alarm Locations".
 */

/** Offsets of the bytes in CMOS memory. */
export const TIME = {
  SECONDS: 0,
  SECONDS_ALARM: 1,
  MINUTES: 2,
  MINUTES_ALARM: 3,
  HOURS: 4,
  HOURS_ALARM: 5,
  WEEKDAY: 6,
  DAY: 7,
  MONTH: 8,
  YEAR: 9,
  CENTURY: 0x32,
} as const;

export interface Format {
  /** Binary; BCD otherwise. */
  readonly binary: boolean;
  /** Hours 0..23; otherwise 1..12 with bit 7 for the afternoon. */
  readonly hours24: boolean;
}

const AFTERNOON = 0x80;
const DAY_SECONDS = 86_400;

/** Puts `seconds` since the Unix epoch into the time bytes. */
export function writeTime(cmos: Uint8Array, seconds: number, { binary, hours24 }: Format): void {
  const date = new Date(seconds * 1000);
  const put = (at: number, value: number) => {
    cmos[at] = binary ? value : ((Math.floor(value / 10) % 10) << 4) | (value % 10);
  };
  const hour = date.getUTCHours();
  const year = date.getUTCFullYear();
  put(TIME.SECONDS, date.getUTCSeconds());
  put(TIME.MINUTES, date.getUTCMinutes());
  put(TIME.HOURS, hours24 ? hour : hour % 12 || 12);
  if (!hours24 && hour >= 12) cmos[TIME.HOURS] |= AFTERNOON;
  put(TIME.WEEKDAY, date.getUTCDay() + 1);
  put(TIME.DAY, date.getUTCDate());
  put(TIME.MONTH, date.getUTCMonth() + 1);
  put(TIME.YEAR, modulo(year, 100));
  put(TIME.CENTURY, modulo(Math.floor(year / 100), 100));
}

/** Seconds since the Unix epoch that the time bytes say; dates that do not exist run over into the next ones. */
export function readTime(cmos: Uint8Array, format: Format): number {
  const get = (at: number) => fromByte(cmos[at], format);
  const date = new Date(0);
  date.setUTCFullYear(get(TIME.CENTURY) * 100 + get(TIME.YEAR), get(TIME.MONTH) - 1, get(TIME.DAY));
  const hours = hourOf(cmos[TIME.HOURS], format);
  return date.getTime() / 1000 + hours * 3600 + get(TIME.MINUTES) * 60 + get(TIME.SECONDS);
}

/**
 * The first second after `after` (seconds since the epoch) at which the alarm bytes match; Infinity when
 * there is none. A byte with its two highest bits set matches everything.
 */
export function nextAlarm(cmos: Uint8Array, after: number, format: Format): number {
  const [hour, minute, second] = [TIME.HOURS_ALARM, TIME.MINUTES_ALARM, TIME.SECONDS_ALARM].map((at) => {
    if (cmos[at] >= 0xc0) return undefined;
    return at === TIME.HOURS_ALARM ? hourOf(cmos[at], format) : fromByte(cmos[at], format);
  });
  if ((hour ?? 0) > 23 || (minute ?? 0) > 59 || (second ?? 0) > 59) return Infinity;
  const first = after + 1;
  const today = modulo(first, DAY_SECONDS);
  const midnight = first - today;
  // Time of day as digits of mixed radix: the least one that is not earlier and matches, or the least of tomorrow.
  const later = leastFrom(today, [hour, minute, second]);
  return later === undefined ? midnight + DAY_SECONDS + leastFrom(0, [hour, minute, second])! : midnight + later;
}

/** The first second of a day, from `start` on, that matches; undefined when the day has none left. */
function leastFrom(start: number, fields: readonly (number | undefined)[]): number | undefined {
  const [hour, minute, second] = fields;
  const startHour = Math.floor(start / 3600);
  for (let h = hour ?? startHour; h < 24; h++) {
    const hourBegins = h * 3600;
    if (hourBegins + 3599 >= start) {
      const startMinute = Math.max(0, Math.floor((start - hourBegins) / 60));
      for (let m = minute ?? startMinute; m < 60; m++) {
        const s = second ?? Math.max(0, start - hourBegins - m * 60);
        const found = hourBegins + m * 60 + s;
        if (s < 60 && found >= start) return found;
        if (minute !== undefined) break;
      }
    }
    if (hour !== undefined) break;
  }
  return undefined;
}

function hourOf(byte: number, format: Format): number {
  if (format.hours24) return fromByte(byte, format);
  return (fromByte(byte & ~AFTERNOON, format) % 12) + (byte & AFTERNOON ? 12 : 0);
}

function fromByte(byte: number, { binary }: Format): number {
  return binary ? byte : (byte >> 4) * 10 + (byte & 15);
}

function modulo(value: number, by: number): number {
  return ((value % by) + by) % by;
}
