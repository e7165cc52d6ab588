/** What handlers and the dispatcher say to one another, and the numbers that mean it. */
import type { Signature } from './module.ts';

/** A handler takes the address of its operation and the instructions left of the budget; it returns a `Reason`. */
export const HANDLER: Signature = { params: ['i32', 'i32'], result: 'i32' };

/** Why a handler came back to the dispatcher; those from `budget` on go to the host. */
export const Reason = {
  /** Look up the pc and go on. */
  next: 0,
  /** The same, but mode, translation or interrupts may have changed. */
  changed: 1,
  budget: 2,
  /** The operation at pc is not decoded. */
  decode: 3,
  /** The pc is worth compiling. */
  hot: 4,
  /** The page at pc has no decoded page. */
  page: 5,
  /** The pc is in a device's memory. */
  device: 6,
  /** The instruction at pc reaches into the next page. */
  straddle: 7,
  illegal: 8,
  /** The place of the operation at pc is taken: the host executes the instruction. */
  inside: 9,
  halt: 10,
  /** An interrupt is to be taken after the next instruction. */
  single: 11,
} as const;

/** Handlers that belong to no instruction, by their fixed numbers in the table. */
export const Fixed = {
  undecoded: 0,
  pageEnd: 1,
  straddle: 2,
  illegal: 3,
  /** An instruction that reaches into the next page and has been decoded behind the page's last slot. */
  straddleKnown: 4,
  /** As `undecoded`, and a later part of an instruction: a store here must drop it. */
  tail: 5,
  /** The second word of the operation before. */
  inside: 6,
  /** As `straddle`, and it has been executed. */
  straddleSeen: 7,
  first: 8,
} as const;

/** Numbers of handlers are below this; compiled regions come after. */
export const HANDLER_BITS = 14;
export const HANDLER_LIMIT = 1 << HANDLER_BITS;
/** Numbers of regions are below this: with a handler's number they fill the positive side cells. */
export const REGION_LIMIT = 2 ** (31 - HANDLER_BITS);
/** What side cells count up from where no region is wanted. */
export const DECLINED = -(2 ** 31);
/** Executions of a place before it is compiled, unless told otherwise. */
export const HOT = 1000;
