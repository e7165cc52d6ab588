/**
 * QEMU's `pci-bridge` and `pcie-root-port`.
 *
 * Spec: as hw/pci-bridge.ts and hw/pci-express.ts say. Departure: what is
 * behind them comes and goes by ACPI's registers, not by those of the bridge
 * (SHPC, native PCI Express hotplug).
 */
import { type PciFunction, QEMU_SUBSYSTEM } from '../../hw/pci.ts';
import { PciBridge } from '../../hw/pci-bridge.ts';
import type { PciBus } from '../../hw/pci-bus.ts';
import { addExpress } from '../../hw/pci-express.ts';

const RED_HAT = 0x1b36;
const CLASS = 0x060400;
const SUBSYSTEM_CAPABILITY = 0x0d;

/** A bridge to a conventional PCI bus; `bridge.secondary` is that bus. */
export function pciBridge(name: string, parent: PciBus): PciBridge {
  const bridge = new PciBridge({ name, vendor: RED_HAT, device: 0x0001, class: CLASS, interruptPin: 1 }, parent);
  addSubsystem(bridge);
  return bridge;
}

/** A port of the root complex with one slot behind it: `bridge.secondary`, device 0. */
export function pcieRootPort(name: string, parent: PciBus, slot: number, multifunction = false): PciBridge {
  const bridge = new PciBridge(
    { name, vendor: RED_HAT, device: 0x000c, class: CLASS, interruptPin: 1, express: true, multifunction },
    parent,
  );
  addSubsystem(bridge);
  addExpress(bridge, { type: 'root-port', offset: 0x54, slot });
  return bridge;
}

function addSubsystem(bridge: PciFunction): void {
  const at = bridge.addCapability(SUBSYSTEM_CAPABILITY, 8, 0x40);
  bridge.constant(at + 4, 4, ((QEMU_SUBSYSTEM.device << 16) | QEMU_SUBSYSTEM.vendor) >>> 0);
}
