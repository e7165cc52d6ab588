/**
 * X86Insn: what an x86 row writes its semantics on. On top of its operands
 * (operand-insn.ts) it has the stack, the places where code goes on, and flags.
 */
import type * as op from '../../ir/op.ts';
import {
  type I64,
  type Value,
  add,
  and,
  eqz,
  eqz32,
  gtU,
  i32,
  i64,
  ne,
  ne32,
  or,
  reg,
  select,
  shrU,
  sub,
  wrap,
  xor,
  zext32,
} from '../../ir/value.ts';
import type { Instance } from './instance.ts';
import { isCanonical } from './canonical.ts';
import { zeroExtend, zext32From } from './extend.ts';
import { get, put } from './field.ts';
import {
  ask,
  ccOp,
  condition,
  image,
  type Kind,
  type Operands as FlagOperands,
  type Question,
  type Size,
} from './flags.ts';
import type { Leaves } from './leaves.ts';
import { OperandInsn } from './operand-insn.ts';
import { CC, CC_OP, RSP } from './registers.ts';
import { Eflags, type FieldName, Seg } from './state.ts';

export class X86Insn extends OperandInsn {
  /** `ccOp` where it is known when code is translated. */
  readonly knownCcOp: number | undefined;
  /** What `ccOp` is after the instruction: known, unknown (undefined), or as before ('kept'). */
  ccAfter: number | undefined | 'kept' = 'kept';
  /** `ccAfter` depends on what `ccOp` was. */
  ccFollows = false;

  constructor(decoded: Instance, leaves: Leaves, knownCcOp: number | undefined, locals: op.Type[] = []) {
    super(decoded, leaves, locals);
    this.knownCcOp = knownCcOp;
  }

  // The stack.

  /** The stack pointer: an offset in SS. */
  sp(): Value {
    const rsp = this.r(RSP);
    if (this.bits === 64) return rsp;
    return this.segmented ? and(rsp, get('stackMask')) : zext32(rsp);
  }
  /** A stack offset that came of arithmetic, wrapped. */
  stackOffset(offset: Value): Value {
    if (this.bits === 64) return offset;
    return this.segmented ? and(offset, get('stackMask')) : zext32(offset);
  }
  setSp(offset: Value): void {
    if (this.bits === 64) this.setR(RSP, offset);
    else if (!this.segmented) this.setR(RSP, offset, 32);
    else {
      const mask = this.let(get('stackMask'));
      this.setR(RSP, or(and(this.r(RSP), xor(mask, -1)), and(offset, mask)));
    }
  }
  /** Pushes one value; for more, store below `sp()` and set it once. */
  push(value: I64, size: 16 | 32 | 64): void {
    const to = this.let(this.stackOffset(sub(this.sp(), size / 8)));
    this.storeAt(Seg.ss, to, size, value);
    this.setSp(to);
  }
  /** Pops one value, zero-extended. */
  pop(size: 16 | 32 | 64): Value {
    const from = this.let(this.sp());
    const value = this.loadAt(Seg.ss, from, size);
    this.setSp(add(from, size / 8));
    return value;
  }

  // Control flow. Offsets in CS, as software knows them.

  /** The offset in CS of the next instruction. */
  nextIp(): Value {
    return this.ipOf(this.nextPc);
  }
  ip(): Value {
    return this.ipOf(this.pc);
  }
  private ipOf(linear: Value): Value {
    if (this.bits === 64) return linear;
    return this.segmented ? zext32(sub(linear, get('segBase', Seg.cs * 8))) : zext32(linear);
  }
  /**
   * The linear address of an offset in CS, cut to the operand size; faults beyond the limit, or where it is none.
   * Departure: relative jumps of 64-bit code are not looked at; the fetch faults, with the target as RIP.
   */
  private linearIp(ip: Value): Value {
    const { osize, bits } = this;
    const cut = osize === 64 ? ip : osize === 32 ? zext32(ip) : and(ip, 0xffff);
    if (bits === 64) {
      const target = this.let(cut);
      // Seldom more than this one look: an address of 48 bits is canonical with 57, too.
      const beyond48 = ne(shrU(add(target, 1n << 47n), 48), 0);
      this.if(beyond48, () => this.if(eqz32(isCanonical(target)), () => this.gp()));
      return target;
    }
    if (!this.segmented) return cut;
    const offset = this.let(cut);
    this.if(gtU(offset, zext32From(get('segLimit', Seg.cs * 4))), () => this.gp());
    return zext32(add(offset, get('segBase', Seg.cs * 8)));
  }
  /** Goes on at an offset in CS. */
  jumpTo(ip: Value, link = false): void {
    this.jump(this.linearIp(ip), link);
  }
  /** Goes on `distance` (a relative operand) behind this instruction. */
  jumpBy(n: number, link = false): void {
    this.jump(this.relative(n), link);
  }
  branchBy(condition: Value, n: number): void {
    if (this.osize !== 16 || this.bits === 64) this.branch(condition, this.relative(n));
    else {
      const taken = this.let(condition);
      // A limit is looked at only where the jump is taken.
      const target = this.var(this.nextPc);
      this.if(taken, () => target.set(this.linearIp(add(this.nextIp(), this.leaves.immediate(n)))));
      this.branch(taken, target.value);
    }
  }
  private relative(n: number): Value {
    const distance = this.leaves.immediate(n);
    if (this.osize === 16) return this.linearIp(add(this.nextIp(), distance));
    return add(this.nextPc, distance);
  }

  // Flags.

  flagOperands(): FlagOperands {
    return { a: reg(CC.first, 'i64'), b: reg(CC.first + 1, 'i64'), c: reg(CC.first + 2, 'i64') };
  }
  private ccOpNow(): number | Value {
    return this.knownCcOp ?? reg(CC_OP.first, 'i32');
  }
  /** A condition by its four-bit code, i32. */
  condition(cc: number): Value {
    return condition(this, cc, this.ccOpNow(), this.flagOperands());
  }
  /** A flag, i32: 0 or 1. */
  flag(question: Question): Value {
    return ask(this, question, this.ccOpNow(), this.flagOperands());
  }
  /** The arithmetic flags at their places, i64; see `image`. */
  flagsImage(inLoops = false): Value {
    return image(this, this.ccOpNow(), this.flagOperands(), inLoops);
  }
  /** All arithmetic flags follow from an operation: see flags.ts. */
  flags(kind: Kind, size: Size, a: I64, b?: I64, c?: I64): void {
    const number = ccOp(kind, size);
    this.ccAfter = number;
    this.write(CC_OP, 0, i32(number));
    this.write(CC, 0, i64(a));
    if (b !== undefined) this.write(CC, 1, i64(b));
    if (c !== undefined) this.write(CC, 2, i64(c));
  }
  /** As `flags` where `when` (i32) is not zero; otherwise they stay. */
  flagsIf(when: Value, kind: Kind, size: Size, a: I64, b: I64): void {
    const { a: oldA, b: oldB } = this.flagOperands();
    this.ccAfter = undefined;
    const old = this.knownCcOp === undefined ? reg(CC_OP.first, 'i32') : i32(this.knownCcOp);
    this.write(CC_OP, 0, select(when, i32(ccOp(kind, size)), old));
    this.write(CC, 0, select(when, i64(a), oldA));
    this.write(CC, 1, select(when, i64(b), oldB));
  }
  /** The arithmetic flags from an image. */
  setFlags(bits: I64): void {
    this.flags('flags', 8, i64(bits));
  }

  // The state.

  state(field: FieldName, byteIndex?: number): Value {
    return get(field, byteIndex);
  }
  setState(field: FieldName, value: I64, byteIndex?: number): void {
    put(this, field, value, byteIndex);
  }
  /** What string instructions add to their pointers, i64: plus or minus `bytes`. */
  direction(bytes: number): Value {
    return select(ne32(wrap(and(zext32From(get('eflags')), Eflags.df)), 0), i64(-bytes), i64(bytes));
  }
  /** Whether a count register of the address size is zero. */
  isZero(value: Value, size: 16 | 32 | 64): Value {
    return eqz(zeroExtend(value, size));
  }
}
