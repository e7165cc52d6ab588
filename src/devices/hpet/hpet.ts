/**
 * High precision event timer: a main counter of 64 bits at 100 MHz and three
 * comparators, of which two can replace the 8254's and the RTC's interrupts.
 *
 * Spec: Intel, IA-PC HPET Specification 1.0a, "Register Definitions".
 * Departures, QEMU's: a comparator that is set to the past rings at once; no
 * FSB (message) interrupts. A period of interrupts is at least 10 microseconds.
 */
import { bank } from '../../hw/bank.ts';
import type { Timer } from '../../hw/clock.ts';
import type { Device, DeviceLog, IrqLine, Mmio, Wiring } from '../../hw/device.ts';
import { array, create, f64, initially, layout, u1, u32, u64 } from '../../state/layout.ts';

const TIMERS = 3;
/** Femtoseconds and nanoseconds a tick. */
const PERIOD_FS = 10_000_000;
const PERIOD_NS = 10;
const SHORTEST_TICKS = 1000;
const WORD = 0x1_0000_0000;
const ALL_ONES = 0xffff_ffff_ffff_ffffn;

/** Vendor 8086, legacy replacement, 64 bits, three timers, revision 1. */
const CAPABILITIES = 0x8086_a001 + ((TIMERS - 1) << 8);
const CONF = { ENABLE: 1, LEGACY: 2 };
const TN = {
  LEVEL: 0x0002,
  ENABLE: 0x0004,
  PERIODIC: 0x0008,
  PERIODIC_CAPABLE: 0x0010,
  SIZE_64: 0x0020,
  SET_VALUE: 0x0040,
  MODE_32: 0x0100,
  ROUTE: 0x3e00,
  WRITABLE: 0x3f4e,
};
/** Where legacy replacement routes timers 0 and 1: the interrupts of the 8254 and the RTC. */
const LEGACY_ROUTE = [0, 8];

const STATE = layout('hpet', 1, {
  config: u32,
  status: u32,
  // The main counter: its value when it last started or was set, and the clock's time of that.
  counter: array(u32, 2),
  started: f64,
  timerConfig: array(initially(u32, TN.PERIODIC_CAPABLE | TN.SIZE_64), TIMERS),
  comparator: array(initially(u64, ALL_ONES), TIMERS),
  period: array(u64, TIMERS),
  rang: array(u1, TIMERS), // the comparator, as it stands, has been reached
  fsb: array(u32, TIMERS * 2), // memory without effect
  pitLevel: u1, // the interrupts of the 8254 and the RTC, for when they are not replaced
  rtcLevel: u1,
});

const REGISTERS = bank<Hpet>(0x400, {
  GCAP_ID: { at: 0x000, read: () => CAPABILITIES, write: () => {} },
  PERIOD: { at: 0x004, read: () => PERIOD_FS, write: () => {} },
  GEN_CONF: { at: 0x010, read: ({ state }) => state.config, write: (hpet, value) => hpet.configure(value) },
  GEN_CONF_HIGH: { at: 0x014, read: () => 0, write: () => {} },
  GINTR_STA: { at: 0x020, read: ({ state }) => state.status, write: (hpet, ones) => hpet.clear(ones) },
  GINTR_STA_HIGH: { at: 0x024, read: () => 0, write: () => {} },
  MAIN_CNT: {
    at: 0x0f0,
    count: 2,
    read: (hpet, half) => hpet.readCounter(half),
    write: (hpet, value, half) => hpet.writeCounter(half, value),
  },
  TN_CONF: {
    at: 0x100,
    count: TIMERS,
    stride: 0x20,
    read: ({ state }, n) => state.timerConfig[n],
    write: (hpet, value, n) => hpet.configureTimer(n, value),
  },
  TN_ROUTE_CAP: { at: 0x104, count: TIMERS, stride: 0x20, read: (hpet) => hpet.routes, write: () => {} },
  TN_COMPARATOR: {
    at: 0x108,
    count: TIMERS,
    stride: 0x20,
    read: ({ state }, n) => Number(state.comparator[n] & 0xffff_ffffn),
    write: (hpet, value, n) => hpet.setComparator(n, value, 0),
  },
  TN_COMPARATOR_HIGH: {
    at: 0x10c,
    count: TIMERS,
    stride: 0x20,
    read: ({ state }, n) => Number(state.comparator[n] >> 32n),
    write: (hpet, value, n) => hpet.setComparator(n, value, 1),
  },
  TN_FSB_VALUE: {
    at: 0x110,
    count: TIMERS,
    stride: 0x20,
    read: ({ state }, n) => state.fsb[2 * n],
    write: ({ state }, value, n) => {
      state.fsb[2 * n] = value;
    },
  },
  TN_FSB_ADDRESS: {
    at: 0x114,
    count: TIMERS,
    stride: 0x20,
    read: ({ state }, n) => state.fsb[2 * n + 1],
    write: ({ state }, value, n) => {
      state.fsb[2 * n + 1] = value;
    },
  },
});

export class Hpet implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  /** 1 KiB at 0xfed00000. */
  readonly mmio: Mmio;
  /** Interrupts that the timers can be routed to, one bit each. */
  readonly routes: number;
  /** The 8254's interrupt goes through here to interrupt 0, unless it is replaced. */
  readonly pit: IrqLine = { set: (level) => this.legacy('pitLevel', level) };
  /** The RTC's to interrupt 8. */
  readonly rtc: IrqLine = { set: (level) => this.legacy('rtcLevel', level) };
  private readonly wiring: Wiring;
  private readonly irqs: readonly IrqLine[];
  private readonly timers: readonly Timer[];

  /**
   * `irqs` are the machine's interrupts by number (0 and 8, and those in `routes`, must be there).
   * `routes` is 0x4 on `pc`, 0xff0104 on `q35`.
   */
  constructor(name: string, wiring: Wiring, irqs: readonly IrqLine[], routes: number) {
    this.name = name;
    this.wiring = wiring;
    this.log = wiring.log;
    this.irqs = irqs;
    this.routes = routes;
    this.timers = Array.from({ length: TIMERS }, (_, n) => wiring.clock.timer(() => this.ring(n)));
    this.mmio = REGISTERS.on(this);
  }

  reset(): void {
    const { pitLevel, rtcLevel } = this.state;
    for (let n = 0; n < TIMERS; n++) this.lower(n);
    Object.assign(this.state, create(STATE), { pitLevel, rtcLevel });
    this.resumed();
  }

  resumed(): void {
    this.passLegacy();
    for (let n = 0; n < TIMERS; n++) {
      this.arm(n);
      if (this.state.status & (1 << n)) this.route(n)?.set(true);
    }
  }

  // The main counter

  private get running(): boolean {
    return (this.state.config & CONF.ENABLE) !== 0;
  }

  readCounter(half: number): number {
    const { counter } = this.state;
    const low = counter[0] + this.elapsed();
    return half === 0 ? low % WORD : (counter[1] + Math.floor(low / WORD)) % WORD;
  }

  /** Only a counter that stands still can be written. */
  writeCounter(half: number, value: number): void {
    if (this.running) this.log.guestError(this.name, 'the main counter is written while it runs');
    else this.state.counter[half] = value;
  }

  /** Ticks since the counter started. */
  private elapsed(): number {
    return this.running ? Math.floor((this.wiring.clock.now() - this.state.started) / PERIOD_NS) : 0;
  }

  private counter(): bigint {
    return (BigInt(this.readCounter(1)) << 32n) | BigInt(this.readCounter(0));
  }

  // Configuration

  configure(value: number): void {
    const { state } = this;
    const config = value & (CONF.ENABLE | CONF.LEGACY);
    const toggled = config ^ state.config;
    if (toggled & CONF.LEGACY) for (const n of [0, 1]) this.lower(n);
    if (toggled & CONF.ENABLE) {
      if (config & CONF.ENABLE) {
        state.started = this.wiring.clock.now();
        state.rang.fill(0);
      } else state.counter = [this.readCounter(0), this.readCounter(1)];
    }
    state.config = config;
    for (let n = 0; n < TIMERS; n++) this.arm(n);
    if (toggled & CONF.LEGACY) this.passLegacy();
  }

  /** Ends level-triggered interrupts. */
  clear(ones: number): void {
    for (let n = 0; n < TIMERS; n++) if (ones & (1 << n)) this.lower(n);
  }

  configureTimer(n: number, value: number): void {
    const { state } = this;
    const old = state.timerConfig[n];
    const config = (old & ~TN.WRITABLE) | (value & TN.WRITABLE);
    // An interrupt that is up must not stay behind on its old line.
    if ((old ^ config) & (TN.ROUTE | TN.LEVEL) || !(config & TN.ENABLE)) this.lower(n);
    state.timerConfig[n] = config;
    if (config & ~old & TN.ENABLE) state.rang[n] = 0;
    if (config & TN.MODE_32) {
      state.comparator[n] &= 0xffff_ffffn;
      state.period[n] &= 0xffff_ffffn;
    }
    this.arm(n);
  }

  /**
   * A comparator is written by halves. Of a periodic timer that is its period, and, after SET_VALUE,
   * the accumulator too; the bit is gone after either half.
   */
  setComparator(n: number, value: number, half: 0 | 1): void {
    const { state } = this;
    const config = state.timerConfig[n];
    const periodic = (config & TN.PERIODIC) !== 0;
    state.timerConfig[n] &= ~TN.SET_VALUE;
    if (half && config & TN.MODE_32) return;
    if (!periodic || config & TN.SET_VALUE) state.comparator[n] = withHalf(state.comparator[n], half, value);
    if (periodic) {
      // Half the range at most, so that "before" and "after" keep their meaning.
      const top = half || config & TN.MODE_32 ? 0x7fff_ffff : 0xffff_ffff;
      state.period[n] = withHalf(state.period[n], half, (value & top) >>> 0);
    }
    state.rang[n] = 0;
    this.arm(n);
  }

  // Timers

  /** Ticks from the counter to the comparator; 0 or less when it is past. */
  private distance(n: number): bigint {
    const { timerConfig, comparator } = this.state;
    const width = timerConfig[n] & TN.MODE_32 ? 32 : 64;
    return BigInt.asIntN(width, comparator[n] - this.counter());
  }

  private arm(n: number): void {
    const { state } = this;
    if (!this.running || !(state.timerConfig[n] & TN.ENABLE)) {
      this.timers[n].cancel();
      return;
    }
    const narrow = (state.timerConfig[n] & TN.MODE_32) !== 0;
    // Reached, it comes again when 32 bits have gone round; all ones is what nobody has set yet.
    const unset = state.comparator[n] === (narrow ? 0xffff_ffffn : ALL_ONES);
    let wait = Number(this.distance(n));
    if (state.rang[n] && narrow && wait <= 0) wait += WORD;
    if (unset || (state.rang[n] && !narrow)) this.timers[n].cancel();
    else this.timers[n].set(this.wiring.clock.now() + Math.max(0, wait) * PERIOD_NS);
  }

  /** The comparator has been reached. */
  private ring(n: number): void {
    const { state } = this;
    const config = state.timerConfig[n];
    const period = state.period[n];
    if (config & TN.PERIODIC && period) {
      const behind = -this.distance(n);
      const periods = behind < 0n ? 0n : behind / period + 1n;
      state.comparator[n] = BigInt.asUintN(config & TN.MODE_32 ? 32 : 64, state.comparator[n] + periods * period);
      const wait = Math.max(Number(this.distance(n)), SHORTEST_TICKS);
      this.timers[n].set(this.wiring.clock.now() + wait * PERIOD_NS);
    } else {
      state.rang[n] = 1;
      this.arm(n);
    }
    const line = this.route(n);
    if (config & TN.LEVEL) {
      state.status |= 1 << n;
      line?.set(true);
    } else {
      line?.set(true);
      line?.set(false);
    }
  }

  // Interrupts

  private replaces(n: number): boolean {
    return n < LEGACY_ROUTE.length && (this.state.config & CONF.LEGACY) !== 0;
  }

  private route(n: number): IrqLine | undefined {
    if (this.replaces(n)) return this.irqs[LEGACY_ROUTE[n]];
    const number = (this.state.timerConfig[n] & TN.ROUTE) >> 9;
    // Interrupts 0 and 8 are the legacy devices' own, which must not be pulled down here.
    return (this.routes >>> number) & 1 ? this.irqs[number] : undefined;
  }

  private lower(n: number): void {
    const bit = 1 << n;
    if (!(this.state.status & bit)) return;
    this.state.status &= ~bit;
    this.route(n)?.set(false);
  }

  private legacy(which: 'pitLevel' | 'rtcLevel', level: boolean): void {
    this.state[which] = level ? 1 : 0;
    if (!this.replaces(0)) this.irqs[which === 'pitLevel' ? 0 : 8].set(level);
  }

  /** Timer 0 is in the place of the 8254's interrupt. */
  get replacesPit(): boolean {
    return this.replaces(0);
  }
  /** That may have changed. */
  onLegacy: (() => void) | undefined;

  private passLegacy(): void {
    this.onLegacy?.();
    const { pitLevel, rtcLevel, status } = this.state;
    const levels = this.replaces(0) ? [status & 1, status & 2] : [pitLevel, rtcLevel];
    levels.forEach((level, n) => {
      this.irqs[LEGACY_ROUTE[n]].set(level !== 0);
    });
  }
}

function withHalf(value: bigint, half: 0 | 1, part: number): bigint {
  return half ? (value & 0xffff_ffffn) | (BigInt(part) << 32n) : (value & ~0xffff_ffffn) | BigInt(part);
}
