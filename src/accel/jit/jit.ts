/**
 * The JIT accelerator: the interpreter tier, compiled regions and the glue to
 * the host. One instance of everything serves all harts of the machine.
 */
import type { IrqLine } from '../../hw/device.ts';
import { define, type IrFunction } from '../../ir/code.ts';
import { i32 } from '../../ir/value.ts';
import { Decoder } from '../../isa/riscv/decode.ts';
import { firmwareCall, readTime, tlbFlush, tlbFlushPage } from '../../isa/riscv/hooks.ts';
import { Access, mmu } from '../../isa/riscv/mmu.ts';
import { rows } from '../../isa/riscv/rows.ts';
import { Cause } from '../../isa/riscv/state.ts';
import { trap, updateFloat, updateRegime } from '../../isa/riscv/trap.ts';
import type { Accelerator, Board, Exit, Vcpu } from '../accelerator.ts';
import { RiscvHart } from '../riscv-hart.ts';
import { Space } from '../space.ts';
import { CodeCache } from './code-cache.ts';
import { changed, emitGoto, emitRun, REGION, RUN } from './dispatcher.ts';
import type { CompilerPort } from './compiler-port.ts';
import { HandlerTable } from './handler-table.ts';
import { HANDLER, Reason } from './handlers.ts';
import { CELL, DTLB_TABLE, dtlb, type JitLayout, jitLayout, REGIMES } from './layout.ts';
import { Linker, PlainLowering } from './linker.ts';
import { REGION_CALLEES } from './region-callees.ts';
import { Regions } from './regions.ts';
import { codeWritten, mmioRead, mmioWrite, type Runtime, runtime } from './runtime.ts';

export interface JitOptions {
  readonly harts: number;
  readonly ramBase: number;
  readonly ramSize: number;
  readonly board: Board;
  /** A compiler in another thread; without it regions are compiled where they are needed. */
  readonly compiler?: () => CompilerPort | undefined;
  /** Runs `make`; WebAssembly modules made in it are optimised after few calls. */
  readonly hot?: <T>(make: () => T) => T;
}

/** Host functions take addresses as f64 and values by way of `scratch`. */
export class JitAccelerator implements Accelerator {
  readonly name = 'jit';
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
  private readonly mmu: { readonly translate: IrFunction; readonly dataPrivilege: IrFunction };

  constructor({ harts, ramBase, ramSize, board, compiler, hot = (make) => make() }: JitOptions) {
    this.layout = jitLayout(harts, ramSize);
    this.space = new Space(this.layout.end, ramBase, ramSize);
    this.ram = this.space.ramBytes();
    this.board = board;
    const { ram, memory } = this.space;
    const only = harts === 1 ? this.layout.hart(0) : undefined;
    const run: Runtime = runtime(ram, this.layout);
    const host = {
      [mmioRead.name]: (pa: number, size: number) => this.mmioRead(pa, size),
      [mmioWrite.name]: (pa: number, size: number) => this.mmioWrite(pa, size),
      [codeWritten.name]: (pa: number, size: number) => this.codeWritten(pa, size),
      [readTime.name]: () => Math.floor(this.board.now() / 100),
      [firmwareCall.name]: () => this.board.firmwareCall?.(this.current),
    };
    const aliases = new Map([
      [tlbFlush.name, run.flush],
      [tlbFlushPage.name, run.flushPage],
    ]);
    this.linker = new Linker(memory, only, host as never, aliases, hot);
    this.mmu = mmu(ram);
    const world = changed(run);
    const translateData = define('translate_data', ['i64'], 'i64', (f, va) =>
      f.return(f.call(this.mmu.translate, va, i32(Access.load), f.call(this.mmu.dataPrivilege))),
    );
    const roots: IrFunction[] = [...Object.values(run), world, trap, updateFloat, updateRegime, translateData];
    this.exports = this.linker.linkRuntime(roots, (calleeOf, builder) => {
      const lowering = new PlainLowering(only, calleeOf);
      const regionType = builder.type(REGION);
      return new Map([
        [
          'run',
          {
            ...emitRun(lowering, regionType, builder.type(HANDLER), calleeOf(run.fetchPage), calleeOf(world)),
            type: RUN,
          },
        ],
        ['goto', { ...emitGoto(lowering, regionType), type: REGION }],
      ]);
    }) as never;
    const handlers = new HandlerTable(this.linker, run, rows);
    this.cache = new CodeCache(this.space, this.layout, handlers, rows);
    this.linker.provide(REGION_CALLEES.goto, this.exports.goto as never);
    this.regions = new Regions(this.linker, this.cache, memory, compiler?.());
    this.vcpus = Array.from({ length: harts }, (_, n) => new JitVcpu(this, n));
    this.current = this.vcpus[0];
  }

  /** The functions of the run-time module, for the vCPUs of this accelerator. */
  call(name: string, ...args: (number | bigint)[]): number | bigint {
    return this.exports[name](...args);
  }

  enter(vcpu: JitVcpu): void {
    this.current = vcpu;
    if (this.linker.cpu) this.linker.cpu.value = vcpu.hart.at;
  }

  now(): number {
    return this.board.now();
  }

  /** Carries out what `run` came back for; true when the slice goes on. */
  serve(vcpu: JitVcpu, reason: number): boolean {
    const { hart } = vcpu;
    switch (reason) {
      case Reason.decode: {
        const pa = this.fetchAddress(vcpu);
        if (pa !== undefined) this.cache.decodeAt(this.cache.page(pa - (pa % 4096), hart.get32('regime')), pa % 4096);
        return true;
      }
      case Reason.hot: {
        const pa = this.fetchAddress(vcpu);
        if (pa !== undefined) this.request(vcpu, pa);
        return true;
      }
      case Reason.page: {
        const pa = Number(hart.space.view.getBigUint64(hart.at + CELL.operand, true));
        this.newPage(pa - (pa % 4096), hart.get32('regime'));
        return true;
      }
      case Reason.device:
        return this.single(vcpu);
      case Reason.straddle:
        this.straddling(vcpu);
        return true;
      case Reason.illegal: {
        const word = this.wordAtPc(vcpu);
        if (word !== undefined)
          this.call(
            trap.name,
            BigInt(Cause.illegalInstruction),
            BigInt(word >>> 0),
            BigInt.asIntN(64, hart.get64('pc')),
          );
        return true;
      }
      default:
        return false;
    }
  }

  /** Asks for a region at the pc, which lies at `pa`. */
  private request({ hart }: JitVcpu, pa: number): void {
    const pc = hart.get64('pc');
    const regime = hart.get32('regime');
    // First, as it may drop all code: no neighbour is known then.
    this.cache.page(pa - (pa % 4096), regime);
    const neighbour = (distance: bigint): number => {
      const va = BigInt.asIntN(64, pc + distance);
      const at = this.call(this.mmu.translate.name, va, Access.fetch, hart.get32('priv')) as bigint;
      return at < 0n ? 0 : this.cache.known(Number(at), regime);
    };
    this.regions.request(pa, regime, neighbour(-4096n), neighbour(4096n));
  }

  private newPage(pa: number, regime: number): void {
    this.cache.page(pa, regime);
    const host = pa - this.space.ram.base + this.space.ram.host;
    const { current } = this;
    for (const vcpu of this.vcpus) {
      this.enter(vcpu);
      this.call('protect_page', host | 0);
    }
    this.enter(current);
  }

  /** Physical address of the pc, in RAM; undefined when its fetch traps or lies elsewhere. */
  private fetchAddress({ hart }: JitVcpu): number | undefined {
    const page = this.call('fetch_page', BigInt.asIntN(64, hart.get64('pc'))) as number;
    if (page >>> 0 <= 2) return undefined;
    return Number(hart.space.view.getBigUint64(hart.at + CELL.operand, true));
  }

  /** Reads the instruction at pc halfword by halfword, wherever it lies; a fault is raised. */
  private wordAtPc({ hart }: JitVcpu): number | undefined {
    const pc = hart.get64('pc');
    const half = (at: bigint): number | undefined => {
      const va = BigInt.asIntN(64, at);
      const pa = this.call(this.mmu.translate.name, va, Access.fetch, hart.get32('priv')) as bigint;
      const raise = (cause: bigint) => {
        this.call(trap.name, cause, va, BigInt.asIntN(64, pc));
        return undefined;
      };
      if (pa < 0n) return raise(-1n - pa);
      const { base, size, host } = this.space.ram;
      const address = Number(pa);
      if (address >= base && address < base + size) return this.space.view.getUint16(address - base + host, true);
      return this.board.mmioRead(address, 2) ?? raise(BigInt(Cause.instructionAccess));
    };
    const low = half(pc);
    if (low === undefined || Decoder.length(low) === 2) return low;
    const high = half(pc + 2n);
    return high === undefined ? undefined : (low | (high << 16)) >>> 0;
  }

  /** Decodes the instruction at pc, which reaches into the next page; executes it when that cannot be kept. */
  private straddling(vcpu: JitVcpu): void {
    const { hart } = vcpu;
    const pc = hart.get64('pc');
    const high = this.call('fetch_half', BigInt.asIntN(64, pc + 2n)) as number;
    if (high >= 0) {
      const page = this.call('fetch_page', BigInt.asIntN(64, pc)) as number;
      if (page >>> 0 <= 2 || this.cache.decodeStraddling(page >>> 0, high)) return;
    }
    this.single(vcpu);
  }

  /** Executes one instruction that no decoded page holds; false when the hart now sleeps. */
  private single(vcpu: JitVcpu): boolean {
    const { hart } = vcpu;
    const word = this.wordAtPc(vcpu);
    if (word !== undefined) {
      const pc = hart.get64('pc');
      const offset = Number(pc & 0xfffn);
      const handler = this.cache.decodeSingle(word, offset);
      const { view } = this.space;
      view.setBigUint64(hart.at + CELL.pageVa, pc & ~0xfffn, true);
      view.setUint32(hart.at + CELL.page, this.cache.single, true);
      const budget = view.getInt32(hart.at + CELL.budget, true);
      const run = this.linker.table.get(handler) as (ip: number, n: number) => number;
      const reason = run(this.cache.single + (offset >> 1) * 8, budget);
      if (reason === Reason.illegal)
        this.call(trap.name, BigInt(Cause.illegalInstruction), BigInt(word >>> 0), BigInt.asIntN(64, pc));
    }
    // It may have been any instruction: interrupts and sleep are looked at each time.
    return this.call('changed') === 0;
  }

  private mmioRead(pa: number, size: number): number {
    const { view } = this.space;
    const at = this.current.hart.at + CELL.scratch;
    if (size === 8) {
      const low = this.board.mmioRead(pa, 4);
      const high = this.board.mmioRead(pa + 4, 4);
      if (low === undefined || high === undefined) return 0;
      view.setUint32(at, low, true);
      view.setUint32(at + 4, high, true);
      return 1;
    }
    const value = this.board.mmioRead(pa, size as 1 | 2 | 4);
    if (value === undefined) return 0;
    view.setUint32(at, value, true);
    view.setUint32(at + 4, 0, true);
    return 1;
  }

  private mmioWrite(pa: number, size: number): number {
    const { view } = this.space;
    const at = this.current.hart.at + CELL.scratch;
    const low = view.getUint32(at, true);
    if (size === 8) {
      const high = view.getUint32(at + 4, true);
      return this.board.mmioWrite(pa, 4, low) && this.board.mmioWrite(pa + 4, 4, high) ? 1 : 0;
    }
    const value = size === 4 ? low : size === 2 ? low & 0xffff : low & 0xff;
    return this.board.mmioWrite(pa, size as 1 | 2 | 4, value) ? 1 : 0;
  }

  private codeWritten(pa: number, size: number): void {
    this.cache.drop(pa, size);
  }

  written(address: number, length: number): void {
    this.cache.drop(address, length);
  }

  /** Drops the cached translations of a hart. */
  flushTranslations(vcpu: JitVcpu): void {
    const { current } = this;
    this.enter(vcpu);
    this.call('flush', 0);
    this.enter(current);
  }

  /** After registers were written from outside: everything derived from them. */
  refresh(vcpu: JitVcpu): void {
    const { current } = this;
    this.enter(vcpu);
    this.call('update_regime');
    this.call('update_float');
    this.call('enter_regime');
    this.call('flush', 0);
    this.enter(current);
  }

  translate(vcpu: JitVcpu, virtual: bigint): number | undefined {
    const { current } = this;
    this.enter(vcpu);
    const pa = this.call('translate_data', BigInt.asIntN(64, virtual)) as bigint;
    this.enter(current);
    return pa < 0n ? undefined : Number(pa);
  }

  close(): void {
    this.regions.close();
  }
}

export class JitVcpu implements Vcpu {
  readonly index: number;
  readonly hart: RiscvHart;
  private readonly jit: JitAccelerator;

  constructor(jit: JitAccelerator, index: number) {
    this.jit = jit;
    this.index = index;
    this.hart = new RiscvHart(jit.space, index, jit.layout.hart(index));
    this.clearTables();
  }

  private clearTables(): void {
    const { view } = this.jit.space;
    const { at } = this.hart;
    for (let regime = 0; regime < REGIMES; regime++) {
      // Tag 0 is the page at address 0, which lies in the first entry. A group of accesses that runs from the
      // last page of the address space into it is looked for in the last entry.
      for (const table of [dtlb(regime, false), dtlb(regime, true)]) {
        view.setBigInt64(at + table, -1n, true);
        view.setBigInt64(at + table + DTLB_TABLE - 16, -1n, true);
      }
    }
    view.setBigInt64(at + CELL.largeLow, -1n, true);
    view.setBigInt64(at + CELL.largeHigh, 0n, true);
    view.setUint32(at + CELL.interpret, 0, true);
  }

  get instructions(): number {
    return this.hart.getNumber('instret');
  }
  irq(input: number): IrqLine {
    return {
      set: (level) => {
        this.hart.setLine(input, level);
      },
    };
  }
  reset(): void {
    this.hart.reset();
    this.jit.refresh(this);
  }
  kick(): void {
    this.hart.set32('attention', 1);
  }
  registerNames(): readonly string[] {
    return this.hart.registerNames();
  }
  readRegister(name: string): bigint {
    return this.hart.readRegister(name);
  }
  writeRegister(name: string, value: bigint): void {
    this.hart.writeRegister(name, value);
    this.jit.refresh(this);
  }
  translate(virtual: bigint): number | undefined {
    return this.jit.translate(this, virtual);
  }
  flushTranslations(): void {
    this.jit.flushTranslations(this);
  }

  run(instructions: number): Exit {
    const { jit, hart } = this;
    if (hart.get32('stopped')) return { kind: 'stopped' };
    const { view } = jit.space;
    jit.regions.poll();
    jit.enter(this);
    const deadline = hart.compareTime(Math.floor(jit.now() / 100)) * 100;
    jit.call('enter_regime');
    if (jit.call('changed') !== 0) return { kind: 'halt', deadline };
    hart.set32('attention', 0);
    const budget = hart.at + CELL.budget;
    view.setInt32(budget, instructions, true);
    view.setInt32(hart.at + CELL.given, instructions, true);
    let reason: number;
    do reason = jit.call('run') as number;
    while (jit.serve(this, reason) && view.getInt32(budget, true) > 0);
    const left = view.getInt32(budget, true);
    const counted = view.getInt32(hart.at + CELL.given, true) - left;
    hart.set64('instret', hart.get64('instret') + BigInt(counted));
    if (reason === Reason.halt) return { kind: 'halt', deadline: hart.compareTime(Math.floor(jit.now() / 100)) * 100 };
    return { kind: 'budget' };
  }

  step(): Exit {
    return this.run(1);
  }
}
