import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DELIVERY } from '../../hw/interrupt-message.ts';
import { setUp } from './test-apics.ts';

const EOI = 0xb0;
const WORD = 0x8000_0100;
const ISR = 0x100;
const IRR = 0x200;

/** One processor that has the bit in guest memory; `skips`: finds it set and clears it, as a guest does. */
function withPvEoi() {
  const all = setUp();
  const [apic] = all.apics;
  const memory = all.bench.dma.writable(WORD, 4);
  assert.ok(memory);
  assert.equal(apic.pvEoi.set(WORD | 1, 0), true);
  return {
    ...all,
    apic,
    probe: all.probes[0],
    cpu: all.cpus[0],
    memory,
    take: (vector: number) => {
      all.bus.msi(0xfee0_0000, vector);
      assert.equal(apic.acknowledge(), vector);
    },
    skips() {
      const was = memory[0] & 1;
      memory[0] &= ~1;
      return was === 1;
    },
  };
}

test('an interrupt that nothing waits for ends by the bit', () => {
  const { take, skips, probe, memory } = withPvEoi();
  memory[0] = 0xf0;
  take(0x41);
  assert.equal(probe.r(ISR + 0x20), 2);
  assert.equal(memory[0], 0xf1);
  assert.equal(skips(), true);
  assert.equal(probe.r(ISR + 0x20), 0);
  assert.equal(memory[0], 0xf0);
  // It ends once.
  take(0x42);
  assert.equal(probe.r(ISR + 0x20), 4);
  probe.w(EOI, 0);
  assert.equal(probe.r(ISR + 0x20), 0);
  assert.equal(skips(), false, 'the guest has written EOI');
});

test('what comes meanwhile has to be told of the end; what came before as well', () => {
  const { take, skips, probe, bus, apic, cpu } = withPvEoi();
  take(0x41);
  bus.msi(0xfee0_0000, 0x35);
  assert.equal(cpu.intr.level, false);
  assert.equal(skips(), false);
  probe.w(EOI, 0);
  assert.equal(cpu.intr.level, true);
  bus.msi(0xfee0_0000, 0x45);
  assert.equal(apic.acknowledge(), 0x45);
  assert.equal(skips(), false, '0x35 waits');
  probe.w(EOI, 0);
  assert.equal(apic.acknowledge(), 0x35);
  assert.equal(skips(), true);
  bus.msi(0xfee0_0000, 0x31);
  assert.equal(cpu.intr.level, true, 'the one before has ended');
});

test('one that is interrupted ends by a write, the one that interrupts by the bit', () => {
  const { take, skips, probe } = withPvEoi();
  take(0x41);
  take(0x51);
  assert.equal(skips(), true);
  assert.equal(skips(), false);
  probe.w(EOI, 0);
  for (let n = 0; n < 8; n++) assert.equal(probe.r(ISR + 0x10 * n) | probe.r(IRR + 0x10 * n), 0);
});

test('level-triggered interrupts end by a write', () => {
  const { bus, apic, skips } = withPvEoi();
  const ended: number[] = [];
  bus.onEndOfInterrupt((vector) => ended.push(vector));
  bus.deliver({ destination: 0, logical: false, mode: DELIVERY.FIXED, vector: 0x61, levelTriggered: true });
  assert.equal(apic.acknowledge(), 0x61);
  assert.equal(skips(), false);
  apic.endOfInterrupt();
  assert.deepEqual(ended, [0x61]);
});

test('values, reset, and memory that is none', () => {
  const { apic, take, skips, memory } = withPvEoi();
  assert.equal(apic.pvEoi.set(WORD | 3, 0), false);
  assert.equal(apic.pvEoi.set(0x1001, 0xff), false);
  assert.deepEqual(apic.pvEoi.value, [WORD + 1, 0]);
  take(0x41);
  assert.equal(apic.pvEoi.set(0, 0), true);
  assert.equal(memory[0] & 1, 0, 'the guest has to write');
  apic.endOfInterrupt();
  take(0x42);
  assert.equal(skips(), false);
  apic.pvEoi.set(WORD | 1, 0);
  apic.initReset();
  assert.deepEqual(apic.pvEoi.value, [0, 0]);
});
