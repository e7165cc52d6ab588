/**
 * The ICH9's watchdog, called total cost of ownership logic.
 *
 * Spec: Intel I/O Controller Hub 9 (ICH9), 316972-004, "System Management TCO
 * Registers". Departures: no messages over SMBus, no intruder detection.
 */
import { bank } from '../../hw/bank.ts';
import type { Timer } from '../../hw/clock.ts';
import type { Device, DeviceLog, Mmio, Wiring } from '../../hw/device.ts';
import { create, f64, initially, layout, u8, u16 } from '../../state/layout.ts';

/** Nanoseconds. */
const TICK = 600_000_000;
const STATUS1 = { SOFTWARE: 2, TIMEOUT: 8, CLEARABLE: 0x3f7b } as const;
const STATUS2 = { SECOND_TIMEOUT: 2, BOOT: 4 } as const;
const CONTROL1 = { HALT: 0x800, LOCK: 0x1000, WRITABLE: 0x1b00 } as const;

const STATE = layout('ich9-tco', 1, {
  reload: u16, // ticks
  timer: initially(u16, 4),
  dataIn: u8,
  dataOut: u8,
  status1: u16,
  status2: u16,
  control1: u16,
  control2: initially(u16, 8),
  message: u16,
  wakeStatus: u8,
  irqs: initially(u8, 3),
  timeouts: u8, // in a row
  deadline: initially(f64, -1), // on the clock, or -1
});

const REGISTERS = bank<Ich9Tco>(
  0x20,
  {
    TCO_RLD: { at: 0x00, read: (tco) => tco.remaining(), write: (tco) => tco.reload() },
    TCO_DAT_IN: { at: 0x02, size: 1, field: 'dataIn', after: (tco) => tco.byOs() },
    TCO_DAT_OUT: { at: 0x03, size: 1, field: 'dataOut' },
    TCO1_STS: {
      at: 0x04,
      read: (tco) => tco.state.status1,
      write: (tco, ones) => tco.clear('status1', ones & STATUS1.CLEARABLE),
    },
    TCO2_STS: { at: 0x06, read: (tco) => tco.state.status2, write: (tco, ones) => tco.clear('status2', ones & 0x17) },
    TCO1_CNT: { at: 0x08, read: (tco) => tco.state.control1, write: (tco, value) => tco.control(value) },
    TCO2_CNT: { at: 0x0a, field: 'control2', mask: 0x3e },
    TCO_MESSAGE: { at: 0x0c, field: 'message' },
    TCO_WDCNT: { at: 0x0e, size: 1, field: 'wakeStatus' },
    SW_IRQ_GEN: { at: 0x10, size: 1, field: 'irqs' },
    TCO_TMR: { at: 0x12, field: 'timer', mask: 0x3ff },
  },
  { width: 2, access: [1, 2] },
);

export interface TcoOptions {
  readonly name: string;
  readonly wiring: Wiring;
  /** The first timeout and writes of the operating system raise an SMI, where enabled. */
  readonly smi: () => void;
  /** The second timeout in a row, unless NO_REBOOT is set. */
  readonly expired: () => void;
  readonly noReboot: () => boolean;
}

export class Ich9Tco implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  readonly mmio: Mmio;
  static readonly size = 0x20;
  private readonly options: TcoOptions;
  private readonly alarm: Timer;

  constructor(options: TcoOptions) {
    this.name = options.name;
    this.log = options.wiring.log;
    this.options = options;
    this.alarm = options.wiring.clock.timer(() => this.timeout());
    this.mmio = REGISTERS.on(this);
  }

  reset(): void {
    Object.assign(this.state, create(STATE));
    this.arm();
  }

  resumed(): void {
    this.arm();
  }

  /** Ticks until the timeout; while it is halted, what it will start with. */
  remaining(): number {
    const { deadline, reload } = this.state;
    if (deadline < 0) return reload;
    return Math.max(0, Math.ceil((deadline - this.options.wiring.clock.now()) / TICK)) & 0x3ff;
  }

  reload(): void {
    this.state.timeouts = 0;
    this.state.reload = this.state.timer;
    this.start();
  }

  control(value: number): void {
    const { control1 } = this.state;
    // The lock bit goes with the next reset only.
    this.state.control1 = (value & CONTROL1.WRITABLE) | (control1 & CONTROL1.LOCK);
    if (!((value ^ control1) & CONTROL1.HALT)) return;
    this.state.reload = this.state.timer;
    this.start();
  }

  clear(register: 'status1' | 'status2', ones: number): void {
    this.state[register] &= ~ones;
  }

  byOs(): void {
    this.state.status1 |= STATUS1.SOFTWARE;
    this.options.smi();
  }

  private start(): void {
    const halted = (this.state.control1 & CONTROL1.HALT) !== 0;
    this.state.deadline = halted ? -1 : this.options.wiring.clock.now() + TICK * Math.max(1, this.state.reload);
    this.arm();
  }

  private timeout(): void {
    this.state.status1 |= STATUS1.TIMEOUT;
    if (++this.state.timeouts === 2) {
      this.state.status2 |= STATUS2.SECOND_TIMEOUT | STATUS2.BOOT;
      this.state.timeouts = 0;
      if (!this.options.noReboot()) {
        this.state.deadline = -1;
        this.options.expired();
        return;
      }
    }
    this.options.smi();
    this.state.reload = this.state.timer;
    this.start();
  }

  private arm(): void {
    if (this.state.deadline < 0) this.alarm.cancel();
    else this.alarm.set(this.state.deadline);
  }
}
