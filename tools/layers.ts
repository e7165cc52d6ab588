/**
 * Who may import whom: checks the layers of src/, with no cycles and no imports
 * between siblings. `node tools/layers.ts` exits with 1 when it finds anything.
 *
 * The table stands in docs/ARCHITECTURE.md too; this one is what counts.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, relative, resolve, sep } from 'node:path';

const BELOW_MACHINE = ['bits', 'state', 'ir', 'hw', 'isa', 'accel', 'devices', 'storage', 'net'];

/** A layer is a folder of src/; it may import itself and these. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  bits: [],
  state: ['bits'],
  ir: ['bits'],
  hw: ['bits', 'state'],
  isa: ['bits', 'state', 'ir'],
  accel: ['bits', 'state', 'ir', 'isa', 'hw'],
  devices: ['bits', 'state', 'hw'],
  storage: ['bits', 'state', 'hw'],
  net: ['bits', 'state', 'hw'],
  machine: BELOW_MACHINE,
  control: ['bits', 'machine'],
  host: ['bits', 'hw', 'accel', 'storage', 'net', 'control'],
  image: ['bits', 'storage'],
  cli: [...BELOW_MACHINE, 'machine', 'control', 'host', 'image'],
  daemon: [...BELOW_MACHINE, 'machine', 'control', 'host', 'image'],
  web: [...BELOW_MACHINE, 'machine', 'control', 'host', 'image'],
};

/** In these a folder may not import its neighbours; files beside the folders are shared. */
const SIBLINGS_APART = ['isa', 'devices', 'host'];
/** But these are made for their neighbours. */
const SHARED_SIBLINGS = ['isa/softfloat'];

/** Only here may Node's built-ins be imported. */
const NODE_FOLDERS = ['host/node', 'cli', 'daemon'];

interface Import {
  readonly specifier: string;
  readonly line: number;
  /** `new URL('./worker.ts', import.meta.url)`: another thread's entry, so it cannot make a cycle. */
  readonly thread: boolean;
}

const STATIC = /^[ \t]*(?:import|export)\b(?:[^'"`;]*?\bfrom)?\s*(['"])([^'"\n]+)\1/gm;
const DYNAMIC = /\bimport\(\s*(['"])([^'"\n]+)\1/g;
const THREAD = /\bnew URL\(\s*(['"])(\.[^'"\n]+\.ts)\1,\s*import\.meta\.url/g;
const STATEMENT = /^[ \t]*import\b(?!\s*[.(])/gm;

/** The modules that a source file names. Comment lines do not count. */
export function importsOf(source: string): Import[] {
  const code = source.replace(/^[ \t]*(?:\/\/|\/?\*).*$/gm, '');
  const found: Import[] = [];
  const collect = (pattern: RegExp, thread: boolean): number => {
    const matches = [...code.matchAll(pattern)];
    for (const match of matches) {
      found.push({ specifier: match[2], line: code.slice(0, match.index).split('\n').length, thread });
    }
    return matches.filter((match) => /^\s*import/.test(match[0])).length;
  };
  const read = collect(STATIC, false);
  const statements = code.match(STATEMENT)?.length ?? 0;
  if (read !== statements) throw new Error(`${statements} import statements, of which ${read} could be read`);
  collect(DYNAMIC, false);
  collect(THREAD, true);
  return found;
}

const isTest = (path: string): boolean => path.endsWith('.test.ts');

/** Splits src/isa/riscv/rv64i.ts into its layer and its sibling folder. */
function place(path: string): { layer: string; sibling: string | undefined } {
  const parts = path.split('/');
  return { layer: parts.length > 1 ? parts[0] : '', sibling: parts.length > 2 ? parts[1] : undefined };
}

/** What is wrong with `from` importing `to`, both relative to src with forward slashes. */
function judge(from: string, to: string): string | undefined {
  if (to.startsWith('../')) return 'src may not import what is outside src';
  if (isTest(to)) return 'a test may not be imported';
  const source = place(from);
  const target = place(to);
  if (source.layer === '') return undefined; // the package's entry points stand above every layer
  if (target.layer === '') return 'the entry point may not be imported from within';
  if (source.layer !== target.layer) {
    const allowed = ALLOWED[source.layer];
    if (allowed.includes(target.layer)) return undefined;
    return `${source.layer} may import only ${allowed.join(', ') || 'itself'}`;
  }
  const apart = SIBLINGS_APART.includes(source.layer) && source.sibling !== undefined && target.sibling !== undefined;
  const shared = SHARED_SIBLINGS.includes(`${target.layer}/${target.sibling}`);
  if (apart && !shared && source.sibling !== target.sibling) {
    return `siblings inside ${source.layer} may not import each other`;
  }
  return undefined;
}

/** Depth-first search; every cycle is reported once, by the edge that closes it. */
function cycles(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const found: string[] = [];
  const state = new Map<string, 'open' | 'done'>();
  const path: string[] = [];
  const visit = (node: string): void => {
    state.set(node, 'open');
    path.push(node);
    for (const next of graph.get(node) ?? []) {
      if (state.get(next) === 'open') found.push([...path.slice(path.indexOf(next)), next].join(' -> '));
      else if (!state.has(next)) visit(next);
    }
    path.pop();
    state.set(node, 'done');
  };
  for (const node of graph.keys()) if (!state.has(node)) visit(node);
  return found;
}

export interface Report {
  readonly files: number;
  readonly imports: number;
  readonly violations: readonly string[];
}

/** Checks every TypeScript file under `src`. Throws when there is none. */
export function checkLayers(src: string): Report {
  const violations: string[] = [];
  const graph = new Map<string, string[]>();
  let imports = 0;
  const files = existsSync(src)
    ? readdirSync(src, { recursive: true, encoding: 'utf8' })
        .map((file) => file.split(sep).join('/'))
        .filter((file) => file.endsWith('.ts') && !file.endsWith('.d.ts') && !isTest(file))
        .sort()
    : [];
  if (files.length === 0) throw new Error(`${src}: no TypeScript file was read, so nothing was checked`);
  for (const file of files) {
    const { layer } = place(file);
    const edges: string[] = [];
    graph.set(file, edges);
    if (layer !== '' && !(layer in ALLOWED)) {
      violations.push(`src/${file}: ${layer} is no layer; add it to the table in tools/layers.ts`);
      continue;
    }
    let found: Import[];
    try {
      found = importsOf(readFileSync(join(src, file), 'utf8'));
    } catch (error) {
      violations.push(`src/${file}: ${(error as Error).message}`);
      continue;
    }
    for (const { specifier, line, thread } of found) {
      imports++;
      const where = `src/${file}:${line}: import of '${specifier}'`;
      if (!specifier.startsWith('.')) {
        const node = isBuiltin(specifier) && layer !== '' && !NODE_FOLDERS.some((at) => file.startsWith(`${at}/`));
        if (node) violations.push(`${where}: Node's built-ins belong to ${NODE_FOLDERS.join(', ')}`);
        continue;
      }
      const target = resolve(dirname(join(src, file)), specifier);
      const to = relative(src, target).split(sep).join('/');
      const wrong = judge(file, to);
      if (wrong !== undefined) violations.push(`${where}: ${wrong}`);
      if (!existsSync(target)) violations.push(`${where}: no such file`);
      else if (!thread) edges.push(to);
    }
  }
  for (const cycle of cycles(graph)) violations.push(`cycle: ${cycle}`);
  return { files: files.length, imports, violations };
}

if (import.meta.main) {
  const report = checkLayers(resolve(import.meta.dirname, '..', 'src'));
  for (const violation of report.violations) console.error(violation);
  console.log(`layers: ${report.files} files, ${report.imports} imports, ${report.violations.length} violations`);
  process.exitCode = report.violations.length > 0 ? 1 : 0;
}
