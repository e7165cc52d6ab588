/**
 * From places in guest code to one WebAssembly module of their regions. Knows
 * nothing of instances and tables, so that it runs in a worker as well as in
 * the vCPU's own thread.
 */
import type { Decoded, Isa } from '../../isa/isa.ts';
import { type Block, discover, type Step } from './cfg.ts';
import { hasFusedMultiplyAdd } from './fused.ts';
import { REGION } from './goto.ts';
import type { Caller, CodeRange, KeptRegion, KeptRegions, NamedSignature, ReadCode } from './kept-regions.ts';
import { Fixed, HANDLER_LIMIT } from './reasons.ts';
import { calleesOf } from './callees.ts';
import { type CommonHandlers, compileCommon } from './common-handlers.ts';
import { OPERATION, type PageLayout, pageLayout } from './layout.ts';
import { type Body, type MemoryImport, ModuleBuilder } from './module.ts';
import { REGION_CALLEES } from './region-callees.ts';
import { RegionEmitter } from './region.ts';
import { type Neighbour, plan } from './region-plan.ts';
import { named, neighboursOf, type Range, rangesOf, taken } from './relocation.ts';
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
  /** The place is not hot yet: only a region that is kept is wanted. */
  readonly early: boolean;
}

export interface CompilerOptions {
  /** Name of the instruction set. */
  readonly isa: string;
  readonly lacks: readonly string[];
  readonly memory: WebAssembly.Memory;
  /** The address of the one CPU's state, or undefined where there are several CPUs. */
  readonly cpuAddress: number | undefined;
}

/** All that common handlers and regions depend on besides the program, and the guest's code. */
export function shapeOf({ isa, lacks, cpuAddress }: Omit<CompilerOptions, 'memory'>): string {
  return JSON.stringify([isa, lacks, cpuAddress, hasFusedMultiplyAdd()]);
}

/** What became of a job. The region is exported under the job's id. */
export interface RegionResult {
  readonly id: number;
  /** Guest instructions; 0 when there is no region. */
  readonly instructions: number;
  /** An earlier process made it, of this code; not all of it need have been executed in this process. */
  readonly kept?: readonly CodeRange[] | undefined;
  /** There may be one when the place is asked for again. */
  readonly later?: boolean;
  /** The decoded pages whose code it holds, the entry's first. */
  readonly pages: readonly number[];
}

export interface Compiled {
  /** Undefined when no job gave a region. */
  readonly bytes: Uint8Array<ArrayBuffer> | undefined;
  /** Names of run-time functions that the module imports. */
  readonly imports: readonly string[];
  /** Of those that are not the engine's own, an instruction that calls each. */
  readonly callers: ReadonlyMap<string, Caller>;
  readonly regions: readonly RegionResult[];
}

/** A job with what is to be written for it. */
interface Part {
  readonly job: Job;
  /** 0: there is no region. */
  readonly instructions: number;
  readonly neighbours: readonly Neighbour[];
  /** As in `RegionResult`. */
  readonly kept?: readonly CodeRange[];
  /** Its code, in a module that has these functions; absent where there is no region. */
  readonly body?: (numberOf: NumberOf, callees: readonly NamedSignature[]) => Body;
}
type NumberOf = (target: { readonly name: string }) => number;

const nothing = (job: Job): Part => ({ job, instructions: 0, neighbours: [] });

/** Numbers of functions take one byte up to here. */
const MOST_CALLEES = 128;
/** A region that calls more is not taken. */
const KEPT_CALLEES = 40;

export class RegionCompiler {
  private readonly isa: Isa;
  private readonly layout: PageLayout;
  private readonly view: DataView;
  private readonly cpuAddress: number | undefined;
  private readonly memory: MemoryImport;
  private readonly written = new WrittenRegions();
  private readonly kept: KeptRegions | undefined;

  constructor(isa: Isa, { memory, cpuAddress }: Omit<CompilerOptions, 'isa' | 'lacks'>, kept?: KeptRegions) {
    this.isa = isa;
    this.kept = kept;
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
    const callees = new Map<string, NamedSignature>();
    for (const target of Object.values(REGION_CALLEES)) callees.set(target.name, target);
    const parts = jobs.map(
      (job) => this.keptPart(job, callees) ?? (job.early ? nothing(job) : this.plannedPart(job, callees)),
    );
    const regions = parts.map(({ job: { id, page, early }, instructions, neighbours, kept }) =>
      instructions === 0
        ? { id, instructions, later: early, pages: [] }
        : {
            id,
            instructions,
            kept,
            pages: [page, ...neighbours.map((neighbour) => neighbour.page)],
          },
    );
    if (parts.every(({ body }) => body === undefined))
      return { bytes: undefined, imports: [], callers: new Map(), regions };
    const builder = new ModuleBuilder();
    const index = new Map<string, number>();
    for (const [name, target] of callees) index.set(name, builder.importFunction('run', name, target));
    const numberOf: NumberOf = ({ name }) => index.get(name) as number;
    const inOrder = [...callees.values()];
    for (const { job, body } of parts) {
      if (!body) continue;
      const at = builder.declare(String(job.id), REGION);
      builder.define(at, body(numberOf, inOrder));
      builder.export(String(job.id), at);
    }
    const callers = new Map<string, Caller>();
    for (const { name, caller } of callees.values()) if (caller) callers.set(name, caller);
    const bytes = builder.finish(this.memory, this.cpuAddress === undefined);
    return { bytes, imports: [...callees.keys()], callers, regions };
  }

  /** A region of an earlier process, where there is one of the code that the job is about. */
  private keptPart(job: Job, callees: Map<string, NamedSignature>): Part | undefined {
    if (callees.size > MOST_CALLEES - KEPT_CALLEES) return undefined;
    const kept = this.kept?.find(job.mode, job.offset, this.reader(job));
    if (!kept || kept.callees.length > KEPT_CALLEES) return undefined;
    for (const callee of kept.callees) callees.set(callee.name, callee);
    this.written.add(job.host + job.offset, job.mode, kept.instructions);
    const neighbours = neighboursOf(job, kept.code);
    const body = (numberOf: NumberOf) => taken(kept, numberOf, neighbours);
    // Copies: with a piece of the store's file a message would take all of it.
    const code = kept.code.map(({ start, bytes }) => ({ start, bytes: bytes.slice() }));
    return { job, kept: code, instructions: kept.instructions, neighbours, body };
  }

  private plannedPart(job: Job, callees: Map<string, NamedSignature>): Part {
    const blocks = this.discover(job);
    const steps = blocks.flatMap(({ steps: plain, end }) => (end.kind === 'system' ? [...plain, end.step] : plain));
    if (steps.length === 0) return nothing(job);
    for (const step of steps)
      for (const { name, params, result } of calleesOf(step.insn.statements))
        if (!callees.has(name))
          callees.set(name, { name, params, result, caller: this.kept && this.callerAt(job, step) });
    this.written.add(job.host + job.offset, job.mode, steps.length);
    const ranges = rangesOf(steps);
    const neighbours = neighboursOf(job, ranges);
    const planned = plan(blocks);
    const body: Part['body'] = (numberOf, all) => {
      const { isa, cpuAddress } = this;
      const written = new RegionEmitter(isa, planned, job.mode, cpuAddress, neighbours, numberOf).emit();
      if (this.kept && all.length <= MOST_CALLEES) this.keep(this.kept, job, steps.length, ranges, named(written, all));
      return written;
    };
    return { job, instructions: steps.length, neighbours, body };
  }

  private callerAt(job: Job, step: Step): Caller {
    const read = this.reader(job);
    const bytes = rangesOf([step]).flatMap(({ start, length }) => [...(read(start, length) ?? [])]);
    return { mode: job.mode, bytes: bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('') };
  }

  private keep(
    kept: KeptRegions,
    { mode, offset, ...job }: Job,
    instructions: number,
    ranges: readonly Range[],
    region: Pick<KeptRegion, 'body' | 'callees'>,
  ): void {
    const read = this.reader(job);
    const code = ranges.map(({ start, length }) => ({ start, bytes: read(start, length)?.slice() }));
    kept.add({ mode, offset, instructions, code: code as CodeRange[], ...region }, read);
  }

  /** Reads the code around a job's page. */
  private reader({ host, before, behind }: Pick<Job, 'host' | 'before' | 'behind'>): ReadCode {
    const hosts = [before?.host, host, behind?.host];
    return (start, length) => {
      const at = hosts[Math.floor(start / PAGE) + 1];
      return at === undefined ? undefined : new Uint8Array(this.view.buffer, at + (start & (PAGE - 1)), length);
    };
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
