import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NodeMachineHost } from '../host/node/machine-host.ts';
import { MemoryDisk } from '../storage/memory.ts';
import type { RunState } from './api.ts';
import type { MachineConfig } from './config.ts';
import { Machine } from './machine.ts';
import { NOTHING_ATTACHED } from '../../test/nothing-attached.ts';

const [ZERO, T0, T1, A0, A1, A6, A7] = [0, 5, 6, 10, 11, 16, 17];
const lui = (rd: number, value: number) => ((value & 0xfffff000) | (rd << 7) | 0x37) >>> 0;
const addi = (rd: number, rs: number, value: number) => ((value << 20) | (rs << 15) | (rd << 7) | 0x13) >>> 0;
const sw = (rs2: number, rs1: number) => (rs2 << 20) | (rs1 << 15) | (2 << 12) | 0x23;
const sb = (rs2: number, rs1: number) => (rs2 << 20) | (rs1 << 15) | 0x23;
const jr = (rs1: number) => (rs1 << 15) | 0x67;
const li = (rd: number, value: number) => {
  const low = (value << 20) >> 20;
  return [lui(rd, value - low), addi(rd, rd, low)];
};
const HERE = 0x6f; // j .
const ECALL = 0x73;
const WFI = 0x10500073;
const LOOP_WFI = [WFI, 0xffdff06f]; // j -4

const program = (...words: (number | number[])[]) => new Uint8Array(Uint32Array.from(words.flat()).buffer);
/** Writes a word to the test finisher and waits. */
const finish = (value: number) => program(lui(T0, 0x10_0000), li(T1, value), sw(T1, T0), HERE);

async function machineOf(change: Partial<MachineConfig>) {
  const log: string[] = [];
  const machine = await Machine.create(
    {
      machine: 'virt',
      accel: 'reference',
      cpu: { model: 'rv64', features: {} },
      cpus: 1,
      memory: 16 << 20,
      bios: 'none',
      ...NOTHING_ATTACHED,
      log: { items: new Set(['guest_errors']), write: (line) => log.push(line) },
      ...change,
    },
    new NodeMachineHost(),
  );
  const states: RunState[] = [];
  machine.on('state', (state) => states.push(state));
  const ended = new Promise<{ cause: string; code: number }>((resolve) => machine.on('shutdown', resolve));
  return { machine, states, ended, log };
}
const soon = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
/** However slow the machine is. */
async function until(reached: () => boolean): Promise<void> {
  while (!reached()) await soon(1);
}

test('the guest powers off: exit code 0, or what it failed with', async () => {
  for (const [value, code] of [
    [0x5555, 0],
    [0x7_3333, 7],
  ]) {
    const { machine, states, ended } = await machineOf({ bios: finish(value) });
    assert.equal(machine.state, 'prelaunch');
    machine.start();
    assert.deepEqual(await ended, { cause: 'guest-shutdown', code });
    await machine.stop();
    assert.deepEqual(states, ['running', 'shutdown']);
  }
});

test('a reset starts the guest over; with noReboot it is the end', async () => {
  const { machine } = await machineOf({ bios: finish(0x7777) });
  let resets = 0;
  const third = new Promise<void>((resolve) => {
    machine.on('reset', ({ cause }) => {
      assert.equal(cause, 'guest-reset');
      if (++resets === 3) resolve();
    });
  });
  machine.start();
  await third;
  assert.equal(machine.state, 'running');
  await machine.stop();

  const other = await machineOf({ bios: finish(0x7777), noReboot: true });
  other.machine.start();
  assert.deepEqual(await other.ended, { cause: 'guest-reset', code: 0 });
  await other.machine.stop();
});

test('a reset restores what the guest has changed of its image', async () => {
  const { machine } = await machineOf({ bios: program(HERE) });
  machine.start();
  assert.ok(machine.writeMemory(0x8000_0000, Uint8Array.of(0, 0, 0, 0)));
  machine.vcpus[0].writeRegister('x9', 5n);
  machine.reset();
  await until(() => machine.vcpus[0].readRegister('x9') === 0n);
  assert.deepEqual(machine.readMemory(0x8000_0000, 4), Uint8Array.of(HERE, 0, 0, 0));
  await machine.stop();
});

test('with noShutdown a machine that is off stays, and a reset makes it ready again', async () => {
  const { machine, states, ended } = await machineOf({ bios: finish(0x5555), noShutdown: true });
  let announced = false;
  void ended.then(() => {
    announced = true;
  });
  machine.start();
  await until(() => machine.state === 'shutdown');
  await soon(10);
  assert.equal(announced, false);
  machine.reset();
  assert.equal(machine.state, 'prelaunch');
  assert.equal(machine.vcpus[0].readRegister('pc'), 0x1000n);
  machine.resume();
  await until(() => machine.state === 'shutdown');
  await machine.stop();
  assert.deepEqual(states, ['running', 'shutdown', 'prelaunch', 'running', 'shutdown']);
});

test('pause and resume, in any order and at once', async () => {
  const { machine } = await machineOf({ bios: program(HERE) });
  const [vcpu] = machine.vcpus;
  machine.start();
  await until(() => vcpu.instructions > 0);
  await machine.pause();
  const before = vcpu.instructions;
  await soon(20);
  assert.equal(vcpu.instructions, before);
  machine.resume();
  const paused = machine.pause();
  machine.resume();
  await paused;
  await until(() => vcpu.instructions > before);
  machine.resume();
  await machine.pause();
  await machine.stop();
  assert.equal(machine.state, 'shutdown');
  machine.resume();
  assert.equal(machine.state, 'shutdown');
});

test('a hart that waits for nothing sleeps, and the machine still obeys', async () => {
  const { machine } = await machineOf({ bios: program(LOOP_WFI) });
  machine.start();
  await until(() => machine.vcpus[0].halted);
  const { instructions } = machine.vcpus[0];
  await soon(50);
  assert.equal(machine.vcpus[0].instructions, instructions);
  await machine.pause();
  machine.resume();
  await soon(10);
  await machine.stop();
});

test('the built-in SBI starts the kernel in S-mode; SRST ends the machine', async () => {
  const kernel = program(li(A0, 0), li(A1, 1), li(A6, 0), li(A7, 0x5352_5354), ECALL, HERE);
  const { machine, ended } = await machineOf({ bios: 'default', kernel, cpus: 2 });
  const [first, second] = machine.vcpus;
  assert.equal(first.readRegister('pc'), 0x8020_0000n);
  assert.equal(first.readRegister('priv'), 1n);
  assert.equal(second.halted, true);
  machine.start();
  assert.deepEqual(await ended, { cause: 'guest-shutdown', code: 1 });
  await machine.stop();
});

test('a guest that runs into a device goes from fault to fault, and can be stopped', async () => {
  const { machine, log } = await machineOf({ bios: program(lui(T0, 0x0900_0000), jr(T0)) });
  machine.start();
  await until(() => machine.vcpus[0].readRegister('mcause') !== 0n && log.length > 0);
  assert.equal(machine.state, 'running');
  assert.ok(log.some((line) => /invalid read/.test(line)));
  await machine.stop();
});

test('what a device throws ends as an internal error, which leaves the machine to be looked at', async () => {
  const serial = {
    write() {
      throw new Error('the back end broke');
    },
  };
  const { machine, ended, log } = await machineOf({
    bios: program(lui(T0, 0x1000_0000), sb(ZERO, T0), HERE),
    serials: [serial],
  });
  machine.start();
  assert.deepEqual(await ended, { cause: 'host-error', code: 1 });
  assert.equal(machine.state, 'internal-error');
  assert.match(String(machine.error), /back end broke/);
  assert.match(log.join(), /back end broke/);
  assert.equal(machine.vcpus[0].readRegister('x5'), 0x1000_0000n);
  await machine.stop();
  assert.equal(machine.state, 'internal-error');
});

test('stopping a machine closes its disks, once', async () => {
  const disk = new MemoryDisk(new Uint8Array(512));
  let closed = 0;
  disk.close = async () => {
    closed++;
  };
  const { machine, ended } = await machineOf({
    bios: program(HERE),
    drives: [{ id: 'd', disk, interface: 'none' }],
  });
  await Promise.all([machine.stop('host-signal'), machine.stop()]);
  assert.equal(closed, 1);
  assert.deepEqual(await ended, { cause: 'host-signal', code: 0 });
});

test('virtual time: the same run takes the same instructions', async () => {
  // Reads the time, waits for the timer at 1 ms, powers off.
  const kernel = program(
    li(A0, 10_000),
    li(A6, 0),
    li(A7, 0x5449_4d45),
    ECALL,
    li(T0, 32),
    0x1042a073, // csrs sie, t0
    WFI,
    li(A0, 0),
    li(A1, 0),
    li(A7, 0x5352_5354),
    ECALL,
    HERE,
  );
  const counts: number[] = [];
  for (let n = 0; n < 2; n++) {
    const { machine, ended } = await machineOf({ bios: 'default', kernel, icount: { shift: 4, sleep: false } });
    machine.start();
    assert.equal((await ended).cause, 'guest-shutdown');
    await machine.stop();
    counts.push(machine.vcpus[0].instructions);
  }
  assert.equal(counts[0], counts[1]);
});

test('memory outside RAM can neither be read nor written', async () => {
  const { machine } = await machineOf({ bios: program(HERE) });
  const end = 0x8000_0000 + (16 << 20);
  assert.equal(machine.readMemory(end - 2, 4), undefined);
  assert.equal(machine.readMemory(0x8000_0000, -1), undefined);
  assert.equal(machine.writeMemory(0x7fff_ffff, Uint8Array.of(1, 2)), false);
  assert.ok(machine.writeMemory(end - 2, Uint8Array.of(8, 9)));
  assert.deepEqual(machine.readMemory(end - 2, 2), Uint8Array.of(8, 9));
  for (const topic of ['qtree', 'mtree', 'jit'] as const) assert.match(machine.describe(topic), /\w/);
  await machine.stop();
});
