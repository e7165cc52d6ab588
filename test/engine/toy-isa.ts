/**
 * A made-up instruction set that wants of the accelerators what RISC-V does
 * not: instructions of 1 to 11 bytes at any byte, two modes, accesses at any
 * address, stores to code seen at once, operands in a second word, branches to
 * themselves, a register of 32 bits, lazy conditions.
 */
import { define } from '../../src/ir/code.ts';
import { Insn, type RegisterFile } from '../../src/ir/insn.ts';
import * as op from '../../src/ir/op.ts';
import {
  add,
  add32,
  and,
  and32,
  cpu,
  eq32,
  eqz,
  eqz32,
  extendS,
  extendU,
  geU,
  i32,
  i64,
  load,
  local,
  ltU,
  or32,
  pcPlus,
  sub,
  sub32,
  type Value,
  xor,
  xor32,
} from '../../src/ir/value.ts';
import {
  type Decoded,
  type Gate,
  type HandlerKey,
  type Isa,
  type IsaFunctions,
  type Operation,
  type PhysicalMemory,
  type Register,
  registersOf,
  guestRead,
  guestWrite,
  guestFault,
  guestFaultAddress,
} from '../../src/isa/isa.ts';
import { array, initially, layout, place, u32, u64 } from '../../src/state/layout.ts';

export const TOY = layout('toy', 1, {
  r: array(u64, 8),
  pc: u64,
  ccA: u64,
  ccB: u64,
  ccOp: u32,
  mode: u32,
  waiting: u32,
  stopped: u32,
  attention: u32,
  lastGlobal: u32,
  lastShift: u32,
  unitOn: u32,
  lines: u32,
  /** The address of the instruction that hides interrupts. */
  shadow: initially(u64, (1n << 64n) - 1n),
  instret: u64,
  cause: u32,
  faults: u32,
  tval: u64,
  epc: u64,
  vector: u64,
});
const { size, offset } = place(TOY);
export const AT = offset as Readonly<Record<keyof typeof TOY.fields, number>>;

/** From here on nothing is mapped. */
export const LIMIT = 0x40_0000;
const R: RegisterFile = { first: 0, offset: AT.r, type: 'i64' };
const CC: RegisterFile = { first: 8, offset: AT.ccA, type: 'i64' };
const CC_OP: RegisterFile = { first: 10, offset: AT.ccOp, type: 'i32', stride: 4 };

const f32 = (at: number) => load(op.I32_LOAD, cpu, at);
const f64 = (at: number) => load(op.I64_LOAD, cpu, at);

const UNIT: Gate = {
  field: AT.unitOn,
  // Opens it by itself where r7 is even, else raises.
  closed(m) {
    m.if(
      eqz(and(m.field(op.I64_LOAD, AT.r + 56), 1)),
      () => m.setField(op.I32_STORE, AT.unitOn, 1),
      () => m.raise(7, i64(0)),
    );
  },
};

/** Operands, as numbers or read from the operation. */
interface Operands {
  readonly a: number | Value;
  readonly b: number | Value;
  readonly i: Value;
  readonly j: Value;
}

interface Row {
  readonly name: string;
  /** Operands in order: a, b registers; i, j words of 32 bits; t the distance of a jump. */
  readonly form: string;
  readonly flow: Decoded['flow'];
  readonly gates?: readonly Gate[];
  readonly write: (m: Insn, o: Operands, mode: number, context: unknown) => void;
}

const ea = (m: Insn, o: Operands) => add(m.read(R, o.b), extendS32(o.i));
const extendS32 = (x: Value) => (x.type === 'i64' ? x : extendS(x));
const LOADS = [op.I64_LOAD8_U, op.I64_LOAD16_S, op.I64_LOAD32_U, op.I64_LOAD] as const;
const STORES = [op.I64_STORE8, op.I64_STORE16, op.I64_STORE32, op.I64_STORE] as const;

/** ccOp 1: the condition is A < B; 2: it is A == 0. */
function condition(m: Insn, context: unknown): Value {
  const less = () => ltU(m.read(CC, 0), m.read(CC, 1));
  const zero = () => eqz(m.read(CC, 0));
  if (context === 1) return less();
  if (context === 2) return zero();
  const kind = m.read(CC_OP, 0);
  return or32(and32(eq32(kind, 1), less()), and32(eq32(kind, 2), zero()));
}

export const ROWS: readonly Row[] = [
  { name: 'nop', form: '', flow: 'next', write: () => {} },
  { name: 'add', form: 'ab', flow: 'next', write: (m, { a, b }) => m.write(R, a, add(m.read(R, a), m.read(R, b))) },
  { name: 'li', form: 'ai', flow: 'next', write: (m, { a, i }) => m.write(R, a, extendS32(i)) },
  { name: 'xor', form: 'ab', flow: 'next', write: (m, { a, b }) => m.write(R, a, xor(m.read(R, a), m.read(R, b))) },
  { name: 'addi', form: 'abi', flow: 'next', write: (m, o) => m.write(R, o.a, add(m.read(R, o.b), extendS32(o.i))) },
  ...LOADS.map(
    (code, n): Row => ({
      name: `load${1 << n}`,
      form: 'abi',
      flow: 'next',
      write: (m, o) => m.write(R, o.a, m.gload(code, ea(m, o))),
    }),
  ),
  ...STORES.map(
    (code, n): Row => ({
      name: `store${1 << n}`,
      form: 'abi',
      flow: 'next',
      write: (m, o) => m.gstore(code, ea(m, o), m.read(R, o.a)),
    }),
  ),
  {
    name: 'sti', // stores a word to [b + i]
    form: 'bij',
    flow: 'next',
    write: (m, o) => m.gstore(op.I64_STORE32, ea(m, o), extendS32(o.j)),
  },
  {
    name: 'addm',
    form: 'abi',
    flow: 'next',
    write: (m, o) => {
      const at = m.let(ea(m, o));
      m.gstore(op.I64_STORE, at, add(m.gload(op.I64_LOAD, at, 'store'), m.read(R, o.a)));
    },
  },
  { name: 'jmp', form: 't', flow: 'jump', write: (m, { i }) => m.jump(add(m.pc, extendS32(i))) },
  {
    name: 'bnz',
    form: 'at',
    flow: 'branch',
    write: (m, o) => m.branch(eqz32(eqz(m.read(R, o.a))), add(m.pc, extendS32(o.i))),
  },
  {
    name: 'fill', // stores r[a] bytes of r2 at [r[b]]: one a round
    form: 'ab',
    flow: 'branch',
    write: (m, { a, b }) => {
      const count = m.let(m.read(R, a));
      const at = m.let(m.read(R, b));
      m.if(eqz32(eqz(count)), () => m.gstore(op.I64_STORE8, at, m.read(R, 2)));
      const some = m.let(eqz32(eqz(count)));
      const left = m.let(sub(count, extendU(some)));
      m.write(R, a, left);
      m.write(R, b, add(at, extendU(some)));
      m.branch(eqz32(eqz(left)), pcPlus(0));
    },
  },
  {
    name: 'cmp',
    form: 'ab',
    flow: 'next',
    write: (m, { a, b }) => {
      m.write(CC, 0, m.read(R, a));
      m.write(CC, 1, m.read(R, b));
      m.write(CC_OP, 0, i32(1));
    },
  },
  {
    name: 'test',
    form: 'a',
    flow: 'next',
    write: (m, { a }) => {
      m.write(CC, 0, m.read(R, a));
      m.write(CC_OP, 0, i32(2));
    },
  },
  {
    name: 'bcc',
    form: 't',
    flow: 'branch',
    write: (m, o, _mode, context) => m.branch(condition(m, context), add(m.pc, extendS32(o.i))),
  },
  {
    name: 'call',
    form: 't',
    flow: 'call',
    write: (m, o) => {
      const sp = m.let(sub(m.read(R, 6), 8));
      m.gstore(op.I64_STORE, sp, m.nextPc);
      m.write(R, 6, sp);
      m.jump(add(m.pc, extendS32(o.i)), true);
    },
  },
  {
    name: 'ret',
    form: '',
    flow: 'return',
    write: (m) => {
      const sp = m.let(m.read(R, 6));
      const to = m.gload(op.I64_LOAD, sp);
      m.write(R, 6, add(sp, 8));
      m.jump(and(to, LIMIT - 1));
    },
  },
  { name: 'unit', form: 'a', flow: 'next', gates: [UNIT], write: (m, { a }) => m.write(R, a, add(m.read(R, a), 3)) },
  {
    name: 'off',
    form: '',
    flow: 'system',
    write: (m) => {
      m.setField(op.I32_STORE, AT.unitOn, 0);
      m.system();
    },
  },
  {
    name: 'mode',
    form: '',
    flow: 'system',
    write: (m) => {
      m.setField(op.I32_STORE, AT.mode, xor32(m.field(op.I32_LOAD, AT.mode), 1));
      m.system();
    },
  },
  // What it adds depends on the mode.
  { name: 'inc', form: 'a', flow: 'next', write: (m, { a }, mode) => m.write(R, a, add(m.read(R, a), 1 + mode)) },
  {
    name: 'pop', // a system instruction that touches memory
    form: 'a',
    flow: 'system',
    write: (m, { a }) => {
      const sp = m.let(m.read(R, 6));
      m.write(R, a, m.gload(op.I64_LOAD, sp));
      m.write(R, 6, add(sp, 8));
      m.system();
    },
  },
  {
    name: 'hide', // hides interrupts for one instruction
    form: '',
    flow: 'system',
    write: (m) => {
      m.setField(op.I64_STORE, AT.shadow, m.nextPc);
      m.system();
    },
  },
  {
    name: 'look', // at interrupts, if one is there
    form: '',
    flow: 'check',
    write: (m) => m.check(m.field(op.I32_LOAD, AT.lines)),
  },
  { name: 'trap', form: 'i', flow: 'next', write: (m, { i }) => m.raise(3, extendS32(i)) },
  {
    name: 'halt',
    form: '',
    flow: 'system',
    write: (m) => {
      m.setField(op.I32_STORE, AT.waiting, 1);
      m.system();
    },
  },
];
/** Opcodes leave room for bytes that are no instruction. */
export const OPCODE = new Map(ROWS.map(({ name }, n) => [name, n + 1]));

interface ToyDecoded extends Decoded {
  readonly row: number;
  readonly a: number;
  readonly b: number;
  readonly i: number;
  readonly j: number;
}
interface ToyKey extends HandlerKey {
  readonly row: number;
  readonly mode: number;
}

const WIDTH: Readonly<Record<string, number>> = { a: 1, b: 1, i: 4, j: 4, t: 4 };
export const lengthOf = ({ form }: Row): number => [...form].reduce((sum, letter) => sum + WIDTH[letter], 1);

function write(row: Row, m: Insn, o: Operands, mode: number, context: unknown): Insn {
  row.write(m, o, mode, context);
  m.finish();
  return m;
}

const bound = new WeakMap<PhysicalMemory, IsaFunctions>();

function bind(memory: PhysicalMemory): IsaFunctions {
  const known = bound.get(memory);
  if (known) return known;
  const translate = define('translate', ['i64', 'i32'], 'i64', (f, va, access) => {
    f.if(geU(va, LIMIT), () => f.return(extendS(sub32(i32(-15), access))));
    f.store(op.I32_STORE, cpu, i32(0), AT.lastGlobal);
    f.store(op.I32_STORE, cpu, i32(12), AT.lastShift);
    f.return(va);
  });
  // Writes what it was to memory, through the functions for run-time code, and reads the vector from there.
  const raise = define('raise', ['i32', 'i64', 'i64'], undefined, (f, cause, tval, pc) => {
    f.store(op.I32_STORE, cpu, cause, AT.cause);
    f.store(op.I64_STORE, cpu, tval, AT.tval);
    f.store(op.I64_STORE, cpu, pc, AT.epc);
    f.store(op.I32_STORE, cpu, add32(f32(AT.faults), 1), AT.faults);
    const frame = f.let(and(f64(AT.r + 48), LIMIT * 2 - 1));
    f.if(eqz32(f.call(guestWrite, frame, i32(8), i32(1), pc)), () => {
      f.store(op.I32_STORE, cpu, f.call(guestFault), AT.cause);
      f.store(op.I64_STORE, cpu, f.call(guestFaultAddress), AT.tval);
    });
    const at = f.let(f.call(guestRead, f64(AT.vector), i32(8), i32(0)));
    f.if(
      at,
      () => f.store(op.I64_STORE, cpu, and(load(op.I64_LOAD, at), 0xffff), AT.pc),
      () => f.store(op.I64_STORE, cpu, i64(0), AT.pc),
    );
  });
  const takeInterrupt = define('take_interrupt', [], 'i32', (f) => {
    f.if(eqz32(f32(AT.lines)), () => f.return(i32(0)));
    f.if(eqz(sub(f64(AT.shadow), f64(AT.pc))), () => f.return(i32(2)));
    f.store(op.I32_STORE, cpu, i32(0), AT.lines);
    f.store(op.I32_STORE, cpu, i32(0), AT.waiting);
    f.call(raise, i32(32), i64(0), f64(AT.pc));
    f.return(i32(1));
  });
  const wakes = define('wakes', [], 'i32', (f) => f.return(f32(AT.lines)));
  const refresh = define('refresh', [], undefined, () => {});
  const functions = { translate, raise, takeInterrupt, wakes, refresh };
  bound.set(memory, functions);
  return functions;
}

const registers: Register[] = registersOf([
  { file: R, count: 8 },
  { file: CC, count: 2 },
  { file: CC_OP, count: 1 },
]);

export const toy: Isa<ToyDecoded, ToyKey> = {
  name: 'toy',
  granule: 1,
  maxLength: 11,
  modes: 2,
  regimes: 1,
  regimeOf: () => 0,
  unaligned: true,
  openBus: true,
  coherentCode: true,
  tickNs: 1,
  layout: TOY,
  stateSize: size,
  at: AT,
  fields: {
    pc: AT.pc,
    mode: AT.mode,
    waiting: AT.waiting,
    stopped: AT.stopped,
    attention: AT.attention,
    instructions: AT.instret,
    lastGlobal: AT.lastGlobal,
    lastShift: AT.lastShift,
    floatFast: undefined,
  },
  registers,
  faults: { load: 1, store: 2, fetch: 0 },
  illegalCause: undefined,
  illegal: (bytes) => ({ cause: 6, tval: BigInt(bytes[0]) }),
  decode(view, at, left) {
    const number = view.getUint8(at) - 1;
    const row = ROWS[number];
    if (!row) return undefined;
    const length = lengthOf(row);
    if (length > left) return 'beyond';
    const values: Record<string, number> = { a: 0, b: 0, i: 0, j: 0 };
    let next = at + 1;
    for (const letter of row.form) {
      if (WIDTH[letter] === 1) values[letter] = view.getUint8(next) & 7;
      else values[letter === 't' ? 'i' : letter] = view.getInt32(next, true);
      next += WIDTH[letter];
    }
    const { a, b, i, j } = values;
    const target = row.name === 'fill' ? 0 : row.form.includes('t') ? i : undefined;
    const ends = ['jump', 'return', 'indirect', 'call'].includes(row.flow);
    return { row: number, a, b, i, j, length, flow: row.flow, target, ends, gates: row.gates ?? [] };
  },
  operation({ row, a, b, i, j, length, gates }, mode): Operation {
    const { form } = ROWS[row];
    const key: ToyKey = { id: `${row}.${mode}`, length, gates, row, mode };
    const operation = { key, low: (a * 8) | ((b * 8) << 8), high: i };
    return form.includes('j') ? { ...operation, spill: j } : operation;
  },
  build({ row, a, b, i, j, length }, mode, context, prologue) {
    const m = new Insn(length, i64(0));
    prologue?.(m);
    return write(ROWS[row], m, { a, b, i: i64(i), j: i64(j) }, mode, context);
  },
  after({ row }, _mode, context) {
    const { name } = ROWS[row];
    return name === 'cmp' ? 1 : name === 'test' ? 2 : context;
  },
  handler({ row, mode, length }, locals, prologue) {
    const m = new Insn(length, i64(0), [...locals]);
    prologue(m);
    const ip = local(0, 'i32');
    const byte = (at: number) => load(op.I32_LOAD8_U, ip, at);
    const word = (at: number) => load(op.I32_LOAD, ip, at);
    return write(ROWS[row], m, { a: byte(2), b: byte(3), i: word(4), j: word(12) }, mode, undefined);
  },
  bind,
  cpu: {
    reset() {},
    registerNames: () => ['pc', ...Array.from({ length: 8 }, (_, n) => `r${n}`)],
    readRegister: (state, name) =>
      name === 'pc' ? state.get64('pc') : /^r[0-7]$/.test(name) ? state.get64('r', Number(name[1])) : undefined,
    writeRegister(state, name, value) {
      if (name === 'pc') state.set64('pc', value);
      else if (/^r[0-7]$/.test(name)) state.set64('r', value, Number(name[1]));
      else return false;
      return true;
    },
    setLine: (state, input, level) => state.set32('lines', level ? 1 << input : 0),
    compareTime: () => Infinity,
  },
};
