/**
 * The chip sets of `pc`, `q35` and `isapc`: which function sits in which slot,
 * and what wires it to the board.
 *
 * Spec: QEMU 7.2's machines pc-i440fx-7.2, pc-q35-7.2 and isapc.
 */
import { PciHotplug } from '../devices/acpi-hotplug/pci-hotplug.ts';
import { Ahci } from '../devices/ahci/ahci.ts';
import type { FwCfg } from '../devices/fw-cfg/fw-cfg.ts';
import { I440fx } from '../devices/i440fx/i440fx.ts';
import { IdeChannel } from '../devices/ide/ide-channel.ts';
import { Piix3Ide } from '../devices/ide/piix3-ide.ts';
import { PciHost } from '../devices/pci-host/pci-host.ts';
import { Piix3 } from '../devices/piix3/piix3.ts';
import { Piix4Pm } from '../devices/piix4-pm/piix4-pm.ts';
import { Ich9Lpc, SMI_BROADCAST } from '../devices/q35/ich9-lpc.ts';
import { Ich9Smbus } from '../devices/q35/ich9-smbus.ts';
import { Mch } from '../devices/q35/mch.ts';
import { Vga } from '../devices/vga/vga.ts';
import type { AcpiPm, SleepState, WakeCause } from '../hw/acpi/acpi-pm.ts';
import { config32, type PciFunction } from '../hw/pci.ts';
import type { IrqLine } from '../hw/device.ts';
import type { Iommu } from '../hw/iommu.ts';
import { PciBus } from '../hw/pci-bus.ts';
import { type PcChipset, serialPorts } from './pc-chipset.ts';
import type { PlacedDrive } from './pc-drives.ts';
import { AREA, hasVga } from './pc-firmware.ts';
import { addIommu, iommuOf } from './pc-iommu.ts';
import { parallelPorts } from './pc-isa.ts';
import type { PcMemory } from './pc-memory.ts';
import type { PcMemoryMap } from './pc-memory-map.ts';
import { addVga, placeVga, refusePciDevices } from './pc-pci.ts';

const HOTPLUG_PORT = 0xae00;
const DEFAULT_PM_BASE = 0x600;
export const DEFAULT_MMCONFIG = 0xb000_0000;

export interface Context {
  readonly chipset: PcChipset;
  readonly memory: PcMemory;
  readonly map: PcMemoryMap;
  readonly drives: readonly PlacedDrive[];
  readonly outcome: { reset(): void; sleep(state: SleepState): void; wake(cause: WakeCause): void; watchdog(): void };
}

export interface PciBoard {
  readonly bus: PciBus;
  readonly pm: AcpiPm;
  /** The host bridge, and where its registers of shadow RAM begin. */
  readonly northBridge: { readonly fn: PciFunction; readonly pam: number };
  /** The remapping unit, as tables tell of it. */
  readonly iommu?: { readonly addressBits: number; readonly interrupts: boolean } | undefined;
  /** Where firmware has put what the tables tell. */
  acpi(): { readonly pmBase: number; readonly mmconfig?: number };
}

function addFunction(chipset: PcChipset, bus: PciBus, fn: PciFunction, slot: number, number = 0): void {
  chipset.devices.push(fn);
  bus.add(fn, slot, number);
}

/** The bus of a host bridge with its registers at 0xcf8; `route` says which line a slot's pin is on. */
function hostBus(
  chipset: PcChipset,
  name: string,
  lines: readonly IrqLine[],
  route: (slot: number, pin: number) => number,
  iommu?: Iommu,
): PciBus {
  const { ports, bus: memory, wiring } = chipset;
  const bus = new PciBus({
    memory,
    ports,
    route,
    lines,
    message: (address, data) => chipset.message(address, data),
    iommu,
  });
  const host = chipset.add(new PciHost(name, wiring.log, bus));
  chipset.port(host.name, 0xcf8, 8, host.mmio);
  return bus;
}

/** 00.0 host bridge, 01.0 ISA, 01.1 IDE, 01.3 power management, 02.0 VGA. */
export function i440fx({ chipset, drives, map, outcome }: Context): PciBoard {
  const { ports, wiring, config } = chipset;
  const piix = new Piix3({
    name: 'piix3',
    isa: Array.from({ length: 16 }, (_, irq) => chipset.gsi(irq)),
    reset: outcome.reset,
  });
  const bus = hostBus(chipset, 'i440fx-pcihost', piix.pirq, (slot, pin) => Piix3.route(slot, pin));
  ports.add('piix3-reset', Piix3.resetPort, 1, piix.resetControl, 1);
  const northBridge = new I440fx({ name: 'i440fx', ramSize: config.memory, control: map });
  addFunction(chipset, bus, northBridge, 0);
  addFunction(chipset, bus, piix, 1);
  const ide = new Piix3Ide('piix3-ide', wiring, [chipset.gsi(14), chipset.gsi(15)]);
  chipset.devices.push(...ide.channels);
  placeChannels(chipset, ide.channels);
  attachIde(ide.channels, drives);
  addFunction(chipset, bus, ide.pci, 1, 1);
  const pm = new Piix4Pm({
    name: 'piix4-pm',
    wiring,
    ports,
    sci: chipset.gsi(9),
    sleep: outcome.sleep,
    wake: outcome.wake,
    smi: chipset.parts.smm ? () => chipset.parts.cpus[0].smi() : undefined,
    parallel: parallelPorts(config).includes(true),
    serials: serialPorts(config).filter((there) => there).length,
  });
  chipset.devices.push(pm.pm, pm.smbus);
  addFunction(chipset, bus, pm, 1, 3);
  const hotplug = new PciHotplug({
    name: 'acpi-pci-hotplug',
    log: wiring.log,
    event: (number) => pm.pm.event(number),
    removable: (_, slot) => slot > 2,
    eject: (_, slot) => {
      const fn = bus.at(slot);
      if (fn) bus.remove(fn);
    },
  });
  chipset.port(hotplug.name, HOTPLUG_PORT, PciHotplug.size, chipset.add(hotplug).mmio);
  if (hasVga(config, 'pc')) bus.add(addVga(chipset, 'vga', 'card0', true), 2);
  return {
    bus,
    pm: pm.pm,
    northBridge: { fn: northBridge, pam: I440fx.pam },
    acpi: () => ({ pmBase: config32(pm, 0x40) & 0xffc0 || DEFAULT_PM_BASE }),
  };
}

/** 00.0 host bridge, 01.0 VGA, 1f.0 LPC, 1f.2 AHCI, 1f.3 SMBus. */
export function q35({ chipset, drives, map, outcome }: Context): PciBoard {
  const { ports, bus: memory, wiring, config } = chipset;
  const lpc = new Ich9Lpc({
    name: 'ich9-lpc',
    wiring,
    memory,
    ports,
    gsi: Array.from({ length: 24 }, (_, gsi) => chipset.gsi(gsi)),
    sleep: outcome.sleep,
    wake: outcome.wake,
    smi: chipset.parts.smm ? (who) => raiseSmi(chipset, who) : undefined,
    reset: (cause) => (cause === 'watchdog' ? outcome.watchdog() : outcome.reset()),
    serials: serialPorts(config).filter((there) => there).length,
    parallel: parallelPorts(config).includes(true),
  });
  if (chipset.parts.smm) offerSmiFeatures(chipset.fwCfg, lpc);
  const choice = iommuOf(config, 'q35');
  const unit = choice && addIommu(chipset, choice);
  const bus = hostBus(chipset, 'q35-pcihost', lpc.pirq, (slot, pin) => lpc.route(slot, pin), unit);
  const mch = new Mch({ name: 'mch', memory, control: map }, () => bus);
  addFunction(chipset, bus, mch, 0);
  chipset.devices.push(lpc.pm, lpc.tco);
  addFunction(chipset, bus, lpc, 31);
  const ahci = chipset.add(new Ahci('ich9-ahci', wiring));
  chipset.devices.push(...ahci.ports);
  for (const { index, drive } of drives) ahci.attach(index, drive);
  addFunction(chipset, bus, ahci.pci, 31, 2);
  const smbus = new Ich9Smbus('ich9-smbus', wiring.log, new Map());
  chipset.devices.push(smbus.smbus);
  addFunction(chipset, bus, smbus, 31, 3);
  if (hasVga(config, 'q35')) bus.add(addVga(chipset, 'vga', 'card0', true), 1);
  return {
    bus,
    pm: lpc.pm,
    northBridge: { fn: mch, pam: Mch.pam },
    iommu: choice && unit && { addressBits: choice.addressBits, interrupts: unit.remapsInterrupts },
    acpi: () => {
      const ecam = config32(mch, 0x60);
      return {
        pmBase: config32(lpc, 0x40) & 0xff80 || DEFAULT_PM_BASE,
        mmconfig: ecam & 1 ? (ecam & 0xf000_0000) >>> 0 : DEFAULT_MMCONFIG,
      };
    },
  };
}

function raiseSmi({ parts }: PcChipset, who: 'all' | 'current' | 'first'): void {
  const { cpus } = parts;
  if (who === 'all') for (const cpu of cpus) cpu.smi();
  else cpus[who === 'first' ? 0 : parts.current()].smi();
}

/** What firmware may ask of the SMI command port: QEMU's files for it. */
function offerSmiFeatures(fwCfg: FwCfg, lpc: Ich9Lpc): void {
  const requested = 'etc/smi/requested-features';
  const u64 = (value: number) => Uint8Array.of(value, 0, 0, 0, 0, 0, 0, 0);
  fwCfg.addFile('etc/smi/supported-features', u64(SMI_BROADCAST));
  fwCfg.addWritableFile(requested, u64(0));
  fwCfg.addLateFile('etc/smi/features-ok', () => Uint8Array.of(lpc.negotiate(fwCfg.contentOf(requested)) ? 1 : 0), 1);
}

/** No PCI: the disks' channels at their ports, a VGA without a bus. */
export function isaOnly({ chipset, drives, map }: Context): undefined {
  const { wiring, config, parts } = chipset;
  refusePciDevices(chipset);
  const channels = [0, 1].map(
    (index) => new IdeChannel(`isa-ide.${index}`, { log: wiring.log, irq: chipset.gsi(14 + index) }),
  );
  chipset.devices.push(...channels);
  placeChannels(chipset, channels);
  attachIde(channels, drives);
  if (hasVga(config, 'isapc')) {
    const vga = chipset.add(new Vga('vga', wiring, parts.memory.area(`${AREA.vram}0`)));
    placeVga(chipset, vga);
    vga.vram.place(0xe000_0000); // where the Bochs interface's frame buffer is without PCI
  }
  map.allRam(hasVga(config, 'isapc'));
}

function placeChannels(chipset: PcChipset, channels: readonly IdeChannel[]): void {
  channels.forEach((channel, index) => {
    chipset.port(channel.name, [0x1f0, 0x170][index], 8, channel.commandBlock);
    chipset.port(`${channel.name}-control`, [0x3f6, 0x376][index], 1, channel.controlBlock);
  });
}

function attachIde(channels: readonly IdeChannel[], drives: readonly PlacedDrive[]): void {
  for (const { index, drive } of drives) channels[index >> 1].attach(index & 1 ? 1 : 0, drive);
}
