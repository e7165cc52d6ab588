/** Accesses around address 0, checked together in compiled code, fault as they do one by one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JitAccelerator } from '../../src/accel/jit/jit.ts';
import { ReferenceAccelerator } from '../../src/accel/reference/reference-accelerator.ts';
import { Assembler, Label } from './assembler.ts';
import { CSR, RAM_BASE } from './firmware.ts';
import { differences, options, TestBoard } from './pair.ts';

for (const base of [0n, 1n, 60n, 0xffff_ffff_ffff_fff0n, BigInt(RAM_BASE), BigInt(RAM_BASE) + 0xfc4n]) {
  test(`a store below and a load above 0x${base.toString(16)}`, () => {
    const a = new Assembler(BigInt(RAM_BASE));
    const handler = new Label();
    a.la(5, handler);
    a.csrw(CSR.mtvec, 5);
    a.li(2, base);
    const top = a.label();
    a.op('sb', { a: 2, b: 2, i: -1 });
    a.op('lh', { d: 4, a: 2, i: 108 });
    a.to('jal', top, { d: 0 });
    while (a.at % 4 !== 0) a.half(1);
    a.place(handler);
    a.csrr(7, CSR.mepc);
    a.op('addi', { d: 7, a: 7, i: 4 });
    a.csrw(CSR.mepc, 7);
    a.op('mret');
    const code = a.finish();
    const jit = new JitAccelerator(options(new TestBoard()));
    const reference = ReferenceAccelerator.create(options(new TestBoard()));
    for (const accelerator of [jit, reference]) {
      accelerator.ram.set(code);
      accelerator.vcpus[0].writeRegister('pc', BigInt(RAM_BASE));
    }
    for (let n = 0; n < 20; n++) jit.vcpus[0].run(400);
    const there = jit.vcpus[0].instructions;
    while (reference.vcpus[0].instructions < there) reference.vcpus[0].step();
    // Whether the trap behind the last instruction has been taken is open.
    if (differences(jit.vcpus[0].state, reference.vcpus[0].state).length > 0) reference.vcpus[0].step();
    assert.deepEqual(differences(jit.vcpus[0].state, reference.vcpus[0].state), []);
  });
}
