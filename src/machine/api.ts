/**
 * A machine's life as its embedders see it: the command line, the monitor,
 * QMP and the public API all stand on this interface.
 */

import type { AcceleratorName } from '../accel/switching.ts';
import type { Actions } from './actions.ts';
import type { KernelCounter, KvmStatistics } from './kvm-statistics.ts';
import type { DisplaySource } from '../hw/display.ts';
import type { InputEvent } from '../hw/input.ts';

/** QMP's run states, as far as they occur here. */
export type RunState =
  | 'prelaunch'
  | 'running'
  | 'paused'
  | 'suspended'
  | 'shutdown'
  | 'guest-panicked'
  | 'watchdog'
  | 'internal-error'
  | 'debug';

export type ShutdownCause =
  | 'guest-shutdown'
  | 'guest-reset'
  | 'guest-panic'
  | 'host-qmp-quit'
  | 'host-signal'
  | 'host-error';

export interface MachineEvents {
  /** The run state changed. */
  state: RunState;
  /** The machine goes off, by the guest or from outside; `stays`: it stops, and is not at its end. */
  off: { readonly cause: ShutdownCause; readonly stays: boolean };
  /** The machine has ended. `code` is the exit code a command line should end with. */
  shutdown: { readonly cause: ShutdownCause; readonly code: number };
  /** The guest rebooted. */
  reset: { readonly cause: ShutdownCause };
  /** The guest has panicked, or its crash kernel has taken over; and what becomes of it. */
  panic: { readonly event: 'panicked' | 'crashloaded'; readonly action: 'pause' | 'poweroff' | 'run' };
  /** A watchdog has expired; and what is done. */
  watchdog: { readonly action: Actions['watchdog'] };
}

/** An instruction as an assembler writes it. */
export interface CodeText {
  readonly length: number;
  readonly mnemonic: string;
  readonly operands: string;
}

/** What a monitor shows of a processor, in QEMU's lines. */
export interface ProcessorText {
  registers(): string;
  /** What its page tables map: stretches, and pages. */
  mem(): string;
  tlb(): string;
  /** The instruction that `bytes` begin with, if it stood at `pc`; undefined: none, or not all of it is there. */
  code(bytes: Uint8Array, pc: bigint): CodeText | undefined;
}

export interface VcpuView {
  readonly index: number;
  readonly instructions: number;
  readonly halted: boolean;
  registerNames(): readonly string[];
  readRegister(name: string): bigint;
  writeRegister(name: string, value: bigint): void;
  translate(virtual: bigint): number | undefined;
  /** Absent where the processor's kind has no text of its own. */
  readonly text?: ProcessorText;
}

/** A key by its name or by its number (see keyOfNumber in hw/qkeycode.ts). */
export type KeyValue =
  | { readonly type: 'qcode'; readonly data: string }
  | { readonly type: 'number'; readonly data: number };

/** The machine's keyboard and pointer, to a person. */
export interface MachineInput {
  /** Presses the keys one after the other and releases them backwards, each `holdMs` of guest time after the last. */
  sendKeys(keys: readonly KeyValue[], holdMs: number): void;
  /** Events of one moment. Nothing happens and a type is returned when no device takes events of that type. */
  send(events: readonly InputEvent[]): InputEvent['type'] | undefined;
  /** Pointers, the one that gets events first. */
  pointers(): readonly { readonly name: string; readonly absolute: boolean }[];
}

export type MachineTopic =
  | 'qtree'
  | 'mtree'
  | 'flat-mtree'
  | 'jit'
  | 'kvm'
  | 'pic'
  | 'lapic'
  | 'irq'
  | 'pci'
  | 'network';

export interface MachineApi {
  readonly name: string;
  readonly state: RunState;
  readonly vcpus: readonly VcpuView[];
  /** The accelerator that runs it now. */
  readonly accelerator: AcceleratorName;
  /**
   * Moves the machine, running or not, to another accelerator, between two instructions; nothing inside notices. Throws
   * ConfigError or HostError, and everything stays as it was, where that one cannot be had.
   */
  switchAccelerator(name: AcceleratorName): Promise<void>;
  /** What has happened under KVM, of each vCPU; undefined where it has not run this machine. */
  readonly kvm?: readonly KvmStatistics[];
  /**
   * For how long, ns, KVM spins at most before it lets a processor of this machine sleep (KVM_CAP_HALT_POLL); 0: not at
   * all. Throws ConfigError where processors do not wait in the kernel.
   */
  setHaltPoll?(ns: number): void;
  /** The kernel's own counters, of the VM or of a vCPU; undefined where there are none. */
  kernelCounters?(vcpu?: number): readonly KernelCounter[] | undefined;
  /** Starts a fresh machine or resumes a paused one. */
  start(): void;
  pause(): Promise<void>;
  resume(): void;
  /** System reset, as the reset button does. */
  reset(): void;
  /** Presses the power button. */
  powerdown(): void;
  /** Whether a guest may suspend this machine to its memory (ACPI's S3). */
  readonly canSuspend: boolean;
  /** Wakes a machine that is suspended; false where it is not. */
  wakeup(): boolean;
  /** What is done at reboots, power-offs, panics and by watchdogs. */
  readonly actions: Actions;
  setActions(changes: Partial<Actions>): void;
  /** Ends the machine; resolves when everything is closed. */
  stop(cause?: ShutdownCause): Promise<void>;
  /** The first screen, where the machine has one. */
  readonly display?: DisplaySource;
  readonly input?: MachineInput;
  /** Guest-physical memory; undefined where there is neither RAM nor a window that is memory (Bus.peek). */
  readMemory(address: number, length: number): Uint8Array | undefined;
  writeMemory(address: number, data: Uint8Array): boolean;
  /** I/O ports, where the machine has them; the guest's devices see an access as any other. */
  readonly ports?: {
    read(port: number, size: 1 | 2 | 4): number;
    write(port: number, size: 1 | 2 | 4, value: number): void;
  };
  /** Presses the button for a non-maskable interrupt; absent where there is none. */
  nmi?(): void;
  on<K extends keyof MachineEvents>(event: K, listener: (value: MachineEvents[K]) => void): () => void;
  /** Lines for `info qtree`, `info mtree`, ... */
  describe(topic: MachineTopic): string;
  [Symbol.asyncDispose](): Promise<void>;
}
