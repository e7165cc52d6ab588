/** Registers that KVM was known to hold, and that its guest has changed since. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from './irqchip-guest.ts';
import { kvmMachine } from './machine.ts';
import { skip } from './real-mode.ts';

test('a reset reaches registers that were looked at before the guest changed them', { skip }, async () => {
  const code = [
    [0x31, 0xc0, 0x8e, 0xd8], // xor ax, ax; mov ds, ax
    [0xba, 0xf8, 0x03], // mov dx, 0x3f8
    [0x0f, 0x21, 0xc0, 0x04, 0x41, 0xee], // mov eax, dr0; add al, 'A'; out dx, al
    [0x80, 0x3e, 0x00, 0x20, 0x00, 0x74, 0xf9], // until byte [0x2000]: cmp, jz
    [0x66, 0xb8, 1, 0, 0, 0, 0x0f, 0x23, 0xc0], // mov eax, 1; mov dr0, eax
    [0x0f, 0x21, 0xc0, 0x04, 0x61, 0xee], // mov eax, dr0; add al, 'a'; out dx, al
    [0xf4], // hlt
  ].flat();
  const { machine, printed } = await kvmMachine(code);
  await using _ = machine;
  machine.start();
  const shows = (text: string) =>
    until(
      () => printed.text === text,
      () => `printed '${printed.text}'`,
    );
  await shows('A');
  machine.vcpus[0].readRegister('rip');
  machine.writeMemory(0x2000, Uint8Array.of(1));
  await shows('Ab');
  machine.writeMemory(0x2000, Uint8Array.of(0));
  machine.reset();
  await shows('AbA');
  assert.equal(machine.accelerator, 'kvm');
});
