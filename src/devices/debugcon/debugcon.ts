/**
 * The debug console of Bochs and QEMU (`isa-debugcon`, `-debugcon`): what is written to its port appears on a character
 * device, and a read gives the value by which a guest finds it.
 */
import { bank } from '../../hw/bank.ts';
import type { CharBackend } from '../../hw/chardev.ts';
import type { Device, DeviceLog, Mmio, Wiring } from '../../hw/device.ts';
import { create, layout } from '../../state/layout.ts';

export const DEBUGCON_PORT = 0xe9;

const STATE = layout('isa-debugcon', 1, {});

const REGISTERS = bank<Debugcon>(
  1,
  { DATA: { at: 0, read: ({ readback }) => readback, write: (debugcon, value) => debugcon.write(value) } },
  { width: 1 },
);

export class Debugcon implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  readonly readback: number;
  /** One port. */
  readonly mmio: Mmio;
  private readonly backend: CharBackend | undefined;

  constructor(name: string, wiring: Wiring, backend?: CharBackend, readback = DEBUGCON_PORT) {
    this.name = name;
    this.log = wiring.log;
    this.backend = backend;
    this.readback = readback & 0xff;
    this.mmio = REGISTERS.on(this);
  }

  reset(): void {}

  /** There is no way to hold the guest up: what a slow host cannot keep is lost. */
  write(value: number): void {
    this.backend?.write(Uint8Array.of(value));
  }
}
