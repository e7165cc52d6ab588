/**
 * npm's v86 as a contestant: a program that boots a Linux kernel with v86's own
 * loader and puts its serial port on standard output, and what that needs.
 *
 * v86 is installed beside this file when it is wanted first (bench/v86/): no one
 * else needs its 18 MB. SeaBIOS is Debian's, as for the others.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { imageHost } from '../src/cli/start-images.ts';
import { firmwareCatalogue } from '../src/image/catalogue.ts';
import { ensureGuest, storeName } from '../src/image/guest-files.ts';

const FOLDER = resolve(import.meta.dirname, 'v86');
const BUILD = join(FOLDER, 'node_modules', 'v86', 'build');
const FIRMWARE = 'pc-firmware';
const MIB = 2 ** 20;

/** What of v86 is used here. */
interface V86Machine {
  add_listener(event: 'serial0-output-byte', listener: (byte: number) => void): void;
  serial0_send(text: string): void;
}
interface V86Module {
  readonly V86: new (options: Readonly<Record<string, unknown>>) => V86Machine;
}

/** How to start it; the kernel's path, the ramdisk's and the command line follow. `note` says why it cannot. */
export async function prepareV86(): Promise<{ command: string; args: readonly string[]; note?: string }> {
  if (!existsSync(BUILD)) {
    const npm = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
    spawnSync('npm', npm, { cwd: FOLDER, stdio: 'inherit', shell: process.platform === 'win32' });
  }
  const command = process.execPath;
  if (!existsSync(BUILD)) return { command, args: [], note: `v86 is not run: run npm ci in ${FOLDER}` };
  const host = imageHost(false);
  await ensureGuest(host, FIRMWARE, Date.now(), { catalogue: firmwareCatalogue });
  const roms = ['bios.bin', 'vgabios-stdvga.bin'].map((name) => host.store.locate(storeName(FIRMWARE, name)));
  return { command, args: [join(import.meta.dirname, 'v86.ts'), ...roms] };
}

function file(path: string): { buffer: ArrayBuffer } {
  const bytes = readFileSync(path);
  return { buffer: new Uint8Array(bytes).buffer };
}

async function boot([bios, vgaBios, kernel, initrd, append]: readonly string[]): Promise<void> {
  const { V86 } = (await import(pathToFileURL(join(BUILD, 'libv86.mjs')).href)) as V86Module;
  const machine = new V86({
    wasm_path: join(BUILD, 'v86.wasm'),
    memory_size: 512 * MIB,
    vga_memory_size: 8 * MIB,
    bios: file(bios),
    vga_bios: file(vgaBios),
    bzimage: file(kernel),
    initrd: file(initrd),
    cmdline: append,
    autostart: true,
    disable_keyboard: true,
    disable_mouse: true,
    disable_speaker: true,
  });
  machine.add_listener('serial0-output-byte', (byte) => void process.stdout.write(Uint8Array.of(byte)));
  process.stdin.on('data', (chunk: Buffer) => machine.serial0_send(chunk.toString('latin1')));
}

if (import.meta.main) await boot(process.argv.slice(2));
