import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readU32, writeU32 } from '../../bits/endian.ts';
import { gather, scatter } from '../../hw/virtqueue.ts';
import { load, save } from '../../state/codec.ts';
import { FAULT } from './faults.ts';
import { GO, READ, REG, UnitDriver, WRITE } from './test-driver.ts';

const EDU = 0x0008;
const words = (driver: UnitDriver) => [8, 12, 16, 20].map((at) => driver.probe.r(at).toString(16));

test('the capability registers are those of QEMU 7.2', () => {
  assert.deepEqual(words(new UnitDriver()), ['22260206', 'd2008c', 'f00f4a', '0']);
  const all = { addressBits: 48, cachingMode: true, snoopControl: true, extendedInterrupts: true };
  assert.deepEqual(words(new UnitDriver(all)), ['222f0686', 'd2008c', 'f00fda', '0']);
  const none = { passThrough: false, drain: false, interrupts: false, dmaTranslation: false };
  assert.deepEqual(words(new UnitDriver(none)), ['22260006', '12008c', 'f00f02', '0']);
  assert.equal(new UnitDriver().probe.r(REG.VER), 0x10);
});

test('memory is what it is until translation is on, and then what the tables say', () => {
  const driver = new UnitDriver();
  const { bench } = driver;
  const space = driver.unit.space(() => EDU);
  assert.equal(space.readable(0x80_0000, 4)?.byteOffset, 0x80_0000);
  const table = driver.context(EDU);
  driver.map(table, 0, 0x80_3000);
  driver.map(table, 0x1000, 0x80_4000); // its neighbour in memory, too
  driver.map(table, 0x2000, 0x90_0000, READ);
  driver.map(table, 0x4020_0000, 0xa0_0000, WRITE, 2);
  driver.start();
  assert.equal(driver.probe.r(REG.GSTS), (GO.TRANSLATE | GO.ROOT | GO.QUEUE) >>> 0);
  assert.equal(space.readable(0xffc, 8)?.byteOffset, 0x80_3ffc);
  assert.equal(space.stretch?.(0x10, 0x5000, false), 0x1ff0);
  assert.equal(driver.fault(), undefined); // nobody touched what lies behind
  assert.equal(space.writable(0x4020_1234, 0x1000)?.byteOffset, 0xa0_1234);
  // Two pages that lie apart: readable as a copy, not writable as one.
  bench.ram.fill(1, 0x80_4ffe, 0x80_5000);
  bench.ram.fill(2, 0x90_0000, 0x90_0002);
  assert.deepEqual([...(space.readable(0x1ffe, 4) ?? [])], [1, 1, 2, 2]);
  assert.equal(space.writable(0xffe, 4)?.byteOffset, 0x80_3ffe);
  driver.map(table, 0x5000, 0x80_8000);
  driver.map(table, 0x6000, 0x80_6000);
  assert.equal(space.writable(0x5ffe, 4), undefined);
  assert.equal(driver.fault(), undefined);
  const bytes = Uint8Array.of(5, 6, 7, 8);
  assert.equal(scatter(space, [{ address: 0x5ffe, length: 4 }], 0, bytes), 4);
  assert.deepEqual(
    [...bench.ram.subarray(0x80_8ffe, 0x80_9000), ...bench.ram.subarray(0x80_6000, 0x80_6002)],
    [...bytes],
  );
  const back = new Uint8Array(4);
  assert.equal(gather(space, [{ address: 0x5ffe, length: 4 }], 0, back), 4);
  assert.deepEqual(back, bytes);
});

test('each thing that can be wrong has its own fault', () => {
  const driver = new UnitDriver();
  const { ram } = driver.bench;
  driver.start();
  const reason = (source: number, address: number, write = false) => {
    const space = driver.unit.space(() => source);
    driver.invalidate(0x11); // all contexts
    driver.invalidate(0x12); // all pages
    assert.equal(space[write ? 'writable' : 'readable'](address, 4), undefined);
    return driver.takeFault();
  };
  assert.equal(reason(EDU, 0), FAULT.ROOT_PRESENT);
  const table = driver.context(EDU);
  const context = driver.pointer(driver.root) + 16 * EDU;
  assert.equal(reason(EDU + 1, 0), FAULT.CONTEXT_PRESENT);
  assert.equal(reason(EDU, 0), FAULT.READ);
  assert.equal(reason(EDU, 0, true), FAULT.WRITE);
  assert.equal(reason(EDU, 2 ** 39), FAULT.ADDRESS_WIDTH);
  assert.equal(reason(EDU, 2 ** 64), FAULT.ADDRESS_WIDTH);
  const slot = driver.map(table, 0, 0x80_0000, READ);
  assert.equal(reason(EDU, 0, true), FAULT.WRITE);
  driver.entry(slot, 0x80_0803, 0);
  assert.equal(reason(EDU, 0), FAULT.PAGE_RESERVED);
  driver.entry(slot, 0x80_0003, 0x80); // an address of 40 bits
  assert.equal(reason(EDU, 0), FAULT.PAGE_RESERVED);
  driver.entry(table, 0x3, 0x70); // the next table is not in RAM
  assert.equal(reason(EDU, 0), FAULT.PAGE_ACCESS);
  driver.entry(table + 8, 0x4000_1083, 0); // a page of 1 GiB that does not begin at one
  assert.equal(reason(EDU, 2 ** 30), FAULT.PAGE_RESERVED);
  for (const [at, word, fault] of [
    [context + 8, 3, FAULT.CONTEXT_INVALID], // 57 bits
    [context + 8, 2, FAULT.CONTEXT_INVALID], // 48
    [context + 8, 1 | (1 << 31), FAULT.CONTEXT_RESERVED],
    [context, table | 0x11, FAULT.CONTEXT_RESERVED],
    [context, table | 5, FAULT.CONTEXT_INVALID], // device TLBs
    [context, table | 13, FAULT.CONTEXT_INVALID],
    [driver.root, readU32(ram, driver.root) | 4, FAULT.ROOT_RESERVED],
  ]) {
    const before = readU32(ram, at);
    writeU32(ram, at, word >>> 0);
    assert.equal(reason(EDU, 0), fault);
    writeU32(ram, at, before);
  }
  const before = readU32(ram, driver.root);
  writeU32(ram, driver.root, 0x7000_0001);
  assert.equal(reason(EDU, 0), FAULT.CONTEXT_ACCESS);
  writeU32(ram, driver.root, before);
  // "No fault" is heeded, present or not.
  driver.context(EDU, { table, flags: 2 });
  assert.equal(reason(EDU, 0x5000), undefined);
  writeU32(ram, context, 2);
  assert.equal(reason(EDU, 0), undefined);
  driver.probe.w(REG.RTADDR, 0x7000_0000);
  driver.command(GO.ROOT);
  assert.equal(reason(EDU, 0), FAULT.ROOT_ACCESS);
});

test('pass-through takes addresses as they are, up to its width; interrupts are nobody’s memory', () => {
  const driver = new UnitDriver();
  driver.context(EDU, { type: 2, table: 0 });
  driver.map(driver.context(EDU + 1), 0xfee0_0000, 0x80_0000);
  driver.start();
  const space = driver.unit.space(() => EDU);
  assert.equal(space.readable(0x80_0000, 4)?.byteOffset, 0x80_0000);
  assert.equal(space.stretch?.(0x10, 0x50_0000, true), 0x50_0000);
  assert.equal(space.readable(2 ** 39, 4), undefined);
  assert.equal(driver.takeFault(), FAULT.ADDRESS_WIDTH);
  assert.equal(driver.unit.space(() => EDU + 1).readable(0xfee0_0000, 4), undefined);
  assert.equal(driver.fault(), undefined);
  const without = new UnitDriver({ passThrough: false });
  without.context(EDU, { type: 2, table: 0 });
  without.start();
  assert.equal(without.unit.space(() => EDU).readable(0, 4), undefined);
  assert.equal(without.takeFault(), FAULT.CONTEXT_INVALID);
});

test('rights that are given count at once', () => {
  const driver = new UnitDriver();
  const slot = driver.map(driver.context(EDU), 0, 0x80_0000, READ);
  driver.start();
  const space = driver.unit.space(() => EDU);
  assert.ok(space.readable(0, 4));
  driver.entry(slot, 0x80_0003, 0);
  assert.ok(space.writable(0, 4));
});

test('a fault is recorded once, more of the same requester with it, and others overflow', () => {
  const driver = new UnitDriver();
  driver.start();
  const { probe, sent } = driver;
  probe.w(REG.FEADDR, 0xfee0_1000);
  probe.w(REG.FEDATA, 0x61);
  const reach = (source: number, address: number, write = false) =>
    driver.unit.space(() => source)[write ? 'writable' : 'readable'](address, 1);
  reach(0x123, 0x5678);
  assert.deepEqual(driver.fault(), { address: 0x5000, source: 0x123, reason: 1, read: true });
  assert.equal(probe.r(REG.FSTS), 2);
  assert.equal(probe.r(REG.FECTL), 0xc000_0000);
  assert.deepEqual(sent, []);
  probe.w(REG.FECTL, 0);
  assert.equal(probe.r(REG.FECTL), 0);
  assert.deepEqual(
    sent.map(({ destination, vector, mode }) => [destination, vector, mode]),
    [[1, 0x61, 0]],
  );
  reach(0x123, 0x9000, true);
  assert.equal(probe.r(REG.FSTS), 2);
  reach(0x124, 0x12_3456_7000, true);
  assert.equal(probe.r(REG.FSTS), 3);
  assert.equal(driver.fault()?.address, 0x5000);
  assert.equal(driver.takeFault(), 1);
  assert.equal(probe.r(REG.FSTS), 1);
  reach(0x124, 0);
  assert.equal(driver.fault(), undefined); // until the overflow is dealt with
  probe.w(REG.FSTS, 1);
  reach(0x124, 0x12_3456_7000, true);
  assert.deepEqual(driver.fault(), { address: 0x12_3456_7000, source: 0x124, reason: 1, read: false });
  assert.equal(sent.length, 2);
  // Masked and dealt with before anybody was told: nothing is due any more.
  driver.takeFault();
  probe.w(REG.FECTL, 0x8000_0000);
  reach(1, 0);
  assert.equal(probe.r(REG.FECTL), 0xc000_0000);
  driver.takeFault();
  assert.equal(probe.r(REG.FECTL), 0x8000_0000);
});

test('without translation in the unit it cannot be switched on', () => {
  const driver = new UnitDriver({ dmaTranslation: false, interrupts: false });
  driver.probe.w(REG.GCMD, 0xffff_ffff);
  assert.equal(driver.probe.r(REG.GSTS), (GO.ROOT | GO.QUEUE) >>> 0);
});

test('a saved state brings translation back', () => {
  const [from, to] = [new UnitDriver(), new UnitDriver()];
  for (const driver of [from, to]) driver.map(driver.context(EDU), 0, 0x80_0000);
  from.start();
  load(to.unit.layout, to.unit.state, save(from.unit.layout, from.unit.state));
  to.unit.resumed();
  assert.equal(to.unit.space(() => EDU).readable(4, 4)?.byteOffset, 0x80_0004);
  assert.equal(to.probe.r(REG.GSTS), from.probe.r(REG.GSTS));
});
