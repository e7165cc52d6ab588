import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testSeed } from './test-seed.ts';

test('the seed is 1, the number that was given, or one that the whole process shares', () => {
  assert.equal(testSeed({}), 1);
  assert.equal(testSeed({ TRAPFRAME_SEED: '' }), 1);
  assert.equal(testSeed({ TRAPFRAME_SEED: '4294967295' }), 0xffff_ffff);
  const picked = testSeed({ TRAPFRAME_SEED: 'random' });
  assert.ok(Number.isInteger(picked) && picked >= 0 && picked < 2 ** 32);
  assert.equal(testSeed({ TRAPFRAME_SEED: 'random' }), picked);
});

test('what is no seed is refused', () => {
  for (const wrong of ['x', '-1', '1.5', '4294967296'])
    assert.throws(() => testSeed({ TRAPFRAME_SEED: wrong }), RangeError);
});
