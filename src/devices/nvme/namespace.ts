/**
 * A namespace and its commands.
 *
 * Spec: NVM Express 1.4, "NVM Command Set".
 * Departure: deallocation (Dataset Management) is checked and changes nothing,
 * as the spec allows.
 */
import { readU32, readU64 } from '../../bits/endian.ts';
import type { DeviceLog, Dma } from '../../hw/device.ts';
import type { Disk } from '../../hw/disk.ts';
import { gather, scatter } from '../../hw/virtqueue.ts';
import { type Command, NVM, STATUS } from './commands.ts';
import { NAMESPACES } from './identify.ts';
import { prpSegments } from './prp.ts';

const ALL = 0xffff_ffff;
/** Data moves in pieces of at most this many bytes. */
const PIECE = 0x2_0000;

export interface Counters {
  reads: number;
  writes: number;
}

export class Namespace {
  readonly disk: Disk;
  /** Logical blocks, and their size as a power of two. */
  readonly blocks: number;
  readonly shift: number;
  /** Commands since the start, for the health log: fields of the controller's state. */
  readonly counters: Counters;
  /** The guest switched the volatile write cache off: every write is flushed. */
  writeThrough = false;
  private readonly name: string;
  private readonly log: DeviceLog;
  private readonly dma: Dma;

  constructor(name: string, log: DeviceLog, dma: Dma, disk: Disk, blockSize: number, counters: Counters) {
    this.name = name;
    this.log = log;
    this.dma = dma;
    this.disk = disk;
    this.counters = counters;
    this.shift = Math.log2(blockSize);
    this.blocks = Math.floor(disk.size / blockSize);
  }

  /** Never rejects: a shutdown goes on when the disk fails. */
  async flush(): Promise<void> {
    await this.disk.flush().catch((error: unknown) => this.failed(error));
  }

  /** Runs a command; resolves to its status. Stops early when `alive` says no. */
  async execute(command: Command, page: number, limit: number, alive: () => boolean): Promise<number> {
    const { namespace, opcode } = command;
    if (command.unsupported) return STATUS.INVALID_FIELD;
    if (namespace !== NAMESPACES && !(opcode === NVM.FLUSH && namespace === ALL)) return STATUS.INVALID_NAMESPACE;
    try {
      switch (opcode) {
        case NVM.FLUSH:
          await this.disk.flush();
          return STATUS.OK;
        case NVM.READ:
        case NVM.WRITE:
        case NVM.COMPARE:
          return await this.move(command, page, limit, alive);
        case NVM.WRITE_ZEROES:
          return await this.zero(command, alive);
        case NVM.DATASET_MANAGEMENT:
          return this.ranges(command, page);
        default:
          return STATUS.INVALID_OPCODE;
      }
    } catch (error) {
      this.failed(error);
      return opcode === NVM.READ || opcode === NVM.COMPARE ? STATUS.READ_ERROR : STATUS.WRITE_FAULT;
    }
  }

  private failed(error: unknown): void {
    this.log.guestError(this.name, `the disk failed: ${error instanceof Error ? error.message : String(error)}`);
  }

  private check(lba: number, blocks: number, writes: boolean): number {
    if (lba + blocks > this.blocks) return STATUS.LBA_RANGE;
    return writes && this.disk.readOnly ? STATUS.READ_ONLY : STATUS.OK;
  }

  private async move(command: Command, page: number, limit: number, alive: () => boolean): Promise<number> {
    const { opcode, lba, blocks } = command;
    const writes = opcode === NVM.WRITE;
    const length = blocks * 2 ** this.shift;
    if (length > limit) return STATUS.INVALID_FIELD;
    const wrong = this.check(lba, blocks, writes);
    if (wrong) return wrong;
    const segments = prpSegments(this.dma, command.prp1, command.prp2, length, page, opcode === NVM.READ);
    if (typeof segments === 'number') return segments;
    this.counters[writes ? 'writes' : 'reads']++;
    const piece = new Uint8Array(Math.min(PIECE, length));
    const mine = opcode === NVM.COMPARE ? new Uint8Array(piece.length) : piece;
    for (let done = 0; done < length && alive(); done += PIECE) {
      const part = piece.subarray(0, Math.min(PIECE, length - done));
      const offset = lba * 2 ** this.shift + done;
      if (opcode !== NVM.WRITE) await this.disk.read(offset, part);
      if (!alive()) break;
      const own = mine.subarray(0, part.length);
      const moved = (opcode === NVM.READ ? scatter : gather)(this.dma, segments, done, own);
      if (moved < part.length) return STATUS.DATA_TRANSFER;
      if (opcode === NVM.WRITE) await this.disk.write(offset, part);
      else if (opcode === NVM.COMPARE && part.some((byte, i) => byte !== own[i])) return STATUS.COMPARE_FAILURE;
    }
    if (writes && alive() && (command.forceUnitAccess || this.writeThrough)) await this.disk.flush();
    return STATUS.OK;
  }

  private async zero(command: Command, alive: () => boolean): Promise<number> {
    const { lba, blocks } = command;
    const wrong = this.check(lba, blocks, true);
    if (wrong) return wrong;
    const length = blocks * 2 ** this.shift;
    const zeros = new Uint8Array(Math.min(PIECE, length));
    for (let done = 0; done < length && alive(); done += PIECE)
      await this.disk.write(lba * 2 ** this.shift + done, zeros.subarray(0, Math.min(PIECE, length - done)));
    if (alive() && (command.forceUnitAccess || this.writeThrough)) await this.disk.flush();
    return STATUS.OK;
  }

  private ranges(command: Command, page: number): number {
    const count = (command.dword(10) & 0xff) + 1;
    const segments = prpSegments(this.dma, command.prp1, command.prp2, 16 * count, page, false);
    if (typeof segments === 'number') return segments;
    const list = new Uint8Array(16 * count);
    if (gather(this.dma, segments, 0, list) < list.length) return STATUS.DATA_TRANSFER;
    for (let at = 0; at < list.length; at += 16) {
      if (readU64(list, at + 8) + readU32(list, at + 4) > this.blocks) return STATUS.LBA_RANGE;
    }
    return STATUS.OK;
  }
}
