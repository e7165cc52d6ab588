/**
 * What every ATA device has: the task file, the phases of a command, and the
 * movement of its data by PIO blocks or DMA. The host adapter (an IDE channel,
 * an AHCI port) writes registers, moves data and carries the interrupt.
 *
 * Spec: ATA/ATAPI-6, "Protocol" (the state diagrams of PIO data-in, PIO
 * data-out, DMA and PACKET).
 * Departures: overlapped and queued PACKET features are not offered. Data of a
 * PIO command passes in chunks of up to 128 KiB through `buffer`: between the
 * blocks of a chunk the drive is never busy.
 *
 * Invariant: the disk works only in phases LOAD, STORE, WORK and TRANSFER, and
 * what it works on follows from the state: `resumed` starts it over.
 */
import { reset, type StateOf } from '../../state/layout.ts';
import type { Device, DeviceLog, Dma } from '../device.ts';
import { gather, lengthOf, type Segment, scatter } from '../virtqueue.ts';
import { ERROR, READY, STATUS } from './ata.ts';
import { type AtaLayout, PHASE } from './ata-state.ts';

/** Data is moved in pieces of at most this many bytes. */
export const CHUNK = 0x2_0000;

/** The host adapter of a drive. */
export interface AtaHost {
  /** Blocks are whole chunks, and `data` moves them: no guest reads a data port. */
  readonly wholeChunks: boolean;
  /** Commands that it can queue to a disk (NCQ); 0 for none. */
  readonly queueDepth: number;
  /** INTRQ changed: `drive.state.interrupt`. */
  interrupt(drive: AtaDrive): void;
  /** A block waits: `drive.block` is to be taken or filled, then `drive.moved`. */
  data(drive: AtaDrive): void;
  /** The drive is ready for DMA of `drive.dmaLength` bytes: answer with `drive.transfer`, now or later. */
  dma(drive: AtaDrive): void;
  /** DMA ended; `faulty` when the memory was not there. */
  dmaEnded(drive: AtaDrive, faulty: boolean): void;
  /** The command ended; status and error registers tell how. */
  finished(drive: AtaDrive): void;
}

/** A drive that no adapter listens to. */
const NO_HOST: AtaHost = {
  wholeChunks: false,
  queueDepth: 0,
  interrupt() {},
  data() {},
  dma() {},
  dmaEnded() {},
  finished() {},
};

export abstract class AtaDrive implements Device {
  readonly name: string;
  abstract readonly layout: AtaLayout;
  abstract readonly state: StateOf<AtaLayout>;
  /** The host adapter; it sets itself. */
  host: AtaHost = NO_HOST;
  protected readonly log: DeviceLog;
  /** What an earlier life started is void when it ends. */
  protected life = 0;

  constructor(name: string, log: DeviceLog) {
    this.name = name;
    this.log = log;
  }

  /** A packet device? */
  abstract readonly packet: boolean;

  /** Begins a command; its parameters are in the task file. */
  protected abstract begin(command: number): void;
  /** The registers' values after a reset (the signature). */
  protected abstract signature(): void;
  /** All bytes of a chunk that is not of the medium have arrived in `buffer`. */
  protected abstract arrived(): void;
  /** What the disk is to do in phases LOAD, STORE and WORK; then `worked` goes on. */
  protected abstract work(): Promise<void>;
  protected abstract worked(): void;
  /** Moves one piece between the medium and `piece`, from `offset` of the disk on. */
  protected abstract medium(offset: number, piece: Uint8Array, writes: boolean): Promise<void>;
  /** The command ended well: status, reason; `worked` and all transfers come here. */
  protected abstract complete(): void;
  /** The medium failed under the command. */
  protected abstract mediumFailed(): void;

  /** Power-on. */
  reset(): void {
    this.life++;
    const { interrupt } = this.state;
    reset(this.layout, this.state);
    this.softReset();
    if (interrupt) this.host.interrupt(this);
  }

  /** SRST, DEVICE RESET: the command ends, settings stay. */
  softReset(): void {
    this.life++;
    const { state } = this;
    state.buffer = new Uint8Array(0);
    state.phase = PHASE.IDLE;
    state.position = state.blockEnd = state.left = 0;
    state.error = 1; // the diagnostic code: passed
    this.setInterrupt(false);
    this.signature();
  }

  resumed(): void {
    this.life++;
    this.host.interrupt(this);
    const { phase } = this.state;
    if (phase === PHASE.LOAD || phase === PHASE.STORE || phase === PHASE.WORK) this.start(phase);
    else if (phase === PHASE.TRANSFER || phase === PHASE.DMA) {
      this.state.phase = PHASE.DMA;
      this.host.dma(this);
    } else if (this.host.wholeChunks && (phase === PHASE.DATA_IN || phase === PHASE.DATA_OUT)) this.host.data(this);
  }

  get busy(): boolean {
    return (this.state.status & (STATUS.BSY | STATUS.DRQ)) !== 0;
  }

  /** The block that waits to be taken or filled; empty when none does. */
  get block(): Uint8Array {
    const { buffer, position, blockEnd } = this.state;
    return buffer.subarray(position, blockEnd);
  }

  /** Bytes that the DMA command still moves. */
  get dmaLength(): number {
    const { phase, left, buffer } = this.state;
    return phase === PHASE.DMA || phase === PHASE.TRANSFER ? left + buffer.length : 0;
  }

  /** Does the command move data from the host to the drive? */
  get writing(): boolean {
    return this.state.writes === 1;
  }

  /** Writes the command register. The host adapter refuses commands to a busy drive. */
  execute(command: number): void {
    this.life++;
    this.state.command = command;
    this.state.phase = PHASE.IDLE;
    this.state.writes = 0;
    this.state.error = 0;
    this.setInterrupt(false);
    this.begin(command);
  }

  setInterrupt(level: boolean): void {
    if ((this.state.interrupt === 1) === level) return;
    this.state.interrupt = level ? 1 : 0;
    this.host.interrupt(this);
  }

  /** A read of the data register of `size` bytes; a drive that offers nothing answers 0. */
  readData(size: 2 | 4): number {
    const { state } = this;
    if (state.phase !== PHASE.DATA_IN) return 0;
    let value = 0;
    for (let i = 0; i < size && state.position + i < state.blockEnd; i++)
      value |= state.buffer[state.position + i] << (8 * i);
    this.moved(size);
    return value >>> 0;
  }

  writeData(size: 2 | 4, value: number): void {
    const { state } = this;
    if (state.phase !== PHASE.DATA_OUT) return;
    for (let i = 0; i < size && state.position + i < state.blockEnd; i++)
      state.buffer[state.position + i] = value >>> (8 * i);
    this.moved(size);
  }

  /** `length` bytes of the block were taken or filled. */
  moved(length: number): void {
    const { state } = this;
    if (state.phase !== PHASE.DATA_IN && state.phase !== PHASE.DATA_OUT) return;
    state.position = Math.min(state.position + length, state.blockEnd);
    if (state.position < state.blockEnd) return;
    if (state.position < state.buffer.length) this.present(state.phase, true);
    else if (state.phase === PHASE.DATA_OUT) {
      if (state.left > 0) this.start(PHASE.STORE);
      else this.arrived();
    } else if (state.left > 0) this.start(PHASE.LOAD);
    else this.taken();
  }

  /** The host has taken the last block. */
  protected taken(): void {
    this.end();
  }

  /** Begins a transfer of `length` bytes of the medium by PIO, in blocks of `block` bytes. */
  protected pioMedium(writes: boolean, offset: number, length: number, block: number): void {
    const { state } = this;
    Object.assign(state, { writes: writes ? 1 : 0, offset, left: length, block });
    if (writes) this.expect(Math.min(length, CHUNK), false);
    else this.start(PHASE.LOAD);
  }

  /** Offers bytes that are not of the medium. */
  protected offer(data: Uint8Array, block: number): void {
    Object.assign(this.state, { writes: 0, left: 0, buffer: data, position: 0, block });
    this.present(PHASE.DATA_IN, true);
  }

  /** Waits for `length` bytes of the host. The first block of a command has no interrupt. */
  protected expect(length: number, interrupt: boolean): void {
    Object.assign(this.state, { writes: 1, buffer: new Uint8Array(length), position: 0 });
    this.present(PHASE.DATA_OUT, interrupt);
  }

  /** Begins DMA: bytes of the medium, or of `data` when given. */
  protected dmaMedium(writes: boolean, offset: number, length: number, data: Uint8Array = new Uint8Array(0)): void {
    const { state } = this;
    Object.assign(state, { writes: writes ? 1 : 0, offset, left: length, buffer: data, phase: PHASE.DMA });
    state.status = READY | STATUS.DRQ;
    this.host.dma(this);
  }

  /** The next block waits. */
  protected present(phase: number, interrupt: boolean): void {
    const { state } = this;
    state.phase = phase;
    const length = this.host.wholeChunks ? state.buffer.length : state.block;
    state.blockEnd = Math.min(state.position + length, state.buffer.length);
    state.status = READY | STATUS.DRQ;
    this.presented();
    if (interrupt) {
      this.setInterrupt(false);
      this.setInterrupt(true);
    }
    this.host.data(this);
  }

  /** A packet device tells the block's length in its registers. */
  protected presented(): void {}

  /** Busy until the disk has done what `work` says. */
  protected start(phase: number): void {
    this.state.phase = phase;
    this.state.status = READY | STATUS.BSY;
    void this.later(
      () => this.work(),
      () => {
        if (phase === PHASE.LOAD) this.loaded();
        else if (phase === PHASE.STORE) this.stored();
        else this.worked();
      },
    );
  }

  /** Runs what the disk takes time for, then goes on, unless a reset came in between. */
  private async later(run: () => Promise<void>, then: () => void): Promise<void> {
    const life = ++this.life;
    try {
      await run();
    } catch (error) {
      if (life !== this.life) return;
      this.log.guestError(this.name, `the disk failed: ${error instanceof Error ? error.message : String(error)}`);
      this.mediumFailed();
      return;
    }
    if (life === this.life) then();
  }

  /** Work of phases LOAD and STORE. */
  protected chunk(): Promise<void> {
    const { state } = this;
    if (state.phase === PHASE.LOAD) state.buffer = new Uint8Array(Math.min(state.left, CHUNK));
    return this.medium(state.offset, state.buffer, state.phase === PHASE.STORE);
  }

  private loaded(): void {
    const { state } = this;
    state.offset += state.buffer.length;
    state.left -= state.buffer.length;
    state.position = 0;
    this.present(PHASE.DATA_IN, true);
  }

  private stored(): void {
    const { state } = this;
    state.offset += state.buffer.length;
    state.left -= state.buffer.length;
    if (state.left > 0) this.expect(Math.min(state.left, CHUNK), true);
    else this.complete();
  }

  /**
   * The host's answer to `AtaHost.dma`: where in guest memory the data goes or comes from. Fewer bytes than `dmaLength`
   * end the command without an interrupt.
   */
  transfer(segments: readonly Segment[], dma: Dma): void {
    if (this.state.phase !== PHASE.DMA) return;
    this.state.phase = PHASE.TRANSFER;
    let faulty = false;
    const length = Math.min(lengthOf(segments), this.dmaLength);
    const short = length < this.dmaLength;
    void this.later(
      async () => {
        faulty = !(await this.run(segments, dma, length, this.life));
      },
      () => {
        this.state.left = 0;
        this.state.buffer = new Uint8Array(0);
        if (faulty) {
          this.endTransfer(true);
          this.abort();
        } else if (short) this.end();
        else {
          this.endTransfer(false);
          this.complete();
        }
      },
    );
  }

  /** The host stops DMA in the middle. */
  stopTransfer(): void {
    if (this.state.phase !== PHASE.TRANSFER) return;
    this.life++;
    this.state.phase = PHASE.DMA;
  }

  /** Moves the data; false when guest memory that a write needs is not there. */
  private async run(segments: readonly Segment[], dma: Dma, length: number, life: number): Promise<boolean> {
    const { state } = this;
    if (state.buffer.length > 0) {
      if (scatter(dma, segments, 0, state.buffer.subarray(0, length)) < length) this.lost();
      return true;
    }
    const piece = new Uint8Array(Math.min(CHUNK, length));
    for (let done = 0; done < length; ) {
      const part = piece.subarray(0, Math.min(CHUNK, length - done));
      if (state.writes) {
        if (gather(dma, segments, done, part) < part.length) {
          this.lost();
          return false;
        }
        await this.medium(state.offset + done, part, true);
      } else {
        await this.medium(state.offset + done, part, false);
        if (life !== this.life) return true;
        if (scatter(dma, segments, done, part) < part.length) this.lost();
      }
      if (life !== this.life) return true;
      done += part.length;
    }
    return true;
  }

  private endTransfer(faulty: boolean): void {
    if (this.state.phase !== PHASE.TRANSFER) return;
    this.state.phase = PHASE.IDLE;
    this.host.dmaEnded(this, faulty);
  }

  /** An adapter without DMA refuses it. */
  refuseDma(): void {
    if (this.state.phase === PHASE.DMA) this.abort();
  }

  private lost(): void {
    this.log.guestError(this.name, 'DMA outside RAM');
  }

  /** The command ended, with an interrupt unless PIO data-in ended it. */
  protected end(interrupt = false, status = READY): void {
    const { state } = this;
    this.endTransfer(false);
    state.phase = PHASE.IDLE;
    state.left = state.position = state.blockEnd = 0;
    state.buffer = new Uint8Array(0);
    state.status = status;
    if (interrupt) this.setInterrupt(true);
    this.host.finished(this);
  }

  /** The command ends with an error. */
  protected fail(error: number): void {
    this.state.error = error;
    this.end(true, READY | STATUS.ERR);
  }

  protected abort(): void {
    this.fail(ERROR.ABRT);
  }

  /** Sets the low bytes of the address registers. */
  protected setRegisters(count: number, low: number, mid: number, high: number): void {
    Object.assign(this.state, { count, lbaLow: low, lbaMid: mid, lbaHigh: high });
  }
}
