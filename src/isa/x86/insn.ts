/**
 * X86Insn: what an x86 row writes its semantics on.
 *
 * A row names its operands by position (`m.get(1)`); what stands there, a
 * register, memory or an immediate, is the decoder's business. Values are i64;
 * of what `get` returns only the bits of the operand's size count (`zx` and
 * `sx` extend), and `set` takes the bits of the operand's size.
 */
import { Insn, type RegisterFile, type RegOperand } from '../../ir/insn.ts';
import * as op from '../../ir/op.ts';
import {
  add,
  and,
  eq32,
  eqz,
  eqz32,
  extendU,
  gtU,
  type I64,
  i32,
  i64,
  ltS,
  ne,
  ne32,
  or,
  reg,
  select,
  sext8,
  sext16,
  sext32,
  shl,
  shrU,
  sub,
  type Value,
  wrap,
  xor,
  zext32,
} from '../../ir/value.ts';
import type { Instance, MemoryOperand, Operand, RegisterOperand } from './instance.ts';
import { isCanonical } from './canonical.ts';
import { fault } from './fault.ts';
import { get, put } from './field.ts';
import {
  ccOp,
  condition,
  image,
  type Kind,
  type Operands as FlagOperands,
  type Question,
  ask,
  type Size,
} from './flags.ts';
import { segLinear } from './segment.ts';
import { AT, bitsOf, Eflags, type FieldName, isSegmented, Seg, Vector } from './state.ts';

/** The registers that live in locals of compiled code, by their number in the list. */
export const GPR: RegisterFile = { first: 0, offset: AT.gpr, type: 'i64' };
export const CC_OP: RegisterFile = { first: 16, offset: AT.ccOp, type: 'i32', stride: 4 };
/** ccA, ccB, ccC. */
export const CC: RegisterFile = { first: 17, offset: AT.ccA, type: 'i64' };
export const XMM: RegisterFile = { first: 24, offset: AT.xmm, type: 'v128', stride: 16 };
export const YMMH: RegisterFile = { first: 40, offset: AT.ymmh, type: 'v128', stride: 16 };

export const RAX = 0;
export const RCX = 1;
export const RDX = 2;
export const RBX = 3;
export const RSP = 4;
export const RBP = 5;
export const RSI = 6;
export const RDI = 7;

/** Where the variable parts of an instruction come from: constants, or an operation of the interpreter tier. */
export interface Leaves {
  /** The register of an operand. */
  register(operand: number): RegOperand;
  /** Base and index of the memory operand; -1 when there is none. */
  base(operand: number): RegOperand;
  index(operand: number): RegOperand;
  disp(operand: number): Value;
  immediate(operand: number): Value;
  /** The ModRM byte of an x87 instruction, i32. */
  modrm(): Value;
}

/** All parts as constants. */
export function constantLeaves({ operands, modrm }: Instance): Leaves {
  return {
    register: (n) => (operands[n] as RegisterOperand).n,
    base: (n) => (operands[n] as MemoryOperand).base,
    index: (n) => (operands[n] as MemoryOperand).index,
    disp: (n) => i64((operands[n] as MemoryOperand).disp),
    immediate: (n) => {
      const operand = operands[n];
      return i64(operand.kind === 'imm' ? operand.value : 0);
    },
    modrm: () => i32(modrm),
  };
}

const LOADS: Readonly<Record<number, number>> = {
  8: op.I64_LOAD8_U,
  16: op.I64_LOAD16_U,
  32: op.I64_LOAD32_U,
  64: op.I64_LOAD,
};
const STORES: Readonly<Record<number, number>> = {
  8: op.I64_STORE8,
  16: op.I64_STORE16,
  32: op.I64_STORE32,
  64: op.I64_STORE,
};

export class X86Insn extends Insn {
  readonly decoded: Instance;
  readonly leaves: Leaves;
  /** `ccOp` where it is known when code is translated. */
  readonly knownCcOp: number | undefined;
  /** What `ccOp` is after the instruction: known, unknown (undefined), or as before ('kept'). */
  ccAfter: number | undefined | 'kept' = 'kept';
  /** `ccAfter` depends on what `ccOp` was. */
  ccFollows = false;
  private readonly addresses: (Value | undefined)[] = [];

  constructor(decoded: Instance, leaves: Leaves, knownCcOp: number | undefined, locals: op.Type[] = []) {
    super(decoded.length, i64(0), locals);
    this.decoded = decoded;
    this.leaves = leaves;
    this.knownCcOp = knownCcOp;
  }

  /** Bits of the code: 16, 32 or 64. */
  get bits(): 16 | 32 | 64 {
    return bitsOf(this.decoded.mode);
  }
  /** Segments must be looked at. */
  get segmented(): boolean {
    return isSegmented(this.decoded.mode);
  }
  /** Operand size of the instruction (codes with v). */
  get osize(): 16 | 32 | 64 {
    return this.decoded.osize;
  }
  operand(n: number): Operand {
    return this.decoded.operands[n];
  }
  size(n: number): Size {
    return this.operand(n).size as Size;
  }
  isMemory(n: number): boolean {
    return this.operand(n).kind === 'mem';
  }

  // General registers.

  /** A whole general register. */
  r(n: RegOperand): Value {
    return this.read(GPR, n);
  }
  /** Writes `size` bits of a general register; 32 clear the upper half. */
  setR(n: RegOperand, value: I64, size: Size = 64, high = false): void {
    const typed = i64(value);
    if (size === 64) this.write(GPR, n, typed);
    else if (size === 32) this.write(GPR, n, zext32(typed));
    else this.writePart(GPR, n, typed, { size, at: high ? 8 : 0 });
  }

  // Operands.

  /** An operand; only the bits of its size count. `update`: it will be written too. */
  get(n: number, update = false): Value {
    const operand = this.operand(n);
    if (operand.kind === 'imm') return this.leaves.immediate(n);
    if (operand.kind === 'mem') return this.loadOperand(n, operand.size as Size, update);
    const value = this.r(this.leaves.register(n));
    return operand.high ? shrU(value, 8) : value;
  }

  /** An operand, zero-extended. */
  zx(n: number): Value {
    const operand = this.operand(n);
    const value = this.get(n);
    return operand.kind === 'mem' ? value : zeroExtend(value, operand.size as Size);
  }
  /** An operand, sign-extended; immediates are already. */
  sx(n: number): Value {
    const operand = this.operand(n);
    return operand.kind === 'imm' ? this.get(n) : signExtend(this.get(n), operand.size as Size);
  }

  set(n: number, value: I64): void {
    const operand = this.operand(n);
    if (operand.kind === 'imm') throw new TypeError('an immediate cannot be written');
    if (operand.kind === 'mem') this.storeOperand(n, operand.size as Size, i64(value));
    else this.setR(this.leaves.register(n), value, operand.size as Size, operand.high);
  }

  // Memory.

  /** The offset of a memory operand within its segment. */
  offset(n: number): Value {
    const { base, index, scale, relative, asize } = this.operand(n) as MemoryOperand;
    const { leaves } = this;
    const disp = leaves.disp(n);
    if (relative) {
      const target = add(this.nextPc, disp);
      return asize === 64 ? target : zext32(target);
    }
    let sum: Value | undefined;
    if (base >= 0) sum = this.r(leaves.base(n));
    if (index >= 0) {
      const scaled = shl(this.r(leaves.index(n)), scale);
      sum = sum ? add(sum, scaled) : scaled;
    }
    const offset = sum ? add(sum, disp) : disp;
    return asize === 64 ? offset : asize === 32 ? zext32(offset) : and(offset, 0xffff);
  }

  /** `value` where the base or index of memory operand `n` is the general register `number`, known now or not; else 0. */
  usesRegister(n: number, number: number, value: number): Value {
    const { base, index, scale } = this.operand(n) as MemoryOperand;
    const { leaves } = this;
    const part = (present: boolean, operand: RegOperand, shift: number): Value => {
      if (!present) return i64(0);
      if (typeof operand === 'number') return i64(operand === number ? value << shift : 0);
      return select(eq32(operand, number * 8), i64(value << shift), i64(0));
    };
    return add(
      part(base >= 0, base >= 0 ? leaves.base(n) : 0, 0),
      part(index >= 0, index >= 0 ? leaves.index(n) : 0, scale),
    );
  }

  /** The segment of an implicit operand, which a prefix may change: DS otherwise. */
  segment(): number {
    return this.decoded.seg < 0 ? Seg.ds : this.decoded.seg;
  }

  /** The linear address of `offset` in a segment, for an access of `bytes`; faults where the segment does not reach. */
  linear(seg: number, offset: Value, bytes: number, write: boolean): Value {
    const { bits } = this;
    if (bits === 64) return seg >= Seg.fs ? add(get('segBase', seg * 8), offset) : offset;
    if (!this.segmented && seg < Seg.fs) return zext32(offset);
    const linear = this.call(segLinear, i32(seg), zext32(offset), i32(bytes | (write ? 0x100 : 0)));
    this.if(ltS(linear, 0), () => this.raise(wrap(sub(-1, linear)), 0));
    return linear;
  }

  /** The linear address of a memory operand, worked out once. */
  address(n: number, bytes: number, write: boolean): Value {
    const { seg } = this.operand(n) as MemoryOperand;
    this.addresses[n] ??= this.let(this.linear(seg, this.offset(n), bytes, write));
    return this.addresses[n];
  }

  private loadOperand(n: number, size: Size, update: boolean): Value {
    return this.gload(LOADS[size], this.address(n, size / 8, update), update ? 'store' : 'load');
  }
  private storeOperand(n: number, size: Size, value: Value): void {
    this.gstore(STORES[size], this.address(n, size / 8, true), value);
  }

  /** `size` bits at a linear address. */
  loadLinear(address: Value, size: Size, update = false): Value {
    return this.gload(LOADS[size], address, update ? 'store' : 'load');
  }
  storeLinear(address: Value, size: Size, value: Value): void {
    this.gstore(STORES[size], address, value);
  }
  /** `size` bits at `offset` in a segment, zero-extended. */
  loadAt(seg: number, offset: Value, size: Size): Value {
    return this.gload(LOADS[size], this.linear(seg, offset, size / 8, false));
  }
  storeAt(seg: number, offset: Value, size: Size, value: I64): void {
    this.gstore(STORES[size], this.linear(seg, offset, size / 8, true), i64(value));
  }
  /** The same of memory operand `n`, `bytes` behind its start. */
  loadPart(n: number, bytes: number, size: Size): Value {
    return this.loadAt((this.operand(n) as MemoryOperand).seg, this.wrapOffset(n, add(this.offset(n), bytes)), size);
  }
  storePart(n: number, bytes: number, size: Size, value: I64): void {
    const { seg } = this.operand(n) as MemoryOperand;
    this.storeAt(seg, this.wrapOffset(n, add(this.offset(n), bytes)), size, value);
  }
  private wrapOffset(n: number, offset: Value): Value {
    const { asize } = this.operand(n) as MemoryOperand;
    return asize === 64 ? offset : asize === 32 ? zext32(offset) : and(offset, 0xffff);
  }

  /** 16 bytes of memory operand `n`; `aligned`: a general protection fault where the address is not. */
  loadVector(n: number, aligned: boolean, bytes = 0): Value {
    return this.gload(op.V128_LOAD, this.vectorAddress(n, aligned, false, bytes));
  }
  storeVector(n: number, value: Value, aligned: boolean, bytes = 0): void {
    this.gstore(op.V128_STORE, this.vectorAddress(n, aligned, true, bytes), value);
  }
  private vectorAddress(n: number, aligned: boolean, write: boolean, bytes: number): Value {
    const { seg } = this.operand(n) as MemoryOperand;
    const offset = bytes === 0 ? this.offset(n) : this.wrapOffset(n, add(this.offset(n), bytes));
    const address = this.let(this.linear(seg, offset, 16, write));
    if (aligned) this.if(ne32(wrap(and(address, 15)), 0), () => this.gp());
    return address;
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

  // Faults.

  /** Raises an exception, with an error code where the vector has one. */
  fault(vector: number, error?: number): void {
    this.raise(fault(vector, error), 0);
  }
  /** Raises what an IR function returned as a fault (0: none). */
  raiseIf(result: Value): void {
    this.if(ne32(result, 0), () => this.raise(result, get('faultAddress')));
  }
  gp(error = 0): void {
    this.fault(Vector.gp, error);
  }
  ud(): void {
    this.fault(Vector.ud);
  }
  /** Faults unless CPL is 0. */
  privileged(): void {
    this.if(ne32(get('cpl'), 0), () => this.gp());
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

/** An i32 as an i64 without sign. */
export function zext32From(value: Value): Value {
  return value.type === 'i32' ? extendU(value) : zext32(value);
}

export function zeroExtend(value: Value, size: Size): Value {
  if (size === 64) return value;
  return size === 32 ? zext32(value) : and(value, size === 16 ? 0xffff : 0xff);
}
export function signExtend(value: Value, size: Size): Value {
  if (size === 64) return value;
  return size === 32 ? sext32(value) : size === 16 ? sext16(value) : sext8(value);
}
