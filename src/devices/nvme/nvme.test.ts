import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { readU16, readU32, writeU32, writeU64 } from '../../bits/endian.ts';
import { testSeed } from '../../bits/test-seed.ts';
import { Bus } from '../../hw/bus.ts';
import type { Disk } from '../../hw/disk.ts';
import { PciBus } from '../../hw/pci-bus.ts';
import { PortBus } from '../../hw/ports.ts';
import { TestBench, TestLine } from '../../hw/test-bench.ts';
import { FuzzRandom } from '../../hw/test-fuzz.ts';
import { load, save } from '../../state/codec.ts';
import { MemoryDisk } from '../../storage/memory.ts';
import { Nvme } from './nvme.ts';

const RAM = 0x10_0000;
const BAR = 0xe000_0000;
const ASQ = RAM;
const ACQ = RAM + 0x1000;
const CQ = RAM + 0x2000;
const SQ = RAM + 0x3000;
const DATA = RAM + 0x2_0000;

interface Done {
  id: number;
  status: number;
  result: number;
}

function setUp(own?: Disk) {
  const bench = new TestBench(RAM, 0x20_0000);
  const line = new TestLine();
  const messages: number[] = [];
  const memory = new Bus();
  const bus = new PciBus({
    memory,
    ports: new PortBus(),
    route: () => 0,
    lines: [line],
    message: (_, data) => messages.push(data),
  });
  const bytes = new Uint8Array(8192 * 512).map((_, i) => (i >> 9) + i);
  const disk = own ?? new MemoryDisk(bytes);
  const nvme = new Nvme('nvme', bench, disk, { serial: 'abc' });
  bus.add(nvme.pci, 5);
  nvme.pci.writeConfig(0x10, 4, BAR);
  nvme.pci.writeConfig(4, 2, 6);
  const w = (offset: number, value: number) => assert.ok(memory.write(BAR + offset, 4, value));
  const r = (offset: number) => memory.read(BAR + offset, 4) ?? assert.fail();
  const tails: Record<number, number> = { 0: 0, 1: 0 };
  const heads: Record<number, number> = { 0: 0, 1: 0 };
  const submit = (queue: number, ...dwords: number[]) => {
    const base = (queue ? SQ : ASQ) - RAM + 64 * tails[queue];
    for (let i = 0; i < 16; i++) writeU32(bench.ram, base + 4 * i, dwords[i] ?? 0);
    tails[queue] = (tails[queue] + 1) % 16;
    w(0x1000 + 8 * queue, tails[queue]);
  };
  const settle = async () => {
    for (let i = 0; i < 30; i++) await setImmediate();
  };
  /** Completions that the guest has not taken yet. */
  const take = (queue: number, ring = true): Done[] => {
    const done: Done[] = [];
    for (; done.length < 40; ) {
      const at = (queue ? CQ : ACQ) - RAM + 16 * (heads[queue] % 16);
      const phase = Math.floor(heads[queue] / 16) % 2 ? 0 : 1;
      const status = readU16(bench.ram, at + 14);
      if ((status & 1) !== phase) break;
      done.push({ id: readU16(bench.ram, at + 12), status: status >> 1, result: readU32(bench.ram, at) });
      heads[queue]++;
    }
    if (done.length && ring) w(0x1004 + 8 * queue, heads[queue] % 16);
    return done;
  };
  const enable = () => {
    for (const queue of [0, 1]) tails[queue] = heads[queue] = 0;
    w(0x24, 0x000f_000f);
    w(0x28, ASQ);
    w(0x2c, 0);
    w(0x30, ACQ);
    w(0x34, 0);
    w(0x14, 0x0046_0001);
  };
  const admin = (...dwords: number[]) => {
    submit(0, ...dwords);
    return take(0)[0];
  };
  const queues = () => {
    assert.equal(admin(5, 0, 0, 0, 0, 0, CQ, 0, 0, 0, 0x000f_0001, 0x0001_0003).status, 0);
    assert.equal(admin(1, 0, 0, 0, 0, 0, SQ, 0, 0, 0, 0x000f_0001, 0x0001_0001).status, 0);
  };
  const io = (opcode: number, id: number, lba: number, blocks: number, prp1: number, prp2 = 0) =>
    submit(1, opcode | (id << 16), 1, 0, 0, 0, 0, prp1, 0, prp2, 0, lba, 0, blocks - 1);
  return { bench, memory, line, messages, nvme, bytes, disk, w, r, submit, take, settle, enable, admin, queues, io };
}

test('registers and configuration space look like QEMU 7.2', () => {
  const { nvme, r } = setUp();
  assert.deepEqual([r(0), r(4), r(8), r(0x1c)], [0x0f01_07ff, 0x0040_0020, 0x1_0400, 0]);
  const config = (at: number) => nvme.pci.readConfig(at, 4);
  assert.deepEqual([config(0), config(8)], [0x0010_1b36, 0x0108_0202]);
  assert.deepEqual([config(0x40) & 0xffff_00ff, config(0x44), config(0x48)], [0x0040_0011, 0x2000, 0x3000]);
});

test('enabling with bad admin queues fails, with good ones is ready; shutdown flushes', async () => {
  const { r, w, enable, settle, disk, line } = setUp();
  w(0x14, 0x0046_0001);
  assert.equal(r(0x1c), 2);
  w(0x14, 0);
  assert.equal(r(0x1c), 0);
  enable();
  assert.equal(r(0x1c), 1);
  w(0x14, 0x0046_4001);
  assert.equal(r(0x1c), 5);
  await settle();
  assert.equal(r(0x1c), 9);
  assert.equal((disk as MemoryDisk).flushes, 1);
  w(0x1000, 99);
  w(0x1018, 1);
  assert.equal(line.level, false);
});

test('a function level reset takes everything back', () => {
  const { nvme, memory, enable } = setUp();
  enable();
  nvme.pci.writeConfig(0x88, 2, 0x8000);
  assert.deepEqual([nvme.state.csts, nvme.pci.readConfig(4, 2), nvme.pci.readConfig(0x88, 2)], [0, 0, 0]);
  assert.equal(memory.read(BAR, 4), undefined);
});

test('identify, features, logs', () => {
  const { bench, admin, enable, submit, take } = setUp();
  enable();
  const at = DATA - RAM;
  assert.equal(admin(6, 0, 0, 0, 0, 0, DATA, 0, 0, 0, 1).status, 0);
  assert.equal(readU32(bench.ram, at), 0x1af4_1b36);
  assert.equal(String.fromCharCode(...bench.ram.subarray(at + 4, at + 38)), `abc${' '.repeat(17)}QEMU NVMe Ctrl`);
  assert.deepEqual([bench.ram[at + 77], readU32(bench.ram, at + 512), readU32(bench.ram, at + 516)], [7, 0x4466, 1]);
  admin(6, 1, 0, 0, 0, 0, DATA, 0, 0, 0, 0);
  assert.deepEqual([readU32(bench.ram, at), bench.ram[at + 130]], [8192, 9]);
  admin(6, 0, 0, 0, 0, 0, DATA, 0, 0, 0, 2);
  assert.deepEqual([readU32(bench.ram, at), readU32(bench.ram, at + 4)], [1, 0]);
  assert.equal(admin(6, 5, 0, 0, 0, 0, DATA, 0, 0, 0, 0).status, 0x400b);
  assert.equal(admin(6, 0, 0, 0, 0, 0, DATA, 0, 0, 0, 0x20).status, 0x4002);
  assert.equal(admin(0xa, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7).result, 0x3f_003f);
  assert.equal(admin(9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0xf_000f).result, 0x3f_003f);
  assert.equal(admin(0xa, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4).result, 0x157);
  assert.equal(admin(9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 0).status, 0);
  assert.equal(admin(0xa, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6).result, 0);
  assert.equal(admin(2, 0xffff_ffff, 0, 0, 0, 0, DATA, 0, 0, 0, 2 | (127 << 16)).status, 0);
  assert.equal(readU16(bench.ram, at + 1), 0x143);
  assert.equal(admin(2, 0, 0, 0, 0, 0, DATA, 0, 0, 0, 0x77).status, 0x4109);
  assert.equal(admin(0xff).status, 0x4001);
  assert.equal(admin(8).result, 1);
  for (let i = 0; i < 5; i++) submit(0, 0xc | (i << 16));
  assert.deepEqual(take(0), [{ id: 4, status: 0x4105, result: 0 }]);
});

test('queues are created and deleted in order', () => {
  const { admin, enable, queues } = setUp();
  enable();
  assert.equal(admin(1, 0, 0, 0, 0, 0, SQ, 0, 0, 0, 0xf_0001, 0x9_0001).status, 0x4100);
  assert.equal(admin(5, 0, 0, 0, 0, 0, CQ, 0, 0, 0, 1, 1).status, 0x4102);
  assert.equal(admin(5, 0, 0, 0, 0, 0, CQ + 8, 0, 0, 0, 0xf_0001, 1).status, 0x4013);
  assert.equal(admin(5, 0, 0, 0, 0, 0, CQ, 0, 0, 0, 0xf_0041, 1).status, 0x4101);
  assert.equal(admin(5, 0, 0, 0, 0, 0, CQ, 0, 0, 0, 0xf_0001, 0x99_0003).status, 0x4108);
  queues();
  assert.equal(admin(5, 0, 0, 0, 0, 0, CQ, 0, 0, 0, 0xf_0001, 3).status, 0x4101);
  assert.equal(admin(4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1).status, 0x410c);
  assert.equal(admin(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1).status, 0);
  assert.equal(admin(4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1).status, 0);
  assert.equal(admin(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1).status, 0x4101);
});

test('reads and writes through one page, two pages and PRP lists', async () => {
  const { bench, bytes, enable, queues, io, take, settle, line } = setUp();
  enable();
  queues();
  io(2, 1, 7, 1, DATA + 0x200);
  io(2, 2, 8, 9, DATA + 0x1e00, DATA + 0x3000);
  await settle();
  assert.deepEqual(
    take(1),
    [1, 2].map((id) => ({ id, status: 0, result: 0 })),
  );
  assert.deepEqual(bench.ram.slice(0x2_0200, 0x2_0400), bytes.slice(7 * 512, 8 * 512));
  assert.deepEqual(bench.ram.slice(0x2_1e00, 0x2_2000), bytes.slice(8 * 512, 9 * 512));
  assert.deepEqual(bench.ram.slice(0x2_3000, 0x2_4000), bytes.slice(9 * 512, 17 * 512));
  // A list that begins near the end of a page and goes on in another.
  const list = DATA + 0x1000 - 16;
  const pages = Array.from({ length: 20 }, (_, i) => DATA + 0x1_0000 + 0x2000 * i);
  writeU64(bench.ram, list - RAM, pages[1]);
  writeU64(bench.ram, list + 8 - RAM, DATA + 0x3000);
  pages.slice(2).forEach((page, i) => {
    writeU64(bench.ram, DATA + 0x3000 + 8 * i - RAM, page);
  });
  io(2, 3, 1000, 160, pages[0], list);
  await settle();
  assert.deepEqual(take(1), [{ id: 3, status: 0, result: 0 }]);
  const got = Buffer.concat(pages.map((page) => bench.ram.subarray(page - RAM, page - RAM + 4096)));
  assert.deepEqual(got, Buffer.from(bytes.slice(1000 * 512, 1160 * 512)));
  bench.ram.fill(0x99, pages[0] - RAM, pages[0] - RAM + 1024);
  io(1, 4, 3, 2, pages[0]);
  await settle();
  assert.equal(line.level, true);
  assert.deepEqual(take(1), [{ id: 4, status: 0, result: 0 }]);
  assert.equal(line.level, false);
  assert.ok(bytes.subarray(1536, 2560).every((byte) => byte === 0x99));
});

test('flush, compare, write zeroes, dataset management, and what is refused', async () => {
  const { bench, bytes, enable, queues, io, submit, take, settle, disk } = setUp();
  enable();
  queues();
  const run = async (...args: Parameters<typeof io>) => {
    io(...args);
    await settle();
    return take(1)[0].status;
  };
  bench.ram.set(bytes.subarray(0, 512), DATA - RAM);
  assert.equal(await run(5, 1, 0, 1, DATA), 0);
  assert.equal(await run(5, 1, 1, 1, DATA), 0x285);
  assert.equal(await run(8, 1, 4, 3, 0), 0);
  assert.ok(bytes.subarray(2048, 3584).every((byte) => byte === 0));
  assert.notEqual(bytes[3585], 0);
  assert.equal(await run(0, 1, 0, 1, 0), 0);
  assert.equal((disk as MemoryDisk).flushes, 1);
  assert.equal(await run(2, 1, 8192, 1, DATA), 0x4080);
  assert.equal(await run(2, 1, 0, 2048, DATA, DATA), 0x4002);
  assert.equal(await run(2, 1, 0, 1, 0xffff_0000), 4);
  assert.equal(await run(2, 1, 0, 32, DATA, DATA + 4), 0x4013);
  assert.equal(await run(0x77, 1, 0, 1, DATA), 0x4001);
  submit(1, 2 | (1 << 16), 9, 0, 0, 0, 0, DATA);
  await settle();
  assert.equal(take(1)[0].status, 0x400b);
  writeU32(bench.ram, DATA - RAM + 4, 8);
  writeU64(bench.ram, DATA - RAM + 8, 8190);
  submit(1, 9, 1, 0, 0, 0, 0, DATA, 0, 0, 0, 0, 4);
  await settle();
  assert.equal(take(1)[0].status, 0x4080);
});

test('MSI-X: a message of the queue it belongs to', async () => {
  const { nvme, w, messages, line, enable, queues, io, settle } = setUp();
  w(0x2010, 0xfee0_0000);
  w(0x2018, 0x51);
  w(0x201c, 0);
  nvme.pci.writeConfig(0x42, 2, 0x8000);
  enable();
  queues();
  io(2, 1, 0, 1, DATA);
  await settle();
  assert.deepEqual([messages, line.rises], [[0x51], 0]);
});

test('a full completion queue holds completions back', async () => {
  const { enable, queues, io, take, settle, w } = setUp();
  enable();
  queues();
  for (let i = 0; i < 15; i++) io(2, i, i, 1, DATA);
  await settle();
  assert.equal(take(1, false).length, 15);
  for (let i = 0; i < 10; i++) io(2, 100 + i, i, 1, DATA);
  await settle();
  assert.equal(take(1).length, 0); // none fitted
  w(0x100c, 15);
  await settle();
  assert.deepEqual(
    take(1).map(({ id }) => id),
    [100, 101, 102, 103, 104, 105, 106, 107, 108, 109],
  );
});

test('commands in flight start over after a load', async () => {
  const from = setUp();
  from.enable();
  from.queues();
  from.io(2, 42, 5, 2, DATA);
  const to = setUp();
  to.bench.ram.set(from.bench.ram);
  load(to.nvme.pci.layout, to.nvme.pci.state, save(from.nvme.pci.layout, from.nvme.pci.state));
  load(to.nvme.layout, to.nvme.state, save(from.nvme.layout, from.nvme.state));
  to.nvme.pci.resumed();
  to.nvme.resumed();
  await to.settle();
  assert.deepEqual(to.take(1), [{ id: 42, status: 0, result: 0 }]);
  assert.deepEqual(to.bench.ram.slice(0x2_0000, 0x2_0400), to.bytes.slice(2560, 3584));
});

test('hostile queues, PRP lists and registers never throw, and commands still get through', async () => {
  const seed = testSeed(process.env);
  const random = new FuzzRandom(seed);
  const next = (below: number) => random.below(below);
  const { bench, nvme, w, r, enable, submit } = setUp();
  const address = () => (next(12) ? DATA + (next(4) ? 4096 * next(100) : next(0x10_0000)) : next(2 ** 24) * 256);
  for (let i = 0; i < 1000; i++) writeU64(bench.ram, DATA - RAM + 8 * next(0x2000), address());
  for (let step = 0; step < 6000; step++) {
    if (next(100) === 0) w(0x14, next(4) ? 0 : next(2 ** 24));
    if ((r(0x1c) & 3) !== 1 || next(300) === 0) {
      w(0x14, 0);
      enable();
      submit(0, 5, 0, 0, 0, 0, 0, CQ, 0, 0, 0, 0x000f_0001, 3);
      submit(0, 1, 0, 0, 0, 0, 0, SQ, 0, 0, 0, 0x000f_0001, 0x0001_0001);
    }
    const queue = next(4) ? 1 : 0;
    const opcode = queue ? [0, 1, 2, 5, 8, 9][next(6)] : next(14);
    const admin = [0, 1, 2, 3, next(256)][next(5)];
    const dword10 = queue ? next(9000) : admin | (next(20) << 16);
    submit(
      queue,
      opcode | (next(65536) << 16),
      next(8) ? 1 : next(9),
      0,
      0,
      0,
      0,
      address(),
      0,
      address(),
      0,
      dword10,
      next(50) ? 0 : 1,
      next(3) ? next(16) : next(400),
    );
    w(0x1004 + 8 * queue, next(17));
    if (next(30) === 0) w(4 * next(1024), next(2 ** 24));
    if (next(30) === 0) w(0x1000 + 4 * next(200), next(20));
    if (next(8) === 0) await setImmediate();
    if (next(400) === 0) {
      load(nvme.layout, nvme.state, save(nvme.layout, nvme.state));
      nvme.resumed();
    }
  }
  assert.ok(nvme.state.reads > 150, `TRAPFRAME_SEED=${seed}: ${nvme.state.reads}`);
});
