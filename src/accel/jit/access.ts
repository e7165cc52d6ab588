/**
 * A guest memory access in compiled code: the TLB check inline, the rest out
 * of line.
 *
 * The check compares the page of the address and, in the same comparison,
 * that the access is aligned, or, where that is not asked for, that it ends in
 * the same page; what fails it (a page not seen yet, MMIO, a fault) goes to
 * `slowLoad` or `slowStore`, which give the address in linear memory to use,
 * or 0.
 */
import type { Register } from '../../isa/isa.ts';
import type { Value } from '../../ir/value.ts';
import * as op from '../../ir/op.ts';
import type { Emitter } from './emit.ts';
import { CELL, DTLB, DTLB_ENTRIES, DTLB_TABLE, dtlb } from './layout.ts';

export interface AccessTemps {
  /** i64 local for the virtual address. */
  readonly va: number;
  /** i32 local for the TLB entry. */
  readonly entry: number;
  /** i64 local for its tag. */
  readonly tag: number;
  /** See `Isa.unaligned`. */
  readonly unaligned: boolean;
}

/**
 * Pushes the linear-memory address of the access. `regime` undefined: the one
 * in force at run time. `slow` pushes an address or leaves.
 *
 * Both ways meet before the address is added up: V8 knows that a sum fills a
 * register, and extends the result of a call by an instruction of its own.
 */
export function pushHostAddress(
  e: Emitter,
  temps: AccessTemps,
  address: Value,
  size: op.AccessSize,
  store: boolean,
  regime: number | undefined,
  slow: () => void,
): void {
  const { va, entry, tag } = temps;
  e.value(address);
  e.tee(va);
  pushTlbIndex(e);
  const known = e.lowering.cpuAddress;
  let table: number;
  if (regime === undefined) {
    // The tables of the current regime: their offset stands in a cell.
    table = store ? DTLB_TABLE + DTLB : DTLB;
    pushCell(e, CELL.regimeTables);
    e.op(op.i32Integer.add);
  } else table = dtlb(regime, store);
  if (known !== undefined) table += known;
  else {
    e.pushCpu();
    e.op(op.i32Integer.add);
  }
  e.tee(entry);
  e.memory(op.I64_LOAD, table);
  e.tee(tag);
  if (temps.unaligned) pushPage(e, va, 1, size - 1);
  else pushPage(e, va, size, 0);
  e.op(op.i64Compare.ne);
  e.if(true, 'i32');
  keepTag(e, tag);
  slow();
  e.get(va);
  e.op(op.I32_WRAP);
  e.op(op.i32Integer.sub);
  e.else();
  e.get(entry);
  e.memory(op.I32_LOAD, table + 8);
  e.end();
  e.get(va);
  e.op(op.I32_WRAP);
  e.op(op.i32Integer.add);
}

/**
 * Uses a tag where the look failed. V8 makes a load that only a comparison uses an operand of it, and executes it once
 * more by itself.
 */
export function keepTag(e: Emitter, tag: number): void {
  storeCell(e, CELL.tag, () => e.get(tag), op.I64_STORE);
}

/**
 * Pushes what equals a TLB entry's tag for an access at the address in a local: if what lies `last` bytes further on is
 * in the same page and aligned by `align` bytes.
 */
export function pushPage(e: Emitter, va: number, align: number, last: number): void {
  e.get(va);
  if (last !== 0) {
    e.i64Const(last);
    e.op(op.i64Integer.add);
  }
  e.i64Const(-4096 + align - 1);
  e.op(op.i64Integer.and);
}

/** Replaces an address on the stack by the byte index of its TLB entry. */
function pushTlbIndex(e: Emitter): void {
  e.op(op.I32_WRAP); // the index lies within the low word
  e.i32Const(8);
  e.op(op.i32Integer.shr_u);
  e.i32Const((DTLB_ENTRIES - 1) << 4);
  e.op(op.i32Integer.and);
}

/** Replaces an address on the stack by its TLB entry, less the table's offset (and the CPU's address where known). */
export function pushTlbEntry(e: Emitter): void {
  pushTlbIndex(e);
  if (e.lowering.cpuAddress === undefined) {
    e.pushCpu();
    e.op(op.i32Integer.add);
  }
}

/** Pushes a cell of the CPU's block, one of 32 bits unless `code` says else. */
export function pushCell(e: Emitter, cell: number, code: number = op.I32_LOAD): void {
  const known = e.lowering.cpuAddress;
  if (known !== undefined) {
    e.i32Const(0);
    e.memory(code, known + cell);
  } else {
    e.pushCpu();
    e.memory(code, cell);
  }
}

/** Stores what `push` pushes into a cell of the CPU's block. */
export function storeCell(e: Emitter, cell: number, push: () => void, code: number = op.I32_STORE): void {
  const known = e.lowering.cpuAddress;
  if (known !== undefined) e.i32Const(0);
  else e.pushCpu();
  push();
  e.memory(code, (known ?? 0) + cell);
}

const LOAD = { i32: op.I32_LOAD, i64: op.I64_LOAD, f64: op.F64_LOAD, v128: op.V128_LOAD } as const;
const STORE = { i32: op.I32_STORE, i64: op.I64_STORE, f64: op.F64_STORE, v128: op.V128_STORE } as const;

/** Pushes a guest register from the CPU's state. */
export function pushRegister(e: Emitter, { offset, type }: Register): void {
  pushCell(e, offset, LOAD[type]);
}

/** Stores what `push` pushes into a guest register of the CPU's state. */
export function storeRegister(e: Emitter, { offset, type }: Register, push: () => void): void {
  storeCell(e, offset, push, STORE[type]);
}
