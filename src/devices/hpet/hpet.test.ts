import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testSeed } from '../../bits/test-seed.ts';
import { Probe, TestBench, TestLine } from '../../hw/test-bench.ts';
import { hammer } from '../../hw/test-fuzz.ts';
import { Hpet } from './hpet.ts';

const CONF = 0x10;
const STATUS = 0x20;
const COUNTER = 0xf0;
const TIMER = (n: number) => 0x100 + 0x20 * n;
const COMPARATOR = (n: number) => 0x108 + 0x20 * n;

const ENABLE = 4;
const LEVEL = 2;
const PERIODIC = 8;
const SET_VALUE = 0x40;
const MODE_32 = 0x100;
const route = (irq: number) => irq << 9;

function setUp() {
  const bench = new TestBench();
  const irqs = Array.from({ length: 24 }, () => new TestLine());
  const hpet = new Hpet('hpet', bench, irqs, 0xff_0104);
  hpet.reset();
  return { bench, irqs, hpet, probe: new Probe(hpet.mmio) };
}

test('identification and power-on values', () => {
  const { probe } = setUp();
  assert.equal(probe.r(0), 0x8086_a201);
  assert.equal(probe.r(4), 10_000_000);
  assert.deepEqual(
    [CONF, STATUS, COUNTER, COUNTER + 4].map((at) => probe.r(at)),
    [0, 0, 0, 0],
  );
  for (const n of [0, 1, 2]) {
    assert.equal(probe.r(TIMER(n)), 0x30);
    assert.equal(probe.r(TIMER(n) + 4), 0xff_0104);
    assert.equal(probe.r(COMPARATOR(n)), 0xffff_ffff);
    assert.equal(probe.r(COMPARATOR(n) + 4), 0xffff_ffff);
  }
  probe.w(TIMER(0), 0xffff_ffff);
  assert.equal(probe.r(TIMER(0)), 0x3f7e);
});

test('the main counter counts 100 MHz while it is on, and can be set while it is off', () => {
  const { bench, probe } = setUp();
  bench.advance(1e6);
  assert.equal(probe.r(COUNTER), 0);
  probe.w(COUNTER, 0xffff_fff0);
  probe.w(COUNTER + 4, 7);
  probe.w(CONF, 1);
  bench.advance(150);
  assert.deepEqual([probe.r(COUNTER), probe.r(COUNTER + 4)], [0xffff_ffff, 7]);
  bench.advance(10);
  assert.deepEqual([probe.r(COUNTER), probe.r(COUNTER + 4)], [0, 8]);
  probe.w(COUNTER, 5);
  assert.equal(bench.reports.length, 1);
  probe.w(CONF, 0);
  bench.advance(1e6);
  assert.deepEqual([probe.r(COUNTER), probe.r(COUNTER + 4)], [0, 8]);
});

test('one-shot, edge: one interrupt at its value', () => {
  const { bench, irqs, hpet, probe } = setUp();
  probe.w(CONF, 1);
  probe.w(TIMER(2), ENABLE | route(20));
  probe.w(COMPARATOR(2), 1000);
  probe.w(COMPARATOR(2) + 4, 0);
  bench.advance(9_990);
  assert.equal(irqs[20].rises, 0);
  bench.advance(10);
  assert.equal(irqs[20].rises, 1);
  assert.equal(probe.r(STATUS), 0);
  hpet.resumed();
  probe.w(TIMER(2), ENABLE | route(20));
  bench.advance(100e9);
  assert.equal(irqs[20].rises, 1);
  probe.w(COMPARATOR(2), 1); // past
  bench.advance(0);
  assert.equal(irqs[20].rises, 2);
});

test('32 bits: the value comes round again', () => {
  const { bench, irqs, probe } = setUp();
  probe.w(CONF, 1);
  probe.w(TIMER(2), ENABLE | MODE_32 | route(20));
  assert.equal(probe.r(COMPARATOR(2) + 4), 0);
  probe.w(COMPARATOR(2), 1000);
  bench.advance(10_000);
  assert.equal(irqs[20].rises, 1);
  bench.advance(0x1_0000_0000 * 10 - 10);
  assert.equal(irqs[20].rises, 1);
  bench.advance(10);
  assert.equal(irqs[20].rises, 2);
});

test('level: up until the status bit is written', () => {
  const { bench, irqs, hpet, probe } = setUp();
  probe.w(CONF, 1);
  probe.w(TIMER(1), ENABLE | LEVEL | MODE_32 | route(16));
  probe.w(COMPARATOR(1), 1000);
  bench.advance(10_000);
  assert.equal(irqs[16].level, true);
  assert.equal(probe.r(STATUS), 2);
  irqs[16].level = false;
  hpet.resumed();
  assert.equal(irqs[16].level, true);
  probe.w(STATUS, 5);
  assert.equal(irqs[16].level, true);
  probe.w(STATUS, 2);
  assert.equal(irqs[16].level, false);
  assert.equal(probe.r(STATUS), 0);
});

test('periodic, as Linux sets it up', () => {
  const { bench, irqs, probe } = setUp();
  probe.w(CONF, 3);
  bench.advance(5_000);
  probe.w(TIMER(0), ENABLE | PERIODIC | SET_VALUE | MODE_32);
  probe.w(COMPARATOR(0), 500 + 100_000);
  probe.w(COMPARATOR(0), 100_000);
  bench.advance(1e6 - 10);
  assert.equal(irqs[0].rises, 0);
  bench.advance(10);
  assert.equal(irqs[0].rises, 1);
  assert.equal(probe.r(COMPARATOR(0)), 200_500);
  bench.advance(1e9);
  assert.equal(irqs[0].rises, 1001);
  probe.w(TIMER(0), 0);
  bench.advance(1e9);
  assert.equal(irqs[0].rises, 1001);
});

test('a period that is too short is made longer', () => {
  const { bench, irqs, probe } = setUp();
  probe.w(CONF, 1);
  probe.w(TIMER(0), ENABLE | PERIODIC | SET_VALUE | MODE_32 | route(2));
  probe.w(COMPARATOR(0), 1);
  probe.w(COMPARATOR(0), 1);
  bench.advance(1e6);
  assert.ok(irqs[2].rises >= 99 && irqs[2].rises <= 102, `${irqs[2].rises}`);
});

test('legacy replacement takes the interrupts of the 8254 and the RTC away, and gives them back', () => {
  const { bench, irqs, hpet, probe } = setUp();
  hpet.pit.set(true);
  hpet.rtc.set(true);
  assert.deepEqual([irqs[0].level, irqs[8].level], [true, true]);
  probe.w(CONF, 3);
  assert.deepEqual([irqs[0].level, irqs[8].level], [false, false]);
  hpet.pit.set(false);
  hpet.pit.set(true);
  assert.equal(irqs[0].level, false);
  probe.w(TIMER(1), ENABLE | MODE_32 | route(20));
  probe.w(COMPARATOR(1), 100);
  bench.advance(1e6);
  assert.deepEqual([irqs[8].rises, irqs[20].rises], [2, 0]);
  hpet.rtc.set(false);
  probe.w(CONF, 1);
  assert.deepEqual([irqs[0].level, irqs[8].level], [true, false]);
});

test('interrupts that a timer cannot be routed to stay quiet', () => {
  const { bench, irqs, probe } = setUp();
  probe.w(CONF, 1);
  probe.w(TIMER(0), ENABLE | LEVEL | MODE_32 | route(5));
  probe.w(COMPARATOR(0), 100);
  bench.advance(1e6);
  assert.equal(probe.r(STATUS), 1);
  assert.deepEqual(
    irqs.map(({ level }) => level),
    irqs.map(() => false),
  );
});

const seed = testSeed(process.env);
test(`random accesses (TRAPFRAME_SEED=${seed})`, () => {
  const { bench, hpet, probe } = setUp();
  hammer({
    seed,
    bench,
    device: hpet,
    windows: [{ mmio: hpet.mmio, size: 0x160 }],
    also: (random) => {
      probe.w(CONF, random.below(4));
      const n = random.below(3);
      probe.w(TIMER(n), random.value());
      probe.w(COMPARATOR(n) + 4 * random.below(2), random.value());
      random.pick([hpet.pit, hpet.rtc]).set(random.below(2) === 1);
    },
  });
});
