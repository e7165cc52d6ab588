/** The executables of bin/, run as processes: by this Node and, where the PATH has one, by an old Node. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..', '..');
const onPath = spawnSync('node', ['--version'], { encoding: 'utf8' }).stdout?.trim() ?? '';
const isOld = /^v2[0-3]\./.test(onPath);
const lacksOld = isOld ? false : `the Node on the PATH (${onPath || 'none'}) is new: nothing to relay`;

/** Stands for src/cli/launch.ts: says who runs it, then what its first argument asks. */
const PROBE = `
export async function launch(program: string, argv: readonly string[]): Promise<number> {
  if (argv[0] === 'code') { console.log(program, process.version, argv.slice(2).join('|')); return Number(argv[1]); }
  if (argv[0] === 'stdin') { for await (const chunk of process.stdin) process.stdout.write(chunk); return 0; }
  if (argv[0] === 'die') { process.kill(process.pid, 'SIGKILL'); await new Promise(() => setInterval(() => {}, 1000)); }
  const got = new Promise<number>((resolve) => {
    for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(name, () => { console.log('got', name); resolve(42); });
  });
  setInterval(() => {}, 1000);
  console.log('ready');
  return got;
}
`;

let checkout: string;
let cache: string;
before(() => {
  checkout = mkdtempSync(path.join(os.tmpdir(), 'trapframe-launch-'));
  cache = path.join(checkout, 'cache');
  cpSync(path.join(root, 'bin'), path.join(checkout, 'bin'), { recursive: true });
  mkdirSync(path.join(checkout, 'src', 'cli'), { recursive: true });
  writeFileSync(path.join(checkout, 'src', 'cli', 'launch.ts'), PROBE);
  writeFileSync(path.join(checkout, 'package.json'), '{"type":"module"}');
  symlinkSync(path.join(root, 'node_modules'), path.join(checkout, 'node_modules'));
});
after(() => rmSync(checkout, { recursive: true }));

const environment = () => ({ ...process.env, TRAPFRAME_CACHE: cache, NODE_OPTIONS: '' });
const run = (node: string, argv: readonly string[], input?: string) =>
  spawnSync(node, [path.join(checkout, 'bin', 'trapframe'), ...argv], { encoding: 'utf8', input, env: environment() });

describe('launching', () => {
  for (const [name, node, skip] of [
    ['this Node', process.execPath, false],
    ['an old Node', 'node', lacksOld],
  ] as const) {
    test(`${name}: arguments, exit code, standard streams`, { skip }, () => {
      const result = run(node, ['code', '7', 'a b', '--x']);
      assert.equal(result.status, 7, result.stderr);
      assert.match(result.stdout, /^trapframe v(2[4-9]|[3-9]\d)\.\S+ a b\|--x\n$/);
      assert.equal(run(node, ['stdin'], 'through').stdout, 'through');
    });

    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      test(`${name}: ${signal} arrives`, { skip }, async () => {
        const child = spawn(node, [path.join(checkout, 'bin', 'trapframe'), 'wait'], {
          stdio: ['pipe', 'pipe', 'inherit'],
          env: environment(),
        });
        const output = collectOutput(child);
        await output.contains('ready');
        child.kill(signal);
        const code = await new Promise((resolve) => child.on('exit', resolve));
        assert.equal(code, 42);
        assert.equal(output.text.split('got').length, 2, `once: ${output.text}`);
      });
    }

    test(`${name}: a violent end is passed on`, { skip }, () => {
      assert.equal(run(node, ['die']).signal, 'SIGKILL');
    });
  }

  test('a checkout without what it needs says so when it must not install', () => {
    writeFileSync(path.join(checkout, 'package.json'), '{"type":"module","dependencies":{"no-such-library":"1"}}');
    try {
      const result = spawnSync(process.execPath, [path.join(checkout, 'bin', 'trapframe'), 'code', '0'], {
        encoding: 'utf8',
        env: { ...environment(), TRAPFRAME_NO_INSTALL: '1' },
      });
      assert.equal(result.status, 1);
      assert.match(result.stderr, /no-such-library missing; run npm ci/);
    } finally {
      writeFileSync(path.join(checkout, 'package.json'), '{"type":"module"}');
    }
  });

  test('the real commands', () => {
    const real = (...argv: string[]) =>
      spawnSync(process.execPath, [path.join(root, 'bin', 'trapframe'), ...argv], {
        encoding: 'utf8',
        env: environment(),
      });
    assert.match(real('version').stdout, /^trapframe \d+\.\d+\.\d+\n$/);
    assert.match(real().stdout, /Usage: trapframe COMMAND/);
    assert.match(real('start', '--help').stdout, /--no-fetch/);
    const wrong = real('strat');
    assert.equal(wrong.status, 1);
    assert.match(wrong.stderr, /^trapframe: there is no command "strat"; see trapframe help\n$/);
    const offline = real('start', '--no-fetch');
    assert.equal(offline.status, 1);
    assert.match(offline.stderr, /is not in the cache, and fetching is switched off; run once without --no-fetch/);
    assert.match(real('images').stdout, /not fetched/);
    assert.equal(real('images', 'path').stdout, `${path.join(cache, 'images')}\n`);
  });
});

function collectOutput(child: ChildProcess) {
  const state = {
    text: '',
    contains: (word: string): Promise<void> =>
      new Promise((resolve) => {
        const look = (): void => {
          if (state.text.includes(word)) resolve();
        };
        child.stdout?.on('data', (chunk: Buffer) => {
          state.text += chunk;
          look();
        });
      }),
  };
  return state;
}
