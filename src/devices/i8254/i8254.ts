/**
 * Intel 8254: three counters, of which the PC uses the first for its timer
 * interrupt and the third for the speaker.
 *
 * Spec: Intel 8254 (231164), "Programming the 8254" and "Mode Definitions".
 * Departures: a new count takes effect at once in every mode, as in QEMU; a
 * period of the first counter's interrupt is at least 10 microseconds.
 */
import { bank } from '../../hw/bank.ts';
import type { Timer } from '../../hw/clock.ts';
import type { Device, DeviceLog, IrqLine, Mmio, Wiring } from '../../hw/device.ts';
import { Oscillator } from '../../hw/oscillator.ts';
import { array, create, f64, initially, layout, u1, u8, u16, u32 } from '../../state/layout.ts';
import { fromBcd, remaining, toBcd, waveform } from './counting.ts';

/** The counters' clock, Hz. */
export const PIT_HZ = 1_193_182;
const OSCILLATOR = new Oscillator(PIT_HZ);
const SHORTEST_TICKS = 12;

/** RW1 and RW0 of the control word. */
const ACCESS = { LATCH: 0, LOW: 1, HIGH: 2, WORD: 3 };
const CONTROL = { BCD: 0x01, READ_BACK: 3, NO_COUNT: 0x20, NO_STATUS: 0x10 };
const STATUS = { OUT: 0x80, NULL_COUNT: 0x40 };

// Each array holds one value a counter.
const STATE = layout('i8254', 1, {
  count: array(initially(u32, 0x1_0000), 3), // 1..65536, binary
  loaded: array(initially(u1, 1), 3), // a count was written since the control word
  triggered: array(initially(u1, 1), 3), // modes 1 and 5: the gate rose since
  start: array(f64, 3), // the oscillator's tick at which counting began
  elapsed: array(f64, 3), // ticks counted before the gate fell
  periods: f64, // of counter 0, up to its last rise that the interrupt line has shown
  gate: array(initially(u1, 1), 3),
  mode: array(initially(u8, 3), 3), // 0..5
  bcd: array(u1, 3),
  access: array(initially(u8, ACCESS.WORD), 3),
  readHigh: array(u1, 3), // ACCESS.WORD: the next byte read is the high one
  writeHigh: array(u1, 3),
  lowWritten: array(u8, 3),
  latch: array(u16, 3),
  latched: array(u8, 3), // ACCESS bits of the latch that are still to be read
  status: array(u8, 3),
  statusLatched: array(u1, 3),
});

const REGISTERS = bank<I8254>(
  4,
  {
    COUNTER: {
      at: 0,
      count: 3,
      read: (pit, index) => pit.readCounter(index),
      write: (pit, value, index) => pit.writeCounter(index, value),
    },
    CONTROL: { at: 3, write: (pit, value) => pit.control(value) },
  },
  { width: 1 },
);

export class I8254 implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  /** Four ports at 0x40. */
  readonly mmio: Mmio;
  private readonly wiring: Wiring;
  private readonly irq: IrqLine;
  private readonly timer: Timer;

  /** `irq` is OUT of counter 0. */
  constructor(name: string, wiring: Wiring, irq: IrqLine) {
    this.name = name;
    this.wiring = wiring;
    this.log = wiring.log;
    this.irq = irq;
    this.timer = wiring.clock.timer(() => this.output(true));
    this.mmio = REGISTERS.on(this);
    this.state.gate[2] = 0;
  }

  /** The counters run from reset, as firmware finds them in QEMU; the third has its gate closed. */
  reset(): void {
    Object.assign(this.state, create(STATE));
    this.state.start.fill(this.tick());
    this.state.gate[2] = 0;
    this.output();
  }

  resumed(): void {
    this.output();
  }

  /** Somebody else counts from here on, until `resumed`; the wire is theirs. */
  leave(): void {
    this.timer.cancel();
    this.irq.set(false);
  }
  /** It has come back, with its wire as it is. */
  comeBack(level: boolean): void {
    this.irq.set(level);
  }
  /** When the interrupt rises the nth time, where it does so periodically; Infinity: it does not. */
  riseTime(n: number): number {
    const { state } = this;
    if ((state.mode[0] !== 2 && state.mode[0] !== 3) || !state.loaded[0] || !state.gate[0]) return Infinity;
    return OSCILLATOR.time(state.start[0] + n * state.count[0]);
  }
  /** How often it has risen by then; 0 where it does not. */
  risesBy(time: number): number {
    if (this.riseTime(0) === Infinity) return 0;
    return Math.max(0, Math.floor((this.tick(time) - this.state.start[0]) / this.state.count[0]));
  }

  /** Drives GATE of a counter; those of 0 and 1 are tied high on a PC. */
  setGate(index: number, level: boolean): void {
    const { state } = this;
    if (level === (state.gate[index] === 1)) return;
    const mode = state.mode[index];
    const stops = mode !== 1 && mode !== 5;
    if (level) {
      // Modes 0 and 4 go on where they were, the others begin anew.
      const goesOn = mode === 0 || mode === 4;
      state.start[index] = this.tick() - (goesOn ? state.elapsed[index] : 0);
      state.triggered[index] = state.loaded[index];
      state.periods = index === 0 && !goesOn ? 0 : state.periods;
    } else if (stops) state.elapsed[index] = this.ticksOf(index);
    state.gate[index] = level ? 1 : 0;
    if (index === 0) this.output();
  }

  /** The level of a counter's OUT. */
  out(index: number): boolean {
    return this.wave(index).level;
  }

  /** What counter 2 plays: hertz, or 0 when it stands still or is no square wave. */
  frequency(index: number): number {
    const { state } = this;
    return state.mode[index] === 3 && state.loaded[index] && state.gate[index] ? PIT_HZ / state.count[index] : 0;
  }

  readCounter(index: number): number {
    const { state } = this;
    if (state.statusLatched[index]) {
      state.statusLatched[index] = 0;
      return state.status[index];
    }
    if (state.latched[index]) {
      const low = (state.latched[index] & ACCESS.LOW) !== 0;
      state.latched[index] &= low ? ~ACCESS.LOW : ~ACCESS.HIGH;
      return low ? state.latch[index] & 0xff : state.latch[index] >> 8;
    }
    const value = this.value(index);
    const high = state.access[index] === ACCESS.WORD ? state.readHigh[index] : state.access[index] === ACCESS.HIGH;
    if (state.access[index] === ACCESS.WORD) state.readHigh[index] ^= 1;
    return high ? value >> 8 : value & 0xff;
  }

  writeCounter(index: number, value: number): void {
    const { state } = this;
    switch (state.access[index]) {
      case ACCESS.LOW:
        this.load(index, value);
        break;
      case ACCESS.HIGH:
        this.load(index, value << 8);
        break;
      default:
        if (state.writeHigh[index]) this.load(index, state.lowWritten[index] | (value << 8));
        else {
          state.lowWritten[index] = value;
          if (state.mode[index] === 0) this.stop(index); // "writing the first byte disables counting"
        }
        state.writeHigh[index] ^= 1;
    }
  }

  control(value: number): void {
    const { state } = this;
    const index = value >> 6;
    if (index === CONTROL.READ_BACK) {
      for (let i = 0; i < 3; i++) if (value & (2 << i)) this.readBack(i, value);
      return;
    }
    const access = (value >> 4) & 3;
    if (access === ACCESS.LATCH) {
      this.latch(index);
      return;
    }
    const mode = (value >> 1) & 7;
    state.access[index] = access;
    state.readHigh[index] = 0;
    state.writeHigh[index] = 0;
    state.latched[index] = 0;
    state.mode[index] = mode > 5 ? mode & 3 : mode;
    state.bcd[index] = value & CONTROL.BCD;
    this.stop(index);
  }

  /** Sets the interrupt line and the timer for its next change. `ring`: the time for that has come. */
  private output(ring = false): void {
    const { state } = this;
    const { level, next } = this.wave(0);
    let rose = ring && level;
    if (state.mode[0] === 2 || state.mode[0] === 3) {
      const periods = state.loaded[0] ? Math.floor(this.ticksOf(0) / state.count[0]) : 0;
      // Somebody else may have been a moment too early.
      rose = periods > state.periods;
      state.periods = Math.max(periods, state.periods);
    }
    // A pulse of one tick, or one that the timer came too late for: its edge counts.
    if (rose) {
      this.irq.set(false);
      this.irq.set(true);
    }
    this.irq.set(level);
    if (next === Infinity) this.timer.cancel();
    else this.timer.set(OSCILLATOR.time(this.tick() + Math.max(next, SHORTEST_TICKS)));
  }

  /** The counters' clock. */
  tick(time = this.wiring.clock.now()): number {
    return OSCILLATOR.ticks(time);
  }

  /** Ticks that the counter has counted. */
  ticksOf(index: number): number {
    const { state } = this;
    const mode = state.mode[index];
    const holds = !state.gate[index] && mode !== 1 && mode !== 5;
    return holds ? state.elapsed[index] : this.tick() - state.start[index];
  }

  private wave(index: number): { level: boolean; next: number } {
    const { state } = this;
    const mode = state.mode[index];
    const runs = state.loaded[index] && ((mode !== 1 && mode !== 5) || state.triggered[index]);
    if (!runs) return { level: mode !== 0, next: Infinity };
    const wave = waveform(mode, state.count[index], this.ticksOf(index));
    if (state.gate[index] || mode === 1 || mode === 5) return wave;
    // GATE low stops counting; in modes 2 and 3 it also sets OUT.
    return { level: mode === 2 || mode === 3 || wave.level, next: Infinity };
  }

  /** The counting element as the guest reads it. */
  private value(index: number): number {
    const { state } = this;
    const ticks = state.loaded[index] ? this.ticksOf(index) : 0;
    const value = remaining(state.mode[index], state.count[index], ticks, state.bcd[index] ? 10_000 : 0x1_0000);
    return state.bcd[index] ? toBcd(value) : value;
  }

  private load(index: number, written: number): void {
    const { state } = this;
    const value = state.bcd[index] ? fromBcd(written) : written;
    state.count[index] = value || (state.bcd[index] ? 10_000 : 0x1_0000);
    const oneShot = state.mode[index] === 1 || state.mode[index] === 5;
    // Modes 1 and 5 use a new count from their next trigger on.
    if (!oneShot || !state.triggered[index]) {
      state.start[index] = this.tick();
      state.elapsed[index] = 0;
      if (index === 0) state.periods = 0;
    }
    state.loaded[index] = 1;
    if (index === 0) this.output();
  }

  private stop(index: number): void {
    const { state } = this;
    state.loaded[index] = 0;
    state.triggered[index] = 0;
    state.elapsed[index] = 0;
    if (index !== 0) return;
    state.periods = 0;
    this.output();
  }

  private latch(index: number): void {
    const { state } = this;
    if (state.latched[index]) return; // until it has been read, says the spec
    state.latch[index] = this.value(index);
    state.latched[index] = state.access[index];
  }

  private readBack(index: number, command: number): void {
    const { state } = this;
    if (!(command & CONTROL.NO_COUNT)) this.latch(index);
    if (command & CONTROL.NO_STATUS || state.statusLatched[index]) return;
    state.status[index] =
      (this.out(index) ? STATUS.OUT : 0) |
      (state.loaded[index] ? 0 : STATUS.NULL_COUNT) |
      (state.access[index] << 4) |
      (state.mode[index] << 1) |
      state.bcd[index];
    state.statusLatched[index] = 1;
  }
}
