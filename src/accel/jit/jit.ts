/**
 * The JIT accelerator: the interpreter tier, compiled regions and the glue to
 * the host. One instance of everything serves all CPUs of the machine.
 */
import { define, type IrFunction } from '../../ir/code.ts';
import { i32 } from '../../ir/value.ts';
import {
  Access,
  guestFault,
  guestFaultAddress,
  guestRead,
  guestWrite,
  plainPlace,
  type Isa,
  type IsaFunctions,
  tlbFlush,
  tlbFlushPage,
} from '../../isa/isa.ts';
import type { AcceleratorOptions, Board, SpaceAccelerator } from '../accelerator.ts';
import type { CpuState } from '../cpu-state.ts';
import { hostFunctions, readDevice, writeDevice } from '../device-access.ts';
import { Fetcher } from '../fetch.ts';
import { Space } from '../space.ts';
import { AcrossPages, acrossPages } from './across-pages.ts';
import { CodeCache } from './code-cache.ts';
import { changed, emitRun, RUN } from './dispatcher.ts';
import { emitGoto, REGION } from './goto.ts';
import { emitResume, RESUME } from './resume.ts';
import { hasFusedMultiplyAdd } from './fused.ts';
import { HandlerTable } from './handler-table.ts';
import type { Ground } from './ground.ts';
import { type Engine, JitVcpu } from './jit-vcpu.ts';
import { CELL, type JitLayout, jitLayout, keepsStraddling, OPERATION } from './layout.ts';
import { KeptRuntimes } from './kept-runtimes.ts';
import { type Keep, Linker, PlainLowering } from './linker.ts';
import { HANDLER, HOT, Reason } from './reasons.ts';
import { REGION_CALLEES } from './region-callees.ts';
import { Regions } from './regions.ts';
import { codeWritten, mmioRead, mmioWrite, type Runtime, runtime } from './runtime.ts';

const PAGE = 4096;
const RUNTIMES = new WeakMap<Isa, KeptRuntimes>();

/** All that the run-time module depends on: which functions it has, and where things lie. */
function runtimeKey(options: JitOptions): Keep {
  const { isa, cpus, ramBase, ramSize, areas = [], mapped, compiler, codeStore: store } = options;
  const runtimes = RUNTIMES.get(isa) ?? new KeptRuntimes(isa.name);
  RUNTIMES.set(isa, runtimes);
  const sizes = areas.map(({ size }) => size);
  const engine = [compiler !== undefined, hasFusedMultiplyAdd()];
  return { runtimes, key: JSON.stringify([cpus, ramBase, ramSize, sizes, mapped, engine]), store };
}

export interface JitOptions extends AcceleratorOptions {
  /** The space and the states to run on, made by `jitGround` for the same machine; one of its own when left out. */
  readonly ground?: Ground;
  /** How many numbers for handlers there are; for tests. */
  readonly handlerLimit?: number;
}

/** Host functions take physical addresses as f64 and values by way of linear memory. */
export class JitAccelerator implements SpaceAccelerator, Engine {
  readonly name = 'jit';
  readonly isa: Isa;
  readonly space: Space;
  readonly layout: JitLayout;
  readonly ram: Uint8Array;
  readonly vcpus: readonly JitVcpu[];
  readonly cache: CodeCache;
  readonly regions: Regions;
  readonly linker: Linker;
  private readonly board: Board;
  private readonly exports: Record<string, (...args: (number | bigint)[]) => number | bigint>;
  private current: JitVcpu;
  private readonly functions: IsaFunctions;
  private readonly across: AcrossPages;
  private readonly fetcher: Fetcher<{ length: number }>;

  constructor(options: JitOptions) {
    const { isa, cpus, board, compiler, hot = (make) => make() } = options;
    this.isa = isa;
    this.layout = jitLayout(isa, cpus, options);
    this.space = options.ground?.space ?? new Space(this.layout.end, options);
    this.ram = this.space.ramBytes();
    this.board = board;
    const { memory } = this.space;
    const only = cpus === 1 ? this.layout.cpu(0) : undefined;
    this.functions = isa.bind(this.space.physical);
    const run: Runtime = runtime(isa, this.space, this.layout);
    const { view } = this.space;
    const host = {
      ...hostFunctions(board, isa, () => this.current.index),
      [mmioRead.name]: (pa: number, size: number, at: number) =>
        readDevice(board, isa, pa, size, view, at >>> 0) ? 1 : 0,
      [mmioWrite.name]: (pa: number, size: number, at: number) =>
        writeDevice(board, isa, pa, size, view, at >>> 0) ? 1 : 0,
      [codeWritten.name]: (at: number, size: number) => this.cache.drop(at >>> 0, size),
    };
    const aliases = new Map([
      [tlbFlush.name, run.flush],
      [tlbFlushPage.name, run.flushPage],
      [guestRead.name, run.guestRead],
      [guestWrite.name, run.guestWrite],
      [guestFault.name, run.guestFault],
      [guestFaultAddress.name, run.guestFaultAddress],
      [plainPlace.name, run.plainPlace],
    ]);
    this.linker = new Linker(memory, only, host as never, aliases, hot, isa.fields.floatFast);
    const { translate, takeInterrupt, wakes, refresh } = this.functions;
    const world = changed(isa, this.functions, run);
    const translateData = define('translate_data', ['i64'], 'i64', (f, va) =>
      f.return(f.call(translate, va, i32(Access.load))),
    );
    const roots: IrFunction[] = [takeInterrupt, wakes, refresh, world, translateData];
    const across = keepsStraddling(isa) ? undefined : acrossPages(isa, this.space, this.layout);
    if (across) roots.push(across);
    for (const f of Object.values(run)) if (f) roots.push(f);
    if (compiler) roots.push(...(isa.shared ?? []));
    const emitExtra: Parameters<Linker['linkRuntime']>[1] = (calleeOf, builder) => {
      const lowering = new PlainLowering(only, calleeOf);
      const types = { region: builder.type(REGION), handler: builder.type(HANDLER) };
      const acrossAt = across && calleeOf(across);
      return new Map([
        ['run', { ...emitRun(isa, lowering, types, calleeOf(run.fetchPage), calleeOf(world), acrossAt), type: RUN }],
        ['resume', { ...emitResume(isa, lowering, types, calleeOf(run.knownPage), acrossAt), type: RESUME }],
        ['goto', { ...emitGoto(isa, lowering, types.region, calleeOf(run.knownPage)), type: REGION }],
      ]);
    };
    this.exports = this.linker.linkRuntime(roots, emitExtra, runtimeKey(options)) as never;
    const handlers = new HandlerTable(isa, this.linker, run, options.handlerLimit);
    this.cache = new CodeCache(this.space, this.layout, handlers, isa);
    this.across = new AcrossPages(this.space, this.layout);
    this.cache.onRenumber = () => this.across.clear();
    this.cache.onCode = (at) => this.onEach(() => this.call('protect_page', at | 0));
    this.linker.provide(REGION_CALLEES.goto, this.exports.goto as never);
    this.linker.provide(REGION_CALLEES.resume, this.exports.resume as never);
    this.regions = new Regions(isa, this.linker, this.cache, memory, compiler?.(), options.codeStore);
    this.regions.onGone = () => this.onEach(() => this.call('forget_jumps', 0));
    this.regions.onHandlers = (made, exports) => handlers.adopt(made, exports);
    this.vcpus = Array.from({ length: cpus }, (_, n) => new JitVcpu(this, n, options.ground?.states[n]));
    const hotAfter = options.compileAfter ?? HOT;
    this.cache.almostHot = hotAfter - 1;
    for (const { state } of this.vcpus) state.setWord(CELL.hot, hotAfter);
    this.current = this.vcpus[0];
    this.fetcher = new Fetcher(
      isa,
      this.space,
      board,
      (va) => this.call(translate.name, BigInt.asIntN(64, va), Access.fetch) as bigint,
      (view, left, mode) => this.cache.measure(view, left, mode),
    );
    this.space.onMapped(() => this.onEach(() => this.call('flush', 0)));
  }

  /** The functions of the run-time module, for the vCPUs of this accelerator. */
  call(name: string, ...args: (number | bigint)[]): number | bigint {
    return this.exports[name](...args);
  }

  enter(vcpu: JitVcpu): void {
    this.current = vcpu;
    if (this.linker.cpu) this.linker.cpu.value = vcpu.state.at;
  }

  /** Does something as each vCPU. */
  private onEach(what: () => void): void {
    const { current } = this;
    for (const vcpu of this.vcpus) {
      this.enter(vcpu);
      what();
    }
    this.enter(current);
  }

  /** Does something as a vCPU. */
  private as<T>(vcpu: JitVcpu, what: () => T): T {
    const { current } = this;
    this.enter(vcpu);
    const result = what();
    this.enter(current);
    return result;
  }

  now(): number {
    return this.board.now();
  }

  /** Carries out what `run` came back for; true when the slice goes on. */
  serve(vcpu: JitVcpu, reason: number): boolean {
    const { state } = vcpu;
    switch (reason) {
      case Reason.decode: {
        const host = this.fetchAddress(vcpu);
        if (host !== undefined) this.cache.decodeAt(this.cache.page(host, state.mode), host % PAGE);
        return true;
      }
      case Reason.hot: {
        const host = this.fetchAddress(vcpu);
        if (host !== undefined) this.request(vcpu, host);
        return true;
      }
      case Reason.page:
        this.cache.page(state.word(CELL.operand), state.mode);
        return true;
      case Reason.straddle:
        return keepsStraddling(this.isa) ? this.straddling(vcpu) : this.single(vcpu);
      case Reason.device:
      case Reason.inside:
      case Reason.single:
        return this.single(vcpu);
      case Reason.illegal:
        this.illegal(vcpu);
        return true;
      default:
        return false;
    }
  }

  /** Raises what the instruction at pc, which is none, raises. */
  private illegal({ state }: JitVcpu): void {
    const { pc } = state;
    const fetched = this.fetcher.fetch(pc, state.mode);
    if (fetched.fault !== undefined) this.raise(fetched.fault, fetched.address, pc);
    else {
      const { cause, tval } = this.isa.illegal(this.fetcher.bytes, state.mode);
      this.raise(cause, tval, pc);
    }
  }

  private raise(cause: number, tval: bigint, pc: bigint): void {
    this.call(this.functions.raise.name, cause, BigInt.asIntN(64, tval), BigInt.asIntN(64, pc));
  }

  /** Asks for a region at the pc, which lies at `host`. */
  private request({ state }: JitVcpu, host: number): void {
    const { pc, mode } = state;
    // First, as it may drop all code: no neighbour is known then.
    this.cache.page(host, mode);
    const neighbour = (distance: bigint): number => {
      const at = this.codeAt(pc + distance);
      return at === undefined ? 0 : this.cache.known(at, mode);
    };
    this.regions.request(host, mode, neighbour(-4096n), neighbour(4096n));
  }

  /** The pc's address in guest memory; undefined when its fetch traps or lies elsewhere. */
  private fetchAddress({ state }: JitVcpu): number | undefined {
    const page = this.call('fetch_page', BigInt.asIntN(64, state.pc)) as number;
    return page >>> 0 <= 2 ? undefined : state.word(CELL.operand);
  }

  /** Decodes the instruction at pc, which reaches into the next page; executes it when that cannot be kept. */
  private straddling(vcpu: JitVcpu): boolean {
    const { pc } = vcpu.state;
    const high = this.call('fetch_half', BigInt.asIntN(64, pc + 2n)) as number;
    if (high >= 0) {
      const page = this.call('fetch_page', BigInt.asIntN(64, pc)) as number;
      if (page >>> 0 <= 2 || this.cache.keepStraddling(page >>> 0, high)) return true;
    }
    this.single(vcpu);
    return true;
  }

  /** Where code at an address lies in linear memory; undefined where a fetch would trap or reach a device. */
  private codeAt(va: bigint): number | undefined {
    const pa = this.call(this.functions.translate.name, BigInt.asIntN(64, va), Access.fetch) as bigint;
    return pa < 0n ? undefined : this.space.hostAt(Number(pa));
  }

  /** Executes one instruction that no decoded page holds, as it must be; false when the CPU now sleeps. */
  private single(vcpu: JitVcpu): boolean {
    const { view } = this.space;
    const budget = vcpu.state.at + CELL.budget;
    for (;;) {
      this.executeOne(vcpu);
      if (view.getInt32(budget, true) <= 0) return true;
      // It may have been any instruction: interrupts and sleep are looked at each time. Who is told to execute one
      // does so, whatever is left: nothing comes between the look and the instruction.
      const reason = this.call('changed') as number;
      if (reason !== Reason.single) return reason !== Reason.halt;
    }
  }

  private executeOne({ state }: JitVcpu): void {
    const { pc, mode } = state;
    const { cache, fetcher } = this;
    const offset = Number(pc & 0xfffn);
    const fetched = fetcher.fetch(pc, mode);
    if (fetched.fault !== undefined) {
      this.raise(fetched.fault, fetched.address, pc);
      return;
    }
    let handler: number | undefined;
    if (fetched.decoded) {
      handler = cache.writeSingle(fetcher.view, fetcher.length, mode, offset);
      if (offset + fetcher.length > PAGE) this.keepAcross(pc, mode, fetcher.length);
    }
    this.execute(state, handler, offset, fetcher.bytes);
  }

  /** Keeps the instruction across pages that stands in the page for single ones, where the dispatcher may run it. */
  private keepAcross(pc: bigint, mode: number, length: number): void {
    const { cache, layout } = this;
    if (keepsStraddling(this.isa)) return;
    const first = this.codeAt(pc);
    const second = this.codeAt((pc | 0xfffn) + 1n);
    if (first === undefined || second === undefined) return;
    const offset = first % PAGE;
    this.across.keep(first, second, mode, length, layout.single + (offset >> layout.page.shift) * OPERATION);
    const page = cache.known(first, mode);
    if (page !== 0) cache.seenStraddling(page, offset);
  }

  /** Executes the operation in the page for single ones, whose bytes are these; without a handler it is none. */
  private execute(state: CpuState, handler: number | undefined, offset: number, bytes: Uint8Array): void {
    const { layout } = this;
    const { view } = this.space;
    const { pc, mode } = state;
    let reason: number = Reason.illegal;
    if (handler !== undefined) {
      view.setBigUint64(state.at + CELL.pageVa, pc & ~0xfffn, true);
      view.setUint32(state.at + CELL.page, layout.single, true);
      const run = this.linker.table.get(handler) as (ip: number, n: number) => number;
      const ip = layout.single + (offset >> layout.page.shift) * OPERATION;
      reason = run(ip, view.getInt32(state.at + CELL.budget, true));
    }
    if (reason !== Reason.illegal) return;
    const { cause, tval } = this.isa.illegal(bytes, mode);
    this.raise(cause, tval, pc);
  }

  written(address: number, length: number): void {
    const { space, cache } = this;
    const whole = space.range(address, length);
    if (whole) cache.drop(whole.byteOffset, whole.length);
    else
      for (let at = address - (address % PAGE); at < address + length; at += PAGE) {
        const host = space.hostAt(at);
        if (host !== undefined) cache.drop(host, PAGE);
      }
  }

  forget(): void {
    this.cache.dropAll();
  }

  /** Drops the cached translations of a CPU. */
  flushTranslations(vcpu: JitVcpu): void {
    this.as(vcpu, () => this.call('flush', 0));
  }

  /** After registers were written from outside: everything derived from them. */
  refresh(vcpu: JitVcpu): void {
    this.as(vcpu, () => {
      this.call(this.functions.refresh.name);
      this.call('enter_regime');
      this.call('flush', 0);
    });
  }

  translate(vcpu: JitVcpu, virtual: bigint): number | undefined {
    const pa = this.as(vcpu, () => this.call('translate_data', BigInt.asIntN(64, virtual)) as bigint);
    return pa < 0n ? undefined : Number(pa);
  }

  describe(): readonly string[] {
    const { compiled, taken, instructions, live } = this.regions;
    return [
      `regions: ${compiled}, ${taken} of them from earlier processes; ${live} are in use`,
      `instructions in regions: ${instructions}`,
      `pages with code: ${this.cache.pages}`,
    ];
  }

  close(): void {
    this.regions.close();
  }
}
