import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32, inflateSync } from 'node:zlib';
import { encodePng, encodePpm } from './png.ts';

const width = 37;
const height = 11;
const rgba = Uint8Array.from({ length: width * height * 4 }, (_, i) => (i & 3 ? (i * 7919) >> 3 : 255 - i) & 255);
const rgb = rgba.filter((_, i) => (i & 3) !== 3);

test('PPM', () => {
  const file = Buffer.from(encodePpm({ width, height, rgba }));
  assert.equal(file.subarray(0, 13).toString(), 'P6\n37 11\n255\n');
  assert.deepEqual(new Uint8Array(file.subarray(13)), rgb);
});

test('PNG: chunks, checksums and pixels', async () => {
  const parts: Uint8Array[] = [];
  for await (const part of encodePng({ width, height, rgba })) parts.push(part);
  const file = Buffer.concat(parts);
  assert.equal(file.subarray(1, 4).toString(), 'PNG');
  const chunks: [string, Buffer][] = [];
  for (let at = 8; at < file.length; ) {
    const length = file.readUInt32BE(at);
    const body = file.subarray(at + 4, at + 8 + length);
    assert.equal(crc32(body), file.readUInt32BE(at + 8 + length));
    chunks.push([body.subarray(0, 4).toString(), body.subarray(4)]);
    at += 12 + length;
  }
  const names = chunks.map(([name]) => name);
  assert.deepEqual([names[0], names.at(-1)], ['IHDR', 'IEND']);
  assert.deepEqual([...chunks[0][1]], [0, 0, 0, width, 0, 0, 0, height, 8, 2, 0, 0, 0]);
  const lines = inflateSync(Buffer.concat(chunks.filter(([name]) => name === 'IDAT').map(([, data]) => data)));
  assert.equal(lines.length, height * (1 + 3 * width));
  const pixels = new Uint8Array(3 * width * height);
  for (let y = 0; y < height; y++) {
    assert.equal(lines[y * (1 + 3 * width)], 2);
    for (let i = 0; i < 3 * width; i++) {
      const above = y ? pixels[(y - 1) * 3 * width + i] : 0;
      pixels[y * 3 * width + i] = lines[y * (1 + 3 * width) + 1 + i] + above;
    }
  }
  assert.deepEqual(pixels, rgb);
});
