/**
 * x87: control and status words, the environment, FWAIT.
 *
 * Spec: SDM volume 2, FINIT, FCLEX, FLDCW, FSTCW, FSTSW, FLDENV, FSTENV, FSAVE,
 * FRSTOR, WAIT; volume 1, "Saving the x87 FPU's State with FSTENV/FNSTENV and
 * FSAVE/FNSAVE" (the four formats). FENI, FDISI, FSETPM: of the 8087 and
 * 80287; they do nothing.
 */
import { define } from '../../../ir/code.ts';
import * as op from '../../../ir/op.ts';
import {
  add32,
  and,
  and32,
  eq32,
  eqz,
  eqz32,
  extendU,
  geS,
  i32,
  load,
  ltU32,
  mul32,
  ne32,
  or32,
  select,
  shl32,
  shrU32,
  type Value,
  wrap,
} from '../../../ir/value.ts';
import { get, put } from '../field.ts';
import type { X86Insn } from '../insn.ts';
import { insn, type Row, withTraits } from '../opcode.ts';
import { Cr0, Eflags, Vector } from '../state.ts';
import { STATUS, TOP_EXPONENT } from '../x87/format.ts';
import {
  behind,
  IMAGE_BYTES,
  image,
  isEmpty,
  memoryOperand,
  type Operand,
  part,
  pendingX87,
  physical,
  Stack,
  topNow,
  updateSummary,
} from '../x87-unit.ts';

type Semantics = (m: X86Insn) => void;

/** The bits of a control word that exist, and the one that is always set. */
const CONTROL_BITS = 0x1f3f;
const CONTROL_FIXED = 0x40;
const MASKS = 0x3f;
const EXCEPTIONS = 0xff | 0x8000;
/** The status word less TOP. */
const STATUS_BITS = 0xc7ff;

// Control and status words.

const initialise = define('x87_initialise', [], undefined, (code) => {
  put(code, 'fcw', 0x37f);
  put(code, 'ftag', 0xffff);
  for (const field of ['fsw', 'ftop', 'fop', 'fip', 'fdp', 'fcs', 'fds'] as const) put(code, field, 0);
});
const statusWord = (): Value => or32(get('fsw'), shl32(topNow(), 11));
const setStatusWord = define('x87_set_status', ['i32'], undefined, (code, word) => {
  put(code, 'fsw', and32(word, STATUS_BITS));
  put(code, 'ftop', and32(shrU32(word, 11), 7));
  code.call(updateSummary);
});
const setControlWord = define('x87_set_control', ['i32'], undefined, (code, word) => {
  put(code, 'fcw', or32(and32(word, CONTROL_BITS), CONTROL_FIXED));
  code.call(updateSummary);
});

const init: Semantics = (m) => void m.call(initialise);
const clearExceptions: Semantics = (m) => m.setState('fsw', and32(get('fsw'), 0xffff & ~EXCEPTIONS));
const storeControl: Semantics = (m) => m.set(0, extendU(get('fcw')));
const storeStatus: Semantics = (m) => m.set(0, extendU(m.let(statusWord())));
const loadControl: Semantics = (m) => {
  pendingX87(m);
  m.call(setControlWord, m.let(wrap(m.get(0))));
};
const wait: Semantics = (m) => {
  const both = Cr0.mp | Cr0.ts;
  m.if(eq32(wrap(and(get('cr0'), both)), both), () => m.fault(Vector.nm));
  pendingX87(m);
};
const nothing: Semantics = () => {};

// The tag word.

/** () -> i32: with what the registers hold told apart. */
const tagWord = define('x87_tag_word', [], 'i32', (code) => {
  const word = code.var(i32(0));
  const n = code.var(i32(7));
  code.while(
    () => eqz32(eq32(n.value, -1)),
    () => {
      const at = code.let(physical(n.value));
      const significand = code.let(load(op.I64_LOAD, at));
      const exponent = code.let(and32(load(op.I32_LOAD16_U, at, 8), TOP_EXPONENT));
      const zero = and32(eqz32(exponent), eqz(significand));
      const special = or32(ltU32(TOP_EXPONENT - 2, add32(exponent, -1)), geS(significand, 0));
      const held = select(zero, i32(1), shl32(ne32(special, 0), 1));
      word.set(or32(shl32(word.value, 2), select(isEmpty(n.value), i32(3), held)));
      n.set(add32(n.value, -1));
    },
  );
  code.return(word.value);
});

// The environment.

/** The formats differ in size, and by whether addresses are linear (real-address and virtual-8086 mode). */
function isLinear(m: X86Insn): Value {
  if (m.bits !== 16) return i32(0);
  return m.let(or32(eqz(and(get('cr0'), Cr0.pe)), ne32(and32(get('eflags'), Eflags.vm), 0)));
}
const isWide = (m: X86Insn): boolean => m.osize !== 16;
const sizeOf = (m: X86Insn): number => (isWide(m) ? IMAGE_BYTES : IMAGE_BYTES / 2);

/** A pointer as 32 bits and as its selector, and as the linear address of the modes without descriptors. */
const linear = (selector: Value, offset: Value): Value => add32(mul32(selector, 16), offset);

/** (wide, linear): the environment into the image. */
const writeEnvironment = define('x87_write_environment', ['i32', 'i32'], undefined, (code, wide, isLinear) => {
  const ip = code.let(wrap(get('fip')));
  const dp = code.let(wrap(get('fdp')));
  const linearIp = code.let(linear(get('fcs'), ip));
  const linearDp = code.let(linear(get('fds'), dp));
  const tags = code.call(tagWord);
  const at = code.let(image());
  const opcode = code.let(get('fop'));
  code.if(
    wide,
    () => {
      const word = (n: number, value: Value) => code.store(op.I32_STORE, at, value, 4 * n);
      const reserved = (value: Value) => or32(value, i32(-0x10000));
      word(0, reserved(get('fcw')));
      word(1, reserved(statusWord()));
      word(2, reserved(tags));
      code.if(
        isLinear,
        () => {
          const upper = (value: Value) => shl32(shrU32(value, 16), 12);
          word(3, reserved(linearIp));
          word(4, or32(and32(upper(linearIp), 0xfff_f000), opcode));
          word(5, reserved(linearDp));
          word(6, and32(upper(linearDp), 0xfff_f000));
        },
        () => {
          word(3, ip);
          word(4, or32(get('fcs'), shl32(opcode, 16)));
          word(5, dp);
          word(6, reserved(get('fds')));
        },
      );
    },
    () => {
      const word = (n: number, value: Value) => code.store(op.I32_STORE16, at, value, 2 * n);
      word(0, get('fcw'));
      word(1, statusWord());
      word(2, tags);
      const upper = (value: Value) => and32(shrU32(value, 4), 0xf000);
      word(3, select(isLinear, linearIp, ip));
      word(4, select(isLinear, or32(upper(linearIp), opcode), get('fcs')));
      word(5, select(isLinear, linearDp, dp));
      word(6, select(isLinear, upper(linearDp), get('fds')));
    },
  );
});

/** (wide, linear): the environment from the image. */
const readEnvironment = define('x87_read_environment', ['i32', 'i32'], undefined, (code, wide, isLinear) => {
  const at = code.let(image());
  const word = (n: number): Value =>
    code.let(select(wide, load(op.I32_LOAD, at, 4 * n), load(op.I32_LOAD16_U, at, 2 * n)));
  const [control, status, tags, ip, cs, dp, ds] = [0, 1, 2, 3, 4, 5, 6].map(word);
  put(code, 'fcw', or32(and32(control, CONTROL_BITS), CONTROL_FIXED));
  code.call(setStatusWord, status);
  // Only whether a register is empty counts.
  const full = code.let(and32(tags, 0xffff));
  const empty = code.let(and32(and32(full, shrU32(full, 1)), 0x5555));
  put(code, 'ftag', mul32(empty, 3));
  code.if(
    isLinear,
    () => {
      const upper = (value: Value) => select(wide, shl32(and32(value, 0xfff_f000), 4), shl32(and32(value, 0xf000), 4));
      put(code, 'fip', extendU(or32(and32(ip, 0xffff), upper(cs))));
      put(code, 'fdp', extendU(or32(and32(dp, 0xffff), upper(ds))));
      put(code, 'fop', and32(cs, 0x7ff));
      put(code, 'fcs', 0);
      put(code, 'fds', 0);
    },
    () => {
      put(code, 'fip', extendU(ip));
      put(code, 'fdp', extendU(dp));
      put(code, 'fcs', and32(cs, 0xffff));
      put(code, 'fds', and32(ds, 0xffff));
      // The format of 16 bits has no opcode.
      put(code, 'fop', and32(shrU32(cs, 16), 0x7ff));
    },
  );
});

/** The pieces of an image of 28 or 14 bytes: offset and bits. */
const WIDE_PIECES: readonly (readonly [number, 16 | 32 | 64])[] = [
  [0, 64],
  [8, 64],
  [16, 64],
  [24, 32],
];
const NARROW_PIECES: readonly (readonly [number, 16 | 32 | 64])[] = [
  [0, 64],
  [8, 32],
  [12, 16],
];
const LOADS = { 16: op.I64_LOAD16_U, 32: op.I64_LOAD32_U, 64: op.I64_LOAD } as const;
const STORES = { 16: op.I64_STORE16, 32: op.I64_STORE32, 64: op.I64_STORE } as const;
const pieces = (m: X86Insn) => (isWide(m) ? WIDE_PIECES : NARROW_PIECES);

function storeImage(m: X86Insn, operand: Operand): void {
  m.call(writeEnvironment, i32(isWide(m) ? 1 : 0), isLinear(m));
  const at = m.let(image());
  for (const [offset, size] of pieces(m)) m.storeLinear(part(m, operand, offset), size, load(LOADS[size], at, offset));
}
function loadImage(m: X86Insn, operand: Operand): void {
  const at = m.let(image());
  for (const [offset, size] of pieces(m))
    m.store(STORES[size], at, m.loadLinear(part(m, operand, offset), size), offset);
}

const storeEnvironment: Semantics = (m) => {
  storeImage(m, memoryOperand(m, sizeOf(m), true));
  m.setState('fcw', or32(get('fcw'), MASKS));
  m.setState('fsw', and32(get('fsw'), 0xffff & ~STATUS.summary));
};
const loadEnvironment: Semantics = (m) => {
  pendingX87(m);
  loadImage(m, memoryOperand(m, sizeOf(m)));
  m.call(readEnvironment, i32(isWide(m) ? 1 : 0), isLinear(m));
};

const REGISTERS_BYTES = 80;
/** For each register its number in the stack, and where it stands in the operand. */
function eachRegister(m: X86Insn, operand: Operand, body: (register: Value, low: Value, high: Value) => void): void {
  const stack = new Stack(m);
  const n = m.var(i32(0));
  m.while(
    () => ltU32(n.value, 8),
    () => {
      const register = m.let(physical(behind(stack.top, n.value)));
      const offset = m.let(add32(mul32(n.value, 10), sizeOf(m)));
      body(register, m.let(part(m, operand, extendU(offset))), m.let(part(m, operand, extendU(add32(offset, 8)))));
      n.set(add32(n.value, 1));
    },
  );
}
const save: Semantics = (m) => {
  const operand = memoryOperand(m, sizeOf(m) + REGISTERS_BYTES, true);
  storeImage(m, operand);
  eachRegister(m, operand, (register, low, high) => {
    m.storeLinear(low, 64, load(op.I64_LOAD, register));
    m.storeLinear(high, 16, load(op.I64_LOAD16_U, register, 8));
  });
  m.call(initialise);
};
const restore: Semantics = (m) => {
  pendingX87(m);
  const bytes = sizeOf(m) + REGISTERS_BYTES;
  const operand = memoryOperand(m, bytes);
  // What faults does so before anything changes: the operand is in two pages at most.
  m.loadLinear(part(m, operand, bytes - 2), 16);
  loadImage(m, operand);
  m.call(readEnvironment, i32(isWide(m) ? 1 : 0), isLinear(m));
  eachRegister(m, operand, (register, low, high) => {
    const significand = m.let(m.loadLinear(low, 64));
    m.store(op.I64_STORE, register, significand);
    m.store(op.I64_STORE16, register, m.loadLinear(high, 16), 8);
  });
};

export const x87Control = (): readonly Row[] => [
  // It looks at more than the unit's gate.
  insn('fwait', '9B', '', wait),
  ...withTraits({ gate: 'x87' }, [
    insn('fninit', 'DB E3', '', init),
    insn('fnclex', 'DB E2', '', clearExceptions),
    insn('fneni', 'DB E0', '', nothing),
    insn('fndisi', 'DB E1', '', nothing),
    insn('fnsetpm', 'DB E4', '', nothing),
    insn('fldcw', 'D9 /5 mem', 'Mw', loadControl),
    insn('fnstcw', 'D9 /7 mem', 'Mw', storeControl),
    insn('fnstsw', 'DD /7 mem', 'Mw', storeStatus),
    insn('fnstsw', 'DF E0', 'AX', storeStatus),
    insn('fldenv', 'D9 /4 mem', 'M', loadEnvironment),
    insn('fnstenv', 'D9 /6 mem', 'M', storeEnvironment),
    insn('frstor', 'DD /4 mem', 'M', restore),
    insn('fnsave', 'DD /6 mem', 'M', save),
  ]),
];
