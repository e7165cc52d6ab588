/**
 * Builds the suite (and CoreMark, when its sources were fetched by hand) for a
 * guest and for the host, into the user's cache; a build is named by the hash of what went in.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { cacheDirectory } from '../src/host/node/cache.ts';
import type { Architecture } from './architectures.ts';

const SOURCES = resolve(import.meta.dirname, 'guest');

/** Loops stay loops: gcc would turn the copying ones into calls of memcpy. */
const FLAGS = ['-O2', '-static', '-fno-tree-loop-distribute-patterns', '-fno-math-errno'];

const HOST_COMPILER = process.env['BENCH_HOST_CC'] ?? 'gcc';

export interface Programs {
  /** Paths of the host's programs; the folder is theirs alone. */
  readonly host: string;
  readonly guest: string;
  readonly coremark: boolean;
}

function compile(compiler: string, from: string, args: readonly string[], output: string): void {
  const partial = `${output}.${process.pid}`;
  const { status, error, stderr } = spawnSync(compiler, [...args, '-o', partial], { encoding: 'utf8' });
  if (error) throw new Error(`${compiler}: ${error.message}. Debian's package ${from} has it.`);
  if (status !== 0) throw new Error(`${compiler} failed (it needs Debian's package ${from}):\n${stderr}`);
  renameSync(partial, output);
}

/** CoreMark's own files, compiled as its `posix` port does; iterations come from the command line. */
function coremarkArguments(folder: string): string[] {
  const sources = ['core_list_join.c', 'core_main.c', 'core_matrix.c', 'core_state.c', 'core_util.c'];
  return [
    '-O2',
    '-static',
    `-I${folder}`,
    `-I${join(folder, 'posix')}`,
    '-DPERFORMANCE_RUN=1',
    '-DFLAGS_STR="-O2 -static"',
    ...sources.map((file) => join(folder, file)),
    join(folder, 'posix', 'core_portme.c'),
  ];
}

/** Builds what is missing. Throws when a compiler is missing or fails. */
export function buildPrograms(guest: Architecture, coremarkFolder: string | undefined): Programs {
  const hash = createHash('sha256').update(JSON.stringify([FLAGS, guest.compiler, guest.flags, HOST_COMPILER]));
  const files = readdirSync(SOURCES).sort();
  for (const file of files) hash.update(file).update(readFileSync(join(SOURCES, file)));
  const folder = join(cacheDirectory(), 'bench', hash.digest('hex').slice(0, 16));
  const sources = files.filter((file) => file.endsWith('.c')).map((file) => join(SOURCES, file));
  const build = (name: string, compiler: string, from: string, flags: readonly string[]): string => {
    const target = join(folder, name);
    mkdirSync(target, { recursive: true });
    const suite = join(target, 'suite');
    if (!existsSync(suite)) compile(compiler, from, [...FLAGS, ...flags, ...sources, '-lm'], suite);
    const coremark = join(target, 'coremark');
    if (coremarkFolder && !existsSync(coremark))
      compile(compiler, from, [...flags, ...coremarkArguments(coremarkFolder)], coremark);
    return target;
  };
  const program = build(guest.name, guest.compiler, guest.package, guest.flags);
  const host = guest.native ? program : build('host', HOST_COMPILER, 'gcc', []);
  return { host, guest: program, coremark: coremarkFolder !== undefined };
}
