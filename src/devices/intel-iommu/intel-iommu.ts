/**
 * A DMA and interrupt remapping unit (VT-d), as QEMU's `intel-iommu`.
 *
 * Spec: Intel Virtualization Technology for Directed I/O (D51397), legacy mode.
 * Departures, QEMU's: messages of the I/O APIC are not checked for their source; the unit's own interrupts are not
 * remapped. Ours: a DMA write to 0xfeexxxxx means no interrupt, only a function's message does.
 */
import { writeU32 } from '../../bits/endian.ts';
import type { Device, DeviceLog, Dma, Mmio } from '../../hw/device.ts';
import { type InterruptMessage, messageFrom } from '../../hw/interrupt-message.ts';
import type { Iommu } from '../../hw/iommu.ts';
import { create } from '../../state/layout.ts';
import { Caches } from './caches.ts';
import { EVENT, FAULT, FSTS, record } from './faults.ts';
import { type InterruptTable, remap } from './interrupts.ts';
import { DESCRIPTOR, dropContexts, dropPages, GRANULE, perform, type WaitDescriptor } from './invalidation.ts';
import { capabilitiesOf, REGISTERS, type Unit } from './registers.ts';
import { RequesterSpace, type Translator } from './requester-space.ts';
import { COMMAND, type IntelIommuOptions, STATE, type UnitField } from './state.ts';
import { ACCESS, type Context, contextOf, isRefusal, type Page, pageOf } from './tables.ts';

const GO = 0x8000_0000;
const IRTA = { EXTENDED: 0x800, SIZE: 15 } as const;
/** Entries of the queue at its smallest. */
const QUEUE_ENTRIES = 256;
const INTERRUPT_AREA = 0xfee;

const IDENTITY: Page = { base: 0, host: 0, size: Infinity, access: 3 };

export class IntelIommu implements Device<typeof STATE>, Iommu, Translator, Unit {
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
    if (isRefusal(context)) return this.refused(context.fault, context.quiet || ahead, requester, address, access);
    const { domain } = context;
    const quiet = context.quiet || ahead;
    if (!(address < context.end)) return this.refused(FAULT.ADDRESS_WIDTH, quiet, requester, address, access);
    if (context.pass) return this.identity(context.end);
    // Interrupts are not translated, and nothing else is there.
    if (Math.floor(address / 0x10_0000) === INTERRUPT_AREA) return undefined;
    const known = this.caches.page(domain, address);
    // Software may give rights without a word.
    if (known && known.access & access) return known;
    const page = pageOf(this.options.memory, context, address, access, this.options);
    if (typeof page === 'number') return this.refused(page, quiet, requester, address, access);
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

  private refused(reason: number, quiet: boolean, source: number, address: number, access: number): undefined {
    if (quiet) return;
    const read = access === ACCESS.READ;
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
  written(field: UnitField, index: number): void {
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
