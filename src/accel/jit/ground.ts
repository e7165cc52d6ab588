/** A space with room for the JIT's tables, and its processors' states: what any accelerator can run on. */
import type { AcceleratorOptions } from '../accelerator.ts';
import { CpuState } from '../cpu-state.ts';
import { type MemoryShape, Space } from '../space.ts';
import { jitLayout } from './layout.ts';

export interface Ground {
  readonly space: Space;
  readonly states: readonly CpuState[];
}

export function jitGround({ isa, cpus, ...shape }: Pick<AcceleratorOptions, 'isa' | 'cpus'> & MemoryShape): Ground {
  const layout = jitLayout(isa, cpus, shape);
  const space = new Space(layout.end, shape);
  const states = Array.from({ length: cpus }, (_, n) => new CpuState(isa, space, n, layout.cpu(n)));
  return { space, states };
}
