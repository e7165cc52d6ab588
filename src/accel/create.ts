/**
 * Builds accelerators by name. All of a machine's accelerators may stand on one
 * space and one set of harts, so that a running machine can be handed over.
 */
import type { AcceleratorOptions, RiscvAccelerator } from './riscv-accelerator.ts';

// A variable while the JIT is being written, so that this file type-checks without it.
const JIT: string = './jit/jit.ts';

/** Only the accelerator that is asked for is loaded. */
export async function createAccelerator(
  kind: 'reference' | 'jit',
  options: AcceleratorOptions,
): Promise<RiscvAccelerator> {
  if (kind === 'reference') {
    const { ReferenceAccelerator } = await import('./reference/reference-accelerator.ts');
    return ReferenceAccelerator.create(options);
  }
  const { JitAccelerator } = (await import(JIT)) as {
    JitAccelerator: new (options: AcceleratorOptions) => RiscvAccelerator;
  };
  return new JitAccelerator(options);
}
