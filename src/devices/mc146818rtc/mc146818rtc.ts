/**
 * MC146818 real-time clock with 128 bytes of CMOS memory, as PCs have it.
 *
 * Spec: Motorola MC146818A, "Registers"; Intel 82371AB (PIIX4), "Real Time
 * Clock" for the index port. Flags of register C are worked out when somebody
 * looks, so a clock whose interrupts are off costs no time.
 * Departures: no square wave, no daylight saving; the day of the week follows
 * from the date; the second half of the memory has no ports of its own.
 */
import { bank } from '../../hw/bank.ts';
import type { Timer } from '../../hw/clock.ts';
import type { Device, DeviceLog, IrqLine, Mmio, Wiring } from '../../hw/device.ts';
import { Oscillator } from '../../hw/oscillator.ts';
import { bytes, create, f64, layout, u1, u8 } from '../../state/layout.ts';
import { type Format, nextAlarm, readTime, TIME, writeTime } from './calendar.ts';

const A = 0x0a;
const B = 0x0b;
const C = 0x0c;
const D = 0x0d;
const REG_A = { UIP: 0x80, DIVIDER: 0x70, RATE: 0x0f };
const REG_B = { SET: 0x80, PIE: 0x40, AIE: 0x20, UIE: 0x10, SQWE: 0x08, BINARY: 0x04, HOURS24: 0x02 };
const REG_C = { IRQF: 0x80, PF: 0x40, AF: 0x20, UF: 0x10, FLAGS: 0x70 };
const REG_D = { VALID: 0x80 };

/** Divider settings up to this run from a time base; higher ones hold the divider in reset. */
const DIVIDER_32KHZ = 0x20;
const CRYSTAL = new Oscillator(32_768);
/** UIP is high for this long before an update, milliseconds. */
const UPDATE_TIME = 0.244;
/** Where IBM's PS/2 kept the century. */
const CENTURY_PS2 = 0x37;
const NMI_OFF = 0x80;
const TIME_BYTES: ReadonlySet<number> = new Set([
  ...[TIME.SECONDS, TIME.MINUTES, TIME.HOURS, TIME.WEEKDAY],
  ...[TIME.DAY, TIME.MONTH, TIME.YEAR, TIME.CENTURY],
]);

const STATE = layout('mc146818rtc', 1, {
  index: u8, // of port 0x70, with the NMI mask in bit 7
  cmos: bytes(128),
  offset: f64, // guest time minus host time, milliseconds
  halted: u1, // SET, or the divider is in reset: the time bytes stand still
  updated: f64, // the last second whose update and alarm register C has seen
  ticked: f64, // the crystal's tick up to which it has seen periods
});

const REGISTERS = bank<Mc146818Rtc>(
  2,
  {
    INDEX: {
      at: 0,
      read: () => 0xff,
      write: ({ state }, value) => {
        state.index = value;
      },
    },
    DATA: { at: 1, read: (rtc) => rtc.readData(), write: (rtc, value) => rtc.writeData(value) },
  },
  { width: 1 },
);

export class Mc146818Rtc implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  /** Two ports at 0x70. */
  readonly mmio: Mmio;
  /** The alarm that the guest asked for has rung: it may wake a machine that sleeps. */
  onAlarm: (() => void) | undefined;
  private readonly wiring: Wiring;
  private readonly irq: IrqLine;
  private readonly timer: Timer;

  constructor(name: string, wiring: Wiring, irq: IrqLine) {
    this.name = name;
    this.wiring = wiring;
    this.log = wiring.log;
    this.irq = irq;
    this.timer = wiring.clock.timer(() => this.attend());
    this.mmio = REGISTERS.on(this);
    const { cmos } = this.state;
    cmos[A] = DIVIDER_32KHZ | 6; // 1024 Hz
    cmos[B] = REG_B.HOURS24;
    cmos[D] = REG_D.VALID;
    this.forget();
  }

  /** A battery keeps time and memory; a reset only stops the interrupts. */
  reset(): void {
    const { cmos } = this.state;
    cmos[B] &= ~(REG_B.PIE | REG_B.AIE | REG_B.UIE | REG_B.SQWE);
    cmos[C] = 0;
    this.forget();
    this.attend();
  }

  resumed(): void {
    this.attend();
  }

  /** The guest asked for NMIs to be held back. */
  get nmiMasked(): boolean {
    return (this.state.index & NMI_OFF) !== 0;
  }

  /** What firmware finds in CMOS memory beyond the clock (0x0e..0x7f). */
  setCmos(at: number, value: number): void {
    if (!(at > D && at < 128)) throw new RangeError(`mc146818rtc: no CMOS byte ${at}`);
    this.state.cmos[at] = value;
  }

  /** Sets the guest's clock (`-rtc base=`), milliseconds since the Unix epoch. */
  setTime(epoch: number): void {
    this.state.offset = epoch - this.wiring.clock.epoch();
    this.forget();
    this.attend();
  }

  /** Guest time, milliseconds since the Unix epoch. */
  now(): number {
    return this.wiring.clock.epoch() + this.state.offset;
  }

  readData(): number {
    const { cmos } = this.state;
    const at = this.address();
    if (TIME_BYTES.has(at)) {
      this.show();
    } else if (at === A) return cmos[A] | (this.updating() ? REG_A.UIP : 0);
    else if (at === C) {
      this.look();
      const flags = cmos[C];
      cmos[C] = 0;
      // The line falls, even where time has moved on by now to the next period: an edge for the interrupt controller.
      this.irq.set(false);
      this.attend();
      return flags;
    }
    return cmos[at];
  }

  writeData(value: number): void {
    const { cmos, halted } = this.state;
    const at = this.address();
    switch (at) {
      case A:
        this.look();
        this.writeA(value & ~REG_A.UIP);
        break;
      case B:
        this.look();
        this.writeB(value);
        break;
      case C:
      case D:
        break; // read-only
      default:
        this.look();
        if (TIME_BYTES.has(at) && !halted) {
          this.show();
          cmos[at] = value;
          this.adopt();
        } else cmos[at] = value;
    }
    this.attend();
  }

  private address(): number {
    const at = this.state.index & 0x7f;
    return at === CENTURY_PS2 ? TIME.CENTURY : at;
  }

  private format(): Format {
    const b = this.state.cmos[B];
    return { binary: (b & REG_B.BINARY) !== 0, hours24: (b & REG_B.HOURS24) !== 0 };
  }

  /** Puts the time into the time bytes, unless they stand still. */
  private show(): void {
    if (!this.state.halted) writeTime(this.state.cmos, Math.floor(this.now() / 1000), this.format());
  }

  /** UIP: the time bytes are about to change. */
  private updating(): boolean {
    const { state } = this;
    return !state.halted && modulo1000(this.now()) >= 1000 - UPDATE_TIME;
  }

  private writeA(value: number): void {
    const { state } = this;
    const held = isHeld(state.cmos[A]);
    this.halt((state.cmos[B] & REG_B.SET) !== 0 || isHeld(value));
    state.cmos[A] = value;
    // The first update comes half a second after the divider has been let go.
    if (held && !isHeld(value)) state.offset += 500 - modulo1000(this.now());
  }

  private writeB(value: number): void {
    const { cmos } = this.state;
    // The time bytes change under the old format, and are shown in the new one.
    this.halt((value & REG_B.SET) !== 0 || isHeld(cmos[A]));
    cmos[B] = value & REG_B.SET ? value & ~REG_B.UIE : value;
  }

  /** Stops or starts the time bytes. */
  private halt(stop: boolean): void {
    const { state } = this;
    this.show();
    const starts = !stop && state.halted;
    state.halted = stop ? 1 : 0;
    if (starts) this.adopt();
  }

  /** The time bytes become the time. The divider, and so the next update, stays as it is. */
  private adopt(): void {
    const { state } = this;
    state.offset += (readTime(state.cmos, this.format()) - Math.floor(this.now() / 1000)) * 1000;
    state.updated = Math.floor(this.now() / 1000);
  }

  private crystal(): number {
    return CRYSTAL.ticks(this.wiring.clock.now());
  }

  /** The crystal's ticks a period of the periodic interrupt; 0 for none. */
  private period(): number {
    const a = this.state.cmos[A];
    const rate = a & REG_A.RATE;
    if (rate === 0 || isHeld(a)) return 0;
    return 1 << ((rate <= 2 ? rate + 7 : rate) - 1);
  }

  /** What has happened by now needs no flag any more. */
  private forget(): void {
    this.state.updated = Math.floor(this.now() / 1000);
    this.state.ticked = this.crystal();
  }

  /** Brings the flags of register C up to now. */
  private look(): void {
    const { state } = this;
    const { cmos } = state;
    const period = this.period();
    const tick = this.crystal();
    if (period && Math.floor(tick / period) > Math.floor(state.ticked / period)) cmos[C] |= REG_C.PF;
    state.ticked = tick;
    const second = Math.floor(this.now() / 1000);
    if (!state.halted) {
      if (second > state.updated) cmos[C] |= REG_C.UF;
      if (nextAlarm(cmos, state.updated, this.format()) <= second) {
        cmos[C] |= REG_C.AF;
        if (cmos[B] & REG_B.AIE) this.onAlarm?.();
      }
    }
    state.updated = second;
    if (cmos[C] & cmos[B] & REG_C.FLAGS) cmos[C] |= REG_C.IRQF;
    else cmos[C] &= ~REG_C.IRQF;
  }

  /** Flags, line and timer follow from state and time. */
  private attend(): void {
    this.look();
    const { cmos, halted, updated, ticked } = this.state;
    this.irq.set((cmos[C] & REG_C.IRQF) !== 0);
    // Flags that are up already, or interrupt nobody, need no timer.
    const wanted = cmos[B] & ~cmos[C] & REG_C.FLAGS;
    const now = this.wiring.clock.now();
    const period = this.period();
    let next = Infinity;
    if (wanted & REG_C.PF && period) next = CRYSTAL.time((Math.floor(ticked / period) + 1) * period);
    if (!halted) {
      const at = (second: number) => now + Math.max(Math.ceil((second * 1000 - this.now()) * 1e6), 1000);
      if (wanted & REG_C.UF) next = Math.min(next, at(updated + 1));
      if (wanted & REG_C.AF) next = Math.min(next, at(nextAlarm(cmos, updated, this.format())));
    }
    if (next === Infinity) this.timer.cancel();
    else this.timer.set(next);
  }
}

/** Register A holds the divider in reset. */
function isHeld(a: number): boolean {
  return (a & REG_A.DIVIDER) > DIVIDER_32KHZ;
}

function modulo1000(value: number): number {
  return ((value % 1000) + 1000) % 1000;
}
