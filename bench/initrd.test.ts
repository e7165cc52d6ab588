import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { benchInitrd } from './initrd.ts';

const cpioMissing = spawnSync('cpio', ['--version']).error ? 'cpio is not installed' : false;

test('cpio lists what the ramdisk holds', { skip: cpioMissing }, () => {
  const archive = benchInitrd(new Uint8Array([1, 2, 3]), { suite: new Uint8Array(5) });
  assert.equal(archive.length % 4, 0);
  const { stdout, status } = spawnSync('cpio', ['-itv', '--quiet'], { input: archive, encoding: 'utf8' });
  assert.equal(status, 0);
  assert.match(stdout, /^-rwxr-xr-x .* 3 .* bin\/busybox$/m);
  assert.match(stdout, /^-rwxr-xr-x .* 5 .* suite$/m);
  assert.match(stdout, /^l.* bin\/sh -> busybox$/m);
});
