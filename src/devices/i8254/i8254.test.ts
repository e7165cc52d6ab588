import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testSeed } from '../../bits/test-seed.ts';
import { Oscillator } from '../../hw/oscillator.ts';
import { Probe, TestBench, TestLine } from '../../hw/test-bench.ts';
import { hammer } from '../../hw/test-fuzz.ts';
import { fromBcd, remaining, toBcd } from './counting.ts';
import { I8254, PIT_HZ } from './i8254.ts';

const oscillator = new Oscillator(PIT_HZ);

function setUp() {
  const bench = new TestBench();
  const irq = new TestLine();
  const pit = new I8254('i8254', bench, irq);
  pit.reset();
  const probe = new Probe(pit.mmio);
  /** Lets the clock reach the beginning of tick `tick` since power-on. */
  const at = (tick: number) => bench.advance(oscillator.time(tick) - bench.clock.now());
  const program = (counter: number, mode: number, count: number) => {
    probe.w(3, (counter << 6) | 0x30 | (mode << 1), 1);
    probe.w(counter, count & 0xff, 1);
    probe.w(counter, count >> 8, 1);
  };
  const word = (counter: number) => probe.r(counter, 1) | (probe.r(counter, 1) << 8);
  return { bench, irq, pit, probe, at, program, word };
}

test('after reset counter 0 makes 18.2 square waves a second', () => {
  const { bench, irq } = setUp();
  bench.advance(10e9);
  assert.equal(irq.rises, 1 + 182);
});

test('mode 2: one edge a period, low for the last tick', () => {
  const { irq, pit, at, program, word } = setUp();
  program(0, 2, 100);
  const before = irq.rises;
  assert.equal(word(0), 100);
  at(99);
  assert.equal(pit.out(0), false);
  assert.equal(word(0), 1);
  assert.equal(irq.rises, before);
  at(100);
  assert.equal(pit.out(0), true);
  assert.equal(irq.rises, before + 1);
  at(100_000);
  assert.equal(irq.rises, before + 1000);
});

test('mode 0: the line rises once, at terminal count', () => {
  const { bench, irq, at, probe, program, word } = setUp();
  program(0, 0, 1000);
  assert.equal(irq.level, false);
  at(999);
  assert.equal(irq.level, false);
  at(1000);
  assert.equal(irq.level, true);
  const rises = irq.rises;
  at(1002);
  assert.equal(word(0), 0xfffe);
  bench.advance(1e9);
  assert.equal(irq.rises, rises);
  probe.w(0, 5, 1); // the first byte of a new count
  assert.equal(irq.level, false);
  bench.advance(1e9);
  assert.equal(irq.level, false);
  probe.w(0, 0, 1);
  bench.advance(1e6);
  assert.equal(irq.level, true);
});

test('mode 3: high for the longer half; counts by two', () => {
  const { pit, at, program, word } = setUp();
  program(1, 3, 7);
  const seen = [0, 1, 2, 3, 4, 5, 6, 7].map((tick) => {
    at(tick);
    return pit.out(1);
  });
  assert.deepEqual(seen, [true, true, true, true, false, false, false, true]);
  program(1, 3, 1000);
  at(7 + 10);
  assert.equal(word(1), 980);
});

test('mode 4: a strobe after the count, once', () => {
  const { bench, irq, pit, at, program } = setUp();
  program(0, 4, 50);
  const rises = irq.rises;
  at(49);
  assert.equal(pit.out(0), true);
  at(50);
  assert.equal(pit.out(0), false);
  assert.equal(irq.rises, rises);
  bench.advance(1e9);
  assert.equal(irq.rises, rises + 1);
});

test('gate 2 stops mode 0 and lets it go on; it restarts mode 3', () => {
  const { pit, at, program, word } = setUp();
  program(2, 0, 100);
  at(30);
  assert.equal(word(2), 100); // the gate is closed at reset
  pit.setGate(2, true);
  at(50);
  pit.setGate(2, false);
  at(90);
  assert.equal(word(2), 80);
  pit.setGate(2, true);
  at(90 + 79);
  assert.equal(pit.out(2), false);
  at(90 + 80);
  assert.equal(pit.out(2), true);
  program(2, 3, 100);
  at(200);
  assert.equal(pit.frequency(2), PIT_HZ / 100);
  pit.setGate(2, false);
  assert.equal(pit.frequency(2), 0);
  pit.setGate(2, true);
  assert.equal(word(2), 100);
});

test('mode 1 waits for its trigger and can be triggered again', () => {
  const { pit, at, program } = setUp();
  program(2, 1, 10);
  assert.equal(pit.out(2), true);
  pit.setGate(2, true);
  assert.equal(pit.out(2), false);
  at(5);
  pit.setGate(2, false);
  pit.setGate(2, true);
  at(14);
  assert.equal(pit.out(2), false);
  at(15);
  assert.equal(pit.out(2), true);
});

test('a latched count stands until it was read; read-back latches status and counts', () => {
  const { probe, at, program, word } = setUp();
  program(0, 2, 0x1234);
  at(4);
  probe.w(3, 0x00, 1);
  at(8);
  probe.w(3, 0x00, 1); // no second latch
  assert.equal(word(0), 0x1230);
  assert.equal(word(0), 0x122c);
  probe.w(3, 0xc2, 1); // status and count of counter 0
  at(20);
  assert.equal(probe.r(0, 1), 0xb4);
  assert.equal(word(0), 0x122c);
  probe.w(3, 0x70, 1); // counter 1, mode 0, no count yet
  probe.w(3, 0xe4, 1);
  assert.equal(probe.r(1, 1), 0x70);
});

test('one-byte access and BCD', () => {
  const { probe, at } = setUp();
  probe.w(3, 0x54, 1); // counter 1, low byte, mode 2
  probe.w(1, 18, 1);
  at(3);
  assert.equal(probe.r(1, 1), 15);
  probe.w(3, 0x75, 1); // counter 1, word, mode 2, BCD
  probe.w(1, 0x00, 1);
  probe.w(1, 0x10, 1);
  at(4);
  assert.equal(probe.r(1, 1) | (probe.r(1, 1) << 8), 0x0999);
  assert.equal(toBcd(fromBcd(0x9876)), 0x9876);
  assert.equal(remaining(0, 3, 5, 10_000), 9998);
});

test('a saved timer goes on', () => {
  const { bench, irq, pit, at, program } = setUp();
  program(0, 2, 11_932);
  at(100);
  const saved = structuredClone(pit.state);
  pit.reset();
  Object.assign(pit.state, saved);
  const rises = irq.rises;
  pit.resumed();
  bench.advance(1e9);
  assert.equal(irq.rises, rises + 100);
});

const seed = testSeed(process.env);
test(`random accesses (TRAPFRAME_SEED=${seed})`, () => {
  const { bench, pit } = setUp();
  hammer({
    seed,
    bench,
    device: pit,
    windows: [{ mmio: pit.mmio, size: 4 }],
    also: (random) => pit.setGate(2, random.below(2) === 1),
  });
});
