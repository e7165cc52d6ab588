/**
 * virtio block device over a Disk.
 *
 * Spec: OASIS VIRTIO 1.2, "Block Device". Discard, write zeroes and the zoned
 * commands are not offered and answered with UNSUPP.
 *
 * A request in flight is state: a snapshot holds it, and it starts over after
 * a load (reads and writes may be repeated). Data goes through a buffer of ours,
 * so a reset cannot be followed by a late write to guest memory.
 */
import { readU32, readU64, writeU16, writeU32, writeU64 } from '../../bits/endian.ts';
import { utf8 } from '../../bits/text.ts';
import type { Wiring } from '../../hw/device.ts';
import type { Disk } from '../../hw/disk.ts';
import { VirtioDevice, virtioFields } from '../../hw/virtio.ts';
import { type Chain, gather, lengthOf, type Segment, scatter } from '../../hw/virtqueue.ts';
import { create, json, type Layout, layout, type StateOf } from '../../state/layout.ts';

const SECTOR = 512;
const ID_LENGTH = 20;
/** Data moves in pieces of at most this many bytes. */
const PIECE = 0x4_0000;
const FEATURE = { SEG_MAX: 1n << 2n, RO: 1n << 5n, BLK_SIZE: 1n << 6n, FLUSH: 1n << 9n, MQ: 1n << 12n };
const TYPE = { IN: 0, OUT: 1, FLUSH: 4, GET_ID: 8 };
const RESULT = { OK: 0, IOERR: 1, UNSUPP: 2 };

/** A request that the disk works on. */
type Request = Chain & { queue: number; type: number; offset: number; length: number };

function fields(queueSizes: readonly number[]) {
  return { ...virtioFields(queueSizes), inFlight: json<Request[]>(() => []) };
}
type BlkLayout = Layout<ReturnType<typeof fields>>;

export interface VirtioBlkOptions {
  /** Shown by GET_ID; the first 20 bytes count. */
  readonly serial?: string;
  /** Entries of a queue, a power of two up to 1024. */
  readonly queueSize?: number;
  readonly queues?: number;
  /** Bytes; what the guest is told is the sector size of the disk. */
  readonly logicalBlockSize?: number;
}

export class VirtioBlk extends VirtioDevice {
  override readonly layout: BlkLayout;
  override readonly state: StateOf<BlkLayout>;
  override readonly deviceId = 2;
  protected override readonly ownFeatures: bigint;
  private readonly disk: Disk;
  private readonly options: VirtioBlkOptions;
  private readonly queueSize: number;

  constructor(name: string, wiring: Wiring, disk: Disk, options: VirtioBlkOptions = {}) {
    const queueSize = options.queueSize ?? 256;
    const sizes: number[] = new Array(options.queues ?? 1).fill(queueSize);
    super(name, wiring, sizes);
    this.layout = layout('virtio-blk', 1, fields(sizes));
    this.state = create(this.layout);
    this.disk = disk;
    this.options = options;
    this.queueSize = queueSize;
    this.ownFeatures =
      FEATURE.SEG_MAX |
      FEATURE.BLK_SIZE |
      FEATURE.FLUSH |
      (disk.readOnly ? FEATURE.RO : 0n) |
      (sizes.length > 1 ? FEATURE.MQ : 0n);
  }

  protected override config(): Uint8Array {
    const bytes = new Uint8Array(36);
    writeU64(bytes, 0, Math.floor(this.disk.size / SECTOR));
    writeU32(bytes, 12, Math.max(1, this.queueSize - 2)); // seg_max: header and status take two
    writeU32(bytes, 20, this.options.logicalBlockSize ?? SECTOR);
    writeU16(bytes, 34, this.queues.length);
    return bytes;
  }

  /** The disk has another size now. */
  resized(): void {
    this.configChanged();
  }

  /** Starts over what a snapshot caught in flight. */
  resumed(): void {
    this.life++;
    for (const request of this.state.inFlight) void this.run(request);
  }

  protected override notified(queue: number): void {
    for (let chain = this.pop(queue); chain; chain = this.pop(queue)) this.accept(queue, chain);
  }

  private accept(queue: number, chain: Chain): void {
    const header = new Uint8Array(16);
    const room = lengthOf(chain.writable);
    if (gather(this.wiring.dma, chain.readable, 0, header) < 16 || room < 1) {
      this.broken(`queue ${queue}: a request without header or status`);
      return;
    }
    const type = readU32(header, 0);
    const offset = readU64(header, 8) * SECTOR;
    const length = type === TYPE.OUT ? lengthOf(chain.readable) - 16 : room - 1;
    const request: Request = { ...chain, queue, type, offset, length };
    switch (type) {
      case TYPE.IN:
      case TYPE.OUT:
        if (length % SECTOR || offset + length > this.disk.size || (type === TYPE.OUT && this.disk.readOnly)) {
          this.finish(request, RESULT.IOERR, 0);
          return;
        }
        break;
      case TYPE.FLUSH:
        break;
      case TYPE.GET_ID: {
        const id = new Uint8Array(Math.min(ID_LENGTH, length));
        id.set(utf8(this.options.serial ?? '').subarray(0, id.length));
        this.finish(request, RESULT.OK, scatter(this.wiring.dma, request.writable, 0, id));
        return;
      }
      default:
        this.finish(request, RESULT.UNSUPP, 0);
        return;
    }
    this.state.inFlight.push(request);
    void this.run(request);
  }

  private async run(request: Request): Promise<void> {
    const { life } = this;
    let result = RESULT.OK;
    let written = 0;
    try {
      if (request.type === TYPE.FLUSH) await this.disk.flush();
      const piece = new Uint8Array(request.type === TYPE.FLUSH ? 0 : Math.min(PIECE, request.length));
      for (let done = 0; request.type !== TYPE.FLUSH && done < request.length; done += PIECE) {
        const part = piece.subarray(0, Math.min(PIECE, request.length - done));
        if (request.type === TYPE.IN) {
          await this.disk.read(request.offset + done, part);
          if (life !== this.life) return;
          const moved = scatter(this.wiring.dma, request.writable, done, part);
          written += moved;
          if (moved < part.length) return this.lost(request, written);
        } else {
          if (gather(this.wiring.dma, request.readable, 16 + done, part) < part.length) return this.lost(request, 0);
          await this.disk.write(request.offset + done, part);
          if (life !== this.life) return;
        }
      }
    } catch (error) {
      this.log.guestError(this.name, `the disk failed: ${error instanceof Error ? error.message : String(error)}`);
      result = RESULT.IOERR;
    }
    if (life !== this.life) return;
    this.end(request, result, written);
  }

  /** An IOMMU does not show the buffers any more. */
  private lost(request: Request, written: number): void {
    this.log.guestError(this.name, 'the buffers of a request are gone');
    this.end(request, RESULT.IOERR, written);
  }

  private end(request: Request, result: number, written: number): void {
    const at = this.state.inFlight.indexOf(request);
    if (at >= 0) this.state.inFlight.splice(at, 1);
    this.finish(request, result, written);
  }

  /** Writes the status, which is the last writable byte, and returns the chain. */
  private finish(request: Request, result: number, written: number): void {
    const end = lengthOf(request.writable);
    scatter(this.wiring.dma, lastByte(request.writable), 0, Uint8Array.of(result));
    // Up to here the device wrote without a gap only when the data filled all of its buffers.
    this.push(request.queue, request.head, result === RESULT.OK && written === end - 1 ? end : written + 1);
  }
}

function lastByte(segments: readonly Segment[]): Segment[] {
  const last = segments[segments.length - 1];
  return last ? [{ address: last.address + last.length - 1, length: 1 }] : [];
}
