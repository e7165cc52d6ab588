/**
 * The state of one RISC-V hart: what every accelerator runs from.
 *
 * Spec: RISC-V Instruction Set Manual 20240411, Volume II, "CSR Listing"; the
 * fields below the CSRs are ours.
 */
import { array, initially, layout, place, u32, u64 } from '../../state/layout.ts';

export const HART = layout('riscv-hart', 1, {
  x: array(u64, 32),
  f: array(u64, 32),
  pc: u64,
  mstatus: initially(u64, 0xa_0000_0000n), // UXL = SXL = 64
  mie: u64,
  /** Bits of mip that software wrote. */
  mip: u64,
  medeleg: u64,
  mideleg: u64,
  mtvec: u64,
  mscratch: u64,
  mepc: u64,
  mcause: u64,
  mtval: u64,
  menvcfg: u64,
  stvec: u64,
  sscratch: u64,
  sepc: u64,
  scause: u64,
  stval: u64,
  satp: u64,
  senvcfg: u64,
  stimecmp: initially(u64, 0xffff_ffff_ffff_ffffn),
  mcounteren: u64,
  scounteren: u64,
  /** Instructions retired, kept up to date between runs. */
  instret: u64,
  /** What a guest wrote to mcycle and minstret, as differences to `instret`. */
  mcycleOffset: u64,
  minstretOffset: u64,
  pmpaddr: array(u64, 16),
  /** First and one past the last byte of each PMP entry; equal when it is off. */
  pmpLow: array(u64, 16),
  pmpHigh: array(u64, 16),
  pmpcfg0: u64,
  pmpcfg2: u64,
  /** Address and value that LR saw. */
  reservation: u64,
  reserved: u64,
  hartid: u64,
  /** tval of the fault that `translate` reports. */
  faultTval: u64,
  fflags: u32,
  frm: u32,
  /** 0 = U, 1 = S, 3 = M. */
  priv: initially(u32, 3),
  /** Which TLB data accesses use and what code they are part of: see mmu.ts. */
  regime: initially(u32, 3),
  /** The reservation is valid. */
  reservationValid: u32,
  /** Interrupt inputs: bits of mip driven by hardware. */
  lines: u32,
  /** In WFI. */
  waiting: u32,
  /** Not running: SBI HSM. */
  stopped: u32,
  /** ecall from S-mode is answered by the board. */
  sbi: u32,
  /** Derived: mstatus.FS is not Off. */
  fpOn: u32,
  /** Derived: mstatus.FS is Dirty. */
  fpDirty: u32,
  /** Derived: inexact is already flagged and rounding is to nearest-even, so host arithmetic may be used. */
  fpFast: u32,
  /** Somebody wants the run loop to look up. */
  attention: u32,
  /** Set while an instruction must go through the interpreter. */
  interpret: u32,
  /** The last translation that succeeded came from a global mapping. */
  lastGlobal: u32,
  /** Address bits of the page of the last translation that succeeded: 12, 16, 21, 30, ... */
  lastShift: u32,
  /** Derived: not zero where M-mode data accesses use MPP's translation; a number for each kind, see `updateRegime`. */
  mprvOn: u32,
  /** Number of PMP entries to look at. */
  pmpCount: u32,
});

export const PLACE = place(HART);
/** Byte offsets of the fields in a hart's state. */
export const AT = PLACE.offset as Readonly<Record<keyof typeof HART.fields, number>>;

export const PRIV_U = 0;
export const PRIV_S = 1;
export const PRIV_M = 3;

/**
 * Regimes of address translation, by what data accesses may do. Compiled code
 * belongs to one regime; each has a TLB of its own.
 */
export const REGIME_U = 0;
export const REGIME_S = 1;
/** S-mode with SUM: user pages may be touched. */
export const REGIME_S_SUM = 2;
/** M-mode; also M-mode with MPRV, which flushes when it changes. */
export const REGIME_M = 3;

/** Causes of exceptions. Spec: "Machine Cause (mcause) Register". */
export const Cause = {
  instructionMisaligned: 0,
  instructionAccess: 1,
  illegalInstruction: 2,
  breakpoint: 3,
  loadMisaligned: 4,
  loadAccess: 5,
  storeMisaligned: 6,
  storeAccess: 7,
  ecallU: 8,
  ecallS: 9,
  ecallM: 11,
  instructionPage: 12,
  loadPage: 13,
  storePage: 15,
} as const;

/** Bits of mip and mie. */
export const Interrupt = {
  ssi: 1,
  msi: 3,
  sti: 5,
  mti: 7,
  sei: 9,
  mei: 11,
} as const;

/** Bits of mstatus. */
export const Mstatus = {
  SIE: 1,
  MIE: 3,
  SPIE: 5,
  MPIE: 7,
  SPP: 8,
  MPP: 11,
  FS: 13,
  VS: 9,
  MPRV: 17,
  SUM: 18,
  MXR: 19,
  TVM: 20,
  TW: 21,
  TSR: 22,
  SD: 63,
} as const;
