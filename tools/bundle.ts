/**
 * Bundles the program with esbuild: one file for each way in (the command line,
 * the library and every thread), side by side. Node's loader takes as long for
 * three hundred modules as the rest of a start.
 *
 * In a bundle a module that is imported dynamically is evaluated when that
 * import is reached, as before, and one of Node's own when the first module
 * that names it is evaluated: they would else all be loaded first.
 */
import { readdirSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { build, type BuildOptions, type Plugin } from 'esbuild';

/** A module that runs in a thread of its own is named like this; it is started by its name. */
const THREAD = /-worker\.ts$/;

export interface Entries {
  readonly library: string;
  /** Of programs, whose code it keeps. */
  readonly loader: string;
  readonly programs: readonly string[];
}

/** What is bundled, relative to the root. Throws when two would get one name. */
export function entries(root: string): Entries {
  const files = readdirSync(path.join(root, 'src'), { recursive: true, encoding: 'utf8' });
  const threads = files.filter((file) => THREAD.test(file)).sort();
  const source = (file: string) => path.join('src', file);
  const [library, loader] = ['index.ts', 'host/node/bundle-loader.ts'].map(source);
  const programs = ['cli/launch.ts', ...threads].map(source);
  const all = [library, loader, ...programs].map((file) => path.basename(file));
  if (new Set(all).size < all.length) throw new Error(`two of these have one name: ${programs}`);
  return { library, loader, programs };
}

/** Node's own modules without their ESM faces, which run every lazy getter. */
const builtins: Plugin = {
  name: 'builtins',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/, namespace: 'file' }, ({ path, kind }) =>
      kind === 'import-statement' ? { path, namespace: 'builtin' } : { path, external: true },
    );
    onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule(${JSON.stringify(path)});`,
      loader: 'js',
    }));
  },
};

/** The last characters of a script tell it from others, for src/host/node/bundle-loader.ts. */
const IDENTITY = 11;

/** A script is a function, as CommonJS modules are: written here, it can be handed to V8 as it is read. */
const HEAD = '(function (exports, require, module, __filename, __dirname) {';
const TAIL = '})';

/** What CommonJS has instead of `import.meta`; `codeCache` comes from src/host/node/bundle-loader.ts. */
const META = `const importMeta = {
  url: process.getBuiltinModule('node:url').pathToFileURL(__filename).href,
  dirname: __dirname,
  codeCache: module.codeCache,
};`;

/**
 * Writes the bundles and their source maps (names and lines of src/, not its
 * text) into a directory: a module for who imports the library, and programs as
 * scripts, whose compiled code can be kept, with what loads them.
 */
export async function bundle(root: string, into: string): Promise<void> {
  const { library, loader, programs } = entries(root);
  const common = {
    absWorkingDir: root,
    outdir: into,
    entryNames: '[name]',
    bundle: true,
    platform: 'node',
    target: 'node24',
    packages: 'external',
    plugins: [builtins],
    sourcemap: 'linked',
    sourcesContent: false,
    logLevel: 'silent',
  } as const satisfies BuildOptions;
  const script = { ...common, format: 'cjs', outExtension: { '.js': '.cjs' }, minifyWhitespace: true } as const;
  const [, , scripts] = await Promise.all([
    build({ ...common, entryPoints: [library], format: 'esm' }),
    build({ ...script, entryPoints: [loader] }),
    build({
      ...script,
      entryPoints: [...programs],
      define: { 'import.meta': 'importMeta' },
      banner: { js: `${HEAD}${META}` },
      footer: { js: TAIL },
      write: false,
    }),
  ]);
  await mkdir(into, { recursive: true });
  for (const { path, text, hash } of scripts.outputFiles)
    await writeFile(path, path.endsWith('.cjs') ? `${text}//# ${hash.padEnd(IDENTITY).slice(0, IDENTITY)}` : text);
}
