/**
 * An ATAPI CD/DVD-ROM drive with a tray.
 *
 * Spec: ATA/ATAPI-6, "PACKET command protocol"; MMC-6.
 * Departures: one data track; READ CD gives user data or raw frames without
 * check bytes; no audio. As QEMU, a change of media is told first as "no
 * medium", then as unit attention, so that guests see both.
 */
import { create, initially, type StateOf, u1, u8, u16 } from '../../state/layout.ts';
import type { DeviceLog } from '../device.ts';
import type { Disk } from '../disk.ts';
import { COMMAND, DEVICE, READY, REASON, SECTOR, STATUS } from './ata.ts';
import { AtaDrive } from './ata-drive.ts';
import { ataLayout, PHASE } from './ata-state.ts';
import { type DriveNames, identifyCdrom } from './identify.ts';
import { CD_SECTOR, type Medium, RAW_SECTOR, rawFrame } from './mmc.ts';
import { PACKET, SENSE } from './packet.ts';
import { PACKET_COMMANDS, type PacketDrive } from './packet-commands.ts';

const PACKET_LENGTH = 12;
/** How the drive tells of a new medium. */
const CHANGE = { TOLD: 0, ATTENTION: 1, ABSENT: 2 } as const;

const STATE = ataLayout('ata-cdrom', {
  mode: initially(u8, 0x45),
  byDma: u1, // the PACKET command asked for DMA
  byteLimit: u16,
  sense: u16,
  raw: u1, // READ CD of whole frames
  trayOpen: u1,
  locked: u1,
  changed: u8,
  event: u8, // media event for GET EVENT STATUS: 1 eject request, 2 new media
});

export interface AtapiCdromOptions extends DriveNames {
  /** The tray opened or closed by the guest's command. */
  readonly onTray?: (open: boolean) => void;
}

export class AtapiCdrom extends AtaDrive implements PacketDrive {
  override readonly layout = STATE;
  override readonly state: StateOf<typeof STATE> = create(STATE);
  override readonly packet = true;
  private disk: Disk | undefined;
  private readonly options: AtapiCdromOptions;

  constructor(name: string, log: DeviceLog, disk?: Disk, options: AtapiCdromOptions = {}) {
    super(name, log);
    this.disk = disk;
    this.options = options;
    this.softReset();
  }

  /** The tray, its lock and what is in it outlive a reset. */
  override reset(): void {
    const { trayOpen, changed } = this.state;
    super.reset();
    Object.assign(this.state, { trayOpen, changed });
  }

  /** The medium in the drive, open tray or not. */
  get inserted(): Disk | undefined {
    return this.disk;
  }

  /** The host puts a medium in (the tray closes) or takes it out (it opens). */
  change(disk: Disk | undefined): void {
    this.disk = disk;
    const { state } = this;
    if (state.phase !== PHASE.IDLE && state.phase !== PHASE.DATA_OUT) {
      this.life++; // what was being read is gone
      this.mediumFailed();
    }
    state.trayOpen = disk ? 0 : 1;
    state.changed = disk ? CHANGE.ABSENT : CHANGE.TOLD;
    state.event = disk ? 2 : 0;
  }

  /** The host presses the button. False when the guest has locked the tray; it is asked then. */
  requestEject(force = false): boolean {
    if (this.state.locked && !force) {
      this.state.event = 1;
      return false;
    }
    this.state.locked = 0;
    this.state.trayOpen = 1;
    return true;
  }

  protected override begin(command: number): void {
    const { state } = this;
    switch (command) {
      case COMMAND.PACKET:
        if (state.features & 2) {
          // overlap
          this.abort();
          return;
        }
        state.byDma = state.features & 1;
        state.byteLimit = (state.lbaMid & 0xff) | ((state.lbaHigh & 0xff) << 8);
        state.raw = 0;
        state.block = PACKET_LENGTH;
        state.left = 0;
        this.expect(PACKET_LENGTH, false);
        return;
      case COMMAND.IDENTIFY_PACKET:
        this.offer(this.identify(), SECTOR);
        return;
      case COMMAND.IDENTIFY:
      case COMMAND.READ_SECTORS:
        this.setRegisters(1, 1, 0x14, 0xeb);
        this.abort();
        return;
      case COMMAND.DEVICE_RESET:
        this.softReset();
        this.host.finished(this);
        return;
      case COMMAND.EXECUTE_DIAGNOSTIC:
        this.softReset();
        state.error = 1;
        this.end(true, 0);
        return;
      case COMMAND.SET_FEATURES:
        if ((state.features & 0xff) === 3) state.mode = state.count & 0xff;
        this.end(true);
        return;
      case COMMAND.STANDBY_IMMEDIATE:
      case COMMAND.IDLE_IMMEDIATE:
      case COMMAND.STANDBY:
      case COMMAND.IDLE:
      case COMMAND.SLEEP:
        this.end(true);
        return;
      case COMMAND.CHECK_POWER_MODE:
        state.count = 0xff;
        this.end(true);
        return;
      default:
        this.abort();
        return;
    }
  }

  protected override signature(): void {
    const { state } = this;
    this.setRegisters(1, 1, 0x14, 0xeb);
    state.device = DEVICE.OBSOLETE | (state.device & DEVICE.DEV);
    state.status = 0; // not ready until a command comes
  }

  protected override presented(): void {
    const { state } = this;
    if (state.command !== COMMAND.PACKET) return;
    const length = state.blockEnd - state.position;
    state.count = state.phase === PHASE.DATA_IN ? REASON.IO : REASON.CD;
    if (state.phase === PHASE.DATA_IN) {
      state.lbaMid = length & 0xff;
      state.lbaHigh = (length >> 8) & 0xff;
    }
  }

  protected override taken(): void {
    if (this.state.command === COMMAND.PACKET) this.complete();
    else this.end();
  }

  protected override complete(): void {
    this.state.error = 0;
    this.state.count = REASON.CD | REASON.IO;
    this.end(true);
  }

  protected override mediumFailed(): void {
    this.refuse(SENSE.READ_ERROR);
  }

  protected override work(): Promise<void> {
    return this.chunk();
  }

  protected override worked(): void {
    this.complete();
  }

  /** In a raw read, offsets count whole frames. */
  protected override async medium(offset: number, piece: Uint8Array): Promise<void> {
    const { disk } = this;
    if (!disk) throw new Error('the medium is gone');
    if (!this.state.raw) return disk.read(offset, piece);
    const user = new Uint8Array(CD_SECTOR);
    for (let done = 0; done < piece.length; ) {
      const lba = Math.floor((offset + done) / RAW_SECTOR);
      const from = (offset + done) % RAW_SECTOR;
      await disk.read(lba * CD_SECTOR, user);
      const part = rawFrame(lba, user).subarray(from, from + piece.length - done);
      piece.set(part, done);
      done += part.length;
    }
  }

  /** The command ends with sense data for REQUEST SENSE. */
  private refuse(sense: number): void {
    const { state } = this;
    state.sense = sense;
    state.error = (sense >> 8) << 4;
    state.count = REASON.CD | REASON.IO;
    this.end(true, READY | STATUS.ERR);
  }

  private view(): Medium {
    const { trayOpen, locked } = this.state;
    const sectors = trayOpen || !this.disk ? 0 : Math.floor(this.disk.size / CD_SECTOR);
    return { sectors, trayOpen: trayOpen === 1, locked: locked === 1 };
  }

  /** The packet has arrived. */
  protected override arrived(): void {
    const { state } = this;
    const packet = state.buffer.slice(0, PACKET_LENGTH);
    const medium = this.view();
    const command = PACKET_COMMANDS[packet[0]];
    if (!command) {
      this.refuse(SENSE.BAD_OPCODE);
      return;
    }
    if (!command.always && medium.sectors && state.changed !== CHANGE.TOLD) {
      const absent = state.changed === CHANGE.ABSENT;
      state.changed = absent ? CHANGE.ATTENTION : CHANGE.TOLD;
      this.refuse(absent ? SENSE.MEDIUM_NOT_PRESENT : SENSE.MEDIUM_CHANGED);
      return;
    }
    if (command.ready && !medium.sectors) {
      this.refuse(SENSE.MEDIUM_NOT_PRESENT);
      return;
    }
    if (packet[0] !== PACKET.REQUEST_SENSE) state.sense = SENSE.NONE;
    command.run(this, packet, medium);
  }

  /** Answers with at most `allocation` bytes of `data`; without an answer the field was wrong. */
  reply(data: Uint8Array | undefined, allocation: number): void {
    const { state } = this;
    if (!data) {
      this.refuse(SENSE.BAD_FIELD);
      return;
    }
    const answer = data.subarray(0, Math.min(data.length, allocation));
    if (answer.length === 0) {
      this.complete();
      return;
    }
    if (state.byDma) {
      state.count = REASON.IO;
      this.dmaMedium(false, 0, 0, answer);
      return;
    }
    const block = this.blockLength(answer.length);
    if (block === 0) {
      this.abort();
      return;
    }
    this.offer(answer, block);
  }

  setLock(locked: boolean): void {
    this.state.locked = locked ? 1 : 0;
  }

  ok(): void {
    this.complete();
  }

  fails(sense: number): void {
    this.refuse(sense);
  }

  /** Reads `count` sectors from `lba` on. */
  readSectors(medium: Medium, lba: number, count: number, raw = false): void {
    const { state } = this;
    if (lba + count > medium.sectors) {
      this.refuse(SENSE.OUT_OF_RANGE);
      return;
    }
    if (count === 0) {
      this.complete();
      return;
    }
    state.raw = raw ? 1 : 0;
    const size = raw ? RAW_SECTOR : CD_SECTOR;
    if (state.byDma) {
      state.count = REASON.IO;
      this.dmaMedium(false, lba * size, count * size);
      return;
    }
    const block = this.blockLength(count * size);
    if (block === 0) {
      this.abort();
      return;
    }
    this.pioMedium(false, lba * size, count * size, block);
  }

  /** Bytes of a DRQ block: the host's limit, even unless the whole answer fits; 0 when the host gave none. */
  private blockLength(total: number): number {
    const limit = Math.min(this.state.byteLimit, 0xfffe);
    return total <= limit ? total : limit & ~1;
  }

  /** START STOP UNIT with LOEJ: the tray moves. */
  moveTray(open: boolean): void {
    const { state } = this;
    if (open && state.locked && !state.trayOpen) {
      this.refuse(this.disk ? SENSE.MEDIUM_REMOVAL_PREVENTED : SENSE.REMOVAL_PREVENTED_EMPTY);
      return;
    }
    if ((state.trayOpen === 1) !== open) {
      state.trayOpen = open ? 1 : 0;
      this.options.onTray?.(open);
    }
    this.complete();
  }

  takeEvent(): number {
    const { event } = this.state;
    this.state.event = 0;
    return event;
  }

  takeSense(): number {
    const { sense } = this.state;
    this.state.sense = SENSE.NONE;
    return sense;
  }

  get serial(): string {
    return this.options.serial ?? 'QM00003';
  }

  get model(): string {
    return this.options.model ?? 'QEMU DVD-ROM';
  }

  get firmware(): string {
    return this.options.firmware ?? '2.5+';
  }

  /** The 512 bytes of IDENTIFY PACKET DEVICE. */
  identify(): Uint8Array {
    return identifyCdrom(this.state.mode, this.serial, this.firmware, this.model);
  }
}
