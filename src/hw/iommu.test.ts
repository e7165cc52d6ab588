import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readU16, readU32 } from '../bits/endian.ts';
import { testSeed } from '../bits/test-seed.ts';
import type { Dma } from './device.ts';
import { reaches, storeBytes } from './iommu.ts';
import { FuzzRandom } from './test-fuzz.ts';
import { gather, lengthOf, newQueue, type QueueState, scatter, type Segment, Virtqueue } from './virtqueue.ts';

const PAGE = 4096;
const PAGES = 64;

/** Memory whose pages lie in another order than their addresses say, and none of them beside its neighbour. */
class Shuffled implements Dma {
  readonly ram = new Uint8Array(PAGE * PAGES);
  /** Pages that cannot be written. */
  readonly locked = new Set<number>();

  private host(address: number): number {
    return (((address / PAGE) | 0) * 37 + 11) % PAGES;
  }

  private piece(address: number, length: number): Uint8Array | undefined {
    if (address + length > this.ram.length || (address % PAGE) + length > PAGE) return undefined;
    const at = this.host(address) * PAGE + (address % PAGE);
    return this.ram.subarray(at, at + length);
  }

  readable(address: number, length: number): Uint8Array | undefined {
    if (address + length > this.ram.length) return undefined;
    const whole = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const part = this.piece(address + done, this.stretch(address + done, length - done, false));
      if (!part) return undefined;
      whole.set(part, done);
      done += part.length;
    }
    return whole;
  }

  writable(address: number, length: number): Uint8Array | undefined {
    return this.locked.has((address / PAGE) | 0) ? undefined : this.piece(address, length);
  }

  stretch(address: number, length: number, write: boolean): number {
    if (address >= this.ram.length || (write && this.locked.has((address / PAGE) | 0))) return 0;
    return Math.min(length, PAGE - (address % PAGE));
  }

  put(address: number, value: number, size: number): void {
    for (let i = 0; i < size; i++) storeBytes(this, address + i, Uint8Array.of(value / 2 ** (8 * i)));
  }
}

const seed = testSeed(process.env);

test(`data goes where addresses say, however pages lie (TRAPFRAME_SEED=${seed})`, () => {
  const random = new FuzzRandom(seed);
  const dma = new Shuffled();
  const flat = new Uint8Array(dma.ram.length);
  for (let n = 0; n < 300; n++) {
    const segments: Segment[] = Array.from({ length: 1 + random.below(4) }, () => {
      const address = random.below(flat.length - 3 * PAGE);
      return { address, length: random.below(3 * PAGE) };
    });
    const offset = random.below(lengthOf(segments) + 1);
    const bytes = new Uint8Array(random.below(2 * PAGE)).map(() => random.next());
    const there: number[] = [];
    for (const { address, length } of segments) for (let i = 0; i < length; i++) there.push(address + i);
    const meant = there.slice(offset, offset + bytes.length);
    assert.equal(scatter(dma, segments, offset, bytes), meant.length);
    meant.forEach((at, i) => {
      flat[at] = bytes[i];
    });
    const back = new Uint8Array(bytes.length);
    assert.equal(gather(dma, segments, offset, back), meant.length);
    assert.ok(meant.every((at, i) => flat[at] === back[i]));
  }
  assert.equal(Buffer.compare(dma.readable(0, flat.length) ?? new Uint8Array(), flat), 0);
});

test('what cannot be written ends a transfer where it lies', () => {
  const dma = new Shuffled();
  dma.locked.add(2);
  assert.equal(storeBytes(dma, PAGE, new Uint8Array(PAGE).fill(1)), PAGE);
  assert.equal(storeBytes(dma, 2 * PAGE - 8, new Uint8Array(16).fill(2)), 8);
  assert.deepEqual([...(dma.readable(2 * PAGE - 9, 10) ?? [])], [1, 2, 2, 2, 2, 2, 2, 2, 2, 0]);
  assert.equal(scatter(dma, [{ address: 2 * PAGE - 8, length: 100 }], 0, new Uint8Array(100)), 8);
  assert.equal(gather(dma, [{ address: 2 * PAGE - 8, length: 100 }], 0, new Uint8Array(100)), 100);
  assert.equal(reaches(dma, PAGE, 2 * PAGE, false), true);
  assert.equal(reaches(dma, PAGE, 2 * PAGE, true), false);
  assert.equal(reaches(dma, PAGE * PAGES - 4, 8, false), false);
});

test('a queue whose rings lie in several places, entries across pages among them', () => {
  const dma = new Shuffled();
  const size = 1024;
  const state: QueueState = newQueue(size);
  const [descriptors, avail, used, data] = [0, 4 * PAGE, 6 * PAGE, 10 * PAGE];
  Object.assign(state, { ready: true, descriptors, avail, used });
  const queue = new Virtqueue(size, dma, { indirect: true, eventIndex: true }, () => state);
  dma.locked.add(0); // the driver's own: nobody writes there
  let expected = 0;
  for (let n = 0; n < 1.2 * size; n++) {
    const head = (n * 7) % size;
    dma.locked.delete(0);
    dma.put(descriptors + 16 * head, data + 24 * head, 8);
    dma.put(descriptors + 16 * head + 8, 24, 4);
    dma.put(descriptors + 16 * head + 12, 2, 2);
    dma.locked.add(0);
    dma.put(avail + 4 + 2 * (n % size), head, 2);
    dma.put(avail + 2, (n + 1) & 0xffff, 2);
    const chain = queue.pop();
    assert.ok(chain && typeof chain !== 'string');
    assert.deepEqual(chain.writable, [{ address: data + 24 * head, length: 24 }]);
    assert.equal(queue.push(head, n), true);
    const entry = dma.readable(used + 4 + 8 * (n % size), 8);
    assert.deepEqual(entry && [readU32(entry, 0), readU32(entry, 4)], [head, n]);
    expected++;
    assert.equal(readU16(dma.readable(used + 2, 2) ?? new Uint8Array(2), 0), expected);
    if (n % 100 === 0) {
      assert.equal(queue.pop(), undefined);
      assert.equal(readU16(dma.readable(used + 4 + 8 * size, 2) ?? new Uint8Array(2), 0), expected); // "notify me"
    }
  }
  // A driver that adds a chain while the device says that it waits is seen.
  const writable = dma.writable.bind(dma);
  dma.writable = (address, length) => {
    if (address === used + 4 + 8 * size) {
      dma.writable = writable;
      dma.put(avail + 2, expected + 1, 2);
    }
    return writable(address, length);
  };
  const late = queue.pop();
  assert.equal(typeof late, 'object');
});
