/**
 * The system calls that KVM takes, through foreign functions.
 *
 * Spec: Linux man-pages, ioctl(2), mmap(2), tgkill(2), sigaction(2),
 * timer_create(2); structures are those of 64-bit glibc and musl.
 */
import { KvmError } from '../../../accel/kvm/port.ts';
import { type Ffi, openFfi } from '../ffi.ts';

const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
/** Numbers of system calls without a function in every C library. */
const SYSCALL: Readonly<Record<string, { readonly gettid: number; readonly tgkill: number }>> = {
  x64: { gettid: 186, tgkill: 234 },
  arm64: { gettid: 178, tgkill: 131 },
  riscv64: { gettid: 178, tgkill: 131 },
};
/** A real-time signal that neither C libraries nor Node use. */
export const KICK_SIGNAL = 38;
const SA_RESTART = 0x1000_0000;
const SIGACTION_SIZE = 152;
const SA_FLAGS_AT = 136;
const CLOCK_MONOTONIC = 1;
const SIGEV_THREAD_ID = 4;

/** The kernel's name of an error number. */
export function errnoName(errno: number): string {
  // Loaded when there is an error.
  return process.getBuiltinModule('node:util').getSystemErrorMap().get(-errno)?.[0] ?? `errno ${errno}`;
}

export class SystemCalls {
  readonly ffi: Ffi;
  /** ioctl with a number, a structure, an address; -1: see `errno`. */
  readonly ioctlNumber: (fd: number, request: number, argument: number) => number;
  readonly ioctlBuffer: (fd: number, request: number, argument: Uint8Array) => number;
  /** The same with an argument of 32 bits: the fastest. */
  readonly ioctlWord: (fd: number, request: number, argument: number) => number;
  private readonly mmap: (...args: (number | bigint)[]) => bigint;
  private readonly munmap: (...args: (number | bigint)[]) => number;
  private readonly syscall: (number: number, a: number, b: number, c: number) => number;
  private readonly errnoCell: Int32Array;
  private readonly numbers: { readonly gettid: number; readonly tgkill: number };
  private readonly settime: (timer: bigint, flags: number, value: Uint8Array, old: bigint) => number;
  private readonly deletetimer: (timer: bigint) => number;
  private signalReady = false;
  private timer: bigint | undefined;
  private armed = false;
  private readonly timerValue = new DataView(new ArrayBuffer(32));
  private readonly timerBytes = new Uint8Array(this.timerValue.buffer);

  constructor(ffi: Ffi) {
    this.ffi = ffi;
    this.ioctlNumber = ffi.func('ioctl', 'int', ['int', 'uint', 'long']) as SystemCalls['ioctlNumber'];
    this.ioctlBuffer = ffi.func('ioctl', 'int', ['int', 'uint', 'buffer']) as SystemCalls['ioctlBuffer'];
    this.ioctlWord = ffi.func('ioctl', 'int', ['int', 'uint', 'int']) as SystemCalls['ioctlWord'];
    this.mmap = ffi.func('mmap', 'address', ['address', 'long', 'int', 'int', 'int', 'long']);
    this.munmap = ffi.func('munmap', 'int', ['address', 'long']);
    this.syscall = ffi.func('syscall', 'long', ['long', 'long', 'long', 'long']);
    this.settime = ffi.func('timer_settime', 'int', ['address', 'int', 'buffer', 'address']) as SystemCalls['settime'];
    this.deletetimer = ffi.func('timer_delete', 'int', ['address']) as SystemCalls['deletetimer'];
    const errno = ffi.func('__errno_location', 'address', [])();
    this.errnoCell = new Int32Array(ffi.view(errno, 4));
    this.numbers = SYSCALL[process.arch];
  }

  /** Of the last call of this thread. */
  get errno(): number {
    return this.errnoCell[0];
  }

  /** The kernel's number of this thread. */
  thread(): number {
    return this.syscall(this.numbers.gettid, 0, 0, 0);
  }

  /** Sends the signal of kicks to a thread of this process. */
  signal(thread: number): void {
    this.syscall(this.numbers.tgkill, process.pid, thread, KICK_SIGNAL);
  }

  /** The signal interrupts system calls and does nothing else: its handler is a function without side effects. */
  prepareSignal(): void {
    if (this.signalReady) return;
    const action = new DataView(new ArrayBuffer(SIGACTION_SIZE));
    action.setBigUint64(0, this.ffi.symbol('getpid'), true);
    action.setInt32(SA_FLAGS_AT, SA_RESTART, true);
    const sigaction = this.ffi.func('sigaction', 'int', ['int', 'buffer', 'address']);
    if (sigaction(KICK_SIGNAL, new Uint8Array(action.buffer), 0n) < 0) throw this.failed('sigaction');
    this.signalReady = true;
  }

  /** Maps a file descriptor's memory. */
  map(fd: number, length: number): { readonly address: bigint; readonly buffer: ArrayBuffer } {
    const address = this.mmap(0n, length, PROT_READ_WRITE, MAP_SHARED, fd, 0);
    if (BigInt.asIntN(64, address) === -1n) throw this.failed('mmap');
    return { address, buffer: this.ffi.view(address, length) };
  }

  unmap(address: bigint, length: number): void {
    this.munmap(address, length);
  }

  /** Sends this thread the signal of kicks after `ms`, and then every quarter of a millisecond; Infinity: no more. */
  alarm(ms: number): void {
    if (ms === Infinity && !this.armed) return;
    this.timer ??= this.createTimer();
    const value = this.timerValue;
    // One that comes before KVM_RUN has begun is lost, so they repeat.
    const interval = ms === Infinity ? 0 : 250_000;
    const ns = ms === Infinity ? 0 : Math.max(1, Math.min(2e9, Math.round(ms * 1e6)));
    value.setBigInt64(8, BigInt(interval), true);
    value.setBigInt64(16, BigInt(Math.floor(ns / 1e9)), true);
    value.setBigInt64(24, BigInt(ns % 1e9), true);
    if (this.settime(this.timer, 0, this.timerBytes, 0n) < 0) throw this.failed('timer_settime');
    this.armed = ms !== Infinity;
  }

  /** Ends the alarm for good. */
  close(): void {
    if (this.timer !== undefined) this.deletetimer(this.timer);
    this.timer = undefined;
    this.armed = false;
  }

  private createTimer(): bigint {
    this.prepareSignal();
    const event = new DataView(new ArrayBuffer(64));
    event.setInt32(8, KICK_SIGNAL, true);
    event.setInt32(12, SIGEV_THREAD_ID, true);
    event.setInt32(16, this.thread(), true);
    const timer = new BigUint64Array(1);
    const create = this.ffi.func('timer_create', 'int', ['int', 'buffer', 'buffer']);
    if (create(CLOCK_MONOTONIC, new Uint8Array(event.buffer), new Uint8Array(timer.buffer)) < 0)
      throw this.failed('timer_create');
    return timer[0];
  }

  private failed(call: string): KvmError {
    const name = errnoName(this.errno);
    return new KvmError('kvm-host', `${call}: ${name}`, 'see the manual page of that call', name);
  }
}

let calls: SystemCalls | undefined;

/** This thread's. Throws KvmError where there is no way to call the kernel. */
export function systemCalls(): SystemCalls {
  if (calls) return calls;
  if (process.platform !== 'linux' || !(process.arch in SYSCALL))
    throw new KvmError(
      'kvm-host',
      `KVM is Linux's, and this is ${process.platform} on ${process.arch}`,
      'use -accel jit',
    );
  const ffi = openFfi();
  if (!ffi)
    throw new KvmError(
      'kvm-host',
      'foreign functions are not available: koffi is not installed, and this Node has no node:ffi',
      'run npm install without --omit=optional, or use Node 26; or use -accel jit',
    );
  calls = new SystemCalls(ffi);
  return calls;
}
