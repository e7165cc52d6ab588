/**
 * What disks and CD-ROM drives say of themselves.
 *
 * Spec: ATA/ATAPI-6, "IDENTIFY DEVICE" and "IDENTIFY PACKET DEVICE"; the values
 * are those of QEMU's drives, without TRIM.
 */
import { type Geometry, identifyData, putText, SECTOR } from './ata.ts';

/** Sectors of a block of READ MULTIPLE at most. */
export const MAX_MULTIPLE = 16;
/** Sectors that 28-bit addresses reach. */
export const LBA28_LIMIT = 0xfff_ffff;

/** How a drive calls itself. */
export interface DriveNames {
  /** At most 20 characters. */
  readonly serial?: string;
  /** At most 40 characters. */
  readonly model?: string;
  /** At most 8 characters. */
  readonly firmware?: string;
}

export interface AtaDiskOptions extends DriveNames {
  readonly geometry?: Geometry;
}

/** The settings of a disk that IDENTIFY shows. */
export interface DiskSettings {
  readonly multiple: number;
  readonly mode: number;
  readonly heads: number;
  readonly sectors: number;
  readonly writeCache: number;
  readonly smart: number;
}

/** `capacity` in sectors. */
export function identifyDisk(
  settings: DiskSettings,
  capacity: number,
  geometry: Geometry,
  names: DriveNames,
  queueDepth: number,
): Uint8Array {
  const { cylinders, heads, sectors } = geometry;
  const currentHeads = settings.heads || heads;
  const currentSectors = settings.sectors || sectors;
  const track = currentHeads * currentSectors;
  const changed = settings.heads !== 0 || settings.sectors !== 0;
  const currentCylinders = changed ? Math.min(0xffff, Math.floor(capacity / track)) : cylinders;
  const chs = currentCylinders * track;
  const lba28 = Math.min(capacity, LBA28_LIMIT);
  const data = identifyData({
    0: 0x0040, // fixed
    1: cylinders,
    3: heads,
    4: SECTOR * sectors,
    5: SECTOR,
    6: sectors,
    20: 3,
    21: 512, // cache, sectors
    22: 4,
    47: 0x8000 | MAX_MULTIPLE,
    48: 1, // 32-bit data port
    49: 0x0b00, // DMA, LBA, IORDY
    51: 0x200,
    52: 0x200,
    53: 7, // words 54 to 58, 64 to 70, 88 hold
    54: currentCylinders,
    55: currentHeads,
    56: currentSectors,
    57: chs & 0xffff,
    58: chs >>> 16,
    59: settings.multiple ? 0x100 | settings.multiple : 0,
    60: lba28 & 0xffff,
    61: lba28 >>> 16,
    62: 7 | active(settings.mode, 2),
    63: 7 | active(settings.mode, 4),
    64: 3,
    65: 120,
    66: 120,
    67: 120,
    68: 120,
    75: Math.max(0, queueDepth - 1),
    76: queueDepth ? 0x100 : 0, // NCQ
    80: 0xf0, // ATA-4 to 7
    81: 0x16,
    82: 0x4021, // NOP, write cache, SMART
    83: 0x7400, // FLUSH CACHE (EXT), 48-bit addresses
    84: 0x4000,
    85: 0x4000 | (settings.writeCache ? 0x20 : 0) | settings.smart,
    86: 0x3400,
    87: 0x4000,
    88: 0x3f | active(settings.mode, 8),
    93: 0x6001, // 80 wires, passed
    100: capacity & 0xffff,
    101: Math.floor(capacity / 0x1_0000) & 0xffff,
    102: Math.floor(capacity / 0x1_0000_0000) & 0xffff,
    106: 0x6000,
  });
  putNames(data, names.serial ?? 'QM00001', names.firmware ?? '2.5+', names.model ?? 'QEMU HARDDISK');
  return data;
}

/** `mode` is the transfer mode as SET FEATURES takes it. */
export function identifyCdrom(mode: number, serial: string, firmware: string, model: string): Uint8Array {
  const data = identifyData({
    0: 0x85c0, // CD-ROM, removable, DRQ within 50 us, 12-byte packets
    20: 3,
    21: 512,
    22: 4,
    48: 1,
    49: 0x0300, // DMA, LBA
    53: 7,
    62: 7 | active(mode, 2),
    63: 7 | active(mode, 4),
    64: 3,
    65: 180,
    66: 180,
    67: 300,
    68: 180,
    71: 30,
    72: 30,
    80: 0x1e, // ATA-1 to 4
    88: 0x3f | active(mode, 8),
  });
  putNames(data, serial, firmware, model);
  return data;
}

function putNames(data: Uint8Array, serial: string, firmware: string, model: string): void {
  putText(data, 10, 20, serial);
  putText(data, 23, 8, firmware);
  putText(data, 27, 40, model);
}

/** The high byte of a word of modes: which one is chosen. */
function active(mode: number, kind: number): number {
  return mode >> 3 === kind ? 0x100 << (mode & 7) : 0;
}
