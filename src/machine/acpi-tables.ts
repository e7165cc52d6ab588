/**
 * ACPI tables by structure: header, the fixed description tables, and how they
 * are put together for the loader.
 *
 * Spec: ACPI 6.4, "ACPI Software Programming Model"; IA-PC HPET 1.0a; PCI
 * Firmware 3.3 (MCFG); Windows ACPI Emulated Devices Table (WAET); Intel D51397 (DMAR).
 */
import { alignUp, readU32, writeU16, writeU32, writeU64 } from '../bits/endian.ts';
import { utf8 } from '../bits/text.ts';
import type { Term } from './aml.ts';

const HEADER = 36;
const OEM = { id: 'BOCHS ', table: 'BXPC    ', revision: 1, creator: 'BXPC' };

/** A table with its header; the checksum is the loader's. */
export function table(signature: string, revision: number, body: Uint8Array | Term): Uint8Array {
  const bytes = new Uint8Array(HEADER + body.length);
  bytes.set(utf8(signature));
  writeU32(bytes, 4, bytes.length);
  bytes[8] = revision;
  bytes.set(utf8(OEM.id), 10);
  bytes.set(utf8(OEM.table), 16);
  writeU32(bytes, 24, OEM.revision);
  bytes.set(utf8(OEM.creator), 28);
  writeU32(bytes, 32, 1);
  bytes.set(body, HEADER);
  return bytes;
}

/** Fixed hardware of a FADT; ports, GSIs. */
export interface Fadt {
  readonly pm: {
    readonly base: number;
    readonly sci: number;
    readonly smiCommand: number;
    readonly enable: number;
    readonly disable: number;
    readonly gpe: number;
    readonly gpeLength: number;
    /** The reset register: port and value. */
    readonly reset?: readonly [port: number, value: number];
  };
  readonly cpus: number;
}

const FLAGS = { WBINVD: 1, PROC_C1: 4, SLEEP_BUTTON: 0x20, RTC_S4: 0x80, RESET: 0x400, PLATFORM_CLOCK: 0x8000 };
const FORCE_CLUSTER = 0x4_0000;
const HARDWARE_REDUCED = 0x10_0000;
const ACPI_IO = 1;
const ACPI_MEMORY = 0;
/** Offsets of the pointers that the loader fills in. */
export const FADT_FACS = 36;
export const FADT_DSDT = 40;
export const FADT_X_DSDT = 140;
const FADT_REVISION_3 = 244;
const FADT_REVISION_5 = 268;

/** A generic address; its access width follows from `bits`. */
function address(bytes: Uint8Array, at: number, space: number, bits: number, value: number): void {
  bytes.set([space, bits, 0, Math.min(3, Math.log2(bits / 8) + 1)], at);
  writeU64(bytes, at + 4, value);
}

export function fadt({ pm, cpus }: Fadt): Uint8Array {
  const bytes = table('FACP', 3, new Uint8Array(FADT_REVISION_3 - HEADER));
  bytes[44] = 1; // interrupt model of old: multiple APICs
  writeU16(bytes, 46, pm.sci);
  writeU32(bytes, 48, pm.smiCommand);
  bytes[52] = pm.enable;
  bytes[53] = pm.disable;
  writeU32(bytes, 56, pm.base); // PM1a_EVT_BLK
  writeU32(bytes, 64, pm.base + 4); // PM1a_CNT_BLK
  writeU32(bytes, 76, pm.base + 8); // PM_TMR_BLK
  writeU32(bytes, 80, pm.gpe);
  bytes.set([4, 2, 0, 4, pm.gpeLength], 88);
  writeU16(bytes, 96, 0xfff); // no C2
  writeU16(bytes, 98, 0xfff); // no C3
  bytes[108] = 0x32; // century in the RTC
  writeU16(bytes, 109, 2); // IAPC_BOOT_ARCH: there is an 8042
  let flags = FLAGS.WBINVD | FLAGS.PROC_C1 | FLAGS.SLEEP_BUTTON | FLAGS.RTC_S4 | FLAGS.PLATFORM_CLOCK;
  if (cpus > 8) flags |= FORCE_CLUSTER;
  if (pm.reset) {
    flags |= FLAGS.RESET;
    address(bytes, 116, ACPI_IO, 8, pm.reset[0]);
    bytes[128] = pm.reset[1];
  }
  writeU32(bytes, 112, flags);
  address(bytes, 148, ACPI_IO, 32, pm.base);
  address(bytes, 172, ACPI_IO, 16, pm.base + 4);
  address(bytes, 208, ACPI_IO, 32, pm.base + 8);
  address(bytes, 220, ACPI_IO, Math.min(32, pm.gpeLength * 8), pm.gpe);
  bytes[221] = pm.gpeLength * 8;
  return bytes;
}

/** A FADT without fixed hardware: sleep and reset registers in memory (microvm). */
export function reducedFadt(registers: {
  sleepControl: number;
  sleepStatus: number;
  reset: number;
  value: number;
}): Uint8Array {
  const bytes = table('FACP', 5, new Uint8Array(FADT_REVISION_5 - HEADER));
  writeU16(bytes, 109, 0);
  writeU32(bytes, 112, HARDWARE_REDUCED | FLAGS.RESET);
  address(bytes, 116, ACPI_MEMORY, 8, registers.reset);
  bytes[128] = registers.value;
  bytes[131] = 1; // minor version
  address(bytes, 244, ACPI_MEMORY, 8, registers.sleepControl);
  address(bytes, 256, ACPI_MEMORY, 8, registers.sleepStatus);
  return bytes;
}

export function facs(): Uint8Array {
  const bytes = new Uint8Array(64);
  bytes.set(utf8('FACS'));
  writeU32(bytes, 4, 64);
  return bytes;
}

export interface Madt {
  /** Of each processor, in order; x2APIC ids above 254 are described as such. */
  readonly apicIds: readonly number[];
  readonly ioApics: readonly { readonly id: number; readonly address: number; readonly gsi: number }[];
  /** ISA IRQs that PCI shares: level-triggered, active high. */
  readonly levelIrqs: readonly number[];
  /** IRQ 0 arrives at pin 2. */
  readonly timerAtPin2: boolean;
  /** There is a pair of 8259. */
  readonly pic: boolean;
}

export function madt({ apicIds, ioApics, levelIrqs, timerAtPin2, pic }: Madt): Uint8Array {
  const body: number[] = [...u32(0xfee0_0000), ...u32(pic ? 1 : 0)];
  apicIds.forEach((id, processor) => {
    if (id < 255) body.push(0, 8, processor & 0xff, id, ...u32(1));
    else body.push(9, 16, 0, 0, ...u32(id), ...u32(1), ...u32(processor));
  });
  for (const { id, address: at, gsi } of ioApics) body.push(1, 12, id, 0, ...u32(at), ...u32(gsi));
  if (timerAtPin2) body.push(2, 10, 0, 0, ...u32(2), 0, 0);
  for (const irq of levelIrqs) body.push(2, 10, 0, irq, ...u32(irq), 0x0d, 0);
  body.push(4, 6, 0xff, 0, 0, 1); // LINT1 of all is NMI
  if (apicIds.some((id) => id >= 255)) body.push(10, 12, 0, 0, ...u32(0xffff_ffff), 1, 0, 0, 0);
  return table('APIC', 3, body);
}

/** `id` is the low half of the HPET's capabilities register. */
export function hpet(id: number, at: number): Uint8Array {
  const body = new Uint8Array(20);
  writeU32(body, 0, id);
  address(body, 4, ACPI_MEMORY, 8, at);
  body.fill(0, 5, 8);
  return table('HPET', 1, body);
}

export function mcfg(base: number, buses: number): Uint8Array {
  const body = new Uint8Array(24);
  writeU64(body, 8, base);
  body[19] = buses - 1;
  return table('MCFG', 1, body);
}

export interface Dmar {
  /** Of the remapping unit's registers. */
  readonly base: number;
  readonly addressBits: number;
  readonly interrupts: boolean;
  /** Of bus 0. */
  readonly functions: readonly { readonly devfn: number; readonly bridge: boolean }[];
}

/** Bus and function under which the I/O APIC's messages go. */
const IO_APIC_SOURCE = { bus: 0xff, slot: 0, fn: 0 };

/** One remapping unit for the I/O APIC and every function: VT-d specification, "DMA Remapping Reporting Structure". */
export function dmar({ base, addressBits, interrupts, functions }: Dmar): Uint8Array {
  const { bus, slot, fn } = IO_APIC_SOURCE;
  const scopes = [3, 8, 0, 0, 0, bus, slot, fn];
  for (const { devfn, bridge } of functions) scopes.push(bridge ? 2 : 1, 8, 0, 0, 0, 0, devfn >> 3, devfn & 7);
  const length = 16 + scopes.length;
  const unit = [0, 0, length & 0xff, length >> 8, 0, 0, 0, 0, ...u32(base), ...u32(0), ...scopes];
  const reserved = new Array<number>(10).fill(0);
  return table('DMAR', 1, [addressBits - 1, interrupts ? 1 : 0, ...reserved, ...unit]);
}

/** The RTC needs no second look, the PM timer none either. */
export const waet = (): Uint8Array => table('WAET', 1, [...u32(2)]);

function u32(value: number): number[] {
  return [value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, value >>> 24];
}

/** Whether a table's length field is right: an invariant of tests. */
export const lengthOf = (bytes: Uint8Array): number => readU32(bytes, 4);

export interface AcpiTables {
  /** FACS first, then DSDT, FADT and the others. */
  readonly dsdt: Uint8Array;
  readonly fadt: Uint8Array;
  readonly others: readonly Uint8Array[];
}

/** Files of fw_cfg: the tables, the RSDP and the script that says how they hang together. */
export interface AcpiFiles {
  readonly tables: Uint8Array;
  readonly rsdp: Uint8Array;
  readonly loader: Uint8Array;
}

export const ACPI_FILES = { tables: 'etc/acpi/tables', rsdp: 'etc/acpi/rsdp', loader: 'etc/table-loader' };

/** The script's size is a multiple of this, the tables' of that, so that both stay the same when values change. */
const LOADER_ALIGN = 0x1000;
const TABLES_ALIGN = 0x8000;
const RSDP_SIZE = 36;

/** Puts tables one behind the other, with RSDT, XSDT and RSDP, and writes the script. Its first command allocates. */
export function linkTables({ dsdt, fadt: fixed, others }: AcpiTables): AcpiFiles {
  const script = new Script();
  const pieces: Uint8Array[] = [];
  let end = 0;
  const put = (bytes: Uint8Array, align = 8) => {
    const at = alignUp(end, align);
    pieces.push(bytes);
    places.push(at);
    end = at + bytes.length;
    return at;
  };
  const places: number[] = [];
  const { tables: file } = ACPI_FILES;
  script.allocate(file, 64, ZONE.HIGH);
  const reduced = fixed[8] >= 5;
  const facsAt = reduced ? 0 : put(facs(), 64);
  const dsdtAt = put(dsdt);
  script.checksum(file, dsdtAt, dsdt.length, 9);
  const fadtAt = put(fixed);
  if (!reduced) script.pointer(file, fadtAt + FADT_FACS, 4, file, facsAt, fixed, FADT_FACS);
  script.pointer(file, fadtAt + FADT_DSDT, 4, file, dsdtAt, fixed, FADT_DSDT);
  script.pointer(file, fadtAt + FADT_X_DSDT, 8, file, dsdtAt, fixed, FADT_X_DSDT);
  script.checksum(file, fadtAt, fixed.length, 9);
  const listed = [fadtAt];
  for (const other of others) {
    const at = put(other);
    script.checksum(file, at, other.length, 9);
    listed.push(at);
  }
  const root = (signature: string, width: 4 | 8) => {
    const bytes = table(signature, 1, new Uint8Array(width * listed.length));
    const at = put(bytes);
    listed.forEach((target, index) => {
      script.pointer(file, at + HEADER + width * index, width, file, target, bytes, HEADER + width * index);
    });
    script.checksum(file, at, bytes.length, 9);
    return at;
  };
  const rsdtAt = root('RSDT', 4);
  const xsdtAt = root('XSDT', 8);
  const rsdp = new Uint8Array(RSDP_SIZE);
  rsdp.set(utf8('RSD PTR '));
  rsdp.set(utf8(OEM.id), 9);
  rsdp[15] = 2;
  writeU32(rsdp, 20, RSDP_SIZE);
  script.allocate(ACPI_FILES.rsdp, 16, ZONE.FSEG);
  script.pointer(ACPI_FILES.rsdp, 16, 4, file, rsdtAt, rsdp, 16);
  script.pointer(ACPI_FILES.rsdp, 24, 8, file, xsdtAt, rsdp, 24);
  script.checksum(ACPI_FILES.rsdp, 0, 20, 8);
  script.checksum(ACPI_FILES.rsdp, 0, RSDP_SIZE, 32);
  const tables = new Uint8Array(alignUp(end, TABLES_ALIGN));
  pieces.forEach((bytes, index) => {
    tables.set(bytes, places[index]);
  });
  return { tables, rsdp, loader: script.finish() };
}

const ZONE = { HIGH: 1, FSEG: 2 };
const COMMAND = { ALLOCATE: 1, ADD_POINTER: 2, ADD_CHECKSUM: 3 };
const ENTRY = 128;
const NAME = 56;

/** QEMU's linker/loader script: entries of 128 bytes (hw/acpi/bios-linker-loader of the firmware interface). */
class Script {
  private readonly entries: Uint8Array[] = [];

  allocate(file: string, align: number, zone: number): void {
    const entry = this.add(COMMAND.ALLOCATE, file);
    writeU32(entry, 4 + NAME, align);
    entry[8 + NAME] = zone;
  }

  /** The pointer of `size` bytes at `offset` of `file` gets the address of `target`, to which its value is added. */
  pointer(
    file: string,
    offset: number,
    size: number,
    target: string,
    value: number,
    bytes: Uint8Array,
    at: number,
  ): void {
    writeU32(bytes, at, value);
    const entry = this.add(COMMAND.ADD_POINTER, file);
    entry.set(utf8(target), 4 + NAME);
    writeU32(entry, 4 + 2 * NAME, offset);
    entry[8 + 2 * NAME] = size;
  }

  /** The byte `at` of a structure makes its bytes add up to 0. */
  checksum(file: string, start: number, length: number, at: number): void {
    const entry = this.add(COMMAND.ADD_CHECKSUM, file);
    writeU32(entry, 4 + NAME, start + at);
    writeU32(entry, 8 + NAME, start);
    writeU32(entry, 12 + NAME, length);
  }

  finish(): Uint8Array {
    const bytes = new Uint8Array(alignUp(this.entries.length * ENTRY, LOADER_ALIGN));
    this.entries.forEach((entry, index) => {
      bytes.set(entry, index * ENTRY);
    });
    return bytes;
  }

  private add(command: number, file: string): Uint8Array {
    const entry = new Uint8Array(ENTRY);
    writeU32(entry, 0, command);
    entry.set(utf8(file), 4);
    this.entries.push(entry);
    return entry;
  }
}

/** Does what firmware does with the script: the files as they lie in memory at the addresses given. */
export function loadTables(
  files: AcpiFiles,
  tablesAt: number,
  rsdpAt: number,
): { tables: Uint8Array; rsdp: Uint8Array } {
  const memory: Record<string, { bytes: Uint8Array; at: number }> = {
    [ACPI_FILES.tables]: { bytes: files.tables.slice(), at: tablesAt },
    [ACPI_FILES.rsdp]: { bytes: files.rsdp.slice(), at: rsdpAt },
  };
  const { loader } = files;
  const text = (at: number) => {
    let name = '';
    for (let i = at; loader[i] !== 0; i++) name += String.fromCharCode(loader[i]);
    return name;
  };
  for (let at = 0; at + ENTRY <= loader.length; at += ENTRY) {
    const command = readU32(loader, at);
    if (command !== COMMAND.ADD_POINTER && command !== COMMAND.ADD_CHECKSUM) continue;
    const { bytes } = memory[text(at + 4)];
    const field = (offset: number) => readU32(loader, at + 4 + NAME + offset);
    if (command === COMMAND.ADD_POINTER) {
      const offset = field(NAME);
      writeU32(bytes, offset, readU32(bytes, offset) + memory[text(at + 4 + NAME)].at);
    } else {
      const [offset, start, length] = [field(0), field(4), field(8)];
      bytes[offset] = 0;
      bytes[offset] = -bytes.subarray(start, start + length).reduce((sum, byte) => sum + byte, 0);
    }
  }
  return { tables: memory[ACPI_FILES.tables].bytes, rsdp: memory[ACPI_FILES.rsdp].bytes };
}
