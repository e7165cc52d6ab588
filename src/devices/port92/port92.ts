/**
 * System control port A (port 0x92): fast A20 gate and fast reset.
 *
 * Spec: IBM PS/2 Hardware Interface Technical Reference, "System Control Port A".
 */
import { bank } from '../../hw/bank.ts';
import type { Device, DeviceLog, IrqLine, Mmio, Wiring } from '../../hw/device.ts';
import { create, layout, u8 } from '../../state/layout.ts';

const RESET = 0x01;
const A20 = 0x02;

const STATE = layout('port92', 1, { value: u8 });

const REGISTERS = bank<Port92>(
  1,
  { CONTROL: { at: 0, read: ({ state }) => state.value, write: (port, value) => port.write(value) } },
  { width: 1 },
);

export interface Port92Lines {
  /** As of the i8042: the last that writes wins. */
  readonly a20: IrqLine;
  reset(): void;
}

export class Port92 implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  /** One port. */
  readonly mmio: Mmio;
  private readonly lines: Port92Lines;

  constructor(name: string, wiring: Wiring, lines: Port92Lines) {
    this.name = name;
    this.log = wiring.log;
    this.lines = lines;
    this.mmio = REGISTERS.on(this);
  }

  reset(): void {
    this.state.value = 0;
  }

  write(value: number): void {
    const rises = value & ~this.state.value & RESET;
    this.state.value = value;
    this.lines.a20.set((value & A20) !== 0);
    if (rises) this.lines.reset();
  }
}
