/**
 * A vCPU that KVM runs, on the machine's own thread: enters, serves what the
 * guest asks of its devices, and comes back when it halts, when it is kicked or
 * when its time is over.
 *
 * The registers stay in KVM between two runs; `sync` brings them to memory.
 */
import type { IrqLine } from '../../hw/device.ts';
import type { Exit, StateVcpu } from '../accelerator.ts';
import type { CpuState } from '../cpu-state.ts';
import { Errno, ExitReason, InternalError, Run } from './abi.ts';
import { SlowKvm } from '../emulation-share.ts';
import { BinaryStatistics } from './binary-statistics.ts';
import { ExitCounts } from './exit-counts.ts';
import { failedInstruction, failure, runFailed } from './exit-accesses.ts';
import { ExitAnswers } from './exit-answers.ts';
import { KvmError, type KvmVcpuPort, type KvmVcpuThread } from './port.ts';
import type { KvmVcpuParts } from './vcpu-parts.ts';

/** Time of a run where nobody says how long, and the longest, ms. */
const SLICE_MS = 4;
const LONGEST_MS = 20;
/** A guest that leaves all the time, so that the alarm may never find it in KVM: the clock is looked at every so many exits. */
const LOOK = 128;
const NS_PER_MS = 1e6;

/** A moment in KVM, ms; and exits in it that are served before it is given up. */
const MOMENT_MS = 0.05;
const MOMENT_EXITS = 100;

/** Who has the newest registers. */
type Holder = 'memory' | 'both' | 'kvm';

export class KvmVcpu implements StateVcpu {
  readonly index: number;
  readonly state: CpuState;
  readonly counts = new ExitCounts();
  private readonly parts: KvmVcpuParts;
  private readonly answers: ExitAnswers;
  readonly port: KvmVcpuPort;
  private holder: Holder = 'memory';
  private kicked = false;
  /** Whether KVM can run the state is to be looked at anew. */
  private doubtful = false;
  private readonly speed: SlowKvm | undefined;
  /** In its thread, in KVM. */
  private away = false;
  /** What the last return from there meant, for the next run. */
  private brought: Exit | undefined;

  constructor(parts: KvmVcpuParts) {
    this.parts = parts;
    this.answers = new ExitAnswers(parts);
    this.port = parts.port;
    this.state = parts.state;
    this.index = parts.state.index;
    const emulated = BinaryStatistics.open(parts.port)?.counter('insn_emulation');
    if (emulated) this.speed = new SlowKvm(emulated);
  }

  /** Not counted: what KVM runs stands still here. */
  get instructions(): number {
    return this.state.instructions;
  }
  irq(input: number): IrqLine {
    return this.state.irq(input);
  }
  get hostThread(): number | undefined {
    return this.port.thread?.number;
  }
  kick(): void {
    this.kicked = true;
  }
  registerNames(): readonly string[] {
    return this.state.registerNames();
  }
  readRegister(name: string): bigint {
    this.sync();
    return this.state.readRegister(name);
  }
  writeRegister(name: string, value: bigint): void {
    this.sync();
    this.state.writeRegister(name, value);
    this.refresh();
  }
  translate(virtual: bigint): number | undefined {
    this.sync();
    return this.parts.translate(this.state, virtual);
  }
  flushTranslations(): void {
    // KVM has its own and knows when; but the gate of A20 may have been switched.
    this.doubtful = true;
  }

  reset(): void {
    this.park();
    this.brought = undefined;
    this.finish();
    this.state.reset();
    this.refresh();
  }

  refresh(): void {
    this.park();
    if (!this.answers.within) this.finish();
    this.parts.refresh(this.state);
    if (this.holder === 'kvm') this.parts.arch.forget(this.port);
    this.holder = 'memory';
  }

  sync(): void {
    this.park();
    if (!this.answers.within) this.finish();
    if (this.holder !== 'kvm') return;
    this.parts.irqchip?.storeCpu(this.port, this.state);
    this.parts.arch.store(this.port, this.state);
    this.parts.refresh(this.state);
    this.holder = 'both';
  }

  /** Another accelerator is going to run from the state, or has. */
  released(): void {
    this.sync();
    // The state says what it was: waiting, or stopped.
    this.brought = undefined;
    this.holder = 'memory';
  }

  step(): Exit {
    this.sync();
    this.holder = 'memory';
    return this.emulate('step') ?? { kind: 'budget' };
  }

  run(_instructions: number, ms = SLICE_MS): Exit {
    const { state, port, parts } = this;
    const { board, events, irqchip } = parts;
    if (port.thread && this.away && !this.return(port.thread)) return { kind: 'away' };
    const { brought } = this;
    this.brought = undefined;
    // With its interrupt controller in the kernel a processor waits there, for an interrupt and to be started.
    const waitsHere = !irqchip || this.cannotRun() !== undefined;
    if (waitsHere) irqchip?.home();
    if (state.stopped && waitsHere) return { kind: 'stopped' };
    if (brought && brought.kind !== 'budget') return brought;
    if (state.waiting && waitsHere) {
      if (this.holder === 'kvm' && !events.wakes(state)) return { kind: 'halt', deadline: Infinity };
      this.sync();
      if (!events.wakes(state)) return { kind: 'halt', deadline: Infinity };
      state.setWord(state.isa.fields.waiting, 0);
    }
    state.attention = false;
    this.kicked = false;
    if (port.thread) return this.leaveHome(port.thread);
    const slice = Math.max(0.05, Math.min(ms, LONGEST_MS));
    const end = board.now() + slice * NS_PER_MS;
    port.alarm(slice);
    try {
      for (let n = 1; ; n++) {
        const exit = this.once();
        if (exit) return exit;
        if (n % LOOK === 0 && board.now() >= end) return { kind: 'budget' };
      }
    } finally {
      port.alarm(Infinity);
      if (this.speed?.look(board.now())) parts.slow(this.speed.rate);
    }
  }

  /** Lets the thread enter KVM. */
  private leaveHome(thread: KvmVcpuThread): Exit {
    const exit = this.prepare();
    if (exit) return exit;
    thread.enter();
    this.away = true;
    this.holder = 'kvm';
    return { kind: 'away' };
  }

  /** Serves what the thread came back with; false: it is still away. */
  private return(thread: KvmVcpuThread): boolean {
    // One that has died is not away.
    this.away = false;
    const errno = thread.result();
    if (errno === undefined) {
      this.away = true;
      const { slots, events, irqchip } = this.parts;
      const stopped = this.state.stopped && !irqchip;
      if (this.kicked || stopped || slots.stale || events.calls(this.state)) this.port.kick();
      if (this.speed?.look(this.parts.board.now())) this.parts.slow(this.speed.rate);
      return false;
    }
    this.brought = this.came(errno);
    return true;
  }

  /** Comes back from its thread, if it is there. */
  park(): void {
    const { thread } = this.port;
    if (!thread || !this.away) return;
    const { board, parked } = this.parts;
    this.port.kick();
    this.away = false;
    const errno = thread.wait();
    const serve = () => this.came(errno);
    this.brought = board.as ? board.as(this.index, serve) : serve();
    parked(this.index);
  }

  /** One entry and its exit; undefined: go on. */
  private once(): Exit | undefined {
    const exit = this.prepare() ?? this.came(this.port.enter());
    if (exit) return exit;
    if (this.state.stopped) return { kind: 'stopped' };
    return this.kicked ? { kind: 'budget' } : undefined;
  }

  /** Everything up to the entry. */
  private prepare(): Exit | undefined {
    const { state, port, parts, counts } = this;
    const { board, events, slots, irqchip } = parts;
    if (slots.stale) {
      parts.parkAll();
      slots.update();
    }
    const exit = this.emulateForeign();
    if (exit) return exit;
    irqchip?.leave();
    parts.bells?.look();
    if (this.holder === 'memory') {
      parts.arch.load(port, state);
      irqchip?.loadCpu(port, state);
      events.loaded(port, state);
      this.holder = 'both';
    }
    events.inject(port, state, board);
    counts.entries++;
    return undefined;
  }

  /** As long as KVM cannot run the state that is in memory. */
  private emulateForeign(): Exit | undefined {
    let cannot = this.cannotRun();
    if (cannot === undefined) return undefined;
    const { board, irqchip } = this.parts;
    const end = board.now() + SLICE_MS * NS_PER_MS;
    for (; cannot !== undefined; cannot = this.cannotRun()) {
      // Interrupts are taken meanwhile.
      irqchip?.home();
      const exit = this.emulate(cannot);
      if (exit) return exit;
      if (this.kicked || this.state.stopped || board.now() >= end) return { kind: 'budget' };
    }
    return undefined;
  }

  /** Why KVM cannot run the state that is in memory; undefined: it can, or has it already. */
  private cannotRun(): string | undefined {
    if (!this.doubtful && this.holder !== 'memory') return undefined;
    const { events, arch } = this.parts;
    this.finish();
    const cannot = events.cannotRun(this.state) ?? arch.cannotRun?.(this.state);
    this.doubtful = cannot !== undefined;
    return cannot;
  }

  /** Runs for a moment in KVM. False where it may not now. */
  settle(): boolean {
    this.park();
    if (this.answers.within || this.holder === 'memory' || this.brought?.kind === 'stopped') return false;
    const { port, parts, index } = this;
    const { board } = parts;
    try {
      for (let n = 0; n < MOMENT_EXITS; n++) {
        const once = () => this.moment();
        const exit = board.as ? board.as(index, once) : once();
        if (exit === 'interrupted') return true;
        if (exit && exit.kind !== 'budget') {
          this.brought = exit;
          break;
        }
      }
    } finally {
      port.alarm(Infinity);
      parts.parked(index);
    }
    return false;
  }

  /** Timers that have ended are interrupts only after an entry that was interrupted inside. */
  private moment(): Exit | 'interrupted' | undefined {
    const exit = this.prepare();
    if (exit) return exit;
    const { port } = this;
    // A kick that was for the last entry would end this one before it began.
    port.run.setUint8(Run.immediateExit, 0);
    port.alarm(MOMENT_MS);
    const errno = port.enter();
    const came = this.came(errno);
    return errno === Errno.eintr ? 'interrupted' : came;
  }

  /** What an entry came back with. */
  private came(errno: number): Exit | undefined {
    const { state, port, parts, counts } = this;
    const { board, events } = parts;
    this.answers.pending = false;
    this.holder = 'kvm';
    if (errno === Errno.eintr || errno === Errno.eagain) {
      counts.interrupted++;
      events.leave(port, state, board);
      return { kind: 'budget' };
    }
    if (errno !== 0) throw this.failed(runFailed(errno));
    events.leave(port, state, board);
    return this.serve();
  }

  private serve(): Exit | undefined {
    const { state, port, parts, counts } = this;
    const { run } = port;
    const reason = run.getUint32(Run.exitReason, true);
    counts.exit(reason);
    if (this.answers.answer(reason)) return undefined;
    switch (reason) {
      case ExitReason.hlt:
        state.setWord(state.isa.fields.waiting, 1);
        return { kind: 'halt', deadline: Infinity };
      case ExitReason.intr:
        return { kind: 'budget' };
      case ExitReason.shutdown:
        if (parts.arch.doubtsShutdown) return this.emulate('shutdown');
        this.sync();
        parts.events.shutdown(state);
        this.holder = 'memory';
        return { kind: 'stopped' };
      case ExitReason.debug:
        return { kind: 'debug' };
      case ExitReason.internalError: {
        const suberror = run.getUint32(Run.internal.suberror, true);
        if (suberror === InternalError.unexpectedExitReason) throw this.failed(failure(reason, run));
        const why =
          suberror === InternalError.emulation ? `emulation ${failedInstruction(run)}`.trim() : `error-${suberror}`;
        return this.emulate(why);
      }
      default:
        throw this.failed(failure(reason, run));
    }
  }

  private finish(): void {
    const errno = this.answers.finish();
    if (errno !== 0) throw this.failed(runFailed(errno));
  }

  private emulate(why: string): Exit | undefined {
    this.sync();
    this.holder = 'memory';
    this.counts.emulate(why);
    const exit = this.parts.emulate(this, why);
    // It waits in the kernel, then.
    const waitsThere = this.parts.irqchip?.away && (exit?.kind === 'halt' || exit?.kind === 'stopped');
    return waitsThere ? { kind: 'budget' } : exit;
  }

  private failed(what: string): KvmError {
    let where = '';
    try {
      this.answers.pending = false;
      this.sync();
      where = ` at pc 0x${this.state.pc.toString(16)}`;
    } catch {
      // Then it is not known.
    }
    return new KvmError('kvm-run', `CPU ${this.index}${where}: ${what}`, 'use -accel jit, or report this');
  }

  close(): void {
    try {
      this.park();
    } finally {
      this.parts.arch.release?.(this.port);
      this.port.close();
    }
  }
}
