/**
 * Which drive sits where: `-drive if=ide`, `-hda`, `-cdrom` and `-device ide-hd`
 * become ATA drives on the board's channels, with QEMU's numbering and names.
 */
import { ConfigError } from '../bits/errors.ts';
import type { DeviceLog } from '../hw/device.ts';
import { AtaDisk } from '../hw/ata/ata-disk.ts';
import type { AtaDrive } from '../hw/ata/ata-drive.ts';
import { AtapiCdrom } from '../hw/ata/atapi-cdrom.ts';
import type { DeviceConfig, DriveConfig, MachineConfig } from './config.ts';

/** A drive in its place: `index` counts units (IDE: bus * 2 + unit; AHCI: port). */
export interface PlacedDrive {
  readonly index: number;
  readonly drive: AtaDrive;
  readonly cdrom: boolean;
  /** For a disk: cylinders, heads, sectors. */
  readonly geometry?: readonly [number, number, number];
  readonly bootIndex?: number;
}

export interface IdeShape {
  /** Units of a bus: 2 for IDE, 1 for AHCI. */
  readonly units: number;
  readonly buses: number;
}

export const IDE_DRIVERS: readonly string[] = ['ide-hd', 'ide-cd', 'ide-drive'];
const CDROM_INDEX = 2;

/** Throws ConfigError. */
export function placeDrives(config: MachineConfig, log: DeviceLog, { units, buses }: IdeShape): PlacedDrive[] {
  const placed: PlacedDrive[] = [];
  const total = units * buses;
  const put = (wanted: number | undefined, what: string, make: (name: string) => Omit<PlacedDrive, 'index'>) => {
    const taken = (at: number) => placed.some(({ index }) => index === at);
    let index = wanted ?? 0;
    if (wanted === undefined) while (taken(index)) index++;
    if (index >= total || taken(index))
      throw new ConfigError(
        'ide-full',
        `there is no place ${index} for ${what}`,
        `places are 0 to ${total - 1}, each for one drive`,
      );
    placed.push({ index, ...make(`ide${Math.floor(index / units)}-${units === 1 ? 0 : index % units}`) });
  };
  // Those with a place first: the others fill the gaps.
  const drives = config.drives.filter((drive) => drive.interface === 'ide');
  for (const drive of [
    ...drives.filter(({ index }) => index !== undefined),
    ...drives.filter(({ index }) => index === undefined),
  ])
    put(drive.index, `drive ${drive.id}`, (name) => ataDrive(name, log, drive, drive.cdrom ?? false, {}));
  const devices = config.devices.filter(({ driver }) => IDE_DRIVERS.includes(driver));
  for (const device of devices) {
    const drive = config.drives.find(({ id }) => id === device.properties['drive']);
    const cdrom = device.driver === 'ide-cd';
    if (!drive && !cdrom)
      throw new ConfigError(
        'drive-missing',
        `${device.driver} names no drive`,
        'add -drive if=none,id=…,file=… and drive=…',
      );
    put(placeOf(device, units), device.driver, (name) =>
      ataDrive(device.id ?? name, log, drive, cdrom || (drive?.cdrom ?? false), device.properties),
    );
  }
  const hasCdrom = placed.some(({ index }) => index === CDROM_INDEX) || devices.length > 0;
  if (config.defaults !== false && !hasCdrom)
    put(CDROM_INDEX, 'the CD-ROM', (name) => ataDrive(name, log, undefined, true, {}));
  return placed;
}

/** `bus=ide.1,unit=0`; undefined: anywhere. */
function placeOf({ driver, properties }: DeviceConfig, units: number): number | undefined {
  const { bus, unit } = properties;
  if (bus === undefined) return undefined;
  const match = /\.(\d+)$/.exec(bus);
  if (!match) throw new ConfigError('bus-unknown', `${driver}: there is no bus ${bus}`, 'use ide.0, ide.1, ...');
  return Number(match[1]) * units + Number(unit ?? 0);
}

function ataDrive(
  name: string,
  log: DeviceLog,
  drive: DriveConfig | undefined,
  cdrom: boolean,
  properties: Readonly<Record<string, string>>,
): Omit<PlacedDrive, 'index'> {
  const serial = properties['serial'] ?? drive?.serial;
  const bootIndex = properties['bootindex'] === undefined ? undefined : Number(properties['bootindex']);
  if (cdrom || !drive) return { drive: new AtapiCdrom(name, log, drive?.disk, { serial }), cdrom: true, bootIndex };
  const disk = new AtaDisk(name, log, drive.disk, { serial });
  const { cylinders, heads, sectors } = disk.geometry;
  return { drive: disk, cdrom: false, geometry: [cylinders, heads, sectors], bootIndex };
}

/** Refuses drives for which the board has no controller. */
export function checkInterfaces(config: MachineConfig, known: readonly string[]): void {
  for (const { id, interface: type } of config.drives) {
    if (type === 'none' || known.includes(type)) continue;
    const what = `the board has no ${type} controller for drive ${id}`;
    throw new ConfigError('drive-interface', what, `use if=${known.join(' or if=')}`);
  }
}
