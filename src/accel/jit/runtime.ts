/**
 * The JIT's run-time functions, as IR: TLB refills, accesses that are not
 * plain RAM, flushes, instruction page look-up. They are compiled to
 * WebAssembly once and called by handlers and regions.
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
  i64,
  leU,
  load,
  ltS,
  ltS32,
  ltU,
  ltU32,
  mul32,
  ne,
  ne32,
  or32,
  shl,
  shl32,
  shrU,
  shrU32,
  sub,
  sub32,
  type Value,
  wrap,
} from '../../ir/value.ts';
import { get, put } from '../../isa/riscv/field.ts';
import type { Ram } from '../../isa/riscv/hooks.ts';
import { Access, mmu } from '../../isa/riscv/mmu.ts';
import { Cause, Mstatus } from '../../isa/riscv/state.ts';
import { trap, updateFloat } from '../../isa/riscv/trap.ts';
import {
  CELL,
  DTLB_ENTRIES,
  DTLB_TABLE,
  dtlb,
  FILL_LIMIT,
  FILLS,
  FILLS_GLOBAL,
  ITLB,
  ITLB_ENTRIES,
  REGIMES,
  type JitLayout,
} from './layout.ts';

/** mmio_read(pa, size): leaves the value in `scratch`; 0 when nothing answers. */
export const mmioRead = hostFunction('mmio_read', ['f64', 'i32'], 'i32');
/** mmio_write(pa, size): the value is in `scratch`; 0 when nothing answers. */
export const mmioWrite = hostFunction('mmio_write', ['f64', 'i32'], 'i32');
/** code_written(pa, size): code that was decoded or compiled is about to be overwritten. */
export const codeWritten = hostFunction('code_written', ['f64', 'i32']);

/** Flags beside the size in the second parameter of `slowLoad` and `slowStore`. */
export const Flag = {
  /** From the interpreter: MMIO and accesses across pages are done, by way of `scratch`. */
  interpreter: 0x100,
  /** A load that a store will follow: must be RAM. */
  atomic: 0x200,
} as const;

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
  readonly fetchHalf: IrFunction;
  readonly isPage: IrFunction;
  readonly protectPage: IrFunction;
  readonly dirtyFloat: IrFunction;
  readonly enterRegime: IrFunction;
  readonly fault: IrFunction;
}

const cell = (at: number): Value => load(op.I32_LOAD, cpu, at);

export function runtime(ram: Ram, layout: JitLayout): Runtime {
  const { translate, dataPrivilege, isRam, hostOf } = mmu(ram);
  const scratch = (): Value => add32(cpu, CELL.scratch);

  const flush = define('flush', ['i32'], undefined, (f, notGlobal) => {
    const clear = (list: number, count: number) => {
      const n = f.var(i32(0));
      const end = f.let(cell(count));
      f.while(
        () => ltU32(n.value, end),
        () => {
          f.store(op.I64_STORE, load(op.I32_LOAD, add32(cpu, shl32(n.value, 2)), list), i64(-1));
          n.set(add32(n.value, 1));
        },
      );
      f.store(op.I32_STORE, cpu, i32(0), count);
    };
    clear(FILLS, CELL.filled);
    f.if(eqz32(notGlobal), () => {
      clear(FILLS_GLOBAL, CELL.filledGlobal);
      f.store(op.I64_STORE, cpu, i64(-1), CELL.largeLow);
      f.store(op.I64_STORE, cpu, i64(0), CELL.largeHigh);
    });
    f.fill(add32(cpu, ITLB), i32(0), i32(ITLB_ENTRIES * 16));
  });

  const flushPage = define('flush_page', ['i64'], undefined, (f, va) => {
    // A larger page may stand in the TLB as many small ones.
    f.if(and32(leU(load(op.I64_LOAD, cpu, CELL.largeLow), va), ltU(va, load(op.I64_LOAD, cpu, CELL.largeHigh))), () => {
      f.call(flush, i32(0));
      f.return();
    });
    const page = f.let(and(va, -4096));
    const entry = f.let(add32(cpu, and32(wrap(shrU(va, 8)), (DTLB_ENTRIES - 1) << 4)));
    for (let regime = 0; regime < REGIMES; regime++) {
      for (const table of [dtlb(regime, false), dtlb(regime, true)])
        f.if(eq(load(op.I64_LOAD, entry, table), page), () => f.store(op.I64_STORE, entry, i64(-1), table));
    }
    const code = f.let(itlbEntry(va));
    f.if(eq(and(load(op.I64_LOAD, code, ITLB), -4096), page), () => f.store(op.I64_STORE, code, i64(0), ITLB));
  });

  /** fill(va, host page, store): puts a translation into the TLB of the regime in force. */
  const fill = define('fill', ['i64', 'i32', 'i32'], undefined, (f, va, host, store) => {
    const isGlobal = f.let(get('lastGlobal'));
    const counter = f.let(add32(cpu, shl32(isGlobal, 2)));
    f.if(eq32(load(op.I32_LOAD, counter, CELL.filled), FILL_LIMIT), () => f.call(flush, i32(0)));
    const entry = f.let(
      add32(
        add32(add32(cpu, cell(CELL.regimeTables)), mul32(store, DTLB_TABLE)),
        and32(wrap(shrU(va, 8)), (DTLB_ENTRIES - 1) << 4),
      ),
    );
    const page = f.let(and(va, -4096));
    f.store(op.I64_STORE, entry, page, dtlb(0, false));
    f.store(op.I32_STORE, entry, sub32(host, wrap(page)), dtlb(0, false) + 8);
    const n = f.let(load(op.I32_LOAD, counter, CELL.filled));
    const list = f.let(add32(cpu, mul32(isGlobal, FILLS_GLOBAL - FILLS)));
    f.store(op.I32_STORE, add32(list, shl32(n, 2)), add32(entry, dtlb(0, false)), FILLS);
    f.store(op.I32_STORE, counter, add32(n, 1), CELL.filled);
    const shift = f.let(get('lastShift'));
    f.if(gtU32(shift, 12), () => {
      const span = f.let(shl(1, extendU(shift)));
      const low = f.let(and(va, sub(0, span)));
      const high = f.let(add(low, span));
      f.if(ltU(low, load(op.I64_LOAD, cpu, CELL.largeLow)), () => f.store(op.I64_STORE, cpu, low, CELL.largeLow));
      f.if(ltU(load(op.I64_LOAD, cpu, CELL.largeHigh), high), () => f.store(op.I64_STORE, cpu, high, CELL.largeHigh));
      f.if(ltU(high, low), () => f.store(op.I64_STORE, cpu, i64(-1), CELL.largeHigh));
    });
  });

  /** Notes a fault for the interpreter to raise. */
  const fault = define('fault', ['i32', 'i64'], undefined, (f, cause, tval) => {
    f.store(op.I32_STORE, cpu, cause, CELL.faultCause);
    f.store(op.I64_STORE, cpu, tval, CELL.faultTval);
  });
  const causeOf = (pa: Value): Value => wrap(sub(-1, pa));

  /** Returns the place of a misaligned access to a page that the TLB knows. */
  const known = (f: Code, va: Value, size: Value, store: boolean): void => {
    const entry = f.let(add32(add32(cpu, cell(CELL.regimeTables)), and32(wrap(shrU(va, 8)), (DTLB_ENTRIES - 1) << 4)));
    const table = dtlb(0, store);
    f.if(eq(load(op.I64_LOAD, entry, table), and(sub(add(va, extendU(size)), 1), -4096)), () =>
      f.return(add32(wrap(va), load(op.I32_LOAD, entry, table + 8))),
    );
  };

  const slowLoad = define('slow_load', ['i64', 'i32'], 'i32', (f, va, flags) => {
    const size = f.let(and32(flags, 15));
    known(f, va, size, false);
    const fromInterpreter = f.let(and32(flags, Flag.interpreter));
    const priv = f.let(f.call(dataPrivilege));
    const pa = f.let(f.call(translate, va, i32(Access.load), priv));
    f.if(ltS(pa, 0), () => {
      f.call(fault, causeOf(pa), va);
      f.return(i32(0));
    });
    const crosses = gtU32(add32(wrap(and(va, 4095)), size), 4096);
    f.if(crosses, () => {
      f.if(eqz32(fromInterpreter), () => f.return(i32(0)));
      // Byte by byte; the second page may fault, with its own address as tval.
      const n = f.var(i32(0));
      f.while(
        () => ltU32(n.value, size),
        () => {
          const at = f.let(add(va, extendU(n.value)));
          const byte = f.let(f.call(translate, at, i32(Access.load), priv));
          f.if(ltS(byte, 0), () => {
            f.call(fault, causeOf(byte), at);
            f.return(i32(0));
          });
          f.if(eqz32(isRam(byte)), () => {
            f.call(fault, i32(Cause.loadAccess), va);
            f.return(i32(0));
          });
          f.store(op.I32_STORE8, add32(cpu, n.value), load(op.I32_LOAD8_U, hostOf(byte)), CELL.scratch);
          n.set(add32(n.value, 1));
        },
      );
      f.return(scratch());
    });
    f.if(isRam(pa), () => {
      const host = f.let(hostOf(pa));
      f.call(fill, va, and32(host, -4096), i32(0));
      f.return(host);
    });
    f.if(eqz32(fromInterpreter), () => f.return(i32(0)));
    // A device answers aligned accesses only.
    f.if(eqz(and(va, extendU(sub32(size, 1)))), () =>
      f.if(f.call(mmioRead, apply(op.F64_CONVERT_I64_U, pa), size), () => f.return(scratch())),
    );
    f.call(fault, i32(Cause.loadAccess), va);
    f.return(i32(0));
  });

  /** slow_group(va, packed): the place of a group's first byte when all of it is in one page of RAM; see groups.ts. */
  const slowGroup = define('slow_group', ['i64', 'i32'], 'i32', (f, va, packed) => {
    const align = f.let(and32(packed, 15));
    const last = f.let(add(va, extendU(and32(shrU32(packed, 8), 0xffff))));
    f.if(ne(and(va, extendU(sub32(align, 1))), 0), () => f.return(i32(0)));
    f.if(ne(and(last, -4096), and(va, -4096)), () => f.return(i32(0)));
    f.if(ltS32(packed, 0), () => f.return(f.call(slowStore, va, align)));
    f.return(f.call(slowLoad, va, align));
  });

  const mapEntry = (pa: Value): Value => add32(shl32(wrap(shrU(sub(pa, ram.base), 12)), 4), layout.pageMap);
  /** Whether any regime has decoded code of this page. */
  const hasCode = (entry: Value): Value =>
    or32(
      or32(load(op.I32_LOAD, entry, 0), load(op.I32_LOAD, entry, 4)),
      or32(load(op.I32_LOAD, entry, 8), load(op.I32_LOAD, entry, 12)),
    );
  /** overlaps(map entry, first halfword, last halfword): whether decoded operations stand there. */
  const overlaps = define('overlaps', ['i32', 'i32', 'i32'], 'i32', (f, entry, first, last) => {
    for (let regime = 0; regime < REGIMES; regime++) {
      const page = f.let(load(op.I32_LOAD, entry, regime * 4));
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
    }
    f.return(i32(0));
  });

  const slowStore: IrFunction = define('slow_store', ['i64', 'i32'], 'i32', (f, va, flags) => {
    const size = f.let(and32(flags, 15));
    known(f, va, size, true);
    const fromInterpreter = f.let(and32(flags, Flag.interpreter));
    const priv = f.let(f.call(dataPrivilege));
    const pa = f.let(f.call(translate, va, i32(Access.store), priv));
    f.if(ltS(pa, 0), () => {
      f.call(fault, causeOf(pa), va);
      f.return(i32(0));
    });
    const crosses = f.let(gtU32(add32(wrap(and(va, 4095)), size), 4096));
    const later = () => {
      f.if(or32(eqz32(fromInterpreter), and32(flags, Flag.atomic)), () => {
        f.call(fault, i32(Cause.storeAccess), va);
        f.return(i32(0));
      });
      f.store(op.I64_STORE, cpu, va, CELL.pendingVa);
      f.store(op.I32_STORE, cpu, size, CELL.pendingSize);
      f.return(scratch());
    };
    f.if(crosses, () => {
      const next = f.let(and(add(va, extendU(size)), -4096));
      const second = f.let(f.call(translate, next, i32(Access.store), priv));
      f.if(ltS(second, 0), () => {
        f.call(fault, causeOf(second), next);
        f.return(i32(0));
      });
      f.if(eqz32(and32(isRam(pa), isRam(second))), () => {
        f.call(fault, i32(Cause.storeAccess), va);
        f.return(i32(0));
      });
      later();
    });
    f.if(isRam(pa), () => {
      const host = f.let(hostOf(pa));
      const entry = f.let(mapEntry(pa));
      f.if(
        hasCode(entry),
        () => {
          const offset = f.let(wrap(and(pa, 4095)));
          // An instruction may begin one halfword before.
          const first = f.let(shrU32(offset, 1));
          const from = f.let(sub32(first, ne32(first, 0)));
          f.if(f.call(overlaps, entry, from, shrU32(sub32(add32(offset, size), 1), 1)), () =>
            f.call(codeWritten, apply(op.F64_CONVERT_I64_U, pa), size),
          );
        },
        () => f.call(fill, va, and32(host, -4096), i32(1)),
      );
      f.return(host);
    });
    f.if(ne(and(va, extendU(sub32(size, 1))), 0), () => {
      f.call(fault, i32(Cause.storeAccess), va);
      f.return(i32(0));
    });
    later();
    f.return(i32(0));
  });

  /** commit_store(): performs the store that waits in `scratch`; 0 when it faulted. */
  const commitStore = define('commit_store', [], 'i32', (f) => {
    const va = f.let(load(op.I64_LOAD, cpu, CELL.pendingVa));
    const size = f.let(cell(CELL.pendingSize));
    f.store(op.I32_STORE, cpu, i32(0), CELL.pendingSize);
    const priv = f.let(f.call(dataPrivilege));
    f.if(eqz32(gtU32(add32(wrap(and(va, 4095)), size), 4096)), () => {
      const pa = f.let(f.call(translate, va, i32(Access.store), priv));
      f.if(f.call(mmioWrite, apply(op.F64_CONVERT_I64_U, pa), size), () => f.return(i32(1)));
      f.call(fault, i32(Cause.storeAccess), va);
      f.return(i32(0));
    });
    const n = f.var(i32(0));
    f.while(
      () => ltU32(n.value, size),
      () => {
        const at = f.let(add(va, extendU(n.value)));
        const pa = f.let(f.call(translate, at, i32(Access.store), priv));
        const entry = f.let(mapEntry(pa));
        f.if(hasCode(entry), () => f.call(codeWritten, apply(op.F64_CONVERT_I64_U, pa), i32(1)));
        f.store(op.I32_STORE8, hostOf(pa), load(op.I32_LOAD8_U, add32(cpu, n.value), CELL.scratch));
        n.set(add32(n.value, 1));
      },
    );
    f.return(i32(1));
  });

  /** fetch_page(pc): the decoded page of `pc`, put into the instruction TLB; or one of `Fetch`. */
  const fetchPage = define('fetch_page', ['i64'], 'i32', (f, pc) => {
    const pa = f.let(f.call(translate, pc, i32(Access.fetch), get('priv')));
    f.if(ltS(pa, 0), () => {
      f.call(trap, sub(-1, pa), pc, pc);
      f.return(i32(Fetch.trapped));
    });
    f.store(op.I64_STORE, cpu, pa, CELL.operand);
    f.if(eqz32(isRam(pa)), () => f.return(i32(Fetch.device)));
    const regime = f.let(get('regime'));
    const page = f.let(load(op.I32_LOAD, add32(mapEntry(pa), shl32(regime, 2))));
    f.if(eqz32(page), () => f.return(i32(Fetch.undecoded)));
    const entry = f.let(itlbEntry(pc));
    f.store(op.I64_STORE, entry, add(and(pc, -4096), extendU(add32(regime, 1))), ITLB);
    f.store(op.I32_STORE, entry, page, ITLB + 8);
    f.return(page);
  });

  /** is_page(pc, page): whether the page of `pc` is this decoded page; puts it into the instruction TLB. */
  const isPage = define('is_page', ['i64', 'i32'], 'i32', (f, pc, page) => {
    const entry = f.let(itlbEntry(pc));
    const regime = f.let(get('regime'));
    const tag = f.let(add(and(pc, -4096), extendU(add32(regime, 1))));
    f.if(and32(eq(load(op.I64_LOAD, entry, ITLB), tag), eq32(load(op.I32_LOAD, entry, ITLB + 8), page)), () =>
      f.return(i32(1)),
    );
    const pa = f.let(f.call(translate, pc, i32(Access.fetch), get('priv')));
    f.if(ltS(pa, 0), () => f.return(i32(0)));
    f.if(eqz32(isRam(pa)), () => f.return(i32(0)));
    f.if(ne32(load(op.I32_LOAD, add32(mapEntry(pa), shl32(regime, 2))), page), () => f.return(i32(0)));
    f.store(op.I64_STORE, entry, tag, ITLB);
    f.store(op.I32_STORE, entry, page, ITLB + 8);
    f.return(i32(1));
  });

  /** fetch_half(va): the 16 bits of code there; -1 when they cannot be fetched or are not RAM. Raises nothing. */
  const fetchHalf = define('fetch_half', ['i64'], 'i32', (f, va) => {
    const pa = f.let(f.call(translate, va, i32(Access.fetch), get('priv')));
    f.if(isRam(pa), () => f.return(load(op.I32_LOAD16_U, hostOf(pa))));
    f.return(i32(-1));
  });

  /** protect_page(host page): takes away every TLB entry through which the page is written without a look. */
  const protectPage = define('protect_page', ['i32'], undefined, (f, host) => {
    for (const [list, count] of [
      [FILLS, CELL.filled],
      [FILLS_GLOBAL, CELL.filledGlobal],
    ] as const) {
      const n = f.var(i32(0));
      const end = f.let(cell(count));
      f.while(
        () => ltU32(n.value, end),
        () => {
          const entry = f.let(load(op.I32_LOAD, add32(cpu, shl32(n.value, 2)), list));
          const tag = f.let(load(op.I64_LOAD, entry));
          f.if(eq32(add32(wrap(tag), load(op.I32_LOAD, entry, 8)), host), () => f.store(op.I64_STORE, entry, i64(-1)));
          n.set(add32(n.value, 1));
        },
      );
    }
  });

  const dirtyFloat = define('dirty_float', [], undefined, (f) => {
    put(f, 'mstatus', apply(op.i64Integer.or, get('mstatus'), i64(3 << Mstatus.FS)));
    f.call(updateFloat);
  });

  /** enter_regime(): the data TLB follows the regime. */
  const enterRegime = define('enter_regime', [], undefined, (f) =>
    f.store(op.I32_STORE, cpu, mul32(get('regime'), 2 * DTLB_TABLE), CELL.regimeTables),
  );

  return {
    slowLoad,
    slowStore,
    slowGroup,
    commitStore,
    flush,
    flushPage,
    fetchPage,
    fetchHalf,
    isPage,
    protectPage,
    dirtyFloat,
    enterRegime,
    fault,
  };
}

/** The entry of the instruction TLB for a virtual address, less `ITLB`. */
export function itlbEntry(va: Value): Value {
  return add32(cpu, and32(wrap(shrU(va, 8)), (ITLB_ENTRIES - 1) << 4));
}
