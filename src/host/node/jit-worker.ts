/** The worker's side of `jit-compiler.ts`: takes jobs, several at a time, and sends back compiled modules. */
import { type MessagePort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { loadIsa } from '../../accel/isas.ts';
import { type CompilerOptions, type Job, RegionCompiler, shapeOf } from '../../accel/jit/compiler.ts';
import type { CommonHandlers } from '../../accel/jit/common-handlers.ts';
import type { FromCompiler, ToCompiler } from '../../accel/jit/compiler-port.ts';
import { KeptRegions } from '../../accel/jit/kept-regions.ts';
import { StoredModules } from '../../accel/jit/stored-modules.ts';
import { giveWay } from './background.ts';
import { codeStore } from './code-store.ts';
import { hot } from './jit-tiering.ts';

giveWay();
const { port, isa: expected } = workerData as { readonly port: MessagePort; readonly isa?: string };
/** Jobs in one module at most: more would keep the first of them waiting. */
const BATCH = 8;
// Loaded ahead; what goes wrong is said when it is asked for.
if (expected !== undefined) loadIsa(expected).catch(() => {});
let compiler: RegionCompiler | undefined;
let kept: KeptRegions | undefined;
/** What handlers and regions depend on. */
let shape = '';
const jobs: Job[] = [];
/** New regions are kept when there are so many, or some and nothing was to be done for so long, or few for long. */
const MANY = 1000;
const SOME = 64;
const IDLE_MS = 300;
const LONG_IDLE_MS = 30_000;
let idle: NodeJS.Timeout | undefined;
/** The common handlers are wanted. */
let handlersWanted = false;

function take(message: ToCompiler): void {
  if (message.kind === 'begin') void begin(message.options);
  else if (message.kind === 'handlers') handlersWanted = true;
  else jobs.push(...message.jobs);
}

async function begin(options: CompilerOptions): Promise<void> {
  const isa = await loadIsa(options.isa, options.lacks);
  shape = shapeOf(options);
  const store = codeStore();
  kept = store && new KeptRegions(store, shape);
  compiler = new RegionCompiler(isa, options, kept);
  if (kept)
    port.postMessage({ module: undefined, imports: [], regions: [], starts: kept.starts.bits } satisfies FromCompiler);
  work();
}

port.on('message', (first: ToCompiler) => {
  take(first);
  for (let more = receiveMessageOnPort(port); more; more = receiveMessageOnPort(port)) take(more.message as ToCompiler);
  work();
});

/** The common handlers, from an earlier process where one has made them. */
function handlers(ready: RegionCompiler): Omit<FromCompiler, 'regions'> {
  const compile = (bytes: Uint8Array<ArrayBuffer>) => hot(() => new WebAssembly.Module(bytes));
  const store = codeStore();
  const stored = store && new StoredModules<Omit<CommonHandlers, 'bytes'>>('handlers', store);
  const found = stored?.read(shape, compile);
  if (found) return { ...found.head, module: found.module };
  const { bytes, ...head } = ready.commonHandlers();
  if (bytes) stored?.write(shape, head, bytes);
  return { ...head, module: bytes && compile(bytes) };
}

function work(): void {
  if (handlersWanted && compiler) {
    handlersWanted = false;
    port.postMessage({ ...handlers(compiler), regions: [] } satisfies FromCompiler);
  }
  while (jobs.length > 0 && compiler) {
    // The newest first: what got hot long ago may be cold by now.
    const batch = jobs.splice(-BATCH);
    const { bytes, imports, callers, regions } = compiler.compile(batch);
    const answer: FromCompiler = { module: bytes && new WebAssembly.Module(bytes), imports, callers, regions };
    port.postMessage(answer);
    if (kept && kept.unwritten >= MANY) kept.write();
    for (let more = receiveMessageOnPort(port); more; more = receiveMessageOnPort(port))
      take(more.message as ToCompiler);
  }
  if (kept && kept.unwritten > 0) {
    clearTimeout(idle);
    idle = setTimeout(() => kept?.write(), kept.unwritten >= SOME ? IDLE_MS : LONG_IDLE_MS);
  }
}
