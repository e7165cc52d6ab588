/**
 * Runs the x87 functions over many cases: compiled to WebAssembly, by the IR
 * evaluator, and on the host's FPU through x87-oracle.c.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Code, define, type IrFunction } from '../../src/ir/code.ts';
import { Evaluator, type World } from '../../src/ir/evaluate.ts';
import * as op from '../../src/ir/op.ts';
import { add32, and32, eqz32, i32, load, ltU32, shrU32, type Value } from '../../src/ir/value.ts';
import { RC } from '../../src/isa/x86/x87/format.ts';
import { x87 } from '../../src/isa/x86/x87/x87.ts';
import { compile } from './float-bench.ts';

const CONTROL_AT = 16;
const STATUS_AT = 20;
const SCRATCH_AT = 64;
const TEMPORARY_AT = 160;
const CASES_AT = 256;
/** As in x87-oracle.c. */
export const CASE = { a: 0, b: 16, control: 32, status: 36, result: 40, second: 56, eflags: 72, bytes: 80 } as const;

export const fpu = x87({ control: CONTROL_AT, status: STATUS_AT, scratch: SCRATCH_AT });

/** What the operands are. */
export type Kind = 'register' | 'f32' | 'f64' | 'i64' | 'bcd' | 'angle' | 'small' | 'unit' | 'quarter';
export interface Operation {
  readonly name: string;
  readonly a: Kind;
  readonly b: Kind;
  /** What stands in the destination before. */
  readonly before: 'a' | 'b' | 'pattern';
  /** The exact result is not known: units in the last place by which it may be off. */
  readonly ulps?: number;
  call(code: Code, at: Value): void;
}

const at = (base: Value, offset: number): Value => add32(base, offset);
const a = (base: Value): Value => at(base, CASE.a);
const b = (base: Value): Value => at(base, CASE.b);
const result = (base: Value): Value => at(base, CASE.result);
const second = (base: Value): Value => at(base, CASE.second);
const NONE = i32(0);

function list(): Operation[] {
  const all: Operation[] = [];
  type More = Partial<Pick<Operation, 'a' | 'b' | 'before' | 'ulps'>>;
  const put = (name: string, call: Operation['call'], more: More = {}): void => {
    all.push({ name, call, a: 'register', b: 'register', before: 'a', ...more });
  };
  for (const name of ['add', 'sub', 'mul', 'div'] as const) {
    put(name, (code, k) => void code.call(fpu[name], result(k), a(k), b(k), NONE));
  }
  for (const name of ['add', 'sub', 'subr', 'mul', 'div', 'divr'] as const) {
    for (const kind of ['f32', 'f64'] as const) {
      const bits = (k: Value): Value => load(kind === 'f32' ? op.I32_LOAD : op.I64_LOAD, b(k));
      put(`${name}_${kind}`, (code, k) => void code.call(fpu[kind][name], result(k), a(k), bits(k)), { b: kind });
    }
  }
  for (const name of ['add', 'sub'] as const) {
    // By way of a register, as integers in memory go.
    put(
      `${name}_widened`,
      (code, k) => {
        const temporary = i32(TEMPORARY_AT);
        const flags = code.call(fpu.widenF32, temporary, load(op.I32_LOAD, b(k)));
        code.call(fpu[name], result(k), a(k), temporary, flags);
      },
      { b: 'f32' },
    );
  }
  put('sqrt', (code, k) => void code.call(fpu.sqrt, result(k), a(k)));
  put('rndint', (code, k) => void code.call(fpu.roundToInteger, result(k), a(k)));
  put('scale', (code, k) => void code.call(fpu.scale, result(k), a(k), b(k)), { b: 'small' });
  put('fprem', (code, k) => void code.call(fpu.remainder, result(k), a(k), b(k)));
  put('fprem1', (code, k) => void code.call(fpu.remainderNearest, result(k), a(k), b(k)));
  put('compare', (code, k) => void code.call(fpu.compare, a(k), b(k), NONE, i32(0)));
  put('compare_quiet', (code, k) => void code.call(fpu.compare, a(k), b(k), NONE, i32(1)));
  for (const quiet of [0, 1]) {
    put(`compare_flags${quiet ? '_quiet' : ''}`, (code, k) => {
      const flags = code.call(fpu.compareFlags, a(k), b(k), NONE, i32(quiet));
      code.store(op.I32_STORE, k, and32(flags, 0xff), CASE.eflags);
    });
  }
  put('examine', (code, k) => void code.call(fpu.examine, a(k), NONE));
  put('load_f32', (code, k) => void code.call(fpu.loadF32, result(k), load(op.I32_LOAD, a(k))), {
    a: 'f32',
    before: 'b',
  });
  put('load_f64', (code, k) => void code.call(fpu.loadF64, result(k), load(op.I64_LOAD, a(k))), {
    a: 'f64',
    before: 'b',
  });
  put('load_i64', (code, k) => void code.call(fpu.fromInteger, result(k), load(op.I64_LOAD, a(k))), {
    a: 'i64',
    before: 'b',
  });
  put('load_bcd', (code, k) => void code.call(fpu.loadDecimal, result(k), a(k)), { a: 'bcd', before: 'b' });
  const memory = { before: 'pattern' } as const;
  put('store_f32', (code, k) => void code.call(fpu.storeF32, result(k), a(k)), memory);
  put('store_f64', (code, k) => void code.call(fpu.storeF64, result(k), a(k)), memory);
  put('store_bcd', (code, k) => void code.call(fpu.storeDecimal, result(k), a(k)), memory);
  for (const bits of [16, 32, 64] as const) {
    put(`to_i${bits}`, (code, k) => void code.call(fpu[`toI${bits}`], result(k), a(k), roundingControl(k)), memory);
    put(`trunc_i${bits}`, (code, k) => void code.call(fpu[`toI${bits}`], result(k), a(k), i32(RC.chop)), memory);
  }
  put('extract', (code, k) => void pushes(code, k, code.call(fpu.extract, result(k), second(k), a(k))));
  for (const name of ['one', 'zero', 'l2t', 'l2e', 'pi', 'lg2', 'ln2'] as const) {
    put(name, (code, k) => void code.call(fpu.constants[name], result(k)));
  }
  for (const name of ['fsin', 'fcos'] as const) {
    put(name, (code, k) => void code.call(fpu[name], result(k), a(k)), { a: 'angle', ulps: 1 });
  }
  for (const name of ['fsincos', 'fptan'] as const) {
    put(name, (code, k) => void pushes(code, k, code.call(fpu[name], result(k), second(k), a(k))), {
      a: 'angle',
      ulps: 1,
    });
  }
  put('f2xm1', (code, k) => void code.call(fpu.f2xm1, result(k), a(k)), { a: 'unit', ulps: 1 });
  for (const name of ['fpatan', 'fyl2x', 'fyl2xp1'] as const) {
    const b = name === 'fyl2xp1' ? 'quarter' : 'register';
    put(name, (code, k) => void code.call(fpu[name], result(k), a(k), at(k, CASE.b)), { b, before: 'b', ulps: 1 });
  }
  return all;
}

const roundingControl = (k: Value): Value => and32(shrU32(load(op.I32_LOAD, k, CASE.control), 10), 3);

/** Where nothing was pushed, the oracle reads the operands. */
function pushes(code: Code, k: Value, delivered: Value): void {
  code.if(eqz32(delivered), () => {
    code.copy(second(k), a(k), i32(10));
    code.copy(result(k), b(k), i32(10));
  });
}

export const OPERATIONS: readonly Operation[] = list();

function driver(operation: Operation): IrFunction {
  return define(`drive_${operation.name}`, ['i32'], undefined, (code, count) => {
    const n = code.var(i32(0));
    const k = code.var(i32(CASES_AT));
    code.while(
      () => ltU32(n.value, count),
      () => {
        code.store(op.I32_STORE, i32(0), load(op.I32_LOAD, k.value, CASE.control), CONTROL_AT);
        code.store(op.I32_STORE, i32(0), i32(0), STATUS_AT);
        operation.call(code, code.let(k.value));
        code.store(op.I32_STORE, k.value, load(op.I32_LOAD, i32(0), STATUS_AT), CASE.status);
        k.set(add32(k.value, CASE.bytes));
        n.set(add32(n.value, 1));
      },
    );
  });
}

/** Runs operations as WebAssembly; the cases are changed in place. */
export function webAssemblyRunner(maximumCases: number): (operation: Operation, cases: Uint8Array) => void {
  const pages = 1 + Math.ceil((CASES_AT + maximumCases * CASE.bytes) / 65536);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const exports = compile(OPERATIONS.map(driver), memory, pages, { cpuAddress: 0 });
  return (operation, cases) => {
    const bytes = new Uint8Array(memory.buffer, CASES_AT, cases.length);
    bytes.set(cases);
    exports[`drive_${operation.name}`](cases.length / CASE.bytes);
    cases.set(bytes);
  };
}

/** The same by the evaluator. */
export function runEvaluator(operation: Operation, cases: Uint8Array): void {
  const memory = new DataView(new ArrayBuffer(CASES_AT + cases.length));
  const bytes = new Uint8Array(memory.buffer, CASES_AT);
  bytes.set(cases);
  new Evaluator({ memory, cpu: 0 } as unknown as World).call(driver(operation), [cases.length / CASE.bytes]);
  cases.set(bytes);
}

/** Compiles the oracle; a reason where this machine cannot. */
export function nativeOracle(): ((name: string, cases: Uint8Array) => Uint8Array) | string {
  if (process.arch !== 'x64') return 'the host has no x87 FPU';
  if (spawnSync('cc', ['--version']).status !== 0) return 'cc is not installed';
  const folder = mkdtempSync(join(tmpdir(), 'x87-oracle-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const binary = join(folder, 'oracle');
  const built = spawnSync('cc', ['-O1', '-o', binary, join(import.meta.dirname, 'x87-oracle.c')], { encoding: 'utf8' });
  if (built.status !== 0) return `cc cannot build the oracle: ${built.stderr}`;
  return (name, cases) => {
    const run = spawnSync(binary, [name], { input: cases, maxBuffer: cases.length + 65536 });
    if (run.status !== 0) throw new Error(`oracle ${name}: ${run.stderr}`);
    return run.stdout;
  };
}
