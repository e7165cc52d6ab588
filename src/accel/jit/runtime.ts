/**
 * The JIT's run-time functions, as IR: accesses that are not plain memory,
 * instruction page look-up. They are compiled to WebAssembly once and called by
 * handlers and regions.
 */
import { type Code, define, hostFunction, type IrFunction } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import {
  add,
  add32,
  and,
  and32,
  apply,
  cpu,
  eq,
  eq32,
  eqz,
  eqz32,
  extendU,
  gtU32,
  i32,
  load,
  ltS,
  ltS32,
  ltU32,
  mul32,
  ne,
  ne32,
  or32,
  shl32,
  shrU32,
  sub,
  sub32,
  type Value,
  wrap,
} from '../../ir/value.ts';
import { Access, type Isa } from '../../isa/isa.ts';
import type { Space } from '../space.ts';
import { CELL, dtlb, ITLB, type JitLayout, keepsStraddling } from './layout.ts';
import { Flag } from './access-flags.ts';
import { BIAS } from './groups.ts';
import { cell, dtlbEntry, itlbEntry, tlbFunctions } from './tlb.ts';

/** mmio_read(pa, size, at): leaves the value at an address in linear memory; 0 when nothing answers. */
export const mmioRead = hostFunction('mmio_read', ['f64', 'i32', 'i32'], 'i32');
/** mmio_write(pa, size, at): the value is at an address in linear memory; 0 when nothing answers. */
export const mmioWrite = hostFunction('mmio_write', ['f64', 'i32', 'i32'], 'i32');
/** code_written(host, size): memory that was decoded or compiled is about to be overwritten. */
export const codeWritten = hostFunction('code_written', ['i32', 'i32']);

/** What `fetchPage` answers besides a decoded page. */
export const Fetch = { trapped: 0, undecoded: 1, device: 2 } as const;

export interface Runtime {
  readonly slowLoad: IrFunction;
  readonly slowStore: IrFunction;
  readonly slowGroup: IrFunction;
  readonly commitStore: IrFunction;
  readonly flush: IrFunction;
  readonly flushPage: IrFunction;
  readonly fetchPage: IrFunction;
  /** Only where instructions across pages are kept. */
  readonly fetchHalf: IrFunction | undefined;
  readonly knownPage: IrFunction;
  readonly isPage: IrFunction;
  readonly protectPage: IrFunction;
  readonly enterRegime: IrFunction;
  readonly forgetJumps: IrFunction;
  readonly raise: IrFunction;
  readonly guestRead: IrFunction;
  readonly guestWrite: IrFunction;
  readonly guestFault: IrFunction;
  readonly guestFaultAddress: IrFunction;
  readonly plainPlace: IrFunction;
}

/** What `slow_group` answers: the complement of a place less `BIAS`, or of 0. */
const placeOfGroup = (host: Value): Value => sub32(BIAS - 1, host);
const NO_PLACE = i32(-1);

const asF64 = (pa: Value): Value => apply(op.F64_CONVERT_I64_U, pa);
/** The code of a fault that `translate` reports. */
const causeOf = (pa: Value): Value => wrap(sub(-1, pa));

export function runtime(isa: Isa, space: Space, layout: JitLayout): Runtime {
  const { unaligned, faults, fields, coherentCode, modes } = isa;
  const { isMemory, isWritable, hostOf } = space.physical;
  const { translate, raise, watch } = isa.bind(space.physical);
  const { shift } = layout.page;
  const { flush, flushPage, fill, protectPage, enterRegime, forgetJumps } = tlbFunctions(isa);
  const scratch = (): Value => add32(cpu, CELL.scratch);
  const across = (): Value => add32(cpu, CELL.across);

  /** Notes a fault for the interpreter to raise. */
  const fault = define('fault', ['i32', 'i64'], undefined, (f, cause, tval) => {
    f.store(op.I32_STORE, cpu, cause, CELL.faultCause);
    f.store(op.I64_STORE, cpu, tval, CELL.faultTval);
  });
  const fail = (f: Code, cause: Value, tval: Value): void => {
    f.call(fault, cause, tval);
    f.return(i32(0));
  };
  /** The physical address, or returns 0 with the fault noted. */
  const physical = (f: Code, va: Value, access: Value): Value => {
    const pa = f.let(f.call(translate, va, access));
    f.if(ltS(pa, 0), () => fail(f, causeOf(pa), va));
    return pa;
  };
  const crossesPage = (va: Value, size: Value): Value => gtU32(add32(wrap(and(va, 4095)), size), 4096);
  const isAligned = (va: Value, size: Value): Value => eqz(and(va, extendU(sub32(size, 1))));

  /** Returns the place of an access to a page that the TLB knows, where that may be: or of a misaligned one. */
  const known = (f: Code, va: Value, flags: Value, size: Value, store: boolean): void => {
    if (unaligned) f.if(and32(flags, Flag.look), () => look(f, va, size, store));
    else look(f, va, size, store);
  };
  const look = (f: Code, va: Value, size: Value, store: boolean): void => {
    const entry = f.let(dtlbEntry(va));
    const table = dtlb(0, store);
    f.if(eq(load(op.I64_LOAD, entry, table), and(sub(add(va, extendU(size)), 1), -4096)), () =>
      f.return(add32(wrap(va), load(op.I32_LOAD, entry, table + 8))),
    );
  };

  /** Tells of an access; i32 whether its translation may be kept. */
  const mayKeep = (f: Code, va: Value, size: Value, store: 0 | 1): Value =>
    watch ? f.let(eqz32(f.call(watch, va, size, i32(store)))) : i32(1);

  // Code in guest memory.

  const pageNumber = (host: Value): Value => shrU32(sub32(host, space.ram.host), 12);
  /** The entry of the page map for a page of guest memory in mode 0. */
  const mapEntry = (host: Value): Value => {
    const number = pageNumber(host);
    const index = Number.isInteger(Math.log2(modes)) ? shl32(number, Math.log2(modes) + 2) : mul32(number, modes * 4);
    return add32(index, layout.pageMap);
  };
  /** Whether any mode has decoded code of this page. */
  const hasCode = (host: Value): Value => load(op.I32_LOAD8_U, pageNumber(host), layout.codeMarks);
  /** What a store may hit of an instruction that begins before: nothing where its later parts are marked. */
  const lookBack = keepsStraddling(isa) ? 1 : 0;
  /** overlaps(host, size): whether decoded operations stand where a store within a page goes. */
  const overlaps = define('overlaps', ['i32', 'i32'], 'i32', (f, host, size) => {
    const offset = f.let(and32(host, 4095));
    const start = f.let(shrU32(offset, shift));
    const first = f.let(lookBack === 0 ? start : sub32(start, ne32(start, 0)));
    const last = f.let(shrU32(sub32(add32(offset, size), 1), shift));
    const entry = f.var(mapEntry(host));
    const end = f.let(add32(entry.value, modes * 4));
    f.while(
      () => ltU32(entry.value, end),
      () => {
        const page = f.let(load(op.I32_LOAD, entry.value));
        f.if(page, () => {
          const slot = f.var(first);
          f.while(
            () => eqz32(gtU32(slot.value, last)),
            () => {
              f.if(load(op.I32_LOAD16_U, add32(page, shl32(slot.value, 3))), () => f.return(i32(1)));
              slot.set(add32(slot.value, 1));
            },
          );
        });
        entry.set(add32(entry.value, 4));
      },
    );
    f.return(i32(0));
  });
  /** Drops the code that a store of `size` bytes at `host` hits, which is in one page. */
  const dropCode = (f: Code, host: Value, size: Value): void => {
    f.if(hasCode(host), () => f.if(f.call(overlaps, host, size), () => f.call(codeWritten, host, size)));
  };

  /**
   * across(va, size, access, plain): loads byte by byte what lies in two pages into the cell `across`; its place, or 0.
   * Devices are read where the Isa allows it and `plain` is 0.
   */
  const loadAcross = define('load_across', ['i64', 'i32', 'i32', 'i32'], 'i32', (f, va, size, access, plain) => {
    const n = f.var(i32(0));
    f.while(
      () => ltU32(n.value, size),
      () => {
        const at = f.let(add(va, extendU(n.value)));
        // The second page may fault, with its own address as tval.
        const pa = physical(f, at, access);
        f.if(
          isMemory(pa),
          () => f.store(op.I32_STORE8, add32(cpu, n.value), load(op.I32_LOAD8_U, hostOf(pa)), CELL.across),
          () => {
            if (!unaligned) fail(f, i32(faults.load), va);
            else {
              f.if(plain, () => f.return(i32(0)));
              f.if(eqz32(f.call(mmioRead, asF64(pa), i32(1), add32(across(), n.value))), () =>
                fail(f, i32(faults.load), va),
              );
            }
          },
        );
        n.set(add32(n.value, 1));
      },
    );
    f.return(across());
  });

  const slowLoad = define('slow_load', ['i64', 'i32'], 'i32', (f, va, flags) => {
    const size = f.let(and32(flags, Flag.size));
    known(f, va, flags, size, false);
    const fromInterpreter = f.let(and32(flags, Flag.interpreter));
    const pa = physical(f, va, i32(Access.load));
    const keep = mayKeep(f, va, size, 0);
    f.if(crossesPage(va, size), () => {
      if (!unaligned) f.if(eqz32(fromInterpreter), () => f.return(i32(0)));
      f.return(f.call(loadAcross, va, size, i32(Access.load), eqz32(fromInterpreter)));
    });
    f.if(isMemory(pa), () => {
      const host = f.let(hostOf(pa));
      f.if(keep, () => f.call(fill, va, and32(host, -4096), i32(0)));
      f.return(host);
    });
    f.if(eqz32(fromInterpreter), () => f.return(i32(0)));
    const answers = unaligned ? i32(1) : isAligned(va, size);
    f.if(answers, () => f.if(f.call(mmioRead, asF64(pa), size, scratch()), () => f.return(scratch())));
    fail(f, i32(faults.load), va);
  });

  /** slow_group(va, packed): where a group's first byte is when all of it is in one page of RAM; see group-places.ts. */
  const slowGroup = define('slow_group', ['i64', 'i32'], 'i32', (f, va, packed) => {
    // Where accesses are watched nothing is kept, and each must be told of.
    const unlessKept = (store: boolean): void =>
      f.if(ne(load(op.I64_LOAD, dtlbEntry(va), dtlb(0, store)), and(va, -4096)), () => f.return(NO_PLACE));
    const align = f.let(and32(packed, Flag.size));
    const last = f.let(add(va, extendU(and32(shrU32(packed, 8), 0xffff))));
    f.if(ne(and(va, extendU(sub32(align, 1))), 0), () => f.return(NO_PLACE));
    f.if(ne(and(last, -4096), and(va, -4096)), () => f.return(NO_PLACE));
    f.if(ltS32(packed, 0), () => {
      const host = f.let(f.call(slowStore, va, or32(align, Flag.atomic | Flag.both)));
      // Where there is code each store must be looked at.
      f.if(eqz32(host), () => f.return(NO_PLACE));
      f.if(hasCode(host), () => f.return(NO_PLACE));
      unlessKept(true);
      f.return(placeOfGroup(host));
    });
    const host = f.let(f.call(slowLoad, va, align));
    f.if(eqz32(host), () => f.return(NO_PLACE));
    unlessKept(false);
    f.return(placeOfGroup(host));
  });

  const slowStore: IrFunction = define('slow_store', ['i64', 'i32'], 'i32', (f, va, flags) => {
    const size = f.let(and32(flags, Flag.size));
    known(f, va, flags, size, true);
    const fromInterpreter = f.let(and32(flags, Flag.interpreter));
    const atomic = f.let(and32(flags, Flag.atomic));
    const pa = physical(f, va, i32(Access.store));
    const keep = mayKeep(f, va, size, 1);
    const later = () => {
      f.if(eqz32(fromInterpreter), () => f.return(i32(0)));
      if (!unaligned) f.if(atomic, () => fail(f, i32(faults.store), va));
      f.store(op.I64_STORE, cpu, va, CELL.pendingVa);
      f.store(op.I32_STORE, cpu, size, CELL.pendingSize);
      f.return(scratch());
    };
    f.if(crossesPage(va, size), () => {
      const next = f.let(and(add(va, extendU(size)), -4096));
      const second = physical(f, next, i32(Access.store));
      if (unaligned)
        f.if(atomic, () => f.return(f.call(loadAcross, va, size, i32(Access.store), eqz32(fromInterpreter))));
      else f.if(eqz32(and32(isMemory(pa), isMemory(second))), () => fail(f, i32(faults.store), va));
      later();
    });
    f.if(isWritable(pa), () => {
      const host = f.let(hostOf(pa));
      f.if(
        hasCode(host),
        () =>
          // A load that a store will follow leaves the look to the store.
          f.if(eqz32(atomic), () =>
            f.if(f.call(overlaps, host, size), () => {
              if (coherentCode) f.if(eqz32(fromInterpreter), () => f.return(i32(0)));
              f.call(codeWritten, host, size);
            }),
          ),
        () => f.if(keep, () => f.call(fill, va, and32(host, -4096), i32(1))),
      );
      f.return(host);
    });
    if (unaligned) {
      f.if(atomic, () => {
        f.if(and32(flags, Flag.both), () => f.return(i32(0)));
        f.if(isMemory(pa), () => f.return(hostOf(pa)));
        f.if(eqz32(fromInterpreter), () => f.return(i32(0)));
        f.if(f.call(mmioRead, asF64(pa), size, scratch()), () => f.return(scratch()));
        fail(f, i32(faults.store), va);
      });
    } else f.if(eqz32(isAligned(va, size)), () => fail(f, i32(faults.store), va));
    later();
    f.return(i32(0));
  });

  /** Stores byte by byte `size` bytes from `from`; the pages have been translated. */
  const storeAcross = define('store_across', ['i64', 'i32', 'i32', 'i32'], 'i32', (f, va, size, access, from) => {
    const n = f.var(i32(0));
    f.while(
      () => ltU32(n.value, size),
      () => {
        const at = f.let(add(va, extendU(n.value)));
        const pa = physical(f, at, access);
        const byte = f.let(add32(from, n.value));
        f.if(
          isWritable(pa),
          () => {
            const host = f.let(hostOf(pa));
            dropCode(f, host, i32(1));
            f.store(op.I32_STORE8, host, load(op.I32_LOAD8_U, byte));
          },
          () => f.if(eqz32(f.call(mmioWrite, asF64(pa), i32(1), byte)), () => fail(f, i32(faults.store), va)),
        );
        n.set(add32(n.value, 1));
      },
    );
    f.return(i32(1));
  });

  /** commit_store(): performs the store that waits in `scratch`; 0 when it faulted. */
  const commitStore = define('commit_store', [], 'i32', (f) => {
    const va = f.let(load(op.I64_LOAD, cpu, CELL.pendingVa));
    const size = f.let(cell(CELL.pendingSize));
    f.store(op.I32_STORE, cpu, i32(0), CELL.pendingSize);
    f.if(crossesPage(va, size), () => f.return(f.call(storeAcross, va, size, i32(Access.store), scratch())));
    const pa = physical(f, va, i32(Access.store));
    f.if(f.call(mmioWrite, asF64(pa), size, scratch()), () => f.return(i32(1)));
    fail(f, i32(faults.store), va);
  });

  // Accesses of the Isa's own functions.

  const guestRead = define('guest_read', ['i64', 'i32', 'i32'], 'i32', (f, va, size, access) => {
    f.if(crossesPage(va, size), () => f.return(f.call(loadAcross, va, size, access, i32(0))));
    const pa = physical(f, va, access);
    f.if(isMemory(pa), () => f.return(hostOf(pa)));
    const place = add32(cpu, CELL.guest);
    f.if(f.call(mmioRead, asF64(pa), size, place), () => f.return(place));
    fail(f, i32(faults.load), va);
  });

  const guestWrite = define('guest_write', ['i64', 'i32', 'i32', 'i64'], 'i32', (f, va, size, access, value) => {
    const place = add32(cpu, CELL.guest);
    f.store(op.I64_STORE, cpu, value, CELL.guest);
    const pa = physical(f, va, access);
    f.if(crossesPage(va, size), () => {
      physical(f, and(add(va, extendU(size)), -4096), access);
      f.return(f.call(storeAcross, va, size, access, place));
    });
    f.if(isWritable(pa), () => {
      const host = f.let(hostOf(pa));
      dropCode(f, host, size);
      f.copy(host, place, size);
      f.return(i32(1));
    });
    f.if(f.call(mmioWrite, asF64(pa), size, place), () => f.return(i32(1)));
    fail(f, i32(faults.store), va);
  });
  const guestFault = define('guest_fault', [], 'i32', (f) => f.return(cell(CELL.faultCause)));
  const guestFaultAddress = define('guest_fault_address', [], 'i64', (f) =>
    f.return(load(op.I64_LOAD, cpu, CELL.faultTval)),
  );

  const plainPlace = define('plain_place', ['i64', 'i32', 'i32'], 'i32', (f, va, bytes, store) => {
    const entry = f.let(dtlbEntry(va));
    const last = f.let(and(sub(add(va, extendU(bytes)), 1), -4096));
    const known = (isStore: boolean) => {
      const table = dtlb(0, isStore);
      f.if(eq(load(op.I64_LOAD, entry, table), last), () =>
        f.return(add32(wrap(va), load(op.I32_LOAD, entry, table + 8))),
      );
    };
    f.if(
      store,
      () => known(true),
      () => known(false),
    );
    f.return(i32(0));
  });

  // Fetches.

  const mode = (): Value => cell(fields.mode);
  /** Returns the decoded page of the code at `host`, put into the instruction TLB; `none` where there is none. */
  const decodedPage = (f: Code, pc: Value, host: Value, none: number): void => {
    const now = f.let(mode());
    const page = f.let(load(op.I32_LOAD, add32(mapEntry(host), shl32(now, 2))));
    f.if(eqz32(page), () => f.return(i32(none)));
    const entry = f.let(itlbEntry(pc));
    f.store(op.I64_STORE, entry, add(and(pc, -4096), extendU(add32(now, 1))), ITLB);
    f.store(op.I32_STORE, entry, page, ITLB + 8);
    f.store(op.I32_STORE, entry, load(op.I32_LOAD, cpu, fields.lastGlobal), ITLB + 12);
    f.return(page);
  };
  /** fetch_page(pc): the decoded page of `pc`, put into the instruction TLB; or one of `Fetch`. */
  const fetchPage = define('fetch_page', ['i64'], 'i32', (f, pc) => {
    const pa = f.let(f.call(translate, pc, i32(Access.fetch)));
    f.if(ltS(pa, 0), () => {
      f.call(raise, causeOf(pa), pc, pc);
      f.return(i32(Fetch.trapped));
    });
    f.if(eqz32(isMemory(pa)), () => f.return(i32(Fetch.device)));
    const host = f.let(hostOf(pa));
    f.store(op.I32_STORE, cpu, host, CELL.operand);
    decodedPage(f, pc, host, Fetch.undecoded);
  });

  /** known_page(pc): as fetch_page, but 0 where that would raise something or need the host. */
  const knownPage = define('known_page', ['i64'], 'i32', (f, pc) => {
    const pa = f.let(f.call(translate, pc, i32(Access.fetch)));
    f.if(ltS(pa, 0), () => f.return(i32(0)));
    f.if(eqz32(isMemory(pa)), () => f.return(i32(0)));
    decodedPage(f, pc, f.let(hostOf(pa)), 0);
  });

  /** is_page(pc, page): whether the page of `pc` is this decoded page; puts it into the instruction TLB. */
  const isPage = define('is_page', ['i64', 'i32'], 'i32', (f, pc, page) => {
    const entry = f.let(itlbEntry(pc));
    const now = f.let(mode());
    const tag = f.let(add(and(pc, -4096), extendU(add32(now, 1))));
    f.if(and32(eq(load(op.I64_LOAD, entry, ITLB), tag), eq32(load(op.I32_LOAD, entry, ITLB + 8), page)), () =>
      f.return(i32(1)),
    );
    f.return(eq32(f.call(knownPage, pc), page));
  });

  /** fetch_half(va): the 16 bits of code there; -1 when they cannot be fetched or are not memory. Raises nothing. */
  const fetchHalf = define('fetch_half', ['i64'], 'i32', (f, va) => {
    const pa = f.let(f.call(translate, va, i32(Access.fetch)));
    f.if(ltS(pa, 0), () => f.return(i32(-1)));
    f.if(isMemory(pa), () => f.return(load(op.I32_LOAD16_U, hostOf(pa))));
    f.return(i32(-1));
  });

  return {
    slowLoad,
    slowStore,
    slowGroup,
    commitStore,
    flush,
    flushPage,
    fetchPage,
    fetchHalf: keepsStraddling(isa) ? fetchHalf : undefined,
    knownPage,
    isPage,
    protectPage,
    enterRegime,
    forgetJumps,
    raise,
    guestRead,
    guestWrite,
    guestFault,
    guestFaultAddress,
    plainPlace,
  };
}
