/**
 * An AHCI port: command list, received frames, and the drive behind it.
 *
 * Spec: Serial ATA AHCI 1.3.1, "Port Registers" and "Data Transfer Operation".
 * Departures: no port multipliers, power states or cold presence detection;
 * with non-data errors in queued commands there is no log page 10h, as in QEMU.
 *
 * Invariant: at most one unqueued command runs (`running`), or any number of
 * queued ones (`queued`); both are started over after a load.
 */
import { writeU32 } from '../../bits/endian.ts';
import { COMMAND, STATUS } from '../../hw/ata/ata.ts';
import { AtaDisk } from '../../hw/ata/ata-disk.ts';
import type { AtaDrive, AtaHost } from '../../hw/ata/ata-drive.ts';
import { PHASE } from '../../hw/ata/ata-state.ts';
import { writeRegister } from '../../hw/ata/command-block.ts';
import type { Device, DeviceLog, Dma, Mmio } from '../../hw/device.ts';
import { gather, lengthOf, scatter } from '../../hw/virtqueue.ts';
import { create } from '../../state/layout.ts';
import {
  type CommandHeader,
  commandHeader,
  FIS,
  FIS_COMMAND,
  FIS_INTERRUPT,
  lbaOf,
  RECEIVED,
  segmentsOf,
} from './fis.ts';
import { CMD, IS, NO_SIGNATURE, type PortRegisters, REGISTERS, STATE } from './port-registers.ts';

const SRST = 4;

export interface AhciPortOptions {
  readonly log: DeviceLog;
  readonly dma: Dma;
  /** The interrupt status may have changed; `fresh` when a bit was set that was not. */
  readonly changed: (fresh: boolean) => void;
}

export class AhciPort implements Device<typeof STATE>, AtaHost, PortRegisters {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  readonly mmio: Mmio;
  readonly wholeChunks = true;
  readonly queueDepth = 32;
  drive: AtaDrive | undefined;
  private readonly options: AhciPortOptions;
  private life = 0;
  private checking = false;

  constructor(name: string, options: AhciPortOptions) {
    this.name = name;
    this.options = options;
    this.log = options.log;
    this.mmio = REGISTERS.on(this);
  }

  /** Plugs a drive in; before the machine starts. */
  attach(drive: AtaDrive): void {
    if (this.drive) throw new RangeError(`${this.name} has a drive`);
    this.drive = drive;
    drive.host = this;
  }

  reset(): void {
    this.life++;
    Object.assign(this.state, create(STATE));
    this.changed();
  }

  resumed(): void {
    this.life++;
    this.changed();
    for (let slot = 0; slot < 32; slot++) if (this.state.queued & (1 << slot)) this.startQueued(slot);
  }

  /** An enabled interrupt waits. */
  get pending(): boolean {
    return (this.state.is & this.state.ie) !== 0;
  }

  changed(fresh = false): void {
    this.options.changed(fresh);
  }

  acknowledge(ones: number): void {
    this.state.is = (this.state.is & ~ones) >>> 0;
    this.changed();
  }

  get command(): number {
    const { cmd, running } = this.state;
    const slot = running >= 0 ? running << 8 : 0;
    const atapi = this.drive?.packet ? 0x100_0000 : 0;
    return (cmd | slot | atapi | (cmd & CMD.ST ? CMD.CR : 0) | (cmd & CMD.FRE ? CMD.FR : 0)) >>> 0;
  }

  setCommand(value: number): void {
    const { state } = this;
    const stops = state.cmd & CMD.ST & ~value;
    state.cmd = (value & CMD.WRITABLE) >>> 0;
    if (value & CMD.CLO) state.tfd &= ~(STATUS.BSY | STATUS.DRQ);
    if (stops) {
      this.abandon();
      state.ci = state.sact = 0;
    }
    if (state.cmd & CMD.FRE) this.greet();
    this.check();
  }

  /** COMRESET: DET goes to 1 and back. */
  setControl(value: number): void {
    const { state } = this;
    const resets = (state.sctl & 15) === 1 && (value & 15) === 0;
    state.sctl = (value & 0xfff) >>> 0;
    if (resets) this.resetDrive();
  }

  issue(ones: number): void {
    if (!(this.state.cmd & CMD.ST)) return;
    this.state.ci = (this.state.ci | ones) >>> 0;
    this.check();
  }

  /** Voids what runs. */
  private abandon(): void {
    const { state } = this;
    this.life++;
    state.running = -1;
    state.queued = 0;
    state.halted = 0;
    if (this.drive && (this.drive.busy || this.drive.state.phase !== PHASE.IDLE)) this.drive.softReset();
  }

  private resetDrive(): void {
    const { state } = this;
    this.abandon();
    Object.assign(state, { ci: 0, sact: 0, serr: 0, tfd: 0x7f, sig: NO_SIGNATURE, greeted: 0, resetting: 0 });
    this.drive?.softReset();
    this.greet();
  }

  /** The frame with the drive's signature, once after each reset, as soon as frames are received. */
  private greet(): void {
    const { state, drive } = this;
    if (!drive || state.greeted || !(state.cmd & CMD.FRE)) return;
    state.greeted = 1;
    const { count, lbaLow, lbaMid, lbaHigh } = drive.state;
    const byte = (value: number) => value & 0xff;
    state.sig = ((byte(lbaHigh) << 24) | (byte(lbaMid) << 16) | (byte(lbaLow) << 8) | byte(count)) >>> 0;
    this.registerFrame(false);
  }

  /** Starts what can start. */
  private check(): void {
    const { state, drive } = this;
    if (this.checking) return;
    this.checking = true;
    for (let slot = 0; slot < 32; slot++) {
      const bit = (1 << slot) >>> 0;
      if (!drive || !(state.cmd & CMD.ST) || state.halted || state.running >= 0) break;
      if (state.ci & bit && !(state.queued & bit)) this.start(slot, drive);
    }
    this.checking = false;
  }

  private start(slot: number, drive: AtaDrive): void {
    const { state } = this;
    const header = this.header(slot);
    if (!header) {
      this.fatal('a command list or table outside RAM');
      return;
    }
    const { frame } = header;
    if (frame[0] !== FIS.TO_DEVICE || frame[1] & 15) {
      this.log.guestError(this.name, `frame of type 0x${frame[0].toString(16)} to port ${frame[1] & 15}`);
      this.done(slot);
    } else if (!(frame[1] & FIS_COMMAND)) this.control(slot, frame[15], drive);
    else if (frame[2] === COMMAND.READ_FPDMA_QUEUED || frame[2] === COMMAND.WRITE_FPDMA_QUEUED) this.queue(slot, drive);
    else if (!state.queued) {
      state.running = slot;
      state.moved = 0;
      state.tfd |= STATUS.BSY;
      // Both bytes of each register, the older first.
      for (const [register, low, high] of TASK_FILE) {
        writeRegister(drive.state, register, frame[high]);
        writeRegister(drive.state, register, frame[low]);
      }
      writeRegister(drive.state, 6, frame[7]);
      drive.execute(frame[2]);
    }
  }

  /** A frame that writes the control register: software reset. */
  private control(slot: number, value: number, drive: AtaDrive): void {
    const { state } = this;
    this.done(slot);
    if (value & SRST) {
      drive.softReset();
      state.resetting = 1;
      state.tfd |= STATUS.BSY;
    } else if (state.resetting) {
      state.resetting = 0;
      state.greeted = 0;
      drive.softReset();
      this.greet();
    }
  }

  private header(slot: number): CommandHeader | undefined {
    return commandHeader(this.options.dma, this.state.clbu * 2 ** 32 + this.state.clb, slot);
  }

  private done(slot: number): void {
    this.state.ci = (this.state.ci & ~(1 << slot)) >>> 0;
  }

  /** Queued commands are taken at once: the slot is free for CI, SACT says that it runs. */
  private queue(slot: number, drive: AtaDrive): void {
    const { state } = this;
    const bit = (1 << slot) >>> 0;
    this.done(slot);
    if (!(drive instanceof AtaDisk) || !(state.sact & bit)) {
      this.log.guestError(this.name, `a queued command in slot ${slot}, which nobody announced or the drive has not`);
      this.queuedEnded(slot, 4);
      return;
    }
    state.queued = (state.queued | bit) >>> 0;
    this.startQueued(slot);
  }

  private startQueued(slot: number): void {
    const { drive, life } = this;
    const { dma } = this.options;
    const header = this.header(slot);
    if (!header || !(drive instanceof AtaDisk)) {
      this.fatal('a command list or table outside RAM');
      return;
    }
    const { frame } = header;
    const request = {
      writes: frame[2] === COMMAND.WRITE_FPDMA_QUEUED,
      lba: lbaOf(frame),
      sectors: frame[3] | (frame[11] << 8) || 0x1_0000,
      force: (frame[7] & 0x80) !== 0,
    };
    const segments = segmentsOf(dma, header, request.sectors * 512);
    const alive = () => life === this.life;
    void drive.queued(request, segments, dma, alive).then((error) => {
      if (!alive()) return;
      this.count(header, lengthOf(segments));
      this.queuedEnded(slot, error);
      this.check();
    });
  }

  private queuedEnded(slot: number, error: number): void {
    const { state } = this;
    const bit = (1 << slot) >>> 0;
    state.queued = (state.queued & ~bit) >>> 0;
    const frame = new Uint8Array(8);
    const status = STATUS.DRDY | STATUS.DSC | (error ? STATUS.ERR : 0);
    frame.set([FIS.DEVICE_BITS, FIS_INTERRUPT, status & 0x77, error]);
    if (error) state.halted = 1;
    else {
      writeU32(frame, 4, bit);
      state.sact = (state.sact & ~bit) >>> 0;
    }
    state.tfd = (error << 8) | status;
    this.receive(RECEIVED.DEVICE_BITS, frame);
    this.raise(IS.SDBS | (error ? IS.TFES : 0));
  }

  // The drive's side.

  interrupt(): void {} // frames carry it

  data(drive: AtaDrive): void {
    const { state } = this;
    const header = state.running >= 0 ? this.header(state.running) : undefined;
    if (!header) {
      // Also when a drive that was reset presents nothing any more: then there is nothing to move.
      if (state.running >= 0) this.fatal('a command list or table outside RAM');
      return;
    }
    const { dma } = this.options;
    const { block } = drive;
    const isPacket = drive.packet && drive.writing;
    this.pioFrame(drive, block.length, !isPacket && !drive.writing);
    if (isPacket) block.set(header.packet.subarray(0, block.length));
    else {
      const segments = segmentsOf(dma, header, state.moved + block.length);
      const length = (drive.writing ? gather : scatter)(dma, segments, state.moved, block);
      if (length < block.length) this.raise(IS.OFS);
      state.moved += length;
      this.count(header, state.moved);
    }
    drive.moved(block.length);
  }

  dma(drive: AtaDrive): void {
    const header = this.state.running >= 0 ? this.header(this.state.running) : undefined;
    if (!header) {
      this.fatal('a command list or table outside RAM');
      return;
    }
    const segments = segmentsOf(this.options.dma, header, drive.dmaLength);
    this.state.moved = lengthOf(segments);
    if (this.state.moved < drive.dmaLength) this.raise(IS.OFS);
    drive.transfer(segments, this.options.dma);
  }

  dmaEnded(): void {
    const header = this.state.running >= 0 ? this.header(this.state.running) : undefined;
    if (header) this.count(header, this.state.moved);
  }

  finished(drive: AtaDrive): void {
    const { state } = this;
    if (state.running < 0) return;
    if (drive.state.status & STATUS.ERR) state.halted = 1;
    else this.done(state.running);
    if (!state.halted) state.running = -1;
    this.registerFrame(true);
    drive.setInterrupt(false);
    this.check();
  }

  /** PRDBC. */
  private count(header: CommandHeader, length: number): void {
    const bytes = this.options.dma.writable(header.at + 4, 4);
    if (bytes) writeU32(bytes, 0, length >>> 0);
  }

  /** Host bus fatal error: software must restart the port. */
  private fatal(what: string): void {
    this.log.guestError(this.name, what);
    this.state.halted = 1;
    this.raise(IS.HBFS);
  }

  private raise(bits: number): void {
    const fresh = (bits & ~this.state.is & this.state.ie) !== 0;
    this.state.is = (this.state.is | bits) >>> 0;
    this.changed(fresh);
  }

  private receive(at: number, frame: Uint8Array): void {
    const { state } = this;
    if (!(state.cmd & CMD.FRE)) return;
    this.options.dma.writable(state.fbu * 2 ** 32 + state.fb + at, frame.length)?.set(frame);
  }

  private registers(type: number, flags: number): Uint8Array {
    const frame = new Uint8Array(20);
    if (!this.drive) return frame;
    const { status, error, lbaLow, lbaMid, lbaHigh, device, count } = this.drive.state;
    frame.set([type, flags, status, error, lbaLow, lbaMid, lbaHigh, device]);
    frame.set([lbaLow >> 8, lbaMid >> 8, lbaHigh >> 8, 0, count, count >> 8], 8);
    return frame;
  }

  private registerFrame(interrupt: boolean): void {
    const frame = this.registers(FIS.TO_HOST, interrupt ? FIS_INTERRUPT : 0);
    this.state.tfd = frame[2] | (frame[3] << 8);
    this.receive(RECEIVED.TO_HOST, frame);
    const error = frame[2] & STATUS.ERR ? IS.TFES : 0;
    this.raise((interrupt ? IS.DHRS : 0) | error);
  }

  private pioFrame(drive: AtaDrive, length: number, interrupt: boolean): void {
    const frame = this.registers(FIS.PIO_SETUP, (drive.writing ? 0 : 0x20) | (interrupt ? FIS_INTERRUPT : 0));
    frame[15] = STATUS.DRDY | STATUS.DSC; // the status after the data
    frame[16] = length;
    frame[17] = length >> 8;
    this.receive(RECEIVED.PIO_SETUP, frame);
    if (interrupt) this.raise(IS.PSS);
  }
}

/** [task file register, byte of the frame, byte of what was there before] */
const TASK_FILE = [
  [1, 3, 11],
  [2, 12, 13],
  [3, 4, 8],
  [4, 5, 9],
  [5, 6, 10],
] as const;
