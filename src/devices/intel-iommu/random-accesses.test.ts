/** Random tables, ranges and register accesses. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writeU32 } from '../../bits/endian.ts';
import { testSeed } from '../../bits/test-seed.ts';
import { FuzzRandom, hammer } from '../../hw/test-fuzz.ts';
import { gather, scatter } from '../../hw/virtqueue.ts';
import { FAULT } from './faults.ts';
import { READ, UnitDriver, WRITE } from './test-driver.ts';

const EDU = 0x0008;

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
