/**
 * What an instruction is, before it means anything: the parts of a row that
 * describe its bytes, and the operands that a decoder finds in them. Semantics
 * (`insn.ts`), rows (`opcode.ts`) and the decoder (`decode.ts`) stand on these.
 *
 * Spec: SDM volume 2, "Instruction Format", appendix "Opcode Map".
 */

export type Prefix = 'any' | 'np' | '66' | 'f3' | 'f2';

export interface Opcode {
  readonly prefix: Prefix;
  readonly vex: boolean;
  /** VEX.L: 128, 256, or 0 when ignored. */
  readonly vectorLength: 0 | 128 | 256;
  /** REX.W or VEX.W; undefined where it is no part of the opcode. */
  readonly w: boolean | undefined;
  /** 0: one byte, 1: 0F, 2: 0F 38, 3: 0F 3A. */
  readonly map: 0 | 1 | 2 | 3;
  readonly byte: number;
  /** The low three bits of the opcode are a register. */
  readonly register: boolean;
  /** ModRM.reg. */
  readonly digit: number | undefined;
  readonly modrm: 'none' | 'any' | 'mem' | 'reg';
  /** The whole ModRM byte. */
  readonly exact: number | undefined;
}

/**
 * Operand codes. From the SDM's opcode map: a letter for where the operand is (E, G, M, O, I, J, S, C, D, V, W, H, U,
 * P, Q, N, B, L, Z for a register in the opcode) and one or two for its size (b, w, d, q, v, y, z, x, dq, ss, sd, ps,
 * pd, ...), or a fixed register (AL, CL, eAX, DX, 1, ES ...).
 */
export type OperandCode = string;

/** What an instruction does to the flow of control. */
export type Flow = 'next' | 'branch' | 'jump' | 'call' | 'return' | 'indirect' | 'system' | 'check';

export type Gate = 'x87' | 'mmx' | 'sse' | 'avx';

export interface Traits {
  /** How it ends, where that is not `next`. `system`: anything may have changed. */
  readonly flow?: Flow;
  /** A repeat prefix repeats it. */
  readonly string?: boolean;
  /** In 64-bit code its operand size is 64 (or 16), never 32; `f64`: always 64. */
  readonly size?: 'd64' | 'f64';
  /** Exists in 64-bit code only, or elsewhere only. */
  readonly only?: 'long' | 'legacy';
  /** LOCK is allowed when the first operand is memory. */
  readonly lock?: boolean;
  readonly gate?: Gate;
  /** CPUID feature that brings it, by QEMU's name. */
  readonly feature?: string;
  /** What follows it in memory is never the next instruction. */
  readonly ends?: boolean;
  /** The memory operand need not be aligned (legacy SSE instructions of 16 bytes must be, otherwise). */
  readonly unaligned?: boolean;
  /** The semantics need the immediate as a number: handlers are made for each. */
  readonly immediate?: 'constant';
  /** The index of the memory operand is a vector register (VSIB), which neither the destination nor the mask may be. */
  readonly vsib?: boolean;
}

/** What a row says beside its semantics. */
export interface RowHead {
  readonly mnemonic: string;
  /** As written. */
  readonly text: string;
  readonly opcode: Opcode;
  readonly operands: readonly OperandCode[];
  readonly traits: Traits;
}

export type Bits = 16 | 32 | 64;
export type RegisterKind = 'gpr' | 'seg' | 'cr' | 'dr' | 'xmm' | 'mm' | 'st';

export interface RegisterOperand {
  readonly kind: 'reg';
  readonly file: RegisterKind;
  readonly n: number;
  /** AH, CH, DH, BH: `n` is the register whose second byte it is. */
  readonly high: boolean;
  /** Bits; of a vector 64, 128 or 256. */
  readonly size: number;
}
export interface MemoryOperand {
  readonly kind: 'mem';
  /** By Seg. */
  readonly seg: number;
  /** Register number, or -1. */
  readonly base: number;
  readonly index: number;
  /** VSIB: the XMM register whose lanes are indices; `index` is -1 then. A constant of handlers, as `scale` is. */
  readonly vectorIndex?: number;
  /** Shift of the index: 0 to 3. */
  readonly scale: number;
  /** Sign-extended. */
  readonly disp: number | bigint;
  /** How many bytes of the instruction it takes. */
  readonly dispBytes: 0 | 1 | 2 | 4 | 8;
  /** Relative to the next instruction. */
  readonly relative: boolean;
  /** Bits of the address. */
  readonly asize: Bits;
  /** Bits, or 0 where the instruction says. */
  readonly size: number;
}
export interface ImmediateOperand {
  readonly kind: 'imm';
  /** Sign-extended to 64 bits. */
  readonly value: number | bigint;
  readonly size: number;
}
export type Operand = RegisterOperand | MemoryOperand | ImmediateOperand;

/** An instruction as it stands in memory: its row, and what its bytes say. */
export interface Instance {
  readonly row: RowHead;
  readonly index: number;
  readonly mode: number;
  readonly length: number;
  /** Operand size of operands with code v, in bits. */
  readonly osize: Bits;
  readonly asize: Bits;
  readonly rep: 0 | 0xf2 | 0xf3;
  readonly lock: boolean;
  /** Segment prefix by Seg, or -1. */
  readonly seg: number;
  readonly w: boolean;
  /** 128 or 256 with VEX, else 0. */
  readonly vectorLength: 0 | 128 | 256;
  /** The ModRM byte, -1 where there is none. */
  readonly modrm: number;
  readonly operands: readonly Operand[];
  readonly flow: Flow;
  /** Where a branch or direct jump goes, in bytes from the instruction. */
  readonly target: number | undefined;
  readonly ends: boolean;
}
