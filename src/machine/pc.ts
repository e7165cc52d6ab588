/**
 * QEMU's PC boards: `pc` (i440FX and PIIX), `q35` (ICH9) and `isapc`.
 *
 * Spec: QEMU 7.2's machines pc-i440fx-7.2, pc-q35-7.2 and isapc: what sits in
 * which slot, memory map, interrupts. Departures: no USB; hot-plug of processors
 * is not told in the tables; what a processor in system management mode makes
 * devices do at once, they do with its view of memory.
 */
import { ConfigError } from '../bits/errors.ts';
import { PciHotplug } from '../devices/acpi-hotplug/pci-hotplug.ts';
import { Ahci } from '../devices/ahci/ahci.ts';
import { I440fx } from '../devices/i440fx/i440fx.ts';
import { IdeChannel } from '../devices/ide/ide-channel.ts';
import { Piix3Ide } from '../devices/ide/piix3-ide.ts';
import { PciHost } from '../devices/pci-host/pci-host.ts';
import { Piix3 } from '../devices/piix3/piix3.ts';
import { Piix4Pm } from '../devices/piix4-pm/piix4-pm.ts';
import type { FwCfg } from '../devices/fw-cfg/fw-cfg.ts';
import { Ich9Lpc, SMI_BROADCAST } from '../devices/q35/ich9-lpc.ts';
import { Ich9Smbus } from '../devices/q35/ich9-smbus.ts';
import { Mch } from '../devices/q35/mch.ts';
import { Vga } from '../devices/vga/vga.ts';
import type { AcpiPm, SleepState, WakeCause } from '../hw/acpi/acpi-pm.ts';
import type { DisplaySource } from '../hw/display.ts';
import type { InputSink } from '../hw/input.ts';
import { config32, type PciFunction } from '../hw/pci.ts';
import { PciBus } from '../hw/pci-bus.ts';
import type { MachineBoard, SuspendToRam } from './board.ts';
import type { MachineConfig } from './config.ts';
import { hole64, pcAcpi } from './pc-acpi.ts';
import { PcChipset, serialPorts } from './pc-chipset.ts';
import { fillCmos } from './pc-cmos.ts';
import { checkInterfaces, type PlacedDrive, placeDrives } from './pc-drives.ts';
import { AREA, hasVga, installFirmware, pcFirmware } from './pc-firmware.ts';
import { fillPcFwCfg, type PcFwCfg } from './pc-fw-cfg.ts';
import { addIsaDevices, isaForAcpi, parallelPorts } from './pc-isa.ts';
import { type PcMemory, ramRanges, splitMemory } from './pc-memory.ts';
import { PcMemoryMap } from './pc-memory-map.ts';
import { type PcKind, PC_NAMES, versionOf } from './pc-names.ts';
import type { PcParts } from './pc-parts.ts';
import { PAM_REGISTERS } from '../hw/pam.ts';
import { addVga, placeVga, plugPciDevices } from './pc-pci.ts';
import { smbios } from './smbios.ts';
import { firmwareBoot } from './x86-boot.ts';

const GIB = 2 ** 30;
const MIB = 2 ** 20;
/** RAM at the end of what lies below 4 GiB that firmware takes for tables. */
const FIRMWARE_RESERVE = 0x28_000;
const HOTPLUG_PORT = 0xae00;
/** CMOS memory: what firmware is to do after a reset. */
const SHUTDOWN_STATUS = { at: 0x0f, RESUME: 0xfe } as const;
const DEFAULT_PM_BASE = 0x600;
const DEFAULT_MMCONFIG = 0xb000_0000;

export interface PcBoard extends MachineBoard {
  /** A vCPU takes an interrupt: its vector, or -1 when there is none any more. */
  acknowledge(cpu: number): number;
  /** The next instructions are those of a processor that is or is not in system management mode. */
  managed?(inside: boolean): void;
  readonly chipset: PcChipset;
  /** The first graphics card. */
  readonly display?: DisplaySource;
  /** Keyboard and mouse. */
  readonly inputs: readonly InputSink[];
}

/** Where RAM lies, by board. */
export function pcMemory(config: MachineConfig, kind: PcKind): PcMemory {
  const { memory } = config;
  if (memory % 4096 || memory < MIB)
    throw new ConfigError(
      'memory-too-small',
      `the board cannot have ${memory} bytes of memory`,
      'use at least 1 MiB (-m)',
    );
  if (kind === 'pc') return splitMemory(memory, 0xe000_0000, 3 * GIB);
  return splitMemory(memory, DEFAULT_MMCONFIG, 2 * GIB);
}

/** Builds `pc`, `q35` or `isapc`; call `resetAll` before the first instruction. Throws ConfigError. */
export async function buildPc(config: MachineConfig, parts: PcParts): Promise<PcBoard> {
  const { kind, product } = PC_NAMES[config.machine];
  if (kind === 'microvm') throw new RangeError('microvm is built by buildMicrovm');
  checkInterfaces(config, ['ide', 'floppy', 'pflash', ...(kind === 'isapc' ? [] : ['virtio'])]);
  const memory = pcMemory(config, kind);
  const hpet = kind !== 'isapc' && config.machineProperties?.['hpet'] !== 'off';
  const routes = kind === 'pc' ? 0x4 : 0xff_0104;
  const chipset = new PcChipset(config, parts, {
    pic: true,
    pit: true,
    rtc: true,
    hpetRoutes: hpet ? routes : undefined,
  });
  const { log } = parts.wiring;
  const firmware = pcFirmware(config, kind);
  const { area, flash } = await installFirmware(
    firmware,
    parts,
    chipset.bus,
    undefined,
    config.machineProperties?.['pflash-secure'] === 'on',
  );
  chipset.devices.push(...flash);
  const map = new PcMemoryMap(parts.memory, memory, chipset.bus, area);
  const drives = placeDrives(config, log, kind === 'q35' ? { units: 1, buses: 6 } : { units: 2, buses: 2 });
  chipset.devices.push(...drives.map(({ drive }) => drive));
  const isa = addIsaDevices(chipset, {
    reset: () => board.onReset(),
    exit: (code) => board.onPoweroff(code),
    panic: (event) => board.onPanic?.(event),
  });
  const context: Context = {
    chipset,
    memory,
    map,
    drives,
    outcome: {
      reset: () => board.onReset(),
      sleep: (state) => {
        if (state === 's3') suspendToRam?.onSuspend();
        else board.onPoweroff(0);
      },
      wake: (cause) => suspendToRam?.onWake(cause),
      watchdog: () => board.onWatchdog?.(),
    },
  };
  const pci = kind === 'pc' ? i440fx(context) : kind === 'q35' ? q35(context) : isaOnly(context);
  const suspendToRam: SuspendToRam | undefined = pci && {
    onSuspend() {},
    onWake() {},
    asleep: () => chipset.rtc?.setCmos(SHUTDOWN_STATUS.at, SHUTDOWN_STATUS.RESUME),
    wakesFrom: (cause) => pci.pm.wakesFrom(cause),
    wake(cause, reset) {
      // Firmware's resume code, and what it remembers, are in shadow RAM.
      const { fn, pam } = pci.northBridge;
      const shadow = Array.from({ length: PAM_REGISTERS }, (_, i) => fn.readConfig(pam + i, 1));
      reset();
      for (const [i, value] of shadow.entries()) fn.writeConfig(pam + i, 1, value);
      pci.pm.woken(cause);
    },
  };
  if (chipset.rtc) chipset.rtc.onAlarm = () => suspendToRam?.onWake('rtc');
  const boot = pci ? plugPciDevices(chipset, pci.bus).boot : [];
  const ide = drives
    .filter(({ bootIndex }) => bootIndex !== undefined)
    .map((drive) => ({ index: drive.bootIndex ?? 0, path: drivePath(kind, drive) }));
  const sleeps = {
    s3: config.machineProperties?.['disable-s3'] !== 'on',
    s4: config.machineProperties?.['disable-s4'] !== 'on',
  };
  const acpi =
    pci && config.machineProperties?.['acpi'] !== 'off'
      ? whilePlaced(pci, (places) =>
          pcAcpi({
            kind: kind === 'q35' ? 'q35' : 'pc',
            apicIds: parts.cpus.map((_, index) => index),
            isa: isaForAcpi(config, isa.floppies),
            hpet,
            sleeps,
            below: memory.below,
            hole64: hole64(memory.above, kind === 'pc' ? 2 * GIB : 32 * GIB),
            ...places,
          }),
        )
      : undefined;
  const ranges = ramRanges(memory);
  const contents: PcFwCfg = {
    config,
    memory,
    acpi,
    smbios:
      pci &&
      smbios({
        product,
        version: versionOf(kind),
        uuid: config.uuid,
        cpus: config.cpus,
        memory: config.memory,
        ranges,
        processor: parts.processor,
      }),
    kernel: config.kernel && (await firmwareBoot(config, memory.below - FIRMWARE_RESERVE)),
    bootOrder: [...boot, ...ide].sort((a, b) => a.index - b.index).map(({ path }) => path),
    vgaRoms:
      kind === 'isapc' && hasVga(config, kind) && config.roms?.['vgabios.bin']
        ? { 'vgabios.bin': config.roms['vgabios.bin'] }
        : undefined,
    roms: config.optionRoms,
    sleeps: pci && sleeps,
  };
  fillPcFwCfg(chipset.fwCfg, contents);
  const { rtc } = chipset;
  const cmos = () =>
    fillCmos(
      {
        memory,
        cpus: config.cpus,
        floppies: isa.floppies.map((drive) => drive !== undefined),
        bootOrder: config.boot?.order ?? 'cad',
        floppyCheck: true,
        disks: [0, 1].map((index) => drives.find((drive) => drive.index === index)?.geometry),
      },
      (at, value) => rtc?.setCmos(at, value),
    );
  const lowFirmware = kind === 'isapc' ? lowCopy(parts, area.name, area.size) : undefined;

  const board: PcBoard = {
    bus: chipset.bus,
    ports: chipset.ports,
    devices: chipset.devices,
    ramAreas: ranges.map(({ base, size }) => ({ name: 'pc.ram', base, size })),
    chipset,
    display: chipset.devices.find((device): device is Vga => device instanceof Vga),
    inputs: [isa.keyboard.keyboard, isa.keyboard.mouse],
    acknowledge: (cpu) => chipset.acknowledge(cpu),
    managed: (inside) => map.managed(inside),
    resetAll() {
      cmos();
      for (const device of chipset.devices) device.reset();
      lowFirmware?.();
    },
    pci: pci?.bus,
    suspendToRam,
    powerButton: pci && (() => void pci.pm.powerButton()),
    nmiButton() {
      for (const { lint1 } of chipset.apics) {
        lint1.set(true);
        lint1.set(false);
      }
    },
    onPoweroff() {},
    onReset() {},
    async flushed() {
      await Promise.all(flash.map((bank) => bank.flushed()));
    },
  };
  return board;
}

/** What `make` gives, the same until firmware has moved something. */
function whilePlaced<T>(pci: PciBoard, make: (places: ReturnType<PciBoard['acpi']>) => T): () => T {
  let last: { readonly key: string; readonly made: T } | undefined;
  return () => {
    const places = pci.acpi();
    const key = `${places.pmBase} ${places.mmconfig}`;
    if (last?.key !== key) last = { key, made: make(places) };
    return last.made;
  };
}

interface Context {
  readonly chipset: PcChipset;
  readonly memory: PcMemory;
  readonly map: PcMemoryMap;
  readonly drives: readonly PlacedDrive[];
  readonly outcome: { reset(): void; sleep(state: SleepState): void; wake(cause: WakeCause): void; watchdog(): void };
}

interface PciBoard {
  readonly bus: PciBus;
  readonly pm: AcpiPm;
  /** The host bridge, and where its registers of shadow RAM begin. */
  readonly northBridge: { readonly fn: PciFunction; readonly pam: number };
  /** Where firmware has put what the tables tell. */
  acpi(): { readonly pmBase: number; readonly mmconfig?: number };
}

function addFunction(chipset: PcChipset, bus: PciBus, fn: PciFunction, slot: number, number = 0): void {
  chipset.devices.push(fn);
  bus.add(fn, slot, number);
}

/** 00.0 host bridge, 01.0 ISA, 01.1 IDE, 01.3 power management, 02.0 VGA. */
function i440fx({ chipset, drives, map, outcome }: Context): PciBoard {
  const { ports, bus: memory, wiring, config } = chipset;
  const piix = new Piix3({
    name: 'piix3',
    isa: Array.from({ length: 16 }, (_, irq) => chipset.gsi(irq)),
    reset: outcome.reset,
  });
  const bus = new PciBus({
    memory,
    ports,
    route: (slot, pin) => Piix3.route(slot, pin),
    lines: piix.pirq,
    message: (address, data) => chipset.message(address, data),
  });
  const host = chipset.add(new PciHost('i440fx-pcihost', wiring.log, bus));
  chipset.port(host.name, 0xcf8, 8, host.mmio);
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
function q35({ chipset, drives, map, outcome }: Context): PciBoard {
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
  const bus = new PciBus({
    memory,
    ports,
    route: (slot, pin) => lpc.route(slot, pin),
    lines: lpc.pirq,
    message: (address, data) => chipset.message(address, data),
  });
  const host = chipset.add(new PciHost('q35-pcihost', wiring.log, bus));
  chipset.port(host.name, 0xcf8, 8, host.mmio);
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
function isaOnly({ chipset, drives, map }: Context): undefined {
  const { wiring, config, parts } = chipset;
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

/** As OpenFirmware says it, which SeaBIOS and OVMF understand. */
function drivePath(kind: PcKind, { index }: PlacedDrive): string {
  if (kind === 'q35') return `/pci@i0cf8/pci8086,2922@1f,2/drive@${index}/disk@0`;
  return `/pci@i0cf8/ide@1,1/drive@${index >> 1}/disk@${index & 1}`;
}

/** Without a north bridge to shadow it, firmware's end lies in RAM below 1 MiB. */
function lowCopy({ memory }: PcParts, name: string, size: number): () => void {
  const low = Math.min(0x2_0000, size);
  return () => memory.writeRam(MIB - low, memory.area(name).bytes.subarray(size - low));
}
