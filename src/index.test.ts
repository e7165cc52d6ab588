import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { TestMachine } from './control/test-machine.ts';
import { HostError, Machine, type MachineConfig } from './index.ts';

const directory = mkdtempSync(join(tmpdir(), 'trapframe-api-'));
after(() => rmSync(directory, { recursive: true, force: true }));

function factory() {
  const made: { config: MachineConfig; machine: TestMachine }[] = [];
  const create = async (config: MachineConfig) => {
    const machine = new TestMachine();
    made.push({ config, machine });
    return machine;
  };
  return { made, create };
}

test('options become a configuration; files are read, bytes taken as they are', async () => {
  const kernel = join(directory, 'kernel');
  writeFileSync(kernel, 'KERNEL');
  writeFileSync(join(directory, 'disk'), new Uint8Array(1024));
  const { made, create } = factory();
  await using machine = await Machine.create(
    {
      memory: '64M',
      kernel,
      initrd: Uint8Array.of(1, 2),
      append: 'quiet',
      drives: [{ file: join(directory, 'disk'), snapshot: true }],
      devices: ['virtio-rng-device'],
      rtc: { base: new Date(1000) },
    },
    create,
  );
  const [{ config }] = made;
  assert.equal(new TextDecoder().decode(config.kernel), 'KERNEL');
  assert.deepEqual([config.memory, config.cpus, config.accel, config.bios], [2 ** 26, 1, 'jit', 'default']);
  assert.deepEqual(config.initrd, Uint8Array.of(1, 2));
  assert.deepEqual(
    config.drives.map(({ id, interface: type, disk }) => [id, type, disk.size]),
    [['drive0', 'virtio', 1024]],
  );
  assert.deepEqual(config.devices, [{ driver: 'virtio-rng-device', properties: {} }]);
  assert.deepEqual(config.rtc, { base: 1000, clock: 'host' });
  assert.equal(machine.serial.length, 1);
});

test('a life: start, pause, memory, registers, events, serial, end', async () => {
  const { made, create } = factory();
  const machine = await Machine.create({}, create);
  const [{ machine: core, config }] = made;
  const states: string[] = [];
  const off = machine.on('state', (state) => states.push(state));
  machine.start();
  await machine.pause();
  off();
  machine.resume();
  assert.deepEqual(states, ['running', 'paused']);
  assert.equal(machine.writeMemory(0x8000_0000, Uint8Array.of(7)), true);
  const copy = machine.readMemory(0x8000_0000, 1);
  core.ram[0] = 8;
  assert.deepEqual(copy, Uint8Array.of(7));
  machine.cpus[0].writeRegister('x5', 99n);
  assert.equal(machine.cpus[0].readRegister('x5'), 99n);
  config.serials[0]?.write(new TextEncoder().encode('hello'));
  await machine.stop();
  assert.deepEqual(await machine.finished, { cause: 'host-qmp-quit', code: 0 });
  let text = '';
  for await (const part of machine.serial[0].readable) text += new TextDecoder().decode(part);
  assert.equal(text, 'hello');
});

test('a file that cannot be read is a HostError', async () => {
  await assert.rejects(Machine.create({ kernel: '/no/such/kernel' }, factory().create), HostError);
  await assert.rejects(Machine.create({ memory: 'lots' }, factory().create), /non-negative number/);
  await assert.rejects(Machine.create({ drives: [{}] }, factory().create), /has no medium/);
});
