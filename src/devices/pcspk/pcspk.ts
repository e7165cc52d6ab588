/**
 * Port 0x61: the gate of timer counter 2, the speaker, and the refresh and
 * counter outputs that software measures time by.
 *
 * Spec: Intel 82371AB (PIIX4), "NMI Status and Control Register".
 * Departure: the NMI bits (2, 3, 6, 7) read 0 and cannot be written, as in QEMU.
 */
import { bank } from '../../hw/bank.ts';
import type { Device, DeviceLog, Mmio, Wiring } from '../../hw/device.ts';
import { Oscillator } from '../../hw/oscillator.ts';
import { create, layout, u8 } from '../../state/layout.ts';

const CONTROL = { GATE: 0x01, SPEAKER: 0x02, REFRESH: 0x10, OUT2: 0x20 };

/** The refresh request toggles every 15.085 microseconds: 18 ticks of the timer's clock. */
const REFRESH = new Oscillator(1_193_182);
const REFRESH_TICKS = 18;

/** What it needs of the interval timer. */
export interface SpeakerTimer {
  setGate(counter: number, level: boolean): void;
  out(counter: number): boolean;
}

const STATE = layout('pcspk', 1, { control: u8 });

const REGISTERS = bank<PcSpeaker>(
  1,
  { NMISC: { at: 0, read: (speaker) => speaker.read(), write: (speaker, value) => speaker.write(value) } },
  { width: 1 },
);

export class PcSpeaker implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  /** One port at 0x61. */
  readonly mmio: Mmio;
  private readonly wiring: Wiring;
  private readonly timer: SpeakerTimer;

  constructor(name: string, wiring: Wiring, timer: SpeakerTimer) {
    this.name = name;
    this.wiring = wiring;
    this.log = wiring.log;
    this.timer = timer;
    this.mmio = REGISTERS.on(this);
  }

  reset(): void {
    this.state.control = 0;
    this.timer.setGate(2, false);
  }

  /** The gate is part of the timer's own state. */
  resumed(): void {}

  /** True while counter 2 is heard. */
  get audible(): boolean {
    return (this.state.control & CONTROL.SPEAKER) !== 0;
  }

  read(): number {
    const refresh = Math.floor(REFRESH.ticks(this.wiring.clock.now()) / REFRESH_TICKS) & 1;
    return this.state.control | (refresh ? CONTROL.REFRESH : 0) | (this.timer.out(2) ? CONTROL.OUT2 : 0);
  }

  write(value: number): void {
    this.state.control = value & (CONTROL.GATE | CONTROL.SPEAKER);
    this.timer.setGate(2, (value & CONTROL.GATE) !== 0);
  }
}
