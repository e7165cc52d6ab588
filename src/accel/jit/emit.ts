/**
 * IR to WebAssembly code: a walk over statements and values.
 *
 * What stands for a part of the guest CPU (registers, pc, guest memory,
 * exceptions) is given to a `Lowering`; all else is WebAssembly already.
 */
import type { Callable, FunctionBody, GuestLoad, GuestStore, Label, Statement } from '../../ir/code.ts';
import * as op from '../../ir/op.ts';
import type { Type } from '../../ir/op.ts';
import type { Value } from '../../ir/value.ts';
import { hasLane, SHUFFLE } from '../../ir/vector-op.ts';
import { Bytes } from './bytes.ts';
import { isNarrow, pushLowWord } from './low-word.ts';
import { type Body, typeCode } from './module.ts';

export interface Lowering {
  /** Pushes a guest register. */
  reg(emitter: Emitter, reg: number): void;
  setReg(emitter: Emitter, reg: number, value: Value): void;
  /** Pushes the instruction's address plus `offset`. */
  pc(emitter: Emitter, offset: number): void;
  /** The address of the CPU state when it is known now, else undefined: then it stands in the global `cpu`. */
  readonly cpuAddress: number | undefined;
  gload(emitter: Emitter, s: GuestLoad, local: number): void;
  gstore(emitter: Emitter, s: GuestStore): void;
  raise(emitter: Emitter, cause: Value, tval: Value): void;
  /** The index of a function in the module being written. */
  callee(target: Callable): number;
}

const VOID = 0x40;

/** Whether all that is done under a condition ends with an exception: it will seldom hold. */
function endsInException(s: Statement): boolean {
  if (s.kind !== 'if' || s.else.length > 0) return false;
  const last = s.then[s.then.length - 1];
  return last !== undefined && (last.kind === 'raise' || endsInException(last));
}

export class Emitter {
  readonly out = new Bytes(4096);
  private readonly unlikely: number[] = [];
  private readonly calls: number[] = [];
  private readonly pages: number[] = [];
  lowering: Lowering;
  /** Where the locals of the code being emitted stand; undefined: as they are numbered. */
  places: readonly number[] | undefined;
  private readonly labels: (Label | undefined)[] = [];
  private readonly paramCount: number;
  private readonly locals: Type[];

  constructor(lowering: Lowering, locals: readonly Type[], paramCount: number) {
    this.lowering = lowering;
    this.locals = [...locals];
    this.paramCount = paramCount;
  }

  /** A new local of the function being written; its number is absolute. */
  newLocal(type: Type): number {
    return this.locals.push(type) - 1;
  }

  private place(local: number): number {
    return this.places ? this.places[local] : local;
  }

  // Raw instructions, for lowerings.
  op(code: number): void {
    if (code >= op.VECTOR) {
      this.out.u8(0xfd);
      this.out.u32(code - op.VECTOR);
    } else if (code >= 0xfc00) {
      this.out.u8(0xfc);
      this.out.u32(code & 0xff);
    } else this.out.u8(code);
  }
  i32Const(value: number): void {
    this.out.u8(0x41);
    this.out.s32(value);
  }
  /** The address of a decoded page, a constant that another may be written over. */
  pageConst(page: number): void {
    this.out.u8(0x41);
    this.pages.push(this.out.length);
    this.out.long(page);
  }
  i64Const(value: number | bigint): void {
    this.out.u8(0x42);
    this.out.s64(value);
  }
  get(index: number): void {
    this.out.u8(0x20);
    this.out.u32(index);
  }
  set(index: number): void {
    this.out.u8(0x21);
    this.out.u32(index);
  }
  tee(index: number): void {
    this.out.u8(0x22);
    this.out.u32(index);
  }
  /** A load or store instruction; the operands are on the stack. Alignment is only a hint: none is promised. */
  memory(code: number, offset: number): void {
    this.op(code);
    this.out.u8(0);
    this.out.u32(offset);
  }
  call(index: number): void {
    this.out.u8(0x10);
    this.calls.push(this.out.length);
    this.out.u32(index);
  }
  callIndirect(type: number): void {
    this.out.u8(0x11);
    this.out.u32(type);
    this.out.u8(0);
  }
  returnCallIndirect(type: number): void {
    this.out.u8(0x13);
    this.out.u32(type);
    this.out.u8(0);
  }
  returnCall(index: number): void {
    this.out.u8(0x12);
    this.calls.push(this.out.length);
    this.out.u32(index);
  }
  return(): void {
    this.out.u8(0x0f);
  }
  select(): void {
    this.out.u8(0x1b);
  }
  unreachable(): void {
    this.out.u8(0x00);
  }
  /** Opens `if`; `unlikely` says that the condition is nearly never true. */
  if(unlikely = false, result?: Type): void {
    if (unlikely) this.unlikely.push(this.out.length);
    this.out.u8(0x04);
    this.out.u8(result ? typeCode(result) : VOID);
    this.labels.push(undefined);
  }
  else(): void {
    this.out.u8(0x05);
  }
  block(label?: Label): void {
    this.out.u8(0x02);
    this.out.u8(VOID);
    this.labels.push(label);
  }
  loop(label?: Label): void {
    this.out.u8(0x03);
    this.out.u8(VOID);
    this.labels.push(label);
  }
  end(): void {
    this.out.u8(0x0b);
    this.labels.pop();
  }
  br(label: Label): void {
    this.out.u8(0x0c);
    this.out.u32(this.depth(label));
  }
  brIf(label: Label, unlikely = false): void {
    if (unlikely) this.unlikely.push(this.out.length);
    this.out.u8(0x0d);
    this.out.u32(this.depth(label));
  }
  private depth(label: Label): number {
    const at = this.labels.lastIndexOf(label);
    if (at < 0) throw new Error('branch to a label that is not open');
    return this.labels.length - 1 - at;
  }

  value(value: Value): void {
    switch (value.op) {
      case op.CONST_I32:
        this.i32Const(value.imm);
        return;
      case op.CONST_I64:
        this.i64Const(value.big ?? value.imm);
        return;
      case op.CONST_F32:
        this.out.u8(0x43);
        this.out.f32(value.imm);
        return;
      case op.CONST_F64:
        this.out.u8(0x44);
        this.out.f64(value.imm);
        return;
      case op.CONST_V128:
        this.op(value.op);
        this.lanes(value.big as bigint);
        return;
      case op.LOCAL_GET:
        this.get(this.place(value.imm));
        return;
      case op.REG:
        this.lowering.reg(this, value.imm);
        return;
      case op.PC:
        this.lowering.pc(this, value.imm);
        return;
      case op.CPU:
        this.pushCpu();
        return;
      case op.SELECT:
        this.value(value.a as Value);
        this.value(value.b as Value);
        this.value(value.c as Value);
        this.select();
        return;
    }
    if (value.op === op.I32_WRAP) {
      pushLowWord(this, value.a as Value);
      return;
    }
    if (isNarrow(value)) {
      pushLowWord(this, value);
      this.op(op.I64_EXTEND_U);
      return;
    }
    if (op.isLoad(value.op)) {
      this.memory(value.op, this.address(value.a as Value, value.imm));
      return;
    }
    if (value.a) this.value(value.a);
    if (value.b) this.value(value.b);
    if (value.c) this.value(value.c);
    this.op(value.op);
    if (hasLane(value.op)) this.out.u8(value.imm);
    else if (value.op === SHUFFLE) this.lanes(value.big as bigint);
  }

  /** Sixteen bytes of an immediate, the lowest first. */
  private lanes(bytes: bigint): void {
    for (let n = 0n; n < 128n; n += 8n) this.out.u8(Number((bytes >> n) & 0xffn));
  }

  pushCpu(): void {
    if (this.lowering.cpuAddress !== undefined) this.i32Const(this.lowering.cpuAddress);
    else {
      this.out.u8(0x23); // global.get
      this.out.u32(0);
    }
  }

  /** Pushes the base of an access and returns the constant offset that goes into the instruction. */
  address(base: Value, offset: number): number {
    const known = this.lowering.cpuAddress;
    if (known !== undefined) {
      // A constant part of the address belongs into the instruction.
      if (base.op === op.CPU) {
        this.i32Const(0);
        return offset + known;
      }
      if (base.op === op.i32Integer.add && base.a?.op === op.CPU) {
        this.value(base.b as Value);
        return offset + known;
      }
    }
    this.value(base);
    return offset;
  }

  statements(list: readonly Statement[]): void {
    for (const statement of list) this.statement(statement);
  }

  statement(s: Statement): void {
    switch (s.kind) {
      case 'set':
        this.value(s.value);
        this.set(this.place(s.local));
        return;
      case 'reg':
        this.lowering.setReg(this, s.reg, s.value);
        return;
      case 'store': {
        const offset = this.address(s.address, s.offset);
        this.value(s.value);
        this.memory(s.op, offset);
        return;
      }
      case 'if':
        this.value(s.condition);
        this.if(s.seldom || endsInException(s));
        this.statements(s.then);
        if (s.else.length > 0) {
          this.else();
          this.statements(s.else);
        }
        this.end();
        return;
      case 'loop':
        this.loop(s.label);
        this.statements(s.body);
        this.end();
        return;
      case 'block':
        this.block(s.label);
        this.statements(s.body);
        this.end();
        return;
      case 'br':
        if (s.condition) {
          this.value(s.condition);
          this.brIf(s.label);
        } else this.br(s.label);
        return;
      case 'call':
        for (const arg of s.args) this.value(arg);
        this.call(this.lowering.callee(s.target));
        if (s.target.result) this.set(this.place(s.result));
        return;
      case 'return':
        if (s.value) this.value(s.value);
        this.return();
        return;
      case 'copy':
        this.value(s.to);
        this.value(s.from);
        this.value(s.length);
        for (const byte of [0xfc, 10, 0, 0]) this.out.u8(byte);
        return;
      case 'fill':
        this.value(s.to);
        this.value(s.byte);
        this.value(s.length);
        for (const byte of [0xfc, 11, 0]) this.out.u8(byte);
        return;
      case 'gload':
        this.lowering.gload(this, s, this.place(s.local));
        return;
      case 'gstore':
        this.lowering.gstore(this, s);
        return;
      case 'raise':
        this.lowering.raise(this, s.cause, s.tval);
        return;
    }
  }

  /** Ends the function and gives its body: the declarations of locals, then the code. */
  finish(): Body {
    const head = new Bytes(64);
    const own = this.locals.slice(this.paramCount);
    const runs: { type: Type; count: number }[] = [];
    for (const type of own) {
      const last = runs[runs.length - 1];
      if (last && last.type === type) last.count++;
      else runs.push({ type, count: 1 });
    }
    head.u32(runs.length);
    for (const { type, count } of runs) {
      head.u32(count);
      head.u8(typeCode(type));
    }
    const start = head.length;
    head.raw(this.out.view());
    head.u8(0x0b);
    const moved = (offsets: readonly number[]) => offsets.map((offset) => offset + start);
    return {
      bytes: head.view(),
      unlikely: moved(this.unlikely),
      calls: moved(this.calls),
      pages: moved(this.pages),
    };
  }
}

/** Emits an IR function that touches no guest register or pc. */
export function emitFunction(lowering: Lowering, target: Callable, body: FunctionBody): Body {
  const emitter = new Emitter(lowering, body.locals, target.params.length);
  emitter.statements(body.statements);
  if (target.result) emitter.unreachable(); // every path has returned
  return emitter.finish();
}
