/**
 * A machine's life as its embedders see it: the command line, the monitor,
 * QMP and the public API all stand on this interface.
 */

/** QMP's run states, as far as they occur here. */
export type RunState = 'prelaunch' | 'running' | 'paused' | 'shutdown' | 'internal-error' | 'debug';

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
  /** The machine is off. `code` is the exit code a command line should end with. */
  shutdown: { readonly cause: ShutdownCause; readonly code: number };
  /** The guest rebooted. */
  reset: { readonly cause: ShutdownCause };
}

export interface VcpuView {
  readonly index: number;
  readonly instructions: number;
  readonly halted: boolean;
  registerNames(): readonly string[];
  readRegister(name: string): bigint;
  writeRegister(name: string, value: bigint): void;
  translate(virtual: bigint): number | undefined;
}

export interface MachineApi {
  readonly name: string;
  readonly state: RunState;
  readonly vcpus: readonly VcpuView[];
  readonly accelerator: string;
  /** Starts a fresh machine or resumes a paused one. */
  start(): void;
  pause(): Promise<void>;
  resume(): void;
  /** System reset, as the reset button does. */
  reset(): void;
  /** Presses the power button. */
  powerdown(): void;
  /** Ends the machine; resolves when everything is closed. */
  stop(cause?: ShutdownCause): Promise<void>;
  /** Guest-physical memory; undefined where there is no RAM. */
  readMemory(address: number, length: number): Uint8Array | undefined;
  writeMemory(address: number, data: Uint8Array): boolean;
  on<K extends keyof MachineEvents>(event: K, listener: (value: MachineEvents[K]) => void): () => void;
  /** Lines for `info qtree`, `info mtree`, ... */
  describe(topic: 'qtree' | 'mtree' | 'block' | 'chardev' | 'jit'): string;
  [Symbol.asyncDispose](): Promise<void>;
}
