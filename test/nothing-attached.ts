/** The part of a machine's configuration that tests of processors and boards leave empty. */
import type { MachineConfig } from '../src/machine/config.ts';

export const NOTHING_ATTACHED = {
  serials: [],
  chardevs: [],
  drives: [],
  devices: [],
  noReboot: false,
  noShutdown: false,
} satisfies Partial<MachineConfig>;
