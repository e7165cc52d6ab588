/** Compiles regions when places get hot, and lets them go when their code changes. */
import { type Callable, hostFunction } from '../../ir/code.ts';
import type { Space } from '../space.ts';
import { discover } from './cfg.ts';
import type { CodeCache } from './code-cache.ts';
import { REGION } from './dispatcher.ts';
import { HANDLER_LIMIT } from './handlers.ts';
import { calleesOf, type Linker } from './linker.ts';
import { plan, RegionEmitter } from './region.ts';
import type { Runtime } from './runtime.ts';

export class Regions {
  private readonly linker: Linker;
  private readonly cache: CodeCache;
  private readonly runtime: Runtime;
  private readonly space: Space;
  private readonly goto: Callable = hostFunction('goto', REGION.params, REGION.result);
  /** Table numbers of the regions of each decoded page. */
  private readonly byPage = new Map<number, number[]>();
  private readonly free: number[] = [];
  private next = HANDLER_LIMIT;
  /** Regions and guest instructions compiled so far. */
  compiled = 0;
  instructions = 0;

  constructor(linker: Linker, cache: CodeCache, runtime: Runtime, space: Space, goto: WebAssembly.ExportValue) {
    this.linker = linker;
    this.cache = cache;
    this.runtime = runtime;
    this.space = space;
    linker.provide(this.goto, goto);
    cache.onDrop = (page) => this.drop(page);
  }

  /** Compiles the region that begins at physical address `pa` in `regime`. */
  compile(pa: number, regime: number): void {
    const offset = pa % 4096;
    const page = this.cache.page(pa - offset, regime);
    const host = this.cache.hostOf(page);
    const { view } = this.space;
    const blocks = discover(this.cache.decoder, (at) => view.getUint16(host + at, true), offset);
    if (blocks.length === 0 || blocks[0].steps.length === 0) {
      this.cache.decline(page, offset);
      return;
    }
    const region = plan(blocks);
    const callees: Callable[] = [this.goto, this.runtime.slowLoad, this.runtime.slowStore];
    for (const { steps } of blocks) for (const { insn } of steps) callees.push(...calleesOf(insn.statements));
    const exports = this.linker.link(callees, (builder, calleeOf) => {
      const emitter = new RegionEmitter(
        region,
        regime,
        this.linker.cpuAddress,
        { goto: this.goto, runtime: this.runtime },
        calleeOf,
      );
      const at = builder.declare('region', REGION);
      builder.define(at, emitter.emit());
      builder.export('region', at);
    });
    const number = this.allocate();
    this.linker.table.set(number, exports.region);
    this.cache.setRegion(page, offset, number);
    const list = this.byPage.get(page);
    if (list) list.push(number);
    else this.byPage.set(page, [number]);
    this.compiled++;
    for (const { steps } of blocks) this.instructions += steps.length;
  }

  private allocate(): number {
    const number = this.free.pop() ?? this.next++;
    if (number >= this.linker.table.length) this.linker.table.grow(this.linker.table.length);
    return number;
  }

  private drop(page: number): void {
    for (const number of this.byPage.get(page) ?? []) {
      this.linker.table.set(number, null);
      this.free.push(number);
    }
    this.byPage.delete(page);
  }

  get live(): number {
    return this.next - HANDLER_LIMIT - this.free.length;
  }
}
