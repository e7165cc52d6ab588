import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readU16, readU32, writeU16, writeU32 } from '../../src/bits/endian.ts';
import { latin1, utf8 } from '../../src/bits/text.ts';
import { VirtioConsole } from '../../src/devices/virtio-console/virtio-console.ts';
import { VirtioMmio } from '../../src/devices/virtio-mmio/virtio-mmio.ts';
import type { CharBackend } from '../../src/hw/chardev.ts';
import { TestBench, TestLine } from '../../src/hw/test-bench.ts';
import { TestDriver, type TestQueue } from '../../src/hw/test-driver.ts';

const RAM = 0x8000_0000;

function setUp(features: bigint) {
  const bench = new TestBench();
  const slot = new VirtioMmio('virtio-mmio.0', bench.log, new TestLine(), false);
  const sent: string[] = ['', ''];
  const backends = sent.map(
    (_, i): CharBackend => ({
      write: (bytes) => {
        sent[i] += latin1(bytes);
      },
    }),
  );
  slot.plug(
    new VirtioConsole('serial', bench, [
      { backend: backends[0], console: true },
      { backend: backends[1], console: false, name: 'org.example.agent' },
    ]),
  );
  const driver = new TestDriver(bench, slot.mmio);
  const queues = Array.from({ length: 6 }, (_, i) => driver.queue(i, RAM + 0x4000 * i));
  driver.start((1n << 32n) | features, queues);
  const give = (queue: TestQueue, at: number, length = 64) => {
    queue.add({ address: RAM + at, length, write: true });
    driver.notify(queue);
  };
  return { bench, sent, backends, driver, queues, give };
}

test('bytes go both ways on port 0, as far as there are buffers', () => {
  const { bench, sent, backends, driver, queues, give } = setUp(0n);
  bench.ram.set(utf8('hello'), 0x4_0000);
  queues[1].add({ address: RAM + 0x4_0000, length: 5 });
  driver.notify(queues[1]);
  assert.equal(sent[0], 'hello');
  assert.equal(backends[0].room?.(), 0);
  give(queues[0], 0x5_0000, 2);
  give(queues[0], 0x5_0010, 2);
  assert.equal(backends[0].room?.(), 2);
  backends[0].onInput?.(utf8('abc'));
  assert.deepEqual(
    queues[0].take().map(({ length }) => length),
    [2, 1],
  );
  assert.equal(latin1(bench.ram.subarray(0x5_0010, 0x5_0011)), 'c');
});

test('with multiport the control queue announces ports, consoles and names', () => {
  const { bench, driver, queues, give, backends } = setUp(2n);
  const say = (port: number, event: number, value: number) => {
    const at = bench.ram.subarray(0x4_0000, 0x4_0008);
    writeU32(at, 0, port);
    writeU16(at, 4, event);
    writeU16(at, 6, value);
    queues[3].add({ address: RAM + 0x4_0000, length: 8 });
    driver.notify(queues[3]);
  };
  const hear = () =>
    queues[2].take().map(({ id, length }) => {
      const at = bench.ram.subarray(0x5_0000 + id * 64, 0x5_0000 + id * 64 + length);
      return [readU32(at, 0), readU16(at, 4), readU16(at, 6), latin1(at.subarray(8))];
    });
  for (let i = 0; i < 8; i++) give(queues[2], 0x5_0000 + i * 64);
  say(0, 0, 1);
  assert.deepEqual(hear(), [
    [0, 1, 1, ''],
    [1, 1, 1, ''],
  ]);
  say(0, 3, 1);
  say(1, 3, 1);
  assert.deepEqual(hear(), [
    [0, 4, 1, ''],
    [0, 6, 1, ''],
    [1, 7, 1, 'org.example.agent'],
    [1, 6, 1, ''],
  ]);
  give(queues[4], 0x6_0000);
  assert.equal(backends[1].room?.(), 0);
  say(1, 6, 1);
  assert.equal(backends[1].room?.(), 1);
  say(7, 6, 1);
  assert.match(bench.reports.join(), /port 7/);
});
