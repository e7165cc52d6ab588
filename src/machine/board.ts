/**
 * A board as a machine sees it, whatever its processor: devices on buses, images
 * that come back at a reset, a power switch.
 */
import type { Bus } from '../hw/bus.ts';
import type { Device } from '../hw/device.ts';
import type { WakeCause } from '../hw/acpi/acpi-pm.ts';
import type { PciBus } from '../hw/pci-bus.ts';
import type { PortBus } from '../hw/ports.ts';

/** Suspend to RAM: processors off, memory kept, until something wakes the machine by a reset that firmware knows of. */
export interface SuspendToRam {
  /** The guest has asked for it. To be set by the machine. */
  onSuspend: () => void;
  /** Something has happened that may wake it. To be set by the machine. */
  onWake: (cause: WakeCause) => void;
  /** The machine sleeps now. */
  asleep(): void;
  /** Whether the guest has asked to be woken by this. */
  wakesFrom(cause: WakeCause): boolean;
  /** Wakes the machine: by `reset`, with what firmware relies on left as it was. */
  wake(cause: WakeCause, reset: () => void): void;
}

export interface MachineBoard {
  readonly bus: Bus;
  readonly ports?: PortBus;
  /** Every device that has state, each with a name of its own. */
  readonly devices: readonly Device[];
  /** Where RAM shows in guest-physical space, for `info mtree`. */
  readonly ramAreas: readonly { readonly name: string; readonly base: number; readonly size: number }[];
  /** The root bus, where there is one. */
  readonly pci?: PciBus;
  /** Resets every device and puts what was loaded back into RAM. The vCPUs are the machine's. */
  resetAll(): void;
  /** Presses the power button; absent where there is none. */
  powerButton?(): void;
  /** Absent where the board cannot. */
  readonly suspendToRam?: SuspendToRam;
  /** The guest powered off; `code` is 0 or what it failed with. To be set by the machine. */
  onPoweroff: (code: number) => void;
  /** The guest asked for a reset. To be set by the machine, which calls `resetAll` between two instructions. */
  onReset: () => void;
  /** The guest has panicked, or its crash kernel has taken over. To be set by the machine. */
  onPanic?: (event: 'panicked' | 'crashloaded') => void;
  /** A watchdog has expired. To be set by the machine. */
  onWatchdog?: () => void;
  /** The button for a non-maskable interrupt; absent where there is none. */
  nmiButton?(): void;
  /** Resolves when everything that devices have given to disks is there. */
  flushed(): Promise<void>;
}
