/**
 * Where the executables of bin/ arrive once a Node that can run this is found:
 * picks the command, turns failures into one line and an exit code.
 */
import { ConfigError, TrapframeError } from '../bits/errors.ts';
import { letV8GiveWay } from '../host/node/background.ts';
import type { Terminal } from './start.ts';

const HELP = `Usage: trapframe COMMAND [OPTION...]

  start    boot a small Linux and leave you at its shell
  images   what was fetched for it: list, fetch, path, clean
  system   the system emulator with QEMU's options: trapframe system riscv64 -M virt ...
  doctor   what this host offers, what machines will use, and what mends the rest
  help     this text; COMMAND --help tells more
  version  the version

Also: trapframe-system-riscv64, -x86_64 and -i386, which take the command lines of
qemu-system-riscv64, -x86_64 and -i386.
`;

/** Runs a program by its name; resolves to the process's exit code. */
export async function launch(program: string, argv: readonly string[]): Promise<number> {
  try {
    const system = /^trapframe-system-(\w+)$/.exec(program);
    return await (system === null ? command(argv) : runSystem(system[1], argv));
  } catch (error) {
    process.stderr.write(`${program}: ${describe(error)}\n`);
    return 1;
  }
}

async function command([name = 'help', ...rest]: readonly string[]): Promise<number> {
  switch (name) {
    case 'start': {
      const { startMain } = await import('./start.ts');
      return startMain(rest, { run: runSystem, terminal: userTerminal() });
    }
    case 'images': {
      const { imagesMain } = await import('./start-images.ts');
      return imagesMain(rest);
    }
    case 'doctor': {
      const { doctorMain } = await import('./doctor.ts');
      const { stdout } = process;
      const colour = stdout.isTTY === true && !process.env['NO_COLOR'];
      return doctorMain(rest, { print: (text) => stdout.write(text), colour });
    }
    case 'system': {
      const [arch, ...options] = rest;
      if (arch === undefined)
        throw new ConfigError('no-arch', 'which architecture?', 'say trapframe system riscv64 ...');
      return runSystem(arch, options);
    }
    case 'help':
    case '--help':
    case '-h':
      process.stdout.write(HELP);
      return 0;
    case 'version':
    case '--version': {
      const { version } = await import('./version.ts');
      process.stdout.write(`trapframe ${version()}\n`);
      return 0;
    }
    default:
      throw new ConfigError('unknown-command', `there is no command "${name}"`, 'see trapframe help');
  }
}

const ARCHITECTURES: readonly string[] = ['riscv64', 'x86_64', 'i386'];

async function runSystem(arch: string, argv: readonly string[]): Promise<number> {
  letV8GiveWay();
  if (!ARCHITECTURES.includes(arch)) {
    throw new ConfigError(
      'unknown-arch',
      `there is no emulator for ${arch}`,
      `choose one of: ${ARCHITECTURES.join(', ')}`,
    );
  }
  const { systemMain } = await import('./launch-system.ts');
  return systemMain(arch, argv);
}

function userTerminal(): Terminal | undefined {
  const { stdin, stdout } = process;
  if (!stdin.isTTY || !stdout.isTTY) return undefined;
  // A terminal without a size (a serial line) says 0.
  return { rows: stdout.rows || 24, columns: stdout.columns || 80, type: process.env['TERM'] };
}

function describe(error: unknown): string {
  if (error instanceof TrapframeError) return error.message;
  if (error instanceof Error) return `${error.stack ?? error.message}\nThis is a defect: please report it.`;
  return String(error);
}
