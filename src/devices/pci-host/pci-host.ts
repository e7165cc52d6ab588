/**
 * The PC's ports for PCI configuration cycles: an address at 0xcf8 and data at 0xcfc.
 *
 * Spec: PCI Local Bus 3.0, "Software Generation of Configuration Transactions".
 * The address takes accesses of 32 bits alone: narrower ones are for whatever
 * else sits there (the reset control register at 0xcf9). As in QEMU the lowest
 * two bits of an address count, which hardware ignores: some programs read the
 * word at offset 2 from 0xcfc.
 */
import type { Device, DeviceLog, Mmio } from '../../hw/device.ts';
import type { PciBus } from '../../hw/pci-bus.ts';
import { create, layout, u32 } from '../../state/layout.ts';

const ENABLE = 0x8000_0000;

const STATE = layout('pci-host', 1, { address: u32 });

export class PciHost implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  /** Eight ports, at 0xcf8. */
  readonly mmio: Mmio;
  static readonly ports = { base: 0xcf8, size: 8 } as const;

  constructor(name: string, log: DeviceLog, bus: PciBus) {
    this.name = name;
    this.log = log;
    const { state } = this;
    this.mmio = {
      read: (at, size) => {
        const ones = 0xffff_ffff >>> (32 - 8 * size);
        if (at < 4) return ((state.address >>> (8 * at)) & ones) >>> 0;
        if (state.address < ENABLE) return ones;
        const { address } = state;
        return bus.readConfig((address >> 16) & 0xff, (address >> 8) & 0xff, (address & 0xff) | (at & 3), size);
      },
      write: (at, size, value) => {
        if (at === 0 && size === 4) state.address = value;
        else if (at >= 4 && state.address >= ENABLE) {
          const { address } = state;
          bus.writeConfig((address >> 16) & 0xff, (address >> 8) & 0xff, (address & 0xff) | (at & 3), size, value);
        }
      },
    };
  }

  reset(): void {
    this.state.address = 0;
  }
}
