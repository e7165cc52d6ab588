/** KVM's hypercalls: whom an interrupt to many reaches, what is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { InterruptMessage } from '../hw/interrupt-message.ts';
import { Hypercalls } from './x86-hypercalls.ts';

const SEND_IPI = 10;
const FIXED = 0x4041;
const NMI = 0x4400;

function bench(cpus: number) {
  const sent: InterruptMessage[] = [];
  const kicked: number[] = [];
  const calls = new Hypercalls({
    cpus,
    bus: { deliver: (message) => void sent.push(message) },
    kick: (cpu) => void kicked.push(cpu),
  });
  const ipi = (low: bigint, high: bigint, first: number, icr: number, long = true): [bigint, number[]] => {
    sent.length = 0;
    calls.setTarget(first, icr);
    const count = calls.call(SEND_IPI, low, high, long);
    return [count, sent.map(({ destination }) => destination)];
  };
  return { calls, sent, kicked, ipi };
}

test('an interrupt goes to each processor that has a bit, from the first one on', () => {
  const { ipi, sent } = bench(150);
  assert.deepEqual(ipi(0b1011n, 0n, 0, FIXED), [3n, [0, 1, 3]]);
  assert.deepEqual(sent[0], { destination: 0, logical: false, mode: 0, vector: 0x41, levelTriggered: false });
  assert.deepEqual(ipi(1n, 1n, 3, FIXED), [2n, [3, 67]]);
  assert.deepEqual(ipi(1n, 1n, 3, FIXED, false), [2n, [3, 35]]);
  assert.deepEqual(ipi(~0n, ~0n, 148, NMI), [2n, [148, 149]]);
  assert.equal(sent[0].mode, 4);
});

test('nobody is reached beyond the last processor; what is no command of this kind is refused', () => {
  const { ipi } = bench(2);
  assert.deepEqual(ipi(0xffff_ffffn, 0n, 0xffff_ffff, 0), [0n, []]);
  for (const icr of [0x4500, 0x4600, 0x4141, 0x4841, 0x4_4041, 0x8_4041])
    assert.deepEqual(ipi(1n, 0n, 0, icr), [-22n, []], icr.toString(16));
});

test('a kick names a processor by its APIC id; other hypercalls are not there', () => {
  const { calls, kicked } = bench(2);
  assert.equal(calls.call(5, 0n, 1n, true), 0n);
  assert.equal(calls.call(5, 0n, 2n, true), 0n);
  assert.deepEqual(kicked, [1]);
  assert.equal(calls.call(1, 0n, 0n, true), 0n);
  for (const number of [0, 2, 9, 11, 12, 0xffff_ffff]) assert.equal(calls.call(number, 0n, 0n, true), -1000n);
});
