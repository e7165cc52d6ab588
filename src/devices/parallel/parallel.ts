/**
 * The PC's parallel port with a printer that takes every byte.
 *
 * Spec: IEEE 1284-1994, compatibility mode; IBM PC/AT Technical Reference, "Parallel Printer Adapter".
 * Departures: no ECP and EPP; nothing comes back from the host.
 */
import { bank } from '../../hw/bank.ts';
import type { CharBackend } from '../../hw/chardev.ts';
import type { Device, DeviceLog, IrqLine, Mmio, Wiring } from '../../hw/device.ts';
import { create, initially, layout, u1, u8 } from '../../state/layout.ts';

/** Negative logic on BUSY: 1 means ready. */
const STATUS = { ERROR: 0x08, SELECTED: 0x10, ACK: 0x40, READY: 0x80 };
const CONTROL = { STROBE: 0x01, INIT: 0x04, SELECT: 0x08, INTERRUPT: 0x10, INPUT: 0x20 };
const WRITABLE = 0x3f;

const STATE = layout('parallel', 1, {
  data: u8,
  control: initially(u8, CONTROL.INIT | CONTROL.SELECT),
  interrupting: u1,
});

const REGISTERS = bank<Parallel>(
  8,
  {
    DATA: { at: 0, read: (port) => port.readData(), write: ({ state }, value) => void (state.data = value) },
    STATUS: { at: 1, read: (port) => port.readStatus(), write: () => {} },
    CONTROL: { at: 2, read: ({ state }) => state.control | 0xc0, write: (port, value) => port.setControl(value) },
  },
  { width: 1 },
);

export class Parallel implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  /** Eight ports, of which a port of this kind has three. */
  readonly mmio: Mmio;
  private readonly irq: IrqLine;
  private readonly backend: CharBackend | undefined;

  constructor(name: string, wiring: Wiring, irq: IrqLine, backend?: CharBackend) {
    this.name = name;
    this.log = wiring.log;
    this.irq = irq;
    this.backend = backend;
    this.mmio = REGISTERS.on(this);
  }

  reset(): void {
    Object.assign(this.state, create(STATE));
    this.resumed();
  }

  resumed(): void {
    this.irq.set(this.state.interrupting === 1);
  }

  readData(): number {
    // Nothing drives the lines when the port listens.
    return this.state.control & CONTROL.INPUT ? 0xff : this.state.data;
  }

  /** The printer is ready unless the host is slow; looking at it ends an interrupt. */
  readStatus(): number {
    this.state.interrupting = 0;
    this.resumed();
    return STATUS.ERROR | STATUS.SELECTED | STATUS.ACK | (this.backend?.congested ? 0 : STATUS.READY);
  }

  setControl(value: number): void {
    const { state } = this;
    const before = state.control;
    state.control = value & WRITABLE;
    const selected = (value & (CONTROL.INIT | CONTROL.SELECT)) === (CONTROL.INIT | CONTROL.SELECT);
    if (!selected) return;
    if (value & ~before & CONTROL.STROBE) this.backend?.write(Uint8Array.of(state.data));
    // The printer acknowledges when the strobe is over.
    if (before & ~value & CONTROL.STROBE && before & CONTROL.INTERRUPT) state.interrupting = 1;
    this.resumed();
  }
}
