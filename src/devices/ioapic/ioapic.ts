/**
 * I/O APIC: 24 wires become interrupt messages.
 *
 * Spec: Intel 82093AA (290566), "Register Description"; Intel ICH9 (316972),
 * "EOI Register". Version 0x20, as in QEMU: with an EOI register; or
 * 0x11, as the one in KVM, without.
 * Departures, QEMU's: polarity is not looked at (a wire that is high asks),
 * messages are delivered at once, so the delivery status is always idle.
 */
import { bank } from '../../hw/bank.ts';
import type { Device, DeviceLog, IrqLine, Mmio } from '../../hw/device.ts';
import { type InterruptBus, type InterruptMessage, messageFrom } from '../../hw/interrupt-message.ts';
import { array, create, initially, layout, u8, u32 } from '../../state/layout.ts';

export const IOAPIC_PINS = 24;
/** With an EOI register, and what KVM's is. */
export const IOAPIC_VERSION = { EOI: 0x20, KVM: 0x11 } as const;

/** The low half of a redirection table entry. */
const ENTRY = { LOGICAL: 0x800, REMOTE_IRR: 0x4000, LEVEL: 0x8000, MASKED: 0x1_0000, WRITABLE: 0x1_afff };

const STATE = layout('ioapic', 1, {
  id: u8,
  select: u8,
  wires: u32, // the levels of the pins, one bit each
  low: array(initially(u32, ENTRY.MASKED), IOAPIC_PINS), // redirection table
  high: array(u32, IOAPIC_PINS),
});

const REGISTERS = bank<IoApic>(
  0x1000,
  {
    IOREGSEL: { at: 0x00, size: 1, field: 'select' },
    IOWIN: { at: 0x10, read: (ioapic) => ioapic.readWindow(), write: (ioapic, value) => ioapic.writeWindow(value) },
    EOI: { at: 0x40, write: (ioapic, vector) => ioapic.writeEoi(vector & 0xff) },
  },
  { access: [1, 2, 4] },
);

export class IoApic implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  /** 4 KiB at 0xfec00000. */
  readonly mmio: Mmio;
  private readonly bus: InterruptBus;
  readonly version: number;
  /** The table was written, or means something else now. */
  onTable: (() => void) | undefined;
  /** What becomes of a message where interrupts are remapped; undefined: nothing. `ahead`: it is not sent yet. */
  remapped: ((address: number, data: number, ahead: boolean) => InterruptMessage | undefined) | undefined;

  constructor(name: string, log: DeviceLog, bus: InterruptBus, version: number = IOAPIC_VERSION.EOI) {
    this.version = version;
    this.name = name;
    this.log = log;
    this.bus = bus;
    const registers = REGISTERS.on(this);
    this.mmio = {
      read: registers.read,
      write: (offset, size, value) => {
        // Only IOREGSEL has a use for a narrow write.
        if (offset && size !== 4) log.guestError(name, `write of ${size} bytes at offset 0x${offset.toString(16)}`);
        else registers.write(offset, size, value);
      },
    };
  }

  /** The wire of pin 0..23. */
  pin(index: number): IrqLine {
    if (!(index >= 0 && index < IOAPIC_PINS)) throw new RangeError(`ioapic: no pin ${index}`);
    return { set: (level) => this.wire(index, level) };
  }

  /** The wires belong to the devices: their levels outlive a reset. */
  reset(): void {
    const { wires } = this.state;
    Object.assign(this.state, create(STATE), { wires });
  }

  /** Nothing follows from the state: an interrupt that was sent is the local APIC's. */
  resumed(): void {}

  wire(pin: number, level: boolean): void {
    const { state } = this;
    const rises = level && !(state.wires & (1 << pin));
    state.wires = (level ? state.wires | (1 << pin) : state.wires & ~(1 << pin)) >>> 0;
    const entry = state.low[pin];
    if (entry & ENTRY.LEVEL) this.serve(pin);
    else if (rises && !(entry & ENTRY.MASKED)) this.send(pin); // an edge at a masked pin is lost
  }

  /** A local APIC, or the EOI register, ends the level-triggered interrupts of `vector`. */
  endOfInterrupt(vector: number): void {
    const { low } = this.state;
    for (let pin = 0; pin < IOAPIC_PINS; pin++) {
      const entry = low[pin];
      if (!(entry & ENTRY.LEVEL && entry & ENTRY.REMOTE_IRR && (entry & 0xff) === vector)) continue;
      low[pin] &= ~ENTRY.REMOTE_IRR;
      this.serve(pin);
    }
  }

  writeEoi(vector: number): void {
    if (this.version >= IOAPIC_VERSION.EOI) this.endOfInterrupt(vector);
    else this.log.guestError(this.name, 'there is no EOI register');
  }

  /** What a pin sends when it is asked; undefined while it is masked, or its message goes nowhere. */
  message(pin: number): InterruptMessage | undefined {
    return this.state.low[pin] & ENTRY.MASKED ? undefined : this.entry(pin, true);
  }

  readWindow(): number {
    const { state } = this;
    const { select } = state;
    switch (select) {
      case 0: // IOAPICID
      case 2: // IOAPICARB
        return state.id << 24;
      case 1: // IOAPICVER
        return this.version | ((IOAPIC_PINS - 1) << 16);
    }
    const pin = (select - 0x10) >> 1;
    if (pin >= 0 && pin < IOAPIC_PINS) return select & 1 ? state.high[pin] : state.low[pin];
    this.log.guestError(this.name, `read of register 0x${select.toString(16)}`);
    return 0;
  }

  writeWindow(value: number): void {
    const { state } = this;
    const { select } = state;
    const pin = (select - 0x10) >> 1;
    if (select === 0) state.id = (value >>> 24) & 15;
    else if (pin >= 0 && pin < IOAPIC_PINS) {
      if (select & 1) state.high[pin] = value;
      else {
        // Making an entry edge-triggered forgets its remote IRR: how software without EOI register ends interrupts.
        const remote = value & ENTRY.LEVEL ? state.low[pin] & ENTRY.REMOTE_IRR : 0;
        state.low[pin] = (value & ENTRY.WRITABLE) | remote;
      }
      this.onTable?.();
      this.serve(pin);
    } else this.log.guestError(this.name, `write of register 0x${select.toString(16)}`);
  }

  /** Sends a level-triggered interrupt that is due: unmasked, its wire high, the last one ended. */
  private serve(pin: number): void {
    const { low, wires } = this.state;
    const entry = low[pin];
    if (!(entry & ENTRY.LEVEL) || entry & (ENTRY.MASKED | ENTRY.REMOTE_IRR) || !(wires & (1 << pin))) return;
    low[pin] |= ENTRY.REMOTE_IRR;
    this.send(pin);
  }

  private send(pin: number): void {
    const message = this.entry(pin, false);
    if (message) this.bus.deliver(message);
  }

  /** The entry as a write to 0xfeexxxxx: its upper 16 bits are those of the address, its mode and vector the data. */
  private entry(pin: number, ahead: boolean): InterruptMessage | undefined {
    const { low, high } = this.state;
    const entry = low[pin];
    const address = (0xfee0_0000 | ((high[pin] >>> 16) << 4) | (entry & ENTRY.LOGICAL ? 4 : 0)) >>> 0;
    const data = entry & (ENTRY.LEVEL | 0x7ff);
    return this.remapped ? this.remapped(address, data, ahead) : messageFrom(address, data);
  }
}
