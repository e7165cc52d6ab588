/** `-M virt,aclint=on`: the tree that QEMU 7.2 dumps, and a software interrupt on its way through a whole machine. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NodeMachineHost } from '../host/node/machine-host.ts';
import type { MachineConfig } from './config.ts';
import { readFdt } from './fdt.ts';
import { Machine } from './machine.ts';
import { virtTree } from './riscv-virt-fdt.ts';

const words = (...list: number[]) => {
  const bytes = Buffer.alloc(list.length * 4);
  list.forEach((word, n) => void bytes.writeUInt32BE(word, n * 4));
  return bytes.toString('hex');
};
const hex = (value: unknown): unknown =>
  Array.isArray(value) ? words(...(value as number[])) : value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value;

test('the device tree has the three parts in place of the CLINT', () => {
  const cpu = { isa: 'rv64imac', mmuType: 'riscv,sv57' };
  const soc = (aclint: boolean) => virtTree(cpu, 2, 2 ** 27, aclint).children.find(({ name }) => name === 'soc');
  const found = Object.fromEntries(
    (soc(true)?.children ?? []).map(({ name, properties }) => [
      name,
      [...properties].map(([key, value]) => [key, hex(value)]).filter(([key]) => key === 'reg' || key === 'interrupts-extended'),
    ]),
  );
  const harts = (bit: number) => words(4, bit, 2, bit).replaceAll(' ', '');
  assert.deepEqual(Object.fromEntries(found['sswi@2f00000']), {
    'interrupts-extended': words(4, 1, 2, 1).length === harts(1).length ? hexOrder(1) : '',
    reg: words(0, 0x2f0_0000, 0, 0x4000),
  });
});
