import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryDisk } from './memory.ts';
import { MemoryOverlay } from './memory-overlay.ts';

test('writes are seen and never reach the base, across cluster borders and at the ragged end', async () => {
  const bytes = new Uint8Array(3 * 65536 + 512).map((_, i) => (i * 31) & 255);
  const before = bytes.slice();
  const overlay = new MemoryOverlay(new MemoryDisk(bytes, { readOnly: true }));
  const expected = bytes.slice();
  for (const [offset, length] of [
    [65536 - 512, 1024],
    [0, 512],
    [3 * 65536, 512],
    [512, 2 * 65536],
  ]) {
    const data = new Uint8Array(length).fill(offset & 127 || 99);
    await overlay.write(offset, data);
    expected.set(data, offset);
  }
  const all = new Uint8Array(bytes.length);
  await overlay.read(0, all);
  assert.deepEqual(all, expected);
  assert.deepEqual(bytes, before);
});

test('two writes at once to a fresh cluster both stay', async () => {
  const overlay = new MemoryOverlay(new MemoryDisk(new Uint8Array(65536)));
  await Promise.all([overlay.write(0, new Uint8Array(512).fill(1)), overlay.write(512, new Uint8Array(512).fill(2))]);
  const both = new Uint8Array(1024);
  await overlay.read(0, both);
  assert.deepEqual([both[0], both[512]], [1, 2]);
});
