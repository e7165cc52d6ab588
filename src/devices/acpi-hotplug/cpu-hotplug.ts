/**
 * QEMU's register block through which ACPI code learns of CPUs that come and go.
 *
 * Spec: QEMU, docs/specs/acpi_cpu_hotplug.rst. It starts as the old interface,
 * a bitmap of the CPUs that are there, and is the new one from when the guest
 * writes zeros to its first four bytes; a reset leaves that.
 */
import type { Device, DeviceLog, Mmio } from '../../hw/device.ts';
import { create, json, layout, u1, u8, u32 } from '../../state/layout.ts';

const LEGACY_SIZE = 0x20;
const SIZE = 12;
const AT = { SELECTOR: 0, FLAGS: 4, COMMAND: 5, DATA: 8 } as const;
const FLAG = { ENABLED: 1, INSERTING: 2, REMOVING: 4, EJECT: 8, FIRMWARE_EJECT: 0x10 } as const;
const COMMAND = { NEXT_WITH_EVENT: 0, OST_EVENT: 1, OST_STATUS: 2, GET_ID: 3 } as const;
/** The general-purpose event of a CPU that came or shall go. */
const EVENT = 2;

/** What the guest may see and say of one possible CPU. */
type Slot = {
  present: boolean;
  inserting: boolean;
  removing: boolean;
  firmware: boolean;
  event: number;
  status: number;
};

const STATE = layout('acpi-cpu-hotplug', 1, {
  modern: u1,
  selector: u32,
  command: u8,
  slots: json<Slot[]>(() => []),
});

export interface CpuHotplugOptions {
  readonly name: string;
  readonly log: DeviceLog;
  /** APIC ids of all possible CPUs. The first one always stays. */
  readonly ids: readonly number[];
  /** How many of them are there at power-on. */
  readonly present: number;
  /** Raises a general-purpose event. */
  readonly event: (number: number) => void;
  /** The guest lets go of a CPU (its place in `ids`). */
  readonly eject: (index: number) => void;
  /** The guest reports how a plug or unplug went (_OST). */
  readonly ost?: (index: number, event: number, status: number) => void;
}

export class CpuHotplug implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  readonly mmio: Mmio;
  /** Bytes of the window: at 0xaf00 on `pc`, at 0x0cd8 on `q35`. */
  static readonly size = LEGACY_SIZE;
  private readonly options: CpuHotplugOptions;

  constructor(options: CpuHotplugOptions) {
    this.name = options.name;
    this.log = options.log;
    this.options = options;
    this.state.slots = options.ids.map((_, index) => ({
      present: index < options.present,
      inserting: false,
      removing: false,
      firmware: false,
      event: 0,
      status: 0,
    }));
    this.mmio = {
      read: (at, size) => {
        const value = this.state.modern ? this.read(at, size) : this.bitmap(at, size);
        return (value & (-1 >>> (32 - 8 * size))) >>> 0;
      },
      write: (at, _size, value) => {
        if (this.state.modern) this.write(at, value);
        else if (at === 0 && value === 0) this.state.modern = 1;
      },
    };
  }

  /** Which CPUs there are survives a reset. */
  reset(): void {
    this.state.selector = 0;
    this.state.command = 0;
    for (const slot of this.state.slots) Object.assign(slot, { inserting: false, removing: false, firmware: false });
  }

  /** A CPU was added to the running machine. */
  plug(index: number): void {
    const slot = this.state.slots[index];
    if (!slot || slot.present) return;
    slot.present = true;
    slot.inserting = true;
    this.options.event(EVENT);
  }

  /** Asks the guest to let go of a CPU. */
  requestUnplug(index: number): void {
    const slot = this.state.slots[index];
    if (!slot?.present || index === 0) return;
    slot.removing = true;
    this.options.event(EVENT);
  }

  private bitmap(at: number, size: number): number {
    let value = 0;
    this.options.ids.forEach((id, index) => {
      const bit = id - 8 * at;
      if (this.state.slots[index]?.present && bit >= 0 && bit < 8 * size) value |= 1 << bit;
    });
    return value >>> 0;
  }

  private read(at: number, size: number): number {
    if (at + size > SIZE) return -1 >>> (32 - 8 * size);
    const { selector, command, slots } = this.state;
    const slot = slots[selector];
    if (!slot) return 0;
    if (at === AT.FLAGS) {
      return (
        (slot.present ? FLAG.ENABLED : 0) |
        (slot.inserting ? FLAG.INSERTING : 0) |
        (slot.removing ? FLAG.REMOVING : 0) |
        (slot.firmware ? FLAG.FIRMWARE_EJECT : 0)
      );
    }
    if (at !== AT.DATA) return 0;
    return command === COMMAND.NEXT_WITH_EVENT ? selector : command === COMMAND.GET_ID ? this.options.ids[selector] : 0;
  }

  private write(at: number, value: number): void {
    if (at === AT.SELECTOR) {
      this.state.selector = value;
      return;
    }
    const { selector, slots } = this.state;
    const slot = slots[selector];
    if (!slot) {
      this.log.guestError(this.name, `CPU ${selector} selected, of ${slots.length}`);
      return;
    }
    if (at === AT.FLAGS) this.flags(slot, selector, value);
    else if (at === AT.COMMAND) this.command(value);
    else if (at === AT.DATA && this.state.command === COMMAND.OST_EVENT) slot.event = value;
    else if (at === AT.DATA && this.state.command === COMMAND.OST_STATUS) {
      slot.status = value;
      this.options.ost?.(selector, slot.event, value);
    }
  }

  private flags(slot: Slot, index: number, value: number): void {
    if (value & FLAG.INSERTING) slot.inserting = false;
    else if (value & FLAG.REMOVING) slot.removing = false;
    else if (value & (FLAG.EJECT | FLAG.FIRMWARE_EJECT)) {
      if (!slot.present || index === 0) {
        this.log.guestError(this.name, `CPU ${index} cannot be ejected`);
      } else if (value & FLAG.EJECT) {
        Object.assign(slot, { present: false, removing: false, firmware: false });
        this.options.eject(index);
      } else slot.firmware = !slot.firmware;
    }
  }

  private command(value: number): void {
    if (value > COMMAND.GET_ID) return;
    this.state.command = value;
    if (value !== COMMAND.NEXT_WITH_EVENT) return;
    const { selector, slots } = this.state;
    for (let i = 0; i < slots.length; i++) {
      const index = (selector + i) % slots.length;
      const { inserting, removing, firmware } = slots[index];
      if (inserting || removing || firmware) {
        this.state.selector = index;
        return;
      }
    }
  }
}
