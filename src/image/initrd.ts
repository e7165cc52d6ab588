/**
 * Builds the initial ramdisk of the small guest: busybox and an init script,
 * as an uncompressed cpio archive (1.6 MB: unpacking gzip costs the guest more
 * than reading it does).
 */
import { base64, utf8 } from '../bits/text.ts';
import { type CpioEntry, characterDevice, directory, file, symlink, writeCpio } from './cpio.ts';
import { banner, fstab, initScript, lateScript, profile } from './init-script.ts';

export interface InitrdOptions {
  /** A static busybox for the guest's CPU. */
  readonly busybox: Uint8Array;
  /** More files, at paths without a leading slash; their directories must exist or be among them. */
  readonly extra?: readonly CpioEntry[];
}

const DIRECTORIES = ['bin', 'sbin', 'usr', 'usr/bin', 'usr/sbin', 'proc', 'sys', 'dev', 'etc', 'mnt', 'root', 'run'];

export function buildInitrd(options: InitrdOptions): Uint8Array {
  return writeCpio([
    ...DIRECTORIES.map((path) => directory(path, path === 'root' ? 0o700 : 0o755)),
    directory('tmp', 0o1777),
    // The kernel opens the console for init before anything is mounted.
    characterDevice('dev/console', 5, 1),
    file('bin/busybox', options.busybox, 0o755),
    symlink('bin/sh', 'busybox'),
    // No empty field: busybox 1.35 would skip it.
    file('etc/passwd', 'root:x:0:0:root:/root:/bin/sh\n'),
    file('etc/group', 'root:x:0:\n'),
    file('etc/fstab', fstab),
    file('etc/rc.late', lateScript),
    file('etc/motd', banner),
    file('etc/profile', profile),
    file('init', initScript, 0o755),
    ...(options.extra ?? []),
  ]);
}

export interface CommandLineOptions {
  /** `ttyS0` */
  readonly console: string;
  readonly terminal?: { readonly rows: number; readonly columns: number; readonly type?: string };
  /** A shell script to run instead of an interactive shell. */
  readonly exec?: string;
  /** Anything else for the kernel. */
  readonly extra?: string;
}

/** The kernel command line that goes with this ramdisk. */
export function commandLine(options: CommandLineOptions): string {
  const words = [`console=${options.console}`, 'panic=-1'];
  if (options.terminal !== undefined) {
    const { rows, columns, type } = options.terminal;
    words.push(`trapframe.rows=${rows}`, `trapframe.cols=${columns}`);
    if (type !== undefined && /^[a-z0-9][a-z0-9+.-]*$/.test(type)) words.push(`trapframe.term=${type}`);
  }
  if (options.exec !== undefined) words.push(`trapframe.exec=${base64(utf8(options.exec))}`);
  if (options.extra !== undefined && options.extra !== '') words.push(options.extra);
  return words.join(' ');
}
