/**
 * pvpanic: how a guest says that it has panicked.
 *
 * Spec: QEMU 7.2, "PVPANIC DEVICE": one port, 0x505 by default; reads give the events that the host knows, a write
 * reports them.
 */
import type { Device, DeviceLog, Mmio, Wiring } from '../../hw/device.ts';
import { create, layout } from '../../state/layout.ts';

export const PVPANIC_PORT = 0x505;
const PANICKED = 1;
const CRASH_LOADED = 2;

const STATE = layout('pvpanic', 1, {});

export type PanicEvent = 'panicked' | 'crashloaded';

export class Pvpanic implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  /** One port. */
  readonly mmio: Mmio;

  /** `report`: the guest has panicked, or its crash kernel has taken over. */
  constructor(name: string, wiring: Wiring, report: (event: PanicEvent) => void) {
    this.name = name;
    this.log = wiring.log;
    this.mmio = {
      read: () => PANICKED | CRASH_LOADED,
      write: (_, __, value) => {
        if (value & ~(PANICKED | CRASH_LOADED)) this.log.guestError(name, `unknown event 0x${value.toString(16)}`);
        if (value & PANICKED) report('panicked');
        else if (value & CRASH_LOADED) report('crashloaded');
      },
      widths: [1],
    };
  }

  reset(): void {}
}
