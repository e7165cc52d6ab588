/**
 * Linux's KVM interface as numbers: requests, capabilities, reasons of exits,
 * the kvm_run area. Names are the kernel's.
 *
 * Spec: Linux documentation, "The Definitive KVM (Kernel-based Virtual Machine)
 * API Documentation" (KVM API version 12); include/uapi/linux/kvm.h. What is
 * x86's alone stands in x86/abi-x86.ts.
 */

/** The one version there is: KVM_GET_API_VERSION. */
export const KVM_API_VERSION = 12;

const KVMIO = 0xae;
/** asm-generic's encoding of requests (x86, arm64, riscv; not of powerpc and mips). */
const io = (number: number): number => (KVMIO << 8) | number;
const ior = (number: number, size: number): number => (0x8000_0000 + (size << 16) + io(number)) >>> 0;
const iow = (number: number, size: number): number => (0x4000_0000 + (size << 16) + io(number)) >>> 0;
const iowr = (number: number, size: number): number => (0xc000_0000 + (size << 16) + io(number)) >>> 0;
export const request = { io, ior, iow, iowr };

/** Requests of the device, of VMs and of vCPUs that every architecture has. */
export const Kvm = {
  getApiVersion: io(0x00),
  createVm: io(0x01),
  checkExtension: io(0x03),
  getVcpuMmapSize: io(0x04),
  createVcpu: io(0x41),
  getDirtyLog: iow(0x42, 16),
  setUserMemoryRegion: iow(0x46, 32),
  createIrqchip: io(0x60),
  irqLine: iow(0x61, 8),
  setGsiRouting: iow(0x6a, 8),
  irqfd: iow(0x76, 32),
  ioeventfd: iow(0x79, 64),
  run: io(0x80),
  getMpState: ior(0x98, 4),
  setMpState: iow(0x99, 4),
  setGuestDebug: iow(0x9b, 72),
  signalMsi: iow(0xa5, 32),
  enableCap: iow(0xa3, 104),
  getDeviceAttr: iow(0xe2, 24),
  getStatsFd: io(0xce),
  clearDirtyLog: iowr(0xc0, 24),
} as const;

export const Cap = {
  irqchip: 0,
  userMemory: 3,
  nrVcpus: 9,
  nrMemslots: 10,
  mpState: 14,
  syncMmu: 16,
  irqRouting: 25,
  irqfd: 32,
  ioeventfd: 36,
  internalErrorData: 40,
  maxVcpus: 66,
  syncRegs: 74,
  signalMsi: 77,
  readonlyMem: 81,
  irqfdResample: 82,
  checkExtensionVm: 105,
  immediateExit: 136,
  manualDirtyLogProtect2: 168,
  haltPoll: 182,
  binaryStatsFd: 203,
} as const;

/** kvm_run.exit_reason. */
export const ExitReason = {
  unknown: 0,
  exception: 1,
  io: 2,
  hypercall: 3,
  debug: 4,
  hlt: 5,
  mmio: 6,
  irqWindowOpen: 7,
  shutdown: 8,
  failEntry: 9,
  intr: 10,
  setTpr: 11,
  tprAccess: 12,
  nmi: 16,
  internalError: 17,
  systemEvent: 24,
  ioapicEoi: 26,
  x86Rdmsr: 29,
  x86Wrmsr: 30,
  dirtyRingFull: 31,
  x86BusLock: 33,
  notify: 37,
} as const;

/** Names for counts and messages, as QEMU and the kernel's trace points write them. */
export const EXIT_NAMES: Readonly<Record<number, string>> = {
  0: 'unknown',
  1: 'exception',
  2: 'io',
  3: 'hypercall',
  4: 'debug',
  5: 'hlt',
  6: 'mmio',
  7: 'irq-window-open',
  8: 'shutdown',
  9: 'fail-entry',
  10: 'intr',
  11: 'set-tpr',
  12: 'tpr-access',
  16: 'nmi',
  17: 'internal-error',
  24: 'system-event',
  26: 'ioapic-eoi',
  29: 'rdmsr',
  30: 'wrmsr',
  31: 'dirty-ring-full',
  33: 'bus-lock',
  37: 'notify',
};

/** kvm_run.internal.suberror. */
export const InternalError = { emulation: 1, simulEx: 2, deliveryEv: 3, unexpectedExitReason: 4 } as const;
/** kvm_run.internal.flags of an emulation error: instruction bytes are there. */
export const EMULATION_BYTES = 1;

/** Offsets in struct kvm_run. */
export const Run = {
  // in
  requestInterruptWindow: 0,
  immediateExit: 1,
  // out
  exitReason: 8,
  readyForInterruptInjection: 12,
  ifFlag: 13,
  flags: 14,
  cr8: 16,
  apicBase: 24,
  // The union of exits.
  exit: 32,
  hardwareExitReason: 32,
  hardwareEntryFailureReason: 32,
  io: { direction: 32, size: 33, port: 34, count: 36, dataOffset: 40 },
  debug: { exception: 32, pc: 40, dr6: 48, dr7: 56 },
  mmio: { physAddr: 32, data: 40, len: 48, isWrite: 52 },
  internal: { suberror: 32, ndata: 36, flags: 40, insnSize: 48, insnBytes: 49 },
  systemEvent: { type: 32, ndata: 36, data: 40 },
  eoiVector: 32,
  msr: { error: 32, reason: 40, index: 44, data: 48 },
  // Registers that are exchanged through the area: KVM_CAP_SYNC_REGS.
  validRegs: 288,
  dirtyRegs: 296,
  syncRegs: 304,
} as const;
/** Bytes of the area that are declared; port I/O data follow on a page of their own. */
export const RUN_SIZE = 2352;

/** kvm_run.io.direction. */
export const IO_OUT = 1;

/** struct kvm_userspace_memory_region, 32 bytes. */
export const MemoryRegion = {
  size: 32,
  slot: 0,
  flags: 4,
  guestPhysAddr: 8,
  memorySize: 16,
  userspaceAddr: 24,
} as const;
export const MEM_LOG_DIRTY_PAGES = 1;
export const MEM_READONLY = 2;

/** struct kvm_dirty_log, 16 bytes; the bitmap is a pointer. */
export const DirtyLog = { size: 16, slot: 0, bitmap: 8 } as const;

/** struct kvm_ioeventfd, 64 bytes. */
export const IoEventFd = { size: 64, datamatch: 0, addr: 8, len: 16, fd: 20, flags: 24 } as const;
export const IOEVENTFD_DATAMATCH = 1;
export const IOEVENTFD_PIO = 2;
export const IOEVENTFD_DEASSIGN = 4;

/** struct kvm_irqfd, 32 bytes. */
export const IrqFd = { size: 32, fd: 0, gsi: 4, flags: 8, resamplefd: 12 } as const;
export const IRQFD_DEASSIGN = 1;
export const IRQFD_RESAMPLE = 2;

/** struct kvm_mp_state. */
export const MpState = { runnable: 0, uninitialized: 1, initReceived: 2, halted: 3, sipiReceived: 4 } as const;

/** Error numbers of KVM_RUN. */
export const Errno = { eintr: 4, eagain: 11, efault: 14 } as const;
