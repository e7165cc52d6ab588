import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testSeed } from '../../bits/test-seed.ts';
import { Probe, TestBench, TestLine } from '../../hw/test-bench.ts';
import { hammer } from '../../hw/test-fuzz.ts';
import { I8259 } from './i8259.ts';

function setUp(icw4 = 1) {
  const bench = new TestBench();
  const int = new TestLine();
  const pic = new I8259('i8259', bench.log, int);
  pic.reset();
  const master = new Probe(pic.master);
  const slave = new Probe(pic.slave);
  for (const [probe, base, cascade] of [
    [master, 0x08, 4],
    [slave, 0x70, 2],
  ] as const) {
    probe.w(0, 0x11, 1);
    probe.w(1, base, 1);
    probe.w(1, cascade, 1);
    probe.w(1, icw4, 1);
  }
  const pulse = (irq: number) => {
    pic.wire(irq, true);
    pic.wire(irq, false);
  };
  return { bench, int, pic, master, slave, elcr: new Probe(pic.elcr), pulse };
}

test('an edge is requested, acknowledged, served and ended; lower priorities wait', () => {
  const { int, pic, master, pulse } = setUp();
  pulse(4);
  assert.equal(int.level, true);
  assert.equal(master.r(0, 1), 0x10); // IRR
  assert.equal(pic.acknowledge(), 0x0c);
  assert.equal(int.level, false);
  master.w(0, 0x0b, 1);
  assert.equal(master.r(0, 1), 0x10); // ISR
  pulse(6);
  assert.equal(int.level, false);
  pulse(1);
  assert.equal(int.level, true);
  assert.equal(pic.acknowledge(), 0x09);
  master.w(0, 0x20, 1);
  assert.equal(master.r(0, 1), 0x10);
  master.w(0, 0x20, 1);
  assert.equal(pic.acknowledge(), 0x0e);
});

test('masked inputs are remembered and do not interrupt', () => {
  const { int, pic, master, pulse } = setUp();
  master.w(1, 0x10, 1);
  pulse(4);
  assert.equal(int.level, false);
  assert.equal(master.r(1, 1), 0x10);
  master.w(1, 0, 1);
  assert.equal(pic.acknowledge(), 0x0c);
});

test('the slave goes through input 2, with an end of interrupt for each', () => {
  const { int, pic, master, slave, pulse } = setUp();
  pulse(8);
  assert.equal(master.r(0, 1), 4);
  assert.equal(pic.acknowledge(), 0x70);
  pulse(9);
  assert.equal(int.level, false);
  pulse(3);
  assert.equal(int.level, false); // input 2 is served
  slave.w(0, 0x20, 1);
  master.w(0, 0x62, 1); // specific
  assert.equal(pic.acknowledge(), 0x71);
});

test('in special fully nested mode the slave interrupts its own service', () => {
  const { int, pic, master, slave, pulse } = setUp(0x11);
  pulse(12);
  pic.acknowledge();
  pulse(8);
  assert.equal(int.level, true);
  assert.equal(pic.acknowledge(), 0x70);
  slave.w(0, 0x0b, 1);
  assert.equal(slave.r(0, 1), 0x11);
  master.w(0, 0x0b, 1);
  assert.equal(master.r(0, 1), 4);
});

test('nothing left: spurious 7 of the master, 15 of the slave', () => {
  const { pic, master, elcr } = setUp();
  assert.equal(pic.acknowledge(), 0x0f);
  master.w(0, 0x0b, 1);
  assert.equal(master.r(0, 1), 0); // not in service
  elcr.w(1, 0x08, 1);
  pic.wire(11, true);
  pic.wire(11, false); // falls before it is taken; the master has latched the slave's INT
  assert.equal(pic.acknowledge(), 0x77);
  assert.equal(master.r(0, 1), 4);
});

test('a level-triggered input asks until its wire falls', () => {
  const { int, pic, master, elcr } = setUp();
  elcr.w(0, 0xff, 1);
  elcr.w(1, 0xff, 1);
  assert.equal(elcr.r(0, 1), 0xf8);
  assert.equal(elcr.r(1, 1), 0xde);
  pic.wire(5, true);
  assert.equal(pic.acknowledge(), 0x0d);
  master.w(0, 0x20, 1);
  assert.equal(int.level, true);
  pic.wire(5, false);
  assert.equal(int.level, false);
});

test('ICW1 forgets edges, masks and modes', () => {
  const { int, pic, master, pulse } = setUp();
  master.w(1, 0xff, 1);
  pulse(3);
  master.w(0, 0x11, 1);
  assert.equal(master.r(0, 1), 0);
  master.w(1, 0x20, 1);
  master.w(1, 4, 1);
  master.w(1, 1, 1);
  assert.equal(master.r(1, 1), 0);
  pulse(0);
  assert.equal(int.level, true);
  assert.equal(pic.acknowledge(), 0x20);
});

test('automatic end of interrupt, rotating', () => {
  const { pic, master, pulse } = setUp(3);
  master.w(0, 0x80, 1);
  pulse(0);
  assert.equal(pic.acknowledge(), 8);
  pulse(0);
  pulse(1);
  assert.equal(pic.acknowledge(), 9); // 0 is the lowest now
  assert.equal(pic.acknowledge(), 8);
});

test('priorities rotate on end of interrupt and by command', () => {
  const { pic, master, pulse } = setUp();
  pulse(3);
  pic.acknowledge();
  master.w(0, 0xa0, 1);
  pulse(3);
  pulse(4);
  assert.equal(pic.acknowledge(), 0x0c);
  master.w(0, 0xe4, 1); // end of 4, lowest now
  pulse(4);
  assert.equal(pic.acknowledge(), 0x0b);
  master.w(0, 0x63, 1);
  master.w(0, 0xc7, 1); // 7 lowest: power-on order
  pulse(0);
  assert.equal(pic.acknowledge(), 8);
});

test('special mask mode lets every input but the masked ones interrupt', () => {
  const { int, pic, master, pulse } = setUp();
  pulse(0);
  pic.acknowledge();
  pulse(5);
  assert.equal(int.level, false);
  master.w(1, 0x01, 1);
  master.w(0, 0x68, 1);
  assert.equal(int.level, true);
  master.w(0, 0x48, 1);
  assert.equal(int.level, false);
});

test('a poll acknowledges', () => {
  const { int, master, pulse } = setUp();
  master.w(0, 0x0c, 1);
  assert.equal(master.r(0, 1), 0);
  pulse(6);
  master.w(0, 0x0c, 1);
  assert.equal(master.r(0, 1), 0x86);
  assert.equal(int.level, false);
  master.w(0, 0x0b, 1);
  assert.equal(master.r(0, 1), 0x40);
});

const seed = testSeed(process.env);
test(`random accesses (TRAPFRAME_SEED=${seed})`, () => {
  const { bench, pic } = setUp();
  const windows = [pic.master, pic.slave, pic.elcr].map((mmio) => ({ mmio, size: 2 }));
  hammer({
    seed,
    bench,
    device: pic,
    windows,
    also: (random) => {
      const irq = random.below(16);
      if (irq !== 2) pic.wire(irq, random.below(2) === 1);
      const vector = pic.acknowledge();
      assert.ok(vector >= 0 && vector < 256);
    },
  });
});
