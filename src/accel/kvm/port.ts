/**
 * How the accelerator reaches /dev/kvm. `src/host/node/kvm` stands behind it;
 * nothing here knows of Node or of foreign functions.
 *
 * Spec: Linux documentation, "The Definitive KVM (Kernel-based Virtual
 * Machine) API Documentation". Requests, capabilities and structures: abi.ts.
 */
import { HostError } from '../../bits/errors.ts';

/** What KVM answered, or why it is not there. `errno` is the kernel's name of the error, where there is one. */
export class KvmError extends HostError {
  readonly errno: string | undefined;

  constructor(code: KvmErrorCode, what: string, mend: string, errno?: string, cause?: unknown) {
    super(code, what, mend, cause);
    this.errno = errno;
  }
}

export type KvmErrorCode =
  /** There is no /dev/kvm. */
  | 'kvm-missing'
  /** It may not be opened. */
  | 'kvm-permission'
  /** It is not version 12 of the interface, or lacks what we need. */
  | 'kvm-version'
  /** It cannot run this machine: another architecture, virtual time. */
  | 'kvm-machine'
  /** There is no way to call the kernel from here (another system, no foreign functions). */
  | 'kvm-host'
  /** A request failed. */
  | 'kvm-ioctl'
  /** KVM_RUN failed, or left for a reason that nobody can go on from. */
  | 'kvm-run';

/**
 * An argument of a request: a structure, little-endian, which KVM may write to; or a number (of a pointer's size,
 * where the request takes one by value).
 */
export type KvmArgument = Uint8Array | number;

/** Bytes whose address a structure has at an offset. KVM reads or writes them during the request only. */
export interface KvmPointer {
  readonly at: number;
  /** More than 64 of them: shorter arrays are moved by garbage collections. */
  readonly bytes: Uint8Array;
}

interface Requests {
  /** Gives the request's result, which is not negative. Throws KvmError. */
  ioctl(request: number, argument?: KvmArgument, pointers?: readonly KvmPointer[]): number;
  /** KVM_CHECK_EXTENSION: 0 where it is not there. */
  checkExtension(capability: number): number;
}

/** /dev/kvm. */
export interface KvmPort extends Requests {
  createVm(): KvmVmPort;
  close(): void;
}

/** A VM or a vCPU that counts. */
interface Counting {
  /** Bytes of its binary statistics (KVM_GET_STATS_FD) from `offset`; fewer where they end, undefined where there are none. */
  statistics(offset: number, length: number): Uint8Array | undefined;
}

/** A file descriptor that KVM writes to where it would leave otherwise (eventfd). */
export interface KvmBell {
  readonly fd: number;
  /** Whether it has been written to since the last call. */
  take(): boolean;
  close(): void;
}

export interface KvmVmPort extends Requests, Counting {
  /**
   * A range of guest-physical addresses on bytes of a shared WebAssembly memory; all whole pages. Undefined deletes the
   * slot.
   */
  setMemory(slot: number, flags: number, address: number, bytes: Uint8Array | undefined): void;
  /** KVM_GET_DIRTY_LOG: which pages of a slot were written since the last call, a bit each. */
  dirtyLog(slot: number, bitmap: Uint8Array): void;
  /** `rung` is called in this thread, soon, when it was written to and nobody has taken that. Absent: the host cannot. */
  bell?(rung: () => void): KvmBell;
  /** `threaded`: with a thread of its own, where the host has threads. */
  createVcpu(index: number, threaded?: boolean): KvmVcpuPort;
  close(): void;
}

/** A thread that enters KVM while this one goes on. */
export interface KvmVcpuThread {
  /** The kernel's number of it, once it has begun. */
  readonly number: number | undefined;
  enter(): void;
  /** `back` is called in this thread, soon, each time that the other is back from KVM. */
  onBack(back: () => void): void;
  /** What `enter` of the port would give; undefined while the thread is inside. Throws KvmError when it has died. */
  result(): number | undefined;
  /** After a kick: waits for it. */
  wait(): number;
}

export interface KvmVcpuPort extends Pick<Requests, 'ioctl'>, Counting {
  /** The kvm_run area, as it is. */
  readonly run: DataView;
  /** Where there is one, entries are made through it; `enter` is then for those that end at once. */
  readonly thread?: KvmVcpuThread | undefined;
  /** KVM_RUN: 0, or the number of the error (4, EINTR, after a kick). */
  enter(): number;
  /** From any thread: a running or the next `enter` comes back with EINTR. The next only, then that is over. */
  kick(): void;
  /**
   * From `ms` on a running `enter` comes back with EINTR, and again and again until another call; Infinity: no more.
   * One alarm for all vCPUs of a thread, which calls this itself.
   */
  alarm(ms: number): void;
  close(): void;
}
