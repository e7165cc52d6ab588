import assert from 'node:assert/strict';
import { test } from 'node:test';
import { latin1 } from '../bits/text.ts';
import { findNode, node, patchFdt, readFdt, writeFdt } from './fdt.ts';
import { virtTree } from './riscv-virt-fdt.ts';

const CPU = { isa: 'rv64imafdc', mmuType: 'riscv,sv57', isaExtensions: ['i', 'm'], cbomBlockSize: 64 };

test('a tree that was written reads back the same', () => {
  const tree = virtTree(CPU, 3, 0x1000_0000);
  assert.deepEqual(readFdt(writeFdt(tree)).root, tree);
});

test('the virt tree names every phandle that it uses', () => {
  const tree = virtTree(CPU, 2, 0x1000_0000);
  const handle = (path: string) => findNode(tree, path)?.properties.get('phandle');
  const plic = handle('/soc/plic@c000000');
  assert.deepEqual(findNode(tree, '/soc/serial@10000000')?.properties.get('interrupt-parent'), plic);
  assert.deepEqual(findNode(tree, '/reboot')?.properties.get('regmap'), handle('/soc/test@100000'));
  const extended = findNode(tree, '/soc/clint@2000000')?.properties.get('interrupts-extended');
  assert.deepEqual(
    [...(extended ?? [])].filter((_, i) => i % 4 === 3),
    [4, 3, 4, 7, 2, 3, 2, 7],
  );
  assert.deepEqual(handle('/cpus/cpu@0/interrupt-controller'), Uint8Array.of(0, 0, 0, 4));
});

test('a foreign blob keeps what it says, and /chosen is patched or made', () => {
  const reservations = new Uint8Array(16).fill(1);
  const blob = writeFdt(node('', { model: 'board' }, [node('cpus', {})]), 3, reservations);
  const back = readFdt(patchFdt(blob, { bootargs: 'console=ttyS0', initrd: { start: 0x8800_0000, end: 0x8800_1234 } }));
  assert.deepEqual([back.bootCpu, back.reservations], [3, reservations]);
  const chosen = findNode(back.root, '/chosen')?.properties;
  assert.equal(latin1(chosen?.get('bootargs') ?? new Uint8Array()), 'console=ttyS0\0');
  assert.deepEqual(chosen?.get('linux,initrd-end'), Uint8Array.of(0, 0, 0, 0, 0x88, 0, 0x12, 0x34));
  assert.equal(latin1(back.root.properties.get('model') ?? new Uint8Array()), 'board\0');
});

test('damaged blobs are refused, whichever byte is cut or changed', () => {
  const blob = writeFdt(virtTree(CPU, 1, 0x1000_0000));
  for (let length = 0; length < blob.length - 8; length += 97)
    assert.throws(() => readFdt(blob.subarray(0, length)), { code: 'dtb-damaged' });
  for (let at = 0; at < blob.length; at += 3) {
    const spoilt = blob.slice();
    spoilt[at] ^= 0xff;
    try {
      readFdt(spoilt);
    } catch (error) {
      assert.equal((error as { code: string }).code, 'dtb-damaged');
    }
  }
});
