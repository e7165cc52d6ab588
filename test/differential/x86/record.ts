/**
 * A few instructions with all that they start from, and what comes of them:
 * what the native runner reads and writes, and our side takes and gives.
 */
import { Random } from '../random.ts';

/** Where code and data lie, in every address space that the instructions run in. */
export const CODE = 0x2000_0000;
export const CODE_BYTES = 0x1000;
export const DATA = 0x1000_0000;
/** Writable bytes of the data area; one page that can only be read follows, and nothing else. */
export const DATA_BYTES = 0x4000;
export const READ_ONLY_BYTES = 0x1000;
export const FS_BASE = DATA + 0x100;
export const GS_BASE = DATA + 0x1800;
/** What the code page is filled with: INT3. */
export const STOP = 0xcc;

/** Registers as an FXSAVE image and beside it. */
export interface Registers {
  /** rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 ... r15. */
  readonly gpr: BigUint64Array;
  flags: bigint;
  /** 512 bytes; the last 96 mean nothing. */
  readonly fx: Uint8Array;
  /** 256 bytes. */
  readonly ymmh: Uint8Array;
}

export interface Patch {
  /** Offset in the data area. */
  readonly at: number;
  readonly value: bigint;
}

/** Whether all segments span the address space, or begin at CODE and DATA with limits (32- and 16-bit code alone). */
export type Segments = 'flat' | 'based';
/** Limits of segments that are based, inclusive. */
export const CODE_LIMIT = CODE_BYTES - 1;
export const DATA_LIMIT = DATA_BYTES + READ_ONLY_BYTES - 1;

export interface Case {
  readonly bits: 16 | 32 | 64;
  /** Flat where nothing is said. */
  readonly segments?: Segments;
  /** Offset in the code page. */
  readonly at: number;
  /** The code, an instruction each. */
  readonly code: readonly Uint8Array[];
  readonly start: Registers;
  /** The data area is the pattern with these words changed. */
  readonly patches: readonly Patch[];
}

export interface Fault {
  readonly vector: number;
  readonly error: number;
  /** Of a page fault. */
  readonly address: bigint;
}

export interface Outcome {
  readonly end: Registers;
  /** Where it goes on, or the instruction that faulted. */
  readonly ip: bigint;
  readonly fault: Fault | undefined;
  /** Words of the data area that differ from the pattern, by their offsets. */
  readonly words: ReadonlyMap<number, bigint>;
}

export const newRegisters = (): Registers => ({
  gpr: new BigUint64Array(16),
  flags: 2n,
  fx: new Uint8Array(512),
  ymmh: new Uint8Array(256),
});

export const codeOf = ({ code }: Case): Uint8Array => Uint8Array.from(code.flatMap((bytes) => [...bytes]));

/** What the data area holds: numbers that arithmetic goes wrong on, integers and floats. */
export function pattern(seed: number): Uint8Array {
  const random = new Random(seed);
  const view = new DataView(new ArrayBuffer(DATA_BYTES));
  for (let at = 0; at < DATA_BYTES; at += 8)
    view.setBigUint64(at, random.chance(0.5) ? random.integer() : random.float(), true);
  return new Uint8Array(view.buffer);
}

// The layout of runner.c's `struct record` and `struct result`.

const CODE_ROOM = 64;
const PATCHES = 4;
const RECORD_BYTES = 8 + CODE_ROOM + 128 + 8 + 8 + 16 * PATCHES + 512 + 256;
const RESULT_BYTES = 128 + 16 + 8 + 32 + 8 + 512 + 256;

export function encodeRecords(cases: readonly Case[]): Uint8Array {
  const bytes = new Uint8Array(RECORD_BYTES * cases.length);
  const view = new DataView(bytes.buffer);
  cases.forEach((c, n) => {
    let at = RECORD_BYTES * n;
    const code = codeOf(c);
    if (code.length > CODE_ROOM || c.patches.length > PATCHES) throw new RangeError('a case that is too long');
    view.setUint32(at, c.at, true);
    view.setUint32(at + 4, code.length, true);
    bytes.set(code, at + 8);
    at += 8 + CODE_ROOM;
    for (let r = 0; r < 16; r++) view.setBigUint64(at + 8 * r, c.start.gpr[r], true);
    view.setBigUint64(at + 128, c.start.flags, true);
    view.setUint32(at + 136, c.patches.length, true);
    view.setUint32(at + 140, c.segments !== 'based' ? 0 : c.bits === 16 ? 1 : 2, true);
    at += 144;
    c.patches.forEach((patch, p) => {
      view.setUint32(at + 16 * p, patch.at, true);
      view.setBigUint64(at + 16 * p + 8, patch.value, true);
    });
    at += 16 * PATCHES;
    bytes.set(c.start.fx, at);
    bytes.set(c.start.ymmh, at + 512);
  });
  return bytes;
}

const PAGE_FAULT = 14;
const BREAKPOINT = 3;
/** The arithmetic flags and DF: of the others Linux does not let each case start with its own. */
export const FLAGS = 0xcd5n;

/** The outcomes that the runner wrote; there may be fewer than cases where it came to no end. */
export function decodeResults(bytes: Uint8Array): Outcome[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const outcomes: Outcome[] = [];
  let at = 0;
  while (at + RESULT_BYTES <= bytes.length) {
    const end = newRegisters();
    for (let r = 0; r < 16; r++) end.gpr[r] = view.getBigUint64(at + 8 * r, true);
    end.flags = view.getBigUint64(at + 128, true) & FLAGS;
    const ip = view.getBigUint64(at + 136, true);
    const vector = Number(view.getBigUint64(at + 160, true));
    const error = Number(view.getBigUint64(at + 168, true));
    const address = view.getBigUint64(at + 176, true);
    const words = view.getUint32(at + 184, true);
    end.fx.set(bytes.subarray(at + 192, at + 192 + 512));
    end.ymmh.set(bytes.subarray(at + 704, at + 704 + 256));
    at += RESULT_BYTES;
    if (at + 16 * words > bytes.length) break;
    const changed = new Map<number, bigint>();
    for (let w = 0; w < words; w++)
      changed.set(view.getUint32(at + 16 * w, true), view.getBigUint64(at + 16 * w + 8, true));
    at += 16 * words;
    const stopped = vector === BREAKPOINT;
    outcomes.push({
      end,
      ip: stopped ? ip - 1n : ip,
      fault: stopped ? undefined : { vector, error, address: vector === PAGE_FAULT ? address : 0n },
      words: changed,
    });
  }
  return outcomes;
}
