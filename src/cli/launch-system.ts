/**
 * The system emulator behind `trapframe-system-ARCH` and `trapframe start`:
 * QEMU's command line in, an exit code out.
 */
import { HostError } from '../bits/errors.ts';

export async function systemMain(arch: string, argv: readonly string[]): Promise<number> {
  // The machine's run loop is being written; this is where it is called.
  throw new HostError(
    'not-wired',
    `the ${arch} machine cannot run yet (${argv.length} options)`,
    'wait for the run loop to land',
  );
}
