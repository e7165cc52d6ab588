import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dmar } from './acpi-tables.ts';
import type { MachineConfig } from './config.ts';
import { iommuOf } from './pc-iommu.ts';

const config = (...devices: Record<string, string>[]): MachineConfig => ({
  machine: 'q35',
  accel: 'jit',
  cpu: { model: 'qemu64', features: {} },
  cpus: 1,
  memory: 0x800_0000,
  bios: 'default',
  serials: [],
  chardevs: [],
  drives: [],
  devices: devices.map((properties) => ({ driver: 'intel-iommu', properties })),
  noReboot: false,
  noShutdown: false,
});

test('properties and their defaults are those of QEMU 7.2', () => {
  assert.equal(iommuOf(config(), 'q35'), undefined);
  const preset = {
    addressBits: 39,
    interrupts: 'auto',
    extendedInterrupts: 'auto',
    cachingMode: false,
    drain: true,
    dmaTranslation: true,
    passThrough: true,
    snoopControl: false,
  };
  assert.deepEqual(iommuOf(config({}), 'q35'), preset);
  const given = {
    ...{ 'aw-bits': '48', intremap: 'on', eim: 'off', 'caching-mode': 'true', 'dma-drain': 'no' },
    ...{ 'dma-translation': 'off', pt: 'false', 'snoop-control': 'yes', 'device-iotlb': 'off', version: '0' },
  };
  assert.deepEqual(iommuOf(config(given), 'q35'), {
    addressBits: 48,
    interrupts: 'on',
    extendedInterrupts: 'off',
    cachingMode: true,
    drain: false,
    dmaTranslation: false,
    passThrough: false,
    snoopControl: true,
  });
});

test('what cannot be had is refused', () => {
  const refused = (code: string, properties: Record<string, string>) =>
    assert.throws(() => iommuOf(config(properties), 'q35'), { code });
  refused('iommu-width', { 'aw-bits': '40' });
  refused('iommu-eim', { eim: 'on', intremap: 'off' });
  refused('property-value', { intremap: 'maybe' });
  refused('property-value', { 'caching-mode': 'auto' });
  for (const name of ['device-iotlb', 'x-scalable-mode', 'x-pasid-mode', 'x-buggy-eim'])
    refused('iommu-property', { [name]: 'on' });
  refused('iommu-property', { version: '2' });
  assert.throws(() => iommuOf(config({}, {}), 'q35'), { code: 'iommu-twice' });
  for (const board of ['pc', 'isapc', 'microvm'])
    assert.throws(() => iommuOf(config({}), board), { code: 'iommu-board' });
});

/**
 * From the memory of `qemu-system-x86_64 -M q35 -device intel-iommu,intremap=on,eim=off -device edu` with a VGA and a
 * network card, its checksum cleared; and where `aw-bits=48,intremap=off -device pci-bridge` differs.
 */
const QEMU = `
44 4d 41 52 80 00 00 00 01 00 42 4f 43 48 53 20 42 58 50 43 20 20 20 20 01 00 00 00 42 58 50 43 01 00 00 00 26 01
00 00 00 00 00 00 00 00 00 00 00 00 50 00 00 00 00 00 00 00 d9 fe 00 00 00 00 03 08 00 00 00 ff 00 00 01 08 00 00
00 00 00 00 01 08 00 00 00 00 01 00 01 08 00 00 00 00 02 00 01 08 00 00 00 00 03 00 01 08 00 00 00 00 1f 00 01 08
00 00 00 00 1f 02 01 08 00 00 00 00 1f 03`;

test('the DMAR table is QEMU’s, byte by byte', () => {
  const base = 0xfed9_0000;
  const functions = [0x00, 0x08, 0x10, 0x18, 0xf8, 0xfa, 0xfb].map((devfn) => ({ devfn, bridge: false }));
  const bytes = dmar({ base, addressBits: 39, interrupts: true, functions });
  assert.deepEqual(
    [...bytes],
    QEMU.trim()
      .split(/\s+/)
      .map((byte) => Number.parseInt(byte, 16)),
  );
  const other = dmar({ base, addressBits: 48, interrupts: false, functions: [{ devfn: 0x10, bridge: true }] });
  assert.deepEqual([...other.subarray(36, 38)], [0x2f, 0]);
  assert.deepEqual([...other.subarray(-8)], [2, 8, 0, 0, 0, 0, 2, 0]);
});
