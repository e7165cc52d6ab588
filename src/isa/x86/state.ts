/**
 * The state of one x86 CPU: what every accelerator runs from.
 *
 * Spec: Intel 64 and IA-32 Architectures Software Developer's Manual (SDM),
 * order number 325462-080US, volume 1 "Basic Program Execution Registers",
 * volume 3 "System Architecture Overview".
 *
 * Departures of form: `pc` is the linear address of the next instruction (CS
 * base included); the six arithmetic flags stand as lazy operands (flags.ts)
 * and only the others in `eflags`.
 */
import { array, bytes, initially, layout, place, u32, u64 } from '../../state/layout.ts';

/** Segment registers by their number in instructions; LDTR and TR after them. */
export const Seg = { es: 0, cs: 1, ss: 2, ds: 3, fs: 4, gs: 5, ldtr: 6, tr: 7 } as const;
export const SEG_NAMES = ['es', 'cs', 'ss', 'ds', 'fs', 'gs', 'ldtr', 'tr'] as const;

/** Bits of a cached segment's attributes: bits 8 to 23 of a descriptor's second word, less 8. */
export const Attr = {
  type: 0xf,
  /** Of a code or data segment: accessed, writable or readable, conforming or expand-down, code. */
  accessed: 1,
  writable: 2,
  conforming: 4,
  code: 8,
  /** Not a system segment. */
  s: 0x10,
  dpl: 0x60,
  present: 0x80,
  avl: 0x1000,
  long: 0x2000,
  /** D or B: 32-bit default size or stack. */
  big: 0x4000,
  granular: 0x8000,
  /** Ours: the selector is null and the segment unusable. */
  unusable: 0x10000,
} as const;

export const Eflags = {
  cf: 1,
  fixed: 2,
  pf: 4,
  af: 0x10,
  zf: 0x40,
  sf: 0x80,
  tf: 0x100,
  if: 0x200,
  df: 0x400,
  of: 0x800,
  iopl: 0x3000,
  nt: 0x4000,
  rf: 0x10000,
  vm: 0x20000,
  ac: 0x40000,
  vif: 0x80000,
  vip: 0x100000,
  id: 0x200000,
  /** The flags that arithmetic sets. */
  arithmetic: 0x8d5,
} as const;

export const Cr0 = {
  pe: 1,
  mp: 2,
  em: 4,
  ts: 8,
  et: 0x10,
  ne: 0x20,
  wp: 0x10000,
  am: 0x40000,
  nw: 0x2000_0000,
  cd: 0x4000_0000,
  pg: 0x8000_0000,
} as const;
export const Cr4 = {
  vme: 1,
  pvi: 2,
  tsd: 4,
  de: 8,
  pse: 0x10,
  pae: 0x20,
  mce: 0x40,
  pge: 0x80,
  pce: 0x100,
  osfxsr: 0x200,
  osxmmexcpt: 0x400,
  umip: 0x800,
  la57: 0x1000,
  fsgsbase: 0x1_0000,
  pcide: 0x2_0000,
  osxsave: 0x4_0000,
  smep: 0x10_0000,
  smap: 0x20_0000,
  pke: 0x40_0000,
  pks: 0x100_0000,
} as const;
export const Efer = { sce: 1, lme: 0x100, lma: 0x400, nxe: 0x800 } as const;

/** Exceptions by vector. SDM volume 3, "Protected-Mode Exceptions and Interrupts". */
export const Vector = {
  de: 0,
  db: 1,
  nmi: 2,
  bp: 3,
  of: 4,
  br: 5,
  ud: 6,
  nm: 7,
  df: 8,
  ts: 10,
  np: 11,
  ss: 12,
  gp: 13,
  pf: 14,
  mf: 16,
  ac: 17,
  mc: 18,
  xm: 19,
} as const;

/**
 * What code is translated for: operand size, privilege, and whether segments
 * must be looked at. In the flat modes CS, DS, ES and SS begin at 0 and span
 * 4 GiB, and SS.B is set. `…Ac` is supervisor code that may touch user pages
 * while SMAP is on (EFLAGS.AC).
 */
export const Mode = {
  long: 0,
  longAc: 1,
  longUser: 2,
  flat: 3,
  flatAc: 4,
  flatUser: 5,
  segmented: 6,
  segmentedAc: 7,
  segmentedUser: 8,
  small: 9,
  smallAc: 10,
  smallUser: 11,
} as const;
export const MODES = 12;
/** Translations of data accesses: supervisor, supervisor with AC, user. */
export const REGIMES = 3;
export const regimeOf = (mode: number): number => mode % 3;
/** Bits of code in a mode: 64, 32 or 16. */
export const bitsOf = (mode: number): 16 | 32 | 64 => (mode < 3 ? 64 : mode < 9 ? 32 : 16);
export const isSegmented = (mode: number): boolean => mode >= Mode.segmented;

export const X86_CPU = layout('x86-cpu', 1, {
  /** rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 ... r15. */
  gpr: array(u64, 16),
  /** Linear address of the next instruction. */
  pc: initially(u64, 0xffff_fff0n),
  /** Operands of the lazy flags: see flags.ts. */
  ccA: u64,
  ccB: u64,
  ccC: u64,
  ccOp: u32,
  /** EFLAGS without the arithmetic flags. */
  eflags: initially(u32, Eflags.fixed),
  /** 16 registers of 16 bytes, and the upper halves of the 32-byte registers. */
  xmm: array(u64, 32),
  ymmh: array(u64, 32),
  /** Physical x87 registers, 16 bytes each: significand, then sign and exponent. */
  fpr: array(u64, 16),
  /** By Seg. */
  segBase: array(u64, 8),
  segSelector: array(u32, 8),
  /** In bytes, inclusive. */
  segLimit: array(u32, 8),
  segAttr: array(u32, 8),
  gdtBase: u64,
  idtBase: u64,
  gdtLimit: initially(u32, 0xffff),
  idtLimit: initially(u32, 0xffff),
  cr0: initially(u64, 0x6000_0010n),
  cr2: u64,
  cr3: u64,
  cr4: u64,
  efer: u64,
  /** Of the page-directory-pointer table with PAE paging. */
  pdpte: array(u64, 4),
  xcr0: initially(u64, 1n),
  xss: u64,
  pkrs: u64,
  dr: array(u64, 4),
  dr6: initially(u64, 0xffff_0ff0n),
  dr7: initially(u64, 0x400n),
  star: u64,
  lstar: u64,
  cstar: u64,
  fmask: u64,
  kernelGsBase: u64,
  tscAux: u64,
  /** What software has added to the clock's TSC: IA32_TSC_ADJUST. */
  tscOffset: u64,
  sysenterCs: u64,
  sysenterEsp: u64,
  sysenterEip: u64,
  pat: initially(u64, 0x0007_0406_0007_0406n),
  miscEnable: initially(u64, 1n),
  mtrrDefType: u64,
  mtrrFixed: array(u64, 11),
  mtrrBase: array(u64, 8),
  mtrrMask: array(u64, 8),
  smbase: initially(u64, 0x30000n),
  instret: u64,
  pkru: u32,
  mxcsr: initially(u32, 0x1f80),
  fcw: initially(u32, 0x40),
  /** Status word without TOP, which is `ftop`. */
  fsw: u32,
  ftop: u32,
  /** Two bits a physical register as in the tag word. */
  ftag: initially(u32, 0x5555),
  fop: u32,
  fip: u64,
  fdp: u64,
  fcs: u32,
  fds: u32,
  /** Current privilege level. */
  cpl: u32,
  /** Derived: see Mode. */
  mode: initially(u32, Mode.small),
  /** Derived: rSP's part that is used: 0xffff, 0xffffffff or all ones. */
  stackMask: initially(u64, 0xffffn),
  /** Derived, not zero where x87, SSE, AVX instructions may be executed. */
  x87On: initially(u32, 1),
  sseOn: u32,
  avxOn: u32,
  /** Derived: MXCSR has default rounding, masked exceptions and PE set, so that host arithmetic may be used. */
  sseFast: u32,
  /** Inputs: bits of Line. */
  lines: u32,
  /** In HLT. */
  waiting: u32,
  /** Waits for a start-up message, or shut down. */
  stopped: u32,
  /** Triple fault. */
  shutdown: u32,
  /** Interrupts wait for one more instruction: a value of Shadow. */
  shadow: u32,
  /** Where the instruction behind the last STI stands: before it, and nowhere else, interrupts wait, too. */
  heldPc: initially(u64, (1n << 64n) - 1n),
  nmiBlocked: u32,
  /** Bits of Smm. */
  inSmm: u32,
  attention: u32,
  /** The vector being delivered, for double faults; -1 when none. */
  delivering: initially(u32, 0xffff_ffff),
  /** What the last translation found: the page is global; address bits of the page; with a fault, the address. */
  lastGlobal: u32,
  lastShift: u32,
  faultAddress: u64,
  /** Second results of IR functions. */
  result: u64,
  result2: u64,
  /** Physical address bits, from CPUID: reserved bits of page tables follow. */
  physicalBits: initially(u32, 40),
  /** Bits of CR4 that the processor does not have, beside those that none has. */
  cr4Missing: u64,
  /** Linear address bits that the processor can have, whether CR4.LA57 is set or not: 48 or 57. */
  linearBits: initially(u32, 48),
  /** MONITOR's address, physical, and whether it is armed. */
  monitor: u64,
  monitorArmed: u32,
  /** Bytes of XSAVE's legacy region that are neither registers nor defined. */
  fxReserved: bytes(48),
  /** Trap after this instruction: bits of DR6. */
  pendingDebug: u32,
  /** Working memory of the x87 FPU's arithmetic: see x87-unit.ts. */
  x87Scratch: bytes(144),
  /** A20 gate: all ones, or bit 20 clear. */
  a20: initially(u64, 0xffff_ffff_ffff_ffffn),
  /** An external interrupt that the controller has been told is taken, and that is not delivered yet: ACCEPTED | vector. */
  accepted: u32,
  /** Ticks of the time-stamp counter a nanosecond, the bits of a double. */
  tscRate: initially(u64, 0x3ff0_0000_0000_0000n),
  /** What a change of accelerator added to the clock's TSC; not seen but in the sum. */
  tscSkew: u64,
  /** Interrupts and exceptions are told to the board (HostCall.logInterrupt, logException). */
  logEvents: u32,
});

export const ACCEPTED = 0x100;

/** What holds interrupts back for an instruction; a load of SS also holds breakpoints back. */
export const Shadow = { none: 0, sti: 1, stack: 2 } as const;

/** Bits of DR6. */
export const Dr6 = {
  breakpoints: 15,
  /** Access to a debug register while DR7.GD is set. */
  bd: 0x2000,
  /** Single step. */
  bs: 0x4000,
  /** Task switch. */
  bt: 0x8000,
  /** All of these. */
  known: 0xe00f,
  /** Bits that read as 1. */
  ones: 0xffff_0ff0,
} as const;
export const Dr7 = { enabled: 0xff, gd: 0x2000 } as const;

/** Bits of `inSmm`. */
export const Smm = { inside: 1, nmiWasBlocked: 2 } as const;

/** Bits of `lines`. */
export const Line = { intr: 1, nmi: 2, smi: 4 } as const;

export const PLACE = place(X86_CPU);
/** Byte offsets of the fields in a CPU's state. */
export const AT = PLACE.offset as Readonly<Record<keyof typeof X86_CPU.fields, number>>;
export type FieldName = keyof typeof AT;

/** The fields of 32 bits. */
export const FIELD_32: ReadonlySet<string> = new Set(
  Object.entries(X86_CPU.fields)
    .filter(([, field]) => (field.kind === 'array' ? field.of.size : field.kind === 'scalar' ? field.size : 0) === 4)
    .map(([name]) => name),
);
