/** What the RISC-V code asks of its accelerator and board. */
import { hostFunction } from '../../ir/code.ts';

/** Drops cached translations: 0 all of them, 1 those that are not global. */
export const tlbFlush = hostFunction('tlb_flush', ['i32']);
/** Drops the cached translation of one virtual page, global or not. */
export const tlbFlushPage = hostFunction('tlb_flush_page', ['i64']);
/** The time counter: ticks of 100 ns, a whole number. */
export const readTime = hostFunction('read_time', [], 'f64');
/** Answers `ecall` from S-mode: the built-in SBI. */
export const firmwareCall = hostFunction('firmware_call', []);
/** Reads 8 bytes of guest-physical RAM at an aligned address; only where `isRam` holds. */
export interface Ram {
  /** Guest-physical address of the first byte. */
  readonly base: number;
  readonly size: number;
  /** Where it lies in linear memory. */
  readonly host: number;
}
