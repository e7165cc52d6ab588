/**
 * Turns IR functions, handlers and regions into WebAssembly instances over one
 * memory and one table.
 */
import type { CodeStore } from '../code-store.ts';
import { type Callable, IrFunction, isImport } from '../../ir/code.ts';
import { calleesOf } from './callees.ts';
import { emitFunction, type Lowering } from './emit.ts';
import { emitFused, FUSED, hasFusedMultiplyAdd } from './fused.ts';
import type { KeptRuntime, KeptRuntimes } from './kept-runtimes.ts';
import { type Body, ModuleBuilder, type Signature } from './module.ts';

type HostFunctions = Readonly<Record<string, (...args: never[]) => number | undefined>>;

/** Lowers functions that touch no guest register. */
export class PlainLowering implements Lowering {
  readonly cpuAddress: number | undefined;
  private readonly calleeOf: (target: Callable) => number;

  constructor(cpuAddress: number | undefined, calleeOf: (target: Callable) => number) {
    this.cpuAddress = cpuAddress;
    this.calleeOf = calleeOf;
  }
  callee(target: Callable): number {
    return this.calleeOf(target);
  }
  reg(): never {
    throw new Error('a run-time function has no guest registers');
  }
  setReg(): never {
    throw new Error('a run-time function has no guest registers');
  }
  pc(): never {
    throw new Error('a run-time function has no pc');
  }
  gload(): never {
    throw new Error('a run-time function uses host addresses');
  }
  gstore(): never {
    throw new Error('a run-time function uses host addresses');
  }
  raise(): never {
    throw new Error('a run-time function raises nothing');
  }
}

/** Where a run-time module may be found, and is kept. */
export interface Keep {
  readonly runtimes: KeptRuntimes;
  readonly key: string;
  readonly store?: CodeStore | undefined;
}

export class Linker {
  readonly table: WebAssembly.Table;
  readonly cpuAddress: number | undefined;
  /** The mutable global that holds the running CPU's address, where there are several. */
  readonly cpu: WebAssembly.Global | undefined;
  private readonly memory: WebAssembly.Memory;
  /** Makes modules whose functions are optimised soon: all but regions. */
  private readonly hot: <T>(make: () => T) => T;
  private readonly pages: number;
  private readonly host: HostFunctions;
  private readonly floatFast: number | undefined;
  /** IR functions that other names stand for: hooks of the ISA. */
  private readonly aliases: ReadonlyMap<string, IrFunction>;
  /** What has been compiled, by name. */
  private readonly named = new Map<string, WebAssembly.ExportValue>();

  constructor(
    memory: WebAssembly.Memory,
    cpuAddress: number | undefined,
    host: HostFunctions,
    aliases: ReadonlyMap<string, IrFunction>,
    hot: <T>(make: () => T) => T,
    floatFast: number | undefined,
  ) {
    this.hot = hot;
    this.floatFast = floatFast;
    this.memory = memory;
    this.pages = memory.buffer.byteLength / 65536;
    this.cpuAddress = cpuAddress;
    this.host = host;
    this.aliases = aliases;
    this.table = new WebAssembly.Table({ element: 'anyfunc', initial: 1 << 15 });
    this.cpu = cpuAddress === undefined ? new WebAssembly.Global({ value: 'i32', mutable: true }, 0) : undefined;
  }

  private resolve(target: Callable): Callable {
    return isImport(target) ? (this.aliases.get(target.name) ?? target) : target;
  }

  /** The compiled function that a target stands for; names are unique. */
  private known(target: Callable): WebAssembly.ExportValue | undefined {
    const found = this.named.get(target.name);
    return found ?? (isImport(target) ? (this.host[target.name] as WebAssembly.ExportValue | undefined) : undefined);
  }

  /** Everything that `roots` reach, each once; not what is behind compiled functions. */
  private reach(roots: readonly Callable[]): Set<Callable> {
    const seen = new Set<Callable>();
    const visit = (target: Callable) => {
      const actual = this.resolve(target);
      if (seen.has(actual)) return;
      seen.add(actual);
      if (this.known(actual)) return;
      if (actual instanceof IrFunction) for (const callee of calleesOf(actual.body.statements)) visit(callee);
    };
    for (const root of roots) visit(root);
    return seen;
  }

  /**
   * Compiles the IR functions that `roots` reach and that are not there yet,
   * as one module. `extra` adds hand-written functions by name. The module is
   * kept for the next linker that asks with an equal key, and nothing linked yet.
   */
  linkRuntime(
    roots: readonly Callable[],
    extra: (
      calleeOf: (target: Callable) => number,
      builder: ModuleBuilder,
    ) => ReadonlyMap<string, Body & { type: Signature }> = () => new Map(),
    keep?: Keep,
  ): WebAssembly.Exports {
    const kept = keep?.runtimes.get(keep.key, (bytes) => this.compile(bytes), keep.store);
    if (kept) return this.provideAll(kept);
    const builder = new ModuleBuilder();
    const all = [...this.reach(roots)];
    const index = new Map<Callable, number>();
    const imports: Record<string, WebAssembly.ImportValue> = {};
    const functions: IrFunction[] = [];
    for (const target of all) {
      const known = this.known(target);
      if (known) {
        imports[target.name] = known as WebAssembly.ImportValue;
        index.set(target, builder.importFunction('run', target.name, target));
      } else if (target instanceof IrFunction) functions.push(target);
      else throw new Error(`the host has no function ${target.name}`);
    }
    for (const target of functions) index.set(target, builder.declare(target.name, target));
    const calleeOf = (target: Callable): number => {
      const found = index.get(this.resolve(target));
      if (found === undefined) throw new Error(`${target.name} is not part of the run time`);
      return found;
    };
    const lowering = new PlainLowering(this.cpuAddress, calleeOf);
    for (const target of functions) {
      const fused = target.name === FUSED && this.floatFast !== undefined && hasFusedMultiplyAdd();
      builder.define(
        calleeOf(target),
        fused ? emitFused(lowering, target, this.floatFast) : emitFunction(lowering, target, target.body),
      );
    }
    for (const [name, body] of extra(calleeOf, builder)) {
      const at = builder.declare(name, body.type);
      builder.define(at, body);
      builder.export(name, at);
    }
    for (const target of functions) builder.export(target.name, calleeOf(target));
    const bytes = this.finish(builder);
    const made: KeptRuntime = {
      module: this.compile(bytes),
      imports: Object.keys(imports),
      functions: functions.map(({ name }) => name),
    };
    keep?.runtimes.set(keep.key, made, bytes, keep.store);
    return this.provideAll(made);
  }

  /** An instance of a run-time module, its functions known. */
  private provideAll({ module, imports, functions }: KeptRuntime): WebAssembly.Exports {
    const exports = this.instantiateRegions(module, imports);
    for (const name of functions) {
      if (this.named.has(name)) throw new Error(`there are two run-time functions ${name}`);
      this.named.set(name, exports[name]);
    }
    return exports;
  }

  /** Makes functions known under a callable, for modules linked later. */
  provide(target: Callable, value: WebAssembly.ExportValue): void {
    this.named.set(target.name, value);
  }

  private byName(name: string): WebAssembly.ImportValue | undefined {
    return this.named.get(this.aliases.get(name)?.name ?? name) ?? this.host[name];
  }

  /** Whether a module may import the function of that name. */
  has(name: string): boolean {
    return this.byName(name) !== undefined;
  }

  /** Compiles those that are not there yet. */
  need(targets: Iterable<Callable>): void {
    for (const target of targets) this.valueOf(this.resolve(target));
  }

  /** An instance of a module of regions; its imports are run-time functions by name. */
  instantiateRegions(module: WebAssembly.Module, imports: readonly string[]): WebAssembly.Exports {
    const run: Record<string, WebAssembly.ImportValue> = {};
    for (const name of imports) {
      const value = this.byName(name);
      if (!value) throw new Error(`no run-time function ${name}`);
      run[name] = value;
    }
    return this.instance(module, { run });
  }

  private valueOf(target: Callable): WebAssembly.ImportValue {
    if (!this.known(target)) this.linkRuntime([target]);
    return this.known(target) as WebAssembly.ImportValue;
  }

  /**
   * A module of functions that call run-time functions: handlers or regions.
   * `emit` gets the index of each callee that `callees` names.
   */
  link(
    callees: Iterable<Callable>,
    emit: (builder: ModuleBuilder, calleeOf: (target: Callable) => number) => void,
  ): WebAssembly.Exports {
    const builder = new ModuleBuilder();
    const index = new Map<Callable, number>();
    const imports: Record<string, WebAssembly.ImportValue> = {};
    for (const target of callees) {
      const actual = this.resolve(target);
      if (index.has(actual)) continue;
      imports[actual.name] = this.valueOf(actual);
      index.set(actual, builder.importFunction('run', actual.name, actual));
    }
    emit(builder, (target) => {
      const found = index.get(this.resolve(target));
      if (found === undefined) throw new Error(`${target.name} was not announced`);
      return found;
    });
    return this.instance(this.compile(this.finish(builder)), { run: imports });
  }

  private finish(builder: ModuleBuilder) {
    return builder.finish({ initial: this.pages, maximum: this.pages }, this.cpu !== undefined);
  }

  private compile(bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module {
    return this.hot(() => new WebAssembly.Module(bytes));
  }

  private instance(module: WebAssembly.Module, imports: WebAssembly.Imports): WebAssembly.Exports {
    const env: Record<string, WebAssembly.ImportValue> = { memory: this.memory, table: this.table };
    if (this.cpu) env.cpu = this.cpu;
    return new WebAssembly.Instance(module, { ...imports, env }).exports;
  }
}
