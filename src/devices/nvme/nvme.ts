/**
 * NVM Express controller with one namespace (QEMU's `nvme`).
 *
 * Spec: NVM Express Base Specification 1.4, "Controller Registers", "Memory
 * structures", "Admin Command Set".
 * Departures: no SGLs, no controller memory buffer, no metadata, no namespace
 * management, no I/O command sets but NVM; asynchronous events are taken and
 * none is ever reported, as nothing that they tell of happens.
 *
 * Invariant: what the disk works on is in `inFlight`, and starts over after a
 * load; at most MAX_IN_FLIGHT commands are there, whatever the guest queues.
 */
import { writeU16, writeU32 } from '../../bits/endian.ts';
import { bank } from '../../hw/bank.ts';
import type { Device, DeviceLog, Dma, Mmio, Wiring } from '../../hw/device.ts';
import type { Disk } from '../../hw/disk.ts';
import { PciFunction } from '../../hw/pci.ts';
import { create, f64, json, layout, reset, u32 } from '../../state/layout.ts';
import { type AdminTarget, administer, FEATURE } from './admin.ts';
import { COMMAND_SIZE, COMPLETION_SIZE, Command } from './commands.ts';
import { MDTS, VERSION } from './identify.ts';
import { Namespace } from './namespace.ts';
import { type CompletionQueue, MAX_ENTRIES, newCompletionQueue, QUEUES, type SubmissionQueue } from './queues.ts';

const MAX_IN_FLIGHT = 128;
const WINDOW = 0x4000;
const DOORBELLS = 0x1000;
/** MQES, contiguous queues, 7.5 s time-out; NVM command set, pages up to 64 KiB. */
const CAP_LOW = 0x0f01_0000 | MAX_ENTRIES;
const CAP_HIGH = 0x0040_0020;
const MAX_PAGE_SHIFT = 4;
/** The PCI Express capability, and its device control register. */
const EXPRESS = 0x80;
const DEVICE_CONTROL = EXPRESS + 8;
const FUNCTION_RESET = 0x8000;
const CC = { EN: 1, SHN: 0xc000, WRITABLE: 0x00ff_fff1 };
const CSTS = { RDY: 1, CFS: 2, SHUTTING: 4, SHUT: 8, SHST: 12 };

/** A command of a submission queue that the disk works on. */
type InFlight = { sq: number; bytes: Uint8Array };

const STATE = layout('nvme', 1, {
  cc: u32,
  csts: u32,
  interruptMask: u32,
  aqa: u32,
  asq: u32,
  asqHigh: u32,
  acq: u32,
  acqHigh: u32,
  submission: json<SubmissionQueue[]>(() => []),
  completion: json<CompletionQueue[]>(() => []),
  inFlight: json<InFlight[]>(() => []),
  events: json<number[]>(() => []), // identifiers of asynchronous event requests
  reads: f64, // commands, for the health log
  writes: f64,
  features: json<Record<string, number>>(() => ({})), // as set, by identifier
});

const REGISTERS = bank<Nvme>(
  DOORBELLS,
  {
    CAP: { at: 0x00, count: 2, read: (_, half) => (half ? CAP_HIGH : CAP_LOW), write: () => {} },
    VS: { at: 0x08, read: () => VERSION, write: () => {} },
    INTMS: {
      at: 0x0c,
      read: ({ state }) => state.interruptMask,
      write: (nvme, ones) => nvme.mask(nvme.state.interruptMask | ones),
    },
    INTMC: {
      at: 0x10,
      read: ({ state }) => state.interruptMask,
      write: (nvme, ones) => nvme.mask(nvme.state.interruptMask & ~ones),
    },
    CC: { at: 0x14, read: ({ state }) => state.cc, write: (nvme, value) => nvme.configure(value) },
    CSTS: { at: 0x1c, read: ({ state }) => state.csts, write: () => {} },
    NSSR: { at: 0x20, read: () => 0, write: () => {} },
    AQA: { at: 0x24, field: 'aqa', mask: 0x0fff_0fff },
    ASQ: { at: 0x28, field: 'asq', mask: ~0xfff },
    ASQ_HIGH: { at: 0x2c, field: 'asqHigh' },
    ACQ: { at: 0x30, field: 'acq', mask: ~0xfff },
    ACQ_HIGH: { at: 0x34, field: 'acqHigh' },
    CMBLOC: { at: 0x38, read: () => 0, write: () => {} },
    CMBSZ: { at: 0x3c, read: () => 0, write: () => {} },
  },
  { access: [4] },
);

export interface NvmeOptions {
  /** Up to 20 characters. */
  readonly serial: string;
  /** Bytes of a logical block: 512 or 4096. */
  readonly blockSize?: number;
}

export class Nvme implements Device<typeof STATE>, AdminTarget {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  readonly pci: PciFunction;
  readonly serial: string;
  readonly namespace: Namespace;
  readonly dma: Dma;
  private life = 0;

  constructor(name: string, wiring: Wiring, disk: Disk, options: NvmeOptions) {
    this.name = name;
    this.log = wiring.log;
    this.serial = options.serial;
    const registers = REGISTERS.on(this);
    const mmio: Mmio = {
      read: (offset, size) => (offset < DOORBELLS ? registers.read(offset, size) : 0),
      write: (offset, size, value) => {
        if (offset < DOORBELLS) registers.write(offset, size, value);
        else if (size === 4) this.doorbell((offset - DOORBELLS) >> 2, value & 0xffff);
      },
    };
    this.pci = new PciFunction({
      name,
      vendor: 0x1b36,
      device: 0x0010,
      class: 0x01_0802,
      revision: 2,
      interruptPin: 1,
      express: true,
      bars: [{ index: 0, kind: 'mem64', size: WINDOW, mmio }],
      written: (offset, size) => {
        if (offset < DEVICE_CONTROL + 2 && offset + size > DEVICE_CONTROL) this.controlWritten();
      },
      msix: { vectors: QUEUES, bar: 0, table: 0x2000, pending: 0x3000, offset: 0x40 },
    });
    this.pci.owner = this;
    const power = this.pci.addCapability(0x01, 8, 0x60);
    this.pci.constant(power + 2, 2, 3); // power management 1.2
    this.pci.constant(power + 4, 2, 8); // no reset on the way to D0
    this.pci.writable(power + 4, 2, 3);
    const express = this.pci.addCapability(0x10, 0x3c, EXPRESS);
    this.pci.constant(express + 2, 2, 2); // an endpoint, capability version 2
    this.pci.constant(express + 4, 4, 0x1000_8000); // function level reset, role-based errors
    this.pci.writable(DEVICE_CONTROL, 2, 0xf8ef | FUNCTION_RESET);
    this.pci.constant(express + 12, 4, 0x411); // 2.5 GT/s, one lane
    this.pci.constant(express + 18, 2, 0x11);
    this.dma = this.pci.master(wiring.dma);
    this.namespace = new Namespace(name, wiring.log, this.dma, disk, options.blockSize ?? 512, this.state);
  }

  reset(): void {
    this.life++;
    reset(STATE, this.state);
    this.namespace.writeThrough = false;
    this.output();
  }

  resumed(): void {
    this.life++;
    this.namespace.writeThrough = this.state.features[FEATURE.WRITE_CACHE] === 0;
    this.output();
    if (this.state.csts & CSTS.SHUTTING) this.shutDown();
    for (const request of this.state.inFlight) void this.run(request);
  }

  /** A function level reset? */
  private controlWritten(): void {
    if (!(this.pci.readConfig(DEVICE_CONTROL, 2) & FUNCTION_RESET)) return;
    this.pci.reset();
    this.reset();
  }

  /** Bytes of a memory page, as CC.MPS says. */
  get page(): number {
    return 4096 << Math.min((this.state.cc >> 7) & 15, MAX_PAGE_SHIFT);
  }

  /** The most bytes that a command may move. */
  get maxTransfer(): number {
    return 4096 << MDTS;
  }

  mask(value: number): void {
    this.state.interruptMask = value >>> 0;
    this.output();
  }

  /** Without MSI-X the pin is high while an unmasked vector has completions that the guest has not taken. */
  private output(): void {
    const { state, pci } = this;
    const waits = ({ interrupts, head, tail, vector }: CompletionQueue) =>
      interrupts && head !== tail && !(vector < 32 && (state.interruptMask >>> vector) & 1);
    pci.irq.set(!pci.messages && state.completion.some(waits));
  }

  // Enabling, disabling, shutting down.

  configure(value: number): void {
    const { state } = this;
    const changed = state.cc ^ value;
    state.cc = (value & CC.WRITABLE) >>> 0;
    if (changed & CC.EN) {
      if (value & CC.EN) this.enable();
      else this.disable();
    }
    if (value & CC.SHN && !(state.csts & CSTS.SHST)) this.shutDown();
    else if (!(value & CC.SHN)) state.csts &= ~CSTS.SHST;
  }

  private enable(): void {
    const { state } = this;
    const submission = state.asqHigh * 2 ** 32 + state.asq;
    const completion = state.acqHigh * 2 ** 32 + state.acq;
    const [sqSize, cqSize] = [(state.aqa & 0xfff) + 1, ((state.aqa >> 16) & 0xfff) + 1];
    const [cc, { page }] = [state.cc, this];
    const fits = submission && completion && !(submission % page) && !(completion % page) && sqSize > 1 && cqSize > 1;
    if (!fits || (cc >> 4) & 7 || (cc >> 7) & 15 & ~7 || ((cc >> 7) & 15) > MAX_PAGE_SHIFT) {
      this.log.guestError(this.name, 'enabled with bad admin queues or an unknown page size or command set');
      state.csts = CSTS.CFS;
      return;
    }
    state.csts = CSTS.RDY;
    state.completion = [newCompletionQueue(0, completion, cqSize, 0, true)];
    state.submission = [{ id: 0, cq: 0, base: submission, size: sqSize, head: 0, tail: 0 }];
  }

  private disable(): void {
    const { cc, interruptMask, aqa, asq, asqHigh, acq, acqHigh, reads, writes } = this.state;
    this.namespace.writeThrough = false;
    this.life++;
    reset(STATE, this.state);
    Object.assign(this.state, { cc, interruptMask, aqa, asq, asqHigh, acq, acqHigh, reads, writes });
    this.output();
  }

  private shutDown(): void {
    const { state, life } = this;
    state.csts = (state.csts & ~CSTS.SHST) | CSTS.SHUTTING;
    const done = () => {
      if (life === this.life) state.csts = (state.csts & ~CSTS.SHST) | CSTS.SHUT;
    };
    void this.namespace.flush().then(done);
  }

  /** The controller cannot go on: only a reset mends it. */
  private fatal(what: string): void {
    this.log.guestError(this.name, what);
    this.state.csts |= CSTS.CFS;
  }

  // Queues.

  submissionQueue(id: number): SubmissionQueue | undefined {
    return this.state.submission.find((queue) => queue.id === id);
  }

  completionQueue(id: number): CompletionQueue | undefined {
    return this.state.completion.find((queue) => queue.id === id);
  }

  /** Deletes a submission queue and voids its commands. */
  drop(queue: SubmissionQueue): void {
    const { state } = this;
    state.submission = state.submission.filter((other) => other !== queue);
    state.inFlight = state.inFlight.filter(({ sq }) => sq !== queue.id);
    for (const { waiting } of state.completion) {
      for (let i = waiting.length - 1; i >= 0; i--) if (waiting[i].sq === queue.id) waiting.splice(i, 1);
    }
  }

  dropCompletion(queue: CompletionQueue): void {
    this.state.completion = this.state.completion.filter((other) => other !== queue);
    if (queue.interrupts) this.pci.msix?.forget(queue.vector);
    this.output();
  }

  private doorbell(index: number, value: number): void {
    if (!(this.state.csts & CSTS.RDY) || this.state.csts & CSTS.CFS) return;
    const id = index >> 1;
    const queue = index & 1 ? this.completionQueue(id) : this.submissionQueue(id);
    if (!queue || value >= queue.size) {
      this.log.guestError(this.name, `doorbell ${index} of a queue that is not there, or beyond its end: ${value}`);
      return;
    }
    if (index & 1) {
      queue.head = value;
      this.drain(queue as CompletionQueue);
      this.output();
    } else queue.tail = value;
    this.fetch();
  }

  /** Takes commands from the submission queues in turns while there is room for them. */
  private fetch(): void {
    const { state } = this;
    for (let any = true; any; ) {
      any = false;
      for (const queue of state.submission) {
        if (queue.head === queue.tail || state.csts & CSTS.CFS) continue;
        const waiting = this.completionQueue(queue.cq)?.waiting.length ?? 0;
        if (state.inFlight.length >= MAX_IN_FLIGHT || waiting > MAX_IN_FLIGHT) continue;
        const bytes = this.dma.readable(queue.base + COMMAND_SIZE * queue.head, COMMAND_SIZE);
        if (!bytes) {
          this.fatal('a submission queue outside RAM');
          return;
        }
        queue.head = (queue.head + 1) % queue.size;
        this.take(queue, bytes.slice());
        any = true;
      }
    }
  }

  private take(queue: SubmissionQueue, bytes: Uint8Array): void {
    if (queue.id === 0) {
      const command = new Command(bytes);
      const answer = administer(this, command);
      if (answer) this.complete(queue, command.id, answer.status, answer.result);
      return;
    }
    const request = { sq: queue.id, bytes };
    this.state.inFlight.push(request);
    void this.run(request);
  }

  private async run(request: InFlight): Promise<void> {
    const { life } = this;
    const command = new Command(request.bytes);
    const alive = () => life === this.life && this.state.inFlight.includes(request);
    const status = await this.namespace.execute(command, this.page, this.maxTransfer, alive);
    if (!alive()) return;
    this.state.inFlight.splice(this.state.inFlight.indexOf(request), 1);
    const queue = this.submissionQueue(request.sq);
    if (queue) this.complete(queue, command.id, status, 0);
    this.fetch();
  }

  complete(queue: SubmissionQueue, id: number, status: number, result: number): void {
    const completion = this.completionQueue(queue.cq);
    if (!completion) return;
    completion.waiting.push({ sq: queue.id, head: queue.head, id, status, result });
    this.drain(completion);
    this.output();
  }

  /** Puts completions into their queue while it has room. */
  private drain(queue: CompletionQueue): void {
    let posted = false;
    while (queue.waiting.length && (queue.tail + 1) % queue.size !== queue.head) {
      const entry = this.dma.writable(queue.base + COMPLETION_SIZE * queue.tail, COMPLETION_SIZE);
      const completion = queue.waiting.shift();
      if (!entry || !completion) {
        this.fatal('a completion queue outside RAM');
        return;
      }
      writeU32(entry, 0, completion.result);
      writeU32(entry, 4, 0);
      writeU16(entry, 8, completion.head);
      writeU16(entry, 10, completion.sq);
      writeU16(entry, 12, completion.id);
      writeU16(entry, 14, queue.phase | (completion.status << 1)); // last: the phase hands it over
      queue.tail = (queue.tail + 1) % queue.size;
      if (queue.tail === 0) queue.phase ^= 1;
      posted = true;
    }
    if (posted && queue.interrupts) this.pci.msix?.notify(queue.vector);
  }
}
