/** A machine of a few bytes of firmware, with its interrupt controllers in the kernel or ours. */
import assert from 'node:assert/strict';
import { missingFor } from '../../src/accel/kvm/x86/kernel-chips.ts';
import { openKvm } from '../../src/host/node/kvm/kvm-device.ts';
import type { MachineConfig } from '../../src/machine/config.ts';
import type { Machine } from '../../src/machine/machine.ts';
import { CELL, type Firmware, until } from './irqchip-guest.ts';
import { kvmMachine, type Printed } from './machine.ts';
import { skip as noKvm } from './real-mode.ts';

export const KINDS = ['off', 'split', 'on'] as const;
export type Kind = (typeof KINDS)[number];

/** Why a test with these controllers is skipped. */
export function skip(kind: Kind): string | false {
  if (noKvm) return noKvm;
  const kvm = openKvm();
  try {
    const missing = missingFor(kind, kvm);
    return missing.length > 0 ? `needs ${missing.join(', ')}` : false;
  } finally {
    kvm.close();
  }
}

export interface Running {
  readonly machine: Machine;
  readonly printed: Printed;
  readonly cell: (address: number) => number;
  readonly set: (address: number, value: number) => void;
  readonly show: () => string;
  readonly printedIs: (text: string) => Promise<void>;
}

export async function start(
  kernelIrqchip: Kind,
  firmware: Firmware,
  config: Partial<MachineConfig> = {},
): Promise<Running & AsyncDisposable> {
  const { machine, printed } = await kvmMachine(firmware.bytes(), {
    accel: ['kvm', 'jit'],
    kernelIrqchip,
    ...config,
  });
  const cell = (address: number) =>
    new DataView(machine.readMemory(address, 4)?.slice().buffer as ArrayBuffer).getUint32(0, true);
  const state = () =>
    `printed '${printed.text}', cells ${Object.values(CELL).map(cell)}, ${machine.vcpus.map((vcpu) => vcpu.readRegister('rip').toString(16))}, ${machine.state} ${machine.error ?? ''}\n${machine.describe('lapic')}\n${machine.describe('pic')}`;
  machine.start();
  return {
    machine,
    printed,
    show: state,
    cell,
    set: (address, value) => void machine.writeMemory(address, new Uint8Array(Uint32Array.of(value).buffer)),
    printedIs: (text) =>
      until(() => printed.text === text || machine.state !== 'running', state).then(() =>
        assert.equal(printed.text, text, state()),
      ),
    [Symbol.asyncDispose]: () => machine.stop(),
  };
}
