import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readU32, writeU32 } from '../../bits/endian.ts';
import { testSeed } from '../../bits/test-seed.ts';
import { FuzzRandom, hammer } from '../../hw/test-fuzz.ts';
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

test('what was found stays until it is invalidated, by the right domain, pages or device', () => {
  const driver = new UnitDriver();
  const tables = [1, 2].map((domain) => driver.context(domain, { domain }));
  const slots = tables.map((table) => driver.map(table, 0x3000, 0x80_0000));
  const large = driver.map(tables[0], 0x20_0000, 0x80_0000, 3, 2);
  driver.start();
  const at = (source: number, address = 0x3000) => driver.unit.space(() => source).readable(address, 4)?.byteOffset;
  const all = () => [at(1), at(2), at(1, 0x20_1000)];
  assert.deepEqual(all(), [0x80_0000, 0x80_0000, 0x80_1000]);
  for (const slot of slots) driver.entry(slot, 0x90_0003, 0);
  driver.entry(large, 0xa0_0083, 0);
  assert.deepEqual(all(), [0x80_0000, 0x80_0000, 0x80_1000]);
  driver.invalidate(0x32 | (1 << 16), 0, 0x4000); // a page beside it
  assert.deepEqual(all(), [0x80_0000, 0x80_0000, 0x80_1000]);
  driver.invalidate(0x32 | (1 << 16), 0, 0x2001); // two pages, of domain 1
  assert.deepEqual(all(), [0x90_0000, 0x80_0000, 0x80_1000]);
  driver.invalidate(0x32 | (1 << 16), 0, 0x3f_f000); // one page of a large one
  assert.deepEqual(all(), [0x90_0000, 0x80_0000, 0xa0_1000]);
  driver.invalidate(0x22 | (2 << 16)); // domain 2
  assert.deepEqual(all(), [0x90_0000, 0x90_0000, 0xa0_1000]);
  // Contexts: requester 1 moves to the tables and the domain of requester 2.
  const other = driver.map(tables[1], 0x3000, 0xb0_0000);
  driver.context(1, { domain: 2, table: tables[1] });
  assert.equal(at(1), 0x90_0000);
  driver.invalidate(0x31, 2); // of device 2
  assert.equal(at(1), 0x90_0000);
  driver.invalidate(0x31, 2 | (3 << 16)); // of any function of its slot
  driver.invalidate(0x12);
  assert.equal(at(1), 0xb0_0000);
  // By registers, which need the queue to be off.
  driver.entry(other, 0xc0_0003, 0);
  driver.probe.w(REG.IOTLB + 4, 0x9000_0000);
  assert.equal(driver.probe.r(REG.IOTLB + 4) & 0x8600_0000, 0);
  assert.equal(at(1), 0xb0_0000);
  driver.probe.w(REG.GCMD, GO.TRANSLATE);
  driver.probe.w(REG.IVA, 0x3000);
  driver.probe.w(REG.IOTLB + 4, 0xb000_0002);
  assert.equal(driver.probe.r(REG.IOTLB + 4), 0x3600_0002);
  assert.equal(at(1), 0xc0_0000);
  driver.probe.w(REG.IVA, 0x3f);
  driver.probe.w(REG.IOTLB + 4, 0xb000_0002);
  assert.equal(driver.probe.r(REG.IOTLB + 4), 0x3000_0002); // more pages than can be told: nothing was done
  driver.context(1, { domain: 1, table: tables[0] });
  driver.probe.w(REG.CCMD, 2);
  driver.probe.w(REG.CCMD + 4, 0xc000_0000);
  assert.equal(driver.probe.r(REG.CCMD + 4), 0x5000_0000);
  assert.equal(at(1), 0x90_0000);
  assert.equal(driver.fault(), undefined);
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

test('the queue: status words, completion interrupts, errors that stop it, and its end', () => {
  const driver = new UnitDriver();
  const { probe, bench, sent } = driver;
  driver.start();
  driver.invalidate(0x25, 0x1234_5678, 0x80_0000);
  assert.equal(readU32(bench.ram, 0x80_0000), 0x1234_5678);
  assert.equal(probe.r(REG.IQH), 0x10);
  probe.w(REG.IEADDR, 0xfee0_2000);
  probe.w(REG.IEDATA, 0x62);
  driver.invalidate(0x15);
  assert.deepEqual([probe.r(REG.ICS), probe.r(REG.IECTL), sent.length], [1, 0xc000_0000, 0]);
  probe.w(REG.IECTL, 0);
  assert.deepEqual([probe.r(REG.IECTL), sent.length, sent[0]?.vector], [0, 1, 0x62]);
  driver.invalidate(0x15); // nobody took the first
  assert.equal(sent.length, 1);
  probe.w(REG.ICS, 1);
  driver.invalidate(0x15);
  assert.equal(sent.length, 2);
  driver.invalidate(0x14); // interrupt entries
  assert.equal(driver.changes, 1);
  // No such descriptor: the queue stops there and goes on when it is mended and the error is cleared.
  const bad = probe.r(REG.IQT);
  for (const [word, second] of [
    [0, 0],
    [9, 0],
    [0x01, 0], // contexts, but which?
    [0x41, 0],
    [0x13, 0], // device TLBs
    [0x32, 1],
  ]) {
    driver.invalidate(word, second);
    assert.deepEqual([probe.r(REG.FSTS), probe.r(REG.IQH)], [0x10, bad]);
    driver.invalidate(0x25, 7, 0x80_0004);
    assert.equal(readU32(bench.ram, 0x80_0004), 0);
    driver.entry(driver.queue + bad, 0x12, 0);
    probe.w(REG.FSTS, 0x10);
    assert.deepEqual([probe.r(REG.FSTS), probe.r(REG.IQH)], [0, bad + 0x20]);
    assert.equal(readU32(bench.ram, 0x80_0004), 7);
    writeU32(bench.ram, 0x80_0004, 0);
    probe.w(REG.GCMD, GO.TRANSLATE);
    assert.equal(probe.r(REG.IQH), 0);
    for (let at = 0; at < bad; at += 8) driver.entry(driver.queue + at, at % 16 ? 0 : 0x12, 0);
    probe.w(REG.IQT, bad);
    driver.command(GO.QUEUE);
    assert.equal(probe.r(REG.IQH), bad);
  }
  // Round its end, and a tail that is outside.
  for (let n = 0; n < 300; n++) driver.invalidate(0x25, n, 0x80_0000);
  assert.equal(readU32(bench.ram, 0x80_0000), 299);
  probe.w(REG.IQT, 0x1000);
  assert.equal(probe.r(REG.FSTS), 0x10);
});

test('without translation in the unit it cannot be switched on', () => {
  const driver = new UnitDriver({ dmaTranslation: false, interrupts: false });
  driver.probe.w(REG.GCMD, 0xffff_ffff);
  assert.equal(driver.probe.r(REG.GSTS), (GO.ROOT | GO.QUEUE) >>> 0);
});

/** The slow way: no caches, sizes or levels; pages by number. */
type Model = Map<number, { host: number; access: number; mapped: Mapped }>;
type Mapped = { address: number; size: number; slot: number };

const seed = testSeed(process.env);
test(`random tables and ranges against a map of pages (TRAPFRAME_SEED=${seed})`, () => {
  const random = new FuzzRandom(seed);
  for (let round = 0; round < 6; round++) {
    const levels = random.pick([3, 4]);
    const driver = new UnitDriver({ addressBits: levels === 4 ? 48 : 39 });
    const { ram } = driver.bench;
    for (let i = 0x40_0000; i < ram.length; i += 4) writeU32(ram, i, Math.imul(i, 0x9e37_79b1) >>> 0);
    const bases = [0, 0x1ff000, 0x4000_0000 - 0x2000, 2 ** (levels === 4 ? 47 : 38)];
    const table = driver.context(EDU, { levels });
    const model: Model = new Map();
    const tables = new Set<number>();
    const put = (): void => {
      const large = random.below(6) === 0;
      const size = large ? 0x20_0000 : 0x1000;
      const wanted = random.pick(bases) + 0x1000 * random.below(24);
      const address = wanted - (wanted % size);
      const host = large ? 0x20_0000 * (2 + random.below(6)) : 0x40_0000 + 0x1000 * random.below(0xc00);
      const access = random.below(5) ? 3 : random.below(4);
      // A small page is not put inside a large one, nor the other way round.
      for (let page = address; page < address + size; page += 0x1000) if (model.has(page / 0x1000)) return;
      const area = address - (address % 0x20_0000);
      // Where a table of small pages was, there are only small ones.
      if (large && tables.has(area)) return;
      if (!large) tables.add(area);
      const slot = driver.map(table, address, host, access, large ? 2 : 1, levels);
      const mapped = { address, size, slot };
      for (let page = 0; page < size; page += 0x1000)
        model.set((address + page) / 0x1000, { host: host + page, access, mapped });
    };
    const take = (): void => {
      const { mapped } = random.pick([...model.values()]);
      driver.entry(mapped.slot, 0, 0);
      for (let page = 0; page < mapped.size; page += 0x1000) model.delete((mapped.address + page) / 0x1000);
      const low = (mapped.address % 2 ** 32) + (mapped.size === 0x1000 ? 0 : 9);
      driver.invalidate(0x32 | (1 << 16), 0, low, Math.floor(mapped.address / 2 ** 32));
    };
    for (let n = 0; n < 40; n++) put();
    driver.start();
    const space = driver.unit.space(() => EDU);
    for (let n = 0; n < 400; n++) {
      const address = random.pick(bases) + random.below(0x1_8000);
      const length = 1 + random.below(random.pick([16, 0x1000, 0x6000]));
      const write = random.below(2) === 1;
      const expected: number[] = [];
      for (let at = address; at < address + length; at++) {
        const page = model.get(Math.floor(at / 0x1000));
        if (!page || !(page.access & (write ? WRITE : READ))) break;
        expected.push(page.host + (at % 0x1000));
      }
      const bytes = new Uint8Array(length);
      if (write) {
        bytes.forEach((_, i) => {
          bytes[i] = Math.imul(i + n, 0x85eb_ca6b) >>> 13;
        });
        const ours = scatter(space, [{ address, length }], 0, bytes);
        assert.equal(ours, expected.length);
        // Pages may share memory: what was written last stays.
        const last = new Map(expected.map((at, i) => [at, bytes[i]]));
        for (const [at, byte] of last) if (ram[at] !== byte) assert.equal(ram[at], byte);
      } else {
        assert.equal(gather(space, [{ address, length }], 0, bytes), expected.length);
        const wrong = expected.findIndex((at, i) => ram[at] !== bytes[i]);
        assert.equal(wrong, -1);
        const whole = space.readable(address, length);
        assert.equal(whole !== undefined, expected.length === length);
        if (whole) assert.equal(Buffer.compare(whole, bytes), 0);
      }
      const refused = expected.length < length;
      const fault = driver.fault();
      assert.equal(fault !== undefined, refused);
      if (fault) {
        const first = address + expected.length;
        assert.equal(fault.address, first - (first % 0x1000));
        assert.equal(fault.reason, write ? FAULT.WRITE : FAULT.READ);
        driver.takeFault();
      }
      if (random.below(10) === 0 && model.size > 0) take();
      if (random.below(8) === 0) put();
    }
  }
});

test(`random accesses (TRAPFRAME_SEED=${seed})`, () => {
  const driver = new UnitDriver();
  const { bench, unit } = driver;
  const table = driver.context(EDU);
  driver.map(table, 0, 0x80_0000);
  hammer({
    seed,
    bench,
    device: unit,
    windows: [{ mmio: unit.mmio, size: 0x230 }],
    also: (random) => {
      const space = unit.space(() => random.pick([EDU, random.below(0x1_0000)]));
      const address = random.pick([random.below(0x4000), random.value() * random.pick([1, 2 ** 20, 2 ** 32])]);
      const length = random.below(0x3000);
      const bytes = space.readable(address, length);
      if (bytes && bytes.length !== length) throw new Error('a length that was not asked for');
      space.writable(address, length);
      const stretch = space.stretch?.(address, length, random.below(2) === 1) ?? 0;
      if (!(stretch >= 0 && stretch <= length)) throw new Error(`a stretch of ${stretch}`);
      unit.message(0xfee0_0000 + random.below(0x10_0000), random.value(), random.below(0x1_0000));
      if (random.below(10) === 0) bench.ram[random.below(0x8000)] = random.next();
      if (random.below(30) === 0) driver.start();
    },
  });
  unit.reset();
  assert.equal(unit.idle, true);
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
