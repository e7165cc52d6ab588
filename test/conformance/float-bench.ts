/**
 * Runs soft floating-point functions over many cases: compiled to WebAssembly,
 * by the IR evaluator, and on real FPUs (the host's, and RISC-V's as
 * qemu-riscv64 has it), through float-oracle.c.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { emitFunction, type Lowering } from '../../src/accel/jit/emit.ts';
import { ModuleBuilder } from '../../src/accel/jit/module.ts';
import { type Callable, define, IrFunction, type Statement } from '../../src/ir/code.ts';
import { type Datum, Evaluator, type World } from '../../src/ir/evaluate.ts';
import * as op from '../../src/ir/op.ts';
import { add32, extendU, i32, i64, load, ltU32, sext32, type Value, zext32 } from '../../src/ir/value.ts';
import { softfloat } from '../../src/isa/softfloat/softfloat.ts';

/** The CPU state of these tests is one field. */
const FLAGS_AT = 16;
/** Where the cases lie in memory. */
const CASES_AT = 64;
/** Three operands, rounding mode, flags, result: as in float-oracle.c. */
export const CASE_BYTES = 40;

export const RISCV_FLAGS = { inexact: 1, underflow: 2, overflow: 4, divideByZero: 8, invalid: 16 } as const;
const soft = softfloat({
  flagsOffset: FLAGS_AT,
  flags: RISCV_FLAGS,
  tininess: 'after',
  nan: 'canonical',
  noInteger: 'clamp-nan-high',
});

const LIMITS = {
  w: [0x7fffffffn, 0x80000000n],
  wu: [0xffffffffn, 0n],
  l: [0x7fffffffffffffffn, 0x8000000000000000n],
  lu: [0xffffffffffffffffn, 0n],
} as const;

export interface Operation {
  readonly name: string;
  readonly target: IrFunction;
  /** Which operands of a case it takes, and what else it is given. */
  readonly operands: number;
  readonly rounds: boolean;
  readonly extra: readonly Value[];
  /** What the operands are. */
  readonly kind: 'f32' | 'f64' | 'integer';
  readonly oracles: readonly ('host' | 'riscv')[];
}

/** Every operation that some oracle knows. */
export const OPERATIONS: readonly Operation[] = list();

function list(): Operation[] {
  const found: Operation[] = [];
  const both = ['host', 'riscv'] as const;
  const put = (
    name: string,
    target: IrFunction,
    operands: number,
    kind: Operation['kind'],
    oracles: Operation['oracles'],
    more: { rounds?: boolean; extra?: Value[] } = {},
  ): void => {
    found.push({ name, target, operands, kind, oracles, rounds: more.rounds ?? true, extra: more.extra ?? [] });
  };
  for (const f of ['f32', 'f64'] as const) {
    const s = soft[f];
    for (const name of ['add', 'sub', 'mul', 'div'] as const) put(`${f}_${name}`, s[name], 2, f, both);
    put(`${f}_sqrt`, s.sqrt, 1, f, both);
    put(`${f}_fma`, s.fma, 3, f, both);
    for (const name of ['min', 'max'] as const) put(`${f}_${name}`, s[name], 2, f, ['riscv'], { rounds: false });
    for (const name of ['eq', 'lt', 'le'] as const) put(`${f}_${name}`, s[name], 2, f, both, { rounds: false });
    put(`${f}_lt_quiet`, s.ltQuiet, 2, f, ['host'], { rounds: false });
    put(`${f}_le_quiet`, s.leQuiet, 2, f, ['host'], { rounds: false });
    put(`${f}_classify`, s.classify, 1, f, ['riscv'], { rounds: false });
    put(`${f}_round`, s.roundToInteger, 1, f, ['host'], { extra: [i32(1)] });
    for (const [name, limits] of Object.entries(LIMITS)) {
      put(`${f}_to_${name}`, s.toInteger, 1, f, ['riscv'], { extra: limits.map((limit) => i64(limit)) });
    }
    put(`${f}_from_l`, s.fromSigned, 1, 'integer', both);
    put(`${f}_from_lu`, s.fromUnsigned, 1, 'integer', ['riscv']);
    for (const [name, convert, extend] of [
      ['w', s.fromSigned, sext32],
      ['wu', s.fromUnsigned, zext32],
    ] as const) {
      const target = define(`${f}_from_${name}`, convert.params, convert.result, (code, x, rounding) => {
        code.return(code.call(convert, extend(x), rounding));
      });
      put(`${f}_from_${name}`, target, 1, 'integer', ['riscv']);
    }
  }
  put('narrow', soft.narrow, 1, 'f64', both);
  put('widen', soft.widen, 1, 'f32', both, { rounds: false });
  return found;
}

/** A function (count of cases i32) that runs `operation` over the cases in memory. */
function driver(operation: Operation): IrFunction {
  return define(`drive_${operation.name}`, ['i32'], undefined, (code, count) => {
    const n = code.var(i32(0));
    const at = code.var(i32(CASES_AT));
    code.while(
      () => ltU32(n.value, count),
      () => {
        const args: Value[] = [];
        for (let k = 0; k < operation.operands; k++) {
          args.push(load(operation.target.params[k] === 'i32' ? op.I32_LOAD : op.I64_LOAD, at.value, 8 * k));
        }
        if (operation.rounds) args.push(load(op.I32_LOAD, at.value, 24));
        code.store(op.I32_STORE, i32(0), 0, FLAGS_AT);
        const result = code.call(operation.target, ...args, ...operation.extra);
        code.store(op.I64_STORE, at.value, result.type === 'i32' ? extendU(result) : result, 32);
        code.store(op.I32_STORE, at.value, load(op.I32_LOAD, i32(0), FLAGS_AT), 28);
        at.set(add32(at.value, CASE_BYTES));
        n.set(add32(n.value, 1));
      },
    );
  });
}

function callees(statements: readonly Statement[], into: Set<IrFunction>): void {
  for (const s of statements) {
    if (s.kind === 'call' && s.target instanceof IrFunction) reach(s.target, into);
    else if (s.kind === 'if') {
      callees(s.then, into);
      callees(s.else, into);
    } else if (s.kind === 'loop' || s.kind === 'block') callees(s.body, into);
  }
}
function reach(target: IrFunction, into: Set<IrFunction>): void {
  if (into.has(target)) return;
  into.add(target);
  callees(target.body.statements, into);
}

/** What IR functions compile to where the guest's CPU state is at `cpuAddress` and nothing else of it is used. */
export function compile(
  roots: readonly IrFunction[],
  memory: WebAssembly.Memory,
  pages: number,
  lowering: Partial<Lowering> & Pick<Lowering, 'cpuAddress'>,
): Record<string, (...args: number[]) => number> {
  const all = new Set<IrFunction>();
  for (const root of roots) reach(root, all);
  const builder = new ModuleBuilder();
  const index = new Map<Callable, number>();
  for (const f of all) index.set(f, builder.declare(f.name, f));
  const refuse = (): never => {
    throw new Error('no guest here');
  };
  const full: Lowering = {
    reg: refuse,
    setReg: refuse,
    pc: refuse,
    gload: refuse,
    gstore: refuse,
    raise: refuse,
    callee: (target) => index.get(target) ?? refuse(),
    ...lowering,
  };
  for (const f of all) builder.define(index.get(f) as number, emitFunction(full, f, f.body));
  for (const root of roots) builder.export(root.name, index.get(root) as number);
  const module = new WebAssembly.Module(builder.finish({ initial: pages, maximum: pages }, false));
  const table = new WebAssembly.Table({ element: 'anyfunc', initial: 0 });
  const instance = new WebAssembly.Instance(module, { env: { memory, table } });
  return instance.exports as Record<string, (...args: number[]) => number>;
}

/** Runs all operations as WebAssembly; the cases are changed in place. */
export function webAssemblyRunner(maximumCases: number): (operation: Operation, cases: Uint8Array) => void {
  const pages = 1 + Math.ceil((CASES_AT + maximumCases * CASE_BYTES) / 65536);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const drivers = new Map(OPERATIONS.map((operation) => [operation.name, driver(operation)]));
  const exports = compile([...drivers.values()], memory, pages, { cpuAddress: 0 });
  return (operation, cases) => {
    const bytes = new Uint8Array(memory.buffer, CASES_AT, cases.length);
    bytes.set(cases);
    exports[`drive_${operation.name}`](cases.length / CASE_BYTES);
    cases.set(bytes);
  };
}

/** The same by the evaluator. */
export function evaluatorRunner(): (operation: Operation, cases: Uint8Array) => void {
  return (operation, cases) => {
    const memory = new DataView(new ArrayBuffer(CASES_AT + cases.length));
    const bytes = new Uint8Array(memory.buffer, CASES_AT);
    bytes.set(cases);
    const world = { memory, cpu: 0 } as unknown as World;
    new Evaluator(world).call(driver(operation), [(cases.length / CASE_BYTES) as Datum]);
    cases.set(bytes);
  };
}

/** Compiles the oracle; undefined with a reason where this machine cannot. */
export function nativeOracle(kind: 'host' | 'riscv'): ((name: string, cases: Uint8Array) => Uint8Array) | string {
  const compiler = kind === 'host' ? 'gcc' : 'riscv64-linux-gnu-gcc';
  const emulator = kind === 'host' ? undefined : 'qemu-riscv64';
  for (const tool of emulator ? [compiler, emulator] : [compiler]) {
    if (spawnSync(tool, ['--version']).status !== 0) return `${tool} is not installed`;
  }
  const folder = mkdtempSync(join(tmpdir(), 'float-oracle-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const binary = join(folder, kind);
  const source = join(import.meta.dirname, 'float-oracle.c');
  const flags = kind === 'host' ? ['-frounding-math', '-fno-builtin'] : ['-static'];
  const built = spawnSync(compiler, ['-O1', ...flags, '-o', binary, source, '-lm'], { encoding: 'utf8' });
  if (built.status !== 0 || !existsSync(binary)) return `${compiler} cannot build the oracle: ${built.stderr}`;
  return (name, cases) => {
    const command = emulator ? [emulator, binary, name] : [binary, name];
    const run = spawnSync(command[0], command.slice(1), { input: cases, maxBuffer: cases.length + 65536 });
    if (run.status !== 0) throw new Error(`oracle ${name}: ${run.stderr}`);
    return run.stdout;
  };
}
