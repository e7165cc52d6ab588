/**
 * One machine's accelerators behind one face: reference, jit and kvm on the
 * same memory and the same processors' states. Which one runs can be changed
 * whenever no vCPU is inside `run`, and nothing in the machine notices.
 *
 * When KVM cannot execute an instruction the reference accelerator does, from
 * the same state, and KVM goes on. When that is most of what happens, the
 * machine moves to the JIT.
 *
 * Invariant: at most one accelerator has newer registers than memory has, and
 * it is the one that is active.
 */
import { ConfigError } from '../bits/errors.ts';
import type { IrqLine } from '../hw/device.ts';
import type { Isa } from '../isa/isa.ts';
import type { Board, Exit, SpaceAccelerator, StateVcpu } from './accelerator.ts';
import type { CpuState } from './cpu-state.ts';
import { EmulationShare } from './emulation-share.ts';
import type { Space } from './space.ts';

export type AcceleratorName = 'kvm' | 'jit' | 'reference';
export const ACCELERATOR_NAMES: readonly AcceleratorName[] = ['kvm', 'jit', 'reference'];

/** How accelerators are made; each once. They are the switching accelerator's to close. */
export interface Openers {
  /** Throws ConfigError or HostError where it cannot be had. */
  open(name: AcceleratorName, fallback: Fallback): Promise<SpaceAccelerator>;
}

/** Executes what KVM cannot, from the state in memory. Undefined: then KVM goes on. */
export type Fallback = (vcpu: StateVcpu, why: string, longest?: number) => Exit | undefined;

export interface SwitchingParts extends Openers {
  readonly space: Space;
  readonly states: readonly CpuState[];
  readonly board: Board;
  /** Never leave KVM unless told to. */
  readonly stay?: boolean | undefined;
  /** Told once when the machine left KVM on its own, and why. */
  onMoved?(message: string): void;
}

/** What `info kvm` shows of switches. */
export interface SwitchCounts {
  /** Changes of accelerator on command. */
  switches: number;
  /** Changes because KVM could not execute enough of the guest itself. */
  moves: number;
}

/** A clock that the guest makes of its processors' counters: these may step where the machine pauses or KVM takes over. */
export interface GuestClock {
  stopped(): void;
  /** `paused`: the machine's own clock stood still, too. */
  started(paused?: boolean): void;
}

export class SwitchingAccelerator implements SpaceAccelerator {
  readonly isa: Isa;
  readonly space: Space;
  readonly ram: Uint8Array;
  readonly vcpus: readonly SwitchingVcpu[];
  readonly counts: SwitchCounts = { switches: 0, moves: 0 };
  private readonly parts: SwitchingParts;
  private readonly opened = new Map<AcceleratorName, Promise<SpaceAccelerator>>();
  /** Those that are ready. */
  private readonly ready = new Map<AcceleratorName, SpaceAccelerator>();
  private active: SpaceAccelerator;
  private share: EmulationShare;
  /** Set by whoever runs the vCPUs. */
  onBack: ((vcpu: number) => void) | undefined;
  guestClock: GuestClock | undefined;
  private moving = false;
  private closed = false;

  /** With the first of `names` that can be had; says of each other why not. Throws what the last one threw. */
  static async create(
    parts: SwitchingParts,
    names: readonly AcceleratorName[],
    refused: (name: AcceleratorName, error: Error) => void,
  ): Promise<SwitchingAccelerator> {
    let last: unknown;
    for (const name of names) {
      const switching = new SwitchingAccelerator(parts);
      try {
        await switching.begin(name);
        return switching;
      } catch (error) {
        last = error;
        if (name !== names[names.length - 1]) refused(name, error as Error);
        switching.closeAll(); // the memory is the next one's
      }
    }
    throw last;
  }

  private constructor(parts: SwitchingParts) {
    this.parts = parts;
    this.space = parts.space;
    this.ram = parts.space.ramBytes();
    this.isa = parts.states[0].isa;
    this.share = new EmulationShare(() => parts.board.now());
    // Set by `begin` before anybody sees this.
    this.active = undefined as unknown as SpaceAccelerator;
    this.vcpus = parts.states.map((state) => new SwitchingVcpu(state));
  }

  private async begin(name: AcceleratorName): Promise<void> {
    this.activate(await this.open(name));
  }

  /** The one that runs the machine now. */
  get name(): AcceleratorName {
    return this.active.name;
  }

  /** An accelerator that has been made, for those who want to look at it. */
  find(name: AcceleratorName): SpaceAccelerator | undefined {
    return this.ready.get(name);
  }

  /**
   * Changes the accelerator between two instructions of every vCPU; resolves when that has happened. Throws ConfigError
   * or HostError, and everything stays as it is, where the other one cannot be had. Not to be awaited inside `run`.
   */
  async switchTo(name: AcceleratorName): Promise<void> {
    if (this.closed) throw new ConfigError('accelerator', 'the machine is closed', '');
    const next = await this.open(name);
    if (next === this.active || this.closed) return;
    this.counts.switches++;
    this.activate(next);
  }

  private open(name: AcceleratorName): Promise<SpaceAccelerator> {
    let opening = this.opened.get(name);
    if (!opening) {
      opening = this.make(name);
      this.opened.set(name, opening);
      opening.then(
        (accelerator) => {
          this.ready.set(name, accelerator);
          accelerator.onBack = (vcpu) => this.onBack?.(vcpu);
          if (this.closed) accelerator.close();
        },
        // It may be there at the next attempt.
        () => this.opened.delete(name),
      );
    }
    return opening;
  }

  private async make(name: AcceleratorName): Promise<SpaceAccelerator> {
    // What KVM cannot execute the reference accelerator does.
    if (name === 'kvm') await this.open('reference');
    return this.parts.open(name, (vcpu, why, longest) => this.fallback(vcpu, why, longest));
  }

  private activate(next: SpaceAccelerator): void {
    const before = this.active as SpaceAccelerator | undefined;
    before?.suspended?.();
    this.active = next;
    if (before) {
      this.guestClock?.stopped();
      next.resumed?.();
      this.guestClock?.started(false);
    }
    // Whoever keeps something of memory is told of what was written. One that is made later has nothing yet.
    if (before && before.writes?.((address, length) => this.written(address, length)) === false) this.forget();
    if ([...this.ready.values()].some((other) => other !== next && other.forget)) next.noteWrites?.();
    this.vcpus.forEach((vcpu, n) => {
      vcpu.current = next.vcpus[n];
      if (before) vcpu.current.refresh();
    });
    this.share = new EmulationShare(() => this.parts.board.now());
  }

  /** What KVM leaves to us; inside `run`. */
  private fallback(vcpu: StateVcpu, why: string, longest = Infinity): Exit | undefined {
    const reference = this.ready.get('reference');
    if (!reference) throw new Error('KVM was opened without the reference accelerator');
    const emulator = reference.vcpus[vcpu.index];
    const { share } = this;
    const started = share.begin();
    for (let left = Math.min(share.stretch, longest); left > 0; left--) {
      const exit = emulator.step();
      if (exit.kind !== 'budget') {
        share.end(started);
        return exit;
      }
    }
    share.end(started);
    if (share.dominates) this.moveToJit(`the interpreter executes most of this guest for KVM (last: ${why})`);
    return undefined;
  }

  /** KVM's own emulator executes most of the guest, at so many instructions a second. */
  slow(rate: number): void {
    this.moveToJit(`KVM here emulates most of this guest, ${(rate / 1e6).toFixed(1)} million instructions a second`);
  }

  private moveToJit(why: string): void {
    if (this.moving || this.parts.stay) return;
    this.moving = true;
    this.open('jit').then(
      (jit) => {
        this.moving = false;
        if (this.closed || this.active.name !== 'kvm') return;
        this.counts.moves++;
        this.activate(jit);
        this.parts.onMoved?.(`${why}: the machine goes on with the JIT`);
      },
      (error: Error) => {
        // Then KVM and the reference accelerator go on together; `moving` stays, so that it is tried once.
        this.parts.onMoved?.(`the machine cannot move to the JIT: ${error.message}`);
      },
    );
  }

  written(address: number, length: number): void {
    for (const accelerator of this.ready.values()) accelerator.written(address, length);
  }

  startTime(): void {
    this.active.startTime?.();
  }
  stopTime(): void {
    this.active.stopTime?.();
  }

  forget(): void {
    for (const accelerator of this.ready.values()) accelerator.forget?.();
  }

  describe(): readonly string[] {
    return [...this.ready.values()].flatMap((accelerator) => accelerator.describe?.() ?? []);
  }

  close(): void {
    if (this.closed) return;
    this.closeAll();
    this.space.release(this.ready.has('jit'));
  }

  private closeAll(): void {
    this.closed = true;
    for (const accelerator of this.ready.values()) accelerator.close();
  }
}

/** A vCPU, whoever runs it. */
export class SwitchingVcpu implements StateVcpu {
  readonly index: number;
  readonly state: CpuState;
  /** Set before anybody else sees this. */
  current!: StateVcpu;

  constructor(state: CpuState) {
    this.state = state;
    this.index = state.index;
  }

  get instructions(): number {
    return this.state.instructions;
  }
  irq(input: number): IrqLine {
    return this.state.irq(input);
  }
  get hostThread(): number | undefined {
    return this.current.hostThread;
  }
  run(instructions: number, ms?: number): Exit {
    return this.current.run(instructions, ms);
  }
  kick(): void {
    this.current.kick();
  }
  step(): Exit {
    return this.current.step();
  }
  reset(): void {
    this.current.reset();
  }
  refresh(): void {
    this.current.refresh();
  }
  sync(): void {
    this.current.sync?.();
  }
  park(): void {
    this.current.park?.();
  }
  registerNames(): readonly string[] {
    return this.state.registerNames();
  }
  readRegister(name: string): bigint {
    return this.current.readRegister(name);
  }
  writeRegister(name: string, value: bigint): void {
    this.current.writeRegister(name, value);
  }
  translate(virtual: bigint): number | undefined {
    return this.current.translate(virtual);
  }
  flushTranslations(): void {
    this.current.flushTranslations?.();
  }
}
