import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readU32, writeU32 } from '../../bits/endian.ts';
import { testSeed } from '../../bits/test-seed.ts';
import { Bus } from '../../hw/bus.ts';
import { PciBus } from '../../hw/pci-bus.ts';
import { enumerate } from '../../hw/pci-test-driver.ts';
import { PortBus } from '../../hw/ports.ts';
import { TestBench, TestLine } from '../../hw/test-bench.ts';
import { hammer } from '../../hw/test-fuzz.ts';
import type { AccessSize } from '../../hw/device.ts';
import { load, save } from '../../state/codec.ts';
import { Edu } from './edu.ts';

const AT = { ID: 0, LIVE: 4, FACTORIAL: 8, STATUS: 0x20, CAUSES: 0x24, RAISE: 0x60, ACKNOWLEDGE: 0x64 } as const;
const DMA = { SOURCE: 0x80, TARGET: 0x88, COUNT: 0x90, COMMAND: 0x98 } as const;
const BUFFER = 0x4_0000;
const RAM = 0x10_0000;

function setUp(mask?: bigint) {
  const bench = new TestBench(RAM, 0x1_0000);
  const memory = new Bus();
  const line = new TestLine();
  const messages: [number, number][] = [];
  const message = (address: number, data: number) => messages.push([address, data]);
  const bus = new PciBus({ memory, ports: new PortBus(), route: () => 0, lines: [line], message });
  const edu = new Edu('edu', bench, mask);
  bus.add(edu.pci, 3);
  const [found] = enumerate(bus);
  const base = found.bars.get(0)?.base ?? 0;
  const r = (at: number, size: AccessSize = 4) => memory.read(base + at, size);
  const w = (at: number, value: number) => memory.write(base + at, 4, value);
  /** Moves bytes, and lets the time pass that this takes. */
  const move = (source: number, target: number, count: number, command: number) => {
    w(DMA.SOURCE, source);
    w(DMA.TARGET, target);
    w(DMA.COUNT, count);
    w(DMA.COMMAND, command);
    assert.equal(r(DMA.COMMAND), command);
    bench.advance(1e8);
    assert.equal(r(DMA.COMMAND), command & ~1);
  };
  return { bench, edu, found, line, messages, r, w, move };
}

test('the function, its identification and its liveness check are QEMU’s', () => {
  const { found, r, w } = setUp();
  assert.equal(found.id, 0x11e8_1234);
  assert.equal(found.r(8), 0x00ff_0010);
  assert.deepEqual(found.capabilities(5), [0x40]);
  assert.equal(found.bars.get(0)?.size, 0x10_0000);
  assert.equal(r(AT.ID), 0x0100_00ed);
  w(AT.LIVE, 0x1234_5678);
  assert.equal(r(AT.LIVE), ~0x1234_5678 >>> 0);
});

test('a factorial takes its time, and interrupts whom it may', () => {
  const { bench, line, r, w } = setUp();
  w(AT.FACTORIAL, 10);
  assert.equal(r(AT.STATUS), 1);
  w(AT.FACTORIAL, 3); // while it computes nothing else is taken
  bench.advance(10);
  assert.deepEqual([r(AT.STATUS), r(AT.FACTORIAL), line.level], [0, 3628800, false]);
  w(AT.STATUS, 0xff);
  assert.equal(r(AT.STATUS), 0x80);
  for (const [n, product] of [
    [0, 1],
    [13, 1932053504], // modulo 2^32
    [33, 2147483648],
    [34, 0],
    [0xffff_ffff, 0],
  ]) {
    w(AT.FACTORIAL, n);
    bench.advance(n);
    assert.equal(r(AT.FACTORIAL), product);
    assert.deepEqual([r(AT.CAUSES), line.level], [1, true]);
    w(AT.ACKNOWLEDGE, 1);
    assert.deepEqual([r(AT.CAUSES), line.level], [0, false]);
  }
});

test('interrupts to order, by the pin or as messages', () => {
  const { found, line, messages, r, w } = setUp();
  w(AT.RAISE, 0x1_0002);
  w(AT.RAISE, 4);
  assert.deepEqual([r(AT.CAUSES), line.level], [0x1_0006, true]);
  w(AT.ACKNOWLEDGE, 6);
  assert.equal(line.level, true);
  w(AT.ACKNOWLEDGE, 0x1_0000);
  assert.equal(line.level, false);
  w(AT.RAISE, 0);
  assert.equal(line.level, false);
  found.w(0x44, 0xfee0_1000);
  found.w(0x4c, 0x61, 2);
  found.w(0x42, 1, 2);
  w(AT.RAISE, 1);
  w(AT.RAISE, 1);
  assert.deepEqual(messages, [
    [0xfee0_1000, 0x61],
    [0xfee0_1000, 0x61],
  ]);
  assert.equal(line.level, false);
});

test('DMA both ways, within the buffer, and with as much of an address as the mask lets through', () => {
  const { bench, line, move, r, w } = setUp();
  writeU32(bench.ram, 0x100, 0x1234_5678);
  move(RAM + 0x100, BUFFER + 8, 4, 1);
  move(BUFFER + 8, RAM + 0x200, 4, 3);
  assert.equal(readU32(bench.ram, 0x200), 0x1234_5678);
  assert.equal(line.level, false);
  // Bits above 27 are cut.
  move(BUFFER + 8, 0xf000_0000 + RAM + 0x300, 4, 7);
  assert.equal(readU32(bench.ram, 0x300), 0x1234_5678);
  assert.deepEqual([r(AT.CAUSES), line.level, bench.reports.length], [0x100, true, 1]);
  for (const [source, target, count, command] of [
    [BUFFER + 0xffd, RAM, 4, 3],
    [BUFFER - 1, RAM, 4, 3],
    [RAM, BUFFER, 0x1001, 1],
    [RAM, 0, 4, 1],
    [0, BUFFER, 4, 1], // no RAM there
  ])
    move(source, target, count, command);
  assert.equal(bench.reports.length, 6);
  // While it moves, nothing is changed; and a high half counts.
  w(DMA.SOURCE, BUFFER);
  w(DMA.SOURCE + 4, 1);
  assert.equal(r(DMA.SOURCE + 4), 1);
  w(DMA.COMMAND, 3);
  w(DMA.SOURCE, 0);
  w(DMA.COMMAND, 1);
  assert.deepEqual([r(DMA.SOURCE), r(DMA.SOURCE + 4), r(DMA.COMMAND)], [BUFFER, 1, 3]);
  bench.advance(1e8);
  assert.equal(bench.reports.length, 7);
  w(DMA.COMMAND, 2); // without a start it is nothing
  assert.equal(r(DMA.COMMAND), 2);
});

test('another mask, and no bus master', () => {
  const { bench, found, move } = setUp(0xffff_ffff_ffff_ffffn);
  move(BUFFER, 0x1000_0000 + RAM, 4, 3);
  assert.deepEqual(bench.reports, ['edu: DMA to 0x10100000, which is not there']);
  found.w(4, 2, 2);
  move(BUFFER, RAM, 4, 3);
  assert.equal(bench.reports.length, 2);
});

test('what is under way is saved', () => {
  const [from, to] = [setUp(), setUp()];
  writeU32(to.bench.ram, 0, 77);
  from.w(DMA.SOURCE, RAM);
  from.w(DMA.TARGET, BUFFER);
  from.w(DMA.COUNT, 4);
  from.w(DMA.COMMAND, 1);
  from.w(AT.FACTORIAL, 5);
  load(to.edu.layout, to.edu.state, save(from.edu.layout, from.edu.state));
  to.edu.resumed();
  to.bench.advance(1e8);
  assert.equal(to.r(AT.FACTORIAL), 120);
  assert.equal(readU32(to.edu.state.buffer, 0), 77);
});

const seed = testSeed(process.env);
test(`random accesses (TRAPFRAME_SEED=${seed})`, () => {
  const { bench, edu } = setUp();
  const bar = edu.pci.options.bars?.[0].mmio;
  assert.ok(bar);
  const window = {
    widths: bar.widths,
    read: (at: number, size: AccessSize) => bar.read(at, size),
    write: (at: number, size: AccessSize, value: number) => bar.write(at, size, value),
  };
  hammer({ seed, bench, device: edu, windows: [{ mmio: window, size: 0xa0 }] });
});
