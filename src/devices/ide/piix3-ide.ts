/**
 * The IDE controller of the PIIX3: two channels at the ISA's places, and bus
 * masters for them behind BAR 4.
 *
 * Spec: Intel 82371SB (PIIX3), "IDE Controller". Departure: timing registers
 * are remembered and change nothing; as in QEMU, the channels answer at their
 * ports whatever the enable bits say.
 */
import type { IrqLine, Mmio, Wiring } from '../../hw/device.ts';
import { PciFunction } from '../../hw/pci.ts';
import { IdeChannel } from './ide-channel.ts';

export class Piix3Ide {
  readonly pci: PciFunction;
  readonly channels: readonly [IdeChannel, IdeChannel];

  /** `irqs` are ISA interrupts 14 and 15. */
  constructor(name: string, wiring: Wiring, irqs: readonly [IrqLine, IrqLine]) {
    this.pci = new PciFunction({
      name,
      vendor: 0x8086,
      device: 0x7010,
      class: 0x01_0180, // IDE, both channels at their ISA places, bus master
      bars: [{ index: 4, kind: 'io', size: 16, mmio: this.busMasters() }],
    });
    this.pci.constant(6, 2, 0x280); // fast back-to-back, medium DEVSEL
    for (let at = 0x40; at < 0x4c; at += 4) this.pci.writable(at, 4, -1); // IDETIM, SIDETIM, UDMACTL
    const dma = this.pci.master(wiring.dma);
    const channel = (index: 0 | 1) => new IdeChannel(`${name}.${index}`, { log: wiring.log, irq: irqs[index], dma });
    this.channels = [channel(0), channel(1)];
  }

  private busMasters(): Mmio {
    return {
      read: (offset, size) => this.channels[offset >> 3 ? 1 : 0].busMaster.read(offset & 7, size),
      write: (offset, size, value) => this.channels[offset >> 3 ? 1 : 0].busMaster.write(offset & 7, size, value),
    };
  }
}
