/** How a checkout starts: from a bundle of its sources (bin/bundle.js), made anew when they change. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
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
    const loader = ['bundle-loader', 'jit-budget', 'replace-file'].map((name) => `src/host/node/${name}.ts`);
    for (const part of ['bin', 'tools/bundle.ts', ...loader])
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

  test('compiled code is kept once and taken by later runs, the engine at work or not', () => {
    const rom = path.join(checkout, 'off.rom');
    const code = Uint8Array.of(0xba, 0xf4, 0x00, 0xb0, 0x10, 0xee); // mov dx, 0xf4; mov al, 16; out dx, al
    writeFileSync(rom, Buffer.concat([Buffer.alloc(0xfff0), code], 0x1_0000));
    const options = ['-M', 'pc', '-nographic', '-device', 'isa-debug-exit,iobase=0xf4,iosize=4', '-bios', rom];
    const start = () => {
      const system = path.join(root, 'bin', 'trapframe-system-x86_64');
      const { status, stderr } = spawnSync(process.execPath, [system, ...options], {
        encoding: 'utf8',
        env: environment(),
      });
      assert.equal(status, 33, stderr);
      const [mine] = readdirSync(path.join(cache, 'bundles'));
      const files = readdirSync(path.join(cache, 'bundles', mine), { recursive: true, encoding: 'utf8' });
      const [kept] = files.filter((file) => /code.*launch\.cjs$/.test(file));
      return statSync(path.join(cache, 'bundles', mine, kept)).ino;
    };
    const first = start();
    assert.equal(start(), first, 'not written again');
  });

  test('a failure names the line of the source', () => {
    const { stderr } = run('fail');
    assert.match(stderr, /TypeError: as asked\n +at .*launch .*src\/cli\/launch\.ts:4:\d+/);
    assert.equal(bundles().length, 1);
  });
});
