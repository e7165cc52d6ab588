/**
 * SiFive CLINT: software interrupts and the machine timer of every hart.
 *
 * Spec: SiFive U54-MC manual, "Core-Local Interruptor"; the same map as the
 * RISC-V ACLINT 1.0-rc4 MSWI at 0 and MTIMER at 0x4000.
 * The counter is the machine's clock: one tick is 100 ns (10 MHz).
 */
import { type Bank, bank } from '../../hw/bank.ts';
import type { Clock, Timer } from '../../hw/clock.ts';
import type { Device, DeviceLog, IrqLine, Mmio, Wiring } from '../../hw/device.ts';
import { array, create, initially, type Layout, layout, type StateOf, u1, u32, u64 } from '../../state/layout.ts';

export const TIMEBASE_HZ = 10_000_000;
const TICK_NS = 1e9 / TIMEBASE_HZ;
/**
 * A 64-bit load of MTIME arrives as two halves, low first. The high half answers
 * for the moment of the low half when it comes this soon, so that the two fit.
 */
const LATCH_TICKS = 1000;

type ClintFields = {
  readonly msip: ReturnType<typeof array<number>>;
  readonly mtimecmp: ReturnType<typeof array<number>>;
  readonly offset: typeof u64;
};

export class Clint implements Device<Layout<ClintFields>> {
  readonly name: string;
  readonly layout: Layout<ClintFields>;
  readonly state: StateOf<Layout<ClintFields>>;
  readonly log: DeviceLog;
  readonly mmio: Mmio;
  /** Told the hart whose comparator, or -1 when the counter itself, was written. */
  onTimer: ((hart: number) => void) | undefined;
  private readonly clock: Clock;
  private readonly software: readonly IrqLine[];
  private readonly timer: readonly IrqLine[];
  private readonly alarms: Timer[];
  private latchedAt = 0;
  private latchedHigh = -1;

  /** One line per hart each for MSIP and MTIP. */
  constructor(name: string, wiring: Wiring, software: readonly IrqLine[], timer: readonly IrqLine[]) {
    const harts = software.length;
    this.name = name;
    this.layout = layout(`clint-${harts}`, 1, {
      msip: array(u1, harts),
      mtimecmp: array(initially(u32, 0xffff_ffff), harts * 2), // low, high of each hart
      offset: u64, // MTIME minus the clock's ticks, modulo 2^64
    });
    this.state = create(this.layout);
    this.log = wiring.log;
    this.clock = wiring.clock;
    this.software = software;
    this.timer = timer;
    this.alarms = timer.map((_, hart) => this.clock.timer(() => this.compare(hart)));
    this.mmio = registers(harts).on(this);
  }

  reset(): void {
    Object.assign(this.state, create(this.layout));
    this.resumed();
  }

  resumed(): void {
    this.latchedHigh = -1;
    for (let hart = 0; hart < this.alarms.length; hart++) {
      this.software[hart].set(this.state.msip[hart] === 1);
      this.compare(hart);
    }
  }

  /** MTIME now, modulo 2^64. */
  time(): bigint {
    return BigInt.asUintN(64, BigInt(this.ticks()) + this.state.offset);
  }

  /** What MTIME (and the `time` CSR) is ahead of the clock's ticks, modulo 2^64; 0 unless a guest wrote MTIME. */
  get offset(): bigint {
    return this.state.offset;
  }

  mtimecmp(hart: number): bigint {
    return (BigInt(this.state.mtimecmp[hart * 2 + 1]) << 32n) | BigInt(this.state.mtimecmp[hart * 2]);
  }

  /** When MTIP of a hart rises: nanoseconds on the clock, possibly past, or Infinity. */
  deadline(hart: number): number {
    return this.deadlineOf(this.mtimecmp(hart));
  }

  /** When MTIME reaches `ticks`: nanoseconds on the clock, possibly past, or Infinity. For Sstc's comparators too. */
  deadlineOf(ticks: bigint): number {
    if (this.state.offset === 0n) {
      const at = Number(ticks) * TICK_NS;
      return at <= Number.MAX_SAFE_INTEGER ? at : Infinity;
    }
    const now = this.time();
    const wait = ticks > now ? Number(ticks - now) * TICK_NS : 0;
    const at = this.ticks() * TICK_NS + wait;
    return at <= Number.MAX_SAFE_INTEGER ? at : Infinity;
  }

  setMsip(hart: number): void {
    this.software[hart].set(this.state.msip[hart] === 1);
  }

  /** Brings MTIP of a hart in line with the comparator. */
  compare(hart: number): void {
    const deadline = this.deadline(hart);
    const due = this.ticks() * TICK_NS >= deadline;
    this.timer[hart].set(due);
    if (due || deadline === Infinity) this.alarms[hart].cancel();
    else this.alarms[hart].set(deadline);
  }

  comparatorWritten(hart: number): void {
    this.compare(hart);
    this.onTimer?.(hart);
  }

  readTime(half: number): number {
    const ticks = this.ticks();
    if (half === 1 && this.latchedHigh >= 0 && ticks - this.latchedAt <= LATCH_TICKS) {
      const high = this.latchedHigh;
      this.latchedHigh = -1;
      return high;
    }
    if (this.state.offset === 0n) {
      const high = Math.floor(ticks / 0x1_0000_0000);
      if (half === 1) return high;
      this.latchedAt = ticks;
      this.latchedHigh = high;
      return ticks >>> 0;
    }
    const time = this.time();
    if (half === 1) return Number(time >> 32n);
    this.latchedAt = ticks;
    this.latchedHigh = Number(time >> 32n);
    return Number(time & 0xffff_ffffn);
  }

  writeTime(half: number, value: number): void {
    const old = this.time();
    const time = half ? (old & 0xffff_ffffn) | (BigInt(value) << 32n) : (old & ~0xffff_ffffn) | BigInt(value);
    this.state.offset = BigInt.asUintN(64, time - BigInt(this.ticks()));
    this.latchedHigh = -1;
    for (let hart = 0; hart < this.alarms.length; hart++) this.compare(hart);
    this.onTimer?.(-1);
  }

  private ticks(): number {
    return Math.floor(this.clock.now() / TICK_NS);
  }
}

function registers(harts: number): Bank<Clint> {
  return bank<Clint>(0x10000, {
    MSIP: { at: 0x0000, count: harts, field: 'msip', after: (clint, hart) => clint.setMsip(hart) },
    MTIMECMP: {
      at: 0x4000,
      count: harts * 2,
      field: 'mtimecmp',
      after: (clint, half) => clint.comparatorWritten(half >> 1),
    },
    MTIME: {
      at: 0xbff8,
      count: 2,
      read: (clint, half) => clint.readTime(half),
      write: (clint, value, half) => clint.writeTime(half, value),
    },
  });
}
