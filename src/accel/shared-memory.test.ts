import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Space } from './space.ts';

const RAM = 64 * 2 ** 20;
const shape = { ramBase: 0, ramSize: RAM };

test('memory is all there, zero, and can neither grow nor shrink', () => {
  const space = new Space(4096, shape);
  assert.equal(space.ram.host + space.backing, space.memory.buffer.byteLength);
  assert.equal(space.bytes.length, space.memory.buffer.byteLength);
  assert.equal(space.view.getUint8(space.bytes.length - 1), 0);
  space.view.setUint8(space.bytes.length - 1, 7);
  assert.equal(space.bytes.at(-1), 7);
  assert.throws(() => space.memory.grow(1), RangeError);
});

test('memories of closed machines do not pile up', async () => {
  const alive = new Set<WeakRef<object>>();
  const close = () => {
    const space = new Space(4096, shape);
    space.view.setUint8(space.bytes.length - 1, 1);
    alive.add(new WeakRef(space.memory));
    space.release(false);
  };
  const held = new Space(4096, shape);
  const count = 32;
  for (let n = 0; n < count; n++) {
    close();
    await sleep(1);
  }
  // The process does nothing else, so that only what `release` does makes V8 collect.
  for (let left = 200; left > 0; left--) {
    for (const memory of alive) if (!memory.deref()) alive.delete(memory);
    if (alive.size <= count / 2) break;
    await sleep(20);
  }
  assert.ok(alive.size <= count / 2, `${alive.size} of ${count} are still there`);
  assert.equal(held.view.getUint8(held.bytes.length - 1), 0);
});
