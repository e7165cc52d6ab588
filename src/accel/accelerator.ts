/**
 * What an accelerator is to a machine: something that runs a vCPU from its
 * state in shared memory. No instruction set appears here.
 *
 * Invariant: between two calls of `run` the whole architectural state of the
 * vCPU is in memory, so another accelerator can go on from it.
 */
import type { IrqLine } from '../hw/device.ts';

/** Where a vCPU reaches the board. All addresses are guest-physical, below 2^53. */
export interface Board {
  /** The value zero-extended, or undefined where nothing answers (the CPU raises an access fault). */
  mmioRead(address: number, size: 1 | 2 | 4): number | undefined;
  mmioWrite(address: number, size: 1 | 2 | 4, value: number): boolean;
  /** Nanoseconds of the machine's clock. */
  now(): number;
  /**
   * A firmware call that the board answers itself (RISC-V: `ecall` from S-mode
   * under the built-in SBI). The arguments are in the vCPU's registers.
   */
  firmwareCall?(vcpu: Vcpu): void;
}

/** Why `run` came back. */
export type Exit =
  /** The budget is used up or the board asked for attention. */
  | { readonly kind: 'budget' }
  /** The vCPU waits for an interrupt; `deadline` is its own earliest timer in ns, or Infinity. */
  | { readonly kind: 'halt'; readonly deadline: number }
  /** A breakpoint or single step. */
  | { readonly kind: 'debug' }
  /** Stopped by firmware or not started yet (SBI HSM, PSCI). */
  | { readonly kind: 'stopped' };

export interface Vcpu {
  readonly index: number;
  /** Interrupt inputs by number (RISC-V: the bit of `mip`). */
  irq(input: number): IrqLine;
  /** Runs about `instructions` instructions; comes back earlier when `kick` was called. */
  run(instructions: number): Exit;
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
  /** Drops every cached translation: another vCPU's fence. Absent where none is cached. */
  flushTranslations?(): void;
}

export interface RamRegion {
  /** Guest-physical base and size, bytes, multiples of 4096. */
  readonly base: number;
  readonly size: number;
}

export interface Accelerator {
  readonly name: 'reference' | 'jit' | 'kvm';
  /** Guest RAM as bytes; index 0 is `ram.base`. */
  readonly ram: Uint8Array;
  readonly vcpus: readonly Vcpu[];
  /** Bytes of guest memory were changed by someone else than a vCPU (DMA, loader, debugger). */
  written(address: number, length: number): void;
  close(): void;
}
