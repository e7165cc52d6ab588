/** Which firmware a PC starts with, and the memory areas that it and the video card need. */
import { alignUp } from '../bits/endian.ts';
import { ConfigError } from '../bits/errors.ts';
import { Pflash } from '../devices/pflash/pflash.ts';
import type { Bus } from '../hw/bus.ts';
import type { DriveConfig, MachineConfig } from './config.ts';
import type { PcKind } from './pc-names.ts';
import { FOUR_GIB } from './pc-memory.ts';
import type { FirmwareArea } from './pc-memory-map.ts';
import type { PcParts } from './pc-parts.ts';

const PAGE = 4096;
/** What fits between the I/O APIC's neighbours and 4 GiB. */
const MOST = 0x80_0000;
const VRAM_SIZE = 0x100_0000;
const BIOS_NAMES: Readonly<Record<PcKind, string>> = {
  pc: 'bios-256k.bin',
  q35: 'bios-256k.bin',
  isapc: 'bios.bin',
  microvm: '',
};
export const AREA = { bios: 'pc.bios', flash: ['system.flash0', 'system.flash1'], vram: 'vga.vram' } as const;

export type PcFirmware =
  | { readonly kind: 'rom'; readonly image: Uint8Array }
  /** The first one ends at 4 GiB, the second below it. */
  | { readonly kind: 'flash'; readonly drives: readonly DriveConfig[] }
  /** The board enters the kernel by itself. */
  | { readonly kind: 'direct' };

/** Throws ConfigError. */
export function pcFirmware(config: MachineConfig, board: PcKind): PcFirmware {
  const flash = config.drives.filter((drive) => drive.interface === 'pflash');
  const unit = (index: number) => flash.find((drive, position) => (drive.index ?? position) === index);
  const [first, second] = [unit(0), unit(1)];
  if (first) {
    for (const { id, disk } of flash)
      if (disk.size % PAGE || disk.size > MOST || disk.size === 0)
        throw new ConfigError(
          'pflash-size',
          `the pflash drive ${id} has ${disk.size} bytes`,
          'use a multiple of 4 KiB up to 8 MiB',
        );
    return { kind: 'flash', drives: second ? [first, second] : [first] };
  }
  if (second) throw new ConfigError('pflash-unit', 'there is a second flash drive but no first', 'give unit=0 too');
  if (config.bios instanceof Uint8Array) return rom(config.bios);
  const name = BIOS_NAMES[board];
  if (name === '' || config.bios === 'none') {
    if (board === 'microvm' && config.kernel) return { kind: 'direct' };
    throw new ConfigError(
      'nothing-to-boot',
      'there is neither a kernel nor firmware',
      'give -kernel, -bios or a pflash drive',
    );
  }
  const image = config.roms?.[name];
  if (!image) {
    const mend = 'install the seabios package, or give -bios FILE or -L DIRECTORY';
    throw new ConfigError('firmware-missing', `the firmware ${name} is not there`, mend);
  }
  return rom(image);
}

function rom(image: Uint8Array): PcFirmware {
  if (image.length === 0 || image.length > MOST || image.length % PAGE)
    throw new ConfigError(
      'bios-size',
      `could not use a BIOS of ${image.length} bytes`,
      'it is a multiple of 4 KiB up to 8 MiB',
    );
  return { kind: 'rom', image };
}

export function hasVga(config: MachineConfig, board: PcKind): boolean {
  if (board === 'microvm') return false;
  return config.vga === undefined ? config.defaults !== false : config.vga !== 'none';
}

/** The areas of memory beside RAM; sizes in bytes, multiples of 4096. */
export function pcAreas(config: MachineConfig, board: PcKind): { name: string; size: number }[] {
  const areas: { name: string; size: number }[] = [];
  const firmware = pcFirmware(config, board);
  if (firmware.kind === 'flash')
    firmware.drives.forEach(({ disk }, index) => {
      areas.push({ name: AREA.flash[index], size: disk.size });
    });
  else areas.push({ name: AREA.bios, size: firmware.kind === 'rom' ? alignUp(firmware.image.length, PAGE) : PAGE });
  const cards = config.devices.filter(({ driver }) => driver === 'VGA').length + (hasVga(config, board) ? 1 : 0);
  for (let card = 0; card < cards; card++) areas.push({ name: `${AREA.vram}${card}`, size: VRAM_SIZE });
  return areas;
}

export interface InstalledFirmware {
  readonly area: FirmwareArea;
  readonly flash: readonly Pflash[];
}

/**
 * Puts firmware below 4 GiB. `image` replaces what `firmware` has for a direct boot. Flash that `isSecure` takes commands
 * in system management mode only.
 */
export async function installFirmware(
  firmware: PcFirmware,
  parts: PcParts,
  bus: Bus,
  image?: Uint8Array,
  isSecure = false,
): Promise<InstalledFirmware> {
  const { memory, wiring } = parts;
  if (firmware.kind !== 'flash') {
    const bytes = firmware.kind === 'rom' ? firmware.image : (image ?? new Uint8Array(PAGE));
    const { length: size } = memory.area(AREA.bios).bytes;
    memory.area(AREA.bios).bytes.set(bytes);
    memory.mapArea(AREA.bios, FOUR_GIB - size, size, 0, true);
    return { area: { name: AREA.bios, size }, flash: [] };
  }
  const flash: Pflash[] = [];
  const secured = isSecure ? (parts.inSmm ?? (() => false)) : undefined;
  let end = FOUR_GIB;
  for (const [index, { disk }] of firmware.drives.entries()) {
    const content = new Uint8Array(disk.size);
    await disk.read(0, content);
    const address = end - disk.size;
    const area = memory.area(AREA.flash[index]);
    const shape = { size: disk.size, sectorSize: PAGE };
    const bank = new Pflash(AREA.flash[index], wiring.log, shape, content, disk, { area, address }, secured);
    bus.add(bank.name, address, disk.size, bank.mmio);
    flash.push(bank);
    end = address;
  }
  return { area: { name: AREA.flash[0], size: firmware.drives[0].disk.size }, flash };
}
