/**
 * Builds accelerators by name. All of a machine's accelerators may stand on one
 * space and one set of CPU states, so that a running machine can be handed over.
 */
import type { AcceleratorOptions, Board, SpaceAccelerator } from './accelerator.ts';

/** Only the accelerator that is asked for is loaded. The instruction set comes from `loadIsa`. */
export async function createAccelerator(
  kind: 'reference' | 'jit',
  options: AcceleratorOptions,
): Promise<SpaceAccelerator> {
  if (kind === 'reference') {
    const { ReferenceAccelerator } = await import('./reference/reference-accelerator.ts');
    return ReferenceAccelerator.create(options);
  }
  const { JitAccelerator } = await import('./jit/jit.ts');
  return new JitAccelerator(options);
}

/**
 * The reference accelerator on the state of another one, to take a running machine over: at any time between two
 * runs. Whoever hands the machine back drops the other's translations first (`flushTranslations` of each vCPU).
 */
export async function referenceBeside(other: SpaceAccelerator, board: Board): Promise<SpaceAccelerator> {
  const { ReferenceAccelerator } = await import('./reference/reference-accelerator.ts');
  return new ReferenceAccelerator({
    space: other.space,
    states: other.vcpus.map(({ state }) => state),
    board,
    onWritten: (address, length) => other.written(address, length),
  });
}
