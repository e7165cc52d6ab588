import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testSeed } from '../../bits/test-seed.ts';
import { Probe, TestBench } from '../../hw/test-bench.ts';
import { hammer } from '../../hw/test-fuzz.ts';
import { PcSpeaker } from './pcspk.ts';

function setUp() {
  const bench = new TestBench();
  const timer = {
    gate: true,
    level: false,
    setGate(counter: number, level: boolean) {
      assert.equal(counter, 2);
      this.gate = level;
    },
    out: (counter: number) => counter === 2 && timer.level,
  };
  const speaker = new PcSpeaker('pcspk', bench, timer);
  speaker.reset();
  return { bench, timer, speaker, probe: new Probe(speaker.mmio) };
}

test('gate, speaker and the output of counter 2', () => {
  const { timer, speaker, probe } = setUp();
  assert.equal(timer.gate, false);
  probe.w(0, 0xff, 1);
  assert.equal(timer.gate, true);
  assert.equal(speaker.audible, true);
  assert.equal(probe.r(0, 1) & ~0x10, 0x03);
  timer.level = true;
  assert.equal(probe.r(0, 1) & ~0x10, 0x23);
  probe.w(0, 0, 1);
  assert.deepEqual([timer.gate, speaker.audible], [false, false]);
});

test('the refresh bit toggles every 15 microseconds', () => {
  const { bench, probe } = setUp();
  let toggles = 0;
  let last = probe.r(0, 1);
  for (let i = 0; i < 10_000; i++) {
    bench.advance(1000);
    const now = probe.r(0, 1);
    if (now !== last) toggles++;
    last = now;
  }
  assert.ok(Math.abs(toggles - 10_000 / 15.085) < 2, `${toggles}`);
});

const seed = testSeed(process.env);
test(`random accesses (TRAPFRAME_SEED=${seed})`, () => {
  const { bench, speaker } = setUp();
  hammer({ seed, bench, device: speaker, windows: [{ mmio: speaker.mmio, size: 1 }], steps: 2000 });
});
