/**
 * The generic event device of QEMU's hardware-reduced boards: what happened,
 * and registers to sleep and to reset.
 *
 * Spec: ACPI 6.4, "Generic Event Device" and "Sleep Control and Status
 * Registers"; QEMU 7.2, include/hw/acpi/generic_event_device.h for the layout.
 * The only event here is the power button.
 */
import { bank } from '../../hw/bank.ts';
import type { Device, DeviceLog, IrqLine, Mmio } from '../../hw/device.ts';
import { create, layout, u32 } from '../../state/layout.ts';

/** Bits of the event selector. */
const EVENT = { POWER_BUTTON: 2 };
const SLEEP = { ENABLE: 0x20, TYPE_SHIFT: 2, TYPE_MASK: 7, OFF: 5 };
const RESET_VALUE = 0x42;
/** Where the sleep and reset registers begin. */
const REGISTERS_AT = 0x200;

const STATE = layout('acpi-ged', 1, { events: u32 });

const EVENTS = bank<AcpiGed>(0x100, { ESEL: { at: 0, read: (ged) => ged.takeEvents() } });
const REGISTERS = bank<AcpiGed>(
  0x10,
  {
    SLEEP_CTL: { at: 0, read: () => 0, write: (ged, value) => ged.sleep(value) },
    SLEEP_STS: { at: 1, read: () => 0, write: () => {} },
    RESET: { at: 2, read: () => 0, write: (ged, value) => ged.restart(value) },
  },
  { width: 1 },
);

export interface GedOutcome {
  poweroff(): void;
  reset(): void;
}

export class AcpiGed implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  /** Events at 0, registers at 0x200; 0x300 bytes. */
  readonly mmio: Mmio;
  static readonly windowSize = 0x300;
  private readonly irq: IrqLine;
  private readonly outcome: GedOutcome;

  /** `irq` takes edges. */
  constructor(name: string, log: DeviceLog, irq: IrqLine, outcome: GedOutcome) {
    this.name = name;
    this.log = log;
    this.irq = irq;
    this.outcome = outcome;
    const [events, registers] = [EVENTS.on(this), REGISTERS.on(this)];
    this.mmio = {
      read: (at, size) => (at >= REGISTERS_AT ? registers.read(at - REGISTERS_AT, size) : events.read(at, size)),
      write: (at, size, value) => {
        if (at >= REGISTERS_AT) registers.write(at - REGISTERS_AT, size, value);
        else events.write(at, size, value);
      },
    };
  }

  reset(): void {
    this.state.events = 0;
  }

  /** Nothing follows from the state: the interrupt is an edge. */
  resumed(): void {}

  powerButton(): void {
    this.state.events |= EVENT.POWER_BUTTON;
    this.irq.set(true);
    this.irq.set(false);
  }

  /** Reading the events takes them. */
  takeEvents(): number {
    const { events } = this.state;
    this.state.events = 0;
    return events;
  }

  sleep(value: number): void {
    if (!(value & SLEEP.ENABLE)) return;
    if (((value >> SLEEP.TYPE_SHIFT) & SLEEP.TYPE_MASK) === SLEEP.OFF) this.outcome.poweroff();
    else this.log.guestError(this.name, `sleep type ${(value >> SLEEP.TYPE_SHIFT) & SLEEP.TYPE_MASK}`);
  }

  restart(value: number): void {
    if (value === RESET_VALUE) this.outcome.reset();
  }
}
