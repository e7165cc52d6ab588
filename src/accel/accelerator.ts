/**
 * What an accelerator is to a machine: something that runs a vCPU from its
 * state in shared memory.
 *
 * Invariant: between two calls of `run` the whole architectural state of the
 * vCPU is in memory, so another accelerator can go on from it.
 */
import type { CodeStore } from './code-store.ts';
import type { Doorbells } from '../hw/bus.ts';
import type { IrqLine } from '../hw/device.ts';
import type { Isa } from '../isa/isa.ts';
import type { CpuState } from './cpu-state.ts';
import type { CompilerPort } from './jit/compiler-port.ts';
import type { MemoryShape, Space } from './space.ts';

/** Where a vCPU reaches the board. All addresses are guest-physical, below 2^53. */
export interface Board {
  /** The value zero-extended, or undefined where nothing answers (the CPU raises an access fault). */
  mmioRead(address: number, size: 1 | 2 | 4): number | undefined;
  mmioWrite(address: number, size: 1 | 2 | 4, value: number): boolean;
  /** Nanoseconds of the machine's clock. */
  now(): number;
  /** Does something as if this vCPU ran: devices that are a vCPU's own answer it. */
  as?<T>(cpu: number, what: () => T): T;
  /**
   * A firmware call that the board answers itself (RISC-V: `ecall` from S-mode
   * under the built-in SBI). The arguments are in the vCPU's registers.
   */
  firmwareCall?(cpu: number): void;
  /** Port I/O; the value zero-extended. */
  portRead?(port: number, size: 1 | 2 | 4): number;
  portWrite?(port: number, size: 1 | 2 | 4, value: number): void;
  /** Acknowledges the interrupt pending at a CPU: its vector, or a negative number when there is none any more. */
  acknowledge?(cpu: number): number;
  /** Device registers that only say that there is something to look at; `mapVersion` changes when they move. */
  doorbells?(): readonly Doorbells[];
  mapVersion?(): number;
  /** What is rare and the board's: the Isa says what the numbers mean. */
  hostCall?(cpu: number, number: number, a: number, b: number): number;
}

/** Why `run` came back. */
export type Exit =
  /** The budget is used up or the board asked for attention. */
  | { readonly kind: 'budget' }
  /** The vCPU waits for an interrupt; `deadline` is its own earliest timer in ns, or Infinity. */
  | { readonly kind: 'halt'; readonly deadline: number }
  /** A breakpoint or single step. */
  | { readonly kind: 'debug' }
  /** It goes on in a thread of its own, and asks for another run (`Accelerator.onBack`) when it is back. */
  | { readonly kind: 'away' }
  /** Stopped by firmware or not started yet (SBI HSM, PSCI). */
  | { readonly kind: 'stopped' };

export interface Vcpu {
  readonly index: number;
  /** Interrupt inputs by number (RISC-V: the bit of `mip`). */
  irq(input: number): IrqLine;
  /**
   * Runs about `instructions` instructions; comes back earlier when `kick` was called. Where instructions cannot be
   * counted it runs for about `ms` milliseconds.
   */
  run(instructions: number, ms?: number): Exit;
  /** Makes a running or the next `run` come back at the next opportunity. */
  kick(): void;
  /** Executes exactly one instruction (or takes one interrupt). */
  step(): Exit;
  reset(): void;
  /** Architectural registers by the spec's names (`pc`, `x5`, `f3`, `mstatus`, ...). */
  readRegister(name: string): bigint;
  writeRegister(name: string, value: bigint): void;
  registerNames(): readonly string[];
  /** Instructions retired since reset. */
  readonly instructions: number;
  /** Translates a virtual address as the vCPU's data accesses would now; undefined when unmapped. */
  translate(virtual: bigint): number | undefined;
  /** Comes back from its thread; absent where there is none. */
  park?(): void;
  /** The host's number of the thread that runs it now, where that is one of its own. */
  readonly hostThread?: number | undefined;
  /** Drops every cached translation: another vCPU's fence. Absent where none is cached. */
  flushTranslations?(): void;
}

export interface Accelerator {
  readonly name: 'reference' | 'jit' | 'kvm';
  /** Guest RAM as bytes. */
  readonly ram: Uint8Array;
  readonly vcpus: readonly Vcpu[];
  /** Bytes of guest memory were changed by someone else than a vCPU (DMA, loader, debugger). */
  written(address: number, length: number): void;
  /** Called when a vCPU that was away is back; to be set by whoever runs vCPUs. */
  onBack?: (vcpu: number) => void;
  /** Another accelerator takes over: everything it needs stands in memory afterwards. */
  suspended?(): void;
  /** This one takes over; `refresh` of each vCPU follows. */
  resumed?(): void;
  /** The machine's clock goes on; it is going to stand still. Absent where no counter runs beside it. */
  startTime?(): void;
  stopTime?(): void;
  /**
   * An accelerator whose vCPUs write to memory without telling: has writes noted from here on, and no more after
   * `writes`, which calls `written` for each range that was written, and gives false where it does not know.
   */
  noteWrites?(): void;
  writes?(written: (address: number, length: number) => void): boolean;
  /** All of guest memory may have been changed by another accelerator. Absent where nothing is kept of it. */
  forget?(): void;
  /** What it has made of the guest's code, a line each, for people. */
  describe?(): readonly string[];
  close(): void;
}

/** A vCPU that runs from a state in a space. */
export interface StateVcpu extends Vcpu {
  /** Other accelerators may run from it too. */
  readonly state: CpuState;
  /** The state was written from outside: recomputes what follows from it. */
  refresh(): void;
  /**
   * Brings the state in memory up to date, where a vCPU keeps it elsewhere between two runs. Whoever is going to read
   * or write the state calls this first; absent where it always is. Interrupt lines and `stopped` always are.
   */
  sync?(): void;
}

/** An accelerator that runs from a space. */
export interface SpaceAccelerator extends Accelerator {
  readonly isa: Isa;
  readonly space: Space;
  readonly vcpus: readonly StateVcpu[];
}

export interface AcceleratorOptions extends MemoryShape {
  readonly isa: Isa;
  /** How many CPUs. */
  readonly cpus: number;
  readonly board: Board;
  /** How often a place is executed before the JIT compiles it; the default is what boots systems fastest. */
  readonly compileAfter?: number | undefined;
  /** A compiler in another thread for the JIT; without it regions are compiled where they are needed. */
  readonly compiler?: (() => CompilerPort | undefined) | undefined;
  /** Runs `make`; WebAssembly modules made in it are optimised after few calls. */
  readonly hot?: (<T>(make: () => T) => T) | undefined;
  readonly codeStore?: CodeStore | undefined;
}
