import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { NodeFile, readWhole } from './file.ts';

const folder = await mkdtemp(join(tmpdir(), 'trapframe-file-'));
after(() => rm(folder, { recursive: true }));

test('a file is written and read at any offset, from shared memory too', async () => {
  const path = join(folder, 'a');
  const file = await NodeFile.open(path, { writable: true, create: true });
  const shared = new Uint8Array(new SharedArrayBuffer(4)).fill(5);
  await file.write(10, shared);
  await file.sync();
  assert.equal(await file.size(), 14);
  const into = new Uint8Array(new SharedArrayBuffer(8));
  assert.equal(await file.read(8, into), 6);
  assert.deepEqual([...into], [0, 0, 5, 5, 5, 5, 0, 0]);
  await file.truncate(11);
  await file.close();
  assert.deepEqual([...(await readWhole(path))], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]);
});

test('what cannot be opened is explained', async () => {
  await assert.rejects(NodeFile.open(join(folder, 'none')), { code: 'file-not-found' });
  await assert.rejects(readWhole(folder), { code: 'file-directory' });
});
