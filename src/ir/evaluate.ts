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
import {
  f32FromBits,
  f32ToBits,
  f64FromBits,
  f64ToBits,
  floatBinary,
  floatCompare,
  floatUnary,
  saturate,
  singleFromInteger,
} from './float-number.ts';
import { evaluateVector, extendVectorLoad } from './evaluate-vector.ts';
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

const M64 = (1n << 64n) - 1n;
const u64 = (x: bigint) => x & M64;
const s64 = (x: bigint) => BigInt.asIntN(64, x);

type Operation = (a: never, b: never) => Datum;
const operations = new Map<number, Operation>();

function table<A>(ops: Record<string, number>, functions: Record<string, (a: A, b: A) => Datum>): void {
  for (const [name, code] of Object.entries(ops)) {
    const f = functions[name];
    if (f) operations.set(code, f as Operation);
  }
}

const bit = (x: boolean) => (x ? 1 : 0);
table<number>(op.i32Compare, {
  eq: (a, b) => bit(a === b),
  ne: (a, b) => bit(a !== b),
  lt_s: (a, b) => bit(a < b),
  lt_u: (a, b) => bit(a >>> 0 < b >>> 0),
  gt_s: (a, b) => bit(a > b),
  gt_u: (a, b) => bit(a >>> 0 > b >>> 0),
  le_s: (a, b) => bit(a <= b),
  le_u: (a, b) => bit(a >>> 0 <= b >>> 0),
  ge_s: (a, b) => bit(a >= b),
  ge_u: (a, b) => bit(a >>> 0 >= b >>> 0),
});
table<bigint>(op.i64Compare, {
  eq: (a, b) => bit(a === b),
  ne: (a, b) => bit(a !== b),
  lt_s: (a, b) => bit(s64(a) < s64(b)),
  lt_u: (a, b) => bit(a < b),
  gt_s: (a, b) => bit(s64(a) > s64(b)),
  gt_u: (a, b) => bit(a > b),
  le_s: (a, b) => bit(s64(a) <= s64(b)),
  le_u: (a, b) => bit(a <= b),
  ge_s: (a, b) => bit(s64(a) >= s64(b)),
  ge_u: (a, b) => bit(a >= b),
});
table<number>(op.i32Integer, {
  add: (a, b) => (a + b) | 0,
  sub: (a, b) => (a - b) | 0,
  mul: (a, b) => Math.imul(a, b),
  div_s: (a, b) => (a / b) | 0,
  div_u: (a, b) => ((a >>> 0) / (b >>> 0)) | 0,
  rem_s: (a, b) => (a % b) | 0,
  rem_u: (a, b) => ((a >>> 0) % (b >>> 0)) | 0,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shl: (a, b) => a << b,
  shr_s: (a, b) => a >> b,
  shr_u: (a, b) => (a >>> b) | 0,
  rotl: (a, b) => (a << (b & 31)) | (a >>> (-b & 31)),
  rotr: (a, b) => (a >>> (b & 31)) | (a << (-b & 31)),
});
table<bigint>(op.i64Integer, {
  add: (a, b) => u64(a + b),
  sub: (a, b) => u64(a - b),
  mul: (a, b) => u64(a * b),
  div_s: (a, b) => u64(s64(a) / s64(b)),
  div_u: (a, b) => a / b,
  rem_s: (a, b) => u64(s64(a) % s64(b)),
  rem_u: (a, b) => a % b,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shl: (a, b) => u64(a << (b & 63n)),
  shr_s: (a, b) => u64(s64(a) >> (b & 63n)),
  shr_u: (a, b) => a >> (b & 63n),
  rotl: (a, b) => u64((a << (b & 63n)) | (a >> (64n - (b & 63n)))),
  rotr: (a, b) => u64((a >> (b & 63n)) | (a << (64n - (b & 63n)))),
});
table<number>(op.i32Count, {
  clz: (a) => Math.clz32(a),
  ctz: (a) => (a === 0 ? 32 : 31 - Math.clz32(a & -a)),
  popcnt: (a) => ones(BigInt(a >>> 0)),
});
table<bigint>(op.i64Count, {
  clz: (a) => BigInt(64 - (a === 0n ? 0 : a.toString(2).length)),
  ctz: (a) => (a === 0n ? 64n : BigInt((a & -a).toString(2).length - 1)),
  popcnt: (a) => BigInt(ones(a)),
});
function ones(x: bigint): number {
  return x.toString(2).replaceAll('0', '').length;
}

for (const [name, f] of Object.entries(floatBinary)) {
  operations.set(op.f64Binary[name], ((a: bigint, b: bigint) =>
    f64ToBits(f(f64FromBits(a), f64FromBits(b)))) as Operation);
  operations.set(op.f32Binary[name], ((a: number, b: number) =>
    f32ToBits(Math.fround(f(f32FromBits(a), f32FromBits(b))))) as Operation);
}
for (const [name, f] of Object.entries(floatUnary)) {
  operations.set(op.f64Unary[name], ((a: bigint) => f64ToBits(f(f64FromBits(a)))) as Operation);
  operations.set(op.f32Unary[name], ((a: number) => f32ToBits(Math.fround(f(f32FromBits(a))))) as Operation);
}
for (const [name, f] of Object.entries(floatCompare)) {
  operations.set(op.f64Compare[name], ((a: bigint, b: bigint) => bit(f(f64FromBits(a), f64FromBits(b)))) as Operation);
  operations.set(op.f32Compare[name], ((a: number, b: number) => bit(f(f32FromBits(a), f32FromBits(b)))) as Operation);
}
const SIGN64 = 1n << 63n;
const one = (code: number, f: (a: never) => Datum) => operations.set(code, f as Operation);
one(op.f64Unary.abs, (a: bigint) => a & ~SIGN64);
one(op.f64Unary.neg, (a: bigint) => a ^ SIGN64);
one(op.f32Unary.abs, (a: number) => a & 0x7fffffff);
one(op.f32Unary.neg, (a: number) => (a ^ 0x80000000) >>> 0);
operations.set(op.f64Binary.copysign, ((a: bigint, b: bigint) => (a & ~SIGN64) | (b & SIGN64)) as Operation);
operations.set(
  op.f32Binary.copysign,
  ((a: number, b: number) => ((a & 0x7fffffff) | (b & 0x80000000)) >>> 0) as Operation,
);
one(op.I32_EQZ, (a: number) => bit(a === 0));
one(op.I64_EQZ, (a: bigint) => bit(a === 0n));
one(op.I32_WRAP, (a: bigint) => Number(BigInt.asIntN(32, a)));
one(op.I64_EXTEND_S, (a: number) => u64(BigInt(a)));
one(op.I64_EXTEND_U, (a: number) => BigInt(a >>> 0));
one(op.I32_EXTEND8_S, (a: number) => (a << 24) >> 24);
one(op.I32_EXTEND16_S, (a: number) => (a << 16) >> 16);
one(op.I64_EXTEND8_S, (a: bigint) => u64(BigInt.asIntN(8, a)));
one(op.I64_EXTEND16_S, (a: bigint) => u64(BigInt.asIntN(16, a)));
one(op.I64_EXTEND32_S, (a: bigint) => u64(BigInt.asIntN(32, a)));
one(op.F64_CONVERT_I32_S, (a: number) => f64ToBits(a));
one(op.F64_CONVERT_I32_U, (a: number) => f64ToBits(a >>> 0));
one(op.F64_CONVERT_I64_S, (a: bigint) => f64ToBits(Number(s64(a))));
one(op.F64_CONVERT_I64_U, (a: bigint) => f64ToBits(Number(a)));
one(op.F32_CONVERT_I32_S, (a: number) => f32ToBits(Math.fround(a)));
one(op.F32_CONVERT_I32_U, (a: number) => f32ToBits(Math.fround(a >>> 0)));
one(op.F32_CONVERT_I64_S, (a: bigint) => f32ToBits(singleFromInteger(s64(a))));
one(op.F32_CONVERT_I64_U, (a: bigint) => f32ToBits(singleFromInteger(a)));
one(op.F32_DEMOTE, (a: bigint) => f32ToBits(Math.fround(f64FromBits(a))));
one(op.F64_PROMOTE, (a: number) => f64ToBits(f32FromBits(a)));
one(op.I32_REINTERPRET, (a: number) => a | 0);
one(op.F32_REINTERPRET, (a: number) => a >>> 0);
one(op.I64_REINTERPRET, (a: bigint) => a);
one(op.F64_REINTERPRET, (a: bigint) => a);

const bounds: readonly [string, bigint, bigint][] = [
  ['i32s', -(1n << 31n), (1n << 31n) - 1n],
  ['i32u', 0n, (1n << 32n) - 1n],
  ['i64s', -(1n << 63n), (1n << 63n) - 1n],
  ['i64u', 0n, (1n << 64n) - 1n],
];
for (const [n, codes] of [
  [0, [op.I32_TRUNC_SAT_F32_S, op.I32_TRUNC_SAT_F64_S]],
  [1, [op.I32_TRUNC_SAT_F32_U, op.I32_TRUNC_SAT_F64_U]],
  [2, [op.I64_TRUNC_SAT_F32_S, op.I64_TRUNC_SAT_F64_S]],
  [3, [op.I64_TRUNC_SAT_F32_U, op.I64_TRUNC_SAT_F64_U]],
] as const) {
  const [, low, high] = bounds[n];
  const out = (x: number): Datum => {
    const r = saturate(x, low, high);
    return n < 2 ? Number(BigInt.asIntN(32, r)) : u64(r);
  };
  one(codes[0], (a: number) => out(f32FromBits(a)));
  one(codes[1], (a: bigint) => out(f64FromBits(a)));
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
        return u64(constant(v));
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
        return u64(this.pc + BigInt(v.imm));
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
    const f = operations.get(v.op);
    if (!f) throw new Error(`evaluate: ${op.opInfo(v.op)?.name ?? v.op}`);
    const a = v.a ? this.value(v.a, locals) : 0;
    const b = v.b ? this.value(v.b, locals) : 0;
    return f(a as never, b as never);
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
      return target.result === 'i64' ? u64(result as bigint) : (result as number) | 0;
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
function extendLoad(code: number, raw: bigint): Datum {
  if (code >= op.VECTOR) return extendVectorLoad(code, raw);
  switch (code) {
    case op.I32_LOAD:
    case op.I32_LOAD8_U:
    case op.I32_LOAD16_U:
      return Number(BigInt.asIntN(32, raw));
    case op.F32_LOAD:
      return Number(raw);
    case op.I32_LOAD8_S:
      return Number(BigInt.asIntN(8, raw));
    case op.I32_LOAD16_S:
      return Number(BigInt.asIntN(16, raw));
    case op.I64_LOAD8_S:
      return u64(BigInt.asIntN(8, raw));
    case op.I64_LOAD16_S:
      return u64(BigInt.asIntN(16, raw));
    case op.I64_LOAD32_S:
      return u64(BigInt.asIntN(32, raw));
    default:
      return raw;
  }
}
