/**
 * ACPI's fixed hardware: PM1 event and control registers, the power management
 * timer and a block of general-purpose events. PIIX4 and ICH9 carry it, each
 * at its own ports.
 *
 * Spec: ACPI 6.4, "ACPI Register Model"; Intel 82371AB (290562-001), "Power
 * Management I/O Registers". Departures, which are QEMU's: the timer has 24
 * bits; the system control interrupt does not wait for SCI_EN; the sleep types
 * are 0 for off, 1 for suspend to RAM and, as the board says, for suspend to
 * disk, which is off too.
 */
import { create, f64, json, layout, type StateOf, u16 } from '../../state/layout.ts';
import { bank } from '../bank.ts';
import type { Timer } from '../clock.ts';
import type { Device, DeviceLog, IrqLine, Mmio, Wiring } from '../device.ts';

/** Hz. */
const TIMER_FREQUENCY = 3_579_545;
const TIMER_MASK = 0xff_ffff;
/** The timer's status bit is set when its highest bit changes. */
const HALF = 0x80_0000;

export const PM1 = {
  TIMER: 1,
  GLOBAL: 0x20,
  POWER_BUTTON: 0x100,
  SLEEP_BUTTON: 0x200,
  RTC: 0x400,
  WAKE: 0x8000,
} as const;
const INTERRUPTING = PM1.TIMER | PM1.GLOBAL | PM1.POWER_BUTTON | PM1.RTC;
const CONTROL = { SCI_ENABLE: 1, SLEEP_ENABLE: 0x2000 } as const;

/** Suspend to RAM, suspend to disk, soft off. */
export type SleepState = 's3' | 's4' | 's5';

/** What may wake a machine from S3: the clock's alarm, the power management timer, or somebody at its keys. */
export type WakeCause = 'rtc' | 'timer' | 'other';
/** Without a cause of ACPI's own it was the power button. */
const WAKE_STATUS = { rtc: PM1.RTC, timer: PM1.TIMER, other: PM1.POWER_BUTTON } as const;

const STATE = layout('acpi-pm', 1, {
  status: u16, // PM1
  enable: u16,
  control: u16,
  overflow: f64, // the timer count, never wrapped, from which the timer's status bit is set
  gpeStatus: json<number[]>(() => []), // bytes
  gpeEnable: json<number[]>(() => []),
});

const REGISTERS = bank<AcpiPm>(
  0x10,
  {
    PM1_STS: { at: 0, read: (pm) => pm.readStatus(), write: (pm, ones) => pm.clearStatus(ones) },
    PM1_EN: { at: 2, field: 'enable', after: (pm) => pm.output() },
    PM1_CNT: { at: 4, field: 'control', after: (pm) => pm.controlled() },
    PM_TMR: { at: 8, size: 4, read: (pm) => pm.ticks() % (TIMER_MASK + 1), write: () => {} },
  },
  { width: 2, access: [1, 2, 4] },
);

export interface AcpiPmOptions {
  readonly name: string;
  readonly wiring: Wiring;
  /** The system control interrupt. */
  readonly sci: IrqLine;
  /** Bytes of the block of general-purpose events: status and enable registers together. */
  readonly gpeLength: number;
  /** The guest asks the machine to sleep or to power off. */
  readonly sleep: (state: SleepState) => void;
  /** The power management timer has rung. */
  readonly wake?: (cause: WakeCause) => void;
  /** SLP_TYP of suspend to disk; 2 when absent. */
  readonly s4Type?: number;
}

export class AcpiPm implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state: StateOf<typeof STATE> = create(STATE);
  readonly log: DeviceLog;
  /** PM1 event block at 0, control block at 4, timer at 8: 16 bytes. */
  readonly mmio: Mmio;
  /** The general-purpose events: status registers, then enable registers. */
  readonly gpe: Mmio;
  private readonly options: AcpiPmOptions;
  private readonly alarm: Timer;

  constructor(options: AcpiPmOptions) {
    this.name = options.name;
    this.log = options.wiring.log;
    this.options = options;
    this.alarm = options.wiring.clock.timer(() => {
      this.output();
      options.wake?.('timer');
    });
    const registers = REGISTERS.on(this);
    this.mmio = {
      // Two registers of 16 bits may be reached as one of 32; the timer is read at one instant.
      read: (at, size) =>
        size === 4 && at < 8
          ? (registers.read(at, 2) | (registers.read(at + 2, 2) << 16)) >>> 0
          : registers.read(at, size),
      write: (at, size, value) => {
        registers.write(at, size === 4 && at < 8 ? 2 : size, value);
        if (size === 4 && at < 4) registers.write(at + 2, 2, value >>> 16);
      },
    };
    const half = options.gpeLength / 2;
    this.gpe = {
      widths: [1],
      read: (at) => (at < half ? this.state.gpeStatus[at] : this.state.gpeEnable[at - half]) ?? 0,
      write: (at, _size, value) => {
        if (at < half) this.state.gpeStatus[at] = (this.state.gpeStatus[at] ?? 0) & ~value;
        else if (at < 2 * half) this.state.gpeEnable[at - half] = value & 0xff;
        this.output();
      },
    };
    this.reset();
  }

  reset(): void {
    Object.assign(this.state, create(STATE));
    this.state.gpeStatus = new Array<number>(this.options.gpeLength / 2).fill(0);
    this.state.gpeEnable = new Array<number>(this.options.gpeLength / 2).fill(0);
    this.output();
  }

  resumed(): void {
    this.output();
  }

  /** Somebody pressed the power button: the guest is told if it wants to know. Returns whether it does. */
  powerButton(): boolean {
    if (!(this.state.enable & PM1.POWER_BUTTON)) return false;
    this.state.status |= PM1.POWER_BUTTON;
    this.output();
    return true;
  }

  /** General-purpose event `number` happened: 1 is PCI hotplug, 2 CPU hotplug. */
  event(number: number): void {
    const { gpeStatus } = this.state;
    if (number >> 3 < gpeStatus.length) gpeStatus[number >> 3] |= 1 << (number & 7);
    this.output();
  }

  /** Whether the guest has asked to be woken by this. */
  wakesFrom(cause: WakeCause): boolean {
    return cause === 'other' || (this.state.enable & WAKE_STATUS[cause]) !== 0;
  }

  /** The machine woke up from S3: after its reset. */
  woken(cause: WakeCause): void {
    this.state.status |= PM1.WAKE | WAKE_STATUS[cause];
    this.output();
  }

  /** What firmware does for the operating system when that writes to the SMI command port. */
  enableAcpi(on: boolean): void {
    this.state.control = on ? this.state.control | CONTROL.SCI_ENABLE : this.state.control & ~CONTROL.SCI_ENABLE;
  }

  /** The timer's count since the machine started, not wrapped. */
  ticks(): number {
    const now = this.options.wiring.clock.now();
    const seconds = Math.floor(now / 1e9);
    return seconds * TIMER_FREQUENCY + Math.floor(((now - seconds * 1e9) * TIMER_FREQUENCY) / 1e9);
  }

  readStatus(): number {
    if (this.ticks() >= this.state.overflow) this.state.status |= PM1.TIMER;
    return this.state.status;
  }

  clearStatus(ones: number): void {
    if (this.readStatus() & ones & PM1.TIMER) {
      const ticks = this.ticks();
      this.state.overflow = ticks - (ticks % HALF) + HALF;
    }
    this.state.status &= ~ones;
    this.output();
  }

  controlled(): void {
    const { control } = this.state;
    this.state.control = control & ~CONTROL.SLEEP_ENABLE;
    if (!(control & CONTROL.SLEEP_ENABLE)) return;
    const type = (control >> 10) & 7;
    if (type === 0) this.options.sleep('s5');
    else if (type === 1) this.options.sleep('s3');
    else if (type === (this.options.s4Type ?? 2)) this.options.sleep('s4');
    else this.log.guestError(this.name, `sleep type ${type}`);
  }

  output(): void {
    const { enable, gpeStatus, gpeEnable } = this.state;
    const status = this.readStatus();
    const events = gpeStatus.some((bits, i) => bits & gpeEnable[i]);
    this.options.sci.set((status & enable & INTERRUPTING) !== 0 || events);
    if (enable & PM1.TIMER && !(status & PM1.TIMER)) this.alarm.set(nanoseconds(this.state.overflow));
    else this.alarm.cancel();
  }
}

/** When the timer's count is reached. */
function nanoseconds(ticks: number): number {
  const seconds = Math.floor(ticks / TIMER_FREQUENCY);
  return seconds * 1e9 + Math.ceil(((ticks - seconds * TIMER_FREQUENCY) * 1e9) / TIMER_FREQUENCY);
}
