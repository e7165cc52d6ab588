/**
 * Exits under Trapframe: a vCPU of the accelerator, with a board that has one
 * port and one register, without end.
 *
 *   node vcpu.ts IMAGE      what goes to port 0x3f8 goes to standard output
 */
import { readFileSync, writeSync } from 'node:fs';
import type { Board } from '../../src/accel/accelerator.ts';
import { jitGround } from '../../src/accel/jit/ground.ts';
import { KvmAccelerator } from '../../src/accel/kvm/kvm.ts';
import { x86Interrupts } from '../../src/accel/kvm/x86/interrupts.ts';
import { X86KvmArch } from '../../src/accel/kvm/x86/x86-arch.ts';
import { loadIsa } from '../../src/accel/isas.ts';
import { openKvm } from '../../src/host/node/kvm/kvm-device.ts';

const [, , image] = process.argv;
const isa = await loadIsa('x86_64');
const ground = jitGround({ isa, cpus: 1, ramBase: 0, ramSize: 1 << 16 });
ground.space.ramBytes().set(readFileSync(image));
let last = 0;
const board: Board = {
  mmioRead: () => 0,
  mmioWrite(_, __, value) {
    last = value;
    return true;
  },
  portRead: () => 0,
  portWrite(port, _, value) {
    last = value;
    if (port === 0x3f8) writeSync(1, Uint8Array.of(last));
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
for (;;) vcpu.run(1000);
