/** What is invalidated, by the queue and by registers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readU32, writeU32 } from '../../bits/endian.ts';
import { GO, REG, UnitDriver } from './test-driver.ts';

test('what was found stays until it is invalidated, by the right domain, pages or device', () => {
  const driver = new UnitDriver();
  const tables = [1, 2].map((domain) => driver.context(domain, { domain }));
  const slots = tables.map((table) => driver.map(table, 0x3000, 0x80_0000));
  const large = driver.map(tables[0], 0x20_0000, 0x80_0000, 3, 2);
  driver.start();
  const at = (source: number, address = 0x3000) => driver.unit.space(() => source).readable(address, 4)?.byteOffset;
  const all = () => [at(1), at(2), at(1, 0x20_1000)];
  assert.deepEqual(all(), [0x80_0000, 0x80_0000, 0x80_1000]);
  for (const slot of slots) driver.entry(slot, 0x90_0003, 0);
  driver.entry(large, 0xa0_0083, 0);
  assert.deepEqual(all(), [0x80_0000, 0x80_0000, 0x80_1000]);
  driver.invalidate(0x32 | (1 << 16), 0, 0x4000); // a page beside it
  assert.deepEqual(all(), [0x80_0000, 0x80_0000, 0x80_1000]);
  driver.invalidate(0x32 | (1 << 16), 0, 0x2001); // two pages, of domain 1
  assert.deepEqual(all(), [0x90_0000, 0x80_0000, 0x80_1000]);
  driver.invalidate(0x32 | (1 << 16), 0, 0x3f_f000); // one page of a large one
  assert.deepEqual(all(), [0x90_0000, 0x80_0000, 0xa0_1000]);
  driver.invalidate(0x22 | (2 << 16)); // domain 2
  assert.deepEqual(all(), [0x90_0000, 0x90_0000, 0xa0_1000]);
  // Contexts: requester 1 moves to the tables and the domain of requester 2.
  const other = driver.map(tables[1], 0x3000, 0xb0_0000);
  driver.context(1, { domain: 2, table: tables[1] });
  assert.equal(at(1), 0x90_0000);
  driver.invalidate(0x31, 2); // of device 2
  assert.equal(at(1), 0x90_0000);
  driver.invalidate(0x31, 2 | (3 << 16)); // of any function of its slot
  driver.invalidate(0x12);
  assert.equal(at(1), 0xb0_0000);
  // By registers, which need the queue to be off.
  driver.entry(other, 0xc0_0003, 0);
  driver.probe.w(REG.IOTLB + 4, 0x9000_0000);
  assert.equal(driver.probe.r(REG.IOTLB + 4) & 0x8600_0000, 0);
  assert.equal(at(1), 0xb0_0000);
  driver.probe.w(REG.GCMD, GO.TRANSLATE);
  driver.probe.w(REG.IVA, 0x3000);
  driver.probe.w(REG.IOTLB + 4, 0xb000_0002);
  assert.equal(driver.probe.r(REG.IOTLB + 4), 0x3600_0002);
  assert.equal(at(1), 0xc0_0000);
  driver.probe.w(REG.IVA, 0x3f);
  driver.probe.w(REG.IOTLB + 4, 0xb000_0002);
  assert.equal(driver.probe.r(REG.IOTLB + 4), 0x3000_0002); // more pages than can be told: nothing was done
  driver.context(1, { domain: 1, table: tables[0] });
  driver.probe.w(REG.CCMD, 2);
  driver.probe.w(REG.CCMD + 4, 0xc000_0000);
  assert.equal(driver.probe.r(REG.CCMD + 4), 0x5000_0000);
  assert.equal(at(1), 0x90_0000);
  assert.equal(driver.fault(), undefined);
});

test('the queue: status words, completion interrupts, errors that stop it, and its end', () => {
  const driver = new UnitDriver();
  const { probe, bench, sent } = driver;
  driver.start();
  driver.invalidate(0x25, 0x1234_5678, 0x80_0000);
  assert.equal(readU32(bench.ram, 0x80_0000), 0x1234_5678);
  assert.equal(probe.r(REG.IQH), 0x10);
  probe.w(REG.IEADDR, 0xfee0_2000);
  probe.w(REG.IEDATA, 0x62);
  driver.invalidate(0x15);
  assert.deepEqual([probe.r(REG.ICS), probe.r(REG.IECTL), sent.length], [1, 0xc000_0000, 0]);
  probe.w(REG.IECTL, 0);
  assert.deepEqual([probe.r(REG.IECTL), sent.length, sent[0]?.vector], [0, 1, 0x62]);
  driver.invalidate(0x15); // nobody took the first
  assert.equal(sent.length, 1);
  probe.w(REG.ICS, 1);
  driver.invalidate(0x15);
  assert.equal(sent.length, 2);
  driver.invalidate(0x14); // interrupt entries
  assert.equal(driver.changes, 1);
  // No such descriptor: the queue stops there and goes on when it is mended and the error is cleared.
  const bad = probe.r(REG.IQT);
  for (const [word, second] of [
    [0, 0],
    [9, 0],
    [0x01, 0], // contexts, but which?
    [0x41, 0],
    [0x13, 0], // device TLBs
    [0x32, 1],
  ]) {
    driver.invalidate(word, second);
    assert.deepEqual([probe.r(REG.FSTS), probe.r(REG.IQH)], [0x10, bad]);
    driver.invalidate(0x25, 7, 0x80_0004);
    assert.equal(readU32(bench.ram, 0x80_0004), 0);
    driver.entry(driver.queue + bad, 0x12, 0);
    probe.w(REG.FSTS, 0x10);
    assert.deepEqual([probe.r(REG.FSTS), probe.r(REG.IQH)], [0, bad + 0x20]);
    assert.equal(readU32(bench.ram, 0x80_0004), 7);
    writeU32(bench.ram, 0x80_0004, 0);
    probe.w(REG.GCMD, GO.TRANSLATE);
    assert.equal(probe.r(REG.IQH), 0);
    for (let at = 0; at < bad; at += 8) driver.entry(driver.queue + at, at % 16 ? 0 : 0x12, 0);
    probe.w(REG.IQT, bad);
    driver.command(GO.QUEUE);
    assert.equal(probe.r(REG.IQH), bad);
  }
  // Round its end, and a tail that is outside.
  for (let n = 0; n < 300; n++) driver.invalidate(0x25, n, 0x80_0000);
  assert.equal(readU32(bench.ram, 0x80_0000), 299);
  probe.w(REG.IQT, 0x1000);
  assert.equal(probe.r(REG.FSTS), 0x10);
});
