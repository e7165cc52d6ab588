/** kvmclock, steal time and hypercalls as a guest has them, across accelerators and pauses. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import type { AcceleratorName } from '../../src/accel/switching.ts';
import { waitedTime } from '../../src/host/node/thread-times.ts';
import type { Machine } from '../../src/machine/machine.ts';
import { R } from '../../src/machine/x86-assembler.ts';
import { CELL, Firmware, LAPIC, SIPI_PAGE, until } from './irqchip-guest.ts';
import { kvmMachine } from './machine.ts';
import { skip as noKvm } from './real-mode.ts';

const CLOCK = 0x3000;
const STEAL = 0x3040;
/** Counts the turns of the guest's loop; what its time-stamp counter read in the last one. */
const TURNS = 0x3080;
const COUNTER = 0x3088;

/** Asks for both pages, then reads its counter all the time. */
function guest(): number[] {
  const f = new Firmware();
  for (const [msr, value] of [
    [0x4b56_4d01, CLOCK | 1],
    [0x4b56_4d03, STEAL | 1],
  ])
    f.movImm(R.cx, msr).movImm(R.ax, value).db(0x31, 0xd2, 0x0f, 0x30); // xor edx, edx; wrmsr
  f.label('turn').db(0x0f, 0x31); // rdtsc
  f.db(0xa3)
    .dd(COUNTER)
    .db(0x89, 0x15)
    .dd(COUNTER + 4); // mov [..], eax; mov [..], edx
  return [...f.inc(TURNS).jmp('turn').bytes()];
}

function look(machine: Machine): DataView {
  const bytes = machine.readMemory(CLOCK, 0x100);
  assert.ok(bytes);
  return new DataView(bytes.slice().buffer);
}
const at = (address: number): number => address - CLOCK;
const turns = (machine: Machine): number => look(machine).getUint32(at(TURNS), true);

/** Milliseconds as the guest would make them of its page and the counter that it read last. The machine is paused. */
function guestTime(machine: Machine): number {
  const view = look(machine);
  const shift = view.getInt8(28);
  const ticks = view.getBigUint64(at(COUNTER), true) - view.getBigUint64(8, true);
  const shifted = shift >= 0 ? ticks << BigInt(shift) : ticks >> BigInt(-shift);
  const ns = view.getBigUint64(16, true) + ((shifted * BigInt(view.getUint32(24, true))) >> 32n);
  return Number(ns) / 1e6;
}

async function further(machine: Machine, by = 3): Promise<void> {
  const from = turns(machine);
  await until(
    () => turns(machine) - from >= by,
    () => `the guest stands still: ${machine.error ?? machine.state}`,
  );
}

test('kvmclock goes on through pauses and changes of accelerator, and tells the guest of pauses', {
  skip: noKvm,
}, async () => {
  for (const accelThreads of [false, true]) {
    const { machine } = await kvmMachine(guest(), { accel: ['kvm', 'jit'], accelThreads });
    await using _ = machine;
    machine.start();
    // The counter that the guest reads last, it reads after this moment.
    let since = performance.now();
    await further(machine);
    await machine.pause();
    let last = guestTime(machine);
    for (const accelerator of ['jit', 'kvm', 'reference', 'jit', 'kvm', 'kvm'] satisfies AcceleratorName[]) {
      const stopped = performance.now();
      await pause(150);
      const paused = performance.now() - stopped;
      machine.resume();
      await further(machine);
      await machine.switchAccelerator(accelerator);
      const next = performance.now();
      await further(machine);
      assert.equal(look(machine).getUint8(29), 3, 'stable, and it was stopped');
      await machine.pause();
      const ran = performance.now() - since - paused;
      const now = guestTime(machine);
      assert.ok(now > last, `from ${last} to ${now}, to ${accelerator}`);
      assert.ok(now - last <= ran, `${now - last} ms in a run of ${ran} ms, to ${accelerator}`);
      since = next;
      last = now;
    }
  }
});

for (const accelerator of ['kvm', 'jit'] as const)
  test(`steal time rises where the host is busy: ${accelerator}`, {
    skip: waitedTime() === undefined ? 'the system does not say how long threads wait' : accelerator === 'kvm' && noKvm,
  }, async () => {
    const { machine } = await kvmMachine(guest(), { accel: accelerator });
    await using _ = machine;
    machine.start();
    await further(machine);
    const stolen = () => Number(look(machine).getBigUint64(at(STEAL), true)) / 1e6;
    const before = stolen();
    const others = Array.from({ length: availableParallelism() + 1 }, () =>
      spawn(process.execPath, ['-e', 'for (const end = Date.now() + 8000; Date.now() < end; );'], { stdio: 'ignore' }),
    );
    try {
      await until(
        () => stolen() - before > 40,
        () => `${stolen() - before} ms stolen`,
      );
    } finally {
      for (const other of others) other.kill('SIGKILL');
    }
  });

/** VMCALL: EAX, EBX, ECX, EDX, ESI. */
function call(f: Firmware, number: number, a0: number, a1: number, a2 = 0, a3 = 0): void {
  f.movImm(R.ax, number).movImm(R.bx, a0).movImm(R.cx, a1).movImm(R.dx, a2).movImm(R.si, a3).db(0x0f, 0x01, 0xc1);
}
const KICK = 5;
const SEND_IPI = 10;

/** Processor 1 waits twice with interrupts off, for a kick each; then both take the same interrupt. */
function hypercalls(): number[] {
  const f = new Firmware().pics().enableApic().gate(0x41, 'ipi');
  f.store(LAPIC + 0x310, 1 << 24).store(LAPIC + 0x300, 0x4500);
  f.store(LAPIC + 0x300, 0x4600 | SIPI_PAGE);
  for (const step of [1, 2]) {
    f.until(CELL.started, step, 'spin');
    call(f, KICK, 0, 1);
  }
  f.until(CELL.started, 3, 'spin').sti();
  call(f, SEND_IPI, 3, 0, 0, 0x4041);
  f.db(0xa3).dd(CELL.seen); // mov [seen], eax
  f.until(CELL.count, 2, 'spin').print('D').end();
  f.label('ap').enableApic();
  f.inc(CELL.started).db(0xfa, 0xf4).inc(CELL.started).hlt().inc(CELL.started).sti();
  f.label('ap-rest').hlt().jmp('ap-rest');
  return f.handler('ipi', CELL.count).bytes();
}

for (const accelerator of ['jit', 'reference'] as const)
  test(`hypercalls end a wait and interrupt several processors: ${accelerator}`, async () => {
    const { machine, printed } = await kvmMachine(hypercalls(), { accel: accelerator, cpus: 2 });
    await using _ = machine;
    machine.start();
    const cell = (address: number) => machine.readMemory(address, 4)?.[0];
    await until(
      () => printed.text === 'D',
      () => `started ${cell(CELL.started)}, interrupts ${cell(CELL.count)}, ${machine.error ?? machine.state}`,
    );
    assert.equal(cell(CELL.seen), 2);
  });
