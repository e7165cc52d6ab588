/**
 * The system emulator behind `trapframe-system-ARCH` and `trapframe start`:
 * QEMU's command line in, an exit code out.
 */
import { main } from './main-system.ts';

export function systemMain(arch: string, argv: readonly string[]): Promise<number> {
  return main(argv, arch);
}
