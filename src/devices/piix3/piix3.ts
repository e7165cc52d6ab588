/**
 * Intel 82371SB (PIIX3), function 0: the bridge to ISA of QEMU's `pc`.
 *
 * Spec: Intel 82371FB/82371SB, 290550-002, "PCI Configuration Registers
 * (Function 0)" and "Reset Control Register". What it routes here is the four
 * PCI interrupts; the ISA devices in the chip are models of their own.
 */
import type { IrqLine, Mmio } from '../../hw/device.ts';
import { PciFunction } from '../../hw/pci.ts';

const PIRQ_ROUTE = 0x60;
const ROUTE = { DISABLED: 0x80, IRQ: 0x0f } as const;
const RESET_CONTROL = { SYSTEM: 2, CPU: 4 } as const;

export interface Piix3Options {
  readonly name: string;
  /** IRQ 0..15; the chip drives those that its routing registers name. */
  readonly isa: readonly IrqLine[];
  /** The guest wrote a reset of the machine to port 0xcf9. */
  readonly reset: () => void;
}

/** Slot 1, function 0; the IDE controller, USB and power management are functions 1, 2 and 3. */
export class Piix3 extends PciFunction {
  /** What the bus drives: PIRQA#..PIRQD#. Device `slot`'s pin `p` belongs to line `Piix3.route(slot, p)`. */
  readonly pirq: readonly IrqLine[];
  /** The reset control register, port 0xcf9, over the configuration address port. */
  readonly resetControl: Mmio;
  static readonly resetPort = 0xcf9;
  private readonly isa: readonly IrqLine[];
  private readonly levels = [false, false, false, false];
  /** Bit n: IRQ n is driven. */
  private driven = 0;

  constructor(options: Piix3Options) {
    super({
      name: options.name,
      vendor: 0x8086,
      device: 0x7000,
      class: 0x060100,
      multifunction: true,
      own: 1, // the reset control register
      written: () => this.drivePirqs(),
    });
    this.isa = options.isa;
    this.pirq = this.levels.map((_, line) => ({
      set: (level) => {
        this.levels[line] = level;
        this.drivePirqs();
      },
    }));
    this.constant(0x06, 2, 0x0200); // medium DEVSEL# timing
    this.constant(0x4c, 4, 0x0003_004d); // ISA recovery, X-bus chip selects
    this.constant(PIRQ_ROUTE, 4, 0x8080_8080);
    this.constant(0x69, 1, 0x02); // top of memory
    this.constant(0x70, 1, 0x80); // motherboard IRQ
    this.constant(0x76, 2, 0x0c0c); // motherboard DMA
    this.constant(0x78, 1, 0x02); // programmable chip select
    this.constant(0xa0, 1, 0x08); // SMI control
    this.constant(0xa8, 1, 0x0f); // fast-off timer
    for (const [from, to] of [
      [0x4c, 0x50],
      [PIRQ_ROUTE, PIRQ_ROUTE + 4],
      [0x69, 0x6c],
      [0x70, 0x71],
      [0x76, 0x7a],
      [0x80, 0x83],
      [0xa0, 0xb0],
    ])
      this.remembers(from, to);
    this.resetControl = {
      read: () => this.state.own[0],
      write: (_offset, _size, value) => {
        this.state.own[0] = value & RESET_CONTROL.SYSTEM;
        if (value & RESET_CONTROL.CPU) options.reset();
      },
    };
  }

  /** QEMU's wiring of the slots: slot 1's INTA# is PIRQA#. */
  static route(slot: number, pin: number): number {
    return (slot + pin + 3) & 3;
  }

  /** The IRQ that PIRQ `line` goes to, -1 for none: what the firmware tables tell. */
  irqOf(line: number): number {
    const route = this.state.config[PIRQ_ROUTE + line];
    return route & ROUTE.DISABLED || route > ROUTE.IRQ ? -1 : route;
  }

  private drivePirqs(): void {
    let wanted = 0;
    this.levels.forEach((level, line) => {
      const irq = level ? this.irqOf(line) : -1;
      if (irq >= 0) wanted |= 1 << irq;
    });
    const changed = wanted ^ this.driven;
    this.driven = wanted;
    for (let irq = 0; irq < 16; irq++) if (changed & (1 << irq)) this.isa[irq].set((wanted & (1 << irq)) !== 0);
  }
}
