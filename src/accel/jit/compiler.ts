/**
 * From places in guest code to one WebAssembly module of their regions. Knows
 * nothing of instances and tables, so that it runs in a worker as well as in
 * the vCPU's own thread.
 */
import type { Callable } from '../../ir/code.ts';
import type { Decoded, Isa } from '../../isa/isa.ts';
import { type Block, discover, type Step } from './cfg.ts';
import { REGION } from './goto.ts';
import { Fixed, HANDLER_LIMIT } from './reasons.ts';
import { calleesOf } from './callees.ts';
import { type CommonHandlers, compileCommon } from './common-handlers.ts';
import { OPERATION, type PageLayout, pageLayout } from './layout.ts';
import { type MemoryImport, ModuleBuilder } from './module.ts';
import { REGION_CALLEES } from './region-callees.ts';
import { RegionEmitter } from './region.ts';
import { type Neighbour, plan, type RegionPlan } from './region-plan.ts';
import { WrittenRegions } from './written-regions.ts';

const PAGE = 4096;

export interface CodePlace {
  readonly page: number;
  readonly host: number;
}

/** A place that got hot. */
export interface Job {
  readonly id: number;
  /** The decoded page, and where the code it was decoded from lies in linear memory. */
  readonly page: number;
  readonly host: number;
  /** The same of the pages before and behind it, where they are known. */
  readonly before: CodePlace | undefined;
  readonly behind: CodePlace | undefined;
  /** Bytes from the start of the page. */
  readonly offset: number;
  readonly mode: number;
}

export interface CompilerOptions {
  /** Name of the instruction set. */
  readonly isa: string;
  readonly lacks: readonly string[];
  readonly memory: WebAssembly.Memory;
  /** The address of the one CPU's state, or undefined where there are several CPUs. */
  readonly cpuAddress: number | undefined;
}

/** What became of a job. The region is exported under the job's id. */
export interface RegionResult {
  readonly id: number;
  /** Guest instructions; 0 when there is no region. */
  readonly instructions: number;
  /** The decoded pages whose code it holds, the entry's first. */
  readonly pages: readonly number[];
}

export interface Compiled {
  /** Undefined when no job gave a region. */
  readonly bytes: Uint8Array<ArrayBuffer> | undefined;
  /** Names of run-time functions that the module imports. */
  readonly imports: readonly string[];
  readonly regions: readonly RegionResult[];
}

export class RegionCompiler {
  private readonly isa: Isa;
  private readonly layout: PageLayout;
  private readonly view: DataView;
  private readonly cpuAddress: number | undefined;
  private readonly memory: MemoryImport;
  private readonly written = new WrittenRegions();

  constructor(isa: Isa, { memory, cpuAddress }: Omit<CompilerOptions, 'isa' | 'lacks'>) {
    this.isa = isa;
    this.layout = pageLayout(isa.granule);
    this.view = new DataView(memory.buffer);
    const pages = memory.buffer.byteLength / 65536;
    this.memory = { initial: pages, maximum: pages };
    this.cpuAddress = cpuAddress;
  }

  /** The Isa's common handlers as one module. */
  commonHandlers(): CommonHandlers {
    return compileCommon(this.isa, this.cpuAddress);
  }

  compile(jobs: readonly Job[]): Compiled {
    const plans: { readonly job: Job; readonly plan: RegionPlan; readonly neighbours: readonly Neighbour[] }[] = [];
    const callees = new Map<string, Callable>();
    const regions = jobs.map((job) => {
      const blocks = this.discover(job);
      const first = blocks[0];
      const nothing = first === undefined || (first.steps.length === 0 && first.end.kind !== 'system');
      if (nothing) return { id: job.id, instructions: 0, pages: [] };
      let instructions = 0;
      const used = { before: false, behind: false };
      const note = ({ insn, offset, decoded }: Step) => {
        instructions++;
        if (offset < 0) used.before = true;
        if (offset + decoded.length > PAGE) used.behind = true;
        for (const target of calleesOf(insn.statements)) callees.set(target.name, target);
      };
      for (const { steps, end } of blocks) {
        for (const step of steps) note(step);
        if (end.kind === 'system') note(end.step);
      }
      const neighbours: Neighbour[] = [];
      if (used.before && job.before) neighbours.push({ distance: -PAGE, page: job.before.page });
      if (used.behind && job.behind) neighbours.push({ distance: PAGE, page: job.behind.page });
      this.written.add(job.host + job.offset, job.mode, instructions);
      plans.push({ job, plan: plan(blocks), neighbours });
      return { id: job.id, instructions, pages: [job.page, ...neighbours.map(({ page }) => page)] };
    });
    if (plans.length === 0) return { bytes: undefined, imports: [], regions };
    for (const target of Object.values(REGION_CALLEES)) callees.set(target.name, target);
    const builder = new ModuleBuilder();
    const index = new Map<string, number>();
    for (const [name, target] of callees) index.set(name, builder.importFunction('run', name, target));
    const calleeOf = (target: Callable): number => index.get(target.name) as number;
    for (const { job, plan: region, neighbours } of plans) {
      const at = builder.declare(String(job.id), REGION);
      builder.define(at, new RegionEmitter(this.isa, region, job.mode, this.cpuAddress, neighbours, calleeOf).emit());
      builder.export(String(job.id), at);
    }
    return { bytes: builder.finish(this.memory, this.cpuAddress === undefined), imports: [...callees.keys()], regions };
  }

  private discover({ page, host, offset, mode, before, behind }: Job): Block[] {
    const { view, isa, layout } = this;
    const places = [before, { page, host }, behind];
    const placeOf = (at: number): CodePlace | undefined => places[Math.floor(at / PAGE) + 1];
    const inPage = (at: number) => at & (PAGE - 1);
    return discover(
      isa,
      {
        mode,
        known: (at) => placeOf(at) !== undefined,
        executed: (at) => {
          const place = placeOf(at);
          if (!place) return false;
          const handler = view.getUint16(place.page + (inPage(at) >> layout.shift) * OPERATION, true);
          return (
            handler === Fixed.pageEnd ||
            handler === Fixed.straddleKnown ||
            handler === Fixed.straddleSeen ||
            handler >= Fixed.first
          );
        },
        entered: (at) => {
          const place = placeOf(at);
          if (!place) return false;
          const side = place.page + layout.side + (inPage(at) >> layout.shift) * 4;
          return this.written.isWorthEntering(
            place.host + inPage(at),
            mode,
            view.getInt32(side, true) >= HANDLER_LIMIT,
          );
        },
        decode: (at) => {
          const place = placeOf(at);
          if (!place) return undefined;
          const left = PAGE - inPage(at);
          const decoded = isa.decode(view, place.host + inPage(at), left, mode);
          if (decoded !== 'beyond') return decoded;
          const next = placeOf(at + left);
          return next && this.decodeAcross(place.host + inPage(at), left, next.host, mode);
        },
      },
      offset,
    );
  }

  /** The instruction whose first `left` bytes are at `first` and the others at `second`. */
  private decodeAcross(first: number, left: number, second: number, mode: number): Decoded | undefined {
    const { view, isa } = this;
    const bytes = new DataView(new ArrayBuffer(isa.maxLength));
    for (let n = 0; n < isa.maxLength; n++) bytes.setUint8(n, view.getUint8(n < left ? first + n : second + n - left));
    const decoded = isa.decode(bytes, 0, isa.maxLength, mode);
    return decoded === 'beyond' ? undefined : decoded;
  }
}
