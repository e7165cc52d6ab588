/**
 * Opcodes as the SDM's instruction pages write them, and what a row is.
 *
 * Spec: SDM volume 2, "Instruction Format", "Interpreting the Instruction
 * Reference Pages", appendix "Opcode Map" (whose codes the operands use).
 *
 * Notation, in this order:
 *   `NP`, `66`, `F3`, `F2`    a mandatory prefix, or none allowed (`NP`)
 *   `REX.W`, `REX.W0`         the bit must be set, or clear
 *   `VEX`, `VEX.128`, `VEX.256`, with `.W0` or `.W1` where the bit counts
 *   `0F`, `0F 38`, `0F 3A`    the map
 *   `AF`, `50+r`              the opcode; with a register in its low three bits
 *   `/4`, `/r`                ModRM.reg, fixed or an operand
 *   `mem`, `reg`, `C1`        what ModRM must be: memory, a register, this byte
 */
import type { X86Insn } from './insn.ts';

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

export function opcode(text: string): Opcode {
  let prefix: Prefix = 'any';
  let vex = false;
  let vectorLength: 0 | 128 | 256 = 0;
  let w: boolean | undefined;
  let map: 0 | 1 | 2 | 3 = 0;
  let byte = -1;
  let register = false;
  let digit: number | undefined;
  let modrm: Opcode['modrm'] = 'none';
  let exact: number | undefined;
  const tokens = text.split(' ');
  tokens.forEach((token, n) => {
    const next = tokens[n + 1];
    if (token === 'NP') prefix = 'np';
    else if (byte < 0 && /^(66|F3|F2)$/.test(token) && next !== undefined && /^(REX|VEX|[0-9A-F]{2})/.test(next))
      prefix = token.toLowerCase() as Prefix;
    else if (token.startsWith('REX.')) w = token === 'REX.W';
    else if (token.startsWith('VEX')) {
      vex = true;
      for (const part of token.split('.').slice(1)) {
        if (part === '128' || part === '256') vectorLength = Number(part) as 128 | 256;
        else if (part === 'W0' || part === 'W1') w = part === 'W1';
        else throw new SyntaxError(`opcode ${text}: ${part}`);
      }
    } else if (token === '0F' && byte < 0 && map === 0 && next !== undefined) map = 1;
    else if (map === 1 && byte < 0 && (token === '38' || token === '3A') && /^[0-9A-F]{2}/.test(next ?? ''))
      map = token === '38' ? 2 : 3;
    else if (/^[0-9A-F]{2}(\+r)?$/.test(token)) {
      if (byte < 0) {
        byte = Number.parseInt(token.slice(0, 2), 16);
        register = token.endsWith('+r');
      } else {
        exact = Number.parseInt(token, 16);
        modrm = 'any';
      }
    } else if (token === '/r') modrm = modrm === 'none' ? 'any' : modrm;
    else if (/^\/[0-7]$/.test(token)) {
      digit = Number(token[1]);
      modrm = modrm === 'none' ? 'any' : modrm;
    } else if (token === 'mem' || token === 'reg') modrm = token;
    else throw new SyntaxError(`opcode ${text}: ${token}`);
  });
  if (byte < 0) throw new SyntaxError(`opcode ${text}: no opcode byte`);
  return { prefix, vex, vectorLength, w, map, byte, register, digit, modrm, exact };
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

export interface Row {
  readonly mnemonic: string;
  /** As written. */
  readonly text: string;
  readonly opcode: Opcode;
  readonly operands: readonly OperandCode[];
  readonly semantics: (m: X86Insn) => void;
  readonly traits: Traits;
}

/** A row: `insn('add', '01 /r', 'Ev Gv', (m) => ...)`. */
export function insn(
  mnemonic: string,
  text: string,
  operands: string,
  semantics: (m: X86Insn) => void,
  traits: Traits = {},
): Row {
  return {
    mnemonic,
    text,
    opcode: opcode(text),
    operands: operands === '' ? [] : operands.split(' '),
    semantics,
    traits,
  };
}

/** The same traits for a list of rows. */
export function withTraits(traits: Traits, rows: readonly Row[]): readonly Row[] {
  return rows.map((row) => ({ ...row, traits: { ...traits, ...row.traits } }));
}
