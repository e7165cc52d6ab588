/** Jumps from region to region, when what they lead to changes: the page that is mapped there, or its code. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encode, rowOf } from '../../../test/differential/assembler.ts';
import { PageTables, PTE, satpMode } from '../../../test/differential/page-tables.ts';
import { isa } from '../../isa/riscv/isa.ts';
import { JitAccelerator } from './jit.ts';

const BASE = 0x8000_0000;
/** Two functions that stand at the same place of their pages, and the virtual page that shows one of them. */
const [MAIN, FIRST, SECOND, SHOWN] = [0x1000, 0x2000, 0x3000, 0x40_0000];
const [RA, A0, A1, A2, A3, A4] = [1, 10, 11, 12, 13, 14];
const { R, W, X, A, D, G } = PTE;
const op = (mnemonic: string, operands: Record<string, number> = {}) => encode(rowOf(mnemonic), operands);

/** What stands behind the call in the guest's loop, and how the shown page is mapped. */
interface Change {
  readonly words: readonly number[];
  readonly global: boolean;
  /** What is stored, where it is not the entry for the other page. */
  readonly value?: bigint;
}

/** Calls the function in the shown page again and again; half-way the guest changes what it is. Gives a0. */
function sum(rounds: number, { words, global, value }: Change): bigint {
  const board = { mmioRead: () => undefined, mmioWrite: () => false, now: () => 0 };
  const jit = new JitAccelerator({ isa, cpus: 1, ramBase: BASE, ramSize: 1 << 20, board, compileAfter: 20 });
  const view = new DataView(jit.ram.buffer, jit.ram.byteOffset);
  const put = (at: number, code: readonly number[]) => {
    for (const [n, word] of code.entries()) view.setUint32(at + 4 * n, word, true);
  };
  const tables = new PageTables(jit.ram, BASE, BASE + 0x1_0000, BASE + 0x2_0000, 3);
  for (let at = 0; at < 0x2_0000; at += 4096) tables.map(BigInt(BASE + at), BASE + at, R | W | X | A | D | G);
  const flags = R | W | X | A | D | (global ? G : 0n);
  const entry = tables.map(BigInt(SHOWN), BASE + FIRST, flags);
  put(FIRST, [op('addi', { d: A0, a: A0, i: 1 }), op('jalr', { d: 0, a: RA, i: 0 })]);
  put(SECOND, [op('addi', { d: A0, a: A0, i: 125 }), op('jalr', { d: 0, a: RA, i: 0 })]);
  // a1: rounds, a2: the function, a3: its entry's address, a4: what is stored when a1 is a5.
  const skip = 4 * (words.length + 1);
  const loop = [
    op('jalr', { d: RA, a: A2, i: 0 }),
    op('bne', { a: A1, b: 15, i: skip }),
    ...words,
    op('addi', { d: A1, a: A1, i: -1 }),
  ];
  put(MAIN, [...loop, op('bne', { a: A1, b: 0, i: -4 * loop.length }), op('jal', { d: 0, i: 0 })]);
  const [vcpu] = jit.vcpus;
  const set = (name: string, value: number | bigint) => vcpu.writeRegister(name, BigInt(value));
  // To S-mode, which may use all memory.
  const csrs = { pmpaddr0: 0x3b0, pmpcfg0: 0x3a0, satp: 0x180, mstatus: 0x300, mepc: 0x341 };
  put(0, [...Object.values(csrs).map((k, n) => op('csrrw', { d: 0, a: 5 + n, k })), op('mret')]);
  set('x5', (1n << 54n) - 1n);
  set('x6', 0x1f);
  set('x7', (BigInt(satpMode(3)) << 60n) | BigInt(tables.root / 4096));
  set('x8', 1 << 11);
  set('x9', BASE + MAIN);
  set('pc', BASE);
  set(`x${A1}`, rounds);
  set('x15', rounds / 2);
  set(`x${A2}`, SHOWN);
  set(`x${A3}`, entry);
  set(`x${A4}`, value ?? (BigInt(BASE + SECOND) >> 2n) | flags | PTE.V);
  vcpu.run(rounds * 20);
  assert.equal(vcpu.readRegister(`x${A1}`), 0n);
  jit.close();
  return vcpu.readRegister(`x${A0}`);
}

const ROUNDS = 400;
/** The call of the round in which the change is made has been before it. */
const EXPECTED = BigInt(ROUNDS / 2 + 1 + (ROUNDS / 2 - 1) * 125);
const remap = op('sd', { a: A3, b: A4, i: 0 });

for (const global of [false, true]) {
  const kind = global ? 'global' : 'not global';
  test(`another page is mapped there, flushed by its address (${kind})`, () => {
    assert.equal(sum(ROUNDS, { words: [remap, op('sfence.vma', { a: A2, b: 0 })], global }), EXPECTED);
  });
  test(`another page is mapped there, everything flushed (${kind})`, () => {
    assert.equal(sum(ROUNDS, { words: [remap, op('sfence.vma', { a: 0, b: 0 })], global }), EXPECTED);
  });
}

test('another page is mapped there, what is not global flushed', () => {
  assert.equal(sum(ROUNDS, { words: [remap, op('sfence.vma', { a: 0, b: RA })], global: false }), EXPECTED);
});

test('its code is overwritten', () => {
  const words = [op('sw', { a: A2, b: A4, i: 0 }), op('fence.i')];
  assert.equal(sum(ROUNDS, { words, global: true, value: BigInt(op('addi', { d: A0, a: A0, i: 125 })) }), EXPECTED);
});
