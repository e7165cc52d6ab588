/** Moves a running machine to another accelerator, and what else of one can be changed then, for the monitor and QMP. */
import { TrapframeError } from '../bits/errors.ts';
import type { MachineApi } from '../machine/api.ts';
import { ControlError } from './hub.ts';

const NAMES: readonly MachineApi['accelerator'][] = ['kvm', 'jit', 'reference'];

/** Rejects with ControlError where there is no such accelerator, or where it cannot be had. */
export async function switchAccelerator(machine: MachineApi, name: string): Promise<void> {
  const known = NAMES.find((other) => other === name || (name === 'tcg' && other === 'jit'));
  if (!known) throw new ControlError(`there is no accelerator '${name}'; choose one of ${NAMES.join(', ')}`);
  try {
    await machine.switchAccelerator(known);
  } catch (error) {
    if (!(error instanceof TrapframeError)) throw error;
    throw new ControlError(error.message);
  }
}

/** Throws ControlError where no processor of the machine waits in KVM. */
export function setHaltPoll(machine: MachineApi, ns: number): undefined {
  try {
    if (!machine.setHaltPoll) throw new ControlError('this machine does not run under KVM');
    machine.setHaltPoll(ns);
  } catch (error) {
    if (!(error instanceof TrapframeError)) throw error;
    throw new ControlError(error.message);
  }
}
