/** Instructions of four bytes that begin in the last two of a page. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encode, rowOf } from '../../../test/differential/assembler.ts';
import { JitAccelerator } from './jit.ts';
import { isa } from '../../isa/riscv/isa.ts';
import { Reason } from './reasons.ts';

const BASE = 0x8000_0000;
const [RA, T0, S0, A0, A1, A2, A3] = [1, 5, 8, 10, 11, 12, 13];

/** A hart whose RAM holds instructions by their offset. */
function hart(code: Readonly<Record<number, readonly number[]>>) {
  let time = 0;
  const board = { mmioRead: () => undefined, mmioWrite: () => false, now: () => (time += 1000) };
  const jit = new JitAccelerator({ isa, cpus: 1, ramBase: BASE, ramSize: 1 << 20, board, compileAfter: 200 });
  const view = new DataView(jit.ram.buffer, jit.ram.byteOffset);
  for (const [start, words] of Object.entries(code)) {
    let at = Number(start);
    for (const word of words) {
      view.setUint16(at, word & 0xffff, true);
      at += 2;
      if ((word & 3) !== 3) continue;
      view.setUint16(at, word >>> 16, true);
      at += 2;
    }
  }
  const [vcpu] = jit.vcpus;
  // How often JavaScript had to look at a straddling instruction.
  let looks = 0;
  const serve = jit.serve.bind(jit);
  jit.serve = (of, reason) => {
    if (reason === Reason.straddle) looks++;
    return serve(of, reason);
  };
  const x = (register: number) => vcpu.readRegister(`x${register}`);
  const set = (register: number, value: number) => vcpu.writeRegister(`x${register}`, BigInt(value));
  const pc = () => vcpu.readRegister('pc');
  const start = (offset: number) => vcpu.writeRegister('pc', BigInt(BASE + offset));
  return { jit, vcpu, view, x, set, pc, start, looks: () => looks };
}
const op = (mnemonic: string, operands: Record<string, number> = {}) => encode(rowOf(mnemonic), operands);

/** Ends programs: stands where it is. */
const STAY = op('jal', { d: 0, i: 0 });

test('a loop over one runs without JavaScript, and goes on behind it', () => {
  const { vcpu, x, set, start, pc, looks } = hart({
    4094: [op('addi', { d: A0, a: A0, i: 3 }), op('c.addi', { d: A1, i: -1 }), op('bne', { a: A1, b: 0, i: -6 }), STAY],
  });
  set(A1, 100);
  start(0xffe);
  vcpu.run(1000);
  assert.deepEqual([x(A0), x(A1), pc()], [300n, 0n, BigInt(BASE + 0x1008)]);
  assert.equal(looks(), 1);
});

test('a store into its second half is seen at once, and one into its first', () => {
  const { vcpu, x, set, start, looks } = hart({
    4094: [
      op('addi', { d: A0, a: A0, i: 1 }),
      op('sh', { a: A3, b: A2, i: 0 }),
      op('c.addi', { d: A1, i: -1 }),
      op('bne', { a: A1, b: 0, i: -10 }),
      STAY,
    ],
  });
  start(0xffe);
  set(A1, 5);
  set(A3, BASE + 0x1000);
  set(A2, op('addi', { d: A0, a: A0, i: 100 }) >>> 16);
  vcpu.run(1000);
  assert.equal(x(A0), 1n + 4n * 100n);
  assert.equal(looks(), 2);
  // The destination is in the first half.
  start(0xffe);
  set(A1, 2);
  set(A3, BASE + 0xffe);
  set(A2, op('addi', { d: S0, a: A0, i: 100 }) & 0xffff);
  vcpu.run(1000);
  assert.deepEqual([x(A0), x(S0)], [501n, 601n]);
});

test('jumps from one go where they should, and one that changes under it is another', () => {
  const { jit, vcpu, view, x, start, pc } = hart({
    4080: [op('c.li', { d: T0, i: 7 })],
    4082: [op('c.j', { i: 12 })],
    4094: [op('jal', { d: RA, i: -14 })],
    4098: [op('c.li', { d: T0, i: 9 }), STAY],
  });
  start(0xffe);
  vcpu.run(30);
  assert.deepEqual([x(RA), x(T0)], [BigInt(BASE + 0x1002), 7n]);
  // Not taken: falls out of the page.
  const branch = op('beq', { a: 0, b: RA, i: -14 });
  view.setUint16(0xffe, branch & 0xffff, true);
  view.setUint16(0x1000, branch >>> 16, true);
  jit.written(BASE + 0xffe, 4);
  vcpu.run(30);
  assert.deepEqual([x(T0), pc()], [9n, BigInt(BASE + 0x1004)]);
});

test('its address is right in what it computes and in what it raises', () => {
  const { vcpu, x, set, start, pc } = hart({
    4094: [op('auipc', { d: A0, i: 0x1000 }), STAY],
    8190: [op('lw', { d: A0, a: S0, i: 0 }), STAY],
    12288: [STAY],
  });
  vcpu.writeRegister('mtvec', BigInt(BASE + 0x3000));
  for (let n = 0; n < 3; n++) {
    start(0xffe);
    vcpu.run(20);
    assert.deepEqual([x(A0), pc()], [BigInt(BASE + 0x1ffe), BigInt(BASE + 0x1002)]);
    set(S0, 16);
    start(0x1ffe);
    vcpu.run(20);
    assert.deepEqual(
      [pc(), vcpu.readRegister('mepc'), vcpu.readRegister('mtval')],
      [BigInt(BASE + 0x3000), BigInt(BASE + 0x1ffe), 16n],
    );
  }
});

test('when all code is dropped, what the instruction TLB knew of it goes too', () => {
  const { jit, vcpu, x, start } = hart({
    4094: [op('addi', { d: A0, a: A0, i: 1 }), op('jal', { d: 0, i: 0x5000 - 0x1002 })],
    20480: [op('c.addi', { d: A1, i: 1 }), op('jal', { d: 0, i: 0xffe - 0x5002 })],
  });
  start(0xffe);
  for (let n = 1; n <= 4; n++) {
    vcpu.run(100);
    assert.ok(vcpu.instructions >= n * 100);
    assert.ok(x(A0) - x(A1) <= 1n && x(A0) >= BigInt(n * 25));
    jit.cache.dropAll();
  }
});

test('a guest that invents CSR instructions without end does not use the handlers up', () => {
  const { vcpu, view, x, start } = hart({});
  // csrrwi a0, mscratch, z and so on: destination or none, and every immediate, of many CSRs that exist.
  let at = 0;
  let count = 0;
  const put = (word: number) => {
    view.setUint32(at, word, true);
    at += 4;
    count++;
  };
  const exist = [0x340, 0x140, 0x305, 0x105, 0x341, 0x141, 0x342, 0x142, 0x343, 0x143];
  for (let counter = 0xb03; counter < 0xb20; counter++) exist.push(counter, counter - 0xb00 + 0x320);
  for (const mnemonic of ['csrrwi', 'csrrsi', 'csrrci'])
    for (const k of exist) for (let z = 0; z < 32; z++) put(op(mnemonic, { d: A0, k, z }));
  assert.ok(count > 5000);
  put(op('addi', { d: A1, a: 0, i: 77 }));
  put(STAY);
  vcpu.writeRegister('mtvec', BigInt(BASE + 0xff000));
  start(0);
  for (let n = 0; n < 3; n++) vcpu.run(count);
  assert.equal(x(A1), 77n);
});
