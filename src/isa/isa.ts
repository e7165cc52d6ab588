/**
 * What an instruction set is to the accelerators: decoding, instructions as IR,
 * address translation, exceptions, and where things stand in the CPU's state.
 * `riscv/isa.ts` is one; accelerators know no other way to a guest CPU.
 *
 * Words: a *mode* is what code is translated for (privilege, operand size);
 * code that was decoded in one mode is not run in another. A *regime* is what
 * data accesses may do; each has a TLB of its own. A *granule* is what
 * instructions are aligned to, bytes. An *operation* is a decoded instruction
 * as the interpreter tier has it.
 */
import { hostFunction, type IrFunction } from '../ir/code.ts';
import type { Insn, RegisterFile } from '../ir/insn.ts';
import { I32_LOAD, type Type } from '../ir/op.ts';
import { eqz32, type Value } from '../ir/value.ts';
import type { Layout } from '../state/layout.ts';

// What IR functions of an Isa may call; the accelerator stands behind these names.

/** Drops cached translations: 0 all of them, 1 those that are not global. */
export const tlbFlush = hostFunction('tlb_flush', ['i32']);
/** Drops the cached translation of one virtual page, global or not. */
export const tlbFlushPage = hostFunction('tlb_flush_page', ['i64']);
/** The board's clock in ticks of `Isa.tickNs`, a whole number. */
export const readTime = hostFunction('read_time', [], 'f64');
/** A firmware call that the board answers. */
export const firmwareCall = hostFunction('firmware_call', []);
/** port_read(port, size): the value, zero-extended. size: 1, 2 or 4 bytes. */
export const portRead = hostFunction('port_read', ['i32', 'i32'], 'i32');
/** port_write(port, size, value). */
export const portWrite = hostFunction('port_write', ['i32', 'i32', 'i32']);
/** Acknowledges the interrupt that is pending; its vector, or a negative number when there is none any more. */
export const acknowledge = hostFunction('acknowledge', [], 'i32');
/** host_call(number, a, b): what is rare and the board's (model-specific registers, CPUID, local APIC). */
export const hostCall = hostFunction('host_call', ['i32', 'i32', 'i32'], 'i32');
/**
 * guest_read(va, size, access): where `size` bytes (1 to 16) of guest memory at va can be read, an address in linear
 * memory that holds until the next such call; 0 when it faulted: then `guestFault` and `guestFaultAddress` say how.
 * For run-time functions (exception delivery); rows use `gload`. MMIO and accesses across pages are done.
 */
export const guestRead = hostFunction('guest_read', ['i64', 'i32', 'i32'], 'i32');
/** guest_write(va, size, access, value): 1, or 0 when it faulted and nothing was written. size: 1, 2, 4 or 8. */
export const guestWrite = hostFunction('guest_write', ['i64', 'i32', 'i32', 'i64'], 'i32');
/**
 * plain_place(va, bytes, store): where `bytes` from va on, which do not leave its page, stand in linear memory, when the
 * page is known to be plain memory that rows may access at once; 0 when it is not, or not known: then a row accesses
 * element by element. Never faults.
 */
export const plainPlace = hostFunction('plain_place', ['i64', 'i32', 'i32'], 'i32');
/** The code that `translate` gave for the fault of the last guest_read or guest_write, and its address. */
export const guestFault = hostFunction('guest_fault', [], 'i32');
export const guestFaultAddress = hostFunction('guest_fault_address', [], 'i64');

/** Kinds of access, as `translate` takes them. From 4 on they are the Isa's own, for `guestRead` and `guestWrite`. */
export const Access = { load: 0, store: 1, fetch: 2 } as const;

/** Guest-physical memory, as IR functions see it. Addresses are i64, results i32. */
export interface PhysicalMemory {
  /** Whether the byte can be read in linear memory: RAM, ROM, a frame buffer. */
  readonly isMemory: (pa: Value) => Value;
  /** Whether it can be written there. */
  readonly isWritable: (pa: Value) => Value;
  /** Its address in linear memory; only where `isMemory` holds. */
  readonly hostOf: (pa: Value) => Value;
}

/** What an Isa does on a machine's memory: IR functions, the same ones each time for one memory. */
export interface IsaFunctions {
  /**
   * translate(va: i64, access: i32) -> i64: the guest-physical address that an access of the CPU as it is now
   * reaches, or -1 - fault (`fault` a non-negative i32 that only the Isa understands). After a success `lastGlobal`
   * and `lastShift` of the state say what mapping it was.
   */
  readonly translate: IrFunction;
  /** raise(cause: i32, tval: i64, pc: i64): enters the guest's handler. `cause` is what `raise` of rows and `translate` gave. */
  readonly raise: IrFunction;
  /**
   * takeInterrupt() -> i32: enters the handler of the interrupt to be taken now. 0: none is; 1: entered one;
   * 2: one is to be taken after the next instruction (the engine then executes just one); 3: none may be taken before
   * the next instruction has been executed.
   */
  readonly takeInterrupt: IrFunction;
  /** wakes() -> i32: whether a CPU that waits goes on. */
  readonly wakes: IrFunction;
  /**
   * watch(va: i64, size: i32, store: i32) -> i32: told of data accesses that succeed, for breakpoints. 1: the
   * translation of that page is not to be kept, so that the next one is told of too. Only where `takeInterrupt` gives 2.
   */
  readonly watch?: IrFunction;
  /** refresh(): recomputes what is derived, after the state was written from outside. */
  readonly refresh: IrFunction;
}

/**
 * How an instruction goes on. `branch`: to its target or the next; `jump` with a target, or `indirect`; `call` and
 * `return` by convention (regions nest on them); `check`: as next, but its IR may end in a check; `system`: may
 * change the mode, the translation or what interrupts are taken.
 */
export type Flow = 'next' | 'branch' | 'jump' | 'call' | 'return' | 'indirect' | 'system' | 'check';

/** Something that must be on for an instruction to run (a floating-point unit, a vector unit). */
export interface Gate {
  /** Offset in the state of an i32 that is not zero while the gate is open. It changes only in system instructions and checks. */
  readonly field: number;
  /** Gates that are open where this one is. */
  readonly implies?: readonly Gate[];
  /** What an instruction does that finds it closed, as IR: raises, or opens it and falls through. */
  readonly closed: (m: Insn) => void;
}

/** A decoded instruction. An Isa adds what it needs. */
export interface Decoded {
  /** Bytes, 1 to `maxLength`. */
  readonly length: number;
  readonly flow: Flow;
  /** Where a branch, a direct jump or a direct call goes, in bytes from the instruction; undefined for others. */
  readonly target: number | undefined;
  /** The instruction behind it is never the next one, whatever comes of a call: decoding ahead ends here. */
  readonly ends: boolean;
  readonly gates: readonly Gate[];
  /** Never part of a region: it may read the count of instructions. */
  readonly interpreted?: boolean;
}

/** What makes a handler. An Isa adds what it needs (the row, constant operands). */
export interface HandlerKey {
  /** Equal for equal handlers; any number of different ones. */
  readonly id: number | string;
  /** Bytes of the instruction. */
  readonly length: number;
  readonly gates: readonly Gate[];
  /** Brings the count of instructions up to date first: the row may read it. */
  readonly counts?: boolean;
}

/**
 * An instruction as an operation of 8 bytes: the handler's number (the engine's), `low` (u16), `high` (i32). A direct
 * jump, branch or call, which is one with a `target`, has its distance in `high`. An instruction of two granules or more
 * may have another word, `spill` (i32), which handlers find 12 bytes from the operation.
 */
export interface Operation {
  readonly key: HandlerKey;
  readonly low: number;
  readonly high: number;
  readonly spill?: number;
}

/** How a direct jump's target lies to the jump, known when it is decoded; `none` where there is no target. */
export type Reach = 'forward' | 'backward' | 'far' | 'none';

/** Gives handlers their numbers. */
export interface HandlerNumbers {
  /** The handler's number; it can be run once the decoding that asked for it has ended. */
  number(key: HandlerKey, reach: Reach): number;
  clear(): void;
}

/**
 * Decodes into operations, for Isas that have a faster way than through `decode` and `operation` (which are used
 * where this is missing). One instruction at a time: `decode` says what it is, then `write` writes it.
 */
export interface OperationDecoder {
  /** Bytes of the instruction at `at` of `view`, of which `left` bytes may be read; 0: illegal; -1: it reaches beyond. */
  decode(view: DataView, at: number, left: number, mode: number): number;
  /** The last one: nothing runs on behind it. */
  readonly ends: boolean;
  /** Its second word, if it has one (see `Operation`); the engine writes it. */
  readonly spill: number | undefined;
  /** Writes the last one as the operation at `at`, for byte `offset` of a page; NOWHERE: no target is in the page. */
  write(offset: number, out: DataView, at: number): void;
  /** Forgets the numbers of handlers, and clears them. */
  clear(): void;
}
/** An offset from which every target is out of the page. */
export const NOWHERE = 1 << 30;

/** One CPU's state, by the names of the layout's fields. */
export interface StateAccess {
  get32(field: string, index?: number): number;
  set32(field: string, value: number, index?: number): void;
  get64(field: string, index?: number): bigint;
  set64(field: string, value: bigint, index?: number): void;
  /** A 64-bit field as a number; exact below 2^53. */
  getNumber(field: string, index?: number): number;
}

/** What is the same for an instruction set and its CPUs: registers by name, power-on, interrupt inputs. */
export interface IsaCpu {
  /** Puts what the layout's initial values do not say; all fields have these already. */
  reset(state: StateAccess, index: number): void;
  /** Architectural registers by the spec's names. */
  registerNames(): readonly string[];
  /** undefined: no such register. */
  readRegister(state: StateAccess, name: string): bigint | undefined;
  /** false: no such register. */
  writeRegister(state: StateAccess, name: string, value: bigint): boolean;
  /** An interrupt input changes its level. */
  setLine(state: StateAccess, input: number, level: boolean): void;
  /** Lets the CPU's own timer act as of now; gives its deadline in ticks of `tickNs`, or Infinity. */
  compareTime(state: StateAccess, ticks: number): number;
}

/** Byte offsets in the CPU's state of what the engine itself looks at. i32 but `pc` and `instructions` (i64). */
export interface StateFields {
  readonly pc: number;
  readonly mode: number;
  /** Waits for an interrupt. */
  readonly waiting: number;
  /** Does not run at all. */
  readonly stopped: number;
  /** Somebody wants the run loop to look up. */
  readonly attention: number;
  /** Instructions retired. */
  readonly instructions: number;
  /** The last translation that succeeded: from a global mapping; log2 of the mapping's bytes (12, 21, ...). */
  readonly lastGlobal: number;
  readonly lastShift: number;
  /** Not zero while host arithmetic gives results and flags of the guest (softfloat/host.ts); undefined: none. */
  readonly floatFast: number | undefined;
}

export interface Isa<D extends Decoded = Decoded, K extends HandlerKey = HandlerKey> {
  /** As `src/accel/isas.ts` lists it, so that a compiler in another thread finds it. */
  readonly name: string;
  readonly granule: 1 | 2 | 4;
  /** Bytes of the longest instruction. */
  readonly maxLength: number;
  /** How many modes (at most 16) and regimes (at most 4) there are. */
  readonly modes: number;
  readonly regimes: number;
  regimeOf(mode: number): number;
  /**
   * Accesses need no alignment: those within a page of memory are plain, those across pages and to devices are done
   * in pieces. Otherwise devices answer aligned accesses only, and atomic ones never.
   */
  readonly unaligned: boolean;
  /** Where nothing answers reads give all ones and writes are lost. Otherwise `faults` are raised. */
  readonly openBus: boolean;
  /** A store to code is seen by the next instruction. Otherwise by the next system instruction at the latest. */
  readonly coherentCode: boolean;
  /** Nanoseconds of a tick of `readTime` and `compareTime`. */
  readonly tickNs: number;
  readonly layout: Layout;
  /** Bytes of the state in linear memory. */
  readonly stateSize: number;
  /** Byte offsets of the layout's fields. */
  readonly at: Readonly<Record<string, number>>;
  readonly fields: StateFields;
  /** The registers that `reg` values and statements name (at most 64): those that regions keep in locals. */
  readonly registers: readonly Register[];
  /** Codes for `raise` where no memory and no device is; the tval is the address of the access. */
  readonly faults: { readonly load: number; readonly store: number; readonly fetch: number };
  /**
   * A raise with this constant cause is made by the host, by `illegal`, which sees the instruction's bytes; undefined:
   * every raise is the row's own.
   */
  readonly illegalCause: number | undefined;
  /** What is raised for bytes that are no instruction. */
  illegal(bytes: Uint8Array, mode: number): { readonly cause: number; readonly tval: bigint };

  /** The instruction at `at` of `view`, of which `left` bytes may be read; undefined: there is none. */
  decode(view: DataView, at: number, left: number, mode: number): D | 'beyond' | undefined;
  operation(decoded: D, mode: number): Operation;
  /** A faster way to operations. */
  operations?(numbers: HandlerNumbers): OperationDecoder;
  /**
   * The instruction with constant operands, finished. `context` is what is known of the state where it stands, as
   * `after` said of the instruction before; undefined: nothing. `prologue` writes what comes first.
   */
  build(decoded: D, mode: number, context: unknown, prologue?: (m: Insn) => void): Insn;
  /** What is known behind the instruction (=== when it is the same); missing: never anything. */
  after?(decoded: D, mode: number, context: unknown): unknown;
  /**
   * The instruction of an operation, finished: operands are loads from local 0 (i32, the operation's address).
   * `locals` come first among its locals.
   */
  handler(key: K, locals: readonly Type[], prologue: (m: Insn) => void): Insn;
  /**
   * Handlers that nearly every guest needs: made by a compiler in another thread while the guest starts, or, where
   * `operations` is missing, at the start.
   */
  common?(): Iterable<readonly [HandlerKey, Reach]>;
  /** Functions that handlers made in another thread may call, beside the engine's own. */
  readonly shared?: readonly IrFunction[];

  /** Features that its CPU lacks: their instructions are none. */
  readonly lacks?: readonly string[];
  /** The same without these features; missing: all CPUs have the same. */
  without?(lacks: readonly string[]): Isa;

  bind(memory: PhysicalMemory): IsaFunctions;
  readonly cpu: IsaCpu;
}

/** A register that regions keep in a local. */
export interface Register {
  readonly offset: number;
  readonly type: RegisterFile['type'];
}

/** The registers of files, by their numbers. */
export function registersOf(files: readonly { readonly file: RegisterFile; readonly count: number }[]): Register[] {
  const registers: Register[] = [];
  for (const { file, count } of files) {
    for (let n = 0; n < count; n++)
      registers[file.first + n] = { offset: file.offset + n * (file.stride ?? 8), type: file.type };
  }
  return registers;
}

/** Writes what an instruction does first whose gates may be closed. */
export function passGates(m: Insn, gates: readonly Gate[]): void {
  for (const gate of gates) m.if(eqz32(m.field(I32_LOAD, gate.field)), () => gate.closed(m));
}
