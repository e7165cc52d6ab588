/**
 * The initial ramdisk of the benchmarks: busybox with a shell at its prompt, and the suite.
 *
 * Spec: Linux, "initramfs buffer format" (the "newc" variant of cpio).
 */

export interface Entry {
  readonly name: string;
  /** A file's content or a link's target; a folder has none. */
  readonly data?: Uint8Array | string;
  readonly mode: number;
}

const FOLDER = 0o40755;
const EXECUTABLE = 0o100755;
const LINK = 0o120777;

const INIT = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root TERM=linux PS1='guest# '
exec setsid cttyhack sh -i
`;

/** A cpio archive. Names are relative and parents come before their children. */
export function cpio(entries: readonly Entry[]): Uint8Array {
  const parts: Buffer[] = [];
  const pad = (length: number): void => {
    parts.push(Buffer.alloc(-length & 3));
  };
  [...entries, { name: 'TRAILER!!!', mode: 0 }].forEach(({ name, data, mode }, index) => {
    const body = Buffer.from(data ?? []);
    const links = mode === FOLDER ? 2 : 1;
    // inode, mode, uid, gid, links, mtime, size, device, special device, length of the name, checksum
    const fields = [index + 1, mode, 0, 0, links, 0, body.length, 0, 0, 0, 0, name.length + 1, 0];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}${name}\0`;
    parts.push(Buffer.from(header, 'latin1'));
    pad(header.length);
    parts.push(body);
    pad(body.length);
  });
  return Buffer.concat(parts);
}

/** The ramdisk; programs by their path, e.g. `suite`. */
export function benchInitrd(busybox: Uint8Array, programs: Readonly<Record<string, Uint8Array>>): Uint8Array {
  const folders = ['bin', 'dev', 'etc', 'proc', 'root', 'sys', 'tmp'];
  return cpio([
    ...folders.map((name) => ({ name, mode: FOLDER })),
    { name: 'bin/busybox', data: busybox, mode: EXECUTABLE },
    { name: 'bin/sh', data: 'busybox', mode: LINK },
    { name: 'init', data: INIT, mode: EXECUTABLE },
    ...Object.entries(programs).map(([name, data]) => ({ name, data, mode: EXECUTABLE })),
  ]);
}
