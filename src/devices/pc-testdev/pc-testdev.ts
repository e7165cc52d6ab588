/**
 * `pc-testdev`: what test programs for a PC's processors want beside a processor.
 *
 * Spec: QEMU 7.2's device of that name. Ports 0xe0 to 0xe3 and 0xe8 to 0xeb hold what is written to them, 0xe4 to 0xe7
 * take the address of a page to be unmapped by the host for a moment; ports 0x2000 to 0x2017 are the levels of ISA
 * interrupts; a window in memory holds what is written.
 * Departure: no page is unmapped, as the host's page tables are none of the guest's memory's.
 */
import type { Device, DeviceLog, IrqLine, Mmio, Wiring } from '../../hw/device.ts';
import { bytes, create, layout, u32 } from '../../state/layout.ts';

export const TESTDEV = {
  data: { base: 0xe0, size: 4 },
  flush: { base: 0xe4, size: 4 },
  bytes: { base: 0xe8, size: 4 },
  lines: { base: 0x2000, size: 24 },
  memory: { base: 0xff00_0000, size: 0x1_0000 },
} as const;

const STATE = layout('pc-testdev', 1, {
  data: u32,
  /** Bit n is the level of interrupt n. */
  lines: u32,
  memory: bytes(TESTDEV.memory.size),
});

export class PcTestdev implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  /** Any width. */
  readonly data: Mmio;
  /** The same data, a byte at a time. */
  readonly bytes: Mmio;
  readonly flush: Mmio;
  readonly lines: Mmio;
  readonly memory: Mmio;
  private readonly irqs: readonly IrqLine[];

  /** `irqs`: ISA interrupts by number. */
  constructor(name: string, wiring: Wiring, irqs: readonly IrqLine[]) {
    this.name = name;
    this.log = wiring.log;
    this.irqs = irqs;
    const read = (offset: number, size: number) =>
      size === 4 ? this.state.data : (this.state.data >>> (8 * offset)) & (2 ** (8 * size) - 1);
    const write = (offset: number, size: number, value: number) => {
      const mask = (size === 4 ? 0xffff_ffff : 2 ** (8 * size) - 1) << (8 * offset);
      this.state.data = ((this.state.data & ~mask) | ((value << (8 * offset)) & mask)) >>> 0;
    };
    this.data = { read, write };
    this.bytes = { read, write, widths: [1] };
    this.flush = { read: () => 0, write: () => {} };
    this.lines = { read: () => 0, write: (line, _, value) => this.setLine(line, value !== 0) };
    this.memory = {
      read: (offset, size) => {
        let value = 0;
        for (let n = 0; n < size; n++) value += (this.state.memory[offset + n] ?? 0) * 2 ** (8 * n);
        return value;
      },
      write: (offset, size, value) => {
        for (let n = 0; n < size && offset + n < this.state.memory.length; n++)
          this.state.memory[offset + n] = Math.floor(value / 2 ** (8 * n)) & 0xff;
      },
    };
  }

  private setLine(line: number, level: boolean): void {
    const bit = 1 << line;
    this.state.lines = (level ? this.state.lines | bit : this.state.lines & ~bit) >>> 0;
    this.irqs[line]?.set(level);
  }

  reset(): void {
    this.state.data = 0;
    this.state.lines = 0;
    this.state.memory.fill(0);
    this.resumed();
  }

  resumed(): void {
    for (const [line, irq] of this.irqs.entries()) irq.set(((this.state.lines >>> line) & 1) !== 0);
  }
}
