/**
 * Linux's KVM interface on x86 as numbers: requests and structures of the
 * registers. Names are the kernel's; all structures are little-endian.
 *
 * Spec: Linux documentation, "The Definitive KVM (Kernel-based Virtual Machine)
 * API Documentation" (KVM API version 12); arch/x86/include/uapi/asm/kvm.h;
 * "Model Specific Registers" for KVM's own.
 */
import { request } from '../abi.ts';

const { io, ior, iow, iowr } = request;

/** Offsets of a segment in `kvm_sregs`: type and what follows are bytes. */
export const Segment = {
  size: 24,
  base: 0,
  limit: 8,
  selector: 12,
  type: 14,
  present: 15,
  dpl: 16,
  db: 17,
  s: 18,
  l: 19,
  g: 20,
  avl: 21,
  unusable: 22,
} as const;

/** struct kvm_regs. `gpr` is in the order rax rbx rcx rdx rsi rdi rsp rbp r8 ... r15. */
export const Regs = { size: 144, gpr: 0, rip: 128, rflags: 136 } as const;
/** The place of a register's number, as instructions have it, in kvm_regs. */
export const REGS_ORDER = [0, 2, 3, 1, 6, 7, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15] as const;

/** struct kvm_sregs, and where kvm_sregs2 goes on differently. */
export const Sregs = {
  size: 312,
  /** By `Seg` of the state: es, cs, ss, ds, fs, gs, ldtr, tr. */
  segments: [48, 0, 120, 24, 72, 96, 168, 144],
  gdt: 192,
  idt: 208,
  /** Of a table's 16 bytes. */
  table: { base: 0, limit: 8 },
  cr0: 224,
  cr2: 232,
  cr3: 240,
  cr4: 248,
  cr8: 256,
  efer: 264,
  apicBase: 272,
  /** 256 bits: the vector of an external interrupt that was taken and is not delivered yet. */
  interruptBitmap: 280,
} as const;
export const Sregs2 = { size: 320, flags: 280, pdptrs: 288 } as const;
/** kvm_sregs2.flags. */
export const SREGS2_PDPTRS_VALID = 1;

/** struct kvm_debugregs. */
export const DebugRegs = { size: 128, db: 0, dr6: 32, dr7: 40, flags: 48 } as const;

/** struct kvm_vcpu_events. */
export const Events = {
  size: 64,
  exception: { injected: 0, nr: 1, hasErrorCode: 2, pending: 3, errorCode: 4 },
  interrupt: { injected: 8, nr: 9, soft: 10, shadow: 11 },
  nmi: { injected: 12, pending: 13, masked: 14 },
  sipiVector: 16,
  flags: 20,
  smi: { smm: 24, pending: 25, smmInsideNmi: 26, latchedInit: 27 },
  tripleFaultPending: 28,
  exceptionHasPayload: 55,
  exceptionPayload: 56,
} as const;
/** kvm_vcpu_events.flags: which of its parts count. */
export const EventsValid = { nmiPending: 1, sipiVector: 2, shadow: 4, smm: 8, payload: 16, tripleFault: 32 } as const;
export const EventsShadow = { movSs: 1, sti: 2 } as const;

/** struct kvm_xsave: an XSAVE area in the standard format. */
export const XSAVE_BYTES = 4096;
/** Offsets in it, and in the legacy region. The place of PKRU is CPUID's to tell. */
export const Xsave = {
  fcw: 0,
  fsw: 2,
  /** One bit a physical register: not empty. */
  ftw: 4,
  fop: 6,
  fip: 8,
  fdp: 16,
  mxcsr: 24,
  mxcsrMask: 28,
  st: 32,
  xmm: 160,
  xstateBv: 512,
  xcompBv: 520,
  ymmh: 576,
} as const;
/** Components by their bits of XSTATE_BV and XCR0. */
export const Component = { x87: 1, sse: 2, avx: 4, pkru: 0x200 } as const;
export const PKRU_COMPONENT = 9;

/** struct kvm_xcrs: up to 16 of 16 bytes. */
export const Xcrs = { size: 392, nrXcrs: 0, flags: 4, xcr: 8, value: 16 } as const;

/** struct kvm_msrs: a count, padding, entries of index, padding and value. */
export const Msrs = { header: 8, entry: 16, index: 0, data: 8 } as const;
/** struct kvm_msr_list: a count and indices. */
export const MsrList = { header: 4 } as const;

/** struct kvm_cpuid2: a count, padding, entries. */
export const Cpuid2 = { header: 8, entry: 40, function: 0, index: 4, flags: 8, registers: 12 } as const;
/** kvm_cpuid_entry2.flags: the subleaf counts. */
export const CPUID_SIGNIFICANT_INDEX = 1;

/** struct kvm_msr_filter: flags, and 16 ranges with bitmaps, which are pointers. */
export const MsrFilter = { size: 392, ranges: 8, range: 24, flags: 0, nmsrs: 4, base: 8, bitmap: 16 } as const;
export const MSR_FILTER_DEFAULT_DENY = 1;
export const MsrFilterRange = { read: 1, write: 2 } as const;
export const MSR_FILTER_RANGES = 16;
/** The value of KVM_CAP_X86_USER_SPACE_MSR: which accesses leave to user space. */
export const MsrExitReason = { inval: 1, unknown: 2, filter: 4 } as const;

/** struct kvm_guest_debug. */
export const GuestDebug = { size: 72, control: 0, debugreg: 8 } as const;
export const GuestDebugControl = { enable: 1, singleStep: 2, useSwBp: 0x1_0000, useHwBp: 0x2_0000 } as const;

/** struct kvm_enable_cap. */
export const EnableCap = { size: 104, cap: 0, flags: 4, args: 8 } as const;

/** struct kvm_device_attr, of vCPUs here: the offset between the host's time-stamp counter and the guest's. */
export const DeviceAttr = { size: 24, flags: 0, group: 4, attr: 8, addr: 16 } as const;

/** Of vCPUs: the offset of the guest's time-stamp counter from the host's. */
export const TSC_CTRL_GROUP = 0;
export const TSC_CTRL_OFFSET = 0;

/** Parts of `kvm_run.s.regs`, and their bits in KVM_CAP_SYNC_REGS and the masks of kvm_run. */
export const SyncRegs = { size: 520, regs: 0, sregs: 144, events: 456 } as const;
export const SyncRegsBit = { regs: 1, sregs: 2, events: 4 } as const;

export const KvmX86 = {
  getMsrIndexList: iowr(0x02, 4),
  getSupportedCpuid: iowr(0x05, 8),
  setTssAddr: io(0x47),
  setIdentityMapAddr: iow(0x48, 8),
  getRegs: ior(0x81, Regs.size),
  setRegs: iow(0x82, Regs.size),
  getSregs: ior(0x83, Sregs.size),
  setSregs: iow(0x84, Sregs.size),
  interrupt: iow(0x86, 4),
  getMsrs: iowr(0x88, 8),
  setMsrs: iow(0x89, 8),
  getLapic: ior(0x8e, 1024),
  setLapic: iow(0x8f, 1024),
  setCpuid2: iow(0x90, 8),
  getCpuid2: iowr(0x91, 8),
  nmi: io(0x9a),
  getVcpuEvents: ior(0x9f, Events.size),
  setVcpuEvents: iow(0xa0, Events.size),
  getDebugregs: ior(0xa1, DebugRegs.size),
  setDebugregs: iow(0xa2, DebugRegs.size),
  setTscKhz: io(0xa2),
  getTscKhz: io(0xa3),
  getXsave: ior(0xa4, XSAVE_BYTES),
  setXsave: iow(0xa5, XSAVE_BYTES),
  getXcrs: ior(0xa6, Xcrs.size),
  setXcrs: iow(0xa7, Xcrs.size),
  setDeviceAttr: iow(0xe1, 24),
  setMsrFilter: iow(0xc6, MsrFilter.size),
  getSregs2: ior(0xcc, Sregs2.size),
  setSregs2: iow(0xcd, Sregs2.size),
} as const;

export const CapX86 = {
  extCpuid: 7,
  setGuestDebug: 23,
  vcpuEvents: 41,
  debugregs: 50,
  xsave: 55,
  xcrs: 56,
  tscControl: 60,
  getTscKhz: 61,
  tscDeadlineTimer: 72,
  splitIrqchip: 121,
  vcpuAttributes: 127,
  exceptionPayload: 164,
  userSpaceMsr: 188,
  msrFilter: 189,
  enforcePvFeatureCpuid: 190,
  sregs2: 200,
  exitOnEmulationFailure: 204,
  xsave2: 208,
  tripleFaultEvent: 218,
} as const;

/** Model-specific registers, by the SDM's names. */
export const Msr = {
  tsc: 0x10,
  apicBase: 0x1b,
  tscAdjust: 0x3b,
  smbase: 0x9e,
  sysenterCs: 0x174,
  sysenterEsp: 0x175,
  sysenterEip: 0x176,
  miscEnable: 0x1a0,
  mtrrPhysBase0: 0x200,
  mtrrFixed: [0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f],
  pat: 0x277,
  mtrrDefType: 0x2ff,
  tscDeadline: 0x6e0,
  pkrs: 0x6e1,
  x2apicTpr: 0x808,
  hyperVTpr: 0x4000_0072,
  xss: 0xda0,
  efer: 0xc000_0080,
  star: 0xc000_0081,
  lstar: 0xc000_0082,
  cstar: 0xc000_0083,
  fmask: 0xc000_0084,
  fsBase: 0xc000_0100,
  gsBase: 0xc000_0101,
  kernelGsBase: 0xc000_0102,
  tscAux: 0xc000_0103,
  kvmWallClock: 0x4b56_4d00,
  kvmSystemTime: 0x4b56_4d01,
} as const;
