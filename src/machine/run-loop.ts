/**
 * Runs the vCPUs of a machine in this thread: turn by turn, a slice each, with
 * the host's events in between; sleeps when all of them wait.
 *
 * Invariant: outside `turn` no vCPU is running, so whoever is called by the
 * host (input, disks, monitors) finds the whole state of the machine in memory.
 */
import type { Vcpu } from '../accel/accelerator.ts';
import type { MachineClock } from './machine-clock.ts';
import type { MachineHost, Sleep } from './machine-host.ts';

/** Wall time of a slice, ms: alone, and beside other vCPUs that may wait for each other. */
const SLICE_MS = 0.4;
const SHARED_SLICE_MS = 0.2;
/** The same where instructions are not counted, and leaving and entering takes longer: alone until the next yield. */
const SHARED_MS = 1;
const SHORTEST_MS = 0.5;
/** The host's events wait at most about this long, ms; and at most so long where there have been none for a while. */
const YIELD_MS = 4;
const CALM_MS = 16;
/** Waits shorter than this are spent yielding: the host's timers are no finer than 1 ms. */
const SHORTEST_SLEEP_MS = 0.25;
/** Timers of hosts overflow beyond 2^31 ms. */
const LONGEST_SLEEP_MS = 1e9;
/** A vCPU in a thread of its own is looked after this often, ns. */
const AWAY_NS = 50e6;
const FEWEST = 200;
/** Instructions a millisecond, before it has been measured. */
const SLOWEST_SPEED = 2000;
const MOST = 5_000_000;
/** With virtual time a slice must not depend on how fast the host is. */
const VIRTUAL_SLICE = 20_000;

export interface RunLoopParts {
  readonly host: MachineHost;
  readonly clock: MachineClock;
  readonly vcpus: readonly Vcpu[];
  /** Virtual time: slices are counted in instructions alone. */
  readonly deterministic: boolean;
  /** Lets the vCPU's own timer act as of now; returns when it will act next, in ns on the clock, or Infinity. */
  ownDeadline(vcpu: number): number;
  /** Whether an interrupt ends the vCPU's wait: its timer may have acted after it began. */
  isWoken(vcpu: number): boolean;
  /** A vCPU is going to run; devices' timers and the host's events are going to come. */
  entering?(vcpu: number): void;
  left?(): void;
  /** The vCPU has stopped: it waits to be started, or has shut down. */
  onStopped?(vcpu: number): void;
}

export class RunLoop {
  private readonly parts: RunLoopParts;
  private readonly vcpus: readonly Vcpu[];
  /** When each vCPU is to be run again, ns on the clock: 0 at once, Infinity when it is told to. */
  private readonly wakeAt: Float64Array;
  /** Somebody has asked for the vCPU since its last slice began. */
  private readonly called: boolean[] = [];
  /** Instructions a millisecond, measured. */
  private speed = SLOWEST_SPEED;
  private stopping = false;
  /** No vCPU runs, while time passes and devices go on: the machine is suspended. */
  suspended = false;
  private sleeping: Sleep | undefined;
  private current = -1;
  private lastYield = 0;
  /** From one yield to the next, ms. */
  private patience = YIELD_MS;

  constructor(parts: RunLoopParts) {
    this.parts = parts;
    this.vcpus = parts.vcpus;
    this.wakeAt = new Float64Array(parts.vcpus.length);
  }

  /** Whether a vCPU is running: this is a call from within its `run`. */
  get busy(): boolean {
    return this.current >= 0;
  }

  /** The vCPU that is running, or -1. */
  get running(): number {
    return this.current;
  }

  /** A vCPU has something to look at: an interrupt, a start, new registers. */
  attend(vcpu: number): void {
    this.wakeAt[vcpu] = 0;
    this.called[vcpu] = true;
    // Another vCPU may spin until this one has answered: do not let it spin to the end of its slice.
    if (this.current >= 0 && this.current !== vcpu) this.vcpus[this.current].kick();
    this.wake();
  }

  /** Does something as the vCPU: whoever asks which one is running gets this one. */
  as<T>(vcpu: number, what: () => T): T {
    const { current } = this;
    this.current = vcpu;
    try {
      return what();
    } finally {
      this.current = current;
    }
  }

  /** Another accelerator runs the vCPUs: at another speed. */
  speedChanged(): void {
    this.speed = SLOWEST_SPEED;
  }

  attendAll(): void {
    this.wakeAt.fill(0);
    this.wake();
  }

  /** Ends a sleep: deadlines have changed. */
  wake(): void {
    this.sleeping?.wake();
  }

  /** Makes `run` come back before the next instruction of any vCPU but the current one. */
  stop(): void {
    this.stopping = true;
    if (this.current >= 0) this.vcpus[this.current].kick();
    this.wake();
  }

  /** Runs until `stop` is called. Rejects with whatever an accelerator or device throws. */
  async run(): Promise<void> {
    this.stopping = false;
    try {
      await this.runOn();
    } finally {
      for (const vcpu of this.vcpus) vcpu.park?.();
      this.parts.left?.();
    }
  }

  private async runOn(): Promise<void> {
    const { host } = this.parts;
    // A guest that does nothing but reset its machine comes here again and again.
    if (host.now() - this.lastYield >= this.patience) await this.yield();
    while (!this.stopping) {
      const deadline = this.turn();
      if (this.stopping) break;
      if (deadline > 0) await this.idle(deadline);
      else if (host.now() - this.lastYield >= this.patience) await this.yield();
    }
  }

  /** Timers of devices that are due act on the machine as nobody's vCPU. */
  private timers(): void {
    const { clock, left } = this.parts;
    if (left && clock.next() <= clock.now()) left();
    clock.runTimers();
  }

  private async yield(): Promise<void> {
    this.parts.left?.();
    const { host } = this.parts;
    const before = host.events?.();
    await host.yield();
    const isCalm = before !== undefined && host.events?.() === before;
    this.patience = isCalm ? Math.min(CALM_MS, this.patience * 2) : YIELD_MS;
    this.lastYield = host.now();
  }

  /** A slice of every vCPU that is not waiting; returns 0 or, when all wait, the earliest deadline. */
  private turn(): number {
    const { vcpus } = this;
    const { clock } = this.parts;
    this.timers();
    if (this.suspended) return this.due(clock.next());
    for (let n = 0; n < vcpus.length && !this.stopping; n++) {
      const at = this.wakeAt[n];
      if (at === Infinity || (at > 0 && at > clock.now())) continue;
      this.slice(n);
    }
    let earliest = clock.next();
    for (const at of this.wakeAt) if (at < earliest) earliest = at;
    return this.due(earliest);
  }

  /** 0 for a deadline that has come. */
  private due(deadline: number): number {
    return deadline <= 0 || deadline <= this.parts.clock.now() ? 0 : deadline;
  }

  private slice(n: number): void {
    const { vcpus } = this;
    const { host, clock, deterministic } = this.parts;
    const vcpu = vcpus[n];
    const before = vcpu.instructions;
    const deadline = Math.min(clock.next(), this.parts.ownDeadline(n));
    const room = clock.instructionsUntil(deadline, this.speed);
    const start = host.now();
    this.wakeAt[n] = 0;
    this.called[n] = false;
    this.current = n;
    this.parts.entering?.(n);
    let exit: ReturnType<Vcpu['run']>;
    try {
      if (deterministic) exit = vcpu.run(Math.min(VIRTUAL_SLICE, room));
      else {
        const wanted = this.speed * (vcpus.length > 1 ? SHARED_SLICE_MS : SLICE_MS);
        const until = vcpus.length > 1 ? SHARED_MS : Math.max(SHORTEST_MS, this.patience - (start - this.lastYield));
        const ms = Math.min(until, clock.sleepUntil(deadline));
        exit = vcpu.run(Math.floor(Math.min(MOST, Math.max(FEWEST, Math.min(wanted, room)))), ms);
      }
    } finally {
      this.current = -1;
    }
    if (exit.kind === 'away') {
      // It is looked after now and then, though nothing may call it back. It may have come back meanwhile.
      if (this.wakeAt[n] === 0 && !this.called[n]) this.wakeAt[n] = clock.now() + AWAY_NS;
    } else if (exit.kind === 'stopped') {
      this.wakeAt[n] = Infinity;
      this.parts.onStopped?.(n);
    } else if (exit.kind === 'halt') {
      const own = this.parts.ownDeadline(n);
      this.wakeAt[n] = this.parts.isWoken(n) ? 0 : own;
    }
    this.measure(vcpu.instructions - before, host.now() - start);
    if (clock.next() <= deadline) this.timers();
  }

  private measure(instructions: number, ms: number): void {
    // Short slices say more about interrupts and clocks than about speed.
    if (instructions < FEWEST || ms <= 0) return;
    const measured = instructions / ms;
    const weight = Math.min(0.5, ms / SLICE_MS / 8);
    this.speed += (measured - this.speed) * weight;
  }

  /** Nothing to do before `deadline` but what the host brings. */
  private async idle(deadline: number): Promise<void> {
    const { host, clock } = this.parts;
    this.parts.left?.();
    const ms = clock.sleepUntil(deadline);
    const start = host.now();
    if (ms < SHORTEST_SLEEP_MS) {
      // Time passes without the host's help where it is virtual.
      if (ms > 0 || start - this.lastYield >= this.patience) await this.yield();
    } else {
      this.sleeping = host.sleep(ms === Infinity ? Infinity : Math.min(LONGEST_SLEEP_MS, Math.max(1, Math.round(ms))));
      try {
        await this.sleeping.promise;
      } finally {
        this.sleeping = undefined;
      }
      this.patience = YIELD_MS;
      this.lastYield = host.now();
    }
    clock.slept(deadline, host.now() - start);
  }
}
