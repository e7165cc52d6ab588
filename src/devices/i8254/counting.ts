/**
 * What a counter of the 8254 shows some ticks after it was loaded: the level
 * of OUT and the counting element, by mode.
 *
 * Spec: Intel 8254 (231164), "Mode Definitions".
 */

export interface Wave {
  readonly level: boolean;
  /** Ticks until the level rises or falls (in modes 2, 4 and 5, whose pulses last one tick, until it rises). */
  readonly next: number;
}

/** OUT, `ticks` after the counter began to count down from `count`. */
export function waveform(mode: number, count: number, ticks: number): Wave {
  switch (mode) {
    case 0: // interrupt on terminal count
    case 1: // hardware retriggerable one-shot
      return ticks < count ? { level: false, next: count - ticks } : { level: true, next: Infinity };
    case 2: {
      // Rate generator: low during the last tick of each period.
      const phase = ticks % count;
      return { level: phase !== count - 1 || count === 1, next: count - phase };
    }
    case 3: {
      // Square wave: high for the longer half.
      const phase = ticks % count;
      const high = (count + 1) >> 1;
      return phase < high ? { level: true, next: high - phase } : { level: false, next: count - phase };
    }
    default:
      // Software and hardware triggered strobe: low for one tick at the end.
      return ticks <= count ? { level: ticks !== count, next: count + 1 - ticks } : { level: true, next: Infinity };
  }
}

/** The counting element; `modulus` is where it wraps, 65536 or 10000. */
export function remaining(mode: number, count: number, ticks: number, modulus: number): number {
  switch (mode) {
    case 2:
      return (count - (ticks % count)) % modulus;
    case 3: // counts by two
      return ((count - ((2 * ticks) % count)) & ~1) % modulus;
    default:
      return (((count - ticks) % modulus) + modulus) % modulus;
  }
}

/** Four decimal digits. A digit beyond 9 counts as its value, as the subtractor takes it. */
export function fromBcd(value: number): number {
  return (value & 15) + ((value >> 4) & 15) * 10 + ((value >> 8) & 15) * 100 + ((value >> 12) & 15) * 1000;
}

/** `value` below 10000. */
export function toBcd(value: number): number {
  const digit = (power: number) => Math.floor(value / power) % 10;
  return (digit(1000) << 12) | (digit(100) << 8) | (digit(10) << 4) | digit(1);
}
