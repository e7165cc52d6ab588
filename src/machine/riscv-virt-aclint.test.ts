/** `-M virt,aclint=on`: the tree that QEMU 7.2 dumps, and a software interrupt on its way through a whole machine. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NodeMachineHost } from '../host/node/machine-host.ts';
import { Machine } from './machine.ts';
import { virtTree } from './riscv-virt-fdt.ts';
import { NOTHING_ATTACHED } from '../../test/nothing-attached.ts';

/** The 32-bit cells of a property. */
const cells = (bytes: Uint8Array | undefined) =>
  Array.from({ length: (bytes?.length ?? 0) / 4 }, (_, n) => Buffer.from(bytes ?? []).readUInt32BE(n * 4));

test('the device tree has the three parts in place of the CLINT', () => {
  const cpu = { isa: 'rv64imac', mmuType: 'riscv,sv57' };
  const tree = virtTree(cpu, 2, 2 ** 27, true);
  const soc = tree.children.find(({ name }) => name === 'soc')?.children ?? [];
  const parts = soc.filter(({ name }) => /^(clint|[ms]swi|mtimer)@/.test(name));
  const shown = parts.map(({ name, properties }) => [
    name,
    Buffer.from(properties.get('compatible') ?? []).toString(),
    cells(properties.get('reg')),
    cells(properties.get('interrupts-extended')),
  ]);
  // As `qemu-system-riscv64 -M virt,aclint=on,dumpdtb=FILE -smp 2` writes them.
  assert.deepEqual(shown, [
    ['sswi@2f00000', 'riscv,aclint-sswi\0', [0, 0x2f0_0000, 0, 0x4000], [4, 1, 2, 1]],
    ['mtimer@2004000', 'riscv,aclint-mtimer\0', [0, 0x200_bff8, 0, 0x4008, 0, 0x200_4000, 0, 0x7ff8], [4, 7, 2, 7]],
    ['mswi@2000000', 'riscv,aclint-mswi\0', [0, 0x200_0000, 0, 0x4000], [4, 3, 2, 3]],
  ]);
});

/** Interrupts itself through the SSWI, clears what is pending, and powers off. */
const PROGRAM = Uint32Array.of(
  0x0000_0297, // auipc  t0, 0
  0x0242_8293, // addi   t0, t0, 36
  0x3052_9073, // csrw   mtvec, t0       to the handler
  0x3041_5073, // csrwi  mie, 2          SSIE
  0x3004_5073, // csrwi  mstatus, 8      MIE
  0x02f0_0337, // lui    t1, 0x2f00
  0x0010_0393, // li     t2, 1
  0x0073_2023, // sw     t2, 0(t1)       SETSSIP of hart 0
  0x0000_006f, // j      .
  0x3420_2573, // handler: csrr a0, mcause
  0x3441_7073, // csrci  mip, 2
  0x3440_25f3, // csrr   a1, mip
  0x0010_0337, // lui    t1, 0x100
  0x0000_53b7, // lui    t2, 0x5
  0x5553_8393, // addi   t2, t2, 0x555
  0x0073_2023, // sw     t2, 0(t1)
  0x0000_006f, // j      .
);

for (const accel of ['reference', 'jit'] as const) {
  test(`${accel}: a hart interrupts through the SSWI, and software clears it`, async () => {
    await using machine = await Machine.create(
      {
        machine: 'virt',
        machineProperties: { aclint: 'on' },
        accel,
        cpu: { model: 'rv64', features: {} },
        cpus: 1,
        memory: 2 ** 24,
        bios: 'none',
        kernel: new Uint8Array(PROGRAM.buffer),
        ...NOTHING_ATTACHED,
        noReboot: true,
      },
      new NodeMachineHost(),
    );
    const ended = new Promise<{ cause: string; code: number }>((resolve) => machine.on('shutdown', resolve));
    machine.start();
    assert.deepEqual(await ended, { cause: 'guest-shutdown', code: 0 });
    assert.equal(machine.vcpus[0].readRegister('a0'), 0x8000_0000_0000_0001n);
    assert.equal(machine.vcpus[0].readRegister('a1'), 0n);
  });
}
