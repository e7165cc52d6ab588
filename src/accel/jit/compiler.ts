/**
 * From places in guest code to one WebAssembly module of their regions. Knows
 * nothing of instances and tables, so that it runs in a worker as well as in
 * the vCPU's own thread.
 */
import type { Callable } from '../../ir/code.ts';
import { Decoder } from '../../isa/riscv/decode.ts';
import { rows } from '../../isa/riscv/rows.ts';
import { type Block, discover, type Step } from './cfg.ts';
import { REGION } from './dispatcher.ts';
import { Fixed } from './handlers.ts';
import { calleesOf } from './callees.ts';
import { OPERATION } from './layout.ts';
import { type MemoryImport, ModuleBuilder } from './module.ts';
import { REGION_CALLEES } from './region-callees.ts';
import { RegionEmitter } from './region.ts';
import { type Neighbour, plan, type RegionPlan } from './region-plan.ts';

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
  readonly regime: number;
}

export interface CompilerOptions {
  readonly memory: WebAssembly.Memory;
  /** The address of the one hart's state, or undefined where there are several harts. */
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
  private readonly decoder = new Decoder(rows);
  private readonly view: DataView;
  private readonly cpuAddress: number | undefined;
  private readonly memory: MemoryImport;

  constructor({ memory, cpuAddress }: CompilerOptions) {
    this.view = new DataView(memory.buffer);
    const pages = memory.buffer.byteLength / 65536;
    this.memory = { initial: pages, maximum: pages };
    this.cpuAddress = cpuAddress;
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
      builder.define(at, new RegionEmitter(region, job.regime, this.cpuAddress, neighbours, calleeOf).emit());
      builder.export(String(job.id), at);
    }
    return { bytes: builder.finish(this.memory, this.cpuAddress === undefined), imports: [...callees.keys()], regions };
  }

  private discover({ page, host, offset, before, behind }: Job): Block[] {
    const { view } = this;
    const places = [before, { page, host }, behind];
    const placeOf = (at: number): CodePlace | undefined => places[Math.floor(at / PAGE) + 1];
    return discover(
      this.decoder,
      {
        half: (at) => {
          const place = placeOf(at);
          return place && view.getUint16(place.host + (at & (PAGE - 1)), true);
        },
        executed: (at) => {
          const place = placeOf(at);
          if (!place) return false;
          const handler = view.getUint16(place.page + ((at & (PAGE - 1)) >> 1) * OPERATION, true);
          return handler === Fixed.pageEnd || handler === Fixed.straddleKnown || handler >= Fixed.first;
        },
      },
      offset,
    );
  }
}
