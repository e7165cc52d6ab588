/** The reference accelerator of a whole machine: one evaluator a hart. */
import type { Board } from '../accelerator.ts';
import type { AcceleratorOptions, RiscvAccelerator } from '../riscv-accelerator.ts';
import { RiscvHart } from '../riscv-hart.ts';
import { Space } from '../space.ts';
import { ReferenceVcpu } from './reference.ts';

/** Where the first hart's state lies in a space made here; address 0 stays unused. */
const FIRST_HART = 4096;

export interface ReferenceParts {
  readonly space: Space;
  readonly harts: readonly RiscvHart[];
  readonly board: Board;
  /** Told of every store to RAM: another accelerator on the same space may have translated what was there. */
  readonly onWritten?: (address: number, length: number) => void;
}

export class ReferenceAccelerator implements RiscvAccelerator {
  readonly name = 'reference';
  readonly space: Space;
  readonly ram: Uint8Array;
  readonly vcpus: readonly ReferenceVcpu[];

  /** On a space and harts that exist, perhaps another accelerator's. */
  constructor({ space, harts, board, onWritten = () => {} }: ReferenceParts) {
    this.space = space;
    this.ram = space.ramBytes();
    this.vcpus = harts.map((hart) => new ReferenceVcpu(space, hart, board, onWritten));
  }

  /** With a space of its own. */
  static create({ harts: count, ramBase, ramSize, board }: AcceleratorOptions): ReferenceAccelerator {
    const stride = Math.ceil(RiscvHart.size / 64) * 64;
    const space = new Space(FIRST_HART + count * stride, ramBase, ramSize);
    const harts = Array.from({ length: count }, (_, index) => new RiscvHart(space, index, FIRST_HART + index * stride));
    return new ReferenceAccelerator({ space, harts, board });
  }

  written(): void {} // nothing that is in RAM is kept elsewhere

  close(): void {}
}
