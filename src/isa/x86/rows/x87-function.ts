/**
 * x87: signs, roots, remainders, transcendental functions, exponents.
 *
 * Spec: SDM volume 2, FCHS, FABS, FSQRT, FRNDINT, FSCALE, FXTRACT, FPREM,
 * FPREM1, F2XM1, FYL2X, FYL2XP1, FPTAN, FPATAN, FSIN, FCOS, FSINCOS.
 */
import { type Code, define, type IrFunction } from '../../../ir/code.ts';
import * as op from '../../../ir/op.ts';
import { and32, eqz32, i32, load, or32, select, type Value, xor32 } from '../../../ir/value.ts';
import { get, put } from '../field.ts';
import type { X86Insn } from '../insn.ts';
import { insn, type Row, withTraits } from '../opcode.ts';
import { EXCEPTION, INDEFINITE, STATUS, write } from '../x87/format.ts';
import {
  begin,
  behind,
  clearC1,
  fpu,
  isEmpty,
  occupy,
  physical,
  type Stack,
  topNow,
  underflow,
  vacate,
} from '../x87-unit.ts';

type Semantics = (m: X86Insn) => void;
const SIGN = 0x8000;

/** The sign of ST(0), whatever it is. */
const changeSign =
  (change: (se: Value) => Value): Semantics =>
  (m) => {
    const stack = begin(m);
    const st = stack.at(0);
    m.if(
      stack.empty(),
      () => void m.call(underflow, i32(0)),
      () => {
        m.store(op.I32_STORE16, st, change(load(op.I32_LOAD16_U, st, 8)), 8);
        clearC1(m);
      },
    );
  };

/** The beginning of what may end with C2 set, since there is more to reduce: not so, whatever else goes wrong. */
const reducing = (m: X86Insn): Stack => {
  const stack = begin(m);
  m.setState('fsw', and32(get('fsw'), ~STATUS.C2));
  return stack;
};

/** ST(0) from ST(0). */
const unary =
  (f: IrFunction, start = begin): Semantics =>
  (m) => {
    const stack = start(m);
    const st = stack.at(0);
    m.if(
      stack.empty(),
      () => void m.call(underflow, i32(0)),
      () => void m.call(f, st, st),
    );
  };
/** ST(0) from ST(0) and ST(1). */
const binary =
  (f: IrFunction, start = begin): Semantics =>
  (m) => {
    const stack = start(m);
    const [a, b] = [stack.at(0), stack.at(1)];
    m.if(
      stack.empty(1),
      () => void m.call(underflow, i32(0)),
      () => void m.call(f, a, a, b),
    );
  };
/** ST(1) from ST(1) and ST(0), which is popped. */
const joining =
  (f: IrFunction): Semantics =>
  (m) => {
    const stack = begin(m);
    const [x, y] = [stack.at(0), stack.at(1)];
    const delivered = m.var(i32(0));
    m.if(
      stack.empty(1),
      () => delivered.set(m.call(underflow, i32(1))),
      () => delivered.set(m.call(f, y, y, x)),
    );
    stack.pop(delivered.value);
  };

/** () -> nothing: a function with two results, of which the second is pushed. */
const splitting = (name: string, call: (code: Code, st: Value, pushed: Value) => Value, start = begin): Semantics => {
  const f = define(`x87_${name}_stack`, [], undefined, (code) => {
    const old = code.let(topNow());
    const top = code.let(behind(old, 7));
    const st = code.let(physical(old));
    const pushed = code.let(physical(top));
    const delivered = code.var(i32(0));
    const under = code.let(isEmpty(old));
    code.if(
      or32(under, eqz32(isEmpty(top))),
      () => {
        const unmasked = code.let(code.call(fpu.raise, i32(EXCEPTION.IE | STATUS.stackFault)));
        put(code, 'fsw', or32(get('fsw'), select(under, i32(0), i32(STATUS.C1))));
        code.if(eqz32(unmasked), () => {
          write(code, st, INDEFINITE.se, INDEFINITE.significand);
          write(code, pushed, INDEFINITE.se, INDEFINITE.significand);
          occupy(code, old);
          delivered.set(i32(1));
        });
      },
      () => delivered.set(call(code, st, pushed)),
    );
    code.if(delivered.value, () => {
      put(code, 'ftop', top);
      occupy(code, top);
    });
  });
  return (m) => {
    start(m);
    m.call(f);
  };
};

const turnStack =
  (by: 1 | 7): Semantics =>
  (m) => {
    const stack = begin(m);
    m.setState('ftop', behind(stack.top, by));
    clearC1(m);
  };
const free =
  (pops: boolean): Semantics =>
  (m) => {
    const stack = begin(m);
    const { n } = m.operand(0) as { n: number };
    vacate(m, behind(stack.top, n));
    clearC1(m);
    if (pops) stack.pop(i32(1));
  };
const nothing: Semantics = (m) => void begin(m);

export const x87Functions = (): readonly Row[] =>
  withTraits({ gate: 'x87' }, [
    insn(
      'fchs',
      'D9 E0',
      '',
      changeSign((se) => xor32(se, SIGN)),
    ),
    insn(
      'fabs',
      'D9 E1',
      '',
      changeSign((se) => and32(se, SIGN - 1)),
    ),
    insn('fsqrt', 'D9 FA', '', unary(fpu.sqrt)),
    insn('frndint', 'D9 FC', '', unary(fpu.roundToInteger)),
    insn('f2xm1', 'D9 F0', '', unary(fpu.f2xm1)),
    insn('fsin', 'D9 FE', '', unary(fpu.fsin, reducing)),
    insn('fcos', 'D9 FF', '', unary(fpu.fcos, reducing)),
    insn('fprem', 'D9 F8', '', binary(fpu.remainder, reducing)),
    insn('fprem1', 'D9 F5', '', binary(fpu.remainderNearest, reducing)),
    insn('fscale', 'D9 FD', '', binary(fpu.scale)),
    insn('fyl2x', 'D9 F1', '', joining(fpu.fyl2x)),
    insn('fyl2xp1', 'D9 F9', '', joining(fpu.fyl2xp1)),
    insn('fpatan', 'D9 F3', '', joining(fpu.fpatan)),
    insn(
      'fptan',
      'D9 F2',
      '',
      splitting('fptan', (code, st, pushed) => code.call(fpu.fptan, st, pushed, st), reducing),
    ),
    insn(
      'fsincos',
      'D9 FB',
      '',
      splitting('fsincos', (code, st, pushed) => code.call(fpu.fsincos, st, pushed, st), reducing),
    ),
    insn(
      'fxtract',
      'D9 F4',
      '',
      splitting('fxtract', (code, st, pushed) => code.call(fpu.extract, st, pushed, st)),
    ),
    insn('fdecstp', 'D9 F6', '', turnStack(7)),
    insn('fincstp', 'D9 F7', '', turnStack(1)),
    insn('ffree', 'DD /0 reg', 'T', free(false)),
    insn('ffreep', 'DF /0 reg', 'T', free(true)),
    insn('fnop', 'D9 D0', '', nothing),
  ]);
