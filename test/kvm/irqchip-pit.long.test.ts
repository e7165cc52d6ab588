/**
 * The 8254 between the kernel and us: its periods keep their phase, and what has ended does not end again. Told by time
 * stamps, so on a quiet host only.
 */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { kvmCpuOffer } from '../../src/accel/kvm/x86/cpuid.ts';
import { openKvm } from '../../src/host/node/kvm/kvm-device.ts';
import { CC, R } from '../../src/machine/x86-assembler.ts';
import { CELL, Firmware, until } from './irqchip-guest.ts';
import { type Running, skip, start } from './irqchip-machine.ts';

/** Time stamps of counts' beginnings and of interrupts, and where the next one goes. */
const LOG = 0x3000;
const NEXT = CELL.seen;
/** 41.9 ms and 8.4 ms, in ticks. */
const LONG = 50_000;
const SHORT = 10_000;
const LONG_MS = 41.9;
/** Of a period: the host is busy. What the tests are about is half of one. */
const LATE = 0.2;
const EARLY = 0.1;
const ATTEMPTS = 6;
/** LONG in ticks of the time-stamp counter. */
let period = 0;
before(() => {
  if (skip('on')) return;
  const kvm = openKvm();
  period = (LONG / 1_193_182) * kvmCpuOffer(kvm).tscKhz * 1000;
  kvm.close();
});

/** rdtsc, to the log */
const stamp = (f: Firmware) =>
  f.db(0x0f, 0x31, 0x8b, 0x1d).dd(NEXT).db(0x89, 0x03, 0x89, 0x53, 4, 0x83, 0x05).dd(NEXT).db(8);

/** Counter 0 in a mode: whenever `go` is one more, its count is written. */
function counter(mode: number, count: number, loads: number): Firmware {
  const f = new Firmware().pics(1).gate(0x20, 'tick').store(NEXT, LOG);
  const write = (ticks: number) => f.out(0x40, ticks & 0xff).out(0x40, ticks >> 8);
  const wait = (cell: number, value: number) => {
    const name = `wait${f.here}`;
    f.label(name).load(cell).aluImm('cmp', R.ax, value).jcc(CC.carry, name);
  };
  // It counts from its reset on: the end of that.
  f.out(0x43, 0x30);
  write(2);
  f.sti();
  wait(CELL.count, 1);
  f.cli().store(NEXT, LOG).store(CELL.count, 0);
  for (let n = 1; n <= loads; n++) {
    f.sti();
    wait(CELL.go, n);
    f.cli();
    if (n === 1) f.out(0x43, 0x30 | (mode << 1));
    write(count);
    stamp(f).inc(CELL.started);
  }
  f.sti().label('on').jmp('on');
  f.label('tick').db(0x60).inc(CELL.count);
  return stamp(f).out(0x20, 0x20).db(0x61, 0xcf);
}

async function load({ cell, set, show }: Running, n: number): Promise<void> {
  set(CELL.go, n);
  await until(() => cell(CELL.started) === n, show);
}
/** The JIT has been used once: its first use takes longer than the periods here. */
async function begin(firmware: Firmware): Promise<Running & AsyncDisposable> {
  const guest = await start('on', firmware);
  await guest.machine.switchAccelerator('jit');
  await pause(150);
  await guest.machine.switchAccelerator('kvm');
  return guest;
}

const ticks = ({ cell, show }: Running, count: number) => until(() => cell(CELL.count) >= count, show);
function stamps({ machine, cell }: Running): number[] {
  const bytes = machine.readMemory(LOG, cell(NEXT) - LOG)?.slice() ?? new Uint8Array();
  const view = new DataView(bytes.buffer);
  return Array.from({ length: bytes.length / 8 }, (_, n) => Number(view.getBigUint64(8 * n, true)));
}
/** After `start` interrupts came at the ends of periods, all but a third: the host may have held up some. */
function assertInPhase(start: number, times: readonly number[]): void {
  const phases = times.map((time) => (time - start) / period);
  const out = phases.filter((phase) => phase < 0.5 || (phase % 1 > LATE && phase % 1 < 1 - EARLY));
  assert.ok(out.length <= times.length / 3, `periods after the load: ${phases.map((phase) => phase.toFixed(3))}`);
}

/** On a host that others use, too, one of a few attempts. */
async function inTime(attempt: () => Promise<void>): Promise<void> {
  for (let n = 1; ; n++)
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof assert.AssertionError) || n === ATTEMPTS) throw error;
    }
}

test('a period that the guest began under KVM keeps its phase elsewhere', { skip: skip('on') }, async () => {
  await inTime(async () => {
    for (const mode of [2, 3]) {
      await using guest = await begin(counter(mode, LONG, 1));
      await load(guest, 1);
      await ticks(guest, 1);
      await pause(LONG_MS / 2);
      await guest.machine.switchAccelerator('jit');
      await ticks(guest, 4);
      const [begun, ...times] = stamps(guest);
      assertInPhase(begun, times);
    }
  });
});

test('a period keeps its phase through many moves', { skip: skip('on') }, async () => {
  await inTime(async () => {
    await using guest = await begin(counter(2, LONG, 1));
    await load(guest, 1);
    for (let n = 1; n < 8; n++) {
      await guest.machine.switchAccelerator(n % 2 ? 'jit' : 'kvm');
      await pause(LONG_MS / 3);
      await guest.machine.pause();
      guest.machine.resume();
      await ticks(guest, n);
      await pause(LONG_MS / 3);
    }
    await guest.machine.switchAccelerator('kvm');
    await ticks(guest, 10);
    const [begun, ...times] = stamps(guest);
    assertInPhase(begun, times);
  });
});

test('the same count, written again under KVM, is a new period', { skip: skip('on') }, async () => {
  await inTime(async () => {
    await using guest = await begin(counter(2, LONG, 2));
    await guest.machine.switchAccelerator('jit');
    await load(guest, 1);
    await ticks(guest, 1);
    await guest.machine.switchAccelerator('kvm');
    await ticks(guest, 2);
    await pause(LONG_MS / 2);
    await load(guest, 2);
    const second = stamps(guest).length - 1;
    const seen = guest.cell(CELL.count);
    await pause(LONG_MS / 4);
    await guest.machine.switchAccelerator('jit');
    await ticks(guest, seen + 3);
    const [again, ...times] = stamps(guest).slice(second);
    assertInPhase(again, times);
  });
});

test('a count that has ended does not end again elsewhere, and a new one does', { skip: skip('on') }, async () => {
  for (const [first, second] of [
    ['jit', 'kvm'],
    ['kvm', 'jit'],
  ] as const)
    for (const mode of [0, 4]) {
      await using guest = await begin(counter(mode, SHORT, 2));
      const { machine, cell } = guest;
      await machine.switchAccelerator(first);
      await load(guest, 1);
      await ticks(guest, 1);
      for (const name of [second, first, second]) {
        await machine.switchAccelerator(name);
        await pause(70);
        // A strobe under KVM leaves no trace: known, see docs/KVM.md.
        if (!(mode === 4 && first === 'kvm')) assert.equal(cell(CELL.count), 1, `${name}, mode ${mode}`);
      }
      const before = cell(CELL.count);
      await load(guest, 2);
      await ticks(guest, before + 1);
      await pause(30);
      assert.equal(cell(CELL.count), before + 1);
    }
});

test('a count that has begun ends once, in its time, wherever it is then', { skip: skip('on') }, async () => {
  await inTime(async () => {
    for (const [first, second] of [
      ['jit', 'kvm'],
      ['kvm', 'jit'],
    ] as const) {
      await using guest = await begin(counter(0, LONG, 1));
      const { machine, cell } = guest;
      await machine.switchAccelerator(first);
      await load(guest, 1);
      await pause(LONG_MS / 2);
      await machine.switchAccelerator(second);
      await ticks(guest, 1);
      const [begun, ...ended] = stamps(guest);
      assertInPhase(begun, ended);
      await pause(70);
      assert.equal(cell(CELL.count), 1);
    }
  });
});
