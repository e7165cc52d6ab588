import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestBench } from '../../hw/test-bench.ts';
import { I8257 } from './i8257.ts';

function setUp(unit: 1 | 2 = 1) {
  const bench = new TestBench(0, 0x4_0000);
  const dma = new I8257('dma', bench, unit);
  const w = (register: number, value: number) => dma.registers.write(register * unit, 1, value);
  const r = (register: number) => dma.registers.read(register * unit, 1);
  const program = (channel: number, mode: number, address: number, count: number) => {
    w(12, 0);
    w(11, mode | channel);
    w(2 * channel, address & 0xff);
    w(2 * channel, address >> 8);
    w(2 * channel + 1, count & 0xff);
    w(2 * channel + 1, count >> 8);
    w(10, channel);
  };
  return { bench, dma, w, r, program };
}

test('bytes go to the page and address, and terminal count masks the channel', () => {
  const { bench, dma, w, r, program } = setUp();
  const channel = dma.channels[2];
  let offered = 0;
  channel.ready = () => offered++;
  dma.pages.write(1, 1, 2); // 0x81: channel 2
  assert.equal(channel.toMemory(Uint8Array.of(1)), 0); // masked
  channel.request(true);
  program(2, 0x44, 0xfffe, 5);
  assert.equal(offered, 1);
  assert.equal(channel.toMemory(Uint8Array.of(1, 2, 3, 4)), 4);
  assert.equal(channel.terminal, false);
  assert.deepEqual([...bench.ram.subarray(0x2_fffe, 0x3_0000)], [1, 2]);
  assert.deepEqual([...bench.ram.subarray(0x2_0000, 0x2_0002)], [3, 4]); // wraps in its page
  w(12, 0);
  assert.deepEqual([r(4), r(4), r(5), r(5)], [2, 0, 1, 0]);
  assert.equal(channel.toMemory(Uint8Array.of(5, 6, 7)), 2);
  assert.equal(channel.terminal, true);
  assert.deepEqual([r(8), r(8), r(15)], [0x44, 0x40, 0xff]);
  assert.equal(channel.toMemory(Uint8Array.of(8)), 0);
});

test('auto-initialisation starts over; the wrong direction moves nothing; verify moves nothing but counts', () => {
  const { bench, dma, r, program } = setUp();
  const channel = dma.channels[1];
  bench.ram.set([9, 8, 7], 0x100);
  program(1, 0x58, 0x100, 2);
  const into = new Uint8Array(3);
  assert.equal(channel.toMemory(into), 0);
  assert.equal(channel.fromMemory(into), 3);
  assert.deepEqual([...into], [9, 8, 7]);
  assert.deepEqual([r(2), r(2), r(15) & 2], [0, 1, 0]);
  program(1, 0x40, 0x100, 2);
  assert.equal(channel.toMemory(Uint8Array.of(1, 2)), 2);
  assert.deepEqual([...bench.ram.subarray(0x100, 0x103)], [9, 8, 7]);
});

test('the second controller counts words; addresses can go down', () => {
  const { bench, dma, program } = setUp(2);
  dma.pages.write(3, 1, 3); // 0x8b: channel 5; bit 0 does not count
  program(1, 0x44, 0x10, 1);
  assert.equal(dma.channels[1].toMemory(Uint8Array.of(1, 2, 3, 4, 5, 6)), 4);
  assert.deepEqual([...bench.ram.subarray(0x2_0020, 0x2_0026)], [1, 2, 3, 4, 0, 0]);
  program(1, 0x64, 0x11, 1);
  dma.channels[1].toMemory(Uint8Array.of(1, 2, 3, 4));
  assert.deepEqual([...bench.ram.subarray(0x2_0020, 0x2_0024)], [3, 4, 1, 2]);
});

test('memory that is not there reads as ones', () => {
  const { dma, program } = setUp();
  dma.highPages.write(7, 1, 0xff);
  program(0, 0x48, 0, 0xffff);
  const into = new Uint8Array(2);
  assert.equal(dma.channels[0].fromMemory(into), 2);
  assert.deepEqual([...into], [0xff, 0xff]);
});
