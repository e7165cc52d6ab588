/**
 * Where everything of the JIT lies in the shared memory.
 *
 * One block per CPU: its state, the JIT's own cells, the instruction and data
 * TLBs. Then what all CPUs share: the map from pages of guest memory to decoded
 * pages, the decoded pages, and guest memory last.
 */
import type { Isa } from '../../isa/isa.ts';
import { backingSize, type MemoryShape } from '../space.ts';

/** The first 64 KiB stay empty: no valid address is near zero. */
const FIRST_CPU = 0x10000;

// Within a CPU's block: the JIT's cells follow the state.
const CELLS = 0xc00;
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
  /** i32: byte offset of the current regime's tables from those of regime 0. */
  regimeTables: CELLS + 52,
  /** i64: virtual address of the store in `scratch`. */
  pendingVa: CELLS + 56,
  /** i32: number of entries in the fill lists: not global, global. */
  filled: CELLS + 64,
  filledGlobal: CELLS + 68,
  /** i64: range of virtual addresses in which translations of large pages lie. */
  largeLow: CELLS + 80,
  largeHigh: CELLS + 88,
  /** i32: the budget at the last time that the count of instructions was brought up to date. */
  given: CELLS + 96,
  /** i64: operand of a host call. */
  operand: CELLS + 72,
  /** 16 bytes: a load across pages. */
  across: CELLS + 112,
  /** i32: how often a place is executed before it is compiled. */
  hot: CELLS + 100,
  /** 16 bytes: what `guest_read` gives of a device. */
  guest: CELLS + 128,
  /** i32: the keys of jumps that are in force: not global, global; see goto.ts. */
  jumpKey: CELLS + 152,
  jumpKeyGlobal: CELLS + 156,
  /** i64: the tag of the data TLB's entry that an access in compiled code missed; nobody reads it, see `keepTag`. */
  tag: CELLS + 144,
} as const;

/** Instruction TLB: entries of 16 bytes: tag (page | mode + 1), decoded page, whether the translation is global. */
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
/** Where jumps lead, see goto.ts: entries of 16 bytes: pc, key, the region's number. */
export const JUMPS = DTLB + REGIMES * 2 * DTLB_TABLE;
export const JUMP_ENTRIES = 4096;
export const CPU_BLOCK = JUMPS + JUMP_ENTRIES * 16;

export const OPERATION = 8;
/** Instructions across pages, see across-pages.ts: entries, and bytes of each. */
export const ACROSS_ENTRIES = 1024;
export const ACROSS_ENTRY = 64;
/** How many pages of code are kept decoded; when they are used up all are dropped. */
export const DECODED_PAGES = 4096;

/** A decoded page: an 8-byte operation for each granule, end marks, then a 4-byte side cell for each granule. */
export interface PageLayout {
  readonly granule: number;
  /** log2 of the granule. */
  readonly shift: number;
  readonly slots: number;
  /** Of the 8 slots after the last: where an instruction that begins in the page's last slot is decoded. */
  readonly straddleSlot: number;
  /** i32: the granule of the next page that belongs to it. */
  readonly straddleHalf: number;
  readonly side: number;
  /** Bytes of all of it. */
  readonly size: number;
}

export function pageLayout(granule: 1 | 2 | 4): PageLayout {
  const slots = 4096 / granule;
  const side = slots * OPERATION + 64;
  return {
    granule,
    shift: Math.log2(granule),
    slots,
    straddleSlot: slots + 2,
    straddleHalf: (slots + 6) * OPERATION,
    side,
    size: side + slots * 4,
  };
}

/**
 * Whether an instruction that reaches into the next page can be kept decoded: where only the last granule of a page can
 * begin one, which ends with the next page's first.
 */
export const keepsStraddling = (isa: Isa): boolean => isa.granule === 2 && isa.maxLength === 4;

export interface JitLayout {
  readonly page: PageLayout;
  readonly cpu: (index: number) => number;
  /** One past the last CPU's block. */
  readonly cpusEnd: number;
  /** u8 for each page of guest memory: not 0 while it has a decoded page in some mode. */
  readonly codeMarks: number;
  /** i32 for each page of guest memory and each mode: its decoded page or 0. */
  readonly pageMap: number;
  readonly modes: number;
  readonly decoded: number;
  /** The first of them: a page of its own for single instructions that have none. */
  readonly single: number;
  /** The table of instructions across pages. */
  readonly across: number;
  /** How many decoded pages there is room for. */
  readonly decodedPages: number;
  /** End of the tables. */
  readonly end: number;
}

export function jitLayout(isa: Isa, cpus: number, shape: MemoryShape): JitLayout {
  // Behind the state lie 16 bytes of the reference accelerator's.
  if (isa.stateSize + 16 > CELLS) throw new RangeError('the CPU state has outgrown its place');
  const page = pageLayout(isa.granule);
  const pages = backingSize(shape) / 4096;
  const cpusEnd = FIRST_CPU + cpus * CPU_BLOCK;
  const pageMap = Math.ceil((cpusEnd + pages) / 64) * 64;
  const across = Math.ceil((pageMap + pages * isa.modes * 4) / 64) * 64;
  const decoded = across + ACROSS_ENTRIES * ACROSS_ENTRY;
  return {
    page,
    cpu: (index) => FIRST_CPU + index * CPU_BLOCK,
    cpusEnd,
    codeMarks: cpusEnd,
    pageMap,
    modes: isa.modes,
    decoded,
    single: decoded,
    across,
    decodedPages: DECODED_PAGES,
    end: decoded + DECODED_PAGES * page.size + 64,
  };
}
