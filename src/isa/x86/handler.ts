/**
 * An instruction as an operation of the interpreter tier: what of it stands in
 * the operation, and what makes a handler of its own.
 *
 * The low 16 bits hold up to four register numbers, a nibble each: those of
 * register operands, bases and indices in the order of the operands (further
 * registers, and all that are no general or vector registers, are constants of
 * the handler). The upper 8 of them hold the ModRM byte of an x87 instruction.
 * The word holds the displacement, or the first immediate; the word beside it
 * the next. An immediate of 64 bits takes both.
 */
import type { RegOperand } from '../../ir/insn.ts';
import * as op from '../../ir/op.ts';
import { and32, extendS, extendU, i64, load, local, or, shl, shl32, shrU32, sub, type Value } from '../../ir/value.ts';
import type { HandlerKey, Operation } from '../isa.ts';
import type { Decoded } from './decode.ts';
import type { MemoryOperand, Operand, RegisterOperand } from './instance.ts';
import { gatesOf } from './gates.ts';
import type { Leaves } from './leaves.ts';
import { isSegmented, Seg } from './state.ts';

const NIBBLES = 4;
/** The bit from which the ModRM byte of an x87 instruction stands. */
const MODRM_AT = 8;
/** The words of an operation: at 4, and the one that spills, at 12. */
const WORDS = [4, 12] as const;

/** Where the variable parts of an instruction stand. */
interface Places {
  /** Nibble of each register operand, base and index; -1: a constant. */
  readonly register: number[];
  readonly base: number[];
  readonly index: number[];
  /** Word of each displacement and immediate; -1: none, -2: both. */
  readonly word: number[];
}

const inFile = ({ file }: RegisterOperand) => file === 'gpr' || file === 'xmm';
const hasDisp = ({ dispBytes }: MemoryOperand) => dispBytes > 0;
/** A 64-bit immediate or address that 32 bits do not hold; those of 48 bits are far pointers. */
const isWide = (operand: Operand, code: string) => {
  if (operand.kind === 'imm') return operand.size === 64 || operand.size === 48;
  return operand.kind === 'mem' && operand.asize === 64 && code[0] === 'O';
};

function placesOf({ operands, row }: Decoded): Places {
  let nibbles = 0;
  let words = 0;
  const nibble = () => (nibbles < NIBBLES ? nibbles++ : -1);
  const places: Places = { register: [], base: [], index: [], word: [] };
  operands.forEach((operand, n) => {
    const code = row.operands[n];
    // AL, CL, eAX and DX are what they are.
    const fixed = /^(AL|CL|AX|DX|EAX|ECX|EDX|eAX|1)$/.test(code);
    places.register.push(operand.kind === 'reg' && inFile(operand) && !fixed ? nibble() : -1);
    places.base.push(operand.kind === 'mem' && operand.base >= 0 ? nibble() : -1);
    places.index.push(operand.kind === 'mem' && operand.index >= 0 ? nibble() : -1);
    const fixedImmediate = code === '1' || row.traits.immediate === 'constant';
    const variable = operand.kind === 'imm' ? !fixedImmediate : operand.kind === 'mem' && hasDisp(operand);
    places.word.push(!variable ? -1 : isWide(operand, code) ? -2 : words++);
  });
  if (words > WORDS.length) throw new RangeError(`${row.mnemonic}: ${words} immediates`);
  return places;
}

const SEGMENT_FREE = [Seg.fs, Seg.gs] as readonly number[];

/** What of an operand is constant in a handler. */
function shapeOf(operand: Operand, places: Places, n: number, mode: number): string {
  if (operand.kind === 'imm') return `i${operand.size}${places.word[n] === -1 ? `=${operand.value}` : ''}`;
  if (operand.kind === 'reg') {
    const constant = places.register[n] < 0 ? operand.n : '';
    return `${operand.file}${operand.size}${operand.high ? 'h' : ''}${constant}`;
  }
  const { seg, base, index, scale, relative, asize, size, vectorIndex } = operand;
  const segment = isSegmented(mode) || SEGMENT_FREE.includes(seg) ? seg : '';
  const baseText = base < 0 ? '' : places.base[n] < 0 ? `b${base}` : 'b';
  const indexText = index < 0 ? '' : `${places.index[n] < 0 ? `x${index}` : 'x'}${scale}`;
  const vsib = vectorIndex === undefined ? '' : `v${vectorIndex}*${scale}`;
  return `m${size}a${asize}s${segment}${baseText}${indexText}${vsib}${relative ? 'r' : ''}${hasDisp(operand) ? 'd' : ''}`;
}

export interface X86HandlerKey extends HandlerKey {
  /** An instruction that the handler is for; its variable parts are not looked at. */
  readonly sample: Decoded;
}

/** Modes that differ in privilege alone share their handlers. */
const familyOf = (mode: number) => Math.floor(mode / 3);

export function operationOf(decoded: Decoded): Operation {
  const { operands, index, mode, length, osize, asize, rep, lock, w, vectorLength, seg, target } = decoded;
  const places = placesOf(decoded);
  let low = 0;
  const words = [0, 0];
  operands.forEach((operand, n) => {
    const put = (nibble: number, value: number) => {
      if (nibble >= 0) low |= value << (4 * nibble);
    };
    if (operand.kind === 'reg') put(places.register[n], operand.n);
    if (operand.kind === 'mem') {
      put(places.base[n], operand.base);
      put(places.index[n], operand.index);
    }
    if (operand.kind === 'reg') return;
    const word = places.word[n];
    const value = BigInt(operand.kind === 'imm' ? operand.value : operand.disp);
    if (word === -2) {
      words[0] = Number(BigInt.asIntN(32, value));
      words[1] = Number(BigInt.asIntN(32, value >> 32n));
    } else if (word >= 0) words[word] = Number(BigInt.asIntN(32, value));
  });
  if (target !== undefined) words[0] = target;
  // An x87 instruction names two registers at most, and remembers its opcode.
  if (decoded.row.traits.gate === 'x87') low |= decoded.modrm << MODRM_AT;
  const shape = operands.map((operand, n) => shapeOf(operand, places, n, mode)).join(',');
  const id = `${index}.${familyOf(mode)}.${length}.${osize}.${asize}.${rep}.${lock ? 1 : 0}${w ? 1 : 0}.${vectorLength}.${seg}.${shape}`;
  const key: X86HandlerKey = { id, length, gates: gatesOf(decoded.row.traits.gate), sample: decoded };
  const spills = places.word.some((word) => word === 1 || word === -2);
  return { key, low, high: words[0], ...(spills && { spill: words[1] }) };
}

/** The variable parts as loads from the operation, whose address is local 0. */
export function operationLeaves(decoded: Decoded): Leaves {
  const { operands, target, length } = decoded;
  const places = placesOf(decoded);
  const ip = local(0, 'i32');
  const register = (nibble: number, constant: number, file: string): RegOperand => {
    if (nibble < 0) return constant;
    const all = load(op.I32_LOAD16_U, ip, 2);
    // Registers are 8 bytes apart, those of vectors 16.
    const by = file === 'xmm' ? 4 : 3;
    const at = 4 * nibble;
    const moved = at > by ? shrU32(all, at - by) : shl32(all, by - at);
    return and32(moved, 15 << by);
  };
  const word = (n: number): Value => {
    const place = places.word[n];
    if (place === -2)
      return or(extendU(load(op.I32_LOAD, ip, WORDS[0])), shl(extendS(load(op.I32_LOAD, ip, WORDS[1])), 32));
    return extendS(load(op.I32_LOAD, ip, WORDS[place]));
  };
  return {
    register: (n) => {
      const operand = operands[n] as RegisterOperand;
      return register(places.register[n], operand.n, operand.file);
    },
    base: (n) => register(places.base[n], (operands[n] as MemoryOperand).base, 'gpr'),
    index: (n) => register(places.index[n], (operands[n] as MemoryOperand).index, 'gpr'),
    disp: (n) => (places.word[n] === -1 ? i64(0) : word(n)),
    immediate: (n) => {
      const operand = operands[n];
      if (operand.kind !== 'imm') return i64(0);
      if (places.word[n] === -1) return i64(operand.value);
      // A direct jump has its distance from the instruction's start.
      return target !== undefined ? sub(word(n), length) : word(n);
    },
    modrm: () => load(op.I32_LOAD8_U, ip, 2 + MODRM_AT / 8),
  };
}
