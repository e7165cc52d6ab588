import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Smram } from '../../hw/pam.ts';
import { I440fx } from './i440fx.ts';

function setUp() {
  const pam = new Map<number, string>();
  let smram: Smram | undefined;
  const chip = new I440fx({
    name: 'i440fx',
    ramSize: 0x800_0000,
    control: {
      pam: ({ base, size }, read, write) =>
        pam.set(base, `${size / 1024}K${read ? ' read' : ''}${write ? ' write' : ''}`),
      smram: (now) => {
        smram = now;
      },
    },
  });
  chip.reset();
  return { chip, pam, smram: () => smram };
}

test('PAM registers tell the board where reads and writes go', () => {
  const { chip, pam } = setUp();
  assert.equal(pam.size, 13);
  assert.deepEqual([pam.get(0xf_0000), pam.get(0xc_0000), pam.get(0xe_c000)], ['64K', '16K', '16K']);
  pam.clear();
  chip.writeConfig(0x59, 1, 0x30);
  chip.writeConfig(0x5a, 2, 0x0021);
  chip.writeConfig(0x5f, 1, 0x13);
  assert.deepEqual(
    [...pam],
    [
      [0xf_0000, '64K read write'],
      [0xc_0000, '16K read'],
      [0xc_4000, '16K write'],
      [0xe_8000, '16K read write'],
      [0xe_c000, '16K read'],
    ],
  );
  chip.reset();
  assert.equal(pam.get(0xf_0000), '64K');
});

test('system management RAM opens, closes and locks', () => {
  const { chip, smram } = setUp();
  assert.deepEqual(smram(), { open: false, enabled: false, high: false, tseg: 0 });
  chip.writeConfig(0x72, 1, 0x4a);
  assert.deepEqual([smram()?.open, smram()?.enabled, chip.readConfig(0x72, 1)], [true, true, 0x4a]);
  chip.writeConfig(0x72, 1, 0x1a);
  chip.writeConfig(0x72, 1, 0x4a);
  assert.deepEqual([smram()?.open, chip.readConfig(0x72, 1)], [false, 0x1a]);
  chip.reset();
  chip.writeConfig(0x72, 1, 0x4a);
  assert.equal(smram()?.open, true);
});

test('it is the 82441FX, revision 2, and tells its RAM', () => {
  const { chip } = setUp();
  assert.deepEqual(
    [chip.readConfig(0, 4), chip.readConfig(8, 4), chip.readConfig(0x57, 1)],
    [0x1237_8086, 0x0600_0002, 16],
  );
});
