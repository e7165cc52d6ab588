/** The TLBs: entries by address, flushes, fills. IR functions, compiled to WebAssembly once. */
import { define } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import {
  add,
  add32,
  and,
  and32,
  cpu,
  eq,
  eq32,
  eqz32,
  extendU,
  gtU32,
  i32,
  i64,
  leU,
  load,
  ltU,
  ltU32,
  mul32,
  shl,
  shl32,
  shrU,
  shrU32,
  sub,
  sub32,
  type Value,
  wrap,
} from '../../ir/value.ts';
import type { Isa } from '../../isa/isa.ts';
import { enterMode, forgetJumps, forgetPage } from './goto.ts';
import { CELL, DTLB_ENTRIES, DTLB_TABLE, dtlb, FILL_LIMIT, FILLS, FILLS_GLOBAL, ITLB, ITLB_ENTRIES } from './layout.ts';

export const cell = (at: number): Value => load(op.I32_LOAD, cpu, at);

/** The entry of the instruction TLB for a virtual address, less `ITLB`. */
export function itlbEntry(va: Value): Value {
  return add32(cpu, and32(wrap(shrU(va, 8)), (ITLB_ENTRIES - 1) << 4));
}

/** The entry of the load TLB in force for a virtual address, less `dtlb(0, false)`. */
export function dtlbEntry(va: Value): Value {
  return add32(add32(cpu, cell(CELL.regimeTables)), and32(wrap(shrU(va, 8)), (DTLB_ENTRIES - 1) << 4));
}

export function tlbFunctions({ regimes, modes, regimeOf, fields }: Isa) {
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
    f.call(forgetJumps, notGlobal);
    f.if(
      notGlobal,
      () => {
        const entry = f.var(add32(cpu, ITLB));
        const last = f.let(add32(cpu, ITLB + ITLB_ENTRIES * 16));
        f.while(
          () => ltU32(entry.value, last),
          () => {
            f.if(eqz32(load(op.I32_LOAD, entry.value, 12)), () => f.store(op.I64_STORE, entry.value, i64(0)));
            entry.set(add32(entry.value, 16));
          },
        );
      },
      () => f.fill(add32(cpu, ITLB), i32(0), i32(ITLB_ENTRIES * 16)),
    );
  });

  const flushPage = define('flush_page', ['i64'], undefined, (f, va) => {
    // A larger page may stand in the TLB as many small ones.
    f.if(and32(leU(load(op.I64_LOAD, cpu, CELL.largeLow), va), ltU(va, load(op.I64_LOAD, cpu, CELL.largeHigh))), () => {
      f.call(flush, i32(0));
      f.return();
    });
    const page = f.let(and(va, -4096));
    const entry = f.let(add32(cpu, and32(wrap(shrU(va, 8)), (DTLB_ENTRIES - 1) << 4)));
    for (let regime = 0; regime < regimes; regime++) {
      for (const table of [dtlb(regime, false), dtlb(regime, true)])
        f.if(eq(load(op.I64_LOAD, entry, table), page), () => f.store(op.I64_STORE, entry, i64(-1), table));
    }
    forgetPage(f, va);
    const code = f.let(itlbEntry(va));
    f.if(eq(and(load(op.I64_LOAD, code, ITLB), -4096), page), () => f.store(op.I64_STORE, code, i64(0), ITLB));
  });

  /** fill(va, host page, store): puts a translation into the TLB of the regime in force. */
  const fill = define('fill', ['i64', 'i32', 'i32'], undefined, (f, va, host, store) => {
    const isGlobal = f.let(load(op.I32_LOAD, cpu, fields.lastGlobal));
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
    const shift = f.let(load(op.I32_LOAD, cpu, fields.lastShift));
    f.if(gtU32(shift, 12), () => {
      const span = f.let(shl(1, extendU(shift)));
      const low = f.let(and(va, sub(0, span)));
      const high = f.let(add(low, span));
      f.if(ltU(low, load(op.I64_LOAD, cpu, CELL.largeLow)), () => f.store(op.I64_STORE, cpu, low, CELL.largeLow));
      f.if(ltU(load(op.I64_LOAD, cpu, CELL.largeHigh), high), () => f.store(op.I64_STORE, cpu, high, CELL.largeHigh));
      f.if(ltU(high, low), () => f.store(op.I64_STORE, cpu, i64(-1), CELL.largeHigh));
    });
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

  /** The regime of a mode: two bits each in a word, where it is not the mode itself. */
  const regimeFor = (mode: Value): Value => {
    const all = Array.from({ length: modes }, (_, n) => regimeOf(n));
    if (all.every((regime, n) => regime === n)) return mode;
    const packed = all.reduce((word, regime, n) => word | (regime << (2 * n)), 0);
    return and32(shrU32(i32(packed), shl32(mode, 1)), 3);
  };

  /** enter_regime(): the data TLB and the cache of jumps follow the mode. */
  const enterRegime = define('enter_regime', [], undefined, (f) => {
    const mode = f.let(load(op.I32_LOAD, cpu, fields.mode));
    f.store(op.I32_STORE, cpu, mul32(regimeFor(mode), 2 * DTLB_TABLE), CELL.regimeTables);
    enterMode(f, mode);
  });

  return { flush, flushPage, fill, protectPage, enterRegime, forgetJumps };
}
