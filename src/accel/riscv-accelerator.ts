/** What accelerators of RISC-V harts have in common beyond every accelerator. */
import type { Accelerator, Board, Vcpu } from './accelerator.ts';
import type { CompilerPort } from './jit/compiler-port.ts';
import type { RiscvHart } from './riscv-hart.ts';
import type { Space } from './space.ts';

export interface RiscvVcpu extends Vcpu {
  /** The state that it runs from, which other accelerators may run from too. */
  readonly hart: RiscvHart;
}

export interface RiscvAccelerator extends Accelerator {
  readonly space: Space;
  readonly vcpus: readonly RiscvVcpu[];
}

export interface AcceleratorOptions {
  /** How many. */
  readonly harts: number;
  /** Guest-physical base and size of RAM, bytes. */
  readonly ramBase: number;
  readonly ramSize: number;
  readonly board: Board;
  /** A compiler in another thread for the JIT. */
  readonly compiler?: () => CompilerPort | undefined;
  /** Runs `make`; WebAssembly modules made in it are optimised after few calls. */
  readonly hot?: <T>(make: () => T) => T;
}
