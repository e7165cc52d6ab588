/** What accelerators of RISC-V harts have in common beyond every accelerator. */
import type { Accelerator, Board } from './accelerator.ts';
import type { RiscvHart } from './riscv-hart.ts';
import type { Space } from './space.ts';

/** An accelerator of RISC-V harts, whose state others may run too. */
export interface RiscvAccelerator extends Accelerator {
  readonly space: Space;
  readonly harts: readonly RiscvHart[];
}

export interface AcceleratorOptions {
  /** How many. */
  readonly harts: number;
  /** Guest-physical base and size of RAM, bytes. */
  readonly ramBase: number;
  readonly ramSize: number;
  readonly board: Board;
}
