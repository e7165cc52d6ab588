/** Ends of interrupts by a bit in guest memory, as a guest has them under each accelerator. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { AcceleratorName } from '../../src/accel/switching.ts';
import { CC, R } from '../../src/machine/x86-assembler.ts';
import { CELL, Firmware, LAPIC, until } from './irqchip-guest.ts';
import { kvmMachine } from './machine.ts';
import { skip as noKvm } from './real-mode.ts';

const WORD = 0x3000;
/** Interrupts that ended by the bit, and by a write. */
const [BITS, WRITES] = [CELL.seen, CELL.other];
const MSR = 0x4b56_4d04;
const ROUNDS = 200;
/** Interrupts that have interrupted another; and from a word to what is waited for in it. */
const INNER = 0x3010;
const WANTED = 0x100;

/** As Linux ends interrupts: test and clear, and write where the bit was not set. */
function end(f: Firmware, name: string): Firmware {
  f.db(0x0f, 0xba, 0x35).dd(WORD).db(0).jcc(CC.carry, `${name}-bit`); // btr dword [WORD], 0
  f.store(LAPIC + 0xb0, 0)
    .inc(WRITES)
    .jmp(`${name}-end`);
  return f.label(`${name}-bit`).inc(BITS).label(`${name}-end`);
}

function handler(f: Firmware, name: string, body: () => unknown = () => {}): Firmware {
  f.label(name).db(0x60); // pusha
  body();
  return end(f, name).inc(CELL.count).db(0x61, 0xcf); // popa; iret
}

let waits = 0;
/** With interrupts on, until the word has become `by` more than it was at the last wait. */
function wait(f: Firmware, cell: number, by: number): Firmware {
  const name = `wait${waits++}`;
  f.db(0x83, 0x05)
    .dd(cell + WANTED)
    .db(by); // add dword [wanted], by
  f.sti()
    .label(name)
    .load(cell)
    .db(0x3b, 0x05)
    .dd(cell + WANTED); // cmp eax, [wanted]
  return f.jcc(CC.carry, name).cli();
}

const send = (f: Firmware, vector: number) => f.store(LAPIC + 0x300, 0x4_4000 | vector);

/** Each round: one alone; two at once; one that a higher one interrupts. */
function guest(): number[] {
  const f = new Firmware()
    .pics()
    .enableApic()
    .gate(0x41, 'low')
    .gate(0x51, 'high')
    .gate(0x61, 'outer')
    .gate(0x71, 'inner');
  f.movImm(R.cx, MSR)
    .movImm(R.ax, WORD | 1)
    .db(0x31, 0xd2, 0x0f, 0x30); // xor edx, edx; wrmsr
  f.label('round');
  wait(send(f, 0x41), CELL.count, 1);
  wait(send(send(f, 0x41), 0x51), CELL.count, 2);
  wait(send(f, 0x61), CELL.count, 2);
  f.inc(CELL.started).load(CELL.started).aluImm('cmp', R.ax, ROUNDS).jcc(CC.notZero, 'round');
  f.print('D').end();
  handler(f, 'low');
  handler(f, 'high');
  handler(f, 'outer', () => wait(send(f, 0x71), INNER, 1));
  handler(f, 'inner', () => f.inc(INNER));
  return f.bytes();
}

for (const accelerator of ['kvm', 'jit', 'reference'] as const)
  test(`interrupts end by a bit where nothing waits for it, and by a write elsewhere: ${accelerator}`, {
    skip: noKvm, // where KVM may not run the machine it is not offered
  }, async () => {
    const { machine, printed } = await kvmMachine(guest(), { accel: ['kvm', 'jit'] });
    await using _ = machine;
    await machine.switchAccelerator(accelerator);
    const cell = (address: number) =>
      new DataView(machine.readMemory(address, 4)?.slice().buffer as ArrayBuffer).getUint32(0, true);
    machine.start();
    await until(
      () => printed.text === 'D',
      () =>
        `${machine.error ?? machine.state}: round ${cell(CELL.started)}, ${cell(BITS)} bits, ${cell(WRITES)} writes`,
    );
    assert.deepEqual([cell(CELL.count), cell(BITS), cell(WRITES)], [5 * ROUNDS, 3 * ROUNDS, 2 * ROUNDS]);
  });

test('an interrupt that is served moves with its bit', { skip: noKvm }, async () => {
  const f = new Firmware().pics().enableApic().gate(0x41, 'served');
  f.movImm(R.cx, MSR)
    .movImm(R.ax, WORD | 1)
    .db(0x31, 0xd2, 0x0f, 0x30);
  wait(send(f, 0x41), CELL.count, 1);
  wait(send(f, 0x41), CELL.count, 1).print('D').end();
  handler(f, 'served', () => f.inc(CELL.started).until(CELL.go, 1, 'spin'));
  const { machine, printed } = await kvmMachine(f.bytes(), { accel: ['kvm', 'jit'], cpus: 1 });
  await using _ = machine;
  const cell = (address: number) => machine.readMemory(address, 4)?.[0];
  machine.start();
  await until(
    () => cell(CELL.started) === 1,
    () => `${machine.error ?? machine.state}`,
  );
  for (const name of ['jit', 'kvm', 'reference', 'kvm', 'jit'] satisfies AcceleratorName[]) {
    await machine.switchAccelerator(name);
    await pause(3);
    assert.equal(cell(WORD), 1, `under ${name}`);
    assert.match(machine.describe('lapic'), /ISR\s+65\n/);
  }
  machine.writeMemory(CELL.go, Uint8Array.of(1));
  await until(
    () => printed.text === 'D',
    () => `${machine.error ?? machine.state}`,
  );
  assert.deepEqual([cell(BITS), cell(WRITES), cell(WORD)], [2, 0, 0]);
  assert.match(machine.describe('lapic'), /ISR\s+\(none\)\n/);
});

test('processors in threads are not told of it, nor those with the kernel’s local APICs or without KVM', {
  skip: noKvm,
}, async () => {
  const f = new Firmware().movImm(R.ax, 0x4000_0001).db(0x0f, 0xa2, 0xa3).dd(CELL.seen); // cpuid; mov [seen], eax
  const code = f.print('D').end().bytes();
  for (const [config, offered] of [
    [{ accel: 'kvm', accelThreads: false }, true],
    [{ accel: 'kvm', accelThreads: true }, false],
    [{ accel: 'kvm', kernelIrqchip: 'on' }, false],
    [{ accel: ['jit', 'kvm'] }, true],
    [{ accel: 'jit' }, false],
  ] as const) {
    const { machine, printed } = await kvmMachine(code, config);
    await using _ = machine;
    machine.start();
    await until(
      () => printed.text === 'D',
      () => `${machine.error ?? machine.state}`,
    );
    assert.equal(((machine.readMemory(CELL.seen, 1)?.[0] ?? 0) & 0x40) !== 0, offered, JSON.stringify(config));
  }
});
