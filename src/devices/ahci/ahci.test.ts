import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { readU32, writeU16, writeU32 } from '../../bits/endian.ts';
import { testSeed } from '../../bits/test-seed.ts';
import { AtaDisk } from '../../hw/ata/ata-disk.ts';
import { AtapiCdrom } from '../../hw/ata/atapi-cdrom.ts';
import { Bus } from '../../hw/bus.ts';
import type { Disk } from '../../hw/disk.ts';
import { PciBus } from '../../hw/pci-bus.ts';
import { PortBus } from '../../hw/ports.ts';
import { Probe, TestBench, TestLine } from '../../hw/test-bench.ts';
import { FuzzRandom } from '../../hw/test-fuzz.ts';
import { load, save } from '../../state/codec.ts';
import { MemoryDisk } from '../../storage/memory.ts';
import { Ahci } from './ahci.ts';

const RAM = 0x10_0000;
const LIST = RAM;
const FRAMES = RAM + 0x400;
const TABLES = RAM + 0x1000;
const DATA = RAM + 0x1_0000;

function setUp(own?: Disk) {
  const bench = new TestBench(RAM, 0x4_0000);
  const line = new TestLine();
  const messages: number[] = [];
  const bus = new PciBus({
    memory: new Bus(),
    ports: new PortBus(),
    route: () => 0,
    lines: [line],
    message: (_, data) => messages.push(data),
  });
  const hba = new Ahci('ahci', bench);
  bus.add(hba.pci, 31, 2);
  hba.pci.writeConfig(4, 2, 7);
  const bytes = new Uint8Array(4096 * 512).map((_, i) => (i >> 9) + i);
  const disk = new AtaDisk('hd0', bench.log, own ?? new MemoryDisk(bytes));
  const cd = new AtapiCdrom('cd0', bench.log, new MemoryDisk(bytes.slice(0, 65536), { readOnly: true }));
  hba.attach(0, disk);
  hba.attach(1, cd);
  const io = new Probe(hba.mmio);
  const at = (port: number, register: number) => 0x100 + 0x80 * port + register;
  const start = (port: number) => {
    io.w(at(port, 0), LIST);
    io.w(at(port, 4), 0);
    io.w(at(port, 8), FRAMES);
    io.w(at(port, 0xc), 0);
    io.w(at(port, 0x14), 0xffff_ffff);
    io.w(at(port, 0x18), 0x17);
    io.w(at(port, 0x10), 0xffff_ffff);
    io.w(4, 2);
    io.w(8, 0xffff_ffff);
  };
  /** Fills a slot: a register frame and PRDs. */
  const put = (slot: number, frame: number[], prds: [number, number][] = [], packet: number[] = []) => {
    const table = TABLES - RAM + 0x200 * slot;
    bench.ram.fill(0, table, table + 0x200);
    bench.ram.set([0x27, 0x80, ...frame], table);
    bench.ram.set(packet, table + 0x40);
    prds.forEach(([address, length], i) => {
      writeU32(bench.ram, table + 0x80 + 16 * i, address);
      writeU32(bench.ram, table + 0x80 + 16 * i + 12, length - 1);
    });
    writeU32(bench.ram, 32 * slot, 5);
    writeU16(bench.ram, 32 * slot + 2, prds.length);
    writeU32(bench.ram, 32 * slot + 4, 0);
    writeU32(bench.ram, 32 * slot + 8, RAM + table);
  };
  const settle = async () => {
    for (let i = 0; i < 20; i++) await setImmediate();
  };
  const r = (port: number, register: number) => io.r(at(port, register));
  const w = (port: number, register: number, value: number) => io.w(at(port, register), value);
  return { bench, line, messages, hba, bytes, disk, cd, io, start, put, settle, r, w };
}
type Setup = ReturnType<typeof setUp>;

function dma48(command: number, lba: number, count: number): number[] {
  return [command, 0, lba & 0xff, lba >> 8, 0, 0x40, 0, 0, 0, 0, count & 0xff, count >> 8];
}

test('ports show their drives after frames are received', () => {
  const { io, r, start, hba } = setUp();
  assert.equal(io.r(0), 0xc014_1f05);
  assert.equal(io.r(0x0c), 0x3f);
  assert.equal(hba.pci.readConfig(0, 4), 0x2922_8086);
  assert.deepEqual([r(0, 0x28), r(2, 0x28), r(0, 0x24)], [0x113, 0, 0xffff_ffff]);
  start(0);
  assert.deepEqual([r(0, 0x24), r(0, 0x20)], [0x101, 0x150]);
  start(1);
  assert.deepEqual([r(1, 0x24), r(1, 0x18) & 0x100_0000], [0xeb14_0101, 0x100_0000]);
  start(2);
  assert.equal(r(2, 0x24), 0xffff_ffff);
});

test('IDENTIFY by PIO: PIO setup and register frames, data, interrupt', async () => {
  const { bench, line, r, w, io, start, put, settle } = setUp();
  start(0);
  put(3, [0xec], [[DATA, 512]]);
  w(0, 0x38, 8);
  await settle();
  assert.deepEqual([r(0, 0x38), r(0, 0x10), line.level, io.r(8)], [0, 3, true, 1]);
  assert.equal(readU32(bench.ram, 32 * 3 + 4), 512);
  assert.equal(bench.ram[DATA - RAM + 2 * 76 + 1], 1);
  assert.deepEqual([bench.ram[0x420], bench.ram[0x440]], [0x5f, 0x34]);
  w(0, 0x10, 3);
  assert.equal(line.level, true);
  io.w(8, 1);
  assert.equal(line.level, false);
});

test('DMA through several PRDs in both directions; short tables overflow', async () => {
  const { bench, bytes, r, w, start, put, settle } = setUp();
  start(0);
  put(0, dma48(0x25, 700, 8), [
    [DATA, 1000],
    [DATA + 0x1000, 3096],
  ]);
  put(1, dma48(0x35, 3, 1), [[DATA + 0x3000, 512]]);
  bench.ram.fill(0x5a, DATA - RAM + 0x3000, DATA - RAM + 0x3200);
  w(0, 0x38, 3);
  await settle();
  assert.equal(r(0, 0x38), 0);
  const got = Buffer.concat([
    bench.ram.subarray(0x1_0000, 0x1_0000 + 1000),
    bench.ram.subarray(0x1_1000, 0x1_1000 + 3096),
  ]);
  assert.deepEqual(got, Buffer.from(bytes.slice(700 * 512, 708 * 512)));
  assert.ok(bytes.subarray(1536, 2048).every((byte) => byte === 0x5a));
  put(0, dma48(0x25, 0, 2), [[DATA, 512]]);
  w(0, 0x38, 1);
  await settle();
  assert.equal(r(0, 0x10) & 0x100_0000, 0x100_0000);
});

test('queued commands run together and complete by device bits', async () => {
  const { bench, bytes, r, w, start, put, settle } = setUp();
  start(0);
  for (let slot = 0; slot < 32; slot++) {
    const writes = slot === 7;
    const lba = writes ? 2000 : 64 * slot;
    const frame = [writes ? 0x61 : 0x60, 2, lba & 0xff, lba >> 8, 0, 0xc0, 0, 0, 0, 0, slot << 3];
    put(slot, frame, [[DATA + 1024 * slot, 1024]]);
  }
  bench.ram.fill(0x33, DATA - RAM + 7 * 1024, DATA - RAM + 8 * 1024);
  w(0, 0x34, 0xffff_ffff);
  w(0, 0x38, 0xffff_ffff);
  assert.equal(r(0, 0x38), 0);
  assert.equal(r(0, 0x34), 0xffff_ffff);
  await settle();
  assert.deepEqual([r(0, 0x34), r(0, 0x10)], [0, 8]);
  for (const slot of [0, 9, 31]) {
    const from = DATA - RAM + 1024 * slot;
    assert.deepEqual(bench.ram.slice(from, from + 1024), bytes.slice(64 * 512 * slot, 64 * 512 * slot + 1024));
  }
  assert.ok(bytes.subarray(2000 * 512, 2002 * 512).every((byte) => byte === 0x33));
});

test('an error halts the port until it is restarted', async () => {
  const { r, w, start, put, settle } = setUp();
  start(0);
  put(0, dma48(0x25, 9000, 1), [[DATA, 512]]);
  put(1, dma48(0x25, 0, 1), [[DATA, 512]]);
  w(0, 0x38, 3);
  await settle();
  assert.equal(r(0, 0x10), 0x4000_0001);
  assert.equal(r(0, 0x20), 0x1051);
  assert.equal(r(0, 0x38), 3);
  w(0, 0x18, 0x16);
  assert.equal(r(0, 0x38), 0);
  w(0, 0x18, 0x17);
  w(0, 0x10, 0xffff_ffff);
  w(0, 0x38, 2);
  await settle();
  assert.deepEqual([r(0, 0x38), r(0, 0x10)], [0, 1]);
  put(4, [0x60, 1, 0, 0x80, 0, 0x40, 0, 0, 0, 0, 4 << 3], [[DATA, 512]]);
  w(0, 0x34, 0x10);
  w(0, 0x38, 0x10);
  await settle();
  assert.deepEqual([r(0, 0x10) & 0x4000_0008, r(0, 0x34)], [0x4000_0008, 0x10]);
});

test('packets over AHCI, by DMA and PIO; COMRESET and software reset', async () => {
  const { bench, bytes, r, w, start, put, settle } = setUp();
  start(1);
  put(0, [0xa0, 1, 0, 0, 8, 0xa0], [[DATA, 4096]], [0x28, 0, 0, 0, 0, 3, 0, 0, 2]);
  put(1, [0xa0, 0, 0, 0, 8, 0xa0], [[DATA + 0x2000, 8]], [0x25]);
  w(1, 0x38, 3);
  await settle();
  assert.equal(r(1, 0x38), 0);
  assert.deepEqual(bench.ram.slice(0x1_0000, 0x1_1000), bytes.slice(6144, 10240));
  assert.deepEqual([...bench.ram.subarray(0x1_2000, 0x1_2008)], [0, 0, 0, 31, 0, 0, 8, 0]);
  w(1, 0x2c, 0x301);
  w(1, 0x2c, 0x300);
  assert.deepEqual([r(1, 0x24), r(1, 0x20) & 0xff], [0xeb14_0101, 0]);
  put(0, []);
  bench.ram.set([0x27, 0, 0], 0x1000);
  bench.ram[0x100f] = 4;
  w(1, 0x38, 1);
  assert.equal(r(1, 0x20) & 0x80, 0x80);
  bench.ram[0x100f] = 0;
  w(1, 0x38, 1);
  assert.deepEqual([r(1, 0x20) & 0x80, r(1, 0x38)], [0, 0]);
});

test('MSI: a message for each completion', async () => {
  const { hba, messages, line, w, io, start, put, settle } = setUp();
  hba.pci.writeConfig(0x84, 4, 0xfee0_0000);
  hba.pci.writeConfig(0x8c, 2, 0x41);
  hba.pci.writeConfig(0x82, 2, 1);
  start(0);
  for (let i = 0; i < 2; i++) {
    put(0, dma48(0x25, 0, 1), [[DATA, 512]]);
    w(0, 0x38, 1);
    await settle();
    w(0, 0x10, 1);
    io.w(8, 1);
  }
  assert.deepEqual([messages, line.rises], [[0x41, 0x41], 0]);
});

function transplant(from: Setup, to: Setup): void {
  to.bench.ram.set(from.bench.ram);
  const devices = ({ hba, disk, cd }: Setup) => [hba.pci, hba, ...hba.ports, disk, cd];
  const targets = devices(to);
  devices(from).forEach((device, i) => {
    load(targets[i].layout, targets[i].state, save(device.layout, device.state));
  });
  for (const device of targets) device.resumed?.();
}

test('queued and unqueued commands in flight start over after a load', async () => {
  for (const queued of [true, false]) {
    const from = setUp();
    from.start(0);
    const frame = queued ? [0x60, 2, 5, 0, 0, 0x40, 0, 0, 0, 0, 0] : dma48(0x25, 5, 2);
    from.put(0, frame, [[DATA, 1024]]);
    if (queued) from.w(0, 0x34, 1);
    from.w(0, 0x38, 1);
    const to = setUp();
    transplant(from, to);
    await to.settle();
    assert.deepEqual([to.r(0, 0x34), to.r(0, 0x38), to.line.level], [0, 0, true]);
    assert.deepEqual(to.bench.ram.slice(0x1_0000, 0x1_0400), to.bytes.slice(2560, 3584));
  }
});

test('hostile lists, tables and registers never throw', async () => {
  const seed = testSeed(process.env);
  const random = new FuzzRandom(seed);
  const next = (below: number) => random.below(below);
  const setup = setUp();
  const { bench, io, hba, put } = setup;
  let finished = 0;
  for (let step = 0; step < 6000; step++) {
    const port = next(3);
    const slot = next(32);
    const command = [0x25, 0x35, 0x60, 0x61, 0xa0, 0xec, 0x20, 0x24, 0x34, 0xc8, 0xea, 0x00][next(12)];
    const lba = next(4500);
    const frame = [
      command,
      next(4),
      lba & 0xff,
      lba >> 8,
      next(64) ? 0 : 9,
      0x40,
      0,
      0,
      0,
      0,
      next(9),
      next(64) ? 0 : 255,
    ];
    const prds = Array.from({ length: next(5) }, (): [number, number] => [
      next(10) ? DATA + next(0x8000) : next(2 ** 24) * 256,
      1 + (next(10) ? next(5000) : next(2 ** 22)),
    ]);
    put(slot, frame, prds, [0x28, 0, 0, 0, 0, next(40), 0, 0, next(4)]);
    if (next(20) === 0) writeU16(bench.ram, 32 * slot + 2, next(65536));
    if (next(40) === 0) writeU32(bench.ram, 32 * slot + 8, next(2 ** 24) * 256);
    if (next(30) === 0) setup.start(port);
    // An error halts a port until ST is cleared: as a driver does it, sooner or later.
    if (hba.ports[port].state.halted && next(8) === 0) {
      setup.w(port, 0x18, 0x16);
      setup.start(port);
    }
    if (next(40) === 0) io.w(0x100 + 0x80 * port + 4 * next(32), next(2 ** 24) * 256 + next(256));
    io.w(0x100 + 0x80 * port + 0x34, 1 << slot);
    io.w(0x100 + 0x80 * port + 0x38, 1 << slot);
    assert.ok(io.r(4 * next(256)) >= 0);
    if (next(10) === 0) await setImmediate();
    if (hba.ports[0].state.is & 9) {
      finished++;
      setup.w(0, 0x10, 9);
    }
    if (next(1000) === 0) io.w(4, 1);
    if (next(500) === 0) transplant(setup, setup);
  }
  assert.ok(finished > 100, `TRAPFRAME_SEED=${seed}: ${finished}`);
});
