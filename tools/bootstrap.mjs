/**
 * Runs one of the project's TypeScript tools on the pinned Node, installing what is
 * missing first: `node tools/bootstrap.mjs tools/check.ts [argument...]`.
 *
 * Plain JavaScript for Node 20: it is what a fresh clone starts with.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const windows = process.platform === 'win32';

/** @param {string} message */
function fail(message) {
  console.error(`bootstrap: ${message}`);
  process.exit(1);
}

/** Whether node_modules holds what package-lock.json says; npm notes what it installed in a lock file of its own. */
function installed() {
  const note = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(note)) return false;
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  const present = JSON.parse(readFileSync(note, 'utf8')).packages;
  return Object.entries(wanted).every(
    ([path, { version, optional, devOptional }]) =>
      path === '' || present[path]?.version === version || (present[path] === undefined && (optional || devOptional)),
  );
}

/** The Node that tools/node/package.json pins, or this one when it is new enough to run TypeScript as it is. */
function pinnedNode() {
  const platform = `${windows ? 'win' : process.platform}-${process.arch}`;
  // The package for Apple's own processors is named differently.
  const folders = [`node-${platform}`, `node-bin-${platform}`].map((name) => join(root, 'node_modules', name));
  const nodes = folders.map((folder) => join(folder, 'bin', windows ? 'node.exe' : 'node'));
  const node = nodes.find(existsSync);
  if (node !== undefined) return node;
  if (Number(process.versions.node.split('.')[0]) >= 24) return process.execPath;
  return fail(`no Node 24 or newer: there is none for ${platform} in node_modules and this is ${process.version}`);
}

if (!installed()) {
  console.log('bootstrap: installing the development dependencies (npm ci)');
  const npm = process.env.npm_execpath;
  const [command, args] = npm?.endsWith('.js') ? [process.execPath, [npm]] : ['npm', []];
  const { status, error } = spawnSync(command, [...args, 'ci', '--no-audit', '--no-fund'], {
    cwd: root,
    stdio: 'inherit',
    shell: windows && command === 'npm',
  });
  if (status !== 0)
    fail(`npm ci failed (${error?.message ?? `exit code ${status}`}); is the package registry in reach?`);
}

const [tool, ...rest] = process.argv.slice(2);
if (tool === undefined) fail('which tool? node tools/bootstrap.mjs tools/check.ts');
const node = pinnedNode();
const result = spawnSync(node, [join(root, tool), ...rest], {
  cwd: root,
  stdio: 'inherit',
  // Children that say `node` get the same one.
  env: { ...process.env, PATH: `${dirname(node)}${windows ? ';' : ':'}${process.env.PATH ?? ''}` },
});
if (result.error) fail(`${node}: ${result.error.message}`);
process.exit(result.status ?? 1);
