/**
 * Evaluates IR with JavaScript numbers and BigInts: slow and plain, the oracle
 * that compiled code is held against.
 *
 * Representation: i32 a signed number; i64 an unsigned BigInt; f32 and f64
 * their bits (unsigned number, BigInt), so that no NaN payload is lost on the way;
 * v128 an unsigned BigInt, lane 0 in its lowest bits.
 */
import type { Callable, FunctionBody, Intent, Label, Statement } from './code.ts';
import { type IrFunction, isImport } from './code.ts';
import * as op from './op.ts';
import { evaluateScalar, extendScalarLoad } from './evaluate-scalar.ts';
import { evaluateVector, extendVectorLoad } from './evaluate-vector.ts';
import { f32FromBits, f32ToBits, f64FromBits, f64ToBits } from './float-number.ts';
import { constant, type Value } from './value.ts';

export type Datum = number | bigint;
export { f32FromBits, f32ToBits, f64FromBits, f64ToBits };

/** What the evaluated code stands on. */
export interface World {
  readonly memory: DataView;
  /** Address of the CPU state in `memory`. */
  readonly cpu: number;
  /** Guest registers by their number in the ISA's list; floats as bits, all unsigned. */
  readonly registers: { get(reg: number): bigint; set(reg: number, value: bigint): void };
  /** Raw bits, zero-extended. Throws GuestFault. */
  load(address: bigint, size: op.AccessSize, intent: Intent): bigint;
  store(address: bigint, size: op.AccessSize, value: bigint): void;
  /** Floats come and go as numbers. */
  host(name: string, args: readonly Datum[]): Datum;
}

/** A guest exception on its way out of an instruction. Never leaves an accelerator. */
export class GuestFault {
  readonly cause: number;
  readonly tval: bigint;
  constructor(cause: number, tval: bigint) {
    this.cause = cause;
    this.tval = tval;
  }
}

class Leave {
  readonly label: Label;
  constructor(label: Label) {
    this.label = label;
  }
}
class Return {
  readonly value: Datum;
  constructor(value: Datum) {
    this.value = value;
  }
}

export class Evaluator {
  private readonly world: World;
  pc = 0n;

  constructor(world: World) {
    this.world = world;
  }

  value(v: Value, locals: Datum[]): Datum {
    switch (v.op) {
      case op.CONST_I32:
        return v.imm;
      case op.CONST_I64:
        return BigInt.asUintN(64, constant(v));
      case op.CONST_F32:
        return f32ToBits(v.imm);
      case op.CONST_F64:
        return f64ToBits(v.imm);
      case op.CONST_V128:
        return v.big as bigint;
      case op.LOCAL_GET:
        return locals[v.imm];
      case op.REG:
        return fromRegister(v.type, this.world.registers.get(v.imm));
      case op.PC:
        return BigInt.asUintN(64, this.pc + BigInt(v.imm));
      case op.CPU:
        return this.world.cpu;
      case op.SELECT: {
        const yes = this.value(v.a as Value, locals);
        const no = this.value(v.b as Value, locals);
        return this.value(v.c as Value, locals) !== 0 ? yes : no;
      }
    }
    if (op.isLoad(v.op)) return this.hostLoad(v.op, ((this.value(v.a as Value, locals) as number) >>> 0) + v.imm);
    if (v.op >= op.VECTOR) {
      const args = [v.a, v.b, v.c].flatMap((part) => (part ? [this.value(part, locals)] : []));
      return evaluateVector(v.op, args, v.imm, v.big);
    }
    return evaluateScalar(v.op, v.a ? this.value(v.a, locals) : 0, v.b ? this.value(v.b, locals) : 0);
  }

  private hostLoad(code: number, at: number): Datum {
    const raw = this.raw(at, op.accessSize(code));
    return extendLoad(code, raw);
  }

  private raw(at: number, size: op.AccessSize): bigint {
    const m = this.world.memory;
    if (size === 16) return m.getBigUint64(at, true) | (m.getBigUint64(at + 8, true) << 64n);
    if (size === 8) return m.getBigUint64(at, true);
    return BigInt(size === 4 ? m.getUint32(at, true) : size === 2 ? m.getUint16(at, true) : m.getUint8(at));
  }

  /** Runs statements on a fresh set of locals. */
  body(body: FunctionBody, args: readonly Datum[]): Datum {
    const locals: Datum[] = new Array(body.locals.length);
    for (let n = 0; n < locals.length; n++) {
      const type = body.locals[n];
      locals[n] = n < args.length ? args[n] : type === 'i64' || type === 'f64' ? 0n : 0;
    }
    const left = this.statements(body.statements, locals);
    return left instanceof Return ? left.value : 0;
  }

  call(target: Callable, args: readonly Datum[]): Datum {
    if (isImport(target)) {
      const plain = args.map((arg, n) => (target.params[n] === 'f64' ? f64FromBits(arg as bigint) : arg));
      const result = this.world.host(target.name, plain);
      if (target.result === 'f64') return f64ToBits(result as number);
      return target.result === 'i64' ? BigInt.asUintN(64, result as bigint) : (result as number) | 0;
    }
    return this.body((target as IrFunction).body, args);
  }

  /** Returns what cut the list short, if anything did. */
  statements(list: readonly Statement[], locals: Datum[]): Leave | Return | undefined {
    for (const s of list) {
      const left = this.statement(s, locals);
      if (left) return left;
    }
    return undefined;
  }

  private statement(s: Statement, locals: Datum[]): Leave | Return | undefined {
    const world = this.world;
    switch (s.kind) {
      case 'set':
        locals[s.local] = this.value(s.value, locals);
        return undefined;
      case 'reg':
        world.registers.set(s.reg, toRegister(this.value(s.value, locals)));
        return undefined;
      case 'store': {
        const at = ((this.value(s.address, locals) as number) >>> 0) + s.offset;
        const value = BigInt(this.value(s.value, locals));
        const size = op.accessSize(s.op);
        for (let n = 0; n < size; n++) world.memory.setUint8(at + n, Number((value >> BigInt(8 * n)) & 0xffn));
        return undefined;
      }
      case 'if':
        return this.statements(this.value(s.condition, locals) !== 0 ? s.then : s.else, locals);
      case 'loop':
        for (;;) {
          const left = this.statements(s.body, locals);
          if (left instanceof Leave && left.label === s.label) continue;
          return left;
        }
      case 'block': {
        const left = this.statements(s.body, locals);
        return left instanceof Leave && left.label === s.label ? undefined : left;
      }
      case 'br':
        if (s.condition && this.value(s.condition, locals) === 0) return undefined;
        return new Leave(s.label);
      case 'call': {
        const args = s.args.map((arg) => this.value(arg, locals));
        const result = this.call(s.target, args);
        if (s.result >= 0) locals[s.result] = result;
        return undefined;
      }
      case 'return':
        return new Return(s.value ? this.value(s.value, locals) : 0);
      case 'copy':
      case 'fill': {
        const to = (this.value(s.to, locals) as number) >>> 0;
        const length = (this.value(s.length, locals) as number) >>> 0;
        const bytes = new Uint8Array(world.memory.buffer, world.memory.byteOffset, world.memory.byteLength);
        if (s.kind === 'fill') bytes.fill(this.value(s.byte, locals) as number, to, to + length);
        else {
          const from = (this.value(s.from, locals) as number) >>> 0;
          bytes.copyWithin(to, from, from + length);
        }
        return undefined;
      }
      case 'gload': {
        const address = this.value(s.address, locals) as bigint;
        locals[s.local] = extendLoad(s.op, world.load(address, op.accessSize(s.op), s.intent));
        return undefined;
      }
      case 'gstore': {
        const address = this.value(s.address, locals) as bigint;
        const size = op.accessSize(s.op);
        const value = BigInt(this.value(s.value, locals));
        world.store(address, size, BigInt.asUintN(8 * size, value));
        return undefined;
      }
      case 'raise':
        throw new GuestFault(this.value(s.cause, locals) as number, this.value(s.tval, locals) as bigint);
    }
  }
}

const fromRegister = (type: op.Type, bits: bigint): Datum =>
  type === 'i32' ? Number(BigInt.asIntN(32, bits)) : type === 'f32' ? Number(bits) : bits;
const toRegister = (value: Datum): bigint => (typeof value === 'bigint' ? value : BigInt(value >>> 0));

/** Turns raw bits into what a load instruction gives. */
const extendLoad = (code: number, raw: bigint): Datum =>
  code >= op.VECTOR ? extendVectorLoad(code, raw) : extendScalarLoad(code, raw);
