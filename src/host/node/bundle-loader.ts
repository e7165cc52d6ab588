/**
 * Runs a bundle (tools/bundle.ts) with the code that V8 compiled for an earlier
 * run of its kind. Node's own compile cache keeps no function that is compiled
 * when it is first called, which is nearly all of them.
 *
 * Also turns a bundle's places in stack traces into those of the sources.
 */
import { readFileSync } from 'node:fs';
import module from 'node:module';
import path from 'node:path';
import v8 from 'node:v8';
import vm from 'node:vm';
import { budgetFlag, REGIONS_BUDGET } from './jit-budget.ts';
import { replaceFile } from './replace-file.ts';

declare global {
  interface ImportMeta {
    /** Where compiled code is kept, in a bundle that this loader runs. */
    readonly codeCache?: string;
  }
}

/** How long after its start (ms) a program is taken to have started: later V8 forgets code that ran once. */
const STARTED = 1500;
/** Code is written again when a run has compiled so much more than is kept. */
const GROWTH = 1.1;
/** At the end of a script: what tells it from others (V8 looks at lengths only). */
const IDENTITY = 11;
/** Behind the code: how much there was on V8's heap, and of which script. */
const TRAILER = 8 + IDENTITY;

interface Kept {
  readonly code: Buffer;
  /** Of all code on V8's heap. */
  readonly size: number;
}

/** The exports of a bundle; `codeCache` is a directory, which need not exist. Without one no code is kept. */
export function load(file: string, codeCache: string | undefined): unknown {
  // V8 takes code only where all of its flags are as they were when it was written.
  if (codeCache !== undefined) v8.setFlagsFromString(budgetFlag(REGIONS_BUDGET));
  const text = readFileSync(file, 'latin1');
  const identity = text.slice(-IDENTITY);
  const place = codeCache === undefined ? undefined : path.join(codeCache, path.basename(file));
  const kept = place === undefined ? undefined : readKept(place, identity);
  const script = new vm.Script(text, {
    filename: file,
    cachedData: kept?.code,
    importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  });
  mapPlaces(file);
  if (place !== undefined) keepLater(script, place, identity, kept);
  // What else is kept is of this script only.
  const own = codeCache && path.join(codeCache, Buffer.from(identity).toString('hex'));
  const made: { exports: unknown; readonly codeCache: string | undefined } = { exports: {}, codeCache: own };
  script.runInThisContext()(made.exports, module.createRequire(file), made, file, path.dirname(file));
  return made.exports;
}

/** Keeps what has been compiled when the program has started, if it is much more than was kept. */
function keepLater(script: vm.Script, place: string, identity: string, kept: Kept | undefined): void {
  const size = script.cachedDataRejected === false ? (kept?.size ?? 0) : 0;
  const keep = () => {
    const now = v8.getHeapCodeStatistics().bytecode_and_metadata_size;
    if (now > size * GROWTH) write(place, identity, { code: script.createCachedData(), size: now });
  };
  const timer = setTimeout(() => {
    process.off('exit', keep);
    keep();
  }, STARTED).unref();
  process.once('exit', () => clearTimeout(timer)).once('exit', keep);
}

function readKept(file: string, identity: string): Kept | undefined {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch {
    return undefined;
  }
  const end = bytes.length - TRAILER;
  if (end < 0 || bytes.toString('latin1', end + 8) !== identity) return undefined;
  return { code: bytes.subarray(0, end), size: bytes.readDoubleLE(end) };
}

function write(file: string, identity: string, { code, size }: Kept): void {
  const trailer = Buffer.alloc(TRAILER);
  trailer.writeDoubleLE(size);
  trailer.write(identity, 8, 'latin1');
  replaceFile(file, Buffer.concat([code, trailer]));
}

/** Stack traces name sources; the map is read when there is a trace to be shown. */
function mapPlaces(file: string): void {
  let map: module.SourceMap | undefined;
  const mapped = (text: string): string => {
    const at = text.indexOf(`${file}:`);
    const found = at < 0 ? null : /^(\d+):(\d+)/.exec(text.slice(at + file.length + 1));
    if (!found) return text;
    map ??= new module.SourceMap(JSON.parse(readFileSync(`${file}.map`, 'utf8')));
    const origin = map.findOrigin(Number(found[1]), Number(found[2]));
    if (!('fileName' in origin)) return text;
    const source = path.resolve(path.dirname(file), origin.fileName);
    const rest = text.slice(at + file.length + 1 + found[0].length);
    return `${text.slice(0, at)}${source}:${origin.lineNumber}:${origin.columnNumber}${rest}`;
  };
  Error.prepareStackTrace = (error, sites) =>
    [String(error), ...sites.map((site) => `    at ${mapped(String(site))}`)].join('\n');
}
