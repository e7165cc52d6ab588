/**
 * What a command line asks for, before any file is opened: everything a
 * MachineConfig needs, with paths in place of contents, and the control part.
 */
import type { Actions } from '../machine/actions.ts';
import type { AccelConfig, BootConfig, CpuConfig, DeviceConfig } from '../machine/config.ts';

export interface SocketPlan {
  readonly kind: 'unix' | 'tcp';
  readonly path?: string;
  readonly host?: string;
  readonly port?: number;
  readonly server: boolean;
  /** A server: whether the machine waits for its first client. */
  readonly wait: boolean;
  readonly telnet: boolean;
  readonly nodelay: boolean;
  /** A client: seconds between attempts; 0 means that the first failure is an error. */
  readonly reconnect: number;
}

export interface ChardevPlan {
  readonly id: string;
  readonly kind: 'stdio' | 'null' | 'file' | 'pipe' | 'ringbuf' | 'socket';
  /** The option that asked for it, for messages. */
  readonly where: string;
  readonly mux: boolean;
  /** stdio: whether Ctrl-C ends the emulator (otherwise it goes to the guest). */
  readonly signal: boolean;
  readonly path?: string;
  readonly append?: boolean;
  /** ringbuf: bytes, a power of two. */
  readonly size?: number;
  readonly socket?: SocketPlan;
  /** A copy of all output goes here. */
  readonly logFile?: string;
  readonly logAppend?: boolean;
}

export interface MonitorPlan {
  readonly chardev: string;
  readonly mode: 'readline' | 'control';
  readonly pretty: boolean;
}

export interface DrivePlan {
  readonly id: string;
  readonly where: string;
  readonly file: string;
  /** `if=` */
  readonly interface: string;
  readonly index?: number;
  readonly cdrom?: boolean;
  readonly readOnly: boolean;
  /** Writes go to memory and are forgotten. */
  readonly snapshot: boolean;
  /** Whether `format=raw` was given: an image without it must not look like another format. */
  readonly formatGiven: boolean;
  /** cache=unsafe: flushes do nothing. */
  readonly noFlush: boolean;
}

/** A file or text that becomes a fw_cfg entry. */
export interface FwCfgPlan {
  readonly where: string;
  readonly name: string;
  readonly file?: string;
  readonly text?: string;
}

export type ListTopic =
  | 'machine'
  | 'machine-properties'
  | 'cpu'
  | 'accel'
  | 'device'
  | 'device-properties'
  | 'd'
  | 'display'
  | 'chardev'
  | 'object'
  | 'netdev'
  | 'vga'
  | 'drive';

/** Text that was asked for instead of a machine. */
export type Request =
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | { readonly kind: 'list'; readonly topic: ListTopic; readonly subject?: string };

export interface SystemPlan {
  readonly machine: string;
  readonly machineProperties: Readonly<Record<string, string>>;
  readonly accel: AccelConfig;
  readonly accelStay?: boolean;
  readonly accelThreads?: boolean;
  readonly kernelIrqchip?: 'on' | 'split' | 'off';
  readonly haltPollNs?: number;
  readonly cpu: CpuConfig;
  readonly cpus: number;
  /** Bytes. */
  readonly memory: number;
  readonly bios: 'none' | 'default' | { readonly file: string };
  /** Where to look for firmware that is named without a path (`-L`). */
  readonly firmwarePaths: readonly string[];
  readonly kernel?: string;
  readonly initrd?: string;
  readonly append?: string;
  readonly dtb?: string;
  readonly boot?: BootConfig;
  /** Files of `-option-rom`. */
  readonly optionRoms: readonly string[];
  /** Not `-nodefaults`. */
  readonly defaults: boolean;
  readonly vga?: string;
  /** Not `-nographic`. */
  readonly graphic: boolean;
  readonly chardevs: readonly ChardevPlan[];
  /** Ids of chardevs; undefined is `-serial none`. */
  readonly serials: readonly (string | undefined)[];
  /** Ids of chardevs; undefined is `-parallel none`. */
  readonly parallels: readonly (string | undefined)[];
  readonly debugcon?: string;
  readonly monitors: readonly MonitorPlan[];
  /** The escape character of muxed chardevs (`-echr`). */
  readonly escape: number;
  readonly drives: readonly DrivePlan[];
  readonly devices: readonly DeviceConfig[];
  readonly rtc: { readonly base: 'utc' | 'localtime' | number; readonly clock: 'host' | 'vm' };
  readonly icount?: { readonly shift: number; readonly sleep: boolean };
  readonly noReboot: boolean;
  readonly noShutdown: boolean;
  readonly panic?: Actions['panic'];
  readonly watchdog?: Actions['watchdog'];
  readonly fwCfg: readonly FwCfgPlan[];
  readonly name?: string;
  readonly uuid?: string;
  readonly pidFile?: string;
  /** `-S`: stay before the first instruction. */
  readonly paused: boolean;
  readonly log: readonly string[];
  readonly logFile?: string;
  /** `-msg timestamp=on`. */
  readonly timestamps: boolean;
  readonly guestNameInMessages: boolean;
  /** Things to say on stderr that are no errors. */
  readonly notes: readonly string[];
}

export type Parsed = { readonly request: Request } | { readonly plan: SystemPlan };
