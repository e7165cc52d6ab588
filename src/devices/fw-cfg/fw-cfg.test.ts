import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readU32be, swap16, swap32, writeU32be, writeU64be } from '../../bits/endian.ts';
import { latin1, utf8 } from '../../bits/text.ts';
import { Probe, TestBench } from '../../hw/test-bench.ts';
import { FW_CFG, FwCfg } from './fw-cfg.ts';

function setUp() {
  const bench = new TestBench();
  const fwCfg = new FwCfg('fw-cfg', bench);
  const probe = new Probe(fwCfg.mmio);
  const select = (key: number) => probe.w(8, swap16(key), 2);
  const read = (length: number) => latin1(Uint8Array.from({ length }, () => probe.r(0, 1)));
  const dma = (control: number, length: number, buffer: number) => {
    const at = bench.ram.subarray(0x100, 0x110);
    writeU32be(at, 0, control);
    writeU32be(at, 4, length);
    writeU64be(at, 8, buffer);
    probe.w(16, 0);
    probe.w(20, swap32(bench.ramBase + 0x100));
    return readU32be(at, 0);
  };
  return { bench, fwCfg, probe, select, read, dma };
}

test('the signature, the id and the DMA signature', () => {
  const { probe, select, read } = setUp();
  select(FW_CFG.SIGNATURE);
  assert.equal(read(6), 'QEMU\0\0');
  select(FW_CFG.ID);
  assert.equal(probe.r(0, 4), 3);
  assert.equal(probe.r(16, 4), 0x554d_4551); // "QEMU"
  assert.equal(probe.r(20, 4), 0x4746_4320); // " CFG"
});

test('the directory lists files in order, and their selectors find them', () => {
  const { fwCfg, select, read } = setUp();
  fwCfg.addFile('opt/b', utf8('second'));
  fwCfg.addFile('etc/a', utf8('first!!'));
  select(FW_CFG.FILE_DIR);
  assert.equal(read(4), '\0\0\0\x02');
  assert.equal(read(64), `\0\0\0\x07\0\x21\0\0etc/a${'\0'.repeat(51)}`);
  assert.equal(read(8), '\0\0\0\x06\0\x20\0\0');
  select(0x21);
  assert.equal(read(7), 'first!!');
  assert.throws(() => fwCfg.addFile('opt/b', utf8('')), RangeError);
  assert.throws(() => fwCfg.addFile('x'.repeat(56), utf8('')), RangeError);
});

test('DMA selects, skips, reads, pads with zeros and reports errors', () => {
  const { bench, fwCfg, probe, dma } = setUp();
  fwCfg.addFile('f', utf8('0123456789'));
  bench.ram.fill(0xee, 0x200, 0x210);
  assert.equal(dma((0x20 << 16) | 8 | 4, 3, 0), 0);
  assert.equal(dma(2, 10, bench.ramBase + 0x200), 0);
  assert.equal(latin1(bench.ram.subarray(0x200, 0x20b)), '3456789\0\0\0\xee');
  assert.equal(dma((0x20 << 16) | 8 | 2, 10, 0x1000), 1);
  assert.equal(dma((0x20 << 16) | 8 | 16, 10, bench.ramBase), 1);
  assert.equal(dma((0x20 << 16) | 8 | 2, 0xffff_ffff, bench.ramBase), 1);
  probe.w(16, 0xffff_ffff);
  probe.w(20, 0xffff_ffff);
  assert.match(bench.reports.at(-1) ?? '', /DMA structure outside RAM/);
});

test('a PC selects and reads through ports, and starts DMA there', () => {
  const { bench, fwCfg } = setUp();
  fwCfg.addFile('f', utf8('abc'));
  const control = new Probe(fwCfg.controlPorts);
  const dma = new Probe(fwCfg.dmaPorts);
  control.w(0, 0x20, 2);
  assert.equal(latin1(Uint8Array.from({ length: 4 }, () => control.r(1, 1))), 'abc\0');
  assert.equal(dma.r(0, 4), 0x554d_4551);
  const at = bench.ram.subarray(0x100, 0x110);
  writeU32be(at, 0, (0x20 << 16) | 8 | 2);
  writeU32be(at, 4, 3);
  writeU64be(at, 8, bench.ramBase + 0x200);
  dma.w(0, 0);
  dma.w(4, swap32(bench.ramBase + 0x100));
  assert.equal(latin1(bench.ram.subarray(0x200, 0x203)), 'abc');
  control.w(0, 1, 4);
  assert.equal(bench.reports.length, 1);
});

test('a late file is made anew each time it is selected, as long as the directory said', () => {
  const { fwCfg, select, read } = setUp();
  let text = '';
  fwCfg.addLateFile('late', () => utf8(text));
  text = 'one';
  select(0x19);
  assert.equal(read(4), '\0\0\0\x01');
  assert.equal(read(4), '\0\0\0\x03');
  text = 'three';
  select(0x20);
  assert.equal(read(4), 'thr\0');
  text = 'x';
  select(0x20);
  assert.equal(read(4), 'x\0\0\0');
});

test('a late file of known length is made when it is selected, not for the directory', () => {
  const { fwCfg, select, read } = setUp();
  let made = 0;
  fwCfg.addLateFile('etc/ok', () => Uint8Array.of(++made), 1);
  select(FW_CFG.FILE_DIR);
  assert.equal(read(8), '\0\0\0\x01\0\0\0\x01');
  assert.equal(made, 0);
  select(0x20);
  assert.equal(read(1), '\x01');
});

test('a file that the guest may write, by DMA and within its length, until a reset', () => {
  const { bench, fwCfg, select, read, dma } = setUp();
  fwCfg.addWritableFile('etc/w', utf8('abcd'));
  fwCfg.addFile('etc/r', utf8('rest'));
  bench.ram.set(utf8('WXYZ!'), 0x200);
  const from = bench.ramBase + 0x200;
  assert.equal(dma((0x20 << 16) | 8 | 16, 2, from), 0);
  assert.equal(dma(16, 2, from + 2), 0);
  assert.equal(dma(16, 1, from), 1); // beyond its end
  assert.equal(dma((0x20 << 16) | 8 | 16, 5, from), 1);
  assert.equal(dma((0x21 << 16) | 8 | 16, 1, from), 1); // not that one
  assert.equal(dma((0x20 << 16) | 8 | 16, 1, 2 ** 40), 1);
  select(0x20);
  assert.equal(read(5), 'WXYZ\0');
  assert.equal(latin1(fwCfg.contentOf('etc/w')), 'WXYZ');
  fwCfg.reset();
  select(0x20);
  assert.equal(read(4), 'abcd');
});
