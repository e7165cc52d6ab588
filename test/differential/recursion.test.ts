/** A guest that calls itself much deeper than the host's stack could follow. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { JitAccelerator } from '../../src/accel/jit/jit.ts';
import { Assembler, Label } from './assembler.ts';
import { RAM_BASE } from './firmware.ts';
import { options, TestBoard } from './pair.ts';

const [RA, S1, A0, S2, S3] = [1, 9, 10, 18, 19];
const DEPTH = 2_000_000;

test('recursion deeper than the host could nest comes back', () => {
  const jit = new JitAccelerator(options(new TestBoard()));
  const [vcpu] = jit.vcpus;
  const a = new Assembler(BigInt(RAM_BASE));
  const [start, self, back, out, last] = Array.from({ length: 5 }, () => new Label());
  const call = (depth: number, times: number) => {
    a.li(S1, BigInt(times));
    const again = a.label();
    a.li(A0, BigInt(depth));
    a.to('jal', start, { d: RA });
    a.op('addi', { d: S1, a: S1, i: -1 });
    a.to('bne', again, { a: S1, b: 0 });
  };
  call(10, 3000); // until it is compiled
  call(DEPTH, 4);
  const end = a.at;
  a.op('wfi');
  // All return addresses but the first are the same: no stack is needed.
  a.place(start);
  a.op('addi', { d: S2, a: RA, i: 0 });
  a.op('addi', { d: S3, a: A0, i: 0 });
  a.place(self);
  a.to('beq', out, { a: A0, b: 0 });
  a.op('addi', { d: A0, a: A0, i: -1 });
  a.to('jal', self, { d: RA });
  a.place(back);
  a.op('addi', { d: A0, a: A0, i: 1 });
  a.to('beq', last, { a: A0, b: S3 });
  a.la(RA, back);
  a.place(out);
  a.op('jalr', { d: 0, a: RA, i: 0 });
  a.place(last);
  a.op('jalr', { d: 0, a: S2, i: 0 });
  jit.ram.set(a.finish());
  vcpu.writeRegister('pc', BigInt(RAM_BASE));
  for (let n = 0; n < 1000 && vcpu.run(5_000_000).kind !== 'halt'; n++);
  assert.equal(vcpu.readRegister('pc'), BigInt(RAM_BASE + end + 4));
  assert.equal(vcpu.readRegister('a0'), BigInt(DEPTH));
  assert.ok(jit.regions.compiled > 0);
});
