import assert from 'node:assert/strict';
import { test } from 'node:test';
import { array, create, initially, layout, u1, u8, u16, u32 } from '../state/layout.ts';
import { bank, constants } from './bank.ts';
import type { DeviceLog } from './device.ts';

const STATE = layout('sample', 1, { word: u32, bit: u1, half: initially(u16, 0xabcd), row: array(u8, 4), writes: u32 });

class Sample {
  readonly name = 'sample0';
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly reports: string[] = [];
  readonly log: DeviceLog = { guestError: (_, message) => this.reports.push(message), unimplemented() {} };
}

const REGISTERS = bank<Sample>(
  0x100,
  {
    WORD: { at: 0x00, field: 'word', mask: 0xffff_00ff, after: (sample) => sample.state.writes++ },
    BIT: { at: 0x04, field: 'bit' },
    HALF: { at: 0x08, size: 2, field: 'half' },
    ROW: { at: 0x10, count: 4, stride: 8, field: 'row' },
    ONLY: { at: 0x40, write: (sample, value) => sample.state.row.fill(value) },
    FIXED: { at: 0x44, read: () => -1 },
    ...constants(0xf0, [1, 2, 3, 4]),
  },
  { access: [1, 2, 4] },
);

test('fields keep their width, masks hold and side effects run', () => {
  const sample = new Sample();
  const mmio = REGISTERS.on(sample);
  mmio.write(0, 4, 0xffff_ffff);
  assert.equal(mmio.read(0, 4), 0xffff_00ff);
  assert.equal(sample.state.writes, 1);
  mmio.write(4, 4, 0xff);
  assert.equal(mmio.read(4, 4), 1);
  mmio.write(0x18, 4, 0x1ff);
  assert.deepEqual(sample.state.row, [0, 0xff, 0, 0]);
  assert.equal(mmio.read(0xf8, 4), 3);
  assert.equal(mmio.read(0x44, 4), 0xffff_ffff);
  assert.deepEqual(sample.reports, []);
});

test('narrow accesses reach the lanes of a register', () => {
  const sample = new Sample();
  const mmio = REGISTERS.on(sample);
  mmio.write(0, 4, 0x11220033);
  mmio.write(3, 1, 0x55);
  assert.equal(mmio.read(0, 4), 0x55220033);
  assert.equal(mmio.read(2, 2), 0x5522);
  mmio.write(9, 1, 0x12);
  assert.equal(mmio.read(8, 2), 0x12cd);
});

test('what the guest does wrong is reported, reads 0 and changes nothing', () => {
  const sample = new Sample();
  const mmio = REGISTERS.on(sample);
  const before = structuredClone(sample.state);
  assert.equal(mmio.read(0x40, 4), 0);
  mmio.write(0x44, 4, 1);
  assert.equal(mmio.read(0x80, 4), 0);
  mmio.write(0x82, 2, 1);
  assert.equal(mmio.read(2, 4), 0);
  assert.equal(sample.reports.length, 5);
  assert.match(sample.reports[0], /read of 4 bytes at ONLY \(offset 0x40\)/);
  assert.deepEqual(sample.state, before);
});

test('a bank refuses registers that overlap or lie outside', () => {
  assert.throws(() => bank<Sample>(8, { A: { at: 0, field: 'word' }, B: { at: 0, field: 'bit' } }), RangeError);
  assert.throws(() => bank<Sample>(8, { A: { at: 8, field: 'word' } }), RangeError);
});
