import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RandomAccessFile } from './file.ts';
import { RawDisk } from './raw.ts';

function fileOf(bytes: Uint8Array, writable = true): RandomAccessFile & { bytes: Uint8Array } {
  return {
    name: 'disk.img',
    writable,
    bytes,
    size: async () => bytes.length,
    read: async (offset, into) => {
      const part = bytes.subarray(offset, offset + into.length);
      into.set(part);
      return part.length;
    },
    write: async (offset, from) => bytes.set(from, offset),
    truncate: async () => {},
    sync: async () => {},
    close: async () => {},
  };
}

test('a raw disk is its file, with the last sector filled up with zeros', async () => {
  const file = fileOf(new Uint8Array(1000).fill(7));
  const disk = await RawDisk.open(file, { readOnly: true });
  assert.equal(disk.size, 1024);
  const sector = new Uint8Array(512).fill(9);
  await disk.read(512, sector);
  assert.deepEqual([sector[487], sector[488], sector[511]], [7, 0, 0]);
  await assert.rejects(disk.read(1024, sector), RangeError);
  await assert.rejects(disk.write(0, sector), { code: 'disk-read-only' });
});

test('a writable disk needs a writable file', async () => {
  await assert.rejects(RawDisk.open(fileOf(new Uint8Array(512), false)), { code: 'disk-read-only' });
  const file = fileOf(new Uint8Array(1024));
  const disk = await RawDisk.open(file);
  await disk.write(512, new Uint8Array(512).fill(3));
  assert.deepEqual([file.bytes[511], file.bytes[512]], [0, 3]);
});
