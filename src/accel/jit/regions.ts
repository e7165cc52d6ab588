/**
 * Gets regions compiled when places get hot, here or in another thread, and
 * lets them go when their code changes.
 */
import type { Isa } from '../../isa/isa.ts';
import type { CodeStore } from '../code-store.ts';
import { calleesOf } from './callees.ts';
import type { CodeCache } from './code-cache.ts';
import type { CommonHandler } from './common-handlers.ts';
import { type CodePlace, type Job, RegionCompiler, shapeOf } from './compiler.ts';
import type { CompilerPort, FromCompiler } from './compiler-port.ts';
import { HANDLER_LIMIT, REGION_LIMIT } from './reasons.ts';
import { type Caller, KeptRegions } from './kept-regions.ts';
import { KnownStarts } from './known-starts.ts';
import type { Linker } from './linker.ts';

/** Jobs that wait for the compiler at most; what is hot beyond that will be hot again. */
const MOST_PENDING = 256;
const MOST_REFUSED = 65536;
/** Jobs are posted together, once in so many polls. */
const POLLS_A_POST = 3;

interface Region {
  /** Its number in the table. */
  readonly number: number;
  /** Where it is entered. */
  readonly page: number;
  readonly offset: number;
  /** The decoded pages whose code it holds. */
  readonly pages: readonly number[];
}

export class Regions {
  private readonly isa: Isa;
  private readonly linker: Linker;
  private readonly cache: CodeCache;
  private readonly port: CompilerPort | undefined;
  private readonly compiler: RegionCompiler | undefined;
  private readonly kept: KeptRegions | undefined;
  /** The regions that hold code of each decoded page. */
  private readonly byPage = new Map<number, Set<Region>>();
  private readonly pending = new Map<number, Job>();
  private readonly places = new Set<number>();
  /** Where no region was kept though it seemed so. */
  private readonly refused = new Set<number>();
  private readonly free: number[] = [];
  private next = HANDLER_LIMIT;
  private nextJob = 1;
  /** Jobs not yet posted, and how many polls the first of them has waited. */
  private queue: Job[] = [];
  private waited = 0;
  /** Common handlers are being made. */
  private awaited = false;
  /** Takes in handlers that were made ahead: exported by their position in the list. */
  onHandlers: (handlers: readonly CommonHandler[], exports: WebAssembly.Exports) => void = () => {};
  /** Called when regions have gone: nothing may lead to them. */
  onGone: () => void = () => {};
  /** Regions and guest instructions compiled so far. */
  compiled = 0;
  /** How many of the regions were kept by an earlier process. */
  taken = 0;
  instructions = 0;

  /** `store` keeps what is compiled here; a compiler behind a port has its own. */
  constructor(
    isa: Isa,
    linker: Linker,
    cache: CodeCache,
    memory: WebAssembly.Memory,
    port: CompilerPort | undefined,
    store?: CodeStore,
  ) {
    this.isa = isa;
    this.linker = linker;
    this.cache = cache;
    this.port = port;
    const options = { memory, cpuAddress: linker.cpuAddress, isa: isa.name, lacks: isa.lacks ?? [] };
    if (port) {
      port.post({ kind: 'begin', options });
      this.awaited = isa.common !== undefined;
      if (this.awaited) port.post({ kind: 'handlers' });
    } else {
      this.kept = store && new KeptRegions(store, shapeOf(options));
      this.compiler = new RegionCompiler(isa, options, this.kept);
      if (this.kept) cache.starts = this.kept.starts;
    }
    cache.onDrop = (page) => this.drop(page);
  }

  /**
   * Asks for the region that begins at `host`, an address of guest memory, in `mode`;
   * `before` and `behind` are the decoded pages next to it in virtual addresses, 0 where there is none.
   */
  request(host: number, mode: number, before: number, behind: number): void {
    const offset = host % 4096;
    const page = this.cache.page(host, mode);
    const place = page + offset;
    if (this.places.has(place) || this.pending.size >= MOST_PENDING) {
      this.cache.cool(page, offset);
      return;
    }
    const job: Job = {
      id: this.nextJob++,
      page,
      host: this.cache.hostOf(page),
      offset,
      mode,
      early: this.cache.isKnownStart(page, offset) && !this.refused.has(place),
      before: this.place(before),
      behind: this.place(behind),
    };
    if (before !== 0) this.cache.watchStraddling(before, page);
    if (behind !== 0) this.cache.watchStraddling(page, behind);
    this.pending.set(job.id, job);
    this.places.add(place);
    if (this.port) {
      // Nobody asks again until there is an answer.
      this.cache.decline(page, offset);
      this.queue.push(job);
    } else if (this.compiler) {
      const { bytes, imports, callers, regions } = this.compiler.compile([job]);
      this.install({ module: bytes && new WebAssembly.Module(bytes), imports, callers, regions });
    }
  }

  private place(page: number): CodePlace | undefined {
    return page === 0 ? undefined : { page, host: this.cache.hostOf(page) };
  }

  /** Takes in what another thread has compiled. */
  poll(): void {
    if (!this.port || (this.pending.size === 0 && !this.awaited)) return;
    // Waking the other thread costs more than a little waiting.
    if (this.queue.length > 0 && ++this.waited >= POLLS_A_POST) {
      this.port.post({ kind: 'jobs', jobs: this.queue });
      this.queue = [];
      this.waited = 0;
    }
    for (let done = this.port.receive(); done; done = this.port.receive()) this.install(done);
  }

  private install({ module, imports, callers, regions, handlers, starts }: FromCompiler): void {
    if (starts) this.cache.starts = new KnownStarts(starts);
    for (const [name, caller] of callers ?? []) if (!this.linker.has(name)) this.linkCalleesOf(caller);
    const exports = module ? this.linker.instantiateRegions(module, imports) : {};
    if (handlers) {
      this.awaited = false;
      this.onHandlers(handlers, exports);
    }
    for (const { id, instructions, pages, later, kept } of regions) {
      const job = this.pending.get(id);
      if (!job) continue; // its code has changed meanwhile
      this.pending.delete(id);
      this.places.delete(job.page + job.offset);
      if (later) {
        if (this.refused.size >= MOST_REFUSED) this.refused.clear();
        this.refused.add(job.page + job.offset);
        this.cache.cool(job.page, job.offset);
        continue;
      }
      if (instructions === 0 || (this.free.length === 0 && this.next === REGION_LIMIT)) {
        this.cache.decline(job.page, job.offset);
        continue;
      }
      const around = { entry: job.page, before: job.before?.page ?? 0, behind: job.behind?.page ?? 0 };
      // What has not been executed here may have been written meanwhile, without anybody noticing.
      if (kept && !this.cache.cover(around, kept)) {
        this.cache.cool(job.page, job.offset);
        continue;
      }
      const number = this.allocate();
      this.linker.table.set(number, exports[String(id)]);
      this.cache.setRegion(job.page, job.offset, number);
      const region: Region = { number, page: job.page, offset: job.offset, pages };
      for (const page of pages) {
        const set = this.byPage.get(page);
        if (set) set.add(region);
        else this.byPage.set(page, new Set([region]));
      }
      this.compiled++;
      if (kept) this.taken++;
      this.instructions += instructions;
    }
  }

  /** What an instruction calls that has not been executed here yet. */
  private linkCalleesOf({ mode, bytes }: Caller): void {
    const view = new DataView(new ArrayBuffer(this.isa.maxLength));
    for (let n = 0; 2 * n < bytes.length; n++) view.setUint8(n, Number.parseInt(bytes.slice(2 * n, 2 * n + 2), 16));
    const decoded = this.isa.decode(view, 0, this.isa.maxLength, mode);
    if (decoded === undefined || decoded === 'beyond') return;
    // With nothing known of the state it calls all that it may call with more known.
    this.linker.need(calleesOf(this.isa.build(decoded, mode, undefined).statements));
  }

  private allocate(): number {
    const number = this.free.pop() ?? this.next++;
    if (number >= this.linker.table.length) this.linker.table.grow(this.linker.table.length);
    return number;
  }

  private drop(page: number): void {
    const gone = this.byPage.get(page);
    if (gone && gone.size > 0) this.onGone();
    for (const region of gone ?? []) {
      this.linker.table.set(region.number, null);
      this.free.push(region.number);
      if (region.page !== page) this.cache.unsetRegion(region.page, region.offset);
      for (const other of region.pages) if (other !== page) this.byPage.get(other)?.delete(region);
    }
    this.byPage.delete(page);
    for (const [id, job] of this.pending) {
      if (job.page !== page && job.before?.page !== page && job.behind?.page !== page) continue;
      this.pending.delete(id);
      this.places.delete(job.page + job.offset);
      if (job.page !== page) this.cache.cool(job.page, job.offset);
    }
  }

  get live(): number {
    return this.next - HANDLER_LIMIT - this.free.length;
  }

  close(): void {
    this.port?.close();
    if (this.kept && this.kept.unwritten > 0) this.kept.write();
  }
}
