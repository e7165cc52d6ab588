/** The store of regions: what is found again, and what is not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KeptRegions, type KeptRegion, type ReadCode } from './kept-regions.ts';
import { KnownStarts, startKey } from './known-starts.ts';

const OFFSET = 0x120;
const code = Uint8Array.from({ length: 3 * 4096 }, (_, n) => (n * 7) & 0xff);
/** Guest memory around a page, of which the byte at `changed` is another. */
const memory =
  (changed?: number): ReadCode =>
  (start, length) => {
    const bytes = code.slice(4096 + start, 4096 + start + length);
    if (changed !== undefined && changed >= start && changed < start + length) bytes[changed - start] ^= 1;
    return bytes;
  };

const region: KeptRegion = {
  mode: 5,
  offset: OFFSET,
  instructions: 9,
  code: [
    { start: -3, bytes: memory()(-3, 3) as Uint8Array },
    { start: OFFSET, bytes: memory()(OFFSET, 40) as Uint8Array },
    { start: 4096, bytes: memory()(4096, 2) as Uint8Array },
  ],
  callees: [
    { name: 'goto', params: ['i64', 'i32'], result: 'i64', caller: undefined },
    { name: 'flush', params: [], result: undefined, caller: { mode: 5, bytes: '0f09' } },
  ],
  body: { bytes: Uint8Array.of(1, 0x10, 0, 0x10, 1, 0x0b), unlikely: [1, 70000], calls: [2, 4], pages: [3] },
};

function stored(): { files: Map<string, Uint8Array>; open(shape?: string): KeptRegions } {
  const files = new Map<string, Uint8Array>();
  const store = { read: (name: string) => files.get(name), write: (n: string, b: Uint8Array) => void files.set(n, b) };
  const open = (shape = 'x') => new KeptRegions(store, shape);
  const kept = open();
  kept.add(region, memory());
  assert.equal(kept.unwritten, 1);
  kept.write();
  assert.equal(kept.unwritten, 0);
  return { files, open };
}

test('a region is found by its code, mode and place, by this process and by the next', () => {
  const { open } = stored();
  const kept = open();
  assert.deepEqual(kept.find(5, OFFSET, memory()), region);
  assert.equal(kept.find(4, OFFSET, memory()), undefined);
  assert.equal(kept.find(5, OFFSET + 256, memory()), undefined);
  assert.equal(open('y').find(5, OFFSET, memory()), undefined, 'another machine');
});

test('a region is not found where any byte of its code differs, or a page is not known', () => {
  const kept = stored().open();
  for (const changed of [-3, -1, OFFSET, OFFSET + 39, 4096, 4097])
    assert.equal(kept.find(5, OFFSET, memory(changed)), undefined, `byte ${changed}`);
  for (const other of [-4, OFFSET - 1, OFFSET + 40, 4098])
    assert.ok(kept.find(5, OFFSET, memory(other)), `byte ${other} is not the region's`);
  assert.equal(
    kept.find(5, OFFSET, (start, length) => (start < 0 ? undefined : memory()(start, length))),
    undefined,
  );
});

test('what is cut short or changed in the store is not there', () => {
  const { files, open } = stored();
  const [[name, whole]] = files;
  for (let length = 0; length < whole.length; length += 3) {
    files.set(name, whole.slice(0, length));
    assert.equal(open().find(5, OFFSET, memory()), undefined, `${length} bytes`);
  }
  for (let at = 0; at < whole.length; at++) {
    const changed = whole.slice();
    changed[at] ^= 0x10;
    files.set(name, changed);
    assert.equal(open().find(5, OFFSET, memory()), undefined, `byte ${at}`);
  }
});

test('places where regions began are known again, and few others', () => {
  const { starts } = stored().open();
  const view = new DataView(code.buffer, 4096);
  assert.ok(starts.has(startKey(5, OFFSET, view, OFFSET)));
  let others = 0;
  for (let offset = 0; offset < 4096; offset++) if (starts.has(startKey(5, offset, view, offset))) others++;
  assert.equal(others, 1);
  assert.equal(new KnownStarts().has(startKey(5, OFFSET, view, OFFSET)), false);
});
