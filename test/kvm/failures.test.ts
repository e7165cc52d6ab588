/** Requests that fail, one after the other: what was made before is given back, and the error is a KvmError. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { KvmError, type KvmPort, type KvmVcpuPort } from '../../src/accel/kvm/port.ts';
import { KvmX86 } from '../../src/accel/kvm/x86/abi-x86.ts';
import { openKvm } from '../../src/host/node/kvm/kvm-device.ts';
import { NodeMachineHost } from '../../src/host/node/machine-host.ts';
import type { MachineConfig } from '../../src/machine/config.ts';
import { Machine } from '../../src/machine/machine.ts';
import { machineConfig } from './machine.ts';
import { skip } from './real-mode.ts';

const HLT = [0xf4];

/** File descriptors, mappings of kvm_run, threads. */
const held = (): number[] => [
  readdirSync('/proc/self/fd').length,
  readFileSync('/proc/self/maps', 'utf8').split('kvm-vcpu').length,
  readdirSync('/proc/self/task').length,
];

async function isGivenBack(before: readonly number[]): Promise<boolean> {
  const more = () => held().some((count, n) => count > before[n]);
  for (const start = performance.now(); more() && performance.now() - start < 2000; ) await pause(5);
  return !more();
}

/** A host whose nth request to KVM fails. */
class Failing extends NodeMachineHost {
  asked = 0;
  failedAt: string | undefined;
  readonly vcpus: KvmVcpuPort[] = [];
  private readonly nth: number;

  constructor(nth: number) {
    super();
    this.nth = nth;
  }

  override kvm(): KvmPort {
    return this.watched(openKvm());
  }

  private watched<T extends object>(port: T): T {
    return new Proxy(port, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key);
        if (typeof value !== 'function') return value;
        if (!REQUESTS.has(String(key))) return value.bind(target);
        return (...args: unknown[]) => {
          if (++this.asked === this.nth) {
            this.failedAt = `${this.nth}: ${String(key)} ${args[0]}`;
            throw new KvmError('kvm-ioctl', 'KVM request failed: ENOMEM', 'have more', 'ENOMEM');
          }
          const result: unknown = value.apply(target, args);
          if (key === 'createVcpu') this.vcpus.push(result as KvmVcpuPort);
          return typeof result === 'object' && result && 'ioctl' in result ? this.watched(result) : result;
        };
      },
    });
  }
}
const REQUESTS = new Set(['ioctl', 'createVm', 'createVcpu', 'setMemory', 'statistics']);

for (const [what, config] of Object.entries({
  'on its own thread': { cpus: 1 },
  'with threads': { cpus: 1, accelThreads: true },
  'with the kernel’s interrupt controllers': { cpus: 1, kernelIrqchip: 'on' as const },
} satisfies Record<string, Partial<MachineConfig>>))
  test(`a machine that is not made, ${what}, leaves nothing behind`, { skip }, async () => {
    const make = async (nth: number) => {
      const host = new Failing(nth);
      let error: unknown;
      try {
        const machine = await Machine.create(machineConfig(HLT, { ...config, devices: [] }), host);
        await machine.stop();
      } catch (caught) {
        error = caught;
      }
      return { host, error };
    };
    const whole = await make(0);
    assert.equal(whole.error, undefined);
    assert.ok(whole.host.asked > 20);
    const before = held();
    let failures = 0;
    for (let nth = 1; nth <= whole.host.asked; nth++) {
      const { host, error } = await make(nth);
      if (error !== undefined) {
        failures++;
        assert.ok(error instanceof KvmError, `${host.failedAt}: ${error}`);
      }
      if (await isGivenBack(before)) continue;
      // The host of tests opens files, too: a leak is one each time.
      for (let n = 0; n < 4; n++) await make(nth);
      const more = before.map((count) => count + 3);
      assert.ok(await isGivenBack(more), `after ${host.failedAt}: ${held()}, before ${before}`);
    }
    assert.ok(failures > 10, `${failures} of ${whole.host.asked}`);
  });

test('a machine whose vCPU’s thread has died says so, and is closed like any other', { skip }, async () => {
  const before = held();
  const host = new Failing(0);
  const machine = await Machine.create(machineConfig(HLT, { accelThreads: true }), host);
  machine.start();
  const died = async () => {
    for (const port of host.vcpus) {
      const { worker } = port as unknown as { worker?: { worker: { terminate(): Promise<number> } } };
      await worker?.worker.terminate();
    }
  };
  await pause(30);
  await died();
  // It waited: the next entry finds nobody.
  machine.vcpus[0].writeRegister('rip', 0xfff0n);
  machine.reset();
  for (const start = performance.now(); machine.state === 'running' && performance.now() - start < 5000; )
    await pause(5);
  assert.match(`${machine.error}`, /thread of a vCPU has died/);
  assert.equal(typeof machine.vcpus[0].readRegister('rip'), 'bigint');
  await machine.stop();
  assert.ok(await isGivenBack(before), `${held()}, before ${before}`);
});

test('requests that fail say which, and what mends it', { skip }, () => {
  const kvm = openKvm();
  try {
    assert.throws(() => kvm.ioctl(KvmX86.getRegs, new Uint8Array(144)), {
      errno: 'EINVAL',
      message: /KVM request getRegs failed: EINVAL/,
      mend: 'use -accel jit',
    });
  } finally {
    kvm.close();
  }
  const source = `
    const { openKvm } = await import(${JSON.stringify(new URL('../../src/host/node/kvm/kvm-device.ts', import.meta.url).href)});
    const kvm = openKvm();
    try {
      for (;;) kvm.createVm();
    } catch (error) {
      console.log(error.errno, error.mend);
      process.exit(0);
    }
  `;
  const command = `ulimit -n 60 && exec "$0" --input-type=module-typescript -e "$1"`;
  const { stdout } = spawnSync('sh', ['-c', command, process.execPath, source], { encoding: 'utf8' });
  assert.match(stdout, /^EMFILE .*ulimit -n.*; or use -accel jit/);
});
