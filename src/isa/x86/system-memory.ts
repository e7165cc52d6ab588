/**
 * How IR functions of the CPU (descriptors, exception delivery, task switches)
 * read and write guest memory: linear addresses, a fault ends the function.
 */
import type { Code } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import {
  add,
  and,
  eqz32,
  type I64,
  i32,
  i64,
  load,
  ne,
  ne32,
  or32,
  select,
  type Value,
  zext32,
} from '../../ir/value.ts';
import { guestFault, guestFaultAddress, guestRead, guestWrite } from '../isa.ts';
import { get, put } from './field.ts';
import { Access } from './mmu.ts';
import { Efer } from './state.ts';

type Bytes = 1 | 2 | 4 | 8;
const LOADS = { 1: op.I64_LOAD8_U, 2: op.I64_LOAD16_U, 4: op.I64_LOAD32_U, 8: op.I64_LOAD } as const;

/** Accesses of an IR function that returns a fault (i32, 0: none): see fault.ts. */
export class SystemCode {
  readonly f: Code;

  constructor(f: Code) {
    this.f = f;
  }

  /** Returns with a fault when it is one. */
  try(fault: Value): void {
    const { f } = this;
    const found = f.let(fault);
    f.if(ne32(found, 0), () => f.return(found));
  }

  /** Returns with the fault of the last access; `flag`: see `FaultFlag`. */
  failed(flag = 0): void {
    const { f } = this;
    put(f, 'faultAddress', f.call(guestFaultAddress));
    f.return(or32(f.call(guestFault), flag));
  }

  /** `bytes` at a linear address, zero-extended, as the supervisor (`user`: as the code at CPL). */
  read(address: Value, bytes: Bytes, user = false): Value {
    const { f } = this;
    const host = f.let(f.call(guestRead, address, i32(bytes), i32(user ? Access.load : Access.systemLoad)));
    f.if(eqz32(host), () => this.failed());
    return f.let(load(LOADS[bytes], host));
  }

  write(address: Value, bytes: Bytes, value: I64, user = false): void {
    const { f } = this;
    const access = i32(user ? Access.store : Access.systemStore);
    const done = f.let(f.call(guestWrite, address, i32(bytes), access, i64(value)));
    f.if(eqz32(done), () => this.failed());
  }

  /** base + offset: 32 bits but in long mode. */
  at(base: Value, offset: I64): Value {
    return this.f.let(linearSum(base, offset));
  }
}

/** base + offset, cut to 32 bits but in long mode. */
export function linearSum(base: Value, offset: I64): Value {
  const sum = add(base, offset);
  return selectLong(sum, zext32(sum));
}
/** `yes` where long mode is active. */
export function selectLong(yes: Value, no: Value): Value {
  return select(isLongMode(), yes, no);
}
/** i32: EFER.LMA. */
export const isLongMode = (): Value => ne(and(get('efer'), Efer.lma), 0);
