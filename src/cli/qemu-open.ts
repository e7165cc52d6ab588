/** From a plan to a MachineConfig: opens the files that a command line names. */
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { basename, join } from 'node:path';
import { ConfigError, HostError } from '../bits/errors.ts';
import type { Disk } from '../hw/disk.ts';
import type { DriveConfig, MachineConfig } from '../machine/config.ts';
import { gunzip, isGzip } from '../machine/loader-gzip.ts';
import { PC_NAMES } from '../machine/pc-names.ts';
import { multibootHeader } from '../machine/x86-multiboot.ts';
import type { DrivePlan, SystemPlan } from './options-plan.ts';
import { OptionError, splitCommas } from './options-values.ts';
import { firmwareNames, SYSTEM_DIRECTORIES } from './qemu-firmware.ts';

/** Everything of a MachineConfig that comes from files. */
export type OpenedFiles = Pick<
  MachineConfig,
  'bios' | 'kernel' | 'kernelName' | 'initrd' | 'modules' | 'dtb' | 'drives' | 'fwCfg' | 'roms' | 'optionRoms'
>;

/** Throws OptionError or HostError for what cannot be read. */
export async function openFiles(plan: SystemPlan): Promise<OpenedFiles> {
  const drives: DriveConfig[] = [];
  try {
    const isPc = Object.hasOwn(PC_NAMES, plan.machine);
    let kernel = plan.kernel === undefined ? undefined : image('-kernel', plan.kernel, 'could not load kernel');
    // What is inside says what -initrd means.
    if (isPc && kernel && isGzip(kernel)) kernel = await gunzip(kernel, 'kernel', plan.memory);
    const files = {
      bios:
        typeof plan.bios === 'string'
          ? plan.bios
          : firmware(
              plan.bios.file,
              [...plan.firmwarePaths, ...SYSTEM_DIRECTORIES],
              isPc ? 'could not load PC BIOS' : 'Unable to load the RISC-V firmware',
            ),
      kernel,
      kernelName: plan.kernel,
      ...ramdisk(plan.initrd, kernel),
      optionRoms: Object.fromEntries(
        plan.optionRoms.map((path) => [basename(path), image('-option-rom', path, 'could not load option ROM')]),
      ),
      roms: await roms(plan),
      dtb: plan.dtb === undefined ? undefined : image('-dtb', plan.dtb, 'could not load the device tree'),
      fwCfg: fwCfg(plan),
    };
    for (const drive of plan.drives) drives.push(await openDrive(drive));
    return { ...files, drives };
  } catch (error) {
    await closeDrives(drives);
    throw error;
  }
}

export async function closeDrives(drives: readonly DriveConfig[]): Promise<void> {
  await Promise.allSettled(drives.map(({ disk }) => disk.close()));
}

/** A ramdisk, or for a Multiboot kernel its modules: `FILE ARGUMENTS,FILE ARGUMENTS`. */
function ramdisk(text: string | undefined, kernel: Uint8Array | undefined): Pick<OpenedFiles, 'initrd' | 'modules'> {
  if (text === undefined) return {};
  const what = 'could not load ramdisk';
  if (!kernel || multibootHeader(kernel) === undefined) return { initrd: image('-initrd', text, what) };
  const modules = splitCommas(text).map((commandLine) => {
    const [path] = commandLine.trim().split(' ');
    return { data: image('-initrd', path, what), commandLine: commandLine.trim() };
  });
  return { modules };
}

async function roms(plan: SystemPlan): Promise<OpenedFiles['roms']> {
  if (firmwareNames(plan).length === 0) return undefined;
  const { findFirmware } = await import('./qemu-firmware.ts');
  return findFirmware(plan);
}

/** Larger than any memory a machine can have. */
const MAX_IMAGE = 3 * 2 ** 30;

function image(option: string, path: string, what: string): Uint8Array {
  const where = `${option} ${path}`;
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (cause) {
    throw new OptionError(where, `${what} '${path}': ${reason(cause)}`);
  }
  try {
    const stat = fstatSync(fd);
    if (stat.isDirectory()) throw new OptionError(where, `${what} '${path}': Is a directory`);
    if (stat.size > MAX_IMAGE)
      throw new OptionError(where, `${what} '${path}': ${stat.size} bytes do not fit into memory`);
    if (!stat.isFile()) return new Uint8Array(readFileSync(fd));
    // Not through Buffer's pool, and exactly as long as the file.
    const bytes = new Uint8Array(stat.size);
    let done = 0;
    while (done < bytes.length) {
      const count = readSync(fd, bytes, done, bytes.length - done, done);
      if (count === 0) break;
      done += count;
    }
    return bytes.subarray(0, done);
  } catch (cause) {
    if (cause instanceof OptionError) throw cause;
    throw new OptionError(where, `${what} '${path}': ${reason(cause)}`);
  } finally {
    closeSync(fd);
  }
}

/** Firmware by its path, or by its name in one of the directories of `-L`. */
function firmware(file: string, directories: readonly string[], what: string): Uint8Array {
  const candidates = [file, ...(file.includes('/') ? [] : directories.map((directory) => join(directory, file)))];
  let first: unknown;
  for (const path of candidates) {
    try {
      return image('-bios', path, what);
    } catch (error) {
      first ??= error;
    }
  }
  throw first;
}

function fwCfg(plan: SystemPlan): Record<string, Uint8Array> {
  const entries: Record<string, Uint8Array> = {};
  for (const { where, name, file, text } of plan.fwCfg) {
    if (Object.hasOwn(entries, name)) throw new OptionError(where, `duplicate fw_cfg file name: ${name}`);
    entries[name] = file === undefined ? new TextEncoder().encode(text) : image(where, file, "can't load");
  }
  return entries;
}

/** Magic numbers of formats that must not be taken for raw disks. */
const FORMATS: readonly (readonly [string, string])[] = [
  ['QFI\xfb', 'qcow2'],
  ['KDMV', 'vmdk'],
  ['vhdxfile', 'vhdx'],
  ['conectix', 'vpc'],
  ['QED\0', 'qed'],
];

async function openDrive(plan: DrivePlan): Promise<DriveConfig> {
  const { id, where, file: path, interface: type, index } = plan;
  const [{ NodeFile }, { RawDisk }] = await Promise.all([import('../host/node/file.ts'), import('../storage/raw.ts')]);
  try {
    const readOnly = plan.readOnly || plan.snapshot;
    const file = await NodeFile.open(path, { writable: !readOnly });
    let disk: Disk = await RawDisk.open(file, { readOnly });
    try {
      if (!plan.formatGiven) await refuseForeign(where, path, disk);
    } catch (error) {
      await disk.close();
      throw error;
    }
    if (plan.snapshot && !plan.readOnly) {
      const { MemoryOverlay } = await import('../storage/memory-overlay.ts');
      disk = new MemoryOverlay(disk);
    }
    if (plan.noFlush) disk.flush = async () => {};
    return { id, disk, interface: type, index, cdrom: plan.cdrom };
  } catch (error) {
    if (error instanceof OptionError) throw error;
    if (error instanceof HostError || error instanceof ConfigError)
      throw new OptionError(where, `Could not open '${path}': ${error.message}`);
    throw error;
  }
}

async function refuseForeign(where: string, path: string, disk: Disk): Promise<void> {
  if (disk.size < 512) return;
  const head = new Uint8Array(512);
  await disk.read(0, head);
  const text = String.fromCharCode(...head.subarray(0, 8));
  const found = FORMATS.find(([magic]) => text.startsWith(magic));
  if (found) {
    const mend = `convert it: qemu-img convert -O raw ${path} ${path}.raw; or say format=raw if it is one`;
    throw new OptionError(where, `'${path}' looks like a ${found[1]} image, and only raw ones are there yet`, mend);
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'No such file or directory',
  EACCES: 'Permission denied',
  EISDIR: 'Is a directory',
  ENOTDIR: 'Not a directory',
  EMFILE: 'Too many open files',
};

function reason(cause: unknown): string {
  const { code, message } = cause as NodeJS.ErrnoException;
  return REASONS[code ?? ''] ?? message;
}
