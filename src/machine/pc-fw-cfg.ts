/** What a PC's firmware finds in fw_cfg: SeaBIOS and OVMF read the same. */
import { writeU32, writeU64 } from '../bits/endian.ts';
import { ConfigError } from '../bits/errors.ts';
import { utf8 } from '../bits/text.ts';
import { FW_CFG, type FwCfg } from '../devices/fw-cfg/fw-cfg.ts';
import type { SleepStates } from './acpi-dsdt.ts';
import { ACPI_FILES, type AcpiFiles } from './acpi-tables.ts';
import type { MachineConfig } from './config.ts';
import { e820Table, type PcMemory, ramRanges } from './pc-memory.ts';
import type { SmbiosFiles } from './smbios.ts';
import type { FirmwareBoot } from './x86-boot.ts';

export interface PcFwCfg {
  readonly config: MachineConfig;
  readonly memory: PcMemory;
  /** The tables as of when firmware asks. */
  readonly acpi?: () => AcpiFiles;
  readonly smbios?: SmbiosFiles;
  readonly kernel?: FirmwareBoot;
  /** OpenFirmware paths of boot devices, the first one first. */
  readonly bootOrder: readonly string[];
  /** Option ROMs by their names: of the video card without PCI, and others. */
  readonly vgaRoms?: Readonly<Record<string, Uint8Array>>;
  readonly roms?: Readonly<Record<string, Uint8Array>>;
  /** Which sleep states there are; absent without power management. */
  readonly sleeps?: SleepStates;
}

/** By number: types of SLP_TYP, with bit 7 for "there". */
const systemStates = ({ s3, s4 }: SleepStates) => [128, 0, 0, s3 ? 129 : 1, s4 ? 130 : 2, 128];

export function fillPcFwCfg(fwCfg: FwCfg, pc: PcFwCfg): void {
  const { config, memory, acpi, smbios, kernel } = pc;
  fwCfg.add(FW_CFG.RAM_SIZE, u64(config.memory));
  fwCfg.add16(FW_CFG.NB_CPUS, config.cpus);
  fwCfg.add16(FW_CFG.MAX_CPUS, config.cpus);
  fwCfg.add16(FW_CFG.NOGRAPHIC, config.graphic === false ? 1 : 0);
  fwCfg.add16(FW_CFG.BOOT_MENU, config.boot?.menu ? 1 : 0);
  fwCfg.add32(FW_CFG.IRQ0_OVERRIDE, 1);
  if (config.uuid)
    fwCfg.add(
      FW_CFG.UUID,
      Uint8Array.from(config.uuid.replaceAll('-', '').match(/../g) ?? [], (byte) => Number.parseInt(byte, 16)),
    );
  const numa = new Uint8Array(8 * (1 + config.cpus));
  fwCfg.add(FW_CFG.NUMA, numa); // no nodes
  fwCfg.addFile('etc/e820', e820Table(ramRanges(memory)));
  if (acpi) {
    fwCfg.addLateFile(ACPI_FILES.tables, () => acpi().tables);
    fwCfg.addLateFile(ACPI_FILES.rsdp, () => acpi().rsdp);
    fwCfg.addLateFile(ACPI_FILES.loader, () => acpi().loader);
  }
  if (smbios) {
    fwCfg.addFile('etc/smbios/smbios-tables', smbios.tables);
    fwCfg.addFile('etc/smbios/smbios-anchor', smbios.anchor);
  }
  if (pc.sleeps) fwCfg.addFile('etc/system-states', Uint8Array.from(systemStates(pc.sleeps)));
  const bootOrder = [...pc.bootOrder];
  if (kernel) {
    for (const [key, content] of kernel.items) fwCfg.add(key, content);
    fwCfg.addFile(`genroms/${kernel.rom.name}`, kernel.rom.content);
    bootOrder.unshift(`/rom@genroms/${kernel.rom.name}`);
  }
  for (const [name, content] of Object.entries(pc.roms ?? {})) fwCfg.addFile(`genroms/${name}`, content);
  for (const [name, content] of Object.entries(pc.vgaRoms ?? {})) fwCfg.addFile(`vgaroms/${name}`, content);
  if (bootOrder.length) fwCfg.addFile('bootorder', utf8(`${bootOrder.join('\n')}\0`));
  const { rebootTimeout, splashTime } = config.boot ?? {};
  fwCfg.addFile('etc/boot-fail-wait', u32(rebootTimeout ?? -1));
  if (splashTime !== undefined) fwCfg.addFile('etc/boot-menu-wait', u32(splashTime));
  for (const [name, content] of Object.entries(config.fwCfg ?? {})) {
    try {
      fwCfg.addFile(name, content);
    } catch (cause) {
      throw new ConfigError('fw-cfg-name', (cause as Error).message, 'use another name', cause);
    }
  }
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  writeU32(bytes, 0, value);
  return bytes;
}

function u64(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  writeU64(bytes, 0, value);
  return bytes;
}
