/** From a configuration to a machine's parts; nothing runs yet. */
import type { MachineConfig } from './config.ts';
import type { MachineHost } from './machine-host.ts';
import type { MachineParts } from './machine-parts.ts';
import { PC_NAMES } from './pc-names.ts';

/** Throws ConfigError. Only the board that is asked for is loaded. */
export async function assemble(config: MachineConfig, host: MachineHost): Promise<MachineParts> {
  if (Object.hasOwn(PC_NAMES, config.machine)) return (await import('./pc-machine.ts')).assemblePc(config, host);
  return (await import('./riscv-machine.ts')).assembleVirt(config, host);
}
