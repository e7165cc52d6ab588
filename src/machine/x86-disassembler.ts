/**
 * Instructions of x86 as text, in AT&T's syntax as QEMU's monitor prints them: from the row and the operands that the
 * decoder finds, to what LLVM's assembler (and so Capstone 4, which QEMU asks) calls them.
 *
 * Spec: QEMU 7.2, `x/i` of the monitor; SDM volume 2 for what the operands are.
 * Departures: instructions that we do not have are `.byte`; comparisons with a predicate keep it as an operand.
 */
import type { Decoded } from '../isa/x86/decode.ts';
import type { ImmediateOperand, MemoryOperand, Operand, RegisterOperand } from '../isa/x86/instance.ts';
import { bitsOf } from '../isa/x86/state.ts';
import { named, prefixOf, unsignedBits } from './x86-mnemonics.ts';

const LEGACY = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'];
const LOW = ['al', 'cl', 'dl', 'bl', 'spl', 'bpl', 'sil', 'dil'];
const HIGH = ['ah', 'ch', 'dh', 'bh'];
const SEGMENTS = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];

function general(n: number, size: number): string {
  if (n < 8) {
    if (size === 8) return LOW[n];
    return (size === 64 ? 'r' : size === 32 ? 'e' : '') + LEGACY[n];
  }
  return `r${n}${{ 8: 'b', 16: 'w', 32: 'd' }[size] ?? ''}`;
}

function register({ file, n, high, size }: RegisterOperand): string {
  switch (file) {
    case 'gpr':
      return '%' + (high ? HIGH[n] : general(n, size));
    case 'seg':
      return '%' + SEGMENTS[n];
    case 'cr':
    case 'dr':
      return `%${file}${n}`;
    case 'xmm':
      return `%${size === 256 ? 'ymm' : 'xmm'}${n}`;
    case 'mm':
      return `%mm${n}`;
    case 'st':
      return `%st(${n})`;
  }
}

/** A number as the assembler writes it: small ones in decimal. */
export function number(value: bigint): string {
  const size = value < 0n ? -value : value;
  return (value < 0n ? '-' : '') + (size > 9n ? '0x' : '') + size.toString(16);
}

/** An address; `seg` is written where a prefix chose it. */
export function memory(
  operand: Omit<MemoryOperand, 'size'>,
  bits: 16 | 32 | 64,
  chosen: number,
  vector: 128 | 256 = 128,
): string {
  const { base, index, vectorIndex, scale, disp, relative, asize } = operand;
  const name = (n: number) => '%' + general(n, asize);
  const segment = chosen < 0 ? '' : `%${SEGMENTS[chosen]}:`;
  const registers: string[] = [];
  if (relative) registers.push(asize === 64 ? '%rip' : '%eip');
  else if (base >= 0) registers.push(name(base));
  if (index >= 0 || vectorIndex !== undefined) {
    if (registers.length === 0) registers.push('');
    registers.push(index >= 0 ? name(index) : `%${vector === 256 ? 'ymm' : 'xmm'}${vectorIndex}`);
    if (asize !== 16 && scale > 0) registers.push(`${1 << scale}`);
  }
  const plain = registers.length === 0;
  const width = plain ? (asize === 64 && bits === 64 ? 64 : asize) : 64;
  const value = plain ? BigInt.asUintN(width, BigInt(disp)) : BigInt(disp);
  const text = value !== 0n || plain ? number(value) : '';
  return segment + text + (plain ? '' : `(${registers.join(', ')})`);
}

/** What a row's immediates look like; of 64 bits they are hexadecimal throughout. */
function immediate({ value, size }: ImmediateOperand, unsigned: number): string {
  if (size === 64) return `$0x${BigInt.asUintN(64, BigInt(value)).toString(16)}`;
  if (unsigned > 0) return '$' + number(BigInt.asUintN(unsigned, BigInt(value)));
  return '$' + number(BigInt.asIntN(Math.min(size, 64), BigInt(value)));
}

/** The text of a decoded instruction that stands at `pc` (without a segment's base). */
export function disassemble(decoded: Decoded, pc: bigint): { readonly mnemonic: string; readonly operands: string } {
  const { row, mode, operands, seg } = decoded;
  const bits = bitsOf(mode);
  const { mnemonic, written } = named(decoded, bits);
  const text = (operand: Operand, n: number): string => {
    switch (operand.kind) {
      case 'reg':
        // What goes to a segment register is named as wide as operands are.
        return register(
          row.mnemonic === 'mov' && row.operands[n] === 'Ew' ? { ...operand, size: decoded.osize } : operand,
        );
      case 'mem':
        return memory(operand, bits, seg, indexWidth(decoded));
      case 'imm': {
        const code = row.operands[n];
        if (code[0] === 'J') {
          const width = decoded.osize === 16 ? 16 : bits === 64 ? 64 : 32;
          const to = BigInt.asUintN(width, pc + BigInt(decoded.length) + BigInt(operand.value));
          return `0x${to.toString(16)}`;
        }
        if (code[0] === 'A') {
          const far = BigInt(operand.value);
          return `$${number(far >> 32n)}:$${number(far & 0xffff_ffffn)}`;
        }
        return immediate(operand, unsignedBits(decoded, n, bits));
      }
    }
  };
  const list = (written ?? operands.map((_, n) => n).reverse()).map((item) =>
    typeof item === 'string' ? item : (indirect(decoded, item) ? '*' : '') + text(operands[item], item),
  );
  return { mnemonic: prefixOf(decoded) + mnemonic, operands: list.join(', ') };
}

/** Bits of the vector of indices: of the whole vector, but half of it where elements are twice as wide as indices. */
function indexWidth({ row, vectorLength }: Decoded): 128 | 256 {
  if (vectorLength !== 256) return 128;
  return /gatherd(q|pd)$/.test(row.mnemonic) ? 128 : 256;
}

/** Jumps and calls through a register or memory have a star. */
function indirect({ row, operands }: Decoded, n: number): boolean {
  return (row.mnemonic === 'jmp' || row.mnemonic === 'call') && operands[n].kind !== 'imm';
}
