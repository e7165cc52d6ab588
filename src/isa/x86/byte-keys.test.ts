import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../../../test/differential/random.ts';
import { testSeed } from '../../bits/test-seed.ts';
import { ByteKeys } from './byte-keys.ts';

test('a table of keys does what a Map does, also when it grows and after it was cleared', () => {
  const seed = testSeed(process.env);
  console.log(`seed ${seed}`);
  const random = new Random(seed);
  const keys = new ByteKeys<number>();
  for (let round = 0; round < 3; round++) {
    const known = new Map<string, number>();
    for (let n = 0; n < 20_000; n++) {
      // Few different ones, so that many are met again.
      const high = (1 + random.below(6)) << (8 * random.below(3));
      const low = random.below(4000) * (random.below(2) === 0 ? 1 : 0x01000193);
      assert.equal(keys.get(high, low | 0), known.get(`${high}/${low | 0}`));
      keys.set(high, low | 0, n);
      known.set(`${high}/${low | 0}`, n);
    }
    for (const [name, n] of known) {
      const [high, low] = name.split('/').map(Number);
      assert.equal(keys.get(high, low), n);
    }
    keys.clear();
    for (const name of known.keys())
      assert.equal(keys.get(...(name.split('/').map(Number) as [number, number])), undefined);
  }
});
