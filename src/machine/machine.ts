/**
 * A machine: processors, board and clock put together, and its life from the first
 * instruction to power-off.
 *
 * Invariant: everything that changes the machine as a whole (reset, pause,
 * power-off) happens between two slices of the run loop.
 */
import { ConfigError } from '../bits/errors.ts';
import type { AcceleratorName } from '../accel/switching.ts';
import type { WakeCause } from '../hw/acpi/acpi-pm.ts';
import type { DeviceLog } from '../hw/device.ts';
import { type Actions, DEFAULT_ACTIONS, panicAction } from './actions.ts';
import type { MachineApi, MachineEvents, MachineTopic, RunState, ShutdownCause, VcpuView } from './api.ts';
import type { MachineConfig } from './config.ts';
import { describe } from './machine-describe.ts';
import type { MachineHost } from './machine-host.ts';
import { kernelCounters, kvmStatistics } from './kvm-statistics.ts';
import { assemble } from './machine-assemble.ts';
import { MachineListeners } from './machine-listeners.ts';
import { readMemory, writeMemory } from './machine-memory.ts';
import { type MachineParts, view } from './machine-parts.ts';

/** What has been asked of a machine while a vCPU was running. */
type Request =
  | { readonly kind: 'reset' | 'suspend' }
  | { readonly kind: 'wake'; readonly cause: WakeCause }
  | { readonly kind: 'poweroff'; readonly code: number; readonly ends: boolean }
  | { readonly kind: 'panic' }
  | { readonly kind: 'watchdog' };

/** States that a machine goes on from. */
const GOES_ON: readonly RunState[] = ['prelaunch', 'paused', 'debug', 'guest-panicked', 'watchdog'];

export class Machine implements MachineApi {
  readonly name: string;
  readonly vcpus: readonly VcpuView[];
  readonly display: MachineApi['display'];
  readonly input: MachineApi['input'];
  readonly ports: MachineApi['ports'];
  readonly nmi: MachineApi['nmi'];
  /** What went wrong inside, when the state is `internal-error`. */
  error: unknown;
  private readonly config: MachineConfig;
  private readonly accel: MachineParts['accel'];
  private readonly clock: MachineParts['clock'];
  private readonly guestClock: MachineParts['guestClock'];
  private readonly pollBeforeHalt: MachineParts['pollBeforeHalt'];
  private readonly loop: MachineParts['loop'];
  private readonly board: MachineParts['board'];
  private readonly log: DeviceLog;
  private readonly resetCpus: () => void;
  private readonly chips: () => void;
  private readonly listeners = new MachineListeners();
  private current: RunState = 'prelaunch';
  /** The run loop's life, while it lives. */
  private running: Promise<void> | undefined;
  /** Counts the stretches of running; one that is not the newest ends. */
  private stretch = 0;
  private request: Request | undefined;
  private closed: Promise<void> | undefined;
  private acts: Actions;
  private announced = false;
  private saidGoodbye = false;

  /** Builds a machine in state `prelaunch`. Throws ConfigError. */
  static async create(config: MachineConfig, host: MachineHost): Promise<Machine> {
    return new Machine(config, await assemble(config, host));
  }

  private constructor(config: MachineConfig, parts: MachineParts) {
    const { accel, clock, loop, board, log, outcome } = parts;
    this.resetCpus = parts.resetCpus;
    this.chips = parts.chips ?? (() => {});
    this.display = parts.display;
    this.input = parts.input;
    this.name = config.machine;
    this.config = config;
    this.acts = {
      reboot: config.noReboot ? 'shutdown' : DEFAULT_ACTIONS.reboot,
      shutdown: config.noShutdown ? 'pause' : DEFAULT_ACTIONS.shutdown,
      panic: config.panic ?? DEFAULT_ACTIONS.panic,
      watchdog: config.watchdog ?? DEFAULT_ACTIONS.watchdog,
    };
    this.accel = accel;
    this.clock = clock;
    this.guestClock = parts.guestClock;
    this.pollBeforeHalt = parts.pollBeforeHalt;
    this.loop = loop;
    this.board = board;
    this.log = log;
    this.vcpus = accel.vcpus.map((vcpu, index) => view(vcpu, () => loop.attend(index), parts.text?.[index]));
    // A guest that ends the emulator with a code of its own (isa-debug-exit) does so whatever the actions are.
    outcome.poweroff = (code) => this.ask({ kind: 'poweroff', code, ends: code !== 0 });
    outcome.panic = (event) => this.panicked(event);
    outcome.watchdog = () => this.watchdog();
    outcome.reset = () => this.ask({ kind: 'reset' });
    outcome.suspend = () => this.ask({ kind: 'suspend' });
    outcome.wake = (cause) => void this.wake(cause);
    const { ports } = board;
    if (ports) {
      // A device may be in the kernel; and what it does may wake processors.
      const accessed = () => {
        this.chips();
        loop.attendAll();
      };
      this.ports = {
        read(port, size) {
          accessed();
          return ports.read(port, size);
        },
        write(port, size, value) {
          accessed();
          ports.write(port, size, value);
        },
      };
    }
    if (board.nmiButton) {
      this.nmi = () => {
        this.chips();
        board.nmiButton?.();
      };
    }
    this.resetAll();
  }

  get state(): RunState {
    return this.current;
  }

  get accelerator(): AcceleratorName {
    return this.accel.name;
  }

  get kvm(): MachineApi['kvm'] {
    return kvmStatistics(this.accel);
  }

  kernelCounters(vcpu?: number): ReturnType<NonNullable<MachineApi['kernelCounters']>> {
    return kernelCounters(this.accel, vcpu);
  }

  setHaltPoll(ns: number): void {
    if (!Number.isInteger(ns) || ns < 0 || ns >= 2 ** 32)
      throw new ConfigError('halt-poll', `${ns} is no time to poll`, 'give 0 to 4294967295 nanoseconds');
    if (!this.pollBeforeHalt?.(ns))
      throw new ConfigError(
        'halt-poll',
        'the processors of this machine do not wait in the kernel',
        'use -accel kvm,kernel-irqchip=on or split',
      );
  }
  async switchAccelerator(name: AcceleratorName): Promise<void> {
    await this.accel.switchTo(name);
    this.loop.speedChanged();
    this.loop.attendAll();
  }

  get actions(): Actions {
    return this.acts;
  }

  setActions(changes: Partial<Actions>): void {
    this.acts = { ...this.acts, ...changes };
  }

  /** A fresh machine starts; a paused one goes on. */
  start(): void {
    if (GOES_ON.includes(this.current)) this.go();
  }

  resume(): void {
    this.start();
  }

  async pause(): Promise<void> {
    if (this.current !== 'running') return;
    const { running } = this;
    this.halt('paused');
    await running;
  }

  reset(): void {
    this.ask({ kind: 'reset' });
  }

  powerdown(): void {
    if (this.board.powerButton) this.board.powerButton();
    else this.log.unimplemented(this.name, 'there is no power button');
  }

  get canSuspend(): boolean {
    return this.board.suspendToRam !== undefined;
  }

  wakeup(): boolean {
    return this.wake('other');
  }

  stop(cause: ShutdownCause = 'host-qmp-quit'): Promise<void> {
    this.closed ??= this.close(cause);
    return this.closed;
  }

  readMemory(address: number, length: number): Uint8Array | undefined {
    return readMemory(this.accel, this.board, address, length);
  }

  writeMemory(address: number, data: Uint8Array): boolean {
    return writeMemory(this.accel, address, data);
  }

  on<K extends keyof MachineEvents>(event: K, listener: (value: MachineEvents[K]) => void): () => void {
    return this.listeners.add(event, listener);
  }

  describe(topic: MachineTopic): string {
    if (topic === 'pic' || topic === 'lapic') this.chips();
    return describe(topic, this.config, this.board, this.accel);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  private go(): void {
    const before = this.running ?? Promise.resolve();
    const stretch = ++this.stretch;
    this.enter('running');
    this.running = before.then(() => this.live(stretch));
  }

  private halt(state: RunState): void {
    this.stretch++;
    this.enter(state);
    this.loop.stop();
  }

  /** One stretch of running; never rejects. */
  private async live(stretch: number): Promise<void> {
    if (stretch !== this.stretch) return; // paused again before it began
    this.clock.start();
    this.accel.startTime();
    this.guestClock?.started();
    this.loop.attendAll();
    try {
      while (stretch === this.stretch) {
        if (!this.request) await this.loop.run();
        const { request } = this;
        this.request = undefined;
        if (request && stretch === this.stretch) this.fulfil(request);
      }
    } catch (error) {
      this.fail(error);
    } finally {
      try {
        this.stopTime();
      } catch (error) {
        // What fails here has mostly failed before.
        if (this.current !== 'internal-error') this.fail(error);
      }
    }
  }

  private stopTime(): void {
    this.accel.stopTime();
    this.clock.stop();
    this.guestClock?.stopped();
  }

  private ask(request: Request): void {
    if (this.current === 'running' || this.current === 'suspended') {
      // The first word counts: a guest that powers off and resets at once is off.
      this.request ??= request;
      this.loop.stop();
      return;
    }
    if (this.closed) return;
    this.fulfil(request);
  }

  /** False where the machine does not sleep; what the guest has not asked for does not wake it. */
  private wake(cause: WakeCause): boolean {
    if (this.current !== 'suspended') return false;
    if (this.board.suspendToRam?.wakesFrom(cause)) this.ask({ kind: 'wake', cause });
    return true;
  }

  private fulfil(request: Request): void {
    if (request.kind === 'poweroff') this.off('guest-shutdown', request);
    else if (request.kind === 'panic') this.endOfPanic();
    else if (request.kind === 'watchdog') this.halt('watchdog');
    else if (request.kind === 'suspend') this.suspend();
    else if (request.kind === 'wake') {
      this.board.suspendToRam?.wake(request.cause, () => this.resetAll());
      this.enter('running');
    } else if (this.acts.reboot === 'shutdown') this.off('guest-reset');
    else {
      this.resetAll();
      this.listeners.tell('reset', { cause: 'guest-reset' });
      // A machine that stood still stands ready again, as QEMU's does.
      if (this.current === 'suspended') this.halt('prelaunch');
      else if (this.current !== 'running') this.enter('prelaunch');
    }
  }

  private suspend(): void {
    this.chips();
    this.loop.suspended = true;
    this.board.suspendToRam?.asleep();
    this.enter('suspended');
  }

  private resetAll(): void {
    this.loop.suspended = false;
    this.chips();
    this.board.resetAll();
    this.resetCpus();
    this.loop.attendAll();
  }

  private panicked(event: 'panicked' | 'crashloaded'): void {
    if (event === 'panicked' && panicAction(this.acts) !== 'run') this.ask({ kind: 'panic' });
    else this.listeners.tell('panic', { event, action: 'run' });
  }

  private endOfPanic(): void {
    const action = panicAction(this.acts);
    this.listeners.tell('panic', { event: 'panicked', action });
    if (action === 'pause') this.halt('guest-panicked');
    else if (action === 'poweroff') this.off('guest-panic', { code: this.acts.panic === 'exit-failure' ? 1 : 0 });
  }

  private watchdog(): void {
    const { watchdog: action } = this.acts;
    this.listeners.tell('watchdog', { action });
    if (action === 'reset') this.ask({ kind: 'reset' });
    else if (action === 'shutdown') this.powerdown();
    else if (action === 'poweroff') this.ask({ kind: 'poweroff', code: 0, ends: true });
    else if (action === 'pause') this.ask({ kind: 'watchdog' });
    else if (action === 'inject-nmi') this.board.nmiButton?.();
    else if (action === 'debug') this.config.log?.write('watchdog: timer fired');
  }

  private off(cause: ShutdownCause, { code = 0, ends = false } = {}): void {
    if (this.acts.shutdown === 'pause' && !ends) {
      this.listeners.tell('off', { cause, stays: true });
      this.halt('shutdown');
    } else {
      this.goodbye(cause);
      this.halt('shutdown');
      this.announce(cause, code);
    }
  }

  private goodbye(cause: ShutdownCause): void {
    if (this.saidGoodbye) return;
    this.saidGoodbye = true;
    this.listeners.tell('off', { cause, stays: false });
  }

  private fail(error: unknown): void {
    this.error = error;
    this.config.log?.write(
      `internal error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
    );
    this.goodbye('host-error');
    this.halt('internal-error');
    this.announce('host-error', 1);
  }

  private announce(cause: ShutdownCause, code: number): void {
    if (this.announced) return;
    this.announced = true;
    this.listeners.tell('shutdown', { cause, code });
  }

  private async close(cause: ShutdownCause): Promise<void> {
    const { running } = this;
    this.goodbye(cause);
    this.halt(this.current === 'internal-error' ? 'internal-error' : 'shutdown');
    await running;
    await this.board.flushed();
    for (const { id, disk } of this.config.drives) {
      try {
        if (!disk.readOnly) await disk.flush();
        await disk.close();
      } catch (error) {
        this.config.log?.write(`drive ${id}: ${(error as Error).message}`);
      }
    }
    this.accel.close();
    this.announce(cause, 0);
  }

  private enter(state: RunState): void {
    if (this.current === state) return;
    this.current = state;
    this.listeners.tell('state', state);
  }
}
