/**
 * QEMU's RISC-V `virt` board: devices, wires, device tree and boot images.
 *
 * Spec: QEMU 7.2, docs/system/riscv/virt.rst, and the device tree it generates.
 * No vCPU and no run loop here: interrupts end at the lines the caller gives,
 * and RAM is what `wiring.dma` reaches.
 */
import { ConfigError } from '../bits/errors.ts';
import { utf8 } from '../bits/text.ts';
import { AclintSswi } from '../devices/aclint-sswi/aclint-sswi.ts';
import { Clint } from '../devices/clint/clint.ts';
import { FW_CFG, FwCfg } from '../devices/fw-cfg/fw-cfg.ts';
import { GoldfishRtc } from '../devices/goldfish-rtc/goldfish-rtc.ts';
import { Ns16550a } from '../devices/ns16550a/ns16550a.ts';
import { Pflash } from '../devices/pflash/pflash.ts';
import { Plic } from '../devices/plic/plic.ts';
import { Rom } from '../devices/rom/rom.ts';
import { SifiveTest } from '../devices/sifive-test/sifive-test.ts';
import { VirtioMmio } from '../devices/virtio-mmio/virtio-mmio.ts';
import { Bus } from '../hw/bus.ts';
import type { Device, IrqLine, Wiring } from '../hw/device.ts';
import type { MachineBoard } from './board.ts';
import type { MachineConfig } from './config.ts';
import { type Chosen, patchFdt, setChosen, writeFdt } from './fdt.ts';
import { recognise, type Segment } from './loader.ts';
import { placeFdt, placeImages, resetVector } from './riscv-virt-boot.ts';
import { plugDevices } from './riscv-virt-devices.ts';
import type { VirtioModel } from './virtio-models.ts';
import { type VirtCpu, virtTree } from './riscv-virt-fdt.ts';
import {
  type Area,
  FLASH_SECTOR,
  MIP,
  PLIC_SOURCES,
  UART_CLOCK_HZ,
  VIRT_IRQ,
  VIRT_MAP,
  VIRTIO_SLOTS,
} from './riscv-virt-map.ts';

export type { VirtCpu } from './riscv-virt-fdt.ts';
export { MIP, TIMEBASE_HZ, VIRT_MAP } from './riscv-virt-map.ts';

const MIB = 0x10_0000;
/** Where a kernel expects firmware, whose place the built-in SBI leaves empty. */
const SBI_RESERVED = 2 * MIB;

/** What the board takes from outside. */
export interface VirtParts {
  readonly wiring: Wiring;
  /** The interrupt input of a hart by its bit of `mip`; that of SSIP, which software clears, takes edges. */
  irq(hart: number, bit: number): IrqLine;
  /** Fills its argument (at most 64 KiB) with random bytes. */
  random(into: Uint8Array): void;
  /** More `-device` drivers, by name. */
  readonly virtioModels?: Readonly<Record<string, VirtioModel>>;
}

/** How the harts come out of reset. */
export type VirtBoot =
  /** Every hart starts in M-mode at `pc`, in the mask ROM. */
  | { readonly mode: 'machine'; readonly pc: number }
  /** The built-in SBI: hart 0 starts in S-mode at `pc` with a0 = 0 and a1 = `fdt`; the others are stopped. */
  | { readonly mode: 'supervisor'; readonly pc: number; readonly fdt: number };

export interface VirtBoard extends MachineBoard {
  readonly clint: Clint;
  readonly plic: Plic;
  readonly serial: Ns16550a;
  readonly flash: readonly [Pflash, Pflash];
  readonly fwCfg: FwCfg;
  /** The device tree blob as the guest finds it, and where. */
  readonly fdt: Uint8Array;
  readonly fdtAddress: number;
  readonly memoryMap: Readonly<Record<string, Area>>;
  readonly boot: VirtBoot;
}

/** Builds the board; call `resetAll` before the first instruction. Throws ConfigError. */
export async function buildVirt(config: MachineConfig, cpu: VirtCpu, parts: VirtParts): Promise<VirtBoard> {
  checkConfig(config);
  const { wiring } = parts;
  const { log } = wiring;
  const harts = Array.from({ length: config.cpus }, (_, hart) => hart);
  const bus = new Bus();
  const devices: Device[] = [];
  const on = <T extends Device & { mmio: import('../hw/device.ts').Mmio }>(area: Area, device: T): T => {
    bus.add(device.name, area.base, area.size, device.mmio);
    devices.push(device);
    return device;
  };
  const lines = (bit: number) => harts.map((hart) => parts.irq(hart, bit));

  // Interrupt controllers first: at reset their outputs settle before devices speak.
  const contexts = harts.flatMap((hart) => [parts.irq(hart, MIP.MEIP), parts.irq(hart, MIP.SEIP)]);
  const plic = on(VIRT_MAP.plic, new Plic('plic', log, { sources: PLIC_SOURCES, contexts, size: VIRT_MAP.plic.size }));
  const clint = on(VIRT_MAP.clint, new Clint('clint', wiring, lines(MIP.MSIP), lines(MIP.MTIP)));
  // An ACLINT is the CLINT's two parts, described as such, and a third.
  if (hasAclint(config)) on(VIRT_MAP.aclintSswi, new AclintSswi('sswi', log, lines(MIP.SSIP)));
  const outcome = { poweroff: (code: number) => board.onPoweroff(code), reset: () => board.onReset() };
  on(VIRT_MAP.test, new SifiveTest('test', log, outcome));
  on(VIRT_MAP.rtc, new GoldfishRtc('rtc', wiring, plic.source(VIRT_IRQ.rtc)));
  const uart = new Ns16550a('serial0', wiring, plic.source(VIRT_IRQ.uart0), config.serials[0], UART_CLOCK_HZ);
  const serial = on(VIRT_MAP.uart0, uart);
  const fwCfg = on(VIRT_MAP.fwCfg, new FwCfg('fw-cfg', wiring));
  const legacy =
    config.machineProperties?.['force-legacy'] !== 'off' && config.machineProperties?.['force-legacy'] !== 'false';
  const slots = Array.from({ length: VIRTIO_SLOTS }, (_, slot) => {
    const area = { base: VIRT_MAP.virtio.base + slot * VIRT_MAP.virtio.size, size: VIRT_MAP.virtio.size };
    return on(area, new VirtioMmio(`virtio-mmio.${slot}`, log, plic.source(VIRT_IRQ.virtio + slot), legacy));
  });
  devices.push(...plugDevices({ config, wiring, random: parts.random }, slots, parts.virtioModels));
  const flash = [await flashBank(config, wiring, 0), await flashBank(config, wiring, 1)] as const;
  const half = VIRT_MAP.flash.size / 2;
  flash.forEach((bank, index) => {
    on({ base: VIRT_MAP.flash.base + index * half, size: half }, bank);
  });

  // Firmware in flash gets the kernel through fw_cfg; otherwise images lie in RAM.
  const fromFlash = pflashDrive(config, 0) !== undefined;
  const limit = config.memory;
  const firmware = config.bios instanceof Uint8Array ? await recognise(config.bios, 'firmware', limit) : undefined;
  const kernel = config.kernel && !fromFlash ? await recognise(config.kernel, 'kernel', limit) : undefined;
  const builtIn = config.bios === 'default' && !fromFlash;
  if (builtIn && !kernel)
    throw new ConfigError(
      'nothing-to-boot',
      'there is neither a kernel nor firmware',
      'give -kernel, -bios or a pflash drive',
    );
  const placed = placeImages({
    memory: config.memory,
    reserved: builtIn ? SBI_RESERVED : 0,
    firmware,
    kernel,
    initrd: kernel ? config.initrd : undefined,
  });
  const seed = new Uint8Array(32);
  parts.random(seed);
  const fdt = deviceTree(config, cpu, { bootargs: config.append, initrd: placed.initrd, rngSeed: seed });
  const fdtAddress = placeFdt(config.memory, fdt.length, placed.segments);
  fillFwCfg(fwCfg, config, fromFlash);

  const start = fromFlash ? VIRT_MAP.flash.base : placed.firmwareEntry;
  const vector = resetVector(start, fdtAddress, placed.kernelEntry);
  on(VIRT_MAP.mrom, new Rom('mrom', log, VIRT_MAP.mrom.size, vector));
  const segments: Segment[] = [...placed.segments, { address: fdtAddress, data: fdt, size: fdt.length }];

  const board: VirtBoard = {
    bus,
    devices,
    ramAreas: [{ name: 'riscv_virt_board.ram', base: VIRT_MAP.dram.base, size: config.memory }],
    clint,
    plic,
    serial,
    flash,
    fwCfg,
    fdt,
    fdtAddress,
    memoryMap: { ...VIRT_MAP, dram: { base: VIRT_MAP.dram.base, size: config.memory } },
    boot: builtIn
      ? { mode: 'supervisor', pc: placed.kernelEntry, fdt: fdtAddress }
      : { mode: 'machine', pc: VIRT_MAP.mrom.base },
    resetAll() {
      for (const device of devices) device.reset();
      for (const segment of segments) load(wiring, segment);
    },
    onPoweroff() {},
    onReset() {},
    async flushed() {
      await Promise.all(flash.map((bank) => bank.flushed()));
    },
  };
  return board;
}

function checkConfig(config: MachineConfig): void {
  if (!Number.isInteger(config.cpus) || config.cpus < 1 || config.cpus > 512)
    throw new ConfigError('cpus', `the board cannot have ${config.cpus} harts`, 'use 1 to 512 (-smp)');
  if (config.memory % 4096 || config.memory < 4 * MIB)
    throw new ConfigError(
      'memory-too-small',
      `the board cannot have ${config.memory} bytes of memory`,
      'use at least 4 MiB (-m)',
    );
  if (config.initrd && !config.kernel)
    throw new ConfigError('initrd-without-kernel', 'there is an initial ramdisk but no kernel', 'give -kernel too');
  for (const [name, value] of Object.entries(config.machineProperties ?? {})) {
    if (name === 'aia' && value !== 'none')
      throw new ConfigError('machine-property', `the board has no ${name}=${value}`, 'leave it at its default');
  }
}

function hasAclint({ machineProperties }: MachineConfig): boolean {
  return machineProperties?.aclint === 'on' || machineProperties?.aclint === 'true';
}

function pflashDrive(config: MachineConfig, index: number) {
  const drives = config.drives.filter((drive) => drive.interface === 'pflash');
  return drives.find((drive, position) => (drive.index ?? position) === index);
}

async function flashBank(config: MachineConfig, wiring: Wiring, index: number): Promise<Pflash> {
  const size = VIRT_MAP.flash.size / 2;
  const name = `virt.flash${index}`;
  const shape = { size, sectorSize: FLASH_SECTOR };
  const drive = pflashDrive(config, index);
  if (!drive) return new Pflash(name, wiring.log, shape);
  if (drive.disk.size > size) {
    const what = `the pflash drive ${drive.id} has ${drive.disk.size} bytes, its flash bank ${size}`;
    throw new ConfigError('pflash-size', what, 'use an image of at most that size');
  }
  const content = new Uint8Array(drive.disk.size);
  await drive.disk.read(0, content);
  return new Pflash(name, wiring.log, shape, content, drive.disk);
}

function deviceTree(config: MachineConfig, cpu: VirtCpu, chosen: Chosen): Uint8Array {
  if (config.dtb) return patchFdt(config.dtb, chosen);
  const root = virtTree(cpu, config.cpus, config.memory, hasAclint(config));
  setChosen(root, chosen);
  return writeFdt(root);
}

function fillFwCfg(fwCfg: FwCfg, config: MachineConfig, withKernel: boolean): void {
  fwCfg.add16(FW_CFG.NB_CPUS, config.cpus);
  fwCfg.add16(FW_CFG.MAX_CPUS, config.cpus);
  const blob = (size: number, data: number, content?: Uint8Array) => {
    if (!content) return;
    fwCfg.add32(size, content.length);
    fwCfg.add(data, content);
  };
  if (withKernel) {
    blob(FW_CFG.KERNEL_SIZE, FW_CFG.KERNEL_DATA, config.kernel);
    blob(FW_CFG.INITRD_SIZE, FW_CFG.INITRD_DATA, config.initrd);
    if (config.append !== undefined) blob(FW_CFG.CMDLINE_SIZE, FW_CFG.CMDLINE_DATA, utf8(`${config.append}\0`));
  }
  for (const [name, content] of Object.entries(config.fwCfg ?? {})) {
    try {
      fwCfg.addFile(name, content);
    } catch (cause) {
      throw new ConfigError('fw-cfg-name', (cause as Error).message, 'use another name', cause);
    }
  }
}

function load(wiring: Wiring, segment: Segment): void {
  const target = wiring.dma.writable(segment.address, segment.size);
  if (!target) throw new RangeError('an image was placed outside RAM');
  target.set(segment.data);
  target.fill(0, segment.data.length);
}
