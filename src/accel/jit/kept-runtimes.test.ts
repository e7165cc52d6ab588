import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeptRuntimes } from './kept-runtimes.ts';

/** An empty module. */
const BYTES = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
const compile = (bytes: Uint8Array<ArrayBuffer>) => new WebAssembly.Module(bytes);
const runtime = { module: compile(BYTES), imports: ['a'], functions: ['b', 'c'] };

function store() {
  const files = new Map<string, Uint8Array>();
  return { files, read: (name: string) => files.get(name), write: (name: string, b: Uint8Array) => files.set(name, b) };
}

test('a module is there for the next machine, and from a store for the next process', () => {
  const kept = new KeptRuntimes('toy');
  const disk = store();
  assert.equal(kept.get('x', compile, disk), undefined);
  kept.set('x', runtime, BYTES, disk);
  assert.equal(kept.get('x', compile)?.module, runtime.module);
  const later = new KeptRuntimes('toy').get('x', compile, disk);
  assert.deepEqual([later?.imports, later?.functions], [['a'], ['b', 'c']]);
  assert.ok(later?.module instanceof WebAssembly.Module);
});

test('what is stored for another shape or not whole is not taken', () => {
  const disk = store();
  new KeptRuntimes('toy').set('x', runtime, BYTES, disk);
  const [[name, content]] = disk.files;
  const other = { ...disk, read: () => content };
  assert.equal(new KeptRuntimes('toy').get('y', compile, other), undefined);
  for (let length = 0; length < content.length; length++) {
    disk.files.set(name, content.slice(0, length));
    assert.equal(new KeptRuntimes('toy').get('x', compile, disk), undefined, `${length} bytes`);
  }
});
