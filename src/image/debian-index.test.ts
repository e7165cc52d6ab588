import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { findPackages, parseRelease } from './debian-index.ts';
import { compareVersions } from './debian-version.ts';

const ORDERED = [
  '1.0~rc1-1',
  '1.0-1~bpo12+1',
  '1.0-1',
  '1.0-1+b1',
  '1.0-1+deb12u1',
  '1.0-1.1',
  '1.0a-1',
  '1.0+dfsg-1',
  '1.9-1',
  '1.10-1',
  '6.12.94-1',
  '6.12.107-1',
  '1:0.1-1',
];

test('version order', () => {
  for (const [i, a] of ORDERED.entries()) {
    for (const [j, b] of ORDERED.entries()) {
      assert.equal(Math.sign(compareVersions(a, b)), Math.sign(i - j), `${a} against ${b}`);
    }
  }
  assert.equal(compareVersions('1.00-1', '1.0-1'), 0);
});

test('version order is dpkg`s', (t) => {
  if (spawnSync('dpkg', ['--version']).error !== undefined) return t.skip('no dpkg on this host');
  for (let i = 1; i < ORDERED.length; i++) {
    const { status } = spawnSync('dpkg', ['--compare-versions', ORDERED[i - 1], 'lt', ORDERED[i]]);
    assert.equal(status, 0, `${ORDERED[i - 1]} against ${ORDERED[i]}`);
  }
});

const HASH = 'ab'.repeat(32);

test('Packages', () => {
  const record = (name: string, file: string): string =>
    `Package: ${name}\nVersion: 1:2-3\nDescription: x\n long: text\nFilename: ${file}\nSize: 12\nSHA256: ${HASH}\n`;
  const index = [record('a-1', 'pool/a.deb'), record('b', 'pool/b.deb'), record('a-2', 'pool/../../x.deb')].join('\n');
  assert.deepEqual(findPackages(index, /^a-/), [
    { name: 'a-1', version: '1:2-3', filename: 'pool/a.deb', sha256: HASH, size: 12 },
  ]);
  assert.deepEqual(findPackages('Package: a\nSize: 1\n', /a/), [], 'a record without a hash is none');
});

test('Release', () => {
  const text = `Origin: Debian\nCodename: trixie\nSuite: stable\nAcquire-By-Hash: yes\nMD5Sum:\n 11 22 x\nSHA256:\n ${HASH}     77 main/Packages.xz\n nonsense\n`;
  const release = parseRelease(text);
  assert.deepEqual([...release.files], [['main/Packages.xz', { sha256: HASH, size: 77 }]]);
  assert.equal(release.byHash, true);
  assert.equal(release.validUntil, undefined);
});
