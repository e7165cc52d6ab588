/**
 * Goldfish RTC: nanoseconds since the Unix epoch, with one alarm.
 *
 * Spec: Android emulator, GOLDFISH-VIRTUAL-HARDWARE, "Goldfish real-time clock".
 * Setting the time moves the guest's clock alone; the host's stays.
 */
import { bank } from '../../hw/bank.ts';
import type { Timer } from '../../hw/clock.ts';
import type { Device, DeviceLog, IrqLine, Mmio, Wiring } from '../../hw/device.ts';
import { array, create, layout, u1, u32, u64 } from '../../state/layout.ts';

const STATE = layout('goldfish-rtc', 1, {
  offset: u64, // guest time minus host time, nanoseconds modulo 2^64
  timeHigh: u32, // latched by a read of TIME_LOW, written before TIME_LOW
  alarm: array(u32, 2), // low, high
  alarmRunning: u1,
  irqPending: u1,
  irqEnabled: u1,
});

const REGISTERS = bank<GoldfishRtc>(0x1000, {
  TIME_LOW: { at: 0x00, read: (rtc) => rtc.readTime(), write: (rtc, low) => rtc.setTime(low) },
  TIME_HIGH: { at: 0x04, field: 'timeHigh' },
  ALARM_LOW: { at: 0x08, read: (rtc) => rtc.state.alarm[0], write: (rtc, low) => rtc.setAlarm(low) },
  ALARM_HIGH: {
    at: 0x0c,
    read: (rtc) => rtc.state.alarm[1],
    write: (rtc, high) => {
      rtc.state.alarm[1] = high;
    },
  },
  IRQ_ENABLED: { at: 0x10, field: 'irqEnabled', after: (rtc) => rtc.output() },
  CLEAR_ALARM: { at: 0x14, write: (rtc) => rtc.clearAlarm() },
  ALARM_STATUS: { at: 0x18, read: (rtc) => rtc.state.alarmRunning },
  CLEAR_INTERRUPT: { at: 0x1c, write: (rtc) => rtc.clearInterrupt() },
});

export class GoldfishRtc implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  readonly mmio: Mmio;
  private readonly wiring: Wiring;
  private readonly irq: IrqLine;
  private readonly timer: Timer;

  constructor(name: string, wiring: Wiring, irq: IrqLine) {
    this.name = name;
    this.wiring = wiring;
    this.log = wiring.log;
    this.irq = irq;
    this.timer = wiring.clock.timer(() => this.ring());
    this.mmio = REGISTERS.on(this);
  }

  /** As on real hardware, the guest's idea of the time outlives a reset. */
  reset(): void {
    const { offset } = this.state;
    Object.assign(this.state, create(STATE), { offset });
    this.resumed();
  }

  resumed(): void {
    this.arm();
    this.output();
  }

  output(): void {
    this.irq.set((this.state.irqPending & this.state.irqEnabled) === 1);
  }

  /** Guest time, nanoseconds modulo 2^64. */
  now(): bigint {
    return BigInt.asUintN(64, this.hostTime() + this.state.offset);
  }

  readTime(): number {
    const now = this.now();
    this.state.timeHigh = Number(now >> 32n);
    return Number(now & 0xffff_ffffn);
  }

  setTime(low: number): void {
    const time = (BigInt(this.state.timeHigh) << 32n) | BigInt(low);
    this.state.offset = BigInt.asUintN(64, time - this.hostTime());
    this.arm();
  }

  setAlarm(low: number): void {
    this.state.alarm[0] = low;
    this.state.alarmRunning = 1;
    this.arm();
  }

  clearAlarm(): void {
    this.state.alarmRunning = 0;
    this.arm();
  }

  clearInterrupt(): void {
    this.state.irqPending = 0;
    this.output();
  }

  private hostTime(): bigint {
    return BigInt(Math.floor(this.wiring.clock.epoch() * 1000)) * 1000n;
  }

  private arm(): void {
    const { alarm, alarmRunning } = this.state;
    if (!alarmRunning) {
      this.timer.cancel();
      return;
    }
    const wait = ((BigInt(alarm[1]) << 32n) | BigInt(alarm[0])) - this.now();
    if (wait <= 0n) this.ring();
    else this.timer.set(this.wiring.clock.now() + Number(wait));
  }

  private ring(): void {
    const { alarm, alarmRunning } = this.state;
    if (!alarmRunning) return;
    const wait = ((BigInt(alarm[1]) << 32n) | BigInt(alarm[0])) - this.now();
    if (wait > 0n) {
      // The wall clock was put back, or it ticks coarser than the timer.
      this.timer.set(this.wiring.clock.now() + Math.max(Number(wait), 1000));
      return;
    }
    this.timer.cancel();
    this.state.alarmRunning = 0;
    this.state.irqPending = 1;
    this.output();
  }
}
