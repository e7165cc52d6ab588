/**
 * Exits under Trapframe: a vCPU of the accelerator, with a board that has one
 * port and one register. Prints nanoseconds an exit: wall, CPU.
 *
 *   node vcpu.ts IMAGE COUNT
 */
import { readFileSync } from 'node:fs';
import type { Board } from '../../src/accel/accelerator.ts';
import { jitGround } from '../../src/accel/jit/ground.ts';
import { KvmAccelerator } from '../../src/accel/kvm/kvm.ts';
import { x86Interrupts } from '../../src/accel/kvm/x86/interrupts.ts';
import { X86KvmArch } from '../../src/accel/kvm/x86/x86-arch.ts';
import { loadIsa } from '../../src/accel/isas.ts';
import { openKvm } from '../../src/host/node/kvm/kvm-device.ts';

const [, , image, counted] = process.argv;
const count = Number(counted);
const isa = await loadIsa('x86_64');
const ground = jitGround({ isa, cpus: 1, ramBase: 0, ramSize: 1 << 16 });
ground.space.ramBytes().set(readFileSync(image));
let exits = 0;
let last = 0;
const board: Board = {
  mmioRead() {
    exits++;
    last = 0x55;
    return 0;
  },
  mmioWrite(_, __, value) {
    exits++;
    last = value;
    return true;
  },
  portRead: () => 0,
  portWrite(_, __, value) {
    exits++;
    last = value;
  },
  now: () => performance.now() * 1e6,
};
const accel = new KvmAccelerator({
  kvm: openKvm(),
  ...ground,
  board,
  arch: new X86KvmArch(),
  events: x86Interrupts(),
  refresh: () => {},
  translate: () => undefined,
  emulate: (_, why) => {
    throw new Error(why);
  },
  slow: () => {},
});
const [vcpu] = accel.vcpus;
const { state } = vcpu;
state.set32('segSelector', 0x100, 1);
state.set64('segBase', 0x1000n, 1);
state.pc = 0x1000n;
vcpu.refresh();
const run = (until: number) => {
  const from = exits;
  const begin = performance.now();
  const cpu = process.cpuUsage();
  while (exits < until) vcpu.run(1000, 1);
  const { user, system } = process.cpuUsage(cpu);
  const count = exits - from;
  return [((performance.now() - begin) * 1e6) / count, ((user + system) * 1e3) / count];
};
run(2000);
console.log(
  run(exits + count)
    .map((ns) => ns.toFixed(1))
    .join(' '),
);
if (last !== 0x55) throw new Error('the guest wrote nothing');
accel.close();
