/**
 * Where everything of the JIT lies in the shared memory.
 *
 * One block per hart: its state, the JIT's own cells, the instruction and data
 * TLBs. Then what all harts share: the map from physical pages to decoded
 * pages, the decoded pages, and guest RAM last.
 */
import { PLACE } from '../../isa/riscv/state.ts';

/** The first 64 KiB stay empty: no valid address is near zero. */
const FIRST_HART = 0x10000;

// Within a hart's block: the JIT's cells follow the state.
const CELLS = 0x800;
if (PLACE.size > CELLS) throw new RangeError('the hart state has outgrown its place');
export const CELL = {
  /** i32: instructions left of this run. */
  budget: CELLS,
  /** i32: the next instruction must go through the interpreter. */
  interpret: CELLS + 4,
  /** i64: virtual address of the page that the interpreter is in. */
  pageVa: CELLS + 8,
  /** i32: the decoded page that the interpreter is in. */
  page: CELLS + 16,
  /** i32: cause of the fault that a slow path found. */
  faultCause: CELLS + 20,
  /** i64: its tval. */
  faultTval: CELLS + 24,
  /** 16 bytes: where a load that is no plain access to RAM leaves its value, and a store its operand. */
  scratch: CELLS + 32,
  /** i32: bytes of a store that waits in `scratch`; 0 when none. */
  pendingSize: CELLS + 48,
  /** i32: tag of the data TLB in use: byte offset from the block of the current regime's tables. */
  regimeTables: CELLS + 52,
  /** i64: virtual address of the store in `scratch`. */
  pendingVa: CELLS + 56,
  /** i32: number of entries in the fill lists: not global, global. */
  filled: CELLS + 64,
  filledGlobal: CELLS + 68,
  /** i64: range of virtual addresses in which translations of large pages lie. */
  largeLow: CELLS + 80,
  largeHigh: CELLS + 88,
  /** i32: the budget at the last time that instret was brought up to date. */
  given: CELLS + 96,
  /** i64: operand of a host call. */
  operand: CELLS + 72,
} as const;

/** Instruction TLB: entries of 16 bytes: tag (page | regime + 1), decoded page. */
export const ITLB = 0x1000;
export const ITLB_ENTRIES = 512;
/** Fill lists: addresses of data TLB entries in use. */
export const FILL_LIMIT = 4096;
export const FILLS = ITLB + ITLB_ENTRIES * 16;
export const FILLS_GLOBAL = FILLS + FILL_LIMIT * 4;

/** Data TLB: per regime a table for loads and one for stores; entries of 16 bytes: tag, addend. */
export const DTLB = 0x10000;
export const DTLB_ENTRIES = 8192;
export const DTLB_TABLE = DTLB_ENTRIES * 16;
export const REGIMES = 4;
export const dtlb = (regime: number, store: boolean): number => DTLB + (regime * 2 + (store ? 1 : 0)) * DTLB_TABLE;
export const HART_BLOCK = DTLB + REGIMES * 2 * DTLB_TABLE;

/** A decoded page: an 8-byte operation for each halfword, an end mark, then a 4-byte cell for each. */
export const SLOTS = 2048;
export const OPERATION = 8;
/** Of the 8 slots after the last: where the long instruction that begins in the page's last halfword is decoded. */
export const STRADDLE_SLOT = SLOTS + 2;
/** i32: the halfword of the next page that belongs to it. */
export const STRADDLE_HALF = (SLOTS + 6) * OPERATION;
export const SIDE = SLOTS * OPERATION + 64;
export const DECODED_PAGE = SIDE + SLOTS * 4;

/** How many pages of code are kept decoded; when they are used up all are dropped. */
export const DECODED_PAGES = 4096;

export interface JitLayout {
  readonly hart: (index: number) => number;
  /** i32 for each regime of each RAM page: its decoded page or 0. */
  readonly pageMap: number;
  readonly decoded: number;
  /** End of the tables: where RAM may begin. */
  readonly end: number;
}

export function jitLayout(harts: number, ramSize: number): JitLayout {
  const pageMap = FIRST_HART + harts * HART_BLOCK;
  const decoded = pageMap + (ramSize / 4096) * REGIMES * 4;
  return {
    hart: (index) => FIRST_HART + index * HART_BLOCK,
    pageMap,
    decoded: Math.ceil(decoded / 64) * 64,
    end: decoded + DECODED_PAGES * DECODED_PAGE + 64,
  };
}
