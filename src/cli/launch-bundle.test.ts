/** How a checkout starts: from a bundle of its sources (bin/bundle.js), made anew when they change. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';

const root = path.resolve(import.meta.dirname, '..', '..');
const skip = existsSync(path.join(root, 'node_modules', 'esbuild')) ? false : 'esbuild is not installed';

/** Stands for src/cli/launch.ts: says what it runs from and a word of another module. */
const program = (word: string) => `
import { word } from '../words/${word}.ts';
export async function launch(_: string, [wish]: readonly string[]): Promise<number> {
  if (wish === 'fail') throw new TypeError('as asked');
  console.log(import.meta.url.slice(-9), word);
  return 0;
}
`;

let checkout: string;
let cache: string;
const write = (file: string, text: string) => {
  mkdirSync(path.dirname(path.join(checkout, file)), { recursive: true });
  writeFileSync(path.join(checkout, file), text);
};
const command = () => [path.join(checkout, 'bin', 'trapframe')] as const;
const environment = () => ({ ...process.env, TRAPFRAME_CACHE: cache, NODE_OPTIONS: '' });
const run = (...argv: string[]) =>
  spawnSync(process.execPath, [...command(), ...argv], { encoding: 'utf8', env: environment() });
const bundles = () => {
  const [mine] = readdirSync(path.join(cache, 'bundles'));
  return readdirSync(path.join(cache, 'bundles', mine)).filter((name) => name !== 'root');
};

describe('a checkout', { skip }, () => {
  before(() => {
    checkout = mkdtempSync(path.join(os.tmpdir(), 'trapframe-bundle-'));
    for (const part of ['bin', 'tools/bundle.ts', 'src/host/node/bundle-loader.ts'])
      cpSync(path.join(root, part), path.join(checkout, part), { recursive: true });
    write('package.json', '{"type":"module"}');
    write('src/index.ts', '');
    write('src/words/one.ts', "export const word = 'one';\n");
    symlinkSync(path.join(root, 'node_modules'), path.join(checkout, 'node_modules'));
  });
  after(() => rmSync(checkout, { recursive: true }));
  beforeEach(() => {
    cache = mkdtempSync(path.join(checkout, 'cache-'));
    write('src/cli/launch.ts', program('one'));
  });

  test('runs from a bundle, which is made once', () => {
    assert.equal(run().stdout, 'aunch.cjs one\n');
    const made = bundles();
    assert.equal(run().stdout, 'aunch.cjs one\n');
    assert.equal(made.length, 1);
    assert.deepEqual(bundles(), made);
  });

  test('notices a changed file and a new one', () => {
    assert.equal(run().stdout, 'aunch.cjs one\n');
    write('src/words/one.ts', "export const word = 'eno';\n");
    assert.equal(run().stdout, 'aunch.cjs eno\n');
    write('src/words/two.ts', "export const word = 'two';\n");
    assert.equal(bundles().length, 2);
    run();
    assert.equal(bundles().length, 3, 'a file more is another state, imported or not');
    write('src/words/one.ts', "export const word = 'one';\n");
  });

  test('several may start at once', async () => {
    const start = () =>
      new Promise<string>((resolve) => {
        const child = spawn(process.execPath, command(), { env: environment(), stdio: ['ignore', 'pipe', 'inherit'] });
        let text = '';
        child.stdout.on('data', (chunk: Buffer) => {
          text += chunk;
        });
        child.on('close', () => resolve(text));
      });
    const texts = await Promise.all([start(), start(), start()]);
    assert.deepEqual(texts, ['aunch.cjs one\n', 'aunch.cjs one\n', 'aunch.cjs one\n']);
    assert.equal(bundles().length, 1, 'one bundle, and nothing left of the others');
  });

  test('runs its sources when they cannot be bundled, when esbuild is missing and when the cache cannot be written', () => {
    write('src/index.ts', "import './not-there.ts';\n");
    assert.equal(run().stdout, 'launch.ts one\n');
    write('src/index.ts', '');
    rmSync(path.join(checkout, 'node_modules'));
    try {
      mkdirSync(path.join(checkout, 'node_modules'));
      assert.equal(run().stdout, 'launch.ts one\n');
      rmSync(path.join(checkout, 'node_modules'), { recursive: true });
    } finally {
      symlinkSync(path.join(root, 'node_modules'), path.join(checkout, 'node_modules'));
    }
    cache = path.join(checkout, 'package.json');
    assert.equal(run().stdout, 'launch.ts one\n');
  });

  test('a failure names the line of the source', () => {
    const { stderr } = run('fail');
    assert.match(stderr, /TypeError: as asked\n +at .*launch .*src\/cli\/launch\.ts:4:\d+/);
    assert.equal(bundles().length, 1);
  });
});
