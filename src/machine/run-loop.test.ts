import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Exit, Vcpu } from '../accel/accelerator.ts';
import { type MachineClock, RealClock, VirtualClock } from './machine-clock.ts';
import type { MachineHost } from './machine-host.ts';
import { RunLoop } from './run-loop.ts';

/** A host whose time passes when it is told to, or by sleeping. */
class TestHost implements MachineHost {
  ms = 0;
  yields = 0;
  readonly sleeps: number[] = [];
  onSleep: (ms: number) => void = () => {};
  now(): number {
    return this.ms;
  }
  epoch(): number {
    return 1e12 + this.ms;
  }
  async yield(): Promise<void> {
    this.yields++;
  }
  sleep(ms: number) {
    this.sleeps.push(ms);
    let woken = false;
    const wake = () => {
      woken = true;
    };
    const promise = Promise.resolve().then(() => {
      this.onSleep(ms);
      if (!woken) this.ms += ms === Infinity ? 0 : ms;
    });
    return { promise, wake };
  }
  random(): void {}
}

const HALT: Exit = { kind: 'halt', deadline: Infinity };
const BUDGET: Exit = { kind: 'budget' };

/** A vCPU whose slices are `slice`'s; an instruction takes a microsecond. */
class TestVcpu {
  instructions = 0;
  kicks = 0;
  readonly index: number;
  readonly budgets: number[] = [];
  private readonly host: TestHost;
  private readonly slice: (vcpu: TestVcpu, budget: number) => Exit;
  constructor(host: TestHost, index: number, slice: (vcpu: TestVcpu, budget: number) => Exit) {
    this.host = host;
    this.index = index;
    this.slice = slice;
  }
  run(budget: number): Exit {
    this.budgets.push(budget);
    const exit = this.slice(this, budget);
    if (exit.kind === 'budget') this.retire(budget);
    return exit;
  }
  retire(count: number): void {
    this.instructions += count;
    this.host.ms += count / 1000;
  }
  kick(): void {
    this.kicks++;
  }
}

function loopOf(
  host: TestHost,
  clock: MachineClock,
  vcpus: TestVcpu[],
  ownDeadline: (n: number) => number = () => Infinity,
  isWoken: (n: number) => boolean = () => false,
) {
  clock.start();
  const parts = { host, clock, vcpus: vcpus as unknown as Vcpu[], deterministic: clock instanceof VirtualClock };
  const loop = new RunLoop({ ...parts, ownDeadline, isWoken });
  clock.onEarlier = () => loop.wake();
  return loop;
}

test('a waiting machine sleeps until its next timer, which fires on time', async () => {
  const host = new TestHost();
  const clock = new RealClock(host, undefined);
  const vcpu = new TestVcpu(host, 0, () => HALT);
  const loop = loopOf(host, clock, [vcpu]);
  let firedAt = 0;
  const timer = clock.timer(() => {
    firedAt = host.ms;
    loop.stop();
  });
  timer.set(50e6);
  await loop.run();
  assert.equal(firedAt, 50);
  assert.deepEqual(host.sleeps, [50]);
  assert.equal(vcpu.budgets.length, 1);
});

test("a vCPU's own deadline ends the sleep too", async () => {
  const host = new TestHost();
  const clock = new RealClock(host, undefined);
  const vcpu = new TestVcpu(host, 0, () => {
    if (host.ms >= 20) loop.stop();
    return HALT;
  });
  const loop = loopOf(host, clock, [vcpu], () => (host.ms < 20 ? 20e6 : Infinity));
  await loop.run();
  assert.deepEqual(host.sleeps, [20]);
});

test('a timer that acts between the end of a slice and the sleep is not lost', async () => {
  const host = new TestHost();
  const clock = new RealClock(host, undefined);
  const vcpu = new TestVcpu(host, 0, (self) => {
    if (self.budgets.length === 2) loop.stop();
    return HALT;
  });
  const loop = loopOf(
    host,
    clock,
    [vcpu],
    () => Infinity,
    () => vcpu.budgets.length === 1,
  );
  host.onSleep = () => assert.fail('asleep');
  await loop.run();
  assert.equal(vcpu.budgets.length, 2);
});

test('an interrupt from outside wakes a sleeping machine', async () => {
  const host = new TestHost();
  const clock = new RealClock(host, undefined);
  const vcpu = new TestVcpu(host, 0, (self) => {
    if (self.budgets.length === 2) loop.stop();
    return HALT;
  });
  const loop = loopOf(host, clock, [vcpu]);
  host.onSleep = () => loop.attend(0);
  await loop.run();
  assert.deepEqual(host.sleeps, [Infinity]);
  assert.equal(vcpu.budgets.length, 2);
});

test('a timer set while asleep shortens the sleep', async () => {
  const host = new TestHost();
  const clock = new RealClock(host, undefined);
  const loop = loopOf(host, clock, [new TestVcpu(host, 0, () => HALT)]);
  const timer = clock.timer(() => loop.stop());
  host.onSleep = (ms) => {
    if (ms === Infinity) timer.set(3e6);
  };
  await loop.run();
  assert.deepEqual(host.sleeps, [Infinity, 3]);
});

test('an interrupt to another vCPU ends the slice of the one that runs, and the other runs in the same turn', async () => {
  const host = new TestHost();
  const clock = new RealClock(host, undefined);
  const order: number[] = [];
  let sent = false;
  const first = new TestVcpu(host, 0, () => {
    order.push(0);
    if (order.length > 1 && !sent) {
      sent = true;
      loop.attend(1);
    }
    return BUDGET;
  });
  const second = new TestVcpu(host, 1, () => {
    order.push(1);
    if (sent) loop.stop();
    return HALT;
  });
  const loop = loopOf(host, clock, [first, second]);
  await loop.run();
  assert.deepEqual(order, [0, 1, 0, 1]);
  assert.equal(first.kicks, 1);
});

test('a stopped vCPU is not run until it is attended to', async () => {
  const host = new TestHost();
  const clock = new RealClock(host, undefined);
  const off = new TestVcpu(host, 1, () => ({ kind: 'stopped' }));
  const on = new TestVcpu(host, 0, (self) => {
    if (self.budgets.length > 20) loop.stop();
    return BUDGET;
  });
  const loop = loopOf(host, clock, [on, off]);
  await loop.run();
  assert.equal(off.budgets.length, 1);
});

test('slices follow the measured speed, stay below the next timer, and the host gets its turns', async () => {
  const host = new TestHost();
  const clock = new RealClock(host, undefined);
  const vcpu = new TestVcpu(host, 0, () => BUDGET);
  const loop = loopOf(host, clock, [vcpu]);
  const lateness: number[] = [];
  const timer = clock.timer(() => {
    lateness.push(host.ms - timerAt);
    if (lateness.length === 50) loop.stop();
    timerAt = host.ms + 1.7;
    timer.set(timerAt * 1e6);
  });
  let timerAt = 30;
  timer.set(timerAt * 1e6);
  await loop.run();
  assert.ok(Math.max(...lateness) < 0.5, `late by ${Math.max(...lateness)} ms`);
  // 1000 instructions a millisecond; a slice is 0.4 ms.
  const steady = vcpu.budgets.slice(20, 60);
  assert.ok(Math.max(...steady) <= 800 && Math.max(...steady) >= 350, `${steady}`);
  assert.ok(host.yields >= host.ms / 4 / 2, `${host.yields} yields in ${host.ms} ms`);
});

test('virtual time is the count of instructions; waiting skips to the deadline', async () => {
  const host = new TestHost();
  const vcpus: TestVcpu[] = [];
  const count = () => vcpus.reduce((sum, vcpu) => sum + vcpu.instructions, 0);
  const clock = new VirtualClock(host, { clock: 'vm', base: 5000 }, { shift: 3, sleep: false }, count);
  const vcpu = new TestVcpu(host, 0, (self) => (self.instructions < 50_000 ? BUDGET : HALT));
  vcpus.push(vcpu);
  const loop = loopOf(host, clock, vcpus);
  const fired: number[] = [];
  const set = (ns: number, then: () => void = () => {}) =>
    clock
      .timer(() => {
        fired.push(clock.now());
        then();
      })
      .set(ns);
  set(8 * 30_000);
  set(1e9, () => loop.stop());
  await loop.run();
  assert.deepEqual(fired, [240_000, 1e9]);
  assert.deepEqual(vcpu.budgets, [20_000, 10_000, 20_000, 20_000]);
  assert.deepEqual(host.sleeps, []);
  assert.equal(clock.epoch(), 6000);
});

test('real time stands still while the machine does', () => {
  const host = new TestHost();
  const clock = new RealClock(host, undefined);
  clock.start();
  host.ms = 10;
  clock.stop();
  host.ms = 100;
  assert.equal(clock.now(), 10e6);
  clock.start();
  host.ms = 101;
  assert.equal(clock.now(), 11e6);
});

test('an exception of a vCPU rejects the run, and the loop is not busy after it', async () => {
  const host = new TestHost();
  const vcpu = new TestVcpu(host, 0, () => {
    throw new Error('invariant');
  });
  const loop = loopOf(host, new RealClock(host, undefined), [vcpu]);
  await assert.rejects(loop.run(), /invariant/);
  assert.equal(loop.busy, false);
});

test('a guest that stops the loop again and again, by resets, lets the host’s events in', async () => {
  const host = new TestHost();
  const vcpu = new TestVcpu(host, 0, () => {
    host.ms++;
    loop.stop();
    return BUDGET;
  });
  const loop = loopOf(host, new RealClock(host, undefined), [vcpu]);
  for (let n = 0; n < 100; n++) await loop.run();
  assert.ok(host.yields >= 10, `${host.yields}`);
});
