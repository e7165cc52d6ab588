/**
 * Floppy disk controller 82078 (QEMU's `isa-fdc`) with two drives.
 *
 * Spec: Intel 82078 data sheet (1995), "Register description" and "Controller
 * phases".
 * Departures: sectors have 512 bytes and lie where the image says; no SCAN,
 * SAVE, RESTORE or FORMAT AND WRITE; deleted data marks are not kept; heads
 * move at once; without DMA a transfer ends after its last sector without the
 * "end of cylinder" error, as nobody could give TC (QEMU does so too).
 *
 * Invariant: the disk works only while `busy` says on what; `resumed` starts
 * that over.
 */
import type { Device, DeviceLog, IrqLine, Mmio } from '../../hw/device.ts';
import type { IsaDmaChannel } from '../../hw/isa-dma.ts';
import { create } from '../../state/layout.ts';
import { commandOf, OP, ST0, ST1, ST3 } from './commands.ts';
import { controllerCommand } from './controller-commands.ts';
import { BUSY, DOR, mainStatus, PHASE, STATE } from './fdc-state.ts';
import { type FloppyDrive, SECTOR } from './floppy-drive.ts';
import { mediumTask, workOnMedium } from './medium-task.ts';
import { idBehind, SIZE_CODE } from './track.ts';

const DSR_RESET = 0x80;
const DISK_CHANGED = 0x80;

export interface FdcWiring {
  readonly log: DeviceLog;
  readonly irq: IrqLine;
  /** ISA DMA channel 2. */
  readonly dma: IsaDmaChannel;
}

export class Fdc implements Device<typeof STATE> {
  readonly name: string;
  readonly layout = STATE;
  readonly state = create(STATE);
  readonly log: DeviceLog;
  /** 6 ports from 0x3f0. */
  readonly mmio: Mmio;
  /** The port 0x3f7. */
  readonly rateMmio: Mmio;
  private readonly wiring: FdcWiring;
  private readonly drives: readonly (FloppyDrive | undefined)[];
  private life = 0;

  constructor(name: string, wiring: FdcWiring, drives: readonly (FloppyDrive | undefined)[]) {
    this.name = name;
    this.log = wiring.log;
    this.wiring = wiring;
    this.drives = [drives[0], drives[1]];
    this.mmio = {
      widths: [1],
      read: (offset) => this.read(offset),
      write: (offset, _, value) => this.write(offset, value & 0xff),
    };
    this.rateMmio = {
      widths: [1],
      read: () => (this.state.changed & (1 << this.selected) ? DISK_CHANGED : 0),
      write: (_, __, value) => {
        this.state.rate = value & 3;
      },
    };
    wiring.dma.ready = () => this.pump();
    this.drives.forEach((drive, index) => {
      if (drive) drive.changed = () => this.mediumChanged(index);
    });
  }

  reset(): void {
    this.life++;
    Object.assign(this.state, create(STATE));
    this.output();
  }

  resumed(): void {
    this.life++;
    this.output();
    if (this.state.phase === PHASE.DISK) this.work();
  }

  /** The drive's medium was changed by the host: what runs on it fails when it touches the disk. */
  private mediumChanged(drive: number): void {
    this.state.changed |= 1 << drive;
  }

  private output(): void {
    const { state, wiring } = this;
    wiring.irq.set(state.interrupt === 1);
    const transfers = state.phase === PHASE.IN || state.phase === PHASE.OUT;
    wiring.dma.request(transfers && !state.noDma);
  }

  private raise(): void {
    this.state.interrupt = 1;
    this.output();
  }

  private lower(): void {
    this.state.interrupt = 0;
    this.output();
  }

  private get selected(): number {
    return this.state.dor & 1;
  }

  // Registers.

  private read(register: number): number {
    const { state } = this;
    switch (register) {
      case 1: // SRB: the motors
        return 0xc0 | ((state.dor >> 4) & 3) | (state.dor & 1 ? 0x20 : 0);
      case 2:
        return state.dor;
      case 3:
        return state.tdr;
      case 4:
        return mainStatus(state);
      case 5:
        return this.readData();
      default:
        return 0xff;
    }
  }

  private write(register: number, value: number): void {
    const { state } = this;
    switch (register) {
      case 2: {
        const released = value & DOR.RUNS & ~state.dor;
        state.dor = value;
        if (!(value & DOR.RUNS)) this.softReset();
        else if (released) this.awake();
        break;
      }
      case 3:
        state.tdr = value & 3;
        break;
      case 4:
        state.rate = value & 3;
        if (value & DSR_RESET) {
          this.softReset();
          this.awake();
        }
        break;
      case 5:
        if (state.dor & DOR.RUNS) this.writeData(value);
        break;
      default:
        break;
    }
  }

  /** What a reset by DOR or DSR ends; LOCK keeps the FIFO's configuration. */
  private softReset(): void {
    const { state } = this;
    this.life++;
    Object.assign(state, { phase: PHASE.COMMAND, busy: BUSY.NOTHING, command: [], results: [], senses: [] });
    Object.assign(state, { buffer: new Uint8Array(0), position: 0, interrupt: 0 });
    if (!state.lock) Object.assign(state, { configure: 0x60, precompensation: 0 });
    this.output();
  }

  /** After a reset every drive was polled: four interrupts to be sensed. */
  private awake(): void {
    this.state.senses = [0, 1, 2, 3].map((drive) => ST0.POLLING | drive);
    this.raise();
  }

  private readData(): number {
    const { state } = this;
    if (state.phase === PHASE.IN && state.noDma) {
      this.lower();
      const byte = state.buffer[state.position++];
      if (state.position === state.buffer.length) this.transferred(false);
      return byte;
    }
    if (state.phase !== PHASE.RESULT) return 0;
    const byte = state.results.shift() ?? 0;
    if (state.results.length === 0) state.phase = PHASE.COMMAND;
    this.lower();
    // Another drive's seek ended meanwhile.
    const seeks = state.senses.some((sense) => (sense & ST0.POLLING) !== ST0.POLLING);
    if (seeks && state.phase === PHASE.COMMAND) this.raise();
    return byte;
  }

  private writeData(value: number): void {
    const { state } = this;
    if (state.phase === PHASE.OUT && state.noDma) {
      this.lower();
      state.buffer[state.position++] = value;
      if (state.position === state.buffer.length) this.transferred(false);
      return;
    }
    if (state.phase !== PHASE.COMMAND) return;
    state.command.push(value);
    const entry = commandOf(state.command[0]);
    if (!entry) this.result(ST0.INVALID);
    else if (state.command.length > entry.parameters) this.execute(entry.op);
  }

  // Commands.

  private execute(op: number): void {
    const { state } = this;
    const [, a, b] = state.command;
    const drive = (a ?? 0) & 3;
    switch (op) {
      case OP.SENSE_DRIVE:
        this.result(this.driveStatus(a));
        return;
      case OP.SENSE_INTERRUPT:
        this.senseInterrupt();
        return;
      case OP.RECALIBRATE:
        this.seek(drive, 0, drive);
        return;
      case OP.SEEK:
        this.seek(drive, b, a & 7);
        return;
      case OP.RELATIVE_SEEK_OUT:
        this.seek(drive, (state.tracks[drive & 1] ?? 0) - b, a & 7);
        return;
      case OP.RELATIVE_SEEK_IN:
        this.seek(drive, (state.tracks[drive & 1] ?? 0) + b, a & 7);
        return;
    }
    const results = controllerCommand(op, state);
    if (!results) this.begin(op);
    else if (results.length > 0) this.result(...results);
    else this.idle();
  }

  private idle(): void {
    this.state.command = [];
    this.state.phase = PHASE.COMMAND;
  }

  private result(...bytes: number[]): void {
    Object.assign(this.state, { command: [], results: bytes, phase: PHASE.RESULT, busy: BUSY.NOTHING });
    Object.assign(this.state, { buffer: new Uint8Array(0), position: 0 });
    this.output();
  }

  private driveStatus(select: number): number {
    const index = select & 3;
    const drive = this.drives[index];
    const atZero = index < 2 && this.state.tracks[index] === 0 ? ST3.TRACK_0 : 0;
    return (drive?.inserted?.readOnly ? ST3.PROTECTED : 0) | atZero | ST3.ALWAYS | (select & 7);
  }

  private senseInterrupt(): void {
    const sense = this.state.senses.shift();
    if (sense === undefined) {
      this.result(ST0.INVALID);
      return;
    }
    this.result(sense, this.state.tracks[sense & 3] ?? 0);
    this.lower();
  }

  private seek(index: number, track: number, select: number): void {
    const present = this.drives[index] !== undefined;
    if (present) this.step(index, Math.min(Math.max(track, 0), 84));
    const failed = present ? 0 : ST0.ABNORMAL | ST0.EQUIPMENT;
    this.state.senses = [...this.state.senses.slice(-7), ST0.SEEK_END | failed | select];
    this.idle();
    this.raise();
  }

  private step(index: number, track: number): void {
    const { state } = this;
    // A step pulse with a medium in the drive ends the disk change signal.
    if (track !== state.tracks[index] && this.drives[index]?.inserted) state.changed &= ~(1 << index);
    state.tracks[index] = track;
  }

  /** The commands that look at the medium. */
  private begin(op: number): void {
    const { state } = this;
    const index = state.command[1] & 3;
    const task = mediumTask(op, state, this.drives[index]);
    if ('seek' in task && task.seek !== undefined) this.step(index, task.seek);
    if ('st1' in task) {
      this.finish(ST0.ABNORMAL, task.st1, task.st2 ?? 0);
      return;
    }
    if ('id' in task) {
      this.finish(0, 0, 0, task.id);
      return;
    }
    if (task.busy === BUSY.FORMATTING) {
      this.expect(task.busy, task.bytes);
      return;
    }
    state.lastSector = state.command[6];
    state.offset = task.offset;
    if (task.busy === BUSY.WRITING) this.expect(task.busy, task.bytes);
    else {
      state.buffer = new Uint8Array(task.bytes);
      state.position = 0;
      state.uncut = 0;
      state.busy = task.busy;
      state.phase = PHASE.DISK;
      this.work();
    }
  }

  private expect(busy: number, length: number): void {
    Object.assign(this.state, { busy, buffer: new Uint8Array(length), position: 0, phase: PHASE.OUT });
    this.transfer();
  }

  /** Data can move. */
  private transfer(): void {
    if (this.state.noDma) this.raise();
    else {
      this.output();
      this.pump();
    }
  }

  /** Moves what the DMA channel takes or gives. */
  private pump(): void {
    const { state, wiring } = this;
    if (state.noDma || (state.phase !== PHASE.IN && state.phase !== PHASE.OUT)) return;
    const rest = state.buffer.subarray(state.position);
    const moved = state.phase === PHASE.IN ? wiring.dma.toMemory(rest) : wiring.dma.fromMemory(rest);
    state.position += moved;
    if (moved === 0) return;
    if (wiring.dma.terminal || state.position === state.buffer.length) this.transferred(wiring.dma.terminal);
  }

  /** All data has moved, or TC ended it. */
  private transferred(terminal: boolean): void {
    const { state } = this;
    state.uncut = state.position === state.buffer.length && !terminal && !state.noDma ? 1 : 0;
    if (state.phase === PHASE.OUT) {
      // A sector that TC cut is filled up with zeros.
      const sectors = Math.ceil(state.position / SECTOR);
      if (state.busy === BUSY.WRITING) state.buffer = state.buffer.slice(0, sectors * SECTOR);
      state.phase = PHASE.DISK;
      this.work();
    } else this.ended();
  }

  private ended(): void {
    const { state } = this;
    const endOfCylinder = state.uncut === 1;
    const sectors = Math.ceil(state.position / SECTOR);
    const ids = state.busy === BUSY.FORMATTING ? state.command.slice(2, 6) : idBehind(state.command, sectors);
    this.finish(endOfCylinder ? ST0.ABNORMAL : 0, endOfCylinder ? ST1.END : 0, 0, ids);
  }

  /** The result phase of a command that looked at the medium. */
  private finish(st0: number, st1: number, st2: number, ids?: readonly number[]): void {
    const { command } = this.state;
    const id = ids ?? [command[2] ?? 0, command[3] ?? 0, command[4] ?? 0, command[5] ?? SIZE_CODE];
    this.result(st0 | (command[1] & 7), st1, st2, ...id.map((byte) => byte & 0xff));
    this.raise();
  }

  /** The disk's part of the command that runs. */
  private work(): void {
    const life = ++this.life;
    void workOnMedium(this.state, this.drives[this.state.command[1] & 3]).then(
      () => {
        if (life !== this.life) return;
        const { state } = this;
        if (state.busy === BUSY.READING) {
          state.phase = PHASE.IN;
          this.transfer();
        } else {
          if (state.busy === BUSY.VERIFYING) state.position = state.buffer.length;
          this.ended();
        }
      },
      (error: unknown) => {
        if (life !== this.life) return;
        this.log.guestError(this.name, `the disk failed: ${error instanceof Error ? error.message : String(error)}`);
        this.finish(ST0.ABNORMAL, ST1.DATA_ERROR, 0);
      },
    );
  }
}
