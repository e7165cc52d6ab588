/**
 * The rows of F and D, fast paths and all, against RISC-V's own instructions as
 * qemu-riscv64 has them: with inexact flagged before and not, rounding modes
 * static and dynamic.
 */
import assert from 'node:assert';
import { test } from 'node:test';
import type { Lowering } from '../../src/accel/jit/emit.ts';
import { define, type IrFunction } from '../../src/ir/code.ts';
import * as op from '../../src/ir/op.ts';
import {
  add32,
  and,
  and32,
  eq32,
  eqz,
  i32,
  i64,
  load,
  ltU32,
  ne32,
  or,
  select,
  shl,
  shrU,
  sub,
  type Value,
  xor,
} from '../../src/ir/value.ts';
import { rv64d } from '../../src/isa/riscv/d.ts';
import { rv64f } from '../../src/isa/riscv/f.ts';
import { type Instruction, RiscvInsn } from '../../src/isa/riscv/insn.ts';
import { AT } from '../../src/isa/riscv/state.ts';
import { zfa } from '../../src/isa/riscv/zfa.ts';
import { CASE_BYTES, compile, nativeOracle, type Operation, OPERATIONS } from './float-bench.ts';
import { differences, makeCases, random64 } from './float-cases.ts';
import { SEED } from './float-soft-check.ts';

const COUNT = 2400;
const CASES_AT = 16384;
const RAISED_AT = 16000;
const PAGES = 4;
const BOX = 0xffff_ffff_0000_0000n;
const DYNAMIC = 7;

/** Registers of the vCPU in memory at 0; an exception leaves its cause behind. */
const lowering: Partial<Lowering> & Pick<Lowering, 'cpuAddress'> = {
  cpuAddress: 0,
  reg(emitter, n) {
    emitter.i32Const(0);
    emitter.memory(n < 32 ? op.I64_LOAD : op.F64_LOAD, n < 32 ? AT.x + 8 * n : AT.f + 8 * (n - 32));
  },
  setReg(emitter, n, value) {
    emitter.i32Const(0);
    emitter.value(value);
    emitter.memory(n < 32 ? op.I64_STORE : op.F64_STORE, n < 32 ? AT.x + 8 * n : AT.f + 8 * (n - 32));
  },
  raise(emitter, cause) {
    emitter.i32Const(0);
    emitter.value(cause);
    emitter.memory(op.I32_STORE, RAISED_AT);
    emitter.return();
  },
};

/** The row as a function on registers 1, 2, 3 into 4. */
function rowFunction(row: Instruction, r: number, name: string): IrFunction {
  return define(name, [], undefined, (code) => {
    const m = new RiscvInsn(4, i64(0));
    row.semantics(m, { a: 1, b: 2, c: 3, d: 4, i: i64(0), k: 0, z: 0, r });
    m.finish();
    code.locals.push(...m.locals);
    code.statements = m.statements;
  });
}

interface Subject {
  readonly row: Instruction;
  readonly operation: Operation;
  /** Signs of the operands to turn before the row sees them, so that it computes what the oracle does. */
  readonly negate: readonly number[];
}

const bits = (operation: Operation): number => (operation.kind === 'f32' ? 32 : 64);

/** Runs the row over cases: case bytes in and out as the oracle's, with flags 0xbad where fpFast is wrong. */
function driver({ row, operation, negate }: Subject, name: string, target: IrFunction): IrFunction {
  const boxed = operation.kind === 'f32';
  const toFloat =
    row.mnemonic.startsWith('fcvt.s') ||
    (row.mnemonic.endsWith('.s') && !/^f(eq|l[te]q?|class|cvt\.)/.test(row.mnemonic));
  const toInteger = /^f(eq|lt|le|class|cvt\.(w|l))/.test(row.mnemonic);
  return define(name, ['i32'], undefined, (code, count) => {
    const n = code.var(i32(0));
    const at = code.var(i32(CASES_AT));
    code.while(
      () => ltU32(n.value, count),
      () => {
        for (let k = 0; k < 3; k++) {
          let x: Value = load(op.I64_LOAD, at.value, 8 * k);
          if (negate.includes(k)) x = addSign(x, bits(operation));
          if (operation.kind === 'integer') code.store(op.I64_STORE, i32(0), x, AT.x + 8 * (k + 1));
          else code.store(op.I64_STORE, i32(0), boxed ? or(x, BOX) : x, AT.f + 8 * (k + 1));
        }
        const mode = load(op.I32_LOAD, at.value, 24);
        const flags = load(op.I32_LOAD, at.value, 28);
        code.store(op.I32_STORE, i32(0), mode, AT.frm);
        code.store(op.I32_STORE, i32(0), flags, AT.fflags);
        code.store(op.I32_STORE, i32(0), fpFast(mode, flags), AT.fpFast);
        code.call(target);
        const result = load(op.I64_LOAD, i32(0), (toInteger ? AT.x : AT.f) + 8 * 4);
        code.store(op.I64_STORE, at.value, toFloat ? unboxed(result) : result, 32);
        code.store(op.I32_STORE, at.value, load(op.I32_LOAD, i32(0), AT.fflags), 28);
        const wrong = ne32(load(op.I32_LOAD, i32(0), AT.fpFast), fpFast(mode, load(op.I32_LOAD, i32(0), AT.fflags)));
        code.if(wrong, () => code.store(op.I32_STORE, at.value, 0xbad, 28));
        at.set(add32(at.value, CASE_BYTES));
        n.set(add32(n.value, 1));
      },
    );
  });
}

const addSign = (x: Value, width: number): Value => xor(x, shl(i64(1), width - 1));
const fpFast = (mode: Value, flags: Value): Value => and32(and32(flags, 1), eq32(mode, 0));
/** The low half of a boxed single; what is no box shows as all ones. */
const unboxed = (x: Value): Value => select(eqz(sub(shrU(x, 32), 0xffff_ffff)), and(x, 0xffff_ffff), i64(-1));

const NAMES: Readonly<Record<string, string>> = { fclass: 'classify', 'fcvt.s.d': 'narrow', 'fcvt.d.s': 'widen' };

/** Which oracle's operation says what a row does. */
function subject(row: Instruction): Subject | undefined {
  const [, stem, letter] = /^(.*)\.([sd])$/.exec(row.mnemonic) ?? [];
  const f = letter === 's' ? 'f32' : 'f64';
  let name = NAMES[row.mnemonic] ?? (stem && `${f}_${NAMES[stem] ?? stem.slice(1)}`);
  let negate: number[] = [];
  const to = /^fcvt\.(wu?|lu?)\.([sd])$/.exec(row.mnemonic);
  if (to) name = `${to[2] === 's' ? 'f32' : 'f64'}_to_${to[1]}`;
  const from = /^fcvt\.([sd])\.(wu?|lu?)$/.exec(row.mnemonic);
  if (from) name = `${from[1] === 's' ? 'f32' : 'f64'}_from_${from[2]}`;
  const fused = /^f(n?)m(add|sub)\.([sd])$/.exec(row.mnemonic);
  if (fused) {
    name = `${fused[3] === 's' ? 'f32' : 'f64'}_fma`;
    if (fused[1]) negate = fused[2] === 'add' ? [0, 2] : [0];
    else negate = fused[2] === 'add' ? [] : [2];
  }
  const zfaNames: Readonly<Record<string, string>> = {
    froundnx: `${f}_round`,
    fleq: `${f}_le_quiet`,
    fltq: `${f}_lt_quiet`,
  };
  if (row.extension === 'zfa') name = zfaNames[stem ?? ''];
  const operation = OPERATIONS.find((candidate) => candidate.name === name);
  return operation && { row, operation, negate };
}

const ROWS = [...rv64f, ...rv64d, ...zfa];
const subjects = ROWS.map(subject).filter((s) => s !== undefined);
const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES, shared: true });

test('all arithmetic rows have an oracle', () => {
  const without = ROWS.filter((row) => subject(row) === undefined).map(({ mnemonic }) => mnemonic);
  const moves = /^(f[ls][wd]|fsgnj[nx]?\.[sd]|fmv\..*|fli\..*|f(min|max)m\..*|fround\..*|fcvtmod.*)$/;
  assert.deepStrictEqual(
    without.filter((name) => !moves.test(name)),
    [],
  );
});

for (const kind of ['riscv', 'host'] as const) {
  const oracle = nativeOracle(kind);
  const skip = typeof oracle === 'string' ? oracle : false;
  const mine = subjects.filter(
    ({ operation }) => operation.oracles.includes(kind) && (kind === 'riscv' || !operation.oracles.includes('riscv')),
  );
  test(`rows against the ${kind} FPU`, { skip }, async (t) => {
    assert.ok(typeof oracle !== 'string');
    assert.ok(mine.length > 3);
    t.diagnostic(`TRAPFRAME_SEED=${SEED}`);
    for (const s of mine) {
      await t.test(s.row.mnemonic, () => {
        const modes = s.operation.rounds ? [0, 1, 2, 3, 4, DYNAMIC] : [0];
        for (const r of modes) {
          if (r === 4 && kind === 'host') continue;
          check(s, r, oracle, kind === 'host' ? 4 : 5);
        }
      });
    }
  });
}

function check(s: Subject, r: number, oracle: (name: string, cases: Uint8Array) => Uint8Array, modes: number): void {
  const name = `${s.row.mnemonic} rm ${r}`;
  const target = rowFunction(s.row, r, `row ${name}`);
  const run = compile([driver(s, name, target)], memory, PAGES, lowering)[name];
  const random = random64(SEED + BigInt(r));
  const cases = makeCases(s.operation, COUNT, modes, SEED + BigInt(r));
  const view = new DataView(cases.buffer);
  const asked = cases.slice();
  const askedView = new DataView(asked.buffer);
  for (let at = 0; at < cases.length; at += CASE_BYTES) {
    // Often round to nearest with inexact flagged: the fast paths.
    const mode = random() % 3n === 0n ? Number(random() % BigInt(modes)) : 0;
    view.setUint32(at + 24, mode, true);
    askedView.setUint32(at + 24, r === DYNAMIC ? mode : r, true);
    view.setUint32(at + 28, random() % 3n === 0n ? Number(random() & 0x1fn) : 1, true);
  }
  const before = cases.slice();
  const theirs = oracle(s.operation.name, asked);
  const wanted = new DataView(theirs.buffer, theirs.byteOffset);
  const initial = new DataView(before.buffer);
  for (let at = 0; at < theirs.length; at += CASE_BYTES) {
    wanted.setUint32(at + 28, wanted.getUint32(at + 28, true) | initial.getUint32(at + 28, true), true);
  }
  const space = new Uint8Array(memory.buffer, CASES_AT, cases.length);
  space.set(cases);
  run(cases.length / CASE_BYTES);
  cases.set(space);
  assert.deepStrictEqual(differences(cases, theirs), [], name);
}
