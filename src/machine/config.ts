/**
 * What a machine is made of, after every command line or API has been parsed
 * and every file opened. Names are QEMU's.
 */
import type { Actions } from './actions.ts';
import type { AcceleratorName } from '../accel/switching.ts';
import type { CharBackend } from '../hw/chardev.ts';
import type { Disk } from '../hw/disk.ts';
import type { Link } from '../hw/link.ts';

export interface CpuConfig {
  /** QEMU's model name: `rv64`, `max`. */
  readonly model: string;
  /** Features switched on or off: `{ sv57: false, zba: true }`. */
  readonly features: Readonly<Record<string, boolean | string>>;
}

/** One `-device driver,prop=value,...`. */
export interface DeviceConfig {
  readonly driver: string;
  readonly id?: string;
  readonly properties: Readonly<Record<string, string>>;
}

/** One drive (block back end with the way it is attached). */
export interface DriveConfig {
  readonly id: string;
  readonly disk: Disk;
  /** QEMU's `if=`: none, virtio, pflash, ide, floppy, scsi. */
  readonly interface: string;
  readonly index?: number;
  /** `media=cdrom`. */
  readonly cdrom?: boolean;
  readonly serial?: string;
}

/** A network that a card's `netdev` can name: the network holds the other end of the cable. */
export interface NetdevConfig {
  readonly id: string;
  readonly link: Link;
}

export interface ChardevConfig {
  readonly id: string;
  readonly backend: CharBackend;
}

/** A file that a Multiboot kernel gets beside itself, and what it is told about it. */
export interface BootModule {
  readonly data: Uint8Array;
  readonly commandLine: string;
}

/** What firmware is told about booting (`-boot`). */
export interface BootConfig {
  /** Letters: a floppy, c disk, d CD-ROM, n network; QEMU's `cad` when left out. */
  readonly order?: string;
  readonly menu?: boolean;
  /** Milliseconds. */
  readonly splashTime?: number;
  /** Milliseconds until a boot that found nothing is tried again; -1: never. */
  readonly rebootTimeout?: number;
}

export type AccelConfig = AcceleratorName | 'auto' | readonly AcceleratorName[];

export interface MachineConfig {
  /** `virt` */
  readonly machine: string;
  /** Machine properties, e.g. `{ 'acpi': 'off', 'aclint': 'on' }`. */
  readonly machineProperties?: Readonly<Record<string, string>>;
  /**
   * The first of these that can be had runs the machine; it can move to the others. `auto`: KVM where it is faster than
   * the JIT, else the JIT.
   */
  readonly accel: AccelConfig;
  /** Under KVM: the machine stays there, however slow KVM is with it, until it is moved on command. */
  readonly accelStay?: boolean;
  /** Under KVM: vCPUs have threads of their own; yes with several when left out. */
  readonly accelThreads?: boolean;
  /**
   * Under KVM: interrupt controllers and timers in the kernel, only the processors' own, or none; where the kernel can.
   * Left out: what is fastest.
   */
  readonly kernelIrqchip?: 'on' | 'split' | 'off';
  /** Under KVM with those: a processor that waits is looked at for so long before its thread sleeps, ns. */
  readonly haltPollNs?: number;
  readonly cpu: CpuConfig;
  readonly cpus: number;
  /** Bytes of RAM. */
  readonly memory: number;
  /** `none`, `default` (the built-in SBI) or a firmware image. */
  readonly bios: 'none' | 'default' | Uint8Array;
  readonly kernel?: Uint8Array;
  /** The kernel's file name, which Multiboot kernels are told. */
  readonly kernelName?: string;
  readonly initrd?: Uint8Array;
  /** In place of `initrd` for a Multiboot kernel. */
  readonly modules?: readonly BootModule[];
  readonly append?: string;
  readonly boot?: BootConfig;
  /** Firmware and option ROMs that boards look for, by QEMU's file names: `bios-256k.bin`, `vgabios-stdvga.bin`. */
  readonly roms?: Readonly<Record<string, Uint8Array>>;
  /** Option ROMs that firmware runs (`-option-rom`), by name. */
  readonly optionRoms?: Readonly<Record<string, Uint8Array>>;
  /** Whether the board brings its default devices (not `-nodefaults`); yes when left out. */
  readonly defaults?: boolean;
  /** The graphics card: `std`, `none`; the board's own when left out. */
  readonly vga?: string;
  /** false is `-nographic`: firmware may use the serial port instead of the screen. */
  readonly graphic?: boolean;
  readonly uuid?: string;
  /** Parallel ports; undefined is `-parallel none`. */
  readonly parallels?: readonly (CharBackend | undefined)[];
  /** Where bytes written to port 0xe9 go (`-debugcon`). */
  readonly debugcon?: CharBackend;
  readonly dtb?: Uint8Array;
  /** serial0, serial1, ...; undefined is `-serial none`. */
  readonly serials: readonly (CharBackend | undefined)[];
  readonly chardevs: readonly ChardevConfig[];
  readonly netdevs?: readonly NetdevConfig[];
  readonly drives: readonly DriveConfig[];
  readonly devices: readonly DeviceConfig[];
  /** Fixed or running wall clock; `base` in ms since the epoch, undefined for the host's. */
  readonly rtc?: { readonly base?: number; readonly clock: 'host' | 'vm' };
  /** Virtual time: 2^shift ns an instruction; undefined for real time. */
  readonly icount?: { readonly shift: number; readonly sleep: boolean };
  readonly noReboot: boolean;
  readonly noShutdown: boolean;
  /** `-action`: the two above and these are what the machine begins with. */
  readonly panic?: Actions['panic'];
  readonly watchdog?: Actions['watchdog'];
  /** fw_cfg files: name to content. */
  readonly fwCfg?: Readonly<Record<string, Uint8Array>>;
  /** `-d items`: what to log (QEMU's names: `guest_errors`, `unimp`, `int`, ...) and where lines go. */
  readonly log?: { readonly items: ReadonlySet<string>; write(line: string): void };
}
