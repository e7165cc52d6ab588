import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WallClock } from './wall-clock.ts';

test('the wall clock moves between its milliseconds, never leaves them and follows when it is set', () => {
  let time = 1000.7;
  let set = 5000;
  const clock = new WallClock(
    () => Math.floor(time + set),
    () => time,
  );
  let before = clock.now();
  const fractions = new Set<number>();
  for (let i = 0; i < 400; i++) {
    time += 0.3;
    const now = clock.now();
    assert.ok(now >= before && Math.floor(now) === Math.floor(time + set), `${now} at ${time + set}`);
    if (i > 100) assert.ok(Math.abs(now - (time + set)) < 0.31);
    fractions.add(Math.floor((now % 1) * 10));
    before = now;
  }
  assert.ok(fractions.size >= 9);
  set -= 100;
  assert.equal(Math.floor(clock.now()), Math.floor(time + set));
});
