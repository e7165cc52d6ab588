/**
 * The registers of a remapping unit, and what it says of itself in them.
 *
 * Spec: Intel Virtualization Technology for Directed I/O (D51397), "Register Descriptions". Capabilities, and one fault
 * record, are QEMU 7.2's.
 */
import { type Banked, bank, type Registers } from '../../hw/bank.ts';
import type { StateOf } from '../../state/layout.ts';
import { EVENT, release } from './faults.ts';
import { MOST_PAGES } from './invalidation.ts';
import type { IntelIommuOptions, STATE, UnitField } from './state.ts';

const VERSION = 0x10;
/** Where registers are that may be anywhere. */
const AT = { IOTLB: 0xf0, FRCD: 0x220 } as const;
export const IOMMU_WINDOW = { base: 0xfed9_0000, size: 0x230 } as const;

/** What registers do; see IntelIommu. */
export interface Unit extends Banked {
  readonly state: StateOf<typeof STATE>;
  readonly capabilities: readonly number[];
  command(value: number): void;
  written(field: UnitField, index: number): void;
  writeFaultStatus(value: number): void;
  settle(): void;
  faultEvent(): void;
  completionEvent(): void;
  fetch(): void;
}

/** A register of 64 bits, by the bits of each half that can be written. */
function quad(name: string, at: number, field: UnitField, low = -1, high = -1) {
  const half = (offset: number, mask: number, index: number): Registers<Unit> => ({
    [index ? `${name}_HIGH` : name]: {
      at: offset,
      read: ({ state }) => (state[field] as number[])[index],
      write: (unit, value) => {
        (unit.state[field] as number[])[index] = (value & mask) >>> 0;
        unit.written(field, index);
      },
    },
  });
  return { ...half(at, low, 0), ...half(at + 4, high, 1) };
}
const constant = (at: number, value: (unit: Unit) => number): Registers<Unit>[string] => ({
  at,
  read: (unit) => value(unit),
});
/** What is not there and has a place all the same. */
const absent = (at: number, count = 1): Registers<Banked>[string] => ({ at, count, read: () => 0, write: () => {} });

export const REGISTERS = bank<Unit>(IOMMU_WINDOW.size, {
  VER: constant(0x00, () => VERSION),
  CAP: constant(0x08, (unit) => unit.capabilities[0]),
  CAP_HIGH: constant(0x0c, (unit) => unit.capabilities[1]),
  ECAP: constant(0x10, (unit) => unit.capabilities[2]),
  ECAP_HIGH: constant(0x14, (unit) => unit.capabilities[3]),
  GCMD: { at: 0x18, read: () => 0, write: (unit, value) => unit.command(value) },
  GSTS: constant(0x1c, ({ state }) => state.gsts),
  ...quad('RTADDR', 0x20, 'rtaddr', ~0xfff),
  ...quad('CCMD', 0x28, 'ccmd', -1, 0xe000_0003),
  FSTS: { at: 0x34, read: ({ state }) => state.fsts, write: (unit, value) => unit.writeFaultStatus(value) },
  FECTL: { at: 0x38, field: 'fectl', mask: EVENT.MASKED, after: (unit) => unit.faultEvent() },
  FEDATA: { at: 0x3c, field: 'fedata' },
  FEADDR: { at: 0x40, field: 'feaddr' },
  FEUADDR: { at: 0x44, field: 'feuaddr' },
  AFLOG: absent(0x58, 2),
  PMEN: absent(0x64, 7),
  IQH: constant(0x80, ({ state }) => state.iqh),
  IQH_HIGH: constant(0x84, () => 0),
  IQT: { at: 0x88, field: 'iqt', mask: 0x7_fff0, after: (unit) => unit.fetch() },
  IQT_HIGH: absent(0x8c),
  ...quad('IQA', 0x90, 'iqa', ~0xff8),
  ICS: {
    at: 0x9c,
    read: ({ state }) => state.ics,
    write: (unit, value) => {
      unit.state.ics &= ~(value & 1);
      if (!unit.state.ics) unit.state.iectl = (unit.state.iectl & ~EVENT.PENDING) >>> 0;
    },
  },
  IECTL: { at: 0xa0, field: 'iectl', mask: EVENT.MASKED, after: (unit) => unit.completionEvent() },
  IEDATA: { at: 0xa4, field: 'iedata' },
  IEADDR: { at: 0xa8, field: 'ieaddr' },
  IEUADDR: { at: 0xac, field: 'ieuaddr' },
  ...quad('IRTA', 0xb8, 'irta', ~0x7f0),
  ...quad('IVA', AT.IOTLB, 'iva', ~0xf80),
  ...quad('IOTLB', AT.IOTLB + 8, 'iotlb', 0, 0xb003_ffff),
  FRCD: {
    at: AT.FRCD,
    count: 4,
    read: ({ state }, index) => state.frcd[index],
    write: (unit, value, index) => {
      if (index === 3) release(unit.state, value);
      unit.settle();
    },
  },
});

/** CAP and ECAP in words. */
export function capabilitiesOf(options: IntelIommuOptions): number[] {
  const { addressBits, dmaTranslation } = options;
  const widths = !dmaTranslation ? 0 : addressBits === 48 ? 6 : 2;
  const cap =
    6 | // 16 bits of domain
    (options.cachingMode ? 0x80 : 0) |
    (widths << 8) |
    ((addressBits - 1) << 16) |
    ((AT.FRCD >> 4) << 24);
  // Pages of 2 MiB and 1 GiB, page-selective invalidation, one fault record.
  const capHigh = 0xc | 0x80 | (MOST_PAGES << 16) | (options.drain ? 0xc0_0000 : 0);
  const ecap =
    2 | // queued invalidation
    (options.interrupts ? 8 : 0) |
    (options.extendedInterrupts ? 0x10 : 0) |
    (options.passThrough ? 0x40 : 0) |
    (options.snoopControl ? 0x80 : 0) |
    ((AT.IOTLB >> 4) << 8) |
    0xf0_0000; // the most that a mask of interrupt indices may have
  return [cap >>> 0, capHigh >>> 0, ecap, 0];
}
