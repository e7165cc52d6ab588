/**
 * Trapframe's public API: machines as objects.
 *
 * ```ts
 * import { Machine } from 'trapframe';
 *
 * await using machine = await Machine.create({ memory: '512M', kernel: 'Image', append: 'console=ttyS0' });
 * machine.start();
 * for await (const bytes of machine.serial[0].readable) process.stdout.write(bytes);
 * ```
 */
import { readFile } from 'node:fs/promises';
import { ConfigError, HostError, TrapframeError } from './bits/errors.ts';
import { SerialStream } from './control/serial-stream.ts';
import type { AcceleratorName } from './accel/switching.ts';
import { size } from './cli/options-values.ts';
import type { CharBackend } from './hw/chardev.ts';
import type { Disk } from './hw/disk.ts';
import type { DisplaySource } from './hw/display.ts';
import type { Actions } from './machine/actions.ts';
import type { MachineApi, MachineEvents, MachineInput, RunState, ShutdownCause, VcpuView } from './machine/api.ts';
import type { AccelConfig, DeviceConfig, DriveConfig, MachineConfig } from './machine/config.ts';
import { PC_NAMES } from './machine/pc-names.ts';

export { ConfigError, HostError, TrapframeError };
export { SerialStream };
export type {
  AccelConfig,
  AcceleratorName,
  Actions,
  CharBackend,
  DeviceConfig,
  Disk,
  DisplaySource,
  MachineApi,
  MachineConfig,
  MachineEvents,
  MachineInput,
  RunState,
  ShutdownCause,
  VcpuView,
};

/** A path, or the content itself. */
export type FileOrBytes = string | Uint8Array;

export interface DriveOptions {
  /** Path of a raw image; or give `disk`. */
  readonly file?: string;
  readonly disk?: Disk;
  /** Name for `-device`-like entries; drive0, drive1, ... when left out. */
  readonly id?: string;
  /** How it is attached: a virtio disk unless said otherwise. */
  readonly interface?: 'virtio' | 'none' | 'pflash' | 'ide' | 'floppy';
  /** A CD-ROM. */
  readonly cdrom?: boolean;
  readonly index?: number;
  readonly readOnly?: boolean;
  /** Writes stay in memory and are forgotten. */
  readonly snapshot?: boolean;
  readonly serial?: string;
}

export interface MachineOptions {
  /** The board by QEMU's name: `virt` (RISC-V, the default), or a PC: `pc`, `q35`, `microvm`, `isapc`. */
  readonly machine?: string;
  readonly machineProperties?: Readonly<Record<string, string>>;
  /** Bytes, or `512M`, `1G`, ...; 128 MiB when left out. */
  readonly memory?: number | string;
  readonly cpus?: number;
  readonly cpu?: { readonly model?: string; readonly features?: Readonly<Record<string, boolean | string>> };
  /** The first of these that can be had; `jit` when left out. `auto`: KVM where it is the faster one. */
  readonly accel?: AccelConfig;
  /** Under KVM: stay there, however slow it is with this guest, until `switchAccelerator` is called. */
  readonly accelStay?: boolean;
  /** Under KVM: processors have threads of their own; yes with several when left out. */
  readonly accelThreads?: boolean;
  /** Under KVM, of a PC: interrupt controllers and timers in the kernel, only the processors' own, or none. */
  readonly kernelIrqchip?: 'on' | 'split' | 'off';
  /** `default` is the built-in SBI of `virt`, and SeaBIOS for a PC. */
  readonly bios?: 'none' | 'default' | { readonly file: string } | Uint8Array;
  readonly kernel?: FileOrBytes;
  readonly initrd?: FileOrBytes;
  readonly append?: string;
  readonly dtb?: FileOrBytes;
  readonly drives?: readonly DriveOptions[];
  /** As `-device`: a driver's name, or one with properties. */
  readonly devices?: readonly (string | DeviceConfig)[];
  /** Back ends that `devices` name by `chardev`, by id: `{ console: new SerialStream() }`. */
  readonly chardevs?: Readonly<Record<string, CharBackend>>;
  /** Back ends of the serial ports; one port with web streams when left out. */
  readonly serial?: readonly (CharBackend | undefined)[];
  readonly rtc?: { readonly base?: Date; readonly clock?: 'host' | 'vm' };
  readonly icount?: { readonly shift: number; readonly sleep?: boolean };
  /** End instead of rebooting. */
  readonly noReboot?: boolean;
  /** Stop instead of ending. */
  readonly noShutdown?: boolean;
  /** What is done at reboots, power-offs, panics and by watchdogs: as `-action`. */
  readonly actions?: Partial<Actions>;
  readonly fwCfg?: Readonly<Record<string, FileOrBytes>>;
  /** Whether the board brings its default devices, a graphics card among them; yes when left out. */
  readonly defaults?: boolean;
  /** The graphics card of a PC: `std` or `none`. */
  readonly vga?: 'std' | 'none';
  /**
   * Firmware that a PC looks for, by QEMU's file names: `bios-256k.bin`, `vgabios-stdvga.bin`. When left out it is
   * searched for where systems keep it, in Trapframe's cache, and then in Debian's archive.
   */
  readonly roms?: Readonly<Record<string, FileOrBytes>>;
}

/** How a machine ended. `code` is what a command line would exit with. */
export type Outcome = MachineEvents['shutdown'];

/** Builds a machine from a configuration; what tests replace. */
export type CreateMachine = (config: MachineConfig) => Promise<MachineApi>;

const createCore: CreateMachine = async (config) => {
  const [{ Machine: Core }, { NodeMachineHost }] = await Promise.all([
    import('./machine/machine.ts'),
    import('./host/node/machine-host.ts'),
  ]);
  return Core.create(config, new NodeMachineHost());
};

export class Machine implements AsyncDisposable {
  /** The serial ports that have web streams, in order. */
  readonly serial: readonly SerialStream[];
  /** Resolves when the machine is off. Never rejects. */
  readonly finished: Promise<Outcome>;
  private readonly core: MachineApi;

  private constructor(core: MachineApi, serial: readonly SerialStream[]) {
    this.core = core;
    this.serial = serial;
    this.finished = new Promise((resolve) => core.on('shutdown', resolve));
    void this.finished.then(() => {
      for (const port of serial) port.end();
    });
  }

  /**
   * Builds a machine that has not started yet. Throws ConfigError for options
   * that make no machine and HostError for files that cannot be read.
   */
  static async create(options: MachineOptions = {}, create: CreateMachine = createCore): Promise<Machine> {
    const backends = options.serial ?? [new SerialStream()];
    const drives: DriveConfig[] = [];
    try {
      const [kernel, initrd, dtb, bios, fwCfg] = await Promise.all([
        load(options.kernel),
        load(options.initrd),
        load(options.dtb),
        typeof options.bios === 'object' && !(options.bios instanceof Uint8Array)
          ? load(options.bios.file)
          : options.bios,
        loadAll(options.fwCfg ?? {}),
      ]);
      for (const drive of options.drives ?? []) drives.push(await openDrive(drive, drives.length));
      const devices = (options.devices ?? []).map((device) =>
        typeof device === 'string' ? { driver: device, properties: {} } : device,
      );
      const core = await create({
        machine: options.machine ?? 'virt',
        machineProperties: options.machineProperties,
        accel: options.accel ?? 'jit',
        accelStay: options.accelStay,
        accelThreads: options.accelThreads,
        kernelIrqchip: options.kernelIrqchip,
        cpu: {
          model: options.cpu?.model ?? (Object.hasOwn(PC_NAMES, options.machine ?? 'virt') ? 'qemu64' : 'rv64'),
          features: options.cpu?.features ?? {},
        },
        roms: options.roms ? await loadAll(options.roms) : await searchRoms(options, drives, devices),
        defaults: options.defaults,
        vga: options.vga,
        cpus: options.cpus ?? 1,
        memory:
          typeof options.memory === 'string' ? size('memory', 'memory', options.memory) : (options.memory ?? 2 ** 27),
        bios: bios ?? 'default',
        kernel,
        initrd,
        dtb,
        append: options.append,
        serials: backends,
        chardevs: Object.entries(options.chardevs ?? {}).map(([id, backend]) => ({ id, backend })),
        drives,
        devices,
        rtc: { base: options.rtc?.base?.getTime(), clock: options.rtc?.clock ?? 'host' },
        icount: options.icount && { shift: options.icount.shift, sleep: options.icount.sleep ?? true },
        noReboot: options.noReboot ?? options.actions?.reboot === 'shutdown',
        noShutdown: options.noShutdown ?? options.actions?.shutdown === 'pause',
        panic: options.actions?.panic,
        watchdog: options.actions?.watchdog,
        fwCfg,
      });
      return new Machine(
        core,
        backends.filter((backend) => backend instanceof SerialStream),
      );
    } catch (error) {
      await Promise.allSettled(drives.map(({ disk }) => disk.close()));
      throw error;
    }
  }

  get name(): string {
    return this.core.name;
  }
  get state(): RunState {
    return this.core.state;
  }
  /** The accelerator that runs it now. */
  get accelerator(): AcceleratorName {
    return this.core.accelerator;
  }
  /**
   * Moves the machine, running or not, to another accelerator, between two instructions; nothing inside notices. To KVM
   * only where `accel` named it: the machine is made so that KVM can run it. Throws ConfigError or HostError, and
   * everything stays as it was, where that one cannot be had.
   */
  switchAccelerator(name: AcceleratorName): Promise<void> {
    return this.core.switchAccelerator(name);
  }
  /** The processors: registers by the specification's names, translation of addresses. */
  get cpus(): readonly VcpuView[] {
    return this.core.vcpus;
  }

  /** Starts a fresh machine, or lets a paused one go on. */
  start(): void {
    this.core.start();
  }
  /** Resolves when the machine stands still between two instructions. */
  pause(): Promise<void> {
    return this.core.pause();
  }
  resume(): void {
    this.core.resume();
  }
  /** Presses the reset button. */
  reset(): void {
    this.core.reset();
  }
  /** Presses the power button: the guest may shut down. */
  powerdown(): void {
    this.core.powerdown();
  }
  /** Wakes a machine that its guest has suspended (state `suspended`); false where it is not. */
  wakeup(): boolean {
    return this.core.wakeup();
  }
  /** Pulls the plug; resolves when everything is closed. */
  stop(): Promise<void> {
    return this.core.stop();
  }

  /** A copy of guest-physical memory; undefined where there is no RAM. */
  readMemory(address: number, length: number): Uint8Array | undefined {
    return this.core.readMemory(address, length)?.slice();
  }
  /** False where there is no RAM; then nothing is written. */
  writeMemory(address: number, data: Uint8Array): boolean {
    return this.core.writeMemory(address, data);
  }

  /** What the first screen shows now, as a PNG file; undefined when there is no screen. */
  async screenshot(): Promise<Uint8Array | undefined> {
    const { display } = this.core;
    if (!display) return undefined;
    const { encodePng } = await import('./bits/png.ts');
    const { width, height } = display.size();
    const rgba = new Uint8Array(width * height * 4);
    display.render(rgba);
    const chunks: Uint8Array[] = [];
    for await (const chunk of encodePng({ width, height, rgba })) chunks.push(chunk);
    return new Uint8Array(Buffer.concat(chunks));
  }
  /** The first screen, for those who draw it themselves. */
  get display(): DisplaySource | undefined {
    return this.core.display;
  }
  /** Keyboard and mouse. */
  get input(): MachineInput | undefined {
    return this.core.input;
  }

  /** Calls `listener` at each event; returns how to stop that. */
  on<K extends keyof MachineEvents>(event: K, listener: (value: MachineEvents[K]) => void): () => void {
    return this.core.on(event, listener);
  }
  /** Text about a part of the machine, as the monitor's `info` shows it. */
  describe(topic: Parameters<MachineApi['describe']>[0]): string {
    return this.core.describe(topic);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.core[Symbol.asyncDispose]();
    for (const port of this.serial) port.end();
  }
}

async function load(source: FileOrBytes | undefined): Promise<Uint8Array | undefined> {
  if (source === undefined || source instanceof Uint8Array) return source;
  try {
    return new Uint8Array(await readFile(source));
  } catch (cause) {
    throw new HostError('file-not-read', `cannot read ${source}: ${(cause as Error).message}`, 'check the path', cause);
  }
}

async function loadAll(sources: Readonly<Record<string, FileOrBytes>>): Promise<Record<string, Uint8Array>> {
  const entries = Object.entries(sources).map(async ([name, source]) => [name, await load(source)] as const);
  return Object.fromEntries(await Promise.all(entries)) as Record<string, Uint8Array>;
}

/** Firmware by name for boards that look for it. */
async function searchRoms(
  { machine = 'virt', bios = 'default', defaults = true, vga }: MachineOptions,
  drives: readonly DriveConfig[],
  devices: readonly DeviceConfig[],
): Promise<Record<string, Uint8Array>> {
  if (!Object.hasOwn(PC_NAMES, machine)) return {};
  const { findFirmware } = await import('./cli/qemu-firmware.ts');
  return findFirmware({ machine, bios, defaults, vga, drives, devices, firmwarePaths: [] });
}

async function openDrive(options: DriveOptions, number: number): Promise<DriveConfig> {
  const { id = `drive${number}`, interface: type = 'virtio', index, serial, cdrom } = options;
  if (options.disk) return { id, disk: options.disk, interface: type, index, serial, cdrom };
  if (options.file === undefined)
    throw new ConfigError('drive-empty', `the drive ${id} has no medium`, 'give file or disk');
  const [{ NodeFile }, { RawDisk }] = await Promise.all([import('./host/node/file.ts'), import('./storage/raw.ts')]);
  const readOnly = (options.readOnly ?? false) || (options.snapshot ?? false);
  const file = await NodeFile.open(options.file, { writable: !readOnly });
  let disk: Disk = await RawDisk.open(file, { readOnly });
  if (options.snapshot && !options.readOnly) {
    const { MemoryOverlay } = await import('./storage/memory-overlay.ts');
    disk = new MemoryOverlay(disk);
  }
  return { id, disk, interface: type, index, serial, cdrom };
}
