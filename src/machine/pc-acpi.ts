/** The ACPI tables of each PC board. */
import { isaDevices, pcDsdt, type IsaDevices, processors, type SleepStates } from './acpi-dsdt.ts';
import {
  type AcpiFiles,
  type Dmar,
  dmar,
  fadt,
  hpet,
  linkTables,
  madt,
  mcfg,
  reducedFadt,
  table,
  waet,
} from './acpi-tables.ts';
import * as aml from './aml.ts';
import { int, name, type Term } from './aml.ts';
import { FOUR_GIB } from './pc-memory.ts';

const IO_APIC = 0xfec0_0000;
const DMAR_BASE = 0xfed9_0000;
const HPET = { base: 0xfed0_0000, id: 0x8086_a201 };
/** ISA IRQs that PCI's links reach, and the SCI. */
const LEVEL_IRQS = [5, 9, 10, 11];
const MMCONFIG_SIZE = 0x1000_0000;

export interface PcAcpi {
  readonly sleeps: SleepStates;
  readonly kind: 'pc' | 'q35';
  readonly apicIds: readonly number[];
  readonly isa: IsaDevices;
  readonly hpet: boolean;
  /** Bytes of RAM below 4 GiB. */
  readonly below: number;
  /** Where firmware put the power management ports; 0x600 as long as it has not. */
  readonly pmBase: number;
  /** q35: where firmware put configuration space. */
  readonly mmconfig?: number;
  /** q35: the remapping unit. */
  readonly dmar?: Omit<Dmar, 'base'> | undefined;
  /** The 64-bit addresses that BARs may take. */
  readonly hole64?: readonly [low: number, high: number];
}

/** What lies between RAM and the I/O APIC is PCI's, but for configuration space. */
export function pciHoles(below: number, mmconfig: number | undefined): [number, number][] {
  const all: [number, number] = [below, IO_APIC - 1];
  if (mmconfig === undefined || mmconfig >= IO_APIC || mmconfig + MMCONFIG_SIZE <= below) return [all];
  const holes: [number, number][] = [
    [below, mmconfig - 1],
    [mmconfig + MMCONFIG_SIZE, all[1]],
  ];
  return holes.filter(([low, high]) => low < high);
}

export function pcAcpi(board: PcAcpi): AcpiFiles {
  const { kind, apicIds, pmBase, mmconfig } = board;
  const q35 = kind === 'q35';
  const dsdt = table('DSDT', 1, pcDsdt({ ...board, holes: pciHoles(board.below, mmconfig) }));
  const pm = q35
    ? { enable: 2, disable: 3, gpe: pmBase + 0x20, gpeLength: 16, reset: [0xcf9, 0x0f] as const }
    : { enable: 0xf1, disable: 0xf0, gpe: 0xafe0, gpeLength: 4 };
  const others = [
    madt({
      apicIds,
      ioApics: [{ id: 0, address: IO_APIC, gsi: 0 }],
      levelIrqs: LEVEL_IRQS,
      timerAtPin2: true,
      pic: true,
    }),
  ];
  if (board.hpet) others.push(hpet(HPET.id, HPET.base));
  if (mmconfig !== undefined) others.push(mcfg(mmconfig, 256));
  if (board.dmar) others.push(dmar({ ...board.dmar, base: DMAR_BASE }));
  others.push(waet());
  return linkTables({
    dsdt,
    fadt: fadt({ pm: { base: pmBase, sci: 9, smiCommand: 0xb2, ...pm }, cpus: apicIds.length }),
    others,
  });
}

/** Registers of microvm's generic event device. */
export const GED = { base: 0xfea0_0000, irq: 9, control: 0x200, status: 0x201, reset: 0x202, resetValue: 0x42 };

export interface MicrovmAcpi {
  readonly apicIds: readonly number[];
  readonly isa: IsaDevices;
  readonly pic: boolean;
  readonly virtio: readonly { readonly base: number; readonly size: number; readonly gsi: number }[];
}

export function microvmAcpi({ apicIds, isa, pic, virtio }: MicrovmAcpi): AcpiFiles {
  const slots = virtio.map(({ base, size, gsi }, index) =>
    aml.device(
      `VR${index.toString(16).toUpperCase().padStart(2, '0')}`,
      name('_HID', aml.text('LNRO0005')),
      name('_UID', int(index)),
      name('_CCA', int(1)),
      name('_CRS', aml.resources(aml.memory32(base, size), aml.interrupts(gsi))),
    ),
  );
  const dsdt: Term = [
    ...aml.scope('\\_SB', ...isaDevices(isa), eventDevice(), ...slots, ...processors(apicIds)),
    ...name('\\_S5', aml.list(int(5), int(0), int(0), int(0))),
  ];
  const { base } = GED;
  return linkTables({
    dsdt: table('DSDT', 2, dsdt),
    fadt: reducedFadt({
      sleepControl: base + GED.control,
      sleepStatus: base + GED.status,
      reset: base + GED.reset,
      value: GED.resetValue,
    }),
    others: [madt({ apicIds, ioApics: [{ id: 0, address: IO_APIC, gsi: 0 }], levelIrqs: [], timerAtPin2: pic, pic })],
  });
}

/** QEMU's generic event device: the one event here is the power button. */
function eventDevice(): Term {
  const button = aml.device('PWRB', name('_HID', aml.eisaId('PNP0C0C')), name('_UID', int(0)));
  const events = aml.device(
    'GED_',
    name('_HID', aml.text('ACPI0013')),
    name('_UID', aml.text('GED')),
    name('_CRS', aml.resources(aml.edgeInterrupt(GED.irq))),
    aml.region('EREG', aml.SPACE.MEMORY, int(GED.base), 4),
    aml.field('EREG', aml.ACCESS.DWORD, [['ESEL', 32]], true),
    aml.serialized(
      '_EVT',
      1,
      aml.store(aml.path('ESEL'), aml.local(0)),
      aml.when(aml.and(aml.local(0), int(2)), aml.notify(aml.path('PWRB'), int(0x80))),
    ),
  );
  return [...button, ...events];
}

/** Where 64-bit BARs may go: behind RAM, as far as 40 bits of address reach at least. */
export function hole64(above: number, size: number): readonly [number, number] {
  const low = Math.ceil((FOUR_GIB + above) / size) * size;
  return [low, low + size - 1];
}
