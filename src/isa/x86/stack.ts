/** Stacks as exception delivery and far transfers push to and pop from them: any segment, 2, 4 or 8 bytes at a time. */
import type { Variable } from '../../ir/code.ts';
import {
  add,
  and,
  and32,
  eq32,
  eqz32,
  extendU,
  gtU,
  i32,
  i64,
  load,
  or,
  select,
  sub,
  type Value,
  xor,
  zext32,
} from '../../ir/value.ts';
import * as op from '../../ir/op.ts';
import { guestRead, guestWrite } from '../isa.ts';
import { fault, FaultFlag } from './fault.ts';
import { get, put } from './field.ts';
import { Access } from './mmu.ts';
import { Attr, Seg, Vector } from './state.ts';
import { isLongMode, linearSum, type SystemCode } from './system-memory.ts';

export class Stack {
  private readonly s: SystemCode;
  private readonly base: Value;
  /** What of the pointer is used. */
  readonly mask: Value;
  private readonly limit: Value;
  private readonly user: Value;
  /** The offset in the segment. */
  readonly sp: Variable;
  /** Bytes of an element, i32. */
  private readonly bytes: Value;

  /** `user` (i32): the accesses are those of CPL 3. `limit`: the last byte, checked where it is given. */
  constructor(s: SystemCode, base: Value, sp: Value, mask: Value, bytes: Value, user: Value, limit?: Value) {
    const { f } = s;
    this.s = s;
    this.base = f.let(base);
    this.mask = f.let(mask);
    this.limit = f.let(limit ?? i64(-1));
    this.user = f.let(user);
    this.bytes = f.let(bytes);
    this.sp = f.var(sp);
  }

  /** The stack in use. */
  static current(s: SystemCode, bytes: Value): Stack {
    const mask = get('stackMask');
    const user = eq32(get('cpl'), 3);
    const attr = get('segAttr', Seg.ss * 4);
    // Expand-down stacks are as long as their size attribute says.
    const down = eq32(and32(attr, Attr.code | Attr.conforming), Attr.conforming);
    const limit = select(down, mask, extendU(get('segLimit', Seg.ss * 4)));
    const noBase = isLong64();
    return new Stack(
      s,
      select(noBase, i64(0), get('segBase', Seg.ss * 8)),
      get('gpr', 4 * 8),
      mask,
      bytes,
      user,
      select(noBase, i64(-1), limit),
    );
  }

  private address(offset: Value): Value {
    const { f } = this.s;
    const at = f.let(and(offset, this.mask));
    f.if(gtU(add(at, extendU(sub1(this.bytes))), this.limit), () => f.return(fault(Vector.ss, 0)));
    return f.let(linearSum(this.base, at));
  }

  push(value: Value): void {
    const { s } = this;
    const { f } = s;
    const next = f.let(sub(this.sp.value, extendU(this.bytes)));
    const access = select(this.user, i32(Access.store), i32(Access.systemStore));
    const done = f.call(guestWrite, this.address(next), this.bytes, access, value);
    f.if(eqz32(done), () => s.failed(FaultFlag.stack));
    this.sp.set(next);
  }

  /** The next element, zero-extended. */
  pop(): Value {
    const { s } = this;
    const { f } = s;
    const access = select(this.user, i32(Access.load), i32(Access.systemLoad));
    const host = f.let(f.call(guestRead, this.address(this.sp.value), this.bytes, access));
    f.if(eqz32(host), () => s.failed(FaultFlag.stack));
    const value = f.var(load(op.I64_LOAD16_U, host));
    f.if(eq32(this.bytes, 4), () => value.set(load(op.I64_LOAD32_U, host)));
    f.if(eq32(this.bytes, 8), () => value.set(load(op.I64_LOAD, host)));
    this.sp.set(add(this.sp.value, extendU(this.bytes)));
    return f.let(value.value);
  }

  /** Lets rSP be what pushes and pops made of it; the bits beyond the stack's width stay. */
  commit(): void {
    const { f } = this.s;
    const kept = and(get('gpr', 4 * 8), xor(this.mask, -1));
    put(f, 'gpr', or(kept, and(this.sp.value, this.mask)), 4 * 8);
  }
}

/** i32: 64-bit code. */
export const isLong64 = (): Value => and32(isLongMode(), and32(shiftedLong(get('segAttr', Seg.cs * 4)), 1));
/** A linear address as an offset in CS. */
export const ipOf = (linear: Value): Value =>
  select(isLong64(), linear, zext32(sub(linear, get('segBase', Seg.cs * 8))));
const shiftedLong = (attr: Value): Value => eq32(and32(attr, Attr.long), Attr.long);
const sub1 = (x: Value): Value => select(eq32(x, 8), i32(7), select(eq32(x, 4), i32(3), i32(1)));
