/**
 * An ATA hard disk.
 *
 * Spec: ATA/ATAPI-6, "Command descriptions"; IDENTIFY as QEMU's disks answer.
 * Departures: no security, no host protected area (SET MAX), no TRIM; power
 * modes are taken and change nothing.
 */
import { create, initially, type StateOf, u1, u8, u16 } from '../../state/layout.ts';
import type { DeviceLog, Dma } from '../device.ts';
import type { Disk } from '../disk.ts';
import { gather, type Segment, scatter } from '../virtqueue.ts';
import { type AddressSpace, addressBehind, EXTENDED, type Range, rangeOf, setAddress, TRANSFERS } from './address.ts';
import { COMMAND, DEVICE, defaultGeometry, ERROR, type Geometry, READY, SECTOR } from './ata.ts';
import { AtaDrive, CHUNK } from './ata-drive.ts';
import { ataLayout, PHASE } from './ata-state.ts';
import { type AtaDiskOptions, identifyDisk, LBA28_LIMIT, MAX_MULTIPLE } from './identify.ts';
import { setFeatures } from './set-features.ts';
import { smartCommand } from './smart.ts';

const STATE = ataLayout('ata-disk', {
  multiple: initially(u8, MAX_MULTIPLE), // sectors of a block of READ MULTIPLE; 0 when it is off
  mode: initially(u8, 0x45), // transfer mode as SET FEATURES takes it: UDMA 5
  // The geometry that CHS addresses count in (INITIALIZE DEVICE PARAMETERS); 0 for the default.
  heads: u8,
  sectors: u8,
  writeCache: initially(u1, 1),
  smart: initially(u1, 1),
  autosave: initially(u1, 1),
  selfTests: u16,
});

export class AtaDisk extends AtaDrive {
  override readonly layout = STATE;
  override readonly state: StateOf<typeof STATE> = create(STATE);
  override readonly packet = false;
  readonly disk: Disk;
  readonly geometry: Geometry;
  /** Sectors of 512 bytes. */
  readonly capacity: number;
  private readonly options: AtaDiskOptions;

  constructor(name: string, log: DeviceLog, disk: Disk, options: AtaDiskOptions = {}) {
    super(name, log);
    this.disk = disk;
    this.options = options;
    this.capacity = Math.floor(disk.size / SECTOR);
    this.geometry = options.geometry ?? defaultGeometry(this.capacity);
    this.softReset();
  }

  /** What `execute` does, by command; an absent one is aborted. */
  protected override begin(command: number): void {
    const { state } = this;
    switch (command) {
      case COMMAND.READ_SECTORS:
      case COMMAND.READ_SECTORS_NO_RETRY:
        this.pio(false, false, 1);
        return;
      case COMMAND.READ_SECTORS_EXT:
        this.pio(false, true, 1);
        return;
      case COMMAND.READ_MULTIPLE:
        this.pio(false, false, state.multiple);
        return;
      case COMMAND.READ_MULTIPLE_EXT:
        this.pio(false, true, state.multiple);
        return;
      case COMMAND.WRITE_SECTORS:
      case COMMAND.WRITE_SECTORS_NO_RETRY:
      case COMMAND.WRITE_VERIFY:
        this.pio(true, false, 1);
        return;
      case COMMAND.WRITE_SECTORS_EXT:
        this.pio(true, true, 1);
        return;
      case COMMAND.WRITE_MULTIPLE:
        this.pio(true, false, state.multiple);
        return;
      case COMMAND.WRITE_MULTIPLE_EXT:
        this.pio(true, true, state.multiple);
        return;
      case COMMAND.READ_DMA:
      case COMMAND.READ_DMA_NO_RETRY:
        this.direct(false, false);
        return;
      case COMMAND.READ_DMA_EXT:
        this.direct(false, true);
        return;
      case COMMAND.WRITE_DMA:
      case COMMAND.WRITE_DMA_NO_RETRY:
        this.direct(true, false);
        return;
      case COMMAND.WRITE_DMA_EXT:
        this.direct(true, true);
        return;
      case COMMAND.READ_VERIFY:
      case COMMAND.READ_VERIFY_NO_RETRY:
        this.verify(false);
        return;
      case COMMAND.READ_VERIFY_EXT:
        this.verify(true);
        return;
      case COMMAND.FLUSH_CACHE:
      case COMMAND.FLUSH_CACHE_EXT:
        this.start(PHASE.WORK);
        return;
      case COMMAND.IDENTIFY:
        this.offer(this.identify(), SECTOR);
        return;
      case COMMAND.SET_FEATURES:
        this.setFeatures();
        return;
      case COMMAND.SET_MULTIPLE:
        this.setMultiple(state.count & 0xff);
        return;
      case COMMAND.INITIALIZE_PARAMETERS:
        state.heads = (state.device & DEVICE.HEAD) + 1;
        state.sectors = state.count & 0xff;
        this.complete();
        return;
      case COMMAND.READ_NATIVE_MAX:
        setAddress(state, Math.min(this.capacity, LBA28_LIMIT + 1) - 1, false);
        this.complete();
        return;
      case COMMAND.READ_NATIVE_MAX_EXT:
        setAddress(state, this.capacity - 1, true);
        this.complete();
        return;
      case COMMAND.SMART:
        this.smart();
        return;
      case COMMAND.CHECK_POWER_MODE:
        state.count = 0xff; // active
        this.complete();
        return;
      case COMMAND.EXECUTE_DIAGNOSTIC:
        this.softReset();
        state.error = 1;
        this.end(true);
        return;
      case COMMAND.SEEK:
        if (this.range(false)) this.complete();
        else this.fail(ERROR.IDNF);
        return;
      case COMMAND.STANDBY_IMMEDIATE:
      case COMMAND.IDLE_IMMEDIATE:
      case COMMAND.STANDBY:
      case COMMAND.IDLE:
      case COMMAND.SLEEP:
        this.complete();
        return;
      case COMMAND.IDENTIFY_PACKET:
        this.abort();
        return;
      default:
        if ((command & 0xf0) === COMMAND.RECALIBRATE) {
          this.complete();
          return;
        }
        this.abort();
        return;
    }
  }

  protected override signature(): void {
    const { state } = this;
    this.setRegisters(1, 1, 0, 0);
    state.device = DEVICE.OBSOLETE | (state.device & DEVICE.DEV);
    state.status = READY;
  }

  protected override arrived(): void {
    this.abort(); // no command takes data that does not go to the medium
  }

  protected override complete(): void {
    const { state } = this;
    if (state.writes && !state.writeCache) {
      this.start(PHASE.WORK);
      return;
    }
    this.worked();
  }

  protected override taken(): void {
    this.advance();
    this.end();
  }

  private advance(): void {
    const extended = EXTENDED.has(this.state.command);
    if (TRANSFERS.has(this.state.command) || extended) addressBehind(this.state, this.space, extended);
  }

  protected override mediumFailed(): void {
    this.fail(this.state.writes ? ERROR.ABRT : ERROR.UNC);
  }

  protected override work(): Promise<void> {
    if (this.state.phase !== PHASE.WORK) return this.chunk();
    return isVerify(this.state.command) ? this.readThrough() : this.disk.flush();
  }

  protected override worked(): void {
    this.advance();
    this.state.writes = 0;
    this.end(true);
  }

  protected override medium(offset: number, piece: Uint8Array, writes: boolean): Promise<void> {
    return writes ? this.disk.write(offset, piece) : this.disk.read(offset, piece);
  }

  /**
   * A queued command (NCQ): moves `sectors` sectors from `lba` on to or from guest memory. Resolves to the error
   * register, 0 when all went well; stops when `alive` says no.
   */
  async queued(
    request: { readonly writes: boolean; readonly lba: number; readonly sectors: number; readonly force: boolean },
    segments: readonly Segment[],
    dma: Dma,
    alive: () => boolean,
  ): Promise<number> {
    const { writes, lba, sectors, force } = request;
    if (lba + sectors > this.capacity) return ERROR.IDNF;
    if (writes && this.disk.readOnly) return ERROR.ABRT;
    const piece = new Uint8Array(Math.min(CHUNK, sectors * SECTOR));
    try {
      for (let done = 0; done < sectors * SECTOR && alive(); done += CHUNK) {
        const part = piece.subarray(0, Math.min(CHUNK, sectors * SECTOR - done));
        if (!writes) await this.disk.read(lba * SECTOR + done, part);
        if (!alive()) return 0;
        if ((writes ? gather : scatter)(dma, segments, done, part) < part.length) return ERROR.ABRT;
        if (writes) await this.disk.write(lba * SECTOR + done, part);
      }
      if (writes && alive() && (force || !this.state.writeCache)) await this.disk.flush();
      return 0;
    } catch (error) {
      this.log.guestError(this.name, `the disk failed: ${error instanceof Error ? error.message : String(error)}`);
      return writes ? ERROR.ABRT : ERROR.UNC;
    }
  }

  private range(extended: boolean): Range | undefined {
    return rangeOf(this.state, this.space, extended);
  }

  /** The geometry that addresses count in, and the capacity. */
  private get space(): AddressSpace {
    const { heads, sectors } = this.state;
    const { geometry, capacity } = this;
    return { heads: heads || geometry.heads, sectors: sectors || geometry.sectors, capacity };
  }

  private pio(writes: boolean, extended: boolean, blockSectors: number): void {
    const range = this.range(extended);
    if (blockSectors === 0 || (writes && this.disk.readOnly)) this.abort();
    else if (!range) this.fail(ERROR.IDNF);
    else {
      this.pioMedium(writes, range.lba * SECTOR, range.sectors * SECTOR, blockSectors * SECTOR);
    }
  }

  private direct(writes: boolean, extended: boolean): void {
    const range = this.range(extended);
    if (writes && this.disk.readOnly) this.abort();
    else if (!range) this.fail(ERROR.IDNF);
    else {
      this.dmaMedium(writes, range.lba * SECTOR, range.sectors * SECTOR);
    }
  }

  private verify(extended: boolean): void {
    const range = this.range(extended);
    if (!range) {
      this.fail(ERROR.IDNF);
      return;
    }
    Object.assign(this.state, { writes: 0, offset: range.lba * SECTOR, left: range.sectors * SECTOR });
    this.start(PHASE.WORK);
  }

  private async readThrough(): Promise<void> {
    const { offset, left } = this.state;
    const { life } = this;
    const piece = new Uint8Array(Math.min(CHUNK, left));
    for (let done = 0; done < left && life === this.life; done += CHUNK)
      await this.disk.read(offset + done, piece.subarray(0, Math.min(CHUNK, left - done)));
  }

  private setMultiple(sectors: number): void {
    if (sectors > MAX_MULTIPLE || sectors & (sectors - 1)) {
      this.abort();
      return;
    }
    this.state.multiple = sectors;
    this.complete();
  }

  private setFeatures(): void {
    const outcome = setFeatures(this.state);
    if (outcome === 'abort') this.abort();
    else if (outcome === 'flush') this.start(PHASE.WORK);
    else this.complete();
  }

  private smart(): void {
    const outcome = smartCommand(this.state);
    if (outcome === 'abort') this.abort();
    else if (outcome === 'complete') this.complete();
    else this.offer(outcome, SECTOR);
  }

  /** The 512 bytes of IDENTIFY DEVICE. */
  identify(): Uint8Array {
    return identifyDisk(this.state, this.capacity, this.geometry, this.options, this.host.queueDepth);
  }
}

function isVerify(command: number): boolean {
  return (
    command === COMMAND.READ_VERIFY || command === COMMAND.READ_VERIFY_NO_RETRY || command === COMMAND.READ_VERIFY_EXT
  );
}
