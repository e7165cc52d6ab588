/** The pages of kvmclock and steal time, without a guest. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KvmClock } from './kvm-clock.ts';
import { KvmStealTime } from './kvm-steal-time.ts';

const memory = new Uint8Array(0x4000);
const dma = {
  readable: (at: number, length: number) =>
    at + length <= memory.length ? memory.subarray(at, at + length) : undefined,
  writable: (at: number, length: number) =>
    at + length <= memory.length ? memory.subarray(at, at + length) : undefined,
};
const view = new DataView(memory.buffer);
const HZ = 2.44e9;

/** What a guest makes of a page and a counter. */
function guestTime(page: number, counter: bigint): number {
  const shift = view.getInt8(page + 28);
  const ticks = counter - view.getBigUint64(page + 8, true);
  const shifted = shift >= 0 ? ticks << BigInt(shift) : ticks >> BigInt(-shift);
  return Number(view.getBigUint64(page + 16, true) + ((shifted * BigInt(view.getUint32(page + 24, true))) >> 32n));
}

function bench(cpus = 1) {
  memory.fill(0);
  const added = new Array<bigint>(cpus).fill(0n);
  const time = { now: 5e9, skew: 77_000n };
  const counter = (cpu: number) => BigInt(Math.floor((time.now * HZ) / 1e9)) + time.skew + added[cpu];
  const clock = { now: () => time.now, epoch: () => 1e12, timer: () => assert.fail() };
  const kvm = new KvmClock(dma, clock, { cpus, hz: HZ, read: () => counter(0), added: (cpu) => added[cpu] });
  return { kvm, time, added, counter };
}

test('pages of several processors give the same time, whatever their counters were set to and whenever they asked', () => {
  const { kvm, time, added, counter } = bench(2);
  added[1] = 1_000_000n;
  kvm.setSystemTime(0, 0x1001n);
  assert.ok(Math.abs(guestTime(0x1000, counter(0)) - time.now) < 3);
  time.now += 3e9;
  // The two clocks have come apart.
  time.skew += 12_345n;
  kvm.setSystemTime(1, 0x2001n);
  assert.equal(guestTime(0x2000, counter(1)), guestTime(0x1000, counter(0)));
  assert.equal(view.getUint8(0x1000 + 29), 1);
  assert.equal(view.getUint32(0x2000, true) & 1, 0);
});

test('a counter that goes on in a pause is no step, one that stands still neither; the guest is told of the pause', () => {
  for (const jump of [0n, 900_000_000_000n]) {
    const { kvm, time, counter } = bench();
    kvm.setSystemTime(0, 0x1001n);
    time.now += 1e9;
    const before = guestTime(0x1000, counter(0));
    const version = view.getUint32(0x1000, true);
    kvm.stopped();
    time.skew += jump;
    kvm.started();
    const after = guestTime(0x1000, counter(0));
    assert.ok(after >= before && after - before < 1000, `${before} to ${after}`);
    assert.equal(view.getUint8(0x1000 + 29), 3);
    assert.notEqual(view.getUint32(0x1000, true), version);
    time.now += 1e9;
    assert.ok(Math.abs(guestTime(0x1000, counter(0)) - after - 1e9) < 3);
  }
});

test('nothing is written before the guest asks, after it has withdrawn, after a reset, or outside of memory', () => {
  const { kvm } = bench();
  kvm.stopped();
  kvm.started();
  kvm.setSystemTime(0, 0x1001n);
  kvm.setSystemTime(0, 0x1000n);
  memory.fill(0);
  kvm.stopped();
  kvm.started();
  kvm.setSystemTime(0, 0xffff_0001n);
  kvm.setSystemTime(0, 0x1001n);
  kvm.reset();
  memory.fill(0);
  kvm.stopped();
  kvm.started();
  assert.ok(memory.every((byte) => byte === 0));
});

test('steal time: what a thread waits, a vCPU loses; another thread’s account is not taken over', () => {
  memory.fill(0);
  let thread: number | undefined;
  let waited: number | undefined = 1e9;
  const steal = new KvmStealTime(dma, { thread: () => thread, waited: () => waited, wants: () => true }, 1);
  const stolen = () => Number(view.getBigUint64(0x1000, true));
  steal.entering(0, 0);
  assert.equal(steal.set(0, 0x1003n), false);
  assert.equal(steal.set(0, 0x1001n), true);
  assert.equal(steal.value(0), 0x1001n);
  steal.entering(0, 0);
  assert.equal(stolen(), 0);
  waited += 3e6;
  steal.entering(0, 1e6);
  assert.equal(stolen(), 0, 'it was looked up only now');
  steal.entering(0, 25e6);
  assert.equal(stolen(), 3e6);
  assert.equal(view.getUint32(0x1008, true) & 1, 0);
  thread = 9;
  waited = 7e9;
  steal.entering(0, 50e6);
  assert.equal(stolen(), 3e6);
  waited += 1e6;
  steal.entering(0, 75e6);
  assert.equal(stolen(), 4e6);
  waited = undefined;
  steal.entering(0, 100e6);
  steal.set(0, 0n);
  waited = 9e9;
  steal.entering(0, 125e6);
  assert.equal(stolen(), 4e6);
});

test('steal time: a processor that waits for its turn counts as preempted, one that sleeps does not', () => {
  memory.fill(0);
  let wants = true;
  const steal = new KvmStealTime(dma, { thread: () => undefined, waited: () => 0, wants: () => wants }, 2);
  steal.set(0, 0x1001n);
  steal.set(1, 0x2001n);
  const preempted = () => [memory[0x1010], memory[0x2010]];
  steal.entering(0, 0);
  steal.entering(1, 0);
  assert.deepEqual(preempted(), [1, 0]);
  wants = false;
  steal.entering(0, 0);
  assert.deepEqual(preempted(), [0, 0]);
});
