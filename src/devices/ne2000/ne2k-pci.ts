/** The NE2000 as a PCI function: Realtek RTL8029 (QEMU's `ne2k_pci`). */
import type { IrqLine, Mmio, Wiring } from '../../hw/device.ts';
import type { Link } from '../../hw/link.ts';
import { PciFunction } from '../../hw/pci.ts';
import { Ne2000, PORTS } from './ne2000.ts';

const WINDOW = 0x100;

/** Two devices to be reset, saved and loaded. */
export function ne2kPci(
  name: string,
  wiring: Wiring,
  link: Link,
  mac: Uint8Array,
  rom?: Uint8Array,
): { card: Ne2000; pci: PciFunction } {
  const irq: IrqLine = { set: (level) => pci.irq.set(level) };
  const card: Ne2000 = new Ne2000(name, wiring, irq, link, mac);
  // The card answers in the first 32 ports of its window.
  const mmio: Mmio = {
    read: (offset, size) => (offset < PORTS ? card.mmio.read(offset, size) : 2 ** (8 * size) - 1),
    write: (offset, size, value) => {
      if (offset < PORTS) card.mmio.write(offset, size, value);
    },
  };
  const pci: PciFunction = new PciFunction({
    name,
    vendor: 0x10ec,
    device: 0x8029,
    class: 0x02_0000,
    interruptPin: 1,
    rom,
    bars: [{ index: 0, kind: 'io', size: WINDOW, mmio }],
  });
  pci.owner = card;
  return { card, pci };
}
