/** The variable parts of an instruction, which are all that the code of one shape differs in. */
import type { RegOperand } from '../../ir/insn.ts';
import { i32, i64, type Value } from '../../ir/value.ts';
import type { Instance, MemoryOperand, RegisterOperand } from './instance.ts';

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
