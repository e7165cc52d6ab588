/** What the compiler writes is what it wrote before, or somebody has looked at the difference. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { goldenFiles } from './subjects.ts';

const MEND = 'if that is wanted: npm run golden, then read the difference';
const files = goldenFiles();

for (const [name, text] of files) {
  test(name, () => {
    assert.equal(text, readFileSync(join(import.meta.dirname, name), 'utf8'), `${name} has changed; ${MEND}`);
  });
}

test('there are no others', () => {
  const there = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.txt'));
  assert.deepEqual(there.sort(), [...files.keys()].sort(), MEND);
});
