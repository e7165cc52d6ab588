/**
 * The system emulator behind `trapframe-system-ARCH` and `trapframe start`:
 * QEMU's command line in, an exit code out.
 */
import { isaOfArch } from '../accel/isas.ts';
import { prepareCompiler } from '../host/node/jit-compiler.ts';

export async function systemMain(arch: string, argv: readonly string[]): Promise<number> {
  // The compiler's thread gets ready while this one loads the rest; a machine that wants none leaves it alone.
  if (
    argv.some((word) => /^--?(kernel|bios)$/.test(word)) &&
    !argv.some((word) => /^(reference|kvm|-?-enable-kvm)\b/.test(word))
  )
    prepareCompiler(isaOfArch(arch));
  const { main } = await import('./main-system.ts');
  return main(argv, arch);
}
