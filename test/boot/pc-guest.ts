/** What PC guests need beside `guest-console.ts`: SeaBIOS as Debian ships it, and a machine of this board. */
import { firmwareCatalogue } from '../../src/image/catalogue.ts';
import { buildInitrd } from '../../src/image/initrd.ts';
import type { MachineConfig } from '../../src/machine/config.ts';
import { GuestConsole, guestFiles } from './guest-console.ts';

const MIB = 2 ** 20;
/** A boot under the interpreter on a busy machine, s. */
export const PATIENCE = 300;
export const PROMPT = /:~# /;

const seabios = await guestFiles('pc-firmware', firmwareCatalogue);
const linux = await guestFiles('x86_64');
/** Why a test that needs firmware and Debian's kernel cannot run. */
export const skip = seabios.skip ?? linux.skip;

const taken = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error('the test should have been skipped');
  return value;
};

/** SeaBIOS and its video BIOS, by the names that boards look for. */
export async function seabiosRoms(): Promise<Record<string, Uint8Array>> {
  const files = taken(seabios.files);
  const names = ['bios-256k.bin', 'vgabios-stdvga.bin'];
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await files.read(name)])));
}

/** Debian's cloud kernel and a ramdisk with busybox. */
export async function cloudLinux(): Promise<Pick<MachineConfig, 'kernel' | 'initrd' | 'append'>> {
  const files = taken(linux.files);
  return {
    kernel: await files.read('kernel'),
    initrd: buildInitrd({ busybox: await files.read('busybox') }),
    append: 'console=ttyS0 panic=-1',
  };
}

/** A q35 unless `config` says otherwise. */
export function bootPc(config: Partial<MachineConfig>): Promise<GuestConsole> {
  return GuestConsole.boot({
    machine: 'q35',
    cpu: { model: 'qemu64', features: {} },
    memory: 512 * MIB,
    ...config,
  });
}
