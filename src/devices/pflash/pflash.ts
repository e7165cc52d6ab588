/**
 * CFI parallel flash of two 16-bit chips side by side (a 32-bit bank).
 *
 * Spec: Intel 28FxxxJ3 (StrataFlash) data sheet, "Command definitions"; CFI as in
 * cfi.ts. Departures: programming and erasing finish at once, locks are accepted
 * and do nothing, and a command's low byte goes to both chips.
 *
 * Contents live in memory. Every change is also written to the disk behind the
 * flash, in order, without holding the guest up.
 */
import type { AccessSize, Device, DeviceLog, Mmio } from '../../hw/device.ts';
import type { Disk } from '../../hw/disk.ts';
import type { MemoryArea } from '../../hw/memory-area.ts';
import { bytes, create, json, type Layout, layout, type StateOf, u8, u32 } from '../../state/layout.ts';
import { cfiTable, WRITE_BUFFER_LOG2 } from './cfi.ts';

const BANK_WIDTH = 4;
const CHIPS = 2;
const BUFFER_SIZE = CHIPS << WRITE_BUFFER_LOG2;
const ID = [0x89, 0x18];
const READY = 0x80;
const ERROR = { PROGRAM: 0x10, ERASE: 0x20, SEQUENCE: 0x30 };
const COMMAND = {
  PROGRAM: 0x40,
  PROGRAM_OLD: 0x10,
  ERASE: 0x20,
  CLEAR_STATUS: 0x50,
  LOCK: 0x60,
  STATUS: 0x70,
  ID: 0x90,
  QUERY: 0x98,
  CONFIRM: 0xd0,
  BUFFER: 0xe8,
  ARRAY_OLD: 0xf0,
  ARRAY: 0xff,
};

function fields(size: number) {
  return {
    content: bytes(size),
    /** The command under way; ARRAY while the flash reads like memory. */
    command: { ...u8, initial: COMMAND.ARRAY },
    status: u8,
    /** Write cycles of the command so far. */
    cycle: u8,
    left: u32, // words that the write buffer still takes
    block: u32, // start of the buffer's block
    buffer: json<{ offset: number; size: number; value: number }[]>(() => []),
  };
}
type FlashLayout = Layout<ReturnType<typeof fields>>;

export interface PflashShape {
  /** Bytes; a multiple of the sector size. */
  readonly size: number;
  readonly sectorSize: number;
}

/** Memory that guests read directly while the flash reads like memory; as large as the flash. */
export interface PflashMemory {
  readonly area: MemoryArea;
  /** Guest-physical. */
  readonly address: number;
}

export class Pflash implements Device<FlashLayout> {
  readonly name: string;
  readonly layout: FlashLayout;
  readonly state: StateOf<FlashLayout>;
  readonly log: DeviceLog;
  readonly mmio: Mmio;
  readonly readOnly: boolean;
  private readonly shape: PflashShape;
  private readonly query: Uint8Array;
  private readonly disk: Disk | undefined;
  private readonly memory: PflashMemory | undefined;
  /** Whether the access may be more than a read of memory; undefined: any may. */
  private readonly trusted: (() => boolean) | undefined;
  private writes: Promise<void> = Promise.resolve();

  /** `content` fills the flash from its start; the rest is erased (0xff), or zero without content. */
  constructor(
    name: string,
    log: DeviceLog,
    shape: PflashShape,
    content?: Uint8Array,
    disk?: Disk,
    memory?: PflashMemory,
    trusted?: () => boolean,
  ) {
    this.trusted = trusted;
    this.memory = memory;
    this.name = name;
    this.log = log;
    this.shape = shape;
    this.disk = disk;
    this.readOnly = disk?.readOnly ?? false;
    this.layout = layout('pflash', 1, fields(shape.size));
    this.state = create(this.layout);
    if (memory) this.state.content = memory.area.bytes;
    if (content) this.state.content.fill(0xff).set(content.subarray(0, shape.size));
    this.query = cfiTable(shape.size / CHIPS, shape.sectorSize / CHIPS);
    this.mmio = {
      read: (offset, size) => this.read(offset, size),
      write: (offset, size, value) => this.write(offset, size, value),
    };
  }

  /** What is in a flash outlives a reset. */
  reset(): void {
    const { content } = this.state;
    Object.assign(this.state, { command: COMMAND.ARRAY, status: 0, cycle: 0, left: 0, block: 0, buffer: [], content });
    this.show();
  }

  resumed(): void {
    const { memory, state } = this;
    if (memory && state.content !== memory.area.bytes) {
      memory.area.bytes.set(state.content);
      state.content = memory.area.bytes;
    }
    this.show();
  }

  /** Guests read the memory itself, as long as it reads like that. */
  private show(): void {
    if (!this.memory) return;
    const { area, address } = this.memory;
    area.readOnly = true;
    area.place(this.inArrayMode ? address : undefined);
  }

  /** True while the whole window reads like memory and `state.content` is what a read gives. */
  get inArrayMode(): boolean {
    return this.state.command === COMMAND.ARRAY;
  }

  /** Resolves when everything written so far is in the disk. */
  flushed(): Promise<void> {
    return this.writes;
  }

  private read(offset: number, size: AccessSize): number {
    const { content, status } = this.state;
    const command = this.trusted?.() === false ? COMMAND.ARRAY : this.state.command;
    switch (command) {
      case COMMAND.ARRAY:
        if (size === 4)
          return (
            (content[offset] |
              (content[offset + 1] << 8) |
              (content[offset + 2] << 16) |
              (content[offset + 3] << 24)) >>>
            0
          );
        return size === 2 ? content[offset] | (content[offset + 1] << 8) : content[offset];
      case COMMAND.ID: {
        const index = (offset & 0xff) / BANK_WIDTH;
        return lanes(ID[Math.floor(index)] ?? 0, size);
      }
      case COMMAND.QUERY:
        return lanes(this.query[Math.floor(offset / BANK_WIDTH)] ?? 0, size);
      default:
        return lanes(status, size);
    }
  }

  private write(offset: number, size: AccessSize, value: number): void {
    if (this.trusted?.() === false) return;
    if (this.state.cycle === 0) this.start(offset, value & 0xff);
    else this.proceed(offset, size, value);
    this.show();
  }

  /** The first cycle: a command. */
  private start(offset: number, command: number): void {
    const { state } = this;
    switch (command) {
      case 0:
      case COMMAND.ARRAY_OLD:
      case COMMAND.ARRAY:
        this.toArray();
        return;
      case COMMAND.CLEAR_STATUS:
        state.status = 0;
        this.toArray();
        return;
      case COMMAND.STATUS:
      case COMMAND.ID:
      case COMMAND.QUERY:
        state.command = command;
        return;
      case COMMAND.PROGRAM:
      case COMMAND.PROGRAM_OLD:
      case COMMAND.ERASE:
      case COMMAND.LOCK:
        break;
      case COMMAND.BUFFER:
        state.status |= READY;
        state.block = offset - (offset % BUFFER_SIZE);
        state.buffer = [];
        break;
      default:
        this.log.guestError(this.name, `unknown command 0x${command.toString(16)}`);
        this.toArray();
        return;
    }
    state.command = command;
    state.cycle = 1;
  }

  private proceed(offset: number, size: AccessSize, value: number): void {
    const { state } = this;
    const low = value & 0xff;
    switch (state.command) {
      case COMMAND.PROGRAM:
      case COMMAND.PROGRAM_OLD:
        if (this.readOnly) state.status |= ERROR.PROGRAM;
        else {
          this.program(offset, size, value);
          this.store(offset, size);
        }
        this.done();
        return;
      case COMMAND.ERASE:
        if (low === COMMAND.CONFIRM) this.erase(offset);
        else state.status |= ERROR.SEQUENCE;
        this.done();
        return;
      case COMMAND.LOCK:
        if (low === COMMAND.ARRAY) this.toArray();
        else this.done();
        return;
      default:
        this.buffer(offset, size, value);
    }
  }

  /** Write to buffer: a count, count + 1 words of one block, and a confirmation. */
  private buffer(offset: number, size: AccessSize, value: number): void {
    const { state } = this;
    if (state.cycle === 1) {
      state.left = Math.min(value & 0xffff, BUFFER_SIZE - 1);
      state.cycle = 2;
    } else if (state.cycle === 2) {
      if (offset - (offset % BUFFER_SIZE) === state.block) state.buffer.push({ offset, size, value });
      else state.status |= ERROR.PROGRAM;
      if (state.left === 0) state.cycle = 3;
      else state.left--;
    } else {
      if ((value & 0xff) !== COMMAND.CONFIRM) state.status |= ERROR.SEQUENCE;
      else if (this.readOnly) state.status |= ERROR.PROGRAM;
      else if (!(state.status & ERROR.PROGRAM)) {
        for (const word of state.buffer) this.program(word.offset, word.size, word.value);
        this.store(state.block, BUFFER_SIZE);
      }
      state.buffer = [];
      this.done();
    }
  }

  /** A program operation only clears bits. */
  private program(offset: number, size: number, value: number): void {
    for (let i = 0; i < size; i++) this.state.content[offset + i] &= value >>> (8 * i);
  }

  private erase(offset: number): void {
    if (this.readOnly) {
      this.state.status |= ERROR.ERASE;
      return;
    }
    const start = offset - (offset % this.shape.sectorSize);
    this.state.content.fill(0xff, start, start + this.shape.sectorSize);
    this.store(start, this.shape.sectorSize);
  }

  private done(): void {
    this.state.status |= READY;
    this.state.cycle = 0;
    this.state.command = COMMAND.STATUS;
  }

  private toArray(): void {
    this.state.cycle = 0;
    this.state.command = COMMAND.ARRAY;
  }

  /** Writes what changed to the disk, whole sectors, after the writes before it. */
  private store(offset: number, length: number): void {
    const { disk } = this;
    if (!disk) return;
    const start = offset - (offset % 512);
    const end = Math.min(disk.size, offset + length + ((512 - ((offset + length) % 512)) % 512));
    if (end <= start) return;
    const piece = this.state.content.slice(start, end);
    this.writes = this.writes
      .then(() => disk.write(start, piece))
      .catch((error) => {
        this.state.status |= ERROR.PROGRAM;
        this.log.guestError(this.name, `the disk failed: ${error instanceof Error ? error.message : String(error)}`);
      });
  }
}

/** A value of each chip's low byte, as wide as the access. */
function lanes(value: number, size: AccessSize): number {
  return size === 4 ? ((value << 16) | value) >>> 0 : value;
}
