/**
 * Which interrupt controllers of a PC are the kernel's under KVM (QEMU's
 * kernel-irqchip). What was asked for and cannot be had is an error where KVM
 * has to run the machine, as in QEMU. Measurements behind the choice where
 * nothing was asked for: docs/KVM.md.
 */
import { KvmError, type KvmPort } from '../accel/kvm/port.ts';
import { missingFor } from '../accel/kvm/x86/kernel-chips.ts';
import { keepsInService } from '../accel/kvm/x86/local-apic-probe.ts';
import { ConfigError } from '../bits/errors.ts';
import type { MachineConfig } from './config.ts';
import { iommuOf } from './pc-iommu.ts';
import { KernelIrqchip } from './kernel-irqchip.ts';

/** The same for all machines of a process. */
let whole: boolean | undefined;

/** Undefined: none. Throws ConfigError, KvmError. */
export function chooseIrqchip(config: MachineConfig, board: string, kvm: KvmPort): KernelIrqchip | undefined {
  const { kernelIrqchip, machineProperties, haltPollNs, cpus, accelThreads, log } = config;
  const has = (name: string) => board !== 'microvm' || machineProperties?.[name] !== 'off';
  const isWhole = () => {
    whole ??= keepsInService(kvm);
    return whole;
  };
  // The kernel would take SMIs that its local APICs bring itself, with RAM that nobody has shown it.
  const smm = machineProperties?.['smm'] === 'on';
  // The kernel's I/O APIC would not ask the remapping unit.
  const iommu = iommuOf(config, board);
  const kind = iommu?.interrupts === 'on' ? 'split' : 'on';
  const extended = iommu?.extendedInterrupts === 'on';
  if (kernelIrqchip === undefined && (smm || extended)) return undefined;
  if (kernelIrqchip === undefined) {
    // A processor that waits in the kernel needs a thread, and then each device's access costs a hand-over.
    const threads = accelThreads ?? cpus > 1;
    const good = threads && has('pic') && missingFor(kind, kvm).length === 0 && isWhole();
    return good ? new KernelIrqchip({ kind, pit: has('pit'), haltPollNs }) : undefined;
  }
  if (kernelIrqchip === 'off') return undefined;
  const asked = `kernel-irqchip=${kernelIrqchip}`;
  if (kernelIrqchip === 'on' && !has('pic'))
    throw new ConfigError('kernel-irqchip', `${asked} has an 8259 pair, and pic=off has none`, 'use split');
  if (kernelIrqchip === 'on' && kind === 'split')
    throw new ConfigError(
      'iommu-intremap',
      'intel-iommu: Interrupt Remapping cannot work with kernel-irqchip=on',
      'use kernel-irqchip=split or off',
    );
  if (extended)
    throw new ConfigError(
      'iommu-eim',
      `intel-iommu: eim=on has destinations of 32 bits, and messages with ${asked} have 8`,
      'use kernel-irqchip=off, or eim=off',
    );
  if (smm)
    throw new ConfigError(
      'kernel-irqchip',
      `${asked} with smm=on: system management interrupts of the kernel's local APICs would be the kernel's`,
      'use kernel-irqchip=off, or smm=off',
    );
  const missing = missingFor(kernelIrqchip, kvm);
  if (missing.length > 0)
    throw new KvmError(
      'kvm-version',
      `${asked}: KVM here lacks ${missing.join(', ')}`,
      'use kernel-irqchip=off, or -accel jit',
    );
  if (!isWhole())
    log?.write(
      `warning: ${asked}: KVM here keeps no interrupts in service: priorities are not held, and level-triggered ones come twice`,
    );
  if (accelThreads === false) log?.write(`${asked}: processors wait in the kernel, so they have threads`);
  return new KernelIrqchip({ kind: kernelIrqchip, pit: has('pit'), haltPollNs });
}
