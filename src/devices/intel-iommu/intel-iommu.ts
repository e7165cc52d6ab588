/**
 * A DMA and interrupt remapping unit (VT-d), as QEMU's `intel-iommu`.
 *
 * Spec: Intel Virtualization Technology for Directed I/O (D51397), "Register Descriptions"; legacy mode.
 * Values of the capability registers, and one fault record, are QEMU 7.2's.
 * Departures, QEMU's: messages of the I/O APIC are not checked for their source; the unit's own interrupts are not
 * remapped. Ours: a DMA write to 0xfeexxxxx means no interrupt, only a function's message does.
 */
import { writeU32 } from '../../bits/endian.ts';
import { type Banked, bank, type Registers } from '../../hw/bank.ts';
import type { Device, DeviceLog, Dma, Mmio } from '../../hw/device.ts';
import { type InterruptMessage, messageFrom } from '../../hw/interrupt-message.ts';
import type { Iommu } from '../../hw/iommu.ts';
import { array, create, initially, layout, u32 } from '../../state/layout.ts';
import { Caches } from './caches.ts';
import { EVENT, FAULT, FSTS, record, release } from './faults.ts';
import { type InterruptTable, remap } from './interrupts.ts';
import {
  DESCRIPTOR,
  dropContexts,
  dropPages,
  GRANULE,
  MOST_PAGES,
  perform,
  type WaitDescriptor,
} from './invalidation.ts';
import { RequesterSpace, type Translator } from './requester-space.ts';
import { ACCESS, type Context, contextOf, isRefusal, type Page, pageOf, type TableRules } from './tables.ts';

const pair = array(u32, 2);
const masked = initially(u32, EVENT.MASKED);
const STATE = layout('intel-iommu', 1, {
  gsts: u32,
  rtaddr: pair, // as written
  root: pair, // as in use since GCMD.SRTP
  ccmd: pair,
  fsts: u32,
  fectl: masked,
  fedata: u32,
  feaddr: u32,
  feuaddr: u32,
  iqh: u32,
  iqt: u32,
  iqa: pair,
  ics: u32,
  iectl: masked,
  iedata: u32,
  ieaddr: u32,
  ieuaddr: u32,
  irta: pair, // as written
  interrupts: pair, // as in use since GCMD.SIRTP
  iva: pair,
  iotlb: pair,
  frcd: array(u32, 4),
});

const VERSION = 0x10;
/** Where registers are that may be anywhere. */
const AT = { IOTLB: 0xf0, FRCD: 0x220 } as const;
/** Of GCMD and GSTS. */
const COMMAND = {
  TRANSLATE: 0x8000_0000,
  SET_ROOT: 0x4000_0000,
  QUEUE: 0x400_0000,
  INTERRUPTS: 0x200_0000,
  SET_INTERRUPTS: 0x100_0000,
  COMPATIBILITY: 0x80_0000,
} as const;
const GO = 0x8000_0000;
const IRTA = { EXTENDED: 0x800, SIZE: 15 } as const;
/** Entries of the queue at its smallest. */
const QUEUE_ENTRIES = 256;
const INTERRUPT_AREA = 0xfee;

export const IOMMU_WINDOW = { base: 0xfed9_0000, size: 0x1000 } as const;

/** A register of 64 bits, by the bits of each half that can be written. */
function quad(name: string, at: number, field: keyof typeof STATE.fields & string, low = -1, high = -1) {
  const half = (offset: number, mask: number, index: number): Registers<IntelIommu> => ({
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
const constant = (at: number, value: (unit: IntelIommu) => number): Registers<IntelIommu>[string] => ({
  at,
  read: (unit) => value(unit),
});
/** What is not there and has a place all the same. */
const absent = (at: number, count = 1): Registers<Banked>[string] => ({ at, count, read: () => 0, write: () => {} });

const REGISTERS = bank<IntelIommu>(IOMMU_WINDOW.size, {
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

export interface IntelIommuOptions extends TableRules {
  readonly name: string;
  readonly log: DeviceLog;
  /** Memory itself. */
  readonly memory: Dma;
  /** There is interrupt remapping, with destinations of 32 bits. */
  readonly interrupts: boolean;
  readonly extendedInterrupts: boolean;
  readonly dmaTranslation: boolean;
  readonly cachingMode: boolean;
  readonly drain: boolean;
  /** A message on its way to the local APICs. */
  deliver(message: InterruptMessage): void;
  /** One that is not remapped. */
  pass(address: number, data: number): void;
  /** Messages mean something else from now on. */
  interruptsChanged?(): void;
}

const IDENTITY: Page = { base: 0, host: 0, size: Infinity, access: 3 };

export class IntelIommu implements Device<typeof STATE>, Iommu, Translator {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  /** At 0xfed90000. */
  readonly mmio: Mmio;
  /** CAP and ECAP in words. */
  readonly capabilities: readonly number[];
  private readonly options: IntelIommuOptions;
  private readonly caches = new Caches();
  /** Pages of requesters whose addresses are taken as they are. */
  private readonly identities = new Map<number, Page>();

  constructor(options: IntelIommuOptions) {
    this.name = options.name;
    this.log = options.log;
    this.options = options;
    this.capabilities = capabilitiesOf(options);
    this.mmio = REGISTERS.on(this);
  }

  reset(): void {
    Object.assign(this.state, create(STATE));
    this.resumed();
  }

  resumed(): void {
    this.caches.dropAll();
    this.options.interruptsChanged?.();
  }

  get remapsInterrupts(): boolean {
    return this.options.interrupts;
  }

  // Translation

  get idle(): boolean {
    return (this.state.gsts & COMMAND.TRANSLATE) === 0;
  }

  space(requester: () => number): Dma {
    return new RequesterSpace(this, this.options.memory, requester);
  }

  find(requester: number, address: number, access: number, ahead: boolean): Page | undefined {
    if (this.idle) return IDENTITY;
    const context = this.context(requester);
    const refuse = (reason: number, quiet: boolean) => {
      if (!quiet && !ahead) this.refused(requester, address, reason, access === ACCESS.READ);
      return undefined;
    };
    if (isRefusal(context)) return refuse(context.fault, context.quiet);
    const { domain, quiet } = context;
    if (!(address < context.end)) return refuse(FAULT.ADDRESS_WIDTH, quiet);
    if (context.pass) return this.identity(context.end);
    // Interrupts are not translated, and nothing else is there.
    if (Math.floor(address / 0x10_0000) === INTERRUPT_AREA) return undefined;
    const known = this.caches.page(domain, address);
    // Software may give rights without a word.
    if (known && known.access & access) return known;
    const page = pageOf(this.options.memory, context, address, access, this.options);
    if (typeof page === 'number') return refuse(page, quiet);
    this.caches.addPage(domain, page);
    return page;
  }

  private context(requester: number) {
    const known = this.caches.context(requester);
    if (known) return known;
    const found = contextOf(this.options.memory, this.address(this.state.root), requester, this.options);
    if (!isRefusal(found)) this.caches.addContext(requester, found satisfies Context);
    return found;
  }

  private identity(size: number): Page {
    let page = this.identities.get(size);
    if (!page) {
      page = { base: 0, host: 0, size, access: 3 };
      this.identities.set(size, page);
    }
    return page;
  }

  private address([low, high]: readonly number[]): number {
    return (high % 2 ** (this.options.addressBits - 32)) * 2 ** 32 + ((low & ~0xfff) >>> 0);
  }

  // Interrupts

  message(address: number, data: number, requester: number): void {
    const { gsts } = this.state;
    if (!(gsts & COMMAND.INTERRUPTS) || (address % 2 ** 32) >>> 20 !== INTERRUPT_AREA) {
      this.options.pass(address, data);
      return;
    }
    const message = this.remapped(address, data, requester);
    if (message) this.options.deliver(message);
  }

  /**
   * What becomes of a message; undefined when it is stopped. Without a requester it is the I/O APIC's. One who only
   * looks ahead causes no fault.
   */
  remapped(address: number, data: number, requester?: number, ahead = false): InterruptMessage | undefined {
    const { gsts, interrupts } = this.state;
    if (!(gsts & COMMAND.INTERRUPTS)) return messageFrom(address, data);
    const table: InterruptTable = {
      address: this.address(interrupts),
      entries: 2 ** ((interrupts[0] & IRTA.SIZE) + 1),
      extended: (interrupts[0] & IRTA.EXTENDED) !== 0,
      compatibility: (gsts & COMMAND.COMPATIBILITY) !== 0,
    };
    const found = remap(this.options.memory, table, address, data, requester);
    if (!('fault' in found)) return found;
    if (found.quiet || ahead) return undefined;
    const entry = { source: requester ?? 0, low: 0, high: found.index * 0x1_0000, reason: found.fault, read: false };
    this.fault(entry, `message ${address.toString(16)}=${data.toString(16)} for interrupt ${found.index}`);
    return undefined;
  }

  // Faults

  private refused(source: number, address: number, reason: number, read: boolean): void {
    const entry = { source, low: address % 2 ** 32, high: Math.floor(address / 2 ** 32) >>> 0, reason, read };
    this.fault(entry, `${read ? 'read' : 'write'} of 0x${address.toString(16)}`);
  }

  private fault(entry: Parameters<typeof record>[1], what: string): void {
    const source = entry.source.toString(16).padStart(4, '0');
    this.log.guestError(this.name, `fault 0x${entry.reason.toString(16)} of ${source}: ${what}`);
    if (record(this.state, entry)) this.raiseFault();
  }

  private raiseFault(): void {
    const { state } = this;
    state.fectl = (state.fectl | EVENT.PENDING) >>> 0;
    this.faultEvent();
  }

  /** Sends the interrupt that is due unless it is masked. */
  faultEvent(): void {
    const { state } = this;
    if (!(state.fectl & EVENT.PENDING) || state.fectl & EVENT.MASKED) return;
    state.fectl = (state.fectl & ~EVENT.PENDING) >>> 0;
    this.send(state.feaddr, state.feuaddr, state.fedata);
  }

  writeFaultStatus(value: number): void {
    const { state } = this;
    const stuck = state.fsts & FSTS.QUEUE_ERROR;
    state.fsts &= ~(value & (FSTS.OVERFLOW | FSTS.QUEUE_ERROR));
    this.settle();
    if (stuck && !(state.fsts & FSTS.QUEUE_ERROR)) this.fetch();
  }

  /** An interrupt that is due is not when there is nothing to tell any more. */
  settle(): void {
    const { state } = this;
    if (!state.fsts) state.fectl = (state.fectl & ~EVENT.PENDING) >>> 0;
  }

  private send(address: number, upper: number, data: number): void {
    const message = messageFrom(address, data);
    const extended = this.state.interrupts[0] & IRTA.EXTENDED ? upper & ~0xff : 0;
    this.options.deliver(
      extended ? { ...message, destination: (extended | ((address >>> 12) & 0xff)) >>> 0 } : message,
    );
  }

  // Commands

  command(value: number): void {
    const { state, options } = this;
    const changed = value ^ state.gsts;
    const before = state.gsts;
    if (value & COMMAND.SET_ROOT) {
      state.root = [...state.rtaddr];
      state.gsts |= COMMAND.SET_ROOT;
      this.caches.dropAll();
    }
    if (changed & COMMAND.QUEUE) {
      this.toggle(COMMAND.QUEUE, value);
      // A queue begins at its start.
      if (!(value & COMMAND.QUEUE)) state.iqh = 0;
      else this.fetch();
    }
    if (changed & COMMAND.TRANSLATE && options.dmaTranslation) {
      this.toggle(COMMAND.TRANSLATE, value);
      this.caches.dropAll();
    }
    if (options.interrupts) {
      if (value & COMMAND.SET_INTERRUPTS) {
        state.interrupts = [...state.irta];
        if (!options.extendedInterrupts) state.interrupts[0] = (state.interrupts[0] & ~IRTA.EXTENDED) >>> 0;
        state.gsts |= COMMAND.SET_INTERRUPTS;
      }
      this.toggle(COMMAND.INTERRUPTS, value);
      this.toggle(COMMAND.COMPATIBILITY, value);
      if (value & COMMAND.SET_INTERRUPTS || (before ^ state.gsts) & (COMMAND.INTERRUPTS | COMMAND.COMPATIBILITY))
        options.interruptsChanged?.();
    }
    state.gsts >>>= 0;
  }

  private toggle(bit: number, value: number): void {
    this.state.gsts = ((this.state.gsts & ~bit) | (value & bit)) >>> 0;
  }

  /** Half `index` of a register of 64 bits was written. */
  written(field: keyof typeof STATE.fields, index: number): void {
    const { state, caches } = this;
    if (index === 0) return;
    const queued = (state.gsts & COMMAND.QUEUE) !== 0;
    if (field === 'ccmd' && state.ccmd[1] & GO) {
      const [low, high] = state.ccmd;
      const granule = (high >>> 29) & 3;
      const done = queued ? GRANULE.NONE : dropContexts(caches, granule, low & 0xffff, low >>> 16, high);
      state.ccmd[1] = ((high & 0x6000_0003) | (done << 27)) >>> 0;
    } else if (field === 'iotlb' && state.iotlb[1] & GO) {
      const high = state.iotlb[1];
      const granule = (high >>> 28) & 3;
      const done = queued ? GRANULE.NONE : dropPages(caches, granule, high & 0xffff, state.iva[0], state.iva[1]);
      state.iotlb[1] = ((high & 0x3003_ffff) | (done << 25)) >>> 0;
    } else return;
    if (queued) this.log.guestError(this.name, 'a register of invalidation is written while there is a queue');
  }

  /** Carries out what waits in the queue: at most as much as it holds. */
  fetch(): void {
    const { state, options } = this;
    if (!(state.gsts & COMMAND.QUEUE)) return;
    const size = DESCRIPTOR * QUEUE_ENTRIES * 2 ** (state.iqa[0] & 7);
    for (let left = size / DESCRIPTOR; left > 0 && state.iqh !== state.iqt; left--) {
      if (state.fsts & FSTS.QUEUE_ERROR) return;
      const inside = state.iqt < size && state.iqh < size;
      const bytes = inside ? options.memory.readable(this.address(state.iqa) + state.iqh, DESCRIPTOR) : undefined;
      const done = bytes && perform(bytes.slice(), this.queueTarget);
      if (!done) {
        this.log.guestError(this.name, `the queue of invalidations is wrong at 0x${state.iqh.toString(16)}`);
        const first = state.fsts === 0;
        state.fsts |= FSTS.QUEUE_ERROR;
        if (first) this.raiseFault();
        return;
      }
      state.iqh = (state.iqh + DESCRIPTOR) % size;
    }
  }

  private readonly queueTarget = {
    caches: this.caches,
    interruptsChanged: () => this.options.interruptsChanged?.(),
    wait: (descriptor: WaitDescriptor) => this.waited(descriptor),
  };

  private waited({ status, interrupt }: WaitDescriptor): void {
    const { state } = this;
    if (status) {
      const bytes = this.options.memory.writable(status.address, 4);
      if (bytes) writeU32(bytes, 0, status.data);
      else this.log.guestError(this.name, `a status outside RAM, at 0x${status.address.toString(16)}`);
    }
    if (!interrupt || state.ics) return;
    state.ics = 1;
    state.iectl = (state.iectl | EVENT.PENDING) >>> 0;
    this.completionEvent();
  }

  completionEvent(): void {
    const { state } = this;
    if (!(state.iectl & EVENT.PENDING) || state.iectl & EVENT.MASKED) return;
    state.iectl = (state.iectl & ~EVENT.PENDING) >>> 0;
    this.send(state.ieaddr, state.ieuaddr, state.iedata);
  }
}

function capabilitiesOf(options: IntelIommuOptions): number[] {
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
