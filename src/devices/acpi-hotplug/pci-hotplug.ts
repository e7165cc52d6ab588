/**
 * QEMU's register block through which ACPI code learns of PCI devices that come and go.
 *
 * Spec: QEMU, docs/specs/acpi_pci_hotplug.rst.
 */
import type { Device, DeviceLog, Mmio } from '../../hw/device.ts';
import { create, json, layout, u32 } from '../../state/layout.ts';

const AT = { UP: 0x00, DOWN: 0x04, EJECT: 0x08, REMOVABLE: 0x0c, SELECT: 0x10, INDEX: 0x14 } as const;
/** The general-purpose event of a PCI device that came or shall go. */
const EVENT = 1;

const STATE = layout('acpi-pci-hotplug', 1, {
  select: u32, // the bus
  index: u32, // the slot whose index was asked for last
  /** For each bus the slots that came and those that shall go, as bits. */
  up: json<number[]>(() => []),
  down: json<number[]>(() => []),
});

export interface PciHotplugOptions {
  readonly name: string;
  readonly log: DeviceLog;
  /** Buses with slots that take part, by their `bsel` numbers; 1 when absent. */
  readonly buses?: number;
  readonly event: (number: number) => void;
  /** Whether what is in a slot can go; also true of an empty one. */
  readonly removable: (bus: number, slot: number) => boolean;
  /** The guest lets go of a slot: all of its functions are to be removed. */
  readonly eject: (bus: number, slot: number) => void;
}

export class PciHotplug implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  readonly mmio: Mmio;
  /** Bytes of the window: at 0xae00 on `pc`, at 0x0cc0 on `q35`. */
  static readonly size = 0x18;
  private readonly options: PciHotplugOptions;
  private readonly buses: number;

  constructor(options: PciHotplugOptions) {
    this.name = options.name;
    this.log = options.log;
    this.options = options;
    this.buses = options.buses ?? 1;
    this.state.up = new Array<number>(this.buses).fill(0);
    this.state.down = new Array<number>(this.buses).fill(0);
    // Its registers are words, and nothing answers narrower accesses.
    this.mmio = {
      read: (at, size) => (size === 4 ? this.read(at) : 0),
      write: (at, size, value) => {
        if (size === 4) this.write(at, value);
      },
    };
  }

  /** What the guest was asked to let go of goes now. */
  reset(): void {
    this.state.select = 0;
    this.state.index = 0;
    for (let bus = 0; bus < this.buses; bus++) {
      const going = this.state.down[bus];
      this.state.up[bus] = 0;
      for (let slot = 0; slot < 32; slot++) if (going & (1 << slot)) this.eject(bus, slot);
    }
  }

  /** A device was put into a slot of the running machine. */
  plug(bus: number, slot: number): void {
    if (bus >= this.buses) return;
    this.state.up[bus] = (this.state.up[bus] | (1 << slot)) >>> 0;
    this.options.event(EVENT);
  }

  /** Asks the guest to let go of a slot. */
  requestUnplug(bus: number, slot: number): void {
    if (bus >= this.buses) return;
    this.state.down[bus] = (this.state.down[bus] | (1 << slot)) >>> 0;
    this.options.event(EVENT);
  }

  private read(at: number): number {
    const { select, up, down } = this.state;
    if (at === AT.SELECT) return select;
    if (select >= this.buses) return 0;
    if (at === AT.UP) {
      const slots = up[select];
      up[select] = 0; // the guest knows now
      return slots;
    }
    if (at === AT.DOWN) return down[select];
    if (at !== AT.REMOVABLE) return 0;
    let slots = 0;
    for (let slot = 0; slot < 32; slot++) if (this.options.removable(select, slot)) slots |= 1 << slot;
    return slots >>> 0;
  }

  private write(at: number, value: number): void {
    const { select } = this.state;
    if (at === AT.SELECT) this.state.select = value;
    else if (at === AT.INDEX) this.state.index = value;
    else if (at !== AT.EJECT || select >= this.buses) this.log.guestError(this.name, `write to offset ${at}`);
    // One slot at a time: the lowest one named.
    else if (value) this.eject(select, 31 - Math.clz32(value & -value));
  }

  private eject(bus: number, slot: number): void {
    const others = ~(1 << slot);
    this.state.down[bus] = (this.state.down[bus] & others) >>> 0;
    this.state.up[bus] = (this.state.up[bus] & others) >>> 0;
    if (this.options.removable(bus, slot)) this.options.eject(bus, slot);
  }
}
