/** Diskette formats, and the drives that turn them. */
import type { Disk } from '../../hw/disk.ts';

/** Data rate as CCR and DSR select it. */
export const RATE = { K500: 0, K300: 1, K250: 2, M1: 3 } as const;

export interface Format {
  readonly sectors: number;
  readonly tracks: number;
  readonly heads: number;
  readonly rate: number;
}

/** As QEMU's -global isa-fdc.fdtypeA names them. */
export type FloppyType = '120' | '144' | '288';

export const SECTOR = 512;

/** By number of sectors; of drives whose rate differs by type, that of a 3.5" drive. */
const FORMATS: readonly Format[] = [
  { sectors: 36, tracks: 80, heads: 2, rate: RATE.M1 }, // 2880 KiB
  { sectors: 39, tracks: 80, heads: 2, rate: RATE.M1 },
  { sectors: 40, tracks: 80, heads: 2, rate: RATE.M1 },
  { sectors: 18, tracks: 80, heads: 2, rate: RATE.K500 }, // 1440
  { sectors: 20, tracks: 80, heads: 2, rate: RATE.K500 },
  { sectors: 21, tracks: 80, heads: 2, rate: RATE.K500 },
  { sectors: 21, tracks: 82, heads: 2, rate: RATE.K500 },
  { sectors: 21, tracks: 83, heads: 2, rate: RATE.K500 },
  { sectors: 15, tracks: 80, heads: 2, rate: RATE.K500 }, // 1200
  { sectors: 10, tracks: 80, heads: 2, rate: RATE.K250 },
  { sectors: 9, tracks: 80, heads: 2, rate: RATE.K250 }, // 720
  { sectors: 9, tracks: 40, heads: 2, rate: RATE.K300 }, // 360
  { sectors: 9, tracks: 40, heads: 1, rate: RATE.K300 }, // 180
  { sectors: 8, tracks: 40, heads: 2, rate: RATE.K300 }, // 320
  { sectors: 8, tracks: 40, heads: 1, rate: RATE.K300 }, // 160
];

/** The format of an image of `size` bytes; anything else is the largest that fits a 1.44 MB drive's tracks. */
export function formatOf(size: number): Format {
  const sectors = Math.floor(size / SECTOR);
  return FORMATS.find((format) => format.sectors * format.tracks * format.heads === sectors) ?? FORMATS[3];
}

export class FloppyDrive {
  readonly type: FloppyType;
  private medium: Disk | undefined;
  /** Called when the host changes the medium. */
  changed: () => void = () => {};

  constructor(type: FloppyType, medium?: Disk) {
    this.type = type;
    this.medium = medium;
  }

  /** A drive for the medium: 2.88 MB and 1.2 MB ones where it asks for it. */
  static fitting(medium?: Disk): FloppyDrive {
    const sectors = medium ? formatOf(medium.size).sectors : 18;
    return new FloppyDrive(sectors > 21 ? '288' : sectors === 15 ? '120' : '144', medium);
  }

  /** What the CMOS says of the drive: a nibble of byte 0x10. */
  get cmosType(): number {
    return { '120': 2, '144': 4, '288': 5 }[this.type];
  }

  get inserted(): Disk | undefined {
    return this.medium;
  }

  get format(): Format {
    return formatOf(this.medium?.size ?? 0);
  }

  change(medium: Disk | undefined): void {
    this.medium = medium;
    this.changed();
  }
}
