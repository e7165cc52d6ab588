/** PCs of a few bytes of firmware under KVM: devices, interrupts, life and death, with and without threads. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { KvmError } from '../../src/accel/kvm/port.ts';
import { openKvm } from '../../src/host/node/kvm/kvm-device.ts';
import { VcpuThread } from '../../src/host/node/kvm/vcpu-thread.ts';
import { NodeMachineHost } from '../../src/host/node/machine-host.ts';
import { Machine } from '../../src/machine/machine.ts';
import { kvmMachine, machineConfig } from './machine.ts';
import { skip } from './real-mode.ts';

/** mov dx, 0x3f8; mov al, 'A'; out dx, al; cli; hlt */
const HELLO = [0xba, 0xf8, 0x03, 0xb0, 0x41, 0xee, 0xfa, 0xf4];
/** inc ax; jmp back */
const SPIN = [0x40, 0xeb, 0xfd];
/** Five interrupts of the timer, through the 8259, each of which ends a HLT; then 'T' and rest. */
const TICKS = (() => {
  const main = [
    ...[0xfa, 0x31, 0xc0, 0x8e, 0xd8, 0x8e, 0xd0, 0xbc, 0x00, 0x70], // cli; ds = ss = 0; sp = 0x7000
    ...[0xc7, 0x06, 0x20, 0x00, 0, 0, 0xc7, 0x06, 0x22, 0x00, 0x00, 0xf0], // vector 8 = f000:handler
    ...[0x11, 0x20, 0x08, 0x21, 0x04, 0x21, 0x01, 0x21, 0xfe, 0x21].flatMap(out), // 8259: vectors from 8, only IRQ 0
    ...[0x34, 0x43, 0x00, 0x40, 0x10, 0x40].flatMap(out), // 8254: every 4096 ticks
    ...[0xb9, 0x05, 0x00, 0xfb], // mov cx, 5; sti
    ...[0xf4, 0x49, 0x75, 0xfc], // hlt; dec cx; jnz hlt
    ...[0xba, 0xf8, 0x03, 0xb0, 0x54, 0xee, 0xfa, 0xf4],
  ];
  main[14] = main.length;
  return [...main, 0x50, 0xb0, 0x20, 0xe6, 0x20, 0x58, 0xcf]; // push ax; end of interrupt; pop ax; iret
})();
/** Pairs of value and port. */
function out(byte: number, index: number, all: number[]): number[] {
  return index % 2 === 0 ? [0xb0, byte, 0xe6, all[index + 1]] : [];
}

async function until(what: () => boolean, limit = 5000): Promise<void> {
  for (const start = performance.now(); !what(); await pause(5))
    assert.ok(performance.now() - start < limit, 'it takes too long');
}

for (const accelThreads of [false, true]) {
  const where = accelThreads ? 'in its own thread' : "on the machine's thread";

  test(`a vCPU ${where}: a port, HLT, registers`, { skip }, async () => {
    const { machine, printed } = await kvmMachine(HELLO, { accelThreads });
    await using _ = machine;
    machine.start();
    await until(() => machine.vcpus[0].halted);
    assert.equal(printed.text, 'A');
    assert.equal(machine.vcpus[0].readRegister('rip'), BigInt(HELLO.length));
    assert.equal(machine.vcpus[0].readRegister('rdx') & 0xffffn, 0x3f8n);
    assert.equal(machine.kvm?.[0].exits['io'], 1);
    assert.equal(machine.kvm?.[0].exits['hlt'], 1);
    const counters = machine.kernelCounters(0);
    // Before Linux 5.14 the kernel gives none.
    if (counters) assert.ok((counters.find(({ name }) => name === 'exits')?.values[0] ?? 0n) >= 2n);
  });

  test(`a vCPU ${where}: interrupts end HLT`, { skip }, async () => {
    const { machine, printed } = await kvmMachine(TICKS, { accelThreads });
    await using _ = machine;
    machine.start();
    await until(() => printed.text !== '');
    assert.equal(printed.text, 'T');
    assert.ok((machine.kvm?.[0].exits['hlt'] ?? 0) >= 5);
  });

  test(`a vCPU ${where} that never leaves: registers, pause, resume, change of accelerator, stop`, {
    skip,
  }, async () => {
    const { machine } = await kvmMachine(SPIN, { accelThreads, accel: ['kvm', 'jit'] });
    await using _ = machine;
    machine.start();
    await until(() => machine.vcpus[0].readRegister('rax') !== 0n);
    const waits: number[] = [];
    for (let n = 0; n < 5; n++) {
      const start = performance.now();
      await machine.pause();
      waits.push(performance.now() - start);
      const there = machine.vcpus[0].readRegister('rax');
      await pause(5);
      assert.equal(machine.vcpus[0].readRegister('rax'), there);
      machine.resume();
      await pause(5);
    }
    assert.ok(Math.min(...waits) < 20, `pausing took ${waits} ms`);
    await machine.switchAccelerator('jit');
    const before = machine.vcpus[0].instructions;
    await until(() => machine.vcpus[0].instructions > before);
    await machine.switchAccelerator('kvm');
    assert.equal(machine.accelerator, 'kvm');
    const entries = machine.kvm?.[0].entries ?? 0;
    await until(() => (machine.kvm?.[0].entries ?? 0) > entries);
  });
}

test('a triple fault resets a PC; with -no-reboot it ends', { skip }, async () => {
  // lidt [cs:...] of zeroes; protected mode; ud2
  const code = [0x2e, 0x0f, 0x01, 0x1e, 0x40, 0x00, 0x0f, 0x20, 0xc0, 0x0c, 1, 0x0f, 0x22, 0xc0, 0x0f, 0x0b];
  const image = [...code, ...new Array(0x40 - code.length + 8).fill(0)];
  const { machine } = await kvmMachine(image);
  await using _ = machine;
  let resets = 0;
  machine.on('reset', () => resets++);
  machine.start();
  await until(() => resets >= 3);
  assert.equal(machine.state, 'running');
  const last = await kvmMachine(image, { noReboot: true });
  const ended = new Promise((resolve) => last.machine.on('shutdown', resolve));
  last.machine.start();
  assert.deepEqual(await ended, { cause: 'guest-reset', code: 0 });
  await last.machine.stop();
});

test('machines give back threads and file descriptors', { skip }, async () => {
  const counts = () => [readdirSync('/proc/self/fd').length, readdirSync('/proc/self/task').length];
  const once = async () => {
    const { machine } = await kvmMachine(SPIN, { accelThreads: true, cpus: 2 });
    machine.start();
    await pause(30);
    await machine.stop();
  };
  await once();
  await until(() => counts()[1] < 40);
  const before = counts();
  for (let n = 0; n < 4; n++) await once();
  await until(() => counts().every((count, n) => count <= before[n] + 1));
});

test('a process ends though a vCPU is in KVM in a thread', { skip }, async () => {
  const source = `
    const { kvmMachine } = await import(${JSON.stringify(new URL('./machine.ts', import.meta.url).href)});
    const { machine } = await kvmMachine(${JSON.stringify(SPIN)}, { accelThreads: true });
    machine.start();
    setTimeout(() => process.exit(7), 300);
  `;
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', source], { stdio: 'inherit' });
  const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
  const code = await new Promise((resolve) => child.on('exit', resolve));
  clearTimeout(timer);
  assert.equal(code, 7);
});

test('a thread whose KVM_RUN fails says so, and one that has died as well', { skip }, async () => {
  const thread = new VcpuThread(openClosed(), () => {});
  let back = 0;
  thread.back = () => back++;
  thread.enter();
  assert.equal(thread.wait(), 9); // EBADF
  await until(() => back === 1);
  const { worker } = thread as unknown as { worker: { terminate(): Promise<number> } };
  await worker.terminate();
  await until(() => back === 2);
  assert.throws(() => thread.result(), { code: 'kvm-run' });
});

/** A number that is no file descriptor. */
const openClosed = () => 1_000_000;

test('where KVM cannot be had, the next accelerator is taken, or the machine is not made', async () => {
  class NoKvm extends NodeMachineHost {
    override kvm() {
      return openKvm('/dev/no-kvm-here');
    }
  }
  const said: string[] = [];
  const log = { items: new Set<string>(), write: (line: string) => said.push(line) };
  const machine = await Machine.create(machineConfig(HELLO, { accel: ['kvm', 'jit'], log }), new NoKvm());
  assert.equal(machine.accelerator, 'jit');
  assert.match(said.join('\n'), /kvm: there is no KVM here: \/dev\/no-kvm-here: ENOENT/);
  await assert.rejects(machine.switchAccelerator('kvm'), { code: 'kvm-missing' });
  assert.equal(machine.accelerator, 'jit');
  await machine.stop();
  await assert.rejects(Machine.create(machineConfig(HELLO, { accel: 'kvm' }), new NoKvm()), KvmError);
  const other = await Machine.create(machineConfig(HELLO, { accel: 'jit' }), new NoKvm());
  await assert.rejects(other.switchAccelerator('kvm'), { code: 'kvm-machine' });
  await other.stop();
  await assert.rejects(
    Machine.create(machineConfig(HELLO, { accel: 'kvm', icount: { shift: 3, sleep: false } }), new NodeMachineHost()),
    { code: 'kvm-machine' },
  );
});
