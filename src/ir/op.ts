/**
 * The operations of the IR. Scalar operations are WebAssembly's own, by their
 * opcode (WebAssembly Core Specification 2.0, "Instructions"; 0xfc-prefixed
 * ones as 0xfc00 + sub-opcode), so that emitting them is copying a byte and
 * their meaning needs no page of ours. Operations from 0x10000 are ours: they
 * stand for parts of a guest CPU and are lowered by each accelerator. Vector
 * operations (0xfd-prefixed) stand from 0xfd000 and in vector-op.ts; here are
 * only their loads, stores and constants.
 */
export type Type = 'i32' | 'i64' | 'f32' | 'f64' | 'v128';

export interface OpInfo {
  readonly code: number;
  readonly name: string;
  readonly args: readonly Type[];
  readonly result: Type;
}

const infos = new Map<number, OpInfo>();

/** Enters an operation into the table; gives its opcode. */
export function op(code: number, name: string, args: readonly Type[], result: Type): number {
  infos.set(code, { code, name, args, result });
  return code;
}

export function opInfo(code: number): OpInfo | undefined {
  return infos.get(code);
}

function family(first: number, type: Type, names: string, arity: 1 | 2, result: Type = type): Record<string, number> {
  const ops: Record<string, number> = {};
  const args = arity === 1 ? [type] : [type, type];
  names.split(' ').forEach((name, index) => {
    ops[name] = op(first + index, `${type}.${name}`, args, result);
  });
  return ops;
}

const COMPARE = 'eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u';
const INTEGER = 'add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr';
const FLOAT = 'eq ne lt gt le ge';

export const i32Compare = family(0x46, 'i32', COMPARE, 2, 'i32');
export const i64Compare = family(0x51, 'i64', COMPARE, 2, 'i32');
export const f32Compare = family(0x5b, 'f32', FLOAT, 2, 'i32');
export const f64Compare = family(0x61, 'f64', FLOAT, 2, 'i32');
export const i32Count = family(0x67, 'i32', 'clz ctz popcnt', 1);
export const i32Integer = family(0x6a, 'i32', INTEGER, 2);
export const i64Count = family(0x79, 'i64', 'clz ctz popcnt', 1);
export const i64Integer = family(0x7c, 'i64', INTEGER, 2);
export const f32Unary = family(0x8b, 'f32', 'abs neg ceil floor trunc nearest sqrt', 1);
export const f32Binary = family(0x92, 'f32', 'add sub mul div min max copysign', 2);
export const f64Unary = family(0x99, 'f64', 'abs neg ceil floor trunc nearest sqrt', 1);
export const f64Binary = family(0xa0, 'f64', 'add sub mul div min max copysign', 2);

export const I32_EQZ = op(0x45, 'i32.eqz', ['i32'], 'i32');
export const I64_EQZ = op(0x50, 'i64.eqz', ['i64'], 'i32');
export const I32_WRAP = op(0xa7, 'i32.wrap_i64', ['i64'], 'i32');
export const I64_EXTEND_S = op(0xac, 'i64.extend_i32_s', ['i32'], 'i64');
export const I64_EXTEND_U = op(0xad, 'i64.extend_i32_u', ['i32'], 'i64');
export const I32_EXTEND8_S = op(0xc0, 'i32.extend8_s', ['i32'], 'i32');
export const I32_EXTEND16_S = op(0xc1, 'i32.extend16_s', ['i32'], 'i32');
export const I64_EXTEND8_S = op(0xc2, 'i64.extend8_s', ['i64'], 'i64');
export const I64_EXTEND16_S = op(0xc3, 'i64.extend16_s', ['i64'], 'i64');
export const I64_EXTEND32_S = op(0xc4, 'i64.extend32_s', ['i64'], 'i64');
export const F32_CONVERT_I32_S = op(0xb2, 'f32.convert_i32_s', ['i32'], 'f32');
export const F32_CONVERT_I32_U = op(0xb3, 'f32.convert_i32_u', ['i32'], 'f32');
export const F32_CONVERT_I64_S = op(0xb4, 'f32.convert_i64_s', ['i64'], 'f32');
export const F32_CONVERT_I64_U = op(0xb5, 'f32.convert_i64_u', ['i64'], 'f32');
export const F32_DEMOTE = op(0xb6, 'f32.demote_f64', ['f64'], 'f32');
export const F64_CONVERT_I32_S = op(0xb7, 'f64.convert_i32_s', ['i32'], 'f64');
export const F64_CONVERT_I32_U = op(0xb8, 'f64.convert_i32_u', ['i32'], 'f64');
export const F64_CONVERT_I64_S = op(0xb9, 'f64.convert_i64_s', ['i64'], 'f64');
export const F64_CONVERT_I64_U = op(0xba, 'f64.convert_i64_u', ['i64'], 'f64');
export const F64_PROMOTE = op(0xbb, 'f64.promote_f32', ['f32'], 'f64');
export const I32_REINTERPRET = op(0xbc, 'i32.reinterpret_f32', ['f32'], 'i32');
export const I64_REINTERPRET = op(0xbd, 'i64.reinterpret_f64', ['f64'], 'i64');
export const F32_REINTERPRET = op(0xbe, 'f32.reinterpret_i32', ['i32'], 'f32');
export const F64_REINTERPRET = op(0xbf, 'f64.reinterpret_i64', ['i64'], 'f64');
export const I32_TRUNC_SAT_F32_S = op(0xfc00, 'i32.trunc_sat_f32_s', ['f32'], 'i32');
export const I32_TRUNC_SAT_F32_U = op(0xfc01, 'i32.trunc_sat_f32_u', ['f32'], 'i32');
export const I32_TRUNC_SAT_F64_S = op(0xfc02, 'i32.trunc_sat_f64_s', ['f64'], 'i32');
export const I32_TRUNC_SAT_F64_U = op(0xfc03, 'i32.trunc_sat_f64_u', ['f64'], 'i32');
export const I64_TRUNC_SAT_F32_S = op(0xfc04, 'i64.trunc_sat_f32_s', ['f32'], 'i64');
export const I64_TRUNC_SAT_F32_U = op(0xfc05, 'i64.trunc_sat_f32_u', ['f32'], 'i64');
export const I64_TRUNC_SAT_F64_S = op(0xfc06, 'i64.trunc_sat_f64_s', ['f64'], 'i64');
export const I64_TRUNC_SAT_F64_U = op(0xfc07, 'i64.trunc_sat_f64_u', ['f64'], 'i64');

/** `select c ? a : b`; the value operands share a type, so it stands apart from the families. */
export const SELECT = 0x1b;
export const LOCAL_GET = 0x20;
export const CONST_I32 = 0x41;
export const CONST_I64 = 0x42;
export const CONST_F32 = 0x43;
export const CONST_F64 = 0x44;

// Loads and stores of host linear memory: one address operand, a constant offset.
export const I32_LOAD = op(0x28, 'i32.load', ['i32'], 'i32');
export const I64_LOAD = op(0x29, 'i64.load', ['i32'], 'i64');
export const F32_LOAD = op(0x2a, 'f32.load', ['i32'], 'f32');
export const F64_LOAD = op(0x2b, 'f64.load', ['i32'], 'f64');
export const I32_LOAD8_S = op(0x2c, 'i32.load8_s', ['i32'], 'i32');
export const I32_LOAD8_U = op(0x2d, 'i32.load8_u', ['i32'], 'i32');
export const I32_LOAD16_S = op(0x2e, 'i32.load16_s', ['i32'], 'i32');
export const I32_LOAD16_U = op(0x2f, 'i32.load16_u', ['i32'], 'i32');
export const I64_LOAD8_S = op(0x30, 'i64.load8_s', ['i32'], 'i64');
export const I64_LOAD8_U = op(0x31, 'i64.load8_u', ['i32'], 'i64');
export const I64_LOAD16_S = op(0x32, 'i64.load16_s', ['i32'], 'i64');
export const I64_LOAD16_U = op(0x33, 'i64.load16_u', ['i32'], 'i64');
export const I64_LOAD32_S = op(0x34, 'i64.load32_s', ['i32'], 'i64');
export const I64_LOAD32_U = op(0x35, 'i64.load32_u', ['i32'], 'i64');
export const I32_STORE = 0x36;
export const I64_STORE = 0x37;
export const F32_STORE = 0x38;
export const F64_STORE = 0x39;
export const I32_STORE8 = 0x3a;
export const I32_STORE16 = 0x3b;
export const I64_STORE8 = 0x3c;
export const I64_STORE16 = 0x3d;
export const I64_STORE32 = 0x3e;

/** What vector operations stand from: 0xfd000 + sub-opcode. */
export const VECTOR = 0xfd000;
export const V128_LOAD = op(VECTOR, 'v128.load', ['i32'], 'v128');
const widening = 'load8x8_s load8x8_u load16x4_s load16x4_u load32x2_s load32x2_u';
/** Loads of 8 bytes that widen each lane. */
export const v128LoadExtend: Record<string, number> = {};
for (const [n, name] of widening.split(' ').entries())
  v128LoadExtend[name] = op(VECTOR + 1 + n, `v128.${name}`, ['i32'], 'v128');
export const V128_LOAD8_SPLAT = op(VECTOR + 7, 'v128.load8_splat', ['i32'], 'v128');
export const V128_LOAD16_SPLAT = op(VECTOR + 8, 'v128.load16_splat', ['i32'], 'v128');
export const V128_LOAD32_SPLAT = op(VECTOR + 9, 'v128.load32_splat', ['i32'], 'v128');
export const V128_LOAD64_SPLAT = op(VECTOR + 10, 'v128.load64_splat', ['i32'], 'v128');
export const V128_STORE = VECTOR + 11;
/** `big` is the constant, unsigned: lane 0 in the lowest bits. */
export const CONST_V128 = VECTOR + 12;
export const V128_LOAD32_ZERO = op(VECTOR + 92, 'v128.load32_zero', ['i32'], 'v128');
export const V128_LOAD64_ZERO = op(VECTOR + 93, 'v128.load64_zero', ['i32'], 'v128');

/** Bytes of a memory access. */
export type AccessSize = 1 | 2 | 4 | 8 | 16;

/** Width in bytes of a load's or store's memory operand. */
export function accessSize(code: number): AccessSize {
  if (code > VECTOR && code <= VECTOR + 6) return 8;
  switch (code) {
    case V128_LOAD:
    case V128_STORE:
      return 16;
    case V128_LOAD8_SPLAT:
    case I32_LOAD8_S:
    case I32_LOAD8_U:
    case I64_LOAD8_S:
    case I64_LOAD8_U:
    case I32_STORE8:
    case I64_STORE8:
      return 1;
    case V128_LOAD16_SPLAT:
    case I32_LOAD16_S:
    case I32_LOAD16_U:
    case I64_LOAD16_S:
    case I64_LOAD16_U:
    case I32_STORE16:
    case I64_STORE16:
      return 2;
    case V128_LOAD64_SPLAT:
    case V128_LOAD64_ZERO:
    case I64_LOAD:
    case F64_LOAD:
    case I64_STORE:
    case F64_STORE:
      return 8;
    default:
      return 4;
  }
}

/** The type of the value that a store takes. */
export function storedType(code: number): Type {
  switch (code) {
    case I32_STORE:
    case I32_STORE8:
    case I32_STORE16:
      return 'i32';
    case F32_STORE:
      return 'f32';
    case F64_STORE:
      return 'f64';
    case V128_STORE:
      return 'v128';
    default:
      return 'i64';
  }
}

/** How many low bits a load to an i64 may set. */
export function loadedBits(code: number): number {
  if (code === I64_LOAD8_U) return 8;
  if (code === I64_LOAD16_U) return 16;
  return code === I64_LOAD32_U ? 32 : 64;
}

export function isLoad(code: number): boolean {
  if (code < VECTOR) return code >= I32_LOAD && code <= I64_LOAD32_U;
  return code <= V128_LOAD64_SPLAT || code === V128_LOAD32_ZERO || code === V128_LOAD64_ZERO;
}

// Parts of the guest CPU, lowered by each accelerator.
/** A guest register with a number known now; `imm` is the number in the ISA's register list. */
export const REG = 0x10000;
/** The virtual address of this instruction plus `imm`. */
export const PC = 0x10001;
/** The address in linear memory of this vCPU's state (i32). */
export const CPU = 0x10002;
