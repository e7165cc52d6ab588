import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testSeed } from '../../bits/test-seed.ts';
import { Probe, TestBench, TestLine } from '../../hw/test-bench.ts';
import { hammer } from '../../hw/test-fuzz.ts';
import { nextAlarm, readTime, TIME, writeTime } from './calendar.ts';
import { Mc146818Rtc } from './mc146818rtc.ts';

function setUp(when = '2023-11-14T22:13:20Z') {
  const bench = new TestBench();
  bench.epochBase = Date.parse(when);
  const irq = new TestLine();
  const rtc = new Mc146818Rtc('rtc', bench, irq);
  rtc.reset();
  const probe = new Probe(rtc.mmio);
  const read = (at: number) => {
    probe.w(0, at, 1);
    return probe.r(1, 1);
  };
  const write = (at: number, value: number) => {
    probe.w(0, at, 1);
    probe.w(1, value, 1);
  };
  const time = () => [0x32, 9, 8, 7, 4, 2, 0].map(read);
  return { bench, irq, rtc, probe, read, write, time };
}

test('power-on registers, and the time in BCD', () => {
  const { bench, read, probe, time } = setUp();
  assert.deepEqual([0x0a, 0x0b, 0x0c, 0x0d].map(read), [0x26, 0x02, 0, 0x80]);
  assert.deepEqual(time(), [0x20, 0x23, 0x11, 0x14, 0x22, 0x13, 0x20]);
  assert.equal(read(6), 3); // Tuesday
  assert.equal(read(0x37), 0x20);
  assert.equal(probe.r(0, 1), 0xff);
  bench.advance(61e9);
  assert.deepEqual(time().slice(5), [0x14, 0x21]);
});

test('binary, and twelve hours', () => {
  const { bench, read, write, time } = setUp('2024-02-29T12:59:58Z');
  write(0x0b, 0x04);
  assert.deepEqual(time(), [20, 24, 2, 29, 0x8c, 59, 58]);
  bench.advance(2e9);
  assert.equal(read(4), 0x81);
  bench.advance(11 * 3600e9);
  assert.equal(read(4), 12); // midnight
  write(0x0b, 0x00);
  assert.equal(read(4), 0x12);
});

test('the guest sets the time, halted or running', () => {
  const { bench, rtc, read, write, time } = setUp();
  bench.advance(250e6);
  write(0x0b, 0x82);
  bench.advance(5e9);
  assert.equal(read(0), 0x20); // stands still
  const values = [0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59];
  [0x32, 9, 8, 7, 4, 2, 0].forEach((at, i) => {
    write(at, values[i]);
  });
  write(0x0b, 0x02);
  assert.deepEqual(time(), values);
  bench.advance(749e6);
  assert.deepEqual(time(), values); // the divider ran on
  bench.advance(1e6);
  assert.deepEqual(time(), [0x20, 0x00, 0x01, 0x01, 0, 0, 0]);
  write(4, 0x07);
  assert.deepEqual(time(), [0x20, 0x00, 0x01, 0x01, 0x07, 0, 0]);
  rtc.reset();
  assert.equal(read(4), 0x07);
});

test('the first update comes half a second after the divider is let go', () => {
  const { bench, read, write } = setUp();
  write(0x0a, 0x66);
  bench.advance(3.3e9);
  assert.equal(read(0), 0x20);
  write(0x0a, 0x26);
  bench.advance(499e6);
  assert.equal(read(0), 0x20);
  bench.advance(2e6);
  assert.equal(read(0), 0x21);
});

test('update in progress, just before the second changes', () => {
  const { bench, read } = setUp();
  bench.advance(999.5e6);
  assert.equal(read(0x0a), 0x26);
  bench.advance(0.3e6);
  assert.equal(read(0x0a), 0xa6);
  bench.advance(0.3e6);
  assert.equal(read(0x0a), 0x26);
});

test('the periodic interrupt has the chosen rate', () => {
  const { bench, irq, read, write } = setUp();
  for (const [rate, hz] of [
    [6, 1024],
    [1, 256],
    [3, 8192],
    [15, 2],
  ]) {
    write(0x0a, 0x20 | rate);
    read(0x0c);
    write(0x0b, 0x42);
    const before = irq.rises;
    for (let i = 0; i < 16384; i++) {
      bench.advance(1e9 / 16384);
      if (irq.level) assert.equal(read(0x0c) & 0xc0, 0xc0);
    }
    assert.ok(Math.abs(irq.rises - before - hz) <= 1, `${hz} Hz: ${irq.rises - before}`);
    write(0x0b, 0x02);
  }
  write(0x0a, 0x20);
  read(0x0c);
  write(0x0b, 0x42);
  bench.advance(1e9);
  assert.equal(irq.level, false);
});

test('the line falls when register C is read, though the next period begins meanwhile', () => {
  const { bench, irq, read, write } = setUp();
  write(0x0b, 0x42);
  bench.advance(1.1e9 / 1024);
  assert.equal(irq.level, true);
  // While register C is read, time moves on by half a period whenever somebody looks at it.
  const { now } = bench.clock;
  let looks = 0;
  let served = irq.rises;
  bench.clock.now = () => now() + ++looks * (1e9 / 2048);
  assert.equal(read(0x0c) & 0xc0, 0xc0);
  bench.clock.now = () => now() + looks * (1e9 / 2048);
  // The guest hears of edges only.
  for (let i = 0; i < 10; i++) {
    if (irq.rises > served) {
      served = irq.rises;
      read(0x0c);
    }
    bench.advance(1e9 / 1024);
  }
  assert.ok(irq.rises >= 7, `${irq.rises} edges`);
});

test('the update interrupt, each second; flags show without interrupts too', () => {
  const { bench, irq, read, write } = setUp();
  bench.advance(1.5e9);
  assert.equal(read(0x0c), 0x50);
  assert.equal(read(0x0c), 0);
  write(0x0b, 0x12);
  for (let i = 0; i < 3; i++) {
    bench.advance(499e6);
    assert.equal(irq.level, false);
    bench.advance(2e6);
    assert.equal(irq.level, true);
    assert.equal(read(0x0c) & 0xb0, 0x90);
    assert.equal(irq.level, false);
    bench.advance(499e6);
  }
  bench.advance(1e9);
  write(0x0b, 0x92); // SET clears UIE
  assert.equal(read(0x0b), 0x82);
  assert.equal(irq.level, false);
});

test('a flag that is up interrupts as soon as it is enabled', () => {
  const { bench, irq, write } = setUp();
  bench.advance(1.5e9);
  assert.equal(irq.level, false);
  write(0x0b, 0x12);
  assert.equal(irq.level, true);
  write(0x0b, 0x02);
  assert.equal(irq.level, false);
});

test('the alarm rings at its time, each day', () => {
  const { bench, irq, read, write } = setUp();
  write(5, 0x22);
  write(3, 0x13);
  write(1, 0x25);
  read(0x0c);
  write(0x0b, 0x22);
  bench.advance(4.9e9);
  assert.equal(irq.level, false);
  bench.advance(0.2e9);
  assert.equal(read(0x0c) & 0xa0, 0xa0);
  bench.advance(86_399.8e9);
  assert.equal(irq.level, false);
  bench.advance(0.2e9);
  assert.equal(irq.level, true);
  read(0x0c);
  for (const at of [1, 3, 5]) write(at, 0xff); // every second
  bench.advance(1e9);
  assert.equal(irq.level, true);
});

test('alarms agree with a search second by second', () => {
  const cmos = new Uint8Array(128);
  const format = { binary: true, hours24: true };
  const midnight = Date.UTC(2024, 0, 1) / 1000;
  for (const hour of [0, 13, 23, 0xff, 24]) {
    for (const minute of [0, 30, 59, 0xc0, 60]) {
      for (const second of [0, 45, 59, 0xff, 99]) {
        cmos.set([second, 0, minute, 0, hour].slice(0, 1), TIME.SECONDS_ALARM);
        cmos[TIME.MINUTES_ALARM] = minute;
        cmos[TIME.HOURS_ALARM] = hour;
        for (const after of [0, 44, 45, 1829, 48_644, 86_398, 86_399].map((at) => midnight + at)) {
          let expected = Infinity;
          for (let at = after + 1; at <= after + 86_400; at++) {
            const day = at % 86_400;
            const matches =
              (hour >= 0xc0 || hour === Math.floor(day / 3600)) &&
              (minute >= 0xc0 || minute === Math.floor(day / 60) % 60) &&
              (second >= 0xc0 || second === day % 60);
            if (!matches) continue;
            expected = at;
            break;
          }
          assert.equal(nextAlarm(cmos, after, format), expected, `${hour}:${minute}:${second} after ${after}`);
        }
      }
    }
  }
});

test('dates survive the way through the bytes', () => {
  const cmos = new Uint8Array(128);
  for (const binary of [false, true]) {
    for (const hours24 of [false, true]) {
      for (let seconds = 0; seconds < 4e9; seconds += 12_345_678) {
        writeTime(cmos, seconds, { binary, hours24 });
        assert.equal(readTime(cmos, { binary, hours24 }), seconds);
      }
    }
  }
});

test('memory that firmware reads, and the NMI mask', () => {
  const { rtc, probe, read } = setUp();
  rtc.setCmos(0x5f, 3);
  rtc.reset();
  assert.equal(read(0x5f), 3);
  assert.throws(() => rtc.setCmos(0x0b, 0), RangeError);
  assert.equal(rtc.nmiMasked, false);
  probe.w(0, 0x8d, 1);
  assert.equal(rtc.nmiMasked, true);
  assert.equal(probe.r(1, 1), 0x80);
});

const seed = testSeed(process.env);
test(`random accesses (TRAPFRAME_SEED=${seed})`, () => {
  const { bench, rtc, read, write } = setUp();
  hammer({
    seed,
    bench,
    device: rtc,
    windows: [{ mmio: rtc.mmio, size: 2 }],
    also: (random) => {
      write(random.below(16), random.value() & 0xff);
      read(random.below(16));
      assert.ok(Number.isFinite(rtc.now()));
    },
  });
});
