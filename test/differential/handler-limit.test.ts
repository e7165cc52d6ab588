/**
 * A guest that makes more handlers than there are numbers, by inventing CSR
 * instructions, and compiles regions all the while.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JitAccelerator } from '../../src/accel/jit/jit.ts';
import { Assembler, Label } from './assembler.ts';
import { RAM_BASE } from './firmware.ts';
import { options, TestBoard } from './pair.ts';

const [T0, T1, COUNT, LINK, SUM] = [5, 6, 8, 9, 18];
const CSR = { mtvec: 0x305, mepc: 0x341, invented: 0x800 };
const BLOCKS = 280;
const A_BLOCK = 16;

test('all code is dropped when handlers run out, also while a region is asked for', () => {
  const jit = new JitAccelerator({ ...options(new TestBoard()), handlerLimit: 4096 });
  const [vcpu] = jit.vcpus;
  const a = new Assembler(BigInt(RAM_BASE));
  const [handler, main] = [new Label(), new Label()];
  const loops = Array.from({ length: BLOCKS }, () => new Label());
  const visit = (loop: Label, times: bigint) => {
    a.li(COUNT, times);
    a.to('jal', loop, { d: LINK });
  };
  a.la(T0, handler);
  a.csrw(CSR.mtvec, T0);
  a.to('jal', main, { d: 0 });
  a.place(handler); // skips the instruction
  a.csrr(T1, CSR.mepc);
  a.op('addi', { d: T1, a: T1, i: 4 });
  a.csrw(CSR.mepc, T1);
  a.op('mret');
  a.place(main);
  for (const loop of loops) visit(loop, 2n); // decodes it
  for (const [n, loop] of loops.entries()) {
    for (let k = n * A_BLOCK; k < (n + 1) * A_BLOCK; k++)
      a.op('csrrwi', { d: 0, z: k & 31, k: CSR.invented + (k >> 5) });
    visit(loop, 4000n); // makes it hot
  }
  const end = a.at;
  a.op('wfi');
  for (const loop of loops) {
    a.place(loop);
    a.op('addi', { d: SUM, a: SUM, i: 1 });
    a.op('addi', { d: COUNT, a: COUNT, i: -1 });
    a.to('bne', loop, { a: COUNT, b: 0 });
    a.op('jalr', { d: 0, a: LINK, i: 0 });
  }
  jit.ram.set(a.finish());
  vcpu.writeRegister('pc', BigInt(RAM_BASE));
  for (let n = 0; n < 500 && vcpu.run(100_000).kind !== 'halt'; n++);
  assert.equal(vcpu.readRegister('pc'), BigInt(RAM_BASE + end + 4));
  assert.equal(vcpu.readRegister('s2'), BigInt(BLOCKS * 4002));
});
