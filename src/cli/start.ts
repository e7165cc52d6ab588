/**
 * `trapframe start`: from nothing to a Linux shell. Gets the guest's files,
 * builds its initial ramdisk and hands QEMU's command line for it to the system
 * emulator, so that the two front ends behave alike.
 */
import { parseArgs } from 'node:util';
import { ConfigError } from '../bits/errors.ts';
import { type CpioEntry, file } from '../image/cpio.ts';
import { EXIT_PORT, exitProgram } from '../image/exit-program.ts';
import { ensureGuest, storeName } from '../image/guest-files.ts';
import { buildInitrd, commandLine } from '../image/initrd.ts';
import type { ImageHost } from '../image/ports.ts';
import { imageHost } from './start-images.ts';

/** Runs a system emulator with QEMU's command line (without the program's name); resolves to its exit code. */
export type RunSystem = (arch: string, argv: readonly string[]) => Promise<number>;

/** The terminal that the user sits at; undefined when there is none. */
export interface Terminal {
  readonly rows: number;
  readonly columns: number;
  readonly type: string | undefined;
}

const HELP = `Usage: trapframe start [OPTION...] [-- SYSTEM-OPTION...]

Boots a small Linux and leaves you at its shell. What is missing is fetched from
Debian's archive first, checked, and kept for the next time. Without a terminal
it boots, runs a command and powers off.

  --arch ARCH      the guest's architecture: x86_64, i386 or riscv64 (default: x86_64)
  --memory SIZE    RAM (default: 512M)
  --cpus N         virtual CPUs (default: 1)
  --accel NAME     auto, kvm, jit, reference, or several as in kvm:jit (default: auto)
  --exec COMMAND   run this in the guest's shell, power off and exit with its status
  --kernel FILE    boot this kernel instead
  --initrd FILE    use this initial ramdisk instead
  --append TEXT    more words for the kernel's command line
  --no-fetch       use only what was fetched before
  --print-command  print the command line of the system emulator and stop
  -h, --help       this text

Everything after -- goes to trapframe-system-ARCH as it is, e.g. -- -d in_asm.
Keys: Ctrl-a x leaves, Ctrl-a c switches to the monitor, Ctrl-a h lists the rest.
`;

const OPTIONS = {
  arch: { type: 'string', default: 'x86_64' },
  memory: { type: 'string', default: '512M' },
  cpus: { type: 'string', default: '1' },
  accel: { type: 'string', default: 'auto' },
  exec: { type: 'string' },
  kernel: { type: 'string' },
  initrd: { type: 'string' },
  append: { type: 'string' },
  'no-fetch': { type: 'boolean', default: false },
  'print-command': { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

/** What runs in the guest when nobody can type. */
export const UNATTENDED = 'uname -a; cat /proc/cpuinfo; free; echo "no terminal: powering off"';

export interface StartContext {
  readonly run: RunSystem;
  readonly terminal: Terminal | undefined;
  /** Makes the host of the images; a parameter for tests. */
  readonly images?: (offline: boolean) => ImageHost;
  readonly print?: (text: string) => void;
}

/** The board that a guest is booted on. */
interface Board {
  readonly options: readonly string[];
  /** What its ramdisk holds besides. */
  readonly files: readonly CpioEntry[];
  /** The command's exit status, from the system emulator's. */
  status(code: number): number;
}

/** `isa-debug-exit` ends a PC with an odd code, 2 v + 1, for a value v that is not 0 here; init writes the status. */
const PC: Board = {
  options: ['-M', 'q35', '-device', `isa-debug-exit,iobase=${EXIT_PORT},iosize=1`],
  files: [file('sbin/machine-exit', exitProgram(), 0o755)],
  status: (code) => (code >= 3 && code % 2 === 1 ? code >> 1 : code),
};
/** The virt board's test device takes the status as it is. */
const VIRT: Board = { options: ['-M', 'virt'], files: [], status: (code) => code };

const BOARDS: Readonly<Record<string, Board>> = { x86_64: PC, i386: PC, riscv64: VIRT };

export async function startMain(argv: readonly string[], context: StartContext): Promise<number> {
  const separator = argv.indexOf('--');
  const own = separator < 0 ? argv : argv.slice(0, separator);
  const passed = separator < 0 ? [] : argv.slice(separator + 1);
  const values = parseOwn(own);
  const print = context.print ?? ((text) => void process.stdout.write(text));
  if (values.help) {
    print(HELP);
    return 0;
  }
  const board = Object.hasOwn(BOARDS, values.arch) ? BOARDS[values.arch] : undefined;
  if (board === undefined) {
    const known = Object.keys(BOARDS).join(', ');
    throw new ConfigError('no-such-guest', `there is no guest for ${values.arch}`, `choose one of: ${known}`);
  }
  const host = (context.images ?? imageHost)(values['no-fetch']);
  const files = await bootFiles(host, values.arch, board.files, values.kernel, values.initrd);
  const isAttended = context.terminal !== undefined && values.exec === undefined;
  const append = commandLine({
    console: 'ttyS0',
    terminal: context.terminal,
    exec: isAttended ? undefined : (values.exec ?? UNATTENDED),
    extra: values.append,
  });
  const command = [
    ...[...board.options, '-m', values.memory, '-smp', values.cpus, '-accel', values.accel],
    ...['-kernel', files.kernel, '-initrd', files.initrd, '-append', append, '-nographic', '-no-reboot'],
    ...passed,
  ];
  if (values['print-command']) {
    print(`trapframe-system-${values.arch} ${command.map(quote).join(' ')}\n`);
    return 0;
  }
  return board.status(await context.run(values.arch, command));
}

function parseOwn(own: readonly string[]) {
  try {
    return parseArgs({ args: [...own], options: OPTIONS }).values;
  } catch (error) {
    throw new ConfigError(
      'bad-option',
      error instanceof Error ? error.message.split('. ')[0] : String(error),
      'see trapframe start --help; options of the system emulator go behind --',
    );
  }
}

/** Paths of the kernel and the ramdisk; fetches and builds what the user did not name. */
async function bootFiles(
  host: ImageHost,
  arch: string,
  extra: readonly CpioEntry[],
  kernel: string | undefined,
  initrd: string | undefined,
) {
  if (kernel !== undefined && initrd !== undefined) return { kernel, initrd };
  const guest = await ensureGuest(host, arch, Date.now());
  return {
    kernel: kernel ?? host.store.locate(storeName(arch, 'kernel')),
    initrd: initrd ?? (await keepInitrd(host, arch, buildInitrd({ busybox: await guest.read('busybox'), extra }))),
  };
}

/** The ramdisk as a file, written only when it has changed. */
async function keepInitrd(host: ImageHost, arch: string, content: Uint8Array): Promise<string> {
  const name = storeName(arch, 'initrd');
  const before = await host.store.read(name);
  if (before === undefined || !isEqual(before, content)) await host.store.write(name, content);
  return host.store.locate(name);
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
