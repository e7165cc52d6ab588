import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readU16, writeU16 } from '../../bits/endian.ts';
import { testSeed } from '../../bits/test-seed.ts';
import { Cable } from '../../hw/link.ts';
import { TestBench } from '../../hw/test-bench.ts';
import { FuzzRandom } from '../../hw/test-fuzz.ts';
import { FEATURE as COMMON, STATUS, type VirtioTransport } from '../../hw/virtio.ts';
import { TestQueue } from '../../hw/test-driver.ts';
import { VirtioNet } from './virtio-net.ts';

const RAM = 0x8000_0000;
const DATA = RAM + 0x4_0000;
const MAC = Uint8Array.of(0x52, 0x54, 0, 0x12, 0x34, 0x56);
const MERGEABLE = 1n << 15n;
const CONTROL = (1n << 17n) | (1n << 18n) | (1n << 19n) | (1n << 20n) | (1n << 23n);

function setUp(features: bigint) {
  const bench = new TestBench(RAM, 0x20_0000);
  const cable = new Cable();
  const [card, far] = cable.ends;
  const net = new VirtioNet('net0', bench, card, MAC);
  let interrupts = 0;
  const transport: VirtioTransport = { queueInterrupt: () => interrupts++, configInterrupt: () => interrupts++ };
  net.connect(transport);
  const queues = [0, 1, 2].map((index) => new TestQueue(bench, index, RAM + 0x1_0000 * index, 16));
  net.reset();
  net.state.features = features | COMMON.VERSION_1;
  for (const { index, size, base, avail, used } of queues)
    Object.assign(net.state.queues[index], { size, ready: true, descriptors: base, avail, used });
  net.setStatus(STATUS.ACKNOWLEDGE | STATUS.DRIVER | STATUS.FEATURES_OK | STATUS.DRIVER_OK);
  const bytes = (address: number, length: number) => bench.ram.subarray(address - RAM, address - RAM + length);
  const control = (...command: number[]) => {
    bytes(DATA, command.length).set(command);
    queues[2].add({ address: DATA, length: command.length }, { address: DATA + 0x1000, length: 1, write: true });
    net.notify(2);
    assert.equal(queues[2].take().length, 1);
    return bytes(DATA + 0x1000, 1)[0];
  };
  return { bench, net, cable, far, queues, bytes, control, interrupts: () => interrupts };
}

const to = (...address: number[]) => Uint8Array.from([...address, 2, 2, 2, 2, 2, 2, 8, 0, ...new Array(50).fill(7)]);

test('a frame leaves without its header, from several buffers', () => {
  const { net, far, queues, bytes, interrupts } = setUp(0n);
  const got: Uint8Array[] = [];
  far.onReceive = (frame) => got.push(frame);
  const frame = to(...MAC);
  bytes(DATA, 12).fill(0);
  bytes(DATA + 0x100, frame.length).set(frame);
  queues[1].add(
    { address: DATA, length: 12 },
    { address: DATA + 0x100, length: 20 },
    { address: DATA + 0x114, length: frame.length - 20 },
  );
  net.notify(1);
  assert.deepEqual(got, [frame]);
  assert.deepEqual([queues[1].take(), interrupts()], [[{ id: 0, length: 0 }], 1]);
});

test('a frame arrives behind its header, merged over buffers where that was agreed', () => {
  for (const features of [0n, MERGEABLE]) {
    const { net, far, queues, bytes } = setUp(features);
    const frame = to(...MAC);
    far.send(frame); // nobody has given a buffer yet: it waits
    for (let i = 0; i < 3; i++) queues[0].add({ address: DATA + 0x100 * i, length: features ? 40 : 100, write: true });
    net.notify(0);
    const used = queues[0].take();
    if (!features) {
      assert.deepEqual(used, [{ id: 0, length: 12 + frame.length }]);
      assert.deepEqual([...bytes(DATA, 12)], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
      assert.deepEqual(bytes(DATA + 12, frame.length), frame);
    } else {
      assert.deepEqual(
        used.map(({ length }) => length),
        [40, 36],
      );
      assert.equal(readU16(bytes(DATA, 12), 10), 2);
      assert.deepEqual([...bytes(DATA + 12, 28), ...bytes(DATA + 0x100, 36)], [...frame]);
      far.send(frame); // does not fit the one that is left, which stays
      assert.equal(queues[0].take().length, 0);
      queues[0].add({ address: DATA + 0x300, length: 40, write: true });
      far.send(frame);
      assert.equal(queues[0].take().length, 2);
    }
  }
});

test('receive filters: modes, address tables, VLANs', () => {
  const { net, far, queues, control } = setUp(CONTROL);
  const arrives = (frame: Uint8Array) => {
    queues[0].add({ address: DATA + 0x2000, length: 200, write: true });
    net.notify(0);
    const before = net.state.queues[0].nextUsed;
    far.send(frame);
    queues[0].take();
    return net.state.queues[0].nextUsed !== before;
  };
  const [other, group, broadcast] = [to(2, 0, 0, 0, 0, 9), to(1, 0, 0x5e, 0, 0, 1), to(255, 255, 255, 255, 255, 255)];
  assert.ok(arrives(other));
  assert.equal(control(0, 0, 0), 0); // not promiscuous
  assert.deepEqual([to(...MAC), other, group, broadcast].map(arrives), [true, false, false, true]);
  assert.equal(control(1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 9, 1, 0, 0, 0, 1, 0, 0x5e, 0, 0, 1), 0);
  assert.deepEqual([other, group].map(arrives), [true, true]);
  assert.equal(control(1, 0, 200, 0, 0, 0, 2, 0, 0, 0, 0, 9), 1); // a table that is shorter than it says
  assert.equal(control(1, 1, 2, 0, 0, 0, 0, 5), 0);
  assert.deepEqual([to(2, 0, 0, 0, 0, 5), to(...MAC)].map(arrives), [true, false]);
  const tagged = to(2, 0, 0, 0, 0, 5);
  tagged.set([0x81, 0, 0, 33], 12);
  assert.ok(!arrives(tagged));
  assert.equal(control(2, 0, 33, 0), 0);
  assert.ok(arrives(tagged));
  assert.deepEqual([control(2, 0, 0, 0x10), control(9, 9), control(0, 5, 1)], [1, 1, 0]);
  assert.ok(!arrives(broadcast));
});

test('the link and announcements are told', () => {
  const { net, cable, interrupts, control } = setUp(1n << 21n);
  assert.deepEqual([net.readConfig(0, 4), net.readConfig(4, 4)], [0x1200_5452, 0x0001_5634]);
  cable.setUp(false);
  assert.deepEqual([net.readConfig(6, 2), interrupts()], [0, 1]);
  cable.setUp(true);
  net.resumed();
  assert.deepEqual([net.readConfig(6, 2), interrupts()], [3, 3]);
  assert.equal(control(3, 0), 0);
  assert.deepEqual([net.readConfig(6, 2), control(3, 0)], [1, 1]);
});

const seed = testSeed(process.env);
test(`hostile queues never throw (TRAPFRAME_SEED=${seed})`, () => {
  const random = new FuzzRandom(seed);
  const { net, far, queues, bytes, bench } = setUp(MERGEABLE | CONTROL);
  let sent = 0;
  far.onReceive = () => sent++;
  for (let step = 0; step < 5000; step++) {
    const queue = random.pick(queues);
    const part = () => ({
      address: random.below(20) ? DATA + random.below(0x10_0000) : random.next(),
      length: random.below(30) ? random.below(200) : random.next(),
      write: queue.index === 0 || random.below(3) === 0,
    });
    const parts = Array.from({ length: 1 + random.below(3) }, part).sort((a, b) => Number(a.write) - Number(b.write));
    if (queue.index === 2) bytes(DATA, 4).set([random.below(5), random.below(7), random.below(4), 0]);
    if (queue.index === 2) parts[0] = { address: DATA, length: random.below(40), write: false };
    queue.add(...parts);
    if (random.below(100) === 0) writeU16(bytes(queue.avail, 4), 2, random.next());
    net.notify(random.below(4));
    far.send(new Uint8Array(random.below(random.below(50) ? 1600 : 70_000)).fill(random.below(256)));
    for (const each of queues) each.take();
    bench.reports.length = 0;
    if (!(net.state.status & STATUS.NEEDS_RESET) && random.below(500)) continue;
    net.reset();
    net.state.features = MERGEABLE | CONTROL | COMMON.VERSION_1;
    for (const { index, size, base, avail, used } of queues) {
      bytes(base, 0x3000).fill(0);
      Object.assign(net.state.queues[index], { size, ready: true, descriptors: base, avail, used });
      queues[index] = new TestQueue(bench, index, base, size);
    }
    net.setStatus(15);
  }
  assert.ok(sent > 50, `${sent} frames got out`);
});
