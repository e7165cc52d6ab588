/**
 * QEMU's `microvm`: a PC without PCI, with virtio over MMIO and little else.
 *
 * Spec: QEMU 7.2, docs/system/i386/microvm.rst, and its memory map and
 * interrupts. Departures: without `-bios` the board enters the kernel by
 * itself, where QEMU runs a firmware of its own; ACPI is the only description
 * (no MP table, no additions to the command line); one I/O APIC.
 */
import { alignUp } from '../bits/endian.ts';
import { ConfigError } from '../bits/errors.ts';
import { AcpiGed } from '../devices/acpi-ged/acpi-ged.ts';
import { VirtioMmio } from '../devices/virtio-mmio/virtio-mmio.ts';
import { type AcpiFiles, loadTables } from './acpi-tables.ts';
import type { MachineConfig } from './config.ts';
import type { Segment } from './loader.ts';
import { plugDevices } from './riscv-virt-devices.ts';
import { GED, microvmAcpi } from './pc-acpi.ts';
import { PcChipset, serialPorts } from './pc-chipset.ts';
import { fillCmos } from './pc-cmos.ts';
import { installFirmware, pcFirmware } from './pc-firmware.ts';
import { fillPcFwCfg } from './pc-fw-cfg.ts';
import { directRanges, type PcMemory, ramRanges, splitMemory } from './pc-memory.ts';
import { PcMemoryMap } from './pc-memory-map.ts';
import type { PcParts } from './pc-parts.ts';
import type { PcBoard } from './pc.ts';
import { directBoot, firmwareBoot } from './x86-boot.ts';

const VIRTIO = { base: 0xfeb0_0000, size: 0x200, slots: 8, gsi: 5 };
const RSDP = 0xe_0000;
const FIRMWARE_RESERVE = 0x28_000;

/** Where RAM lies. */
export const microvmMemory = (config: MachineConfig): PcMemory => splitMemory(config.memory, 0xc000_0000, 0xc000_0000);

/** Call `resetAll` before the first instruction. Throws ConfigError. */
export async function buildMicrovm(config: MachineConfig, parts: PcParts): Promise<PcBoard> {
  const { wiring } = parts;
  const memory = microvmMemory(config);
  const isOn = (name: string, fallback: boolean) => {
    const value = config.machineProperties?.[name];
    return value === undefined || value === 'auto' ? fallback : value === 'on';
  };
  const [pic, pit, rtc] = [isOn('pic', true), isOn('pit', true), isOn('rtc', true)];
  const serials = isOn('isa-serial', true) ? config.serials.slice(0, 1) : [];
  const chipset = new PcChipset({ ...config, serials }, parts, { pic, pit, rtc });
  if (!parts.apics)
    throw new ConfigError('cpu-without-apic', 'the board needs a processor with an APIC', 'use another -cpu');
  const slots = Array.from({ length: VIRTIO.slots }, (_, index) => {
    const slot = new VirtioMmio(`virtio-mmio.${index}`, wiring.log, chipset.gsi(VIRTIO.gsi + index), false);
    chipset.bus.add(slot.name, VIRTIO.base + index * VIRTIO.size, VIRTIO.size, slot.mmio);
    return chipset.add(slot);
  });
  chipset.devices.push(...plugDevices({ config, wiring, random: parts.random }, slots));
  const ged = new AcpiGed('acpi-ged', wiring.log, chipset.gsi(GED.irq), {
    poweroff: () => board.onPoweroff(0),
    reset: () => board.onReset(),
  });
  chipset.bus.add(ged.name, GED.base, AcpiGed.windowSize, chipset.add(ged).mmio);
  // What has no other way to reset writes to the keyboard controller.
  chipset.port('reset', 0x64, 1, {
    read: () => 0,
    write: (_, __, value) => {
      if (value === 0xfe) board.onReset();
    },
  });

  const acpi = microvmAcpi({
    apicIds: parts.cpus.map((_, index) => index),
    isa: {
      serials: serialPorts({ ...config, serials }),
      parallels: [],
      floppy: false,
      keyboard: false,
      rtc,
    },
    pic,
    virtio: slots.map((_, index) => ({
      base: VIRTIO.base + index * VIRTIO.size,
      size: VIRTIO.size,
      gsi: VIRTIO.gsi + index,
    })),
  });
  const firmware = pcFirmware(config, 'microvm');
  const direct = firmware.kind === 'direct' ? await bootDirectly(config, memory, acpi) : undefined;
  const { area, flash } = await installFirmware(firmware, parts, chipset.bus, direct?.rom);
  chipset.devices.push(...flash);
  const map = new PcMemoryMap(parts.memory, memory, chipset.bus, area);
  map.allRam(false);
  const kernel = !direct && config.kernel ? await firmwareBoot(config, memory.below - FIRMWARE_RESERVE) : undefined;
  fillPcFwCfg(chipset.fwCfg, { config, memory, acpi: () => acpi, kernel, bootOrder: [] });

  const board: PcBoard = {
    bus: chipset.bus,
    ports: chipset.ports,
    devices: chipset.devices,
    ramAreas: ramRanges(memory).map(({ base, size }) => ({ name: 'microvm.ram', base, size })),
    chipset,
    inputs: [],
    acknowledge: (cpu) => chipset.acknowledge(cpu),
    resetAll() {
      const { rtc: clock } = chipset;
      if (clock)
        fillCmos(
          { memory, cpus: config.cpus, floppies: [], bootOrder: 'c', floppyCheck: false, disks: [] },
          (at, value) => clock.setCmos(at, value),
        );
      for (const device of chipset.devices) device.reset();
      if (firmware.kind === 'rom') {
        const low = parts.memory.area(area.name).bytes;
        const size = Math.min(0x2_0000, low.length);
        parts.memory.writeRam(0x10_0000 - size, low.subarray(low.length - size));
      }
      for (const { address, data, size } of direct?.segments ?? []) parts.memory.writeRam(address, data, size);
    },
    powerButton: () => ged.powerButton(),
    onPoweroff() {},
    onReset() {},
    async flushed() {
      await Promise.all(flash.map((bank) => bank.flushed()));
    },
  };
  return board;
}

/** The kernel and the tables, where no firmware puts them. */
async function bootDirectly(config: MachineConfig, memory: PcMemory, acpi: AcpiFiles) {
  const size = alignUp(acpi.tables.length, 4096);
  const top = memory.below - size;
  const boot = await directBoot(config, directRanges(memory, size), top, RSDP);
  const { tables, rsdp } = loadTables(acpi, top, RSDP);
  const segments: Segment[] = [
    ...boot.segments,
    { address: top, data: tables, size: tables.length },
    { address: RSDP, data: rsdp, size: rsdp.length },
  ];
  for (const { address, size: length } of segments)
    if (address + length > memory.below)
      throw new ConfigError('memory-too-small', 'the kernel does not fit into memory', 'give the machine more (-m)');
  return { rom: boot.rom, segments };
}
