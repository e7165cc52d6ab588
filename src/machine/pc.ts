/**
 * QEMU's PC boards: `pc` (i440FX and PIIX), `q35` (ICH9) and `isapc`.
 *
 * Spec: QEMU 7.2's machines pc-i440fx-7.2, pc-q35-7.2 and isapc: what sits in
 * which slot, memory map, interrupts. Departures: no USB; hot-plug of processors
 * is not told in the tables; what a processor in system management mode makes
 * devices do at once, they do with its view of memory.
 */
import { ConfigError } from '../bits/errors.ts';
import { Vga } from '../devices/vga/vga.ts';
import type { DisplaySource } from '../hw/display.ts';
import type { InputSink } from '../hw/input.ts';
import type { MachineBoard, SuspendToRam } from './board.ts';
import type { MachineConfig } from './config.ts';
import { hole64, pcAcpi } from './pc-acpi.ts';
import { type Context, DEFAULT_MMCONFIG, i440fx, isaOnly, type PciBoard, q35 } from './pc-bridges.ts';
import { PcChipset } from './pc-chipset.ts';
import { fillCmos } from './pc-cmos.ts';
import { checkInterfaces, type PlacedDrive, placeDrives } from './pc-drives.ts';
import { hasVga, installFirmware, pcFirmware } from './pc-firmware.ts';
import { fillPcFwCfg, type PcFwCfg } from './pc-fw-cfg.ts';
import { addIsaDevices, isaForAcpi } from './pc-isa.ts';
import { type PcMemory, ramRanges, splitMemory } from './pc-memory.ts';
import { PcMemoryMap } from './pc-memory-map.ts';
import { type PcKind, PC_NAMES, versionOf } from './pc-names.ts';
import type { PcParts } from './pc-parts.ts';
import { PAM_REGISTERS } from '../hw/pam.ts';
import { isBridge } from '../hw/pci-bus.ts';
import { iommuOf } from './pc-iommu.ts';
import { plugPciDevices } from './pc-pci.ts';
import { smbios } from './smbios.ts';
import { firmwareBoot } from './x86-boot.ts';

const GIB = 2 ** 30;
const MIB = 2 ** 20;
/** RAM at the end of what lies below 4 GiB that firmware takes for tables. */
const FIRMWARE_RESERVE = 0x28_000;
/** CMOS memory: what firmware is to do after a reset. */
const SHUTDOWN_STATUS = { at: 0x0f, RESUME: 0xfe } as const;

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
  iommuOf(config, kind);
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
            dmar: pci.iommu && {
              ...pci.iommu,
              functions: pci.bus.list().map((fn) => ({ devfn: fn.devfn, bridge: isBridge(fn) })),
            },
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
