/**
 * x87: the four operations and comparisons, D8 to DF.
 *
 * Spec: SDM volume 2, FADD, FSUB, FSUBR, FMUL, FDIV, FDIVR, FCOM, FUCOM,
 * FCOMI, FICOM, FTST and their kin; appendix "Escape Opcode Instruction
 * Set". FCOM2, FCOMP3, FCOMP5: codes without a page, which processors
 * execute as FCOM and FCOMP.
 */
import * as op from '../../../ir/op.ts';
import { and, and32, eqz32, extendU, i32, i64, type Value, wrap } from '../../../ir/value.ts';
import { signExtend } from '../extend.ts';
import type { X86Insn } from '../insn.ts';
import { insn, type Row, withTraits } from '../opcode.ts';
import {
  begin,
  fetch,
  fpu,
  operandRegister,
  Stack,
  stackRegister,
  underflow,
  underflowCompared,
  underflowOnly,
} from '../x87-unit.ts';
import { NOT_DELIVERED } from '../x87/compare.ts';

type Semantics = (m: X86Insn) => void;
type Operation = 'add' | 'sub' | 'mul' | 'div';
const NONE = i32(0);

// What stands in memory: codes, sizes, how it gets into a register.

interface MemoryForm {
  /** Its opcode in arithmetic. */
  readonly byte: string;
  readonly operand: string;
  readonly size: 16 | 32 | 64;
  readonly float: boolean;
}
const FORMS: readonly MemoryForm[] = [
  { byte: 'D8', operand: 'Md', size: 32, float: true },
  { byte: 'DC', operand: 'Mq', size: 64, float: true },
  { byte: 'DA', operand: 'Md', size: 32, float: false },
  { byte: 'DE', operand: 'Mw', size: 16, float: false },
];

/** Writes a memory operand to a register; gives flags for what computes with it. */
function widen(m: X86Insn, { float, size }: MemoryForm, bits: Value, to: Value): Value {
  if (float) return size === 64 ? m.call(fpu.widenF64, to, bits) : m.call(fpu.widenF32, to, wrap(bits));
  m.call(fpu.fromInteger, to, signExtend(bits, size));
  return NONE;
}

// Arithmetic.

interface Arithmetic {
  /** By the digit of the opcode. */
  readonly digit: number;
  readonly name: string;
  readonly operation: Operation;
  /** The other operand comes first. */
  readonly reverse: boolean;
}
const ARITHMETIC: readonly Arithmetic[] = [
  { digit: 0, name: 'add', operation: 'add', reverse: false },
  { digit: 1, name: 'mul', operation: 'mul', reverse: false },
  { digit: 4, name: 'sub', operation: 'sub', reverse: false },
  { digit: 5, name: 'subr', operation: 'sub', reverse: true },
  { digit: 6, name: 'div', operation: 'div', reverse: false },
  { digit: 7, name: 'divr', operation: 'div', reverse: true },
];

const withMemory =
  ({ operation, reverse }: Arithmetic, form: MemoryForm): Semantics =>
  (m) => {
    const bits = fetch(m, form.size);
    const stack = new Stack(m);
    const st = stack.at(0);
    m.if(
      stack.empty(),
      () => void m.call(underflow, NONE),
      () => {
        if (form.float) {
          const name = reverse ? (`${operation}r` as 'subr' | 'divr') : operation;
          if (form.size === 64) m.call(fpu.f64[name], st, st, bits);
          else m.call(fpu.f32[name], st, st, wrap(bits));
          return;
        }
        const other = m.let(operandRegister());
        widen(m, form, bits, other);
        m.call(fpu[operation], st, reverse ? other : st, reverse ? st : other, NONE);
      },
    );
  };

/** ST(0) and ST(i), in this order; the result goes to one of them. */
const withRegister =
  ({ operation, reverse }: Arithmetic, to: 'st' | 'sti', pops = false): Semantics =>
  (m) => {
    const i = stackRegister(m, to === 'st' ? 1 : 0);
    const stack = begin(m);
    const a = stack.at(0);
    const b = stack.at(i);
    const delivered = m.var(NONE);
    m.if(
      stack.empty(i),
      () => delivered.set(m.call(underflow, i32(to === 'st' ? 0 : i))),
      () => delivered.set(m.call(fpu[operation], to === 'st' ? a : b, reverse ? b : a, reverse ? a : b, NONE)),
    );
    if (pops) stack.pop(delivered.value);
  };

/** Where ST(i) is the destination, names tell which operand is subtracted: that of the opcode map's other column. */
const turned = (name: string): string =>
  name.endsWith('r') ? name.slice(0, -1) : name === 'sub' || name === 'div' ? `${name}r` : name;

const arithmeticRows = (): readonly Row[] =>
  ARITHMETIC.flatMap((arithmetic) => {
    const { digit, name } = arithmetic;
    return [
      ...FORMS.map((form) =>
        insn(
          `${form.float ? 'f' : 'fi'}${name}`,
          `${form.byte} /${digit} mem`,
          form.operand,
          withMemory(arithmetic, form),
        ),
      ),
      insn(`f${name}`, `D8 /${digit} reg`, 'ST T', withRegister(arithmetic, 'st')),
      insn(`f${turned(name)}`, `DC /${digit} reg`, 'T ST', withRegister(arithmetic, 'sti')),
      insn(`f${turned(name)}p`, `DE /${digit} reg`, 'T ST', withRegister(arithmetic, 'sti', true)),
    ];
  });

// Comparisons.

/** `empty` and `otherwise` give whether it was delivered; then `pops` registers go. */
function compared(m: X86Insn, stack: Stack, empty: Value, compare: () => Value, pops: 0 | 1 | 2): void {
  const delivered = m.var(NONE);
  m.if(
    empty,
    () => delivered.set(m.call(underflowCompared)),
    () => delivered.set(compare()),
  );
  if (pops === 1) stack.pop(delivered.value);
  else if (pops === 2) stack.popTwo(delivered.value);
}

const compareMemory =
  (form: MemoryForm, pops: 0 | 1): Semantics =>
  (m) => {
    const bits = fetch(m, form.size);
    const stack = new Stack(m);
    const compare = (): Value => {
      const other = m.let(operandRegister());
      const flags = widen(m, form, bits, other);
      return m.call(fpu.compare, stack.at(0), other, flags, NONE);
    };
    compared(m, stack, stack.empty(), compare, pops);
  };
const compareRegister =
  (quiet: boolean, pops: 0 | 1 | 2): Semantics =>
  (m) => {
    const i = pops === 2 ? 1 : stackRegister(m, 1);
    const stack = begin(m);
    const [a, b] = [stack.at(0), stack.at(i)];
    compared(m, stack, stack.empty(i), () => m.call(fpu.compare, a, b, NONE, i32(quiet ? 1 : 0)), pops);
  };
const compareZero: Semantics = (m) => {
  const stack = begin(m);
  const compare = (): Value => {
    const zero = m.let(operandRegister());
    m.store(op.I64_STORE, zero, i64(0));
    m.store(op.I32_STORE16, zero, NONE, 8);
    return m.call(fpu.compare, stack.at(0), zero, NONE, NONE);
  };
  compared(m, stack, stack.empty(), compare, 0);
};

/** ZF, PF and CF in EFLAGS. */
const UNORDERED = 0x45;
/** To EFLAGS instead of the status word. */
const compareFlags =
  (quiet: boolean, pops: 0 | 1): Semantics =>
  (m) => {
    const i = stackRegister(m, 1);
    const stack = begin(m);
    const [a, b] = [stack.at(0), stack.at(i)];
    const flags = m.var(i32(UNORDERED));
    const delivered = m.var(NONE);
    m.if(
      stack.empty(i),
      () => delivered.set(m.call(underflowOnly)),
      () => {
        flags.set(m.call(fpu.compareFlags, a, b, NONE, i32(quiet ? 1 : 0)));
        delivered.set(eqz32(and32(flags.value, NOT_DELIVERED)));
      },
    );
    m.setFlags(and(extendU(flags.value), UNORDERED));
    if (pops) stack.pop(delivered.value);
  };
const examine: Semantics = (m) => {
  const stack = begin(m);
  m.call(fpu.examine, stack.at(0), m.let(stack.empty()));
};

const comparisonRows = (): readonly Row[] => [
  ...FORMS.flatMap((form) => [
    insn(form.float ? 'fcom' : 'ficom', `${form.byte} /2 mem`, form.operand, compareMemory(form, 0)),
    insn(form.float ? 'fcomp' : 'ficomp', `${form.byte} /3 mem`, form.operand, compareMemory(form, 1)),
  ]),
  insn('fcom', 'D8 /2 reg', 'ST T', compareRegister(false, 0)),
  insn('fcomp', 'D8 /3 reg', 'ST T', compareRegister(false, 1)),
  insn('fcom2', 'DC /2 reg', 'ST T', compareRegister(false, 0)),
  insn('fcomp3', 'DC /3 reg', 'ST T', compareRegister(false, 1)),
  insn('fcomp5', 'DE /2 reg', 'ST T', compareRegister(false, 1)),
  insn('fcompp', 'DE D9', '', compareRegister(false, 2)),
  insn('fucom', 'DD /4 reg', 'ST T', compareRegister(true, 0)),
  insn('fucomp', 'DD /5 reg', 'ST T', compareRegister(true, 1)),
  insn('fucompp', 'DA E9', '', compareRegister(true, 2)),
  insn('ftst', 'D9 E4', '', compareZero),
  insn('fxam', 'D9 E5', '', examine),
  ...withTraits({ feature: 'cmov' }, [
    insn('fucomi', 'DB /5 reg', 'ST T', compareFlags(true, 0)),
    insn('fcomi', 'DB /6 reg', 'ST T', compareFlags(false, 0)),
    insn('fucomip', 'DF /5 reg', 'ST T', compareFlags(true, 1)),
    insn('fcomip', 'DF /6 reg', 'ST T', compareFlags(false, 1)),
  ]),
];

export const x87Arithmetic = (): readonly Row[] =>
  withTraits({ gate: 'x87' }, [...arithmeticRows(), ...comparisonRows()]);
