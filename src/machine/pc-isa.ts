/**
 * The ISA devices of a PC: keyboard controller, DMA, floppies. Ports, interrupts
 * and channels are the IBM PC AT's.
 */
import { ConfigError } from '../bits/errors.ts';
import { Debugcon } from '../devices/debugcon/debugcon.ts';
import { Fdc } from '../devices/fdc/fdc.ts';
import { FloppyDrive } from '../devices/fdc/floppy-drive.ts';
import { I8042 } from '../devices/i8042/i8042.ts';
import { IsaDebugExit } from '../devices/isa-debug-exit/isa-debug-exit.ts';
import { PcTestdev, TESTDEV } from '../devices/pc-testdev/pc-testdev.ts';
import { Parallel } from '../devices/parallel/parallel.ts';
import { Port92 } from '../devices/port92/port92.ts';
import { type PanicEvent, Pvpanic } from '../devices/pvpanic/pvpanic.ts';
import { I8257 } from '../devices/i8257/i8257.ts';
import { Ne2000, PORTS } from '../devices/ne2000/ne2000.ts';
import type { MachineConfig } from './config.ts';
import type { IsaDevices } from './acpi-dsdt.ts';
import { nicOf } from './nics.ts';
import { type PcChipset, serialPorts } from './pc-chipset.ts';

const PARALLEL_PORTS = [
  { port: 0x378, irq: 7 },
  { port: 0x278, irq: 5 },
  { port: 0x3bc, irq: 7 },
] as const;

export interface PcIsa {
  readonly keyboard: I8042;
  readonly floppies: readonly (FloppyDrive | undefined)[];
}

export interface IsaOutcome {
  reset(): void;
  /** The guest ends the emulator (isa-debug-exit). */
  exit(code: number): void;
  panic(event: PanicEvent): void;
}

export function addIsaDevices(chipset: PcChipset, outcome: IsaOutcome): PcIsa {
  const reset = () => outcome.reset();
  const { wiring, parts, config } = chipset;
  const nowhere = { set: () => {} };
  const keyboard = new I8042('i8042', wiring, {
    keyboardIrq: chipset.gsi(1),
    mouseIrq: chipset.gsi(12),
    a20: parts.a20 ?? nowhere,
    reset,
  });
  chipset.port('i8042-data', 0x60, 1, keyboard.data);
  chipset.port('i8042-cmd', 0x64, 1, keyboard.command);
  chipset.add(keyboard);
  const port92 = new Port92('port92', wiring, { a20: parts.a20 ?? nowhere, reset });
  chipset.port('port92', 0x92, 1, chipset.add(port92).mmio);
  addSmallDevices(chipset, outcome);

  const low = chipset.add(new I8257('dma0', wiring));
  const high = chipset.add(new I8257('dma1', wiring, 2));
  chipset.port('dma0', 0x00, 0x10, low.registers);
  chipset.port('dma1', 0xc0, 0x20, high.registers);
  chipset.port('dma-page', 0x81, 7, shifted(low.pages));
  chipset.port('dma-page', 0x88, 8, high.pages);
  chipset.port('dma-page-high', 0x480, 8, low.highPages);
  chipset.port('dma-page-high', 0x488, 8, high.highPages);

  const floppies = floppyDrives(config);
  if (floppies.some((drive) => drive)) {
    const fdc = new Fdc('fdc', { log: wiring.log, irq: chipset.gsi(6), dma: low.channels[2] }, floppies);
    chipset.port('fdc', 0x3f0, 6, fdc.mmio);
    chipset.port('fdc', 0x3f7, 1, fdc.rateMmio);
    chipset.add(fdc);
  }
  return { keyboard, floppies };
}

/** Which parallel ports there are: one that leads nowhere by default. */
export function parallelPorts({ parallels = [], defaults }: MachineConfig): boolean[] {
  if (parallels.length === 0) return defaults === false ? [] : [true];
  return parallels.slice(0, PARALLEL_PORTS.length).map((backend) => backend !== undefined);
}

/** What `-parallel`, `-debugcon` and `-device isa-…` bring. */
function addSmallDevices(chipset: PcChipset, outcome: IsaOutcome): void {
  const { wiring, config } = chipset;
  parallelPorts(config).forEach((there, index) => {
    if (!there) return;
    const backend = config.parallels?.[index];
    const { port, irq } = PARALLEL_PORTS[index];
    const parallel = new Parallel(`parallel${index}`, wiring, chipset.gsi(irq), backend);
    chipset.port(parallel.name, port, 8, chipset.add(parallel).mmio);
  });
  if (config.debugcon) {
    const debugcon = chipset.add(new Debugcon('debugcon', wiring, config.debugcon));
    chipset.port(debugcon.name, 0xe9, 1, debugcon.mmio);
  }
  for (const device of config.devices) {
    const { driver, id, properties } = device;
    const name = id ?? driver;
    const port = (fallback: number) => portOf(driver, properties['iobase'] ?? properties['ioport'], fallback);
    if (driver === 'isa-debug-exit') {
      const exit = chipset.add(new IsaDebugExit(name, (code) => outcome.exit(code)));
      chipset.port(name, port(0x501), portOf(driver, properties['iosize'], 2), exit.mmio);
    } else if (driver === 'isa-debugcon') {
      const backend = config.chardevs.find(({ id: chardev }) => chardev === properties['chardev'])?.backend;
      const debugcon = new Debugcon(name, wiring, backend, portOf(driver, properties['readback'], 0xe9));
      chipset.port(name, port(0xe9), 1, chipset.add(debugcon).mmio);
    } else if (driver === 'pc-testdev') {
      const irqs = Array.from({ length: 16 }, (_, irq) => chipset.gsi(irq));
      const testdev = chipset.add(new PcTestdev(name, wiring, irqs));
      for (const part of ['data', 'flush', 'bytes', 'lines'] as const)
        chipset.port(`${name}-${part}`, TESTDEV[part].base, TESTDEV[part].size, testdev[part]);
      chipset.bus.add(name, TESTDEV.memory.base, TESTDEV.memory.size, testdev.memory);
    } else if (driver === 'ne2k_isa') {
      const { link, mac } = nicOf(device, config);
      const irq = Number(properties['irq'] ?? 9);
      if (!(irq >= 3 && irq <= 15)) throw new ConfigError('property-value', `${driver}: irq=${irq}`, 'use 3 to 15');
      const card = chipset.add(new Ne2000(name, wiring, chipset.gsi(irq), link, mac));
      chipset.port(name, port(0x300), PORTS, card.mmio);
    } else if (driver === 'pvpanic') {
      const panic = new Pvpanic(name, wiring, (event) => {
        wiring.log.guestError(name, `the guest ${event}`);
        outcome.panic(event);
      });
      chipset.port(name, port(0x505), 1, chipset.add(panic).mmio);
    }
  }
}

function portOf(driver: string, text: string | undefined, fallback: number): number {
  const value = text === undefined ? fallback : Number(text);
  if (Number.isInteger(value) && value >= 0 && value < 0x1_0000) return value;
  throw new ConfigError('property-value', `${driver}: ${text} is no port`, 'as in iobase=0xf4');
}

/** Port 0x80 tells the progress of firmware, not a page. */
function shifted(pages: I8257['pages']): I8257['pages'] {
  return {
    widths: [1],
    read: (offset, size) => pages.read(offset + 1, size),
    write: (offset, size, value) => pages.write(offset + 1, size, value),
  };
}

/** A and B: those with a medium; A also without one, as a default device. */
function floppyDrives(config: MachineConfig): (FloppyDrive | undefined)[] {
  const drives: (FloppyDrive | undefined)[] = [undefined, undefined];
  for (const drive of config.drives) {
    if (drive.interface !== 'floppy') continue;
    const index = drive.index ?? (drives[0] ? 1 : 0);
    if (index < 2) drives[index] = FloppyDrive.fitting(drive.disk);
  }
  if (!drives[0] && config.defaults !== false) drives[0] = FloppyDrive.fitting();
  return drives;
}

/** What the ACPI tables say is there. */
export function isaForAcpi(config: MachineConfig, floppies: PcIsa['floppies']): IsaDevices {
  return {
    serials: serialPorts(config),
    parallels: parallelPorts(config),
    floppy: floppies.some((drive) => drive !== undefined),
    keyboard: true,
    rtc: true,
  };
}
