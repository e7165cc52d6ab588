/** A PC whose firmware is a few bytes of ours, under KVM. */
import type { MachineConfig } from '../../src/machine/config.ts';
import { Machine } from '../../src/machine/machine.ts';
import { NodeMachineHost } from '../../src/host/node/machine-host.ts';
import { NOTHING_ATTACHED } from '../nothing-attached.ts';

/** The last 64 KiB below 4 GiB, and below 1 MiB: `code` is entered in real mode. */
export function firmware(code: readonly number[]): Uint8Array {
  const rom = new Uint8Array(0x10000).fill(0xf4);
  rom.set(code, 0);
  rom.set([0xea, 0, 0, 0, 0xf0], 0xfff0); // jmp 0xf000:0
  return rom;
}

export interface Printed {
  text: string;
}

export function machineConfig(code: readonly number[], config: Partial<MachineConfig> = {}): MachineConfig {
  return {
    machine: 'pc',
    accel: 'kvm',
    accelStay: true,
    cpu: { model: 'qemu64', features: {} },
    cpus: 1,
    memory: 16 * 2 ** 20,
    bios: firmware(code),
    ...NOTHING_ATTACHED,
    vga: 'none',
    defaults: false,
    roms: {},
    ...config,
  };
}

/** What the guest writes to port 0x3f8 is in `printed`. */
export async function kvmMachine(
  code: readonly number[],
  config: Partial<MachineConfig> = {},
): Promise<{ machine: Machine; printed: Printed }> {
  const printed: Printed = { text: '' };
  const serial = {
    write(bytes: Uint8Array) {
      printed.text += new TextDecoder().decode(bytes);
    },
  };
  const machine = await Machine.create(machineConfig(code, { serials: [serial], ...config }), new NodeMachineHost());
  return { machine, printed };
}
