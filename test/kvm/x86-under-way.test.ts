/** What KVM had accepted, or had half done, when another accelerator took over: needs no KVM. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Board, SpaceAccelerator } from '../../src/accel/accelerator.ts';
import { JitAccelerator } from '../../src/accel/jit/jit.ts';
import { finishSystemCall } from '../../src/accel/kvm/x86/system-calls.ts';
import { ReferenceAccelerator } from '../../src/accel/reference/reference-accelerator.ts';
import { readEflags } from '../../src/isa/x86/cpu.ts';
import { isa } from '../../src/isa/x86/isa.ts';
import { ACCEPTED, Seg } from '../../src/isa/x86/state.ts';
import { AT, enter, place } from '../differential/x86-kvm/place.ts';
import { RAM } from '../differential/x86-system/environment.ts';

let acknowledged = 0;
const board: Board = {
  mmioRead: () => undefined,
  mmioWrite: () => false,
  now: () => 0,
  acknowledge: () => {
    acknowledged++;
    return -1;
  },
  hostCall: () => 1,
};
const options = () => ({ isa, cpus: 1, ramBase: 0, ramSize: RAM, board });

for (const [name, make] of [
  ['reference', () => ReferenceAccelerator.create(options())],
  ['jit', () => new JitAccelerator(options())],
] as const)
  test(`${name} delivers an interrupt that KVM had accepted, once and without asking for it`, () => {
    const accelerator: SpaceAccelerator = make();
    const [vcpu] = accelerator.vcpus;
    const { state } = vcpu;
    const ram = place('long', false);
    accelerator.ram.set(ram);
    enter(state, ram, 'long', false);
    state.set32('accepted', ACCEPTED | 0x40);
    state.set32('attention', 1);
    // In HLT it wakes.
    state.set32('waiting', 1);
    vcpu.refresh();
    acknowledged = 0;
    vcpu.run(8);
    // NOP and HLT of the handler.
    assert.deepEqual([state.pc, state.get32('accepted'), state.get32('waiting')], [BigInt(AT.handler + 2), 0, 1]);
    assert.equal(acknowledged, 0);
    const frame = new DataView(accelerator.ram.buffer, accelerator.ram.byteOffset);
    assert.equal(frame.getBigUint64(Number(state.get64('gpr', 4)), true), BigInt(AT.code));
  });

test('a state at LSTAR in user mode is that of a system call; others are as they are', () => {
  const [vcpu] = ReferenceAccelerator.create(options()).vcpus;
  const { state } = vcpu;
  const ram = place('long', true);
  enter(state, ram, 'long', true);
  state.set64('lstar', 0xffff_8000_0000_1000n);
  state.set64('star', (0x1bn << 48n) | (0x28n << 32n));
  state.set64('fmask', 0x200n);
  state.set64('gpr', 0x246n, 11);
  assert.equal(finishSystemCall(state), false);
  state.pc = 0xffff_8000_0000_1000n;
  assert.equal(finishSystemCall(state), true);
  assert.deepEqual(
    [state.get32('cpl'), state.get32('segSelector', Seg.cs), state.get32('segSelector', Seg.ss), readEflags(state)],
    [0, 0x28, 0x30, 0x46n],
  );
  assert.equal(state.get32('segAttr', Seg.cs) & 0x2000, 0x2000);
  // It is one no longer.
  assert.equal(finishSystemCall(state), false);
});
