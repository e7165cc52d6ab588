/**
 * A checkout's sources as one file: bundled by tools/bundle.ts into the cache
 * when they have changed, as Node's loader would take longer than a machine.
 *
 *     CACHE/bundles/CHECKOUT/STATE/launch.js   STATE: a hash of names, sizes and times
 *
 * A directory appears whole, under a name that says what it was made from.
 * Without esbuild, when anything fails and when TRAPFRAME_NO_BUNDLE is set,
 * the sources run as they are.
 */
const {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} = require('node:fs');
const path = require('node:path');
const { pathToFileURL } = require('node:url');

/** So many bundles of a checkout stay, and younger ones than this (ms): somebody may be starting from one. */
const KEPT = 3;
const YOUNG = 600_000;

/** The directory of a checkout's bundle, made when there is none of its present state; undefined: there can be none. */
exports.bundleOf = async function bundleOf(root, cache) {
  if (process.env.TRAPFRAME_NO_BUNDLE) return undefined;
  try {
    if (!existsSync(path.join(root, 'node_modules', 'esbuild', 'package.json'))) return undefined;
    const all = path.join(cache, 'bundles');
    const mine = path.join(all, new Hash().text(root).toString());
    const wanted = path.join(mine, stateOf(root));
    if (existsSync(wanted)) return wanted;
    await make(root, wanted);
    tidy(all, mine);
    return wanted;
  } catch {
    return undefined; // a syntax error, a full disk: the sources themselves will say it better
  }
};

/** What a bundle is made from: every source file's name, size and time. Tests may change as they like. */
function stateOf(root) {
  const state = new Hash();
  const note = (directory, name) => {
    const { size, mtimeMs } = statSync(`${directory}${path.sep}${name}`);
    state.text(name).number(size).number(mtimeMs);
  };
  const visit = (directory) => {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const { name } = entry;
      if (entry.isDirectory()) {
        state.text(`${name}/`);
        visit(`${directory}${path.sep}${name}`);
        state.text('..');
      } else if (!name.endsWith('.test.ts')) note(directory, name);
    }
  };
  visit(path.join(root, 'src'));
  for (const file of ['package.json', 'tools/bundle.ts', 'bin/bundle.js']) note(root, file);
  return state.toString();
}

async function make(root, wanted) {
  const { bundle } = await import(pathToFileURL(path.join(root, 'tools', 'bundle.ts')).href);
  const part = `${wanted}.${process.pid}.part`;
  try {
    mkdirSync(part, { recursive: true });
    await bundle(root, part);
    // What it looks for above itself.
    writeFileSync(path.join(part, 'package.json'), readFileSync(path.join(root, 'package.json')));
    symlinkSync(path.join(root, 'node_modules'), path.join(part, 'node_modules'), 'junction');
    writeFileSync(path.join(path.dirname(wanted), 'root'), root);
    renameSync(part, wanted);
  } catch (error) {
    rmSync(part, { recursive: true, force: true });
    if (!existsSync(wanted)) throw error; // else another process was faster
  }
}

/** Removes what is old: of this checkout, and all of checkouts that are gone. */
function tidy(all, mine) {
  try {
    for (const name of readdirSync(all)) {
      const other = path.join(all, name);
      const root = path.join(other, 'root');
      if (existsSync(root) && !existsSync(readFileSync(root, 'utf8'))) rmSync(other, { recursive: true, force: true });
    }
    const bundles = readdirSync(mine, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map(({ name }) => ({ at: path.join(mine, name), time: statSync(path.join(mine, name)).mtimeMs }))
      .sort((a, b) => b.time - a.time);
    for (const { at, time } of bundles.slice(KEPT))
      if (Date.now() - time > YOUNG) rmSync(at, { recursive: true, force: true });
  } catch {
    // Another process is at it.
  }
}

/** Two FNV-1a hashes side by side: node:crypto alone would take longer to load than this takes. */
class Hash {
  constructor() {
    this.a = 0x811c9dc5;
    this.b = 0x050c5d1f;
    this.double = new Float64Array(1);
    this.words = new Uint32Array(this.double.buffer);
  }

  mix(word) {
    this.a = Math.imul(this.a ^ word, 0x01000193);
    this.b = Math.imul(this.b ^ ((word << 13) | (word >>> 19)), 0x01000193);
  }

  text(text) {
    for (let n = 0; n < text.length; n++) this.mix(text.charCodeAt(n));
    this.mix(text.length);
    return this;
  }

  /** Its 64 bits: times have fractions. */
  number(number) {
    this.double[0] = number;
    this.mix(this.words[0]);
    this.mix(this.words[1]);
    return this;
  }

  toString() {
    return [this.a, this.b].map((half) => (half >>> 0).toString(16).padStart(8, '0')).join('');
  }
}
