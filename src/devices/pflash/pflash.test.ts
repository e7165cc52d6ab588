import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Disk } from '../../hw/disk.ts';
import { Probe, TestBench } from '../../hw/test-bench.ts';
import { Pflash } from './pflash.ts';

const SHAPE = { size: 0x10_0000, sectorSize: 0x4_0000 };

function setUp(readOnly = false) {
  const bench = new TestBench();
  const stored: [number, number][] = [];
  const disk = {
    size: SHAPE.size,
    readOnly,
    write: async (offset: number, from: Uint8Array) => {
      stored.push([offset, from.length]);
    },
  } as Disk;
  const flash = new Pflash('flash', bench.log, SHAPE, Uint8Array.from([1, 2, 3, 4, 5]), disk);
  return { bench, flash, stored, p: new Probe(flash.mmio) };
}

test('reads like memory, and answers ID and CFI queries in both lanes', () => {
  const { p } = setUp();
  assert.deepEqual([p.r(0), p.r(4), p.r(1, 1), p.r(2, 2)], [0x0403_0201, 0xffff_ff05, 2, 0x0403]);
  p.w(0, 0x98_0098);
  assert.deepEqual([p.r(0x40), p.r(0x44), p.r(0x48)], [0x51_0051, 0x52_0052, 0x59_0059]);
  assert.equal(p.r(0x27 * 4, 1), 19); // each chip holds 512 KiB
  p.w(0, 0x90_0090);
  assert.deepEqual([p.r(0), p.r(4)], [0x89_0089, 0x18_0018]);
  p.w(0, 0xff_00ff);
  assert.equal(p.r(0), 0x0403_0201);
});

test('programming clears bits, erasing a sector sets them, and the disk hears of both', async () => {
  const { p, flash, stored } = setUp();
  p.w(0x100, 0x40_0040);
  p.w(0x100, 0x1234_5678);
  assert.equal(p.r(0x100), 0x80_0080);
  p.w(0, 0xff_00ff);
  assert.equal(p.r(0x100), 0x1234_5678);
  p.w(0x100, 0x40_0040);
  p.w(0x100, 0xffff_0000);
  p.w(0, 0xff_00ff);
  assert.equal(p.r(0x100), 0x1234_0000);
  p.w(0x100, 0x20_0020);
  p.w(0x100, 0xd0_00d0);
  p.w(0, 0xff_00ff);
  assert.equal(p.r(0), 0xffff_ffff);
  await flash.flushed();
  assert.deepEqual(stored, [
    [0, 512],
    [0, 512],
    [0, SHAPE.sectorSize],
  ]);
});

test('the write buffer programs count + 1 words of one block', () => {
  const { p } = setUp();
  p.w(0x4_0000, 0xe8_00e8);
  assert.equal(p.r(0x4_0000), 0x80_0080);
  p.w(0x4_0000, 0x01_0001);
  p.w(0x4_0000, 0x1111_1111);
  p.w(0x4_0004, 0x2222_2222);
  p.w(0x4_0000, 0xd0_00d0);
  p.w(0, 0xff_00ff);
  assert.deepEqual([p.r(0x4_0000), p.r(0x4_0004), p.r(0x4_0008)], [0x1111_1111, 0x2222_2222, 0xffff_ffff]);
});

test('a buffer that leaves its block programs nothing and says so', () => {
  const { p } = setUp();
  p.w(0x4_0000, 0xe8_00e8);
  p.w(0x4_0000, 0);
  p.w(0x8_0000, 0);
  p.w(0x4_0000, 0xd0_00d0);
  assert.equal(p.r(0) & 0xff, 0x90);
  p.w(0, 0x50_0050);
  assert.equal(p.r(0x8_0000), 0xffff_ffff);
});

test('a read-only flash refuses', () => {
  const { p, stored } = setUp(true);
  p.w(0, 0x40_0040);
  p.w(0, 0);
  assert.equal(p.r(0) & 0xff, 0x90);
  p.w(0, 0x20_0020);
  p.w(0, 0xd0_00d0);
  assert.equal(p.r(0) & 0xff, 0xb0);
  p.w(0, 0xff_00ff);
  assert.equal(p.r(0), 0x0403_0201);
  assert.deepEqual(stored, []);
});

test('secure flash takes commands of system management mode only, and reads like memory to others', () => {
  const bench = new TestBench();
  let inside = false;
  const content = Uint8Array.from([1, 2, 3, 4]);
  const flash = new Pflash('flash', bench.log, SHAPE, content, undefined, undefined, () => inside);
  const probe = new Probe(flash.mmio);
  probe.w(0, 0x90, 4);
  assert.equal(probe.r(0, 4), 0x0403_0201);
  inside = true;
  probe.w(0, 0x0090_0090, 4);
  assert.equal(probe.r(0, 4), 0x0089_0089);
  inside = false;
  assert.equal(probe.r(0, 4), 0x0403_0201);
});
