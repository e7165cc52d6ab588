/**
 * The 8254 to and from the kernel's.
 *
 * Spec: "The Definitive KVM API Documentation", KVM_GET_PIT2; Intel 8254.
 *
 * The kernel begins to count anew when it is given a state, and does not tell
 * how far counter 0 has come. So a count that ends once is given as what is
 * left of it, and counters that the guest has left alone meanwhile go on as
 * ours. What cannot be had: the phase of counter 0 after the guest has
 * programmed it under KVM, and none at all for its one-shot modes: one that has
 * ended already may end once more.
 */
import { Pit, PitChannel } from './abi-irqchip.ts';

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
/** Ticks a nanosecond. */
const RATE = 1_193_182 / 1e9;
const isPeriodic = (mode: number): boolean => mode === 2 || mode === 3;

/** `ticks` that a counter has counted. */
export function encodePit(from: PitFields, ticks: (counter: number) => number, flags: number, to: DataView): void {
  for (let n = 0; n < 3; n++) {
    const at = n * Pit.channel;
    const mode = from.mode[n];
    let count = from.count[n];
    if (!isPeriodic(mode) && from.loaded[n]) {
      const left = count - ticks(n);
      if (left > 0) count = left;
      else if (n > 0) count = 1;
    }
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

/** The kernel still counts what it was given: `sent` is what it showed then. */
export function isUntouched(now: DataView, sent: DataView, counter: number): boolean {
  const at = counter * Pit.channel;
  const same = (place: number) => now.getUint8(at + place) === sent.getUint8(at + place);
  return (
    now.getUint32(at + PitChannel.count, true) === sent.getUint32(at + PitChannel.count, true) &&
    now.getBigInt64(at + PitChannel.countLoadTime, true) === sent.getBigInt64(at + PitChannel.countLoadTime, true) &&
    [PitChannel.mode, PitChannel.bcd, PitChannel.gate, PitChannel.rwMode].every(same)
  );
}

/** `sent`: what the kernel showed when it was given the state, `passed` nanoseconds ago; `tick`: the counters' clock. */
export function decodePit(now: DataView, sent: DataView, passed: number, tick: number, to: PitFields): void {
  // Counter 1, which nobody uses, was loaded at that time.
  const given = sent.getBigInt64(Pit.channel + PitChannel.countLoadTime, true);
  for (let n = 0; n < 3; n++) {
    const at = n * Pit.channel;
    const byte = (place: number) => now.getUint8(at + place);
    const mode = byte(PitChannel.mode) <= 5 ? byte(PitChannel.mode) : 0;
    // A one-shot count of counter 0 may have been loaded again with the same value: nothing tells.
    if (!(isUntouched(now, sent, n) && (n > 0 || isPeriodic(mode)))) {
      const count = now.getUint32(at + PitChannel.count, true);
      const loaded = Number(now.getBigInt64(at + PitChannel.countLoadTime, true) - given);
      const elapsed = n === 0 ? 0 : Math.max(0, Math.floor((passed - loaded) * RATE));
      to.count[n] = Math.min(0x1_0000, Math.max(1, count));
      to.loaded[n] = 1;
      to.triggered[n] = 1;
      to.start[n] = tick - elapsed;
      to.elapsed[n] = elapsed;
      if (n === 0) to.periods = 0;
    }
    to.mode[n] = mode;
    to.bcd[n] = byte(PitChannel.bcd) & 1;
    to.gate[n] = byte(PitChannel.gate) & 1;
    to.access[n] = byte(PitChannel.rwMode) & 3;
    to.readHigh[n] = byte(PitChannel.readState) === WORD + 1 ? 1 : 0;
    to.writeHigh[n] = byte(PitChannel.writeState) === WORD + 1 ? 1 : 0;
    to.lowWritten[n] = byte(PitChannel.writeLatch);
    to.latch[n] = now.getUint16(at + PitChannel.latchedCount, true);
    to.latched[n] = byte(PitChannel.countLatched) & 3;
    to.status[n] = byte(PitChannel.status);
    to.statusLatched[n] = byte(PitChannel.statusLatched) & 1;
  }
}
