/**
 * /dev/kvm, its VMs and vCPUs: the port that src/accel/kvm runs on.
 *
 * Spec: Linux documentation, "The Definitive KVM API Documentation".
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { Cap, DirtyLog, Errno, Kvm, KVM_API_VERSION, MemoryRegion, Run } from '../../../accel/kvm/abi.ts';
import {
  type KvmArgument,
  type KvmBell,
  KvmError,
  type KvmPointer,
  type KvmPort,
  type KvmVcpuPort,
  type KvmVcpuThread,
  type KvmVmPort,
} from '../../../accel/kvm/port.ts';
import { KvmIrq } from '../../../accel/kvm/x86/abi-irqchip.ts';
import { KvmX86 } from '../../../accel/kvm/x86/abi-x86.ts';
import type { Ffi } from '../ffi.ts';
import { VcpuThread } from './vcpu-thread.ts';
import { errnoName, type SystemCalls, systemCalls } from './system-calls.ts';

export const KVM_DEVICE = '/dev/kvm';
const JIT = 'use -accel jit';

/** Requests of one file descriptor. */
class Descriptor {
  protected readonly calls: SystemCalls;
  protected fd: number;

  constructor(calls: SystemCalls, fd: number) {
    this.calls = calls;
    this.fd = fd;
  }

  ioctl(request: number, argument: KvmArgument = 0, pointers: readonly KvmPointer[] = []): number {
    const { calls } = this;
    for (const { at, bytes } of pointers) {
      const structure = argument as Uint8Array;
      const view = new DataView(structure.buffer, structure.byteOffset, structure.byteLength);
      view.setBigUint64(at, calls.ffi.addressOf(bytes), true);
    }
    const result =
      typeof argument === 'number'
        ? calls.ioctlNumber(this.fd, request, argument)
        : calls.ioctlBuffer(this.fd, request, argument);
    if (result < 0) throw failed(request, calls.errno);
    return result;
  }

  checkExtension(capability: number): number {
    return this.ioctl(Kvm.checkExtension, capability);
  }

  /** undefined: not asked for yet; -1: there are none. */
  private counters: number | undefined;
  statistics(offset: number, length: number): Uint8Array | undefined {
    if (this.counters === undefined) {
      const fd = this.calls.ioctlNumber(this.fd, Kvm.getStatsFd, 0);
      this.counters = Math.max(-1, fd);
    }
    if (this.counters < 0) return undefined;
    const bytes = new Uint8Array(length);
    return bytes.subarray(0, readSync(this.counters, bytes, 0, length, offset));
  }

  close(): void {
    if (this.counters !== undefined && this.counters >= 0) closeSync(this.counters);
    this.counters = -1;
    if (this.fd >= 0) closeSync(this.fd);
    this.fd = -1;
  }
}

function failed(request: number, errno: number): KvmError {
  const known = Object.entries({ ...KvmIrq, ...KvmX86, ...Kvm }).find(([, number]) => number === request)?.[0];
  const name = errnoName(errno);
  const what = known ? `KVM request ${known}` : `KVM request 0x${request.toString(16)}`;
  const mend = MENDS[name];
  return new KvmError('kvm-ioctl', `${what} failed: ${name}`, mend ? `${mend}; or ${JIT}` : JIT, name);
}

/** Where somebody can do something about it. */
const MENDS: Readonly<Record<string, string>> = {
  EBUSY: 'end the other hypervisor of this host (VirtualBox, VMware), which has the processor’s virtualization',
  EMFILE: 'this process has no file descriptors left: raise the limit (ulimit -n)',
  ENFILE: 'the host has no file descriptors left: raise fs.file-max',
  ENOMEM: 'the kernel has no memory for it: end other machines, or raise the limit of the control group',
};

/** Opens /dev/kvm. Throws KvmError that says what is missing and what mends it. */
export function openKvm(path = KVM_DEVICE): KvmPort {
  const calls = systemCalls();
  let fd: number;
  try {
    fd = openSync(path, 'r+');
  } catch (error) {
    throw openFailed(path, error as NodeJS.ErrnoException);
  }
  const device = new Device(calls, fd);
  try {
    device.check(path);
  } catch (error) {
    device.close();
    throw error;
  }
  return device;
}

/** What the versions of KVM all have that this host needs. */
function checkDevice(calls: SystemCalls, fd: number, path: string, has: (capability: number) => boolean): void {
  const version = calls.ioctlNumber(fd, Kvm.getApiVersion, 0);
  const wrong = (what: string, mend: string) => new KvmError('kvm-version', what, mend);
  if (version < 0) throw wrong(`${path} does not answer as KVM does: ${errnoName(calls.errno)}`, JIT);
  if (version !== KVM_API_VERSION)
    throw wrong(
      `${path} has version ${version} of KVM's interface, not ${KVM_API_VERSION}`,
      `use a current kernel, or ${JIT}`,
    );
  for (const [name, capability] of Object.entries({ userMemory: Cap.userMemory, immediateExit: Cap.immediateExit }))
    if (!has(capability)) throw wrong(`KVM here lacks ${name}`, `use Linux 4.11 or newer, or ${JIT}`);
}

function openFailed(path: string, error: NodeJS.ErrnoException): KvmError {
  const { code } = error;
  if (code === 'ENOENT' || code === 'ENXIO' || code === 'ENODEV')
    return new KvmError(
      'kvm-missing',
      `there is no KVM here: ${path}: ${code}`,
      `load the kernel's kvm_intel or kvm_amd, and switch virtualization on in the firmware (in a virtual machine: nested virtualization); or ${JIT}`,
      code,
      error,
    );
  if (code === 'EACCES' || code === 'EPERM')
    return new KvmError(
      'kvm-permission',
      `${path} may not be opened: ${code}`,
      `add yourself to its group, with "sudo usermod -aG kvm $USER", and log in again; or ${JIT}`,
      code,
      error,
    );
  return new KvmError('kvm-missing', `${path}: ${error.message}`, JIT, code, error);
}

class Device extends Descriptor implements KvmPort {
  /** Throws KvmError where it is not the KVM that we need. */
  check(path: string): void {
    checkDevice(this.calls, this.fd, path, (capability) => this.checkExtension(capability) > 0);
  }

  createVm(): KvmVmPort {
    const runSize = this.ioctl(Kvm.getVcpuMmapSize);
    let fd: number;
    do fd = this.calls.ioctlNumber(this.fd, Kvm.createVm, 0);
    while (fd < 0 && this.calls.errno === Errno.eintr);
    if (fd < 0) throw failed(Kvm.createVm, this.calls.errno);
    return new Vm(this.calls, fd, runSize);
  }
}

class Vm extends Descriptor implements KvmVmPort {
  private readonly runSize: number;
  private readonly region = new DataView(new ArrayBuffer(MemoryRegion.size));
  /** The memory stays where it is for as long as a slot needs it. */
  private readonly held = new Map<number, Uint8Array>();

  constructor(calls: SystemCalls, fd: number, runSize: number) {
    super(calls, fd);
    this.runSize = runSize;
  }

  setMemory(slot: number, flags: number, address: number, bytes: Uint8Array | undefined): void {
    const { region } = this;
    region.setUint32(MemoryRegion.slot, slot, true);
    region.setUint32(MemoryRegion.flags, flags, true);
    region.setBigUint64(MemoryRegion.guestPhysAddr, BigInt(address), true);
    region.setBigUint64(MemoryRegion.memorySize, BigInt(bytes?.length ?? 0), true);
    region.setBigUint64(MemoryRegion.userspaceAddr, bytes ? this.calls.ffi.addressOf(bytes) : 0n, true);
    this.ioctl(Kvm.setUserMemoryRegion, new Uint8Array(region.buffer));
    if (bytes) this.held.set(slot, bytes);
    else this.held.delete(slot);
  }

  dirtyLog(slot: number, bitmap: Uint8Array): void {
    // A pointer in a structure: small arrays may move, so the kernel writes into one that does not.
    if (this.log.length < bitmap.length)
      this.log = new Uint8Array(new SharedArrayBuffer(Math.max(65536, bitmap.length)));
    const request = new DataView(new ArrayBuffer(DirtyLog.size));
    request.setUint32(DirtyLog.slot, slot, true);
    request.setBigUint64(DirtyLog.bitmap, this.calls.ffi.addressOf(this.log), true);
    this.ioctl(Kvm.getDirtyLog, new Uint8Array(request.buffer));
    bitmap.set(this.log.subarray(0, bitmap.length));
  }
  private log = new Uint8Array(new SharedArrayBuffer(0));

  get bell(): KvmVmPort['bell'] {
    const { ffi } = this.calls;
    if (!ffi.poll) return undefined;
    return (rung) => new Bell(ffi, rung);
  }

  createVcpu(index: number, threaded = false): KvmVcpuPort {
    const fd = this.ioctl(Kvm.createVcpu, index);
    return new VcpuPort(this.calls, fd, this.runSize, threaded);
  }
}

const EFD_FLAGS = 0o2004000; // EFD_CLOEXEC, EFD_NONBLOCK

/** Linux man-pages, eventfd(2). */
class Bell implements KvmBell {
  readonly fd: number;
  private readonly handle: { close(): void } | undefined;
  private readonly count = new Uint8Array(8);

  constructor(ffi: Ffi, rung: () => void) {
    this.fd = ffi.func('eventfd', 'int', ['int', 'int'])(0, EFD_FLAGS);
    if (this.fd < 0)
      throw new KvmError(
        'kvm-host',
        'eventfd: the process has no file descriptors left',
        'raise the limit (ulimit -n)',
      );
    // Foreign functions' callbacks are no place for what devices do: promises wait there.
    try {
      this.handle = ffi.poll?.(this.fd, () => {
        if (this.take()) setImmediate(rung);
      });
    } catch (error) {
      closeSync(this.fd);
      throw error;
    }
  }

  take(): boolean {
    try {
      return readSync(this.fd, this.count) === 8;
    } catch {
      return false; // EAGAIN: nobody has written
    }
  }

  close(): void {
    this.handle?.close();
    closeSync(this.fd);
  }
}

class VcpuPort extends Descriptor implements KvmVcpuPort {
  readonly run: DataView;
  private readonly address: bigint;
  private readonly size: number;
  private readonly bytes: Uint8Array<ArrayBuffer>;
  /** The thread that runs it: known after the first entry. */
  private entering = 0;
  private inside = false;
  readonly thread: KvmVcpuThread | undefined;
  private readonly worker: VcpuThread | undefined;

  constructor(calls: SystemCalls, fd: number, size: number, threaded: boolean) {
    super(calls, fd);
    let mapped: ReturnType<SystemCalls['map']> | undefined;
    let worker: VcpuThread | undefined;
    try {
      calls.prepareSignal();
      mapped = calls.map(fd, size);
      if (threaded) worker = new VcpuThread(fd, (thread) => calls.signal(thread));
    } catch (error) {
      if (mapped) calls.unmap(mapped.address, size);
      closeSync(fd);
      throw error;
    }
    const { address, buffer } = mapped;
    this.address = address;
    this.run = new DataView(buffer);
    this.bytes = new Uint8Array(buffer);
    this.size = size;
    if (!worker) return;
    this.worker = worker;
    const of = worker;
    this.thread = {
      get number() {
        return of.number;
      },
      enter: () => of.enter(),
      result: () => this.came(of.result()),
      wait: () => this.came(of.wait()),
      onBack: (back) => {
        of.back = back;
      },
    };
  }

  enter(): number {
    const { calls } = this;
    if (this.entering === 0) this.entering = calls.thread();
    this.inside = true;
    const result = calls.ioctlWord(this.fd, Kvm.run, 0);
    const errno = result < 0 ? calls.errno : 0;
    this.inside = false;
    return this.came(errno);
  }

  private came<T extends number | undefined>(errno: T): T {
    if (errno === Errno.eintr) this.bytes[Run.immediateExit] = 0;
    return errno;
  }

  kick(): void {
    this.bytes[Run.immediateExit] = 1;
    if (this.inside) this.calls.signal(this.entering);
    else this.worker?.interrupt();
  }

  alarm(ms: number): void {
    this.calls.alarm(ms);
  }

  override close(): void {
    if (this.fd < 0) return;
    this.worker?.close();
    super.close();
    // Whoever still looks at the area gets an exception, not another mapping's bytes.
    this.bytes.buffer.transfer();
    this.calls.unmap(this.address, this.size);
  }
}
