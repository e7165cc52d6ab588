/** A guest whose trap handler traps again without end gives its slice back on every accelerator. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JitAccelerator } from '../../src/accel/jit/jit.ts';
import { ReferenceAccelerator } from '../../src/accel/reference/reference-accelerator.ts';
import { DEVICE, RAM_BASE } from './firmware.ts';
import { options, TestBoard } from './pair.ts';

const HANDLER = RAM_BASE + 0x1000;
const CASES: readonly (readonly [string, bigint, number])[] = [
  ['a handler that is not there', 0n, 0],
  ['a handler that is no instruction', BigInt(HANDLER), 0],
  ['a handler that calls', BigInt(HANDLER), 0x73],
  ['a handler in the memory of a device', BigInt(DEVICE), 0],
];

for (const [name, mtvec, word] of CASES) {
  test(name, () => {
    for (const accelerator of [
      new JitAccelerator(options(new TestBoard())),
      ReferenceAccelerator.create(options(new TestBoard())),
    ]) {
      new DataView(accelerator.ram.buffer, accelerator.ram.byteOffset).setUint32(HANDLER - RAM_BASE, word, true);
      const vcpu = accelerator.vcpus[0];
      vcpu.writeRegister('mtvec', mtvec);
      vcpu.writeRegister('pc', BigInt(RAM_BASE));
      assert.equal(vcpu.run(1000).kind, 'budget', accelerator.name);
      assert.equal(vcpu.instructions, 0, accelerator.name);
      assert.equal(vcpu.readRegister('mepc'), mtvec, accelerator.name);
    }
  });
}
