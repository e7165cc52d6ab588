import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checksum, crc32, multicastBit, tagged, untagged, wordSum } from './ethernet.ts';
import { Cable, loopback, MAX_FRAME } from './link.ts';

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

test('a cable delivers frames both ways and takes copies', () => {
  const [a, b] = new Cable().ends;
  const got: Uint8Array[] = [];
  a.onReceive = (frame) => got.push(frame);
  b.onReceive = (frame) => b.send(bytes(frame[0] + 1));
  const frame = bytes(1, 2);
  a.send(frame);
  assert.deepEqual(got, [bytes(2)]);
  b.onReceive = (kept) => got.push(kept);
  a.send(frame);
  frame.fill(0);
  assert.deepEqual(got[1], bytes(1, 2));
});

test('what cannot be received is held, then refused, and goes on in order', () => {
  const [a, b] = new Cable().ends;
  const got: number[] = [];
  const wakes: boolean[] = [];
  let open = false;
  b.onReceive = (frame) => got.push(frame[0] | (frame[1] << 8));
  b.canReceive = (length) => open && length === 2;
  a.onWritable = () => wakes.push(a.writable);
  let sent = 0;
  for (; a.writable; sent++) a.send(bytes(sent, sent >> 8));
  a.send(bytes(0xff, 0xff));
  assert.ok(sent >= 16 && wakes.length === 0 && got.length === 0);
  open = true;
  b.ready();
  assert.deepEqual(
    got,
    Array.from({ length: sent }, (_, i) => i),
  );
  assert.deepEqual(wakes, [true]);
});

test('a cable that is pulled out carries nothing and forgets what it held', () => {
  const cable = new Cable();
  const [a, b] = cable.ends;
  const changes: boolean[] = [];
  const got: number[] = [];
  let open = false;
  b.onChange = (up) => changes.push(up);
  b.onReceive = (frame) => got.push(frame[0]);
  b.canReceive = () => open;
  a.send(bytes(1));
  cable.setUp(false);
  cable.setUp(false);
  assert.ok(!a.up && !b.up && a.writable);
  a.send(bytes(2));
  cable.setUp(true);
  open = true;
  b.ready();
  a.send(bytes(3));
  assert.deepEqual([got, changes], [[3], [false, true]]);
});

test('nobody at the other end, frames without end, endless answers: nothing hangs', () => {
  const [a, b] = new Cable().ends;
  for (let i = 0; i < 1000; i++) a.send(bytes(i));
  assert.ok(a.writable);
  let longest = 0;
  b.onReceive = (frame) => {
    longest = Math.max(longest, frame.length);
  };
  a.send(new Uint8Array(MAX_FRAME + 1));
  assert.equal(longest, 0);
  const card = loopback();
  let count = 0;
  card.onReceive = (frame) => {
    count++;
    card.send(frame);
  };
  card.send(bytes(1));
  assert.ok(count > 0 && count < 100_000);
});

test('check sequences and checksums', () => {
  const text = new TextEncoder().encode('123456789');
  assert.equal(crc32(text), 0xcbf4_3926);
  // 01:00:5e:00:00:01 (all hosts) and 33:33:00:00:00:01, as drivers of DP8390 cards compute them.
  assert.equal(multicastBit(bytes(0x01, 0x00, 0x5e, 0, 0, 1)), bigEndianBit([0x01, 0x00, 0x5e, 0, 0, 1]));
  assert.equal(multicastBit(bytes(0x33, 0x33, 0, 0, 0, 1)), bigEndianBit([0x33, 0x33, 0, 0, 0, 1]));
  // RFC 1071's example.
  const words = bytes(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7);
  assert.equal(checksum(wordSum(words, 0, 8)), ~0xddf2 & 0xffff);
  assert.equal(checksum(wordSum(words, 0, 3)), ~(0x0001 + 0xf200) & 0xffff);
  const frame = Uint8Array.from({ length: 20 }, (_, i) => i);
  assert.deepEqual(untagged(tagged(frame, 0x8100, 0x1234)), frame);
  assert.deepEqual([...tagged(frame, 0x8100, 0x1234).subarray(10, 18)], [10, 11, 0x81, 0, 0x12, 0x34, 12, 13]);
});

/** The same by shifting bits through the register of 802.3's polynomial. */
function bigEndianBit(address: number[]): number {
  let crc = -1;
  for (const byte of address) {
    for (let bit = 0; bit < 8; bit++) {
      const carry = (crc >>> 31) ^ ((byte >> bit) & 1);
      crc = (crc << 1) ^ (carry ? 0x04c1_1db7 : 0);
    }
  }
  return crc >>> 26;
}
