/**
 * What a machine is made of, after every command line or API has been parsed
 * and every file opened. Names are QEMU's.
 */
import type { CharBackend } from '../hw/chardev.ts';
import type { Disk } from '../hw/disk.ts';

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
  /** QEMU's `if=`: none, virtio, pflash. */
  readonly interface: string;
  readonly index?: number;
  readonly serial?: string;
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

export interface MachineConfig {
  /** `virt` */
  readonly machine: string;
  /** Machine properties, e.g. `{ 'acpi': 'off', 'aclint': 'on' }`. */
  readonly machineProperties?: Readonly<Record<string, string>>;
  readonly accel: 'jit' | 'reference';
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
  readonly dtb?: Uint8Array;
  /** serial0, serial1, ...; undefined is `-serial none`. */
  readonly serials: readonly (CharBackend | undefined)[];
  readonly chardevs: readonly ChardevConfig[];
  readonly drives: readonly DriveConfig[];
  readonly devices: readonly DeviceConfig[];
  /** Fixed or running wall clock; `base` in ms since the epoch, undefined for the host's. */
  readonly rtc?: { readonly base?: number; readonly clock: 'host' | 'vm' };
  /** Virtual time: 2^shift ns an instruction; undefined for real time. */
  readonly icount?: { readonly shift: number; readonly sleep: boolean };
  readonly noReboot: boolean;
  readonly noShutdown: boolean;
  /** fw_cfg files: name to content. */
  readonly fwCfg?: Readonly<Record<string, Uint8Array>>;
  /** `-d items`: what to log (QEMU's names: `guest_errors`, `unimp`, `int`, ...) and where lines go. */
  readonly log?: { readonly items: ReadonlySet<string>; write(line: string): void };
}
