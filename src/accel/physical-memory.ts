/** How IR functions find guest-physical memory in linear memory: one region at a known place, or a table of pages. */
import type { PhysicalMemory } from '../isa/isa.ts';
import * as op from '../ir/op.ts';
import {
  add32,
  and,
  and32,
  i32,
  load,
  ltU,
  ne32,
  or32,
  select,
  shl32,
  shrU,
  sub,
  type Value,
  wrap,
} from '../ir/value.ts';

/** RAM is one region: `host` is its address in linear memory. */
export function oneRegion(base: number, size: number, host: number): PhysicalMemory {
  const isMemory = (pa: Value) => ltU(sub(pa, base), size);
  return { isMemory, isWritable: isMemory, hostOf: (pa) => add32(wrap(sub(pa, base)), host) };
}

/** An entry of the table: the page's address in linear memory, and this bit where it may be written; 0: no memory. */
export const WRITABLE = 1;

/** A table at `at` with an i32 for each page below `limit`, and an empty one behind them. */
export function pageTable(at: number, limit: number): PhysicalMemory {
  const entry = (pa: Value) => {
    const page = select(ltU(pa, limit), wrap(shrU(pa, 12)), i32(limit / 4096));
    return load(op.I32_LOAD, shl32(page, 2), at);
  };
  return {
    isMemory: (pa) => ne32(entry(pa), 0),
    isWritable: (pa) => and32(entry(pa), WRITABLE),
    hostOf: (pa) => or32(and32(entry(pa), -4096), wrap(and(pa, 4095))),
  };
}
