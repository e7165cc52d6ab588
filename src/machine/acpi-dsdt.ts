/**
 * The differentiated system description (DSDT) of the PC boards: PCI root and
 * its interrupt routing, ISA devices, sleep states, hot-plug.
 *
 * Spec: ACPI 6.4; names, ports and routing are QEMU 7.2's. Departure: the
 * routing tables are packages where QEMU computes them in a method.
 */
import * as aml from './aml.ts';
import { type Term, int, name, path } from './aml.ts';

export interface IsaDevices {
  /** COM1 to COM4 that are there. */
  readonly serials: readonly boolean[];
  readonly parallels: readonly boolean[];
  readonly floppy: boolean;
  readonly keyboard: boolean;
  readonly rtc: boolean;
}

/** Which sleep states the guest is told of, beside off. */
export interface SleepStates {
  readonly s3: boolean;
  readonly s4: boolean;
}

export interface PcDsdt {
  readonly sleeps: SleepStates;
  readonly kind: 'pc' | 'q35';
  readonly apicIds: readonly number[];
  readonly isa: IsaDevices;
  readonly hpet: boolean;
  /** What PCI devices may use: ranges below 4 GiB and above, last address included. */
  readonly holes: readonly (readonly [low: number, high: number])[];
  readonly hole64?: readonly [low: number, high: number];
  /** q35: where configuration space shows. */
  readonly mmconfig?: number;
}

const SERIAL = [
  { port: 0x3f8, irq: 4 },
  { port: 0x2f8, irq: 3 },
  { port: 0x3e8, irq: 4 },
  { port: 0x2e8, irq: 3 },
];
const PARALLEL = [
  { port: 0x378, irq: 7 },
  { port: 0x278, irq: 5 },
  { port: 0x3bc, irq: 7 },
];
const SCI = 9;
const HOTPLUG_PORT = 0xae00;
const LINK_IRQS = [5, 10, 11];
/** Ports of ISA devices: below this, PCI configuration in the middle. */
const STA_PRESENT = 0x0f;

export function pcDsdt(board: PcDsdt): Term {
  return [
    ...picMode(),
    ...aml.scope(
      '\\_SB',
      pciRoot(board),
      ...links(board.kind),
      ...processors(board.apicIds),
      ...(board.hpet ? [hpetDevice()] : []),
    ),
    ...sleepStates(board.sleeps),
    ...(board.kind === 'pc' ? hotplug() : []),
    ...generalEvents(board.kind),
  ];
}

/** What the operating system says about how it takes interrupts: 0 by the 8259, 1 by the I/O APIC. */
function picMode(): Term {
  return [...name('\\PICF', int(0)), ...aml.method('\\_PIC', 1, aml.store(aml.arg(0), path('\\PICF')))];
}

function pciRoot(board: PcDsdt): Term {
  const { kind, holes, hole64 } = board;
  const q35 = kind === 'q35';
  const crs = aml.resources(
    aml.wordBus(0, 0xff),
    aml.io(0xcf8, 0xcf8, 1, 8),
    aml.wordIo(0, 0xcf7),
    aml.wordIo(0xd00, 0xffff),
    aml.dwordMemory(0xa_0000, 0xb_ffff, true),
    ...holes.map(([low, high]) => aml.dwordMemory(low, high)),
    ...(hole64 ? [aml.qwordMemory(...hole64)] : []),
  );
  return aml.device(
    'PCI0',
    name('_HID', aml.eisaId(q35 ? 'PNP0A08' : 'PNP0A03')),
    ...(q35 ? [name('_CID', aml.eisaId('PNP0A03')), osc()] : []),
    name('_UID', int(0)),
    name('_CRS', crs),
    ...(q35 ? q35Routing() : [name('_PRT', aml.list(...pcRouting()))]),
    isaBridge(board),
    ...(board.mmconfig === undefined ? [] : [reserved(board.mmconfig)]),
  );
}

/** The memory of configuration space is taken. */
function reserved(mmconfig: number): Term {
  return aml.device(
    'DRAC',
    name('_HID', aml.eisaId('PNP0C01')),
    name('_CRS', aml.resources(aml.dwordMemory(mmconfig, mmconfig + 0xfff_ffff))),
  );
}

/** PCI Express: the system may take hot-plug and PME, but not hot-plug by SHPC. */
function osc(): Term {
  const supported = '33DB4D5B-1FF7-401C-9657-7441C03DD766';
  return aml.method(
    '_OSC',
    4,
    aml.dwordField(aml.arg(3), 0, 'CDW1'),
    aml.when(
      aml.equal(aml.arg(0), aml.uuid(supported)),
      aml.dwordField(aml.arg(3), 8, 'CDW3'),
      aml.and(path('CDW3'), int(0x1e), path('CDW3')),
      aml.when(aml.not(aml.equal(aml.arg(1), int(1))), aml.or(path('CDW1'), int(8), path('CDW1'))),
    ),
    aml.otherwise(aml.or(path('CDW1'), int(4), path('CDW1'))),
    aml.back(aml.arg(3)),
  );
}

const route = (slot: number, pin: number, link: string): Term =>
  aml.list(int(slot * 0x1_0000 + 0xffff), int(pin), path(link), int(0));

/** Each slot's pins go to the links in turn; power management's INTA is the SCI. */
function pcRouting(): Term[] {
  const entries: Term[] = [];
  for (let slot = 0; slot < 32; slot++) {
    for (let pin = 0; pin < 4; pin++)
      entries.push(route(slot, pin, slot === 1 && pin === 0 ? 'LNKS' : `LNK${'ABCD'[(slot + pin + 3) & 3]}`));
  }
  return entries;
}

/** By links with the 8259, by global interrupts 16 to 23 with the I/O APIC. */
function q35Routing(): Term[] {
  const entries = (prefix: string) => {
    const list: Term[] = [];
    for (let slot = 0; slot < 32; slot++) {
      const own = slot < 0x19 || slot === 0x1e;
      const first = slot < 0x18 ? slot & 3 : 0;
      for (let pin = 0; pin < 4; pin++)
        list.push(route(slot, pin, prefix + (own ? 'EFGH' : 'ABCD')[(first + pin) & 3]));
    }
    return list;
  };
  return [
    name('PRTP', aml.list(...entries('LNK'))),
    name('PRTA', aml.list(...entries('GSI'))),
    aml.method(
      '_PRT',
      0,
      aml.when(aml.equal(path('\\PICF'), int(0)), aml.back(path('PRTP'))),
      aml.otherwise(aml.back(path('PRTA'))),
    ),
  ];
}

/** The south bridge's function 0, with the routing registers, and what hangs on ISA. */
function isaBridge({ kind, isa }: PcDsdt): Term {
  const fields = (letters: string) => [...letters].map((letter) => [`PRQ${letter}`, 8] as const);
  const registers =
    kind === 'pc'
      ? [aml.region('P40C', aml.SPACE.PCI, int(0x60), 4), aml.field('P40C', aml.ACCESS.BYTE, fields('ABCD'))]
      : [
          aml.region('PIRQ', aml.SPACE.PCI, int(0x60), 12),
          aml.field('PIRQ', aml.ACCESS.BYTE, [...fields('ABCD'), ['', 32], ...fields('EFGH')]),
        ];
  return aml.device('ISA_', name('_ADR', int(kind === 'pc' ? 0x1_0000 : 0x1f_0000)), ...registers, ...isaDevices(isa));
}

export function isaDevices({ serials, parallels, floppy, keyboard, rtc }: IsaDevices): Term[] {
  const devices: Term[] = [];
  const add = (at: string, id: string, uid: number | undefined, ...crs: Term[]) => {
    const unique = uid === undefined ? [] : [name('_UID', int(uid))];
    devices.push(
      aml.device(
        at,
        name('_HID', aml.eisaId(id)),
        ...unique,
        name('_STA', int(STA_PRESENT)),
        name('_CRS', aml.resources(...crs)),
      ),
    );
  };
  if (rtc) add('RTC_', 'PNP0B00', undefined, aml.io(0x70, 0x70, 1, 8), aml.irq(8));
  if (keyboard) {
    add('KBD_', 'PNP0303', undefined, aml.io(0x60, 0x60, 1, 1), aml.io(0x64, 0x64, 1, 1), aml.irq(1));
    add('MOU_', 'PNP0F13', undefined, aml.irq(12));
  }
  if (floppy)
    add('FDC0', 'PNP0700', undefined, aml.io(0x3f2, 0x3f2, 0, 4), aml.io(0x3f7, 0x3f7, 0, 1), aml.irq(6), aml.dma(2));
  parallels.forEach((there, index) => {
    const { port, irq } = PARALLEL[index];
    if (there) add(`LPT${index + 1}`, 'PNP0400', index + 1, aml.io(port, port, 8, 8), aml.irq(irq));
  });
  serials.forEach((there, index) => {
    const { port, irq } = SERIAL[index];
    if (there) add(`COM${index + 1}`, 'PNP0501', index + 1, aml.io(port, port, 0, 8), aml.irq(irq));
  });
  return devices;
}

/** The links of PIRQA# onwards to interrupts, and those that are wired. */
function links(kind: PcDsdt['kind']): Term[] {
  const letters = kind === 'pc' ? 'ABCD' : 'ABCDEFGH';
  const devices = [...letters].map((letter, index) => {
    const register = path(`\\_SB.PCI0.ISA.PRQ${letter}`);
    return aml.device(
      `LNK${letter}`,
      name('_HID', aml.eisaId('PNP0C0F')),
      name('_UID', int(index)),
      name('_PRS', aml.resources(aml.interrupts(...LINK_IRQS))),
      aml.method('_STA', 0, aml.back(aml.call('IQST', register))),
      aml.method('_DIS', 0, aml.or(register, int(0x80), register)),
      aml.method('_CRS', 0, aml.back(aml.call('IQCR', register))),
      aml.method('_SRS', 1, aml.dwordField(aml.arg(0), 5, 'PRRI'), aml.store(path('PRRI'), register)),
    );
  });
  const wired = (at: string, uid: number, gsi: number) =>
    aml.device(
      at,
      name('_HID', aml.eisaId('PNP0C0F')),
      name('_UID', int(uid)),
      name('_PRS', aml.resources(aml.interrupts(gsi))),
      name('_CRS', aml.resources(aml.interrupts(gsi))),
      aml.method('_STA', 0, aml.back(int(0x0b))),
      aml.method('_SRS', 1),
      aml.method('_DIS', 0),
    );
  const fixed =
    kind === 'pc' ? [wired('LNKS', 4, SCI)] : [...letters].map((letter, i) => wired(`GSI${letter}`, 16 + i, 16 + i));
  return [
    // Whether a routing register is enabled, and its interrupt as a resource.
    aml.method('IQST', 1, aml.when(aml.and(int(0x80), aml.arg(0)), aml.back(int(0x09))), aml.back(int(0x0b))),
    aml.serialized(
      'IQCR',
      1,
      name('PRR0', aml.resources(aml.interrupts(0))),
      aml.dwordField(path('PRR0'), 5, 'PRRI'),
      aml.store(aml.and(aml.arg(0), int(0x0f)), path('PRRI')),
      aml.back(path('PRR0')),
    ),
    ...devices,
    ...fixed,
  ];
}

export function processors(apicIds: readonly number[]): Term[] {
  return apicIds.map((_, index) =>
    aml.device(
      `C${index.toString(16).toUpperCase().padStart(3, '0')}`,
      name('_HID', aml.text('ACPI0007')),
      name('_UID', int(index)),
      name('_STA', int(STA_PRESENT)),
    ),
  );
}

function hpetDevice(): Term {
  return aml.device(
    'HPET',
    name('_HID', aml.eisaId('PNP0103')),
    name('_UID', int(0)),
    name('_STA', int(STA_PRESENT)),
    name('_CRS', aml.resources(aml.memory32(0xfed0_0000, 0x400, false))),
  );
}

/** Types for the sleep register: S3, S4 and S5 of PIIX4, which ICH9 has too. */
function sleepStates(sleeps: SleepStates): Term {
  const state = (at: string, type: number) => name(at, aml.list(int(type), int(type), int(0), int(0)));
  return [...(sleeps.s3 ? state('\\_S3', 1) : []), ...(sleeps.s4 ? state('\\_S4', 2) : []), ...state('\\_S5', 0)];
}

const HOT_SLOTS = Array.from({ length: 29 }, (_, index) => index + 3);
const slotName = (slot: number): string => `S${(slot * 8).toString(16).toUpperCase().padStart(2, '0')}_`;

/** Devices that come and go on bus 0 (QEMU, docs/specs/acpi_pci_hotplug.rst). */
function hotplug(): Term {
  const slots = HOT_SLOTS.map((slot) =>
    aml.device(
      slotName(slot),
      name('_SUN', int(slot)),
      name('_ADR', int(slot * 0x1_0000)),
      aml.method('_EJ0', 1, aml.call('PCEJ', int(0), path('_SUN'))),
    ),
  );
  const told = HOT_SLOTS.map((slot) =>
    aml.when(aml.and(aml.arg(0), int(2 ** slot)), aml.notify(path(slotName(slot)), aml.arg(1))),
  );
  return aml.scope(
    '\\_SB.PCI0',
    aml.device(
      'PHPR',
      name('_HID', aml.text('PNP0A06')),
      name('_UID', aml.text('PCI Hotplug resources')),
      name('_STA', int(0x0b)),
      name('_CRS', aml.resources(aml.io(HOTPLUG_PORT, HOTPLUG_PORT, 1, 0x18))),
    ),
    aml.region('PCST', aml.SPACE.IO, int(HOTPLUG_PORT), 8),
    aml.field(
      'PCST',
      aml.ACCESS.DWORD,
      [
        ['PCIU', 32],
        ['PCID', 32],
      ],
      true,
    ),
    aml.region('SEJ_', aml.SPACE.IO, int(HOTPLUG_PORT + 8), 4),
    aml.field('SEJ_', aml.ACCESS.DWORD, [['B0EJ', 32]], true),
    aml.region('BNMR', aml.SPACE.IO, int(HOTPLUG_PORT + 0x10), 4),
    aml.field('BNMR', aml.ACCESS.DWORD, [['BNUM', 32]], true),
    aml.mutex('BLCK'),
    aml.method(
      'PCEJ',
      2,
      aml.acquire('BLCK'),
      aml.store(aml.arg(0), path('BNUM')),
      aml.store(aml.shiftLeft(int(1), aml.arg(1)), path('B0EJ')),
      aml.release('BLCK'),
      aml.back(int(0)),
    ),
    ...slots,
    aml.method('DVNT', 2, ...told),
    aml.method(
      'PCNT',
      0,
      aml.acquire('BLCK'),
      aml.store(int(0), path('BNUM')),
      aml.call('DVNT', path('PCIU'), int(1)),
      aml.call('DVNT', path('PCID'), int(3)),
      aml.release('BLCK'),
    ),
  );
}

function generalEvents(kind: PcDsdt['kind']): Term {
  const events = kind === 'pc' ? [aml.method('_E01', 0, aml.call('\\_SB.PCI0.PCNT'))] : [];
  return aml.scope('\\_GPE', name('_HID', aml.text('ACPI0006')), ...events);
}
