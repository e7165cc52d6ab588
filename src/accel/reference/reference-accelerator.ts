/** The reference accelerator of a whole machine: one evaluator a CPU. */
import type { AcceleratorOptions, Board, SpaceAccelerator } from '../accelerator.ts';
import type { Isa } from '../../isa/isa.ts';
import { CpuState } from '../cpu-state.ts';
import { Space } from '../space.ts';
import { ReferenceVcpu, SCRATCH } from './reference.ts';

/** Where the first CPU's state lies in a space made here; address 0 stays unused. */
const FIRST_CPU = 4096;

export interface ReferenceParts {
  readonly space: Space;
  readonly states: readonly CpuState[];
  readonly board: Board;
  /** Told of every store to memory: another accelerator on the same space may have translated what was there. */
  readonly onWritten?: (address: number, length: number) => void;
}

export class ReferenceAccelerator implements SpaceAccelerator {
  readonly name = 'reference';
  readonly isa: Isa;
  readonly space: Space;
  readonly ram: Uint8Array;
  readonly vcpus: readonly ReferenceVcpu[];

  /** On a space and states that exist, perhaps another accelerator's. */
  constructor({ space, states, board, onWritten = () => {} }: ReferenceParts) {
    this.space = space;
    this.isa = states[0].isa;
    this.ram = space.ramBytes();
    this.vcpus = states.map((state) => new ReferenceVcpu(state, board, onWritten));
  }

  /** With a space of its own. */
  static create(options: AcceleratorOptions): ReferenceAccelerator {
    const { isa, cpus, board } = options;
    const stride = Math.ceil((isa.stateSize + SCRATCH) / 64) * 64;
    const space = new Space(FIRST_CPU + cpus * stride, options);
    const states = Array.from(
      { length: cpus },
      (_, index) => new CpuState(isa, space, index, FIRST_CPU + index * stride),
    );
    return new ReferenceAccelerator({ space, states, board });
  }

  written(): void {} // nothing that is in RAM is kept elsewhere

  close(): void {}
}
