import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Oscillator } from './oscillator.ts';

test('a tick begins at its time and not a nanosecond earlier', () => {
  for (const hz of [1, 32_768, 1_193_182, 3_579_545, 9_000_000]) {
    const oscillator = new Oscillator(hz);
    for (const tick of [1, 2, 1000, hz - 1, hz, hz + 1, hz * 86_400 * 100 + 77]) {
      const time = oscillator.time(tick);
      assert.equal(oscillator.ticks(time), tick, `${hz} Hz, tick ${tick}`);
      assert.equal(oscillator.ticks(time - 1), tick - 1, `${hz} Hz, before tick ${tick}`);
    }
  }
  assert.equal(new Oscillator(32_768).ticks(1e9), 32_768);
  assert.throws(() => new Oscillator(10_000_000), RangeError);
});
