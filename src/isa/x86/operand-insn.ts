/**
 * OperandInsn: the operands of an instruction, read and written.
 *
 * A row names its operands by position (`m.get(1)`); what stands there, a
 * register, memory or an immediate, is the decoder's business. Values are i64;
 * of what `get` returns only the bits of the operand's size count (`zx` and
 * `sx` extend), and `set` takes the bits of the operand's size.
 */
import * as op from '../../ir/op.ts';
import {
  type I64,
  type Value,
  add,
  and,
  eq32,
  i32,
  i64,
  ltS,
  ne32,
  select,
  shl,
  shrU,
  sub,
  wrap,
  zext32,
} from '../../ir/value.ts';
import { Insn, type RegOperand } from '../../ir/insn.ts';
import type { Instance, MemoryOperand, Operand } from './instance.ts';
import { signExtend, zeroExtend } from './extend.ts';
import { fault } from './fault.ts';
import { get } from './field.ts';
import type { Size } from './flags.ts';
import type { Leaves } from './leaves.ts';
import { GPR } from './registers.ts';
import { segLinear } from './segment.ts';
import { bitsOf, isSegmented, Seg, Vector } from './state.ts';

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

export class OperandInsn extends Insn {
  readonly decoded: Instance;
  readonly leaves: Leaves;
  private readonly addresses: (Value | undefined)[] = [];

  constructor(decoded: Instance, leaves: Leaves, locals: op.Type[]) {
    super(decoded.length, i64(0), locals);
    this.decoded = decoded;
    this.leaves = leaves;
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
}
