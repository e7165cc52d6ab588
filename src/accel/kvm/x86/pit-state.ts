/**
 * The 8254 to and from the kernel's.
 *
 * Spec: "The Definitive KVM API Documentation", KVM_GET_PIT2; Intel 8254.
 *
 * The kernel begins to count anew when it is given a state, so a count that
 * ends once is given as what is left of it. Counters that the guest has left
 * alone meanwhile go on as ours; where the others are follows from their load
 * times, and for counter 0, which has none, from what is read back. What cannot
 * be told: whether a strobe (modes 4 and 5) of counter 0 that the guest has set
 * under KVM has been.
 */
import { Pit, PitChannel, PitFlags } from './abi-irqchip.ts';
import type { Counter0 } from './pit-read-back.ts';

/** As our model of the device has it: a value a counter. */
export interface PitFields {
  count: number[];
  loaded: number[];
  triggered: number[];
  start: number[];
  elapsed: number[];
  periods: number;
  gate: number[];
  mode: number[];
  bcd: number[];
  access: number[];
  readHigh: number[];
  writeHigh: number[];
  lowWritten: number[];
  latch: number[];
  latched: number[];
  status: number[];
  statusLatched: number[];
}

const WORD = 3;
const HZ = 1_193_182;
/** Ticks a nanosecond. */
const RATE = HZ / 1e9;
const WRAP = 0x1_0000;
/** The kernel takes counts of 32 bits: an hour, in which what a guest reads is what it is without. */
const NEVER = 0xffff_0000;
/** Shorter than the kernel's NEVER, ns. */
export const NEVER_NS = 3000e9;
/** The kernel's least period, ns (its parameter min_timer_period_us). */
const LEAST_NS = 200_000;
const isPeriodic = (mode: number): boolean => mode === 2 || mode === 3;

/** Counter 0 interrupts nobody before the guest writes to it: a count that ended once, or none at all. */
export function isQuiet({ mode, loaded }: PitFields, ended: boolean): boolean {
  return !loaded[0] || (ended && !isPeriodic(mode[0]));
}

/** `ticks` that a counter has counted; `ended`: so has counter 0, and was heard. */
export function encodePit(
  from: PitFields,
  ticks: (counter: number) => number,
  ended: boolean,
  flags: number,
  to: DataView,
): void {
  for (let n = 0; n < 3; n++) {
    const at = n * Pit.channel;
    const mode = from.mode[n];
    let count = from.count[n];
    if (n === 0 && isQuiet(from, ended)) count = NEVER + ((((count - ticks(0)) % WRAP) + WRAP) % WRAP);
    else if (!isPeriodic(mode) && from.loaded[n]) count = Math.max(1, count - ticks(n));
    to.setUint32(at + PitChannel.count, count, true);
    to.setUint16(at + PitChannel.latchedCount, from.latch[n], true);
    to.setUint8(at + PitChannel.countLatched, from.latched[n]);
    to.setUint8(at + PitChannel.statusLatched, from.statusLatched[n]);
    to.setUint8(at + PitChannel.status, from.status[n]);
    // 3 and 4: the low and the high byte of both.
    const byte = (high: number) => (from.access[n] === WORD ? WORD + high : from.access[n]);
    to.setUint8(at + PitChannel.readState, byte(from.readHigh[n]));
    to.setUint8(at + PitChannel.writeState, byte(from.writeHigh[n]));
    to.setUint8(at + PitChannel.writeLatch, from.lowWritten[n]);
    to.setUint8(at + PitChannel.rwMode, from.access[n]);
    to.setUint8(at + PitChannel.mode, mode);
    to.setUint8(at + PitChannel.bcd, from.bcd[n]);
    to.setUint8(at + PitChannel.gate, from.gate[n]);
    to.setBigInt64(at + PitChannel.countLoadTime, 0n, true);
  }
  to.setUint32(Pit.flags, flags, true);
}

/** A counter's registers are what they were when the kernel was given them: `sent`. */
export function isUntouched(now: DataView, sent: DataView, counter: number): boolean {
  const at = counter * Pit.channel;
  const same = (place: number) => now.getUint8(at + place) === sent.getUint8(at + place);
  return (
    now.getUint32(at + PitChannel.count, true) === sent.getUint32(at + PitChannel.count, true) &&
    now.getBigInt64(at + PitChannel.countLoadTime, true) === sent.getBigInt64(at + PitChannel.countLoadTime, true) &&
    [PitChannel.mode, PitChannel.bcd, PitChannel.gate, PitChannel.rwMode].every(same)
  );
}

/** Ticks since counter 0 was loaded, as far as they show: modulo its period, or 65536. */
function ticksShown(mode: number, count: number, { value, out }: Counter0): number {
  const gone = count - value;
  if (mode === 2) return ((gone % count) + count) % count;
  if (mode === 3) {
    const twice = ((gone % count) + count) % count;
    return Math.floor((out ? twice : twice + count) / 2);
  }
  const ticks = ((gone % WRAP) + WRAP) % WRAP;
  return (mode === 0 || mode === 1) && out && ticks < count ? ticks + WRAP : ticks;
}

/** Whether counter 0 is where it is if it has counted from `sent` on for `passed` ns, give or take `doubt`. */
function goesOn(mode: number, count: number, passed: number, doubt: number, shown: Counter0): boolean {
  const exact = (count * 1e9) / HZ;
  const period = isPeriodic(mode) ? Math.max(LEAST_NS, Math.floor(exact)) : (WRAP * 1e9) / HZ;
  const apart = Math.abs((passed - ticksShown(mode, count, shown) / RATE) % period);
  return Math.min(apart, period - apart) <= doubt;
}

/** When the kernel was given a state or asked for one. */
export interface PitLook {
  /** `shown`: by KVM_GET_PIT2. */
  readonly shown: DataView;
  /** Nanoseconds of the machine's clock, give or take some. */
  readonly at: number;
  readonly doubt: number;
  /** Undefined where counter 0 was not read back. */
  readonly counter0?: Counter0 | undefined;
}

/** Nanoseconds that the kernel's clock and ours may differ, beside what is known to be doubtful. */
const TOLERANCE = 30_000;

/** `tick`: the counters' clock at a time. True: counter 0 goes on as ours. */
export function decodePit(now: PitLook, sent: PitLook, tick: (at: number) => number, to: PitFields): boolean {
  // Counter 1, which nobody uses, was loaded at that time.
  const given = sent.shown.getBigInt64(Pit.channel + PitChannel.countLoadTime, true);
  const passed = now.at - sent.at;
  let ours = true;
  for (let n = 0; n < 3; n++) {
    const at = n * Pit.channel;
    const byte = (place: number) => now.shown.getUint8(at + place);
    const mode = byte(PitChannel.mode) <= 5 ? byte(PitChannel.mode) : 0;
    const count = now.shown.getUint32(at + PitChannel.count, true);
    const { counter0 } = now;
    const doubt = now.doubt + sent.doubt + TOLERANCE;
    // The same count may have been loaded again.
    const again = n === 0 && counter0 && count <= WRAP && !goesOn(mode, count, passed, doubt, counter0);
    if (again || !isUntouched(now.shown, sent.shown, n)) {
      const loaded = Number(now.shown.getBigInt64(at + PitChannel.countLoadTime, true) - given);
      to.count[n] = Math.min(WRAP, Math.max(1, count));
      const elapsed =
        n > 0
          ? Math.max(0, Math.floor((passed - loaded) * RATE))
          : counter0
            ? ticksShown(mode, to.count[0], counter0)
            : 0;
      to.loaded[n] = 1;
      to.triggered[n] = 1;
      to.start[n] = tick(now.at) - elapsed;
      to.elapsed[n] = elapsed;
      if (n === 0) ours = false;
    }
    to.mode[n] = mode;
    to.bcd[n] = byte(PitChannel.bcd) & 1;
    to.gate[n] = byte(PitChannel.gate) & 1;
    to.access[n] = byte(PitChannel.rwMode) & 3;
    to.readHigh[n] = byte(PitChannel.readState) === WORD + 1 ? 1 : 0;
    to.writeHigh[n] = byte(PitChannel.writeState) === WORD + 1 ? 1 : 0;
    to.lowWritten[n] = byte(PitChannel.writeLatch);
    to.latch[n] = now.shown.getUint16(at + PitChannel.latchedCount, true);
    to.latched[n] = byte(PitChannel.countLatched) & 3;
    to.status[n] = byte(PitChannel.status);
    to.statusLatched[n] = byte(PitChannel.statusLatched) & 1;
  }
  return ours;
}

/** The kernel's counter 0 makes no interrupts, and its timer stands still: the HPET's. */
export const isReplaced = (shown: DataView): boolean => (shown.getUint32(Pit.flags, true) & PitFlags.hpetLegacy) !== 0;
