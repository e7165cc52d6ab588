/**
 * x87: loads, stores, exchanges, constants.
 *
 * Spec: SDM volume 2, FLD, FST, FILD, FIST, FISTTP, FBLD, FBSTP, FXCH,
 * FCMOVcc, FLD1 and its kin. FXCH4, FXCH7, FSTP8, FSTP9, FSTPNCE: codes
 * without a page, which processors execute.
 */
import { type Code, define, type IrFunction } from '../../../ir/code.ts';
import * as op from '../../../ir/op.ts';
import {
  add32,
  and32,
  eqz32,
  i32,
  i64,
  load,
  ne32,
  or,
  or32,
  shl,
  shl32,
  shrU,
  shrU32,
  type Value,
  wrap,
} from '../../../ir/value.ts';
import { F64 } from '../../softfloat/format.ts';
import { get, put } from '../field.ts';
import { signExtend } from '../extend.ts';
import type { X86Insn } from '../insn.ts';
import { insn, type Row, withTraits } from '../opcode.ts';
import { BIAS, INDEFINITE, INTEGER_BIT, RC, write } from '../x87/format.ts';
import { within } from '../x87/core.ts';
import {
  begin,
  behind,
  clearC1,
  copyRegister,
  fetch,
  fpu,
  isEmpty,
  memoryOperand,
  occupy,
  operandRegister,
  part,
  pendingX87,
  physical,
  push,
  remember,
  Stack,
  stackRegister,
  topNow,
  underflow,
  underflowOnly,
} from '../x87-unit.ts';

type Semantics = (m: X86Insn) => void;

// Pushes.

/** (bits): FLD m64; the numbers that are nearly all come first. */
const pushF64 = define('x87_push_f64', ['i64'], undefined, (code, bits) => {
  const top = code.let(behind(topNow(), 7));
  const field = code.let(and32(wrap(shrU(bits, F64.fraction)), F64.top));
  code.if(and32(isEmpty(top), within(field, 1, F64.top - 1)), () => {
    const sign = shl32(wrap(shrU(bits, 63)), 15);
    const se = or32(sign, add32(field, BIAS - F64.bias));
    write(code, physical(top), se, or(shl(bits, 63 - F64.fraction), INTEGER_BIT));
    put(code, 'ftop', top);
    occupy(code, top);
    clearC1(code);
    code.return();
  });
  push(code, (dst) => code.call(fpu.loadF64, dst, bits));
});
const pushF32 = define('x87_push_f32', ['i32'], undefined, (code, bits) => {
  push(code, (dst) => code.call(fpu.loadF32, dst, bits));
});
const pushInteger = define('x87_push_integer', ['i64'], undefined, (code, x) => {
  push(code, (dst) => code.call(fpu.fromInteger, dst, x));
});
const pushDecimal = define('x87_push_decimal', [], undefined, (code) => {
  push(code, (dst) => code.call(fpu.loadDecimal, dst, operandRegister()));
});
/** From the register for operands in memory. */
const pushOperand = define('x87_push_operand', [], undefined, (code) => {
  push(code, (dst) => code.call(fpu.copy, dst, operandRegister()));
});
/** (i): FLD ST(i). An empty operand counts before a full stack. */
const pushRegister = define('x87_push_register', ['i32'], undefined, (code, i) => {
  const n = code.let(and32(add32(topNow(), i), 7));
  code.if(isEmpty(n), () => {
    const top = code.let(behind(topNow(), 7));
    code.if(code.call(fpu.stackFault, physical(top), i32(0)), () => {
      put(code, 'ftop', top);
      occupy(code, top);
    });
    code.return();
  });
  push(code, (dst) => code.call(fpu.copy, dst, physical(n)));
});
const pushConstant = (name: string, constant: IrFunction): IrFunction =>
  define(`x87_push_${name}`, [], undefined, (code) => push(code, (dst) => code.call(constant, dst)));

const loadFloat =
  (size: 32 | 64): Semantics =>
  (m) => {
    const bits = fetch(m, size);
    if (size === 64) m.call(pushF64, bits);
    else m.call(pushF32, wrap(bits));
  };
const loadInteger =
  (size: 16 | 32 | 64): Semantics =>
  (m) =>
    void m.call(pushInteger, signExtend(fetch(m, size), size));
/** Ten bytes to the register for operands. */
const loadTen =
  (pushIt: IrFunction): Semantics =>
  (m) => {
    pendingX87(m);
    const operand = memoryOperand(m, 10);
    const low = m.let(m.loadLinear(operand.address, 64));
    const high = m.let(m.loadLinear(part(m, operand, 8), 16));
    remember(m, operand);
    const to = m.let(operandRegister());
    m.store(op.I64_STORE, to, low);
    m.store(op.I64_STORE16, to, high, 8);
    m.call(pushIt);
  };
const loadRegister: Semantics = (m) => {
  begin(m);
  m.call(pushRegister, i32(stackRegister(m, 0)));
};
const loadConstant = (name: string, constant: IrFunction): Semantics => {
  const pushIt = pushConstant(name, constant);
  return (m) => {
    begin(m);
    m.call(pushIt);
  };
};

// Stores to memory.

interface Store {
  readonly bytes: 2 | 4 | 8 | 10;
  /** What an empty register gives: the low 64 bits, and those above. */
  readonly indefinite: bigint;
  /** Writes the result; gives whether it was delivered. */
  readonly convert: (code: Code, to: Value, st: Value) => Value;
}
const float = (bytes: 4 | 8): Store => ({
  bytes,
  indefinite: bytes === 8 ? 0xfff8n << 48n : 0xffc0_0000n,
  convert: (code, to, st) => code.call(bytes === 8 ? fpu.storeF64 : fpu.storeF32, to, st),
});
const INTEGERS = { 2: fpu.toI16, 4: fpu.toI32, 8: fpu.toI64 } as const;
const integer = (bytes: 2 | 4 | 8, rounding: () => Value): Store => ({
  bytes,
  indefinite: 1n << BigInt(8 * bytes - 1),
  convert: (code, to, st) => code.call(INTEGERS[bytes], to, st, rounding()),
});
const rounded = (): Value => and32(shrU32(get('fcw'), 10), 3);
const cut = (): Value => i32(RC.chop);
const extended: Store = {
  bytes: 10,
  indefinite: INDEFINITE.significand,
  convert: (code, to, st) => code.call(fpu.copy, to, st),
};
const decimal: Store = { ...extended, convert: (code, to, st) => code.call(fpu.storeDecimal, to, st) };

const STORES = { 2: op.I64_STORE16, 4: op.I64_STORE32, 8: op.I64_STORE, 10: op.I64_STORE } as const;
const LOADS = { 2: op.I64_LOAD16_U, 4: op.I64_LOAD32_U, 8: op.I64_LOAD, 10: op.I64_LOAD } as const;

const store =
  ({ bytes, indefinite, convert }: Store, pops: boolean): Semantics =>
  (m) => {
    pendingX87(m);
    const operand = memoryOperand(m, bytes, true);
    // Memory's faults come before an exception that may keep the result from being stored.
    m.if(ne32(and32(get('fcw'), 0x3f), 0x3f), () => {
      m.gload(LOADS[bytes], operand.address, 'store');
      if (bytes === 10) m.gload(op.I64_LOAD16_U, part(m, operand, 8), 'store');
    });
    const stack = new Stack(m);
    const from = m.let(operandRegister());
    const st = stack.at(0);
    const delivered = m.var(i32(1));
    m.if(
      stack.empty(),
      () => {
        delivered.set(m.call(underflowOnly));
        m.store(op.I64_STORE, from, i64(indefinite));
        m.store(op.I32_STORE16, from, i32(INDEFINITE.se), 8);
      },
      () => delivered.set(convert(m, from, st)),
    );
    m.if(delivered.value, () => {
      m.gstore(STORES[bytes], operand.address, load(LOADS[bytes], from));
      if (bytes === 10) m.gstore(op.I64_STORE16, part(m, operand, 8), load(op.I64_LOAD16_U, from, 8));
      if (pops) stack.pop(i32(1));
    });
    remember(m, operand);
  };

// Between registers.

const storeRegister =
  (pops: boolean): Semantics =>
  (m) => {
    const i = stackRegister(m, 0);
    const stack = begin(m);
    const delivered = m.var(i32(1));
    const [from, to] = [stack.at(0), stack.at(i)];
    m.if(
      stack.empty(),
      () => delivered.set(m.call(underflow, i32(i))),
      () => {
        clearC1(m);
        copyRegister(m, to, from);
        occupy(m, behind(stack.top, i));
      },
    );
    if (pops) stack.pop(delivered.value);
  };

/** FSTPNCE: nothing is written and nothing raised where ST(0) is empty; it is popped all the same. */
const storeUnchecked: Semantics = (m) => {
  const i = stackRegister(m, 0);
  const stack = begin(m);
  const [from, to] = [stack.at(0), stack.at(i)];
  clearC1(m);
  m.if(eqz32(stack.empty()), () => {
    copyRegister(m, to, from);
    occupy(m, behind(stack.top, i));
  });
  stack.pop(i32(1));
};

/** (i): FXCH where a register is empty; masked it counts as the indefinite NaN. */
const exchangeEmpty = define('x87_exchange_empty', ['i32'], undefined, (code, i) => {
  code.if(code.call(underflowOnly), () => {
    for (const n of [i32(0), i]) {
      const number = code.let(and32(add32(topNow(), n), 7));
      code.if(isEmpty(number), () => {
        write(code, code.let(physical(number)), INDEFINITE.se, INDEFINITE.significand);
        occupy(code, number);
      });
    }
    const a = code.let(physical(topNow()));
    const b = code.let(physical(and32(add32(topNow(), i), 7)));
    swap(code, a, b);
  });
});
function swap(code: Code, a: Value, b: Value): void {
  const low = code.let(load(op.I64_LOAD, a));
  const high = code.let(load(op.I32_LOAD16_U, a, 8));
  copyRegister(code, a, b);
  code.store(op.I64_STORE, b, low);
  code.store(op.I32_STORE16, b, high, 8);
}
const exchange: Semantics = (m) => {
  const i = stackRegister(m, 0);
  const stack = begin(m);
  const [a, b] = [stack.at(0), stack.at(i)];
  m.if(
    stack.empty(i),
    () => void m.call(exchangeEmpty, i32(i)),
    () => {
      swap(m, a, b);
      clearC1(m);
    },
  );
};

const moveIf =
  (cc: number): Semantics =>
  (m) => {
    const i = stackRegister(m, 1);
    const stack = begin(m);
    const [to, from] = [stack.at(0), stack.at(i)];
    const moves = m.let(m.condition(cc));
    m.if(
      stack.empty(i),
      () => void m.call(underflow, i32(0)),
      () => m.if(moves, () => copyRegister(m, to, from)),
    );
  };
/** By opcode, then digit: condition codes. */
const MOVES: readonly (readonly [string, string, number])[] = [
  ['fcmovb', 'DA /0', 2],
  ['fcmove', 'DA /1', 4],
  ['fcmovbe', 'DA /2', 6],
  ['fcmovu', 'DA /3', 10],
  ['fcmovnb', 'DB /0', 3],
  ['fcmovne', 'DB /1', 5],
  ['fcmovnbe', 'DB /2', 7],
  ['fcmovnu', 'DB /3', 11],
];
const CONSTANTS: readonly (readonly [string, string, keyof typeof fpu.constants])[] = [
  ['fld1', 'E8', 'one'],
  ['fldl2t', 'E9', 'l2t'],
  ['fldl2e', 'EA', 'l2e'],
  ['fldpi', 'EB', 'pi'],
  ['fldlg2', 'EC', 'lg2'],
  ['fldln2', 'ED', 'ln2'],
  ['fldz', 'EE', 'zero'],
];

export const x87Transfers = (): readonly Row[] =>
  withTraits({ gate: 'x87' }, [
    insn('fld', 'D9 /0 mem', 'Md', loadFloat(32)),
    insn('fld', 'DD /0 mem', 'Mq', loadFloat(64)),
    insn('fld', 'DB /5 mem', 'Mt', loadTen(pushOperand)),
    insn('fld', 'D9 /0 reg', 'T', loadRegister),
    insn('fild', 'DF /0 mem', 'Mw', loadInteger(16)),
    insn('fild', 'DB /0 mem', 'Md', loadInteger(32)),
    insn('fild', 'DF /5 mem', 'Mq', loadInteger(64)),
    insn('fbld', 'DF /4 mem', 'Mt', loadTen(pushDecimal)),
    insn('fst', 'D9 /2 mem', 'Md', store(float(4), false)),
    insn('fstp', 'D9 /3 mem', 'Md', store(float(4), true)),
    insn('fst', 'DD /2 mem', 'Mq', store(float(8), false)),
    insn('fstp', 'DD /3 mem', 'Mq', store(float(8), true)),
    insn('fstp', 'DB /7 mem', 'Mt', store(extended, true)),
    insn('fst', 'DD /2 reg', 'T', storeRegister(false)),
    insn('fstp', 'DD /3 reg', 'T', storeRegister(true)),
    insn('fstpnce', 'D9 /3 reg', 'T', storeUnchecked),
    insn('fstp8', 'DF /2 reg', 'T', storeRegister(true)),
    insn('fstp9', 'DF /3 reg', 'T', storeRegister(true)),
    insn('fist', 'DF /2 mem', 'Mw', store(integer(2, rounded), false)),
    insn('fistp', 'DF /3 mem', 'Mw', store(integer(2, rounded), true)),
    insn('fist', 'DB /2 mem', 'Md', store(integer(4, rounded), false)),
    insn('fistp', 'DB /3 mem', 'Md', store(integer(4, rounded), true)),
    insn('fistp', 'DF /7 mem', 'Mq', store(integer(8, rounded), true)),
    insn('fbstp', 'DF /6 mem', 'Mt', store(decimal, true)),
    ...withTraits({ feature: 'pni' }, [
      insn('fisttp', 'DF /1 mem', 'Mw', store(integer(2, cut), true)),
      insn('fisttp', 'DB /1 mem', 'Md', store(integer(4, cut), true)),
      insn('fisttp', 'DD /1 mem', 'Mq', store(integer(8, cut), true)),
    ]),
    insn('fxch', 'D9 /1 reg', 'T', exchange),
    insn('fxch4', 'DD /1 reg', 'T', exchange),
    insn('fxch7', 'DF /1 reg', 'T', exchange),
    ...MOVES.map(([name, code, cc]) => insn(name, `${code} reg`, 'ST T', moveIf(cc), { feature: 'cmov' })),
    ...CONSTANTS.map(([name, modrm, constant]) =>
      insn(name, `D9 ${modrm}`, '', loadConstant(name, fpu.constants[constant])),
    ),
  ]);
