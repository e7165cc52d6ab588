import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cable } from '../hw/link.ts';
import type { DeviceConfig, MachineConfig } from './config.ts';
import { nicOf } from './nics.ts';

const device = (driver: string, properties: Readonly<Record<string, string>> = {}): DeviceConfig => ({
  driver,
  properties,
});
/** Only what cards look at. */
const machine = (devices: DeviceConfig[], ...ids: string[]) =>
  ({ devices, netdevs: ids.map((id) => ({ id, link: new Cable().ends[0] })) }) as unknown as MachineConfig;
const last = (devices: DeviceConfig[]) => devices.map((each) => nicOf(each, machine(devices)).mac[5]);

test('cards without an address get the first free one, as QEMU gives them', () => {
  assert.deepEqual(last([device('e1000'), device('virtio-net-pci')]), [0x56, 0x57]);
  const taken = [
    device('e1000', { mac: '52:54:00:12:34:56' }),
    device('ne2k_isa'),
    device('rtl8139', { mac: '2:0:0:0:0:9' }),
  ];
  assert.deepEqual(last(taken), [0x56, 0x57, 9]);
  assert.throws(() => last([device('e1000', { mac: '52:54:00' })]), { code: 'property-value' });
});

test('netdev names a network, which takes one card', () => {
  const [a, b] = [device('e1000', { netdev: 'n' }), device('rtl8139', { netdev: 'n' })];
  const config = machine([a, b], 'n');
  assert.equal(nicOf(a, config).link, config.netdevs?.[0].link);
  assert.throws(() => nicOf(b, config), { code: 'netdev-taken' });
  assert.throws(() => nicOf(a, machine([a])), { code: 'netdev-missing' });
  assert.ok(nicOf(device('e1000'), machine([])).link.up);
});
