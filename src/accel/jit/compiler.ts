/**
 * From places in guest code to one WebAssembly module of their regions. Knows
 * nothing of instances and tables, so that it runs in a worker as well as in
 * the vCPU's own thread.
 */
import type { Callable } from '../../ir/code.ts';
import { Decoder } from '../../isa/riscv/decode.ts';
import { rows } from '../../isa/riscv/rows.ts';
import { discover } from './cfg.ts';
import { REGION } from './dispatcher.ts';
import { Fixed } from './handlers.ts';
import { calleesOf } from './callees.ts';
import { OPERATION } from './layout.ts';
import { type MemoryImport, ModuleBuilder } from './module.ts';
import { REGION_CALLEES } from './region-callees.ts';
import { plan, RegionEmitter, type RegionPlan } from './region.ts';

/** A place that got hot. */
export interface Job {
  readonly id: number;
  /** The decoded page, and where the code it was decoded from lies in linear memory. */
  readonly page: number;
  readonly host: number;
  /** Bytes from the start of the page. */
  readonly offset: number;
  readonly regime: number;
}

export interface CompilerOptions {
  readonly memory: WebAssembly.Memory;
  /** The address of the one hart's state, or undefined where there are several harts. */
  readonly cpuAddress: number | undefined;
}

export interface Compiled {
  /** Undefined when no job gave a region. */
  readonly bytes: Uint8Array<ArrayBuffer> | undefined;
  /** Names of run-time functions that the module imports. */
  readonly imports: readonly string[];
  /** For each job the number of guest instructions in its region, 0 when there is none; its export is named by the id. */
  readonly regions: readonly { readonly id: number; readonly instructions: number }[];
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
    const plans: { readonly job: Job; readonly plan: RegionPlan }[] = [];
    const callees = new Map<string, Callable>();
    const regions = jobs.map((job) => {
      const blocks = this.discover(job);
      if (blocks.length === 0 || blocks[0].steps.length === 0) return { id: job.id, instructions: 0 };
      plans.push({ job, plan: plan(blocks) });
      let instructions = 0;
      for (const { steps } of blocks) {
        instructions += steps.length;
        for (const { insn } of steps) for (const target of calleesOf(insn.statements)) callees.set(target.name, target);
      }
      return { id: job.id, instructions };
    });
    if (plans.length === 0) return { bytes: undefined, imports: [], regions };
    for (const target of Object.values(REGION_CALLEES)) callees.set(target.name, target);
    const builder = new ModuleBuilder();
    const index = new Map<string, number>();
    for (const [name, target] of callees) index.set(name, builder.importFunction('run', name, target));
    const calleeOf = (target: Callable): number => index.get(target.name) as number;
    for (const { job, plan: region } of plans) {
      const at = builder.declare(String(job.id), REGION);
      builder.define(at, new RegionEmitter(region, job.regime, this.cpuAddress, calleeOf).emit());
      builder.export(String(job.id), at);
    }
    return { bytes: builder.finish(this.memory, this.cpuAddress === undefined), imports: [...callees.keys()], regions };
  }

  private discover({ page, host, offset }: Job) {
    const { view } = this;
    return discover(
      this.decoder,
      {
        half: (at) => view.getUint16(host + at, true),
        executed: (at) => {
          const handler = view.getUint16(page + (at >> 1) * OPERATION, true);
          return handler === Fixed.pageEnd || handler >= Fixed.first;
        },
      },
      offset,
    );
  }
}
