/** What kind of KVM this host has, as far as the system says. */
import { accessSync, constants, existsSync } from 'node:fs';
import { KVM_DEVICE } from './kvm-device.ts';

/** `pvm`: without the processor's virtualization; guests' kernels then run in an emulator of instructions. */
export type KvmFlavour = 'intel' | 'amd' | 'pvm' | 'other';

/** Undefined where there is none, or none for this user. */
export function kvmFlavour(): KvmFlavour | undefined {
  try {
    accessSync(KVM_DEVICE, constants.R_OK | constants.W_OK);
  } catch {
    return undefined;
  }
  for (const flavour of ['pvm', 'intel', 'amd'] as const) if (existsSync(`/sys/module/kvm_${flavour}`)) return flavour;
  return 'other';
}
